import { setTimeout as sleep } from 'node:timers/promises'
import { exampleFolder } from '../test/support/examples.ts'
import { startNode } from '../test/support/node.ts'
import { barePort } from './bare-app.ts'
import { startBareFlip } from './bare-flip.ts'
import { figure, type Measurement } from './figures.ts'
import { monotonicMs, startProber } from './prober.ts'
import { differencesOf } from './statistics.ts'

const app = 'example-node'
const port = 8080
const tries = 100
const restMs = 40

export const rollback: Measurement = {
  name: 'rollback',
  title: 'A rollback, from the call to the first answer',
  how: `${tries} times to and fro between two live releases of the Node example, the daemon in a process of its own that had nothing to do for ${restMs} ms. A third process asks the app without pause from just before the call, each time over a new connection, until the other release answers: "first answer" is that answer's last byte, in one clock with the call. In turns with it, the least that it could be: one server without Cutover that takes a call over a unix socket and then answers as another release. The parts were taken in the same calls.`,

  async measure(scope, rounds) {
    const node = await startNode(scope)
    const folder = exampleFolder(scope, 'node')
    await node.deploy(folder)
    await node.deploy(folder)
    await using prober = await startProber(port)
    const flip = await startBareFlip(scope)
    await using bareProber = await startProber(barePort)
    const times = { bare: [] as number[], answer: [] as number[], last: [] as number[], receipt: [] as number[] }
    const parts = { http: [] as number[], engine: [] as number[], step: [] as number[], switch: [] as number[] }

    for (let i = 0; i < tries * rounds; i++) {
      const to = 1 + (i % 2)
      await sleep(restMs)
      const asked = monotonicMs()
      await node.client.daemon()
      parts.http.push(monotonicMs() - asked)

      await sleep(restMs)
      await prober.start(`v${3 - to}`)
      const changed = prober.change()
      const began = monotonicMs()
      const receipt = await node.rollback(app, { to })
      times.receipt.push(monotonicMs() - began)
      const { begunMs, answeredMs } = await changed
      times.answer.push(answeredMs - began)
      times.last.push(answeredMs - begunMs)
      parts.engine.push(receipt.cutover?.total_ms ?? 0)
      parts.step.push(receipt.steps.find(({ step }) => step === 'cutover')?.ms ?? 0)
      parts.switch.push(receipt.cutover?.switch_us ?? 0)

      await sleep(restMs)
      await bareProber.start(`v${1 + (i % 2)}`)
      const flipped = bareProber.change()
      const called = monotonicMs()
      await flip()
      times.bare.push((await flipped).answeredMs - called)
    }
    return [
      figure('the call → the first answer by the other release', 'ms', times.answer, { atMost: 5 }),
      figure('the same of a bare server that changes what it answers', 'ms', times.bare),
      figure('the one less the other', 'ms', differencesOf(times.answer, times.bare)),
      figure('of it: a bare call of the API, there and back', 'ms', parts.http),
      figure(
        'of it: in the daemon, from the decision until all that belongs to the switch is done',
        'ms',
        parts.engine,
      ),
      figure('of that: the new state on disk, the switch, handing on what waits', 'ms', parts.step),
      figure('of that: the one map update', 'µs', parts.switch, { atMost: 20 }),
      figure('of it: the request that was answered', 'ms', times.last),
      figure('the call → the receipt (not waited for by traffic)', 'ms', times.receipt),
    ]
  },
}
