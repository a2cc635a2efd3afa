/**
 * The load client's own process: the spec comes as its argument, `snapshot` and `stop` as messages, each answered with the fates.
 * It ends with the channel to its parent, so that no test leaves load behind.
 */
import process from 'node:process'
import { setTimeout as pause } from 'node:timers/promises'
import type { FullSpec } from './load.ts'
import { runClient } from './load-clients.ts'
import { openLedger } from './load-fates.ts'
import { runHttp2Client } from './load-http2.ts'

const spec: FullSpec = JSON.parse(process.argv[2] ?? '')
const ledger = openLedger(spec.kind === 'websocket' || spec.kind === 'stream' ? 'messages' : 'answers')
let running = true

/** Slow requests begin one after another, so that at any moment some have just begun and some are nearly over. */
const delayMs = (client: number): number =>
  spec.kind === 'slow' || spec.kind === 'trickle' ? (spec.slowMs * client) / spec.clients : 0

async function client(number: number): Promise<void> {
  await pause(delayMs(number))
  const run = spec.protocol === 'h2c' ? runHttp2Client : runClient
  await run({ ...spec, ledger, running: () => running })
}

const clients = Promise.all(Array.from({ length: spec.clients }, (_, number) => client(number)))

const say = (what: 'snapshot' | 'stopped') => process.send?.({ what, fates: ledger.fates() })

process.on('disconnect', () => process.exit())
process.on('message', async (message) => {
  if (message === 'stop') {
    running = false
    await clients
  }
  say(message === 'stop' ? 'stopped' : 'snapshot')
})
say('snapshot')
