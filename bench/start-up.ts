import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { exampleFolder } from '../test/support/examples.ts'
import { startNode } from '../test/support/node.ts'
import { figure, type Measurement } from './figures.ts'

const tries = 15
const program = fileURLToPath(new URL('../bin/cutover.js', import.meta.url))

export const startUp: Measurement = {
  name: 'start-up',
  title: 'Commands and memory',
  how: `Whole commands, from spawn to exit, ${tries} of each in turns, beside Node with nothing to do. The daemon's memory after two deploys and the commands; private is what it shares with no other process.`,

  async measure(scope, rounds) {
    const node = await startNode(scope)
    const folder = exampleFolder(scope, 'node')
    await node.deploy(folder)
    await node.deploy(folder)
    const commands = {
      'node -e 0': ['-e', '0'],
      'cutover --version': [program, '--version'],
      'cutover status': [program, 'status'],
      'cutover rollback': [program, 'rollback', 'example-node', '--to'],
    }
    const times = new Map(Object.keys(commands).map((command) => [command, [] as number[]]))
    for (let i = 0; i < tries * rounds; i++) {
      for (const [command, args] of Object.entries(commands)) {
        const whole = args.at(-1) === '--to' ? [...args, `v${1 + (i % 2)}`] : args
        times.get(command)?.push(wallMs(whole, node.place.home))
      }
    }
    const daemon = memoryOf(Number(readFileSync(node.place.lock, 'utf8')))
    return [
      ...[...times].map(([command, values]) => figure(`\`${command}\``, 'ms', values)),
      figure('the daemon, resident', 'MB', [daemon.resident]),
      figure('the daemon, private', 'MB', [daemon.private]),
    ]
  },
}

function wallMs(args: readonly string[], home: string): number {
  const began = performance.now()
  const { status, stderr } = spawnSync(process.execPath, args, { env: { ...process.env, CUTOVER_HOME: home } })
  if (status !== 0) throw new Error(`node ${args.join(' ')} ended with ${status}: ${stderr}`)
  return performance.now() - began
}

/** See proc_pid_smaps(5). */
function memoryOf(pid: number): { readonly resident: number; readonly private: number } {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8')
  const megabytes = (field: string) =>
    (Number(new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(text)?.[1]) * 1024) / 1e6
  return { resident: megabytes('Rss'), private: megabytes('Private_Clean') + megabytes('Private_Dirty') }
}
