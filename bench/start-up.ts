import { spawnSync } from 'node:child_process'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { exampleFolder } from '../test/support/examples.ts'
import { startNode } from '../test/support/node.ts'
import { figure, type Measurement } from './figures.ts'

const tries = 15
const program = fileURLToPath(new URL('../bin/cutover.js', import.meta.url))

export const startUp: Measurement = {
  name: 'start-up',
  title: 'Commands',
  how: `Whole commands, from spawn to exit, ${tries} of each in turns, beside Node with nothing to do.`,

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
    return [...times].map(([command, values]) => figure(`\`${command}\``, 'ms', values))
  },
}

function wallMs(args: readonly string[], home: string): number {
  const began = performance.now()
  const { status, stderr } = spawnSync(process.execPath, args, { env: { ...process.env, CUTOVER_HOME: home } })
  if (status !== 0) throw new Error(`node ${args.join(' ')} ended with ${status}: ${stderr}`)
  return performance.now() - began
}
