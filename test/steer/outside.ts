/** A second network namespace and the cable to it: what is reachable from another machine, and what is not. */
import { execFileSync, spawnSync } from 'node:child_process'
import type { TestContext } from 'node:test'
import { eventually } from '../support/workspace.ts'
import { type App, ask, startApp } from './fixtures.ts'

/** Addresses of this namespace that the other one reaches. */
export const outer4 = '10.77.0.1'
export const outer6 = 'fd77::1'

const sh = (command: string) => execFileSync('sh', ['-ec', command], { stdio: ['ignore', 'ignore', 'inherit'] })

/** A client in a second network namespace, and the cable to it: `va` here. */
export async function outside(t: TestContext): Promise<App> {
  const client = await startApp(t, null, 'outside', { by: ['unshare', '--net'] })
  // It goes with the other namespace, a moment after the client; the next test makes its own.
  t.after(() => spawnSync('ip', ['link', 'delete', 'va']))
  sh(`ip link add va type veth peer name vb netns ${client.pid}
    ip address add ${outer4}/24 dev va
    ip address add ${outer6}/64 dev va nodad
    ip link set va up
    nsenter -t ${client.pid} -n sh -ec '
      ip link set lo up
      ip address add 10.77.0.2/24 dev vb
      ip address add fd77::2/64 dev vb nodad
      ip link set vb up'`)
  // A packet from outside needs its neighbour first.
  await eventually(async () => (await client.run(`ask('${outer6}', 1, 1)`)) === 'ECONNREFUSED')
  return client
}

/**
 * Who answers over 127.0.0.1, the outer IPv4 address from here, the same from outside; ::1, the outer IPv6 address from here, the same from
 * outside. `1`: the one that was named, `0`: nobody, else who it was.
 */
export async function reachOf(client: App, port: number, named: string): Promise<string> {
  const answers = [
    await ask(port),
    await ask(port, outer4),
    await client.run(`ask('${outer4}', ${port})`),
    await ask(port, '::1'),
    await ask(port, outer6),
    await client.run(`ask('${outer6}', ${port})`),
  ]
  const marks = answers.map((answer) => (answer === named ? '1' : answer === 'ECONNREFUSED' ? '0' : answer))
  return `${marks.slice(0, 3).join('')} ${marks.slice(3).join('')}`
}
