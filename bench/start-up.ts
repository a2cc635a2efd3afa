import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { exampleFolder } from '../test/support/examples.ts'
import { startNode } from '../test/support/node.ts'
import { layOut, packed } from '../test/support/package.ts'
import { figure, type Measurement, type Scope } from './figures.ts'
import { differencesOf } from './statistics.ts'

const tries = 15
const app = 'example-node'
const checkout = fileURLToPath(new URL('../bin/cutover.js', import.meta.url))

export const startUp: Measurement = {
  name: 'start-up',
  title: 'Commands',
  how: `Whole commands, from spawn to exit, ${tries} of each in turns with Node that has nothing to do, \`node -e 0\`: of the package, packed and installed into an empty folder and started by the link that npm makes, and one of a checkout. Each rollback, in the app's folder and with nothing behind it, follows upon a deploy. What is promised is a time, and most of it is the start of Node, in which Cutover has no part: hence the difference below.`,

  async measure(scope, rounds) {
    const node = await startNode(scope)
    const folder = exampleFolder(scope, 'node')
    const command = packageIn(scope)
    const times: Record<'bare' | 'status' | 'rollback' | 'daemon' | 'completion' | 'checkout', number[]> = {
      bare: [],
      status: [],
      rollback: [],
      daemon: [],
      completion: [],
      checkout: [],
    }
    const wallMs = (program: string, ...args: string[]) => wallMsOf([program, ...args], folder, node.place.home)

    await node.deploy(folder)
    for (let i = 0; i < tries * rounds; i++) {
      await node.deploy(folder)
      await node.settled(app)
      times.bare.push(wallMs(process.execPath, '-e', '0'))
      times.status.push(wallMs(command, 'status'))
      times.completion.push(wallMs(command, 'complete', '--', 'status', ''))
      times.checkout.push(wallMs(checkout, 'status'))
      times.rollback.push(wallMs(command, 'rollback'))
      const last = (await node.client.history(app)).findLast(({ kind }) => kind === 'rollback')
      times.daemon.push(last?.receipt?.cutover?.total_ms ?? Number.NaN)
    }
    return [
      figure('`node -e 0`', 'ms', times.bare),
      figure('`cutover status`', 'ms', times.status, { atMost: 100 }),
      figure('the same less `node -e 0`', 'ms', differencesOf(times.status, times.bare)),
      figure('`cutover rollback`', 'ms', times.rollback, { atMost: 100 }),
      figure('the same less `node -e 0`', 'ms', differencesOf(times.rollback, times.bare)),
      figure(
        'of it: in the daemon, from the decision until all that belongs to the switch is done',
        'ms',
        times.daemon,
      ),
      figure('completing an app in a shell', 'ms', times.completion),
      figure('`cutover status` of a checkout', 'ms', times.checkout),
    ]
  },
}

/** The command of a package that is installed. */
function packageIn(scope: Scope): string {
  const directory = mkdtempSync(join(tmpdir(), 'cutover-package-'))
  scope.after(() => rmSync(directory, { recursive: true, force: true }))
  return layOut(join(directory, 'empty'), packed(join(directory, 'packed')))
}

function wallMsOf([program = '', ...args]: readonly string[], cwd: string, home: string): number {
  // Programs of a package and of a checkout are started by the node that is found first.
  const PATH = `${dirname(process.execPath)}${delimiter}${process.env.PATH}`
  const began = performance.now()
  const { status, stderr } = spawnSync(program, args, { cwd, env: { ...process.env, PATH, CUTOVER_HOME: home } })
  const took = performance.now() - began
  if (status !== 0) throw new Error(`${program} ${args.join(' ')} ended with ${status}: ${stderr}`)
  return took
}
