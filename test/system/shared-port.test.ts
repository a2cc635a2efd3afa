import '../support/namespace.ts'
import assert from 'node:assert/strict'
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import test, { type TestContext } from 'node:test'
import { lostIn, startLoad } from '../support/load.ts'

const port = 8080
const fewestRestarts = 10
const mostRestarts = 100

async function startRelease(t: TestContext, release: number): Promise<ChildProcess> {
  const server = new URL('../support/shared-port-server.ts', import.meta.url)
  const child = fork(server, [String(port), String(release)], { execArgv: [] })
  t.after(() => child.kill('SIGKILL'))
  await once(child, 'message')
  return child
}

/** The next release listens before the former one stops listening, and the former one answers all that it has accepted. */
async function replace(t: TestContext, former: ChildProcess, release: number): Promise<ChildProcess> {
  const next = await startRelease(t, release)
  const ended = once(former, 'exit')
  former.kill('SIGTERM')
  await ended
  return next
}

/** Connections that wait in the queue of a listener that closes are reset: no care that a server takes can help them. */
test('releases that take turns on a port by SO_REUSEPORT alone lose requests, and the load client sees it', async (t) => {
  let active = await startRelease(t, 1)
  const load = await startLoad({ kind: 'short', port })
  t.after(() => load[Symbol.asyncDispose]())
  let restarts = 0
  for (let resets = 0; restarts < fewestRestarts || (resets === 0 && restarts < mostRestarts); restarts++) {
    active = await replace(t, active, restarts + 2)
    resets = (await load.snapshot()).reset
  }
  const fates = await load.stop()
  assert.ok(fates.reset > 0, `no connection was reset in ${restarts} restarts and ${fates.begun} requests`)
  t.diagnostic(`${lostIn(fates)} of ${fates.begun} requests lost in ${restarts} restarts`)
})
