import { spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { bundleCommands, bundleDaemon } from '../src/daemon/program/bundle.ts'
import { exampleFolder } from '../test/support/examples.ts'
import { startNode } from '../test/support/node.ts'
import { figure, type Measurement, type Scope } from './figures.ts'

const tries = 15
const root = fileURLToPath(new URL('..', import.meta.url))
const program = join(root, 'bin', 'cutover.js')

export const startUp: Measurement = {
  name: 'start-up',
  title: 'Commands',
  how: `Whole commands of a checkout, and one of a package, which is bundled, from spawn to exit, ${tries} of each in turns, beside Node with nothing to do.`,

  async measure(scope, rounds) {
    const node = await startNode(scope)
    const folder = exampleFolder(scope, 'node')
    await node.deploy(folder)
    await node.deploy(folder)
    const commands = {
      'node -e 0': ['-e', '0'],
      'cutover --version': [program, '--version'],
      'cutover status': [program, 'status'],
      'cutover status, of a package': [await packageIn(scope), 'status'],
      'cutover rollback': [program, 'rollback', 'example-node', '--to'],
    }
    const times = new Map(Object.keys(commands).map((command) => [command, [] as number[]]))
    for (let i = 0; i < tries * rounds; i++) {
      for (const [command, args] of Object.entries(commands)) {
        const whole = args.at(-1) === '--to' ? [...args, `v${1 + (i % 2)}`] : args
        times.get(command)?.push(wallMs(whole, node.place.home))
      }
    }
    return [...times].map(([command, values]) =>
      figure(`\`${command}\``, 'ms', values, command.endsWith('package') ? { atMost: 100 } : null),
    )
  },
}

/** The program of a package as it is installed. */
async function packageIn(scope: Scope): Promise<string> {
  const directory = mkdtempSync(join(tmpdir(), 'cutover-package-'))
  scope.after(() => rmSync(directory, { recursive: true, force: true }))
  for (const name of ['bin', 'package.json']) cpSync(join(root, name), join(directory, name), { recursive: true })
  symlinkSync(join(root, 'node_modules'), join(directory, 'node_modules'))
  await bundleDaemon(join(directory, 'dist'))
  await bundleCommands(join(directory, 'dist'))
  return join(directory, 'bin', 'cutover.js')
}

function wallMs(args: readonly string[], home: string): number {
  const began = performance.now()
  const { status, stderr } = spawnSync(process.execPath, args, { env: { ...process.env, CUTOVER_HOME: home } })
  if (status !== 0) throw new Error(`node ${args.join(' ')} ended with ${status}: ${stderr}`)
  return performance.now() - began
}
