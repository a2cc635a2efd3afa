/** `kill -9` of the active release: lost is what it was working on; all others wait until it is back. */
import '../support/namespace.ts'
import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { example, exampleFolder } from '../support/examples.ts'
import { type Killed, killUnderLoad } from '../support/killing.ts'
import { describeLosses, fatesTable, type LoadSpec, lostIn } from '../support/load.ts'
import { asRoot } from '../support/namespace.ts'
import { needs } from '../support/packages.ts'
import { shopFolder, shopPort } from '../support/shop.ts'

const times = 10
const clients = 16

/** One connection at a time, 5 ms each: all others wait in its queue, handshake done and request sent. */
const oneByOne = `
import os, socket, time
listener = socket.create_server(('0.0.0.0', ${shopPort}), backlog=128)
body = os.environ['CUTOVER_RELEASE'] + '\\n'
answer = f'HTTP/1.1 200 OK\\r\\nConnection: close\\r\\nContent-Length: {len(body)}\\r\\n\\r\\n{body}'.encode()
while True:
    client, _ = listener.accept()
    if client.recv(4096):
        time.sleep(0.005)
        client.sendall(answer)
    client.close()
`

test(`of ${clients} clients of a release that is killed ${times} times those in its queue do not notice`, {
  skip: asRoot || needs('python3'),
}, async (t) => {
  const folder = shopFolder(t, { config: 'run: python3 server.py\nhold: 1m', files: { 'server.py': oneByOne } })
  const killed = await killUnderLoad(t, { app: 'shop', folder, load: loadOn(shopPort), times })
  assertOnlyInFlight(t, killed)
  assert.ok(killed.inFlight <= times, 'it served more than one at a time')
  assert.ok(killed.queued > (times * clients) / 2, 'too few waited')
})

for (const name of ['node', 'gunicorn', 'nginx-reuseport'] as const) {
  const { app, port, skip } = example(name)
  test(`a ${name} app that is killed ${times} times under ${clients} clients loses at most what it had accepted`, {
    skip: asRoot || skip,
  }, async (t) => {
    const folder = exampleFolder(t, name)
    assertOnlyInFlight(t, await killUnderLoad(t, { app, folder, load: loadOn(port), times }))
  })
}

for (const name of ['gunicorn', 'nginx'] as const) {
  const { app, port, skip } = example(name)
  test(`a ${name} app whose master alone is killed is back, and loses at most what its workers had accepted`, {
    skip: asRoot || skip,
  }, async (t) => {
    const folder = exampleFolder(t, name)
    const { fates } = await killUnderLoad(t, { app, folder, load: loadOn(port), times: 3, masterOnly: true })
    const { refused, wrong, timedOut } = fates
    t.diagnostic(`\n${fatesTable({ load: fates })}`)
    assert.deepEqual({ refused, wrong, timedOut }, { refused: 0, wrong: 0, timedOut: 0 }, describeLosses(fates))
    // Its workers go on until they are ended: what is in flight then nobody can count.
    assert.ok(lostIn(fates) <= 3 * clients, `${lostIn(fates)} were lost`)
  })
}

const loadOn = (port: number): LoadSpec => ({ kind: 'short', port, clients, timeoutMs: 60_000 })

/**
 * Lost were at each end only connections that the release had accepted, at most one a client, and none at other times. (Such a connection is closed by the kernel, or reset if its
 * request had not been read yet: see tcp_close() and RFC 2525, section 2.17. Both count.)
 */
function assertOnlyInFlight(t: TestContext, { fates, inFlight, queued, ends }: Killed): void {
  const { refused, wrong, timedOut } = fates
  t.diagnostic(`\n${fatesTable({ load: fates })}\n${inFlight} in flight, ${queued} in the queue`)
  assert.deepEqual({ refused, wrong, timedOut }, { refused: 0, wrong: 0, timedOut: 0 }, describeLosses(fates))
  assert.equal(ends.length, times)
  for (const [index, end] of ends.entries()) {
    assert.ok(end.lost <= end.inFlight, `end ${index + 1}: ${end.lost} were lost, and ${end.inFlight} were in flight`)
    assert.ok(end.lost <= clients, `end ${index + 1}: ${end.lost} were lost, more than one a client`)
  }
  const lost = ends.reduce((sum, end) => sum + end.lost, 0)
  assert.equal(lost, lostIn(fates), 'something was lost while nothing was killed')
  assert.ok(queued > 0, 'nobody waited in the queue')
}
