import { fork } from 'node:child_process'
import { once } from 'node:events'
import { exampleFolder } from '../test/support/examples.ts'
import { startNode } from '../test/support/node.ts'
import { ask } from './ask.ts'
import { barePort } from './bare-app.ts'
import { figure, type Measurement, type Scope } from './figures.ts'

const port = 8080
const workers = 2
const blocks = 12
const perBlock = 200

export const evenness: Measurement = {
  name: 'evenness',
  title: 'How even the workers share',
  how: `Connections to the busiest worker in those to the idlest, of ${workers}, in each of ${blocks} blocks of ${perBlock} connections one after another. Beside it ${workers} servers that share a port by SO_REUSEPORT alone, in turns.`,

  async measure(scope, rounds) {
    const node = await startNode(scope)
    const config = `app: example-node\nrun: node server.mjs\nport: ${port}\nworkers: ${workers}\n`
    await node.deploy(exampleFolder(scope, 'node', { 'cutover.yaml': config }))
    await shareByKernel(scope)
    const seen = { steer: [] as number[], kernel: [] as number[] }
    for (let i = 0; i < blocks * rounds; i++) {
      seen.steer.push(await busiestToIdlest(port))
      seen.kernel.push(await busiestToIdlest(barePort))
    }
    return [
      figure('busiest to idlest worker, steered', 'ratio', seen.steer, { atMost: 1 }),
      figure('busiest to idlest worker, SO_REUSEPORT alone', 'ratio', seen.kernel),
    ]
  },
}

async function shareByKernel(scope: Scope): Promise<void> {
  for (let worker = 1; worker <= workers; worker++) {
    const server = new URL('../test/support/shared-port-server.ts', import.meta.url)
    const child = fork(server, [String(barePort), '1'], { execArgv: [] })
    scope.after(() => child.kill('SIGKILL'))
    await once(child, 'message')
  }
}

/** Every answer ends with the pid of the worker. */
async function busiestToIdlest(port: number): Promise<number> {
  const counts = new Map<string, number>()
  for (let i = 0; i < perBlock; i++) {
    const pid = /pid (\d+)/.exec(await ask(port))?.[1] ?? '?'
    counts.set(pid, (counts.get(pid) ?? 0) + 1)
  }
  return counts.size < workers ? Number.POSITIVE_INFINITY : Math.max(...counts.values()) / Math.min(...counts.values())
}
