/** The app that tests of a whole node deploy: the Node example, with whatever a test wants otherwise. */
import { readFileSync } from 'node:fs'
import { get } from 'node:http'
import { text } from 'node:stream/consumers'
import type { TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'
import { stringify } from 'yaml'
import { exampleFolder } from './examples.ts'

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
