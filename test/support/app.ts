/** The app that tests of a whole node deploy: the Node example, with whatever a test wants otherwise. */
import { readFileSync } from 'node:fs'
import { get } from 'node:http'
import { text } from 'node:stream/consumers'
import type { TestContext } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { stringify } from 'yaml'
import { exampleFolder } from './examples.ts'
import type { TestNode } from './node.ts'

export const app = 'example-node'
export const port = 8080

/** The server of the example, for tests that add to it. */
export const exampleServer = readFileSync(
  fileURLToPath(new URL('../../examples/node/server.mjs', import.meta.url)),
  'utf8',
)

/** The text of a `cutover.yaml` for it, with these keys besides. */
export const configWith = (keys: Readonly<Record<string, unknown>> = {}): string =>
  stringify({ app, run: 'node server.mjs', port, ...keys })

/** A folder with the app, gone when the test ends: these keys in its config, these files in it. */
export const appFolder = (
  t: TestContext,
  keys: Readonly<Record<string, unknown>> = {},
  files: Readonly<Record<string, string>> = {},
): string => exampleFolder(t, 'node', { 'cutover.yaml': configWith(keys), ...files })

/** The body of an answer, on a connection of its own. Rejects as connect(2) does where nobody serves. */
export function ask(path = '/', at = port): Promise<string> {
  return new Promise((resolve, reject) => {
    get({ port: at, host: '127.0.0.1', path, agent: false }, (answer) => resolve(text(answer))).on('error', reject)
  })
}

/** Which release answers: `v4`. */
export const whoAnswers = async (at = port): Promise<string> => (await ask('/', at)).split(' ')[0] ?? ''

export type AppStatus = Awaited<ReturnType<TestNode['app']>>

/** Looks at the app, if there is one yet, until it is as wanted; for at most 30 s. A daemon is started if none runs. */
export async function appBecomes(node: TestNode, wanted: (status: AppStatus) => boolean): Promise<AppStatus> {
  const deadline = performance.now() + 60_000
  for (;;) {
    const { apps } = await node.client.status()
    const found = apps.find((one) => one.app === app)
    if (found && wanted(found)) return found
    if (performance.now() > deadline)
      throw new Error(`the app did not become so within a minute: ${JSON.stringify(found)}`)
    await pause(50)
  }
}

/** Which processes are which release's, and what state it is in. */
export const processesOf = ({ releases }: AppStatus) =>
  releases.map(({ release, state, pids }) => [release, state, pids])

export const pidsOf = ({ releases }: AppStatus, number: number) =>
  releases.find(({ release }) => release === number)?.pids ?? []

/** A server that takes that long to start, but for its first start in a release's directory. */
export const slowTheSecondTime = (
  ms: number,
): string => `import { existsSync as again, writeFileSync as mark } from 'node:fs'
if (again('started')) await new Promise((resolve) => setTimeout(resolve, ${ms}))
mark('started', '')
${exampleServer}`
