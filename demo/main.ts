/**
 * `npm run demo`: deploys a real app, puts load on it, deploys a second release and rolls back under that load, and shows live what happens.
 * It ends by itself and leaves nothing behind. On the way it does what anybody would type: the commands are the real ones.
 */
import process from 'node:process'
import { setTimeout as pause } from 'node:timers/promises'
import { styleText } from 'node:util'
import { startLoad } from '../test/support/load.ts'
import { openStage, type Stage } from './stage.ts'
import { summary, watchLoad } from './watch.ts'

const seconds = 5
const isRoot = process.getuid?.() === 0

const stage = await openStage()
const ctrlC = new AbortController()
process.once('SIGINT', () => ctrlC.abort())
process.once('SIGTERM', () => ctrlC.abort())
try {
  await play(stage, ctrlC.signal)
} catch (error) {
  if (!ctrlC.signal.aborted) throw error
  console.log('\nInterrupted.')
} finally {
  await stage.clear()
}

async function play({ cutover, port, home }: Stage, signal: AbortSignal): Promise<void> {
  title(
    isRoot ? 'Deploy a server, on its own port, unmodified' : 'Deploy a server, without root: it is given its socket',
  )
  await cutover('deploy')

  await using short = await startLoad({ kind: 'short', port, clients: 16 })
  await using kept = await startLoad({ kind: 'keep-alive', port, clients: 4, pauseMs: 2 })
  const loads = { 'new connections': short, 'keep-alive': kept }
  title('16 clients with a new connection per request, 4 with connections that are kept')
  say(`Try it in a second terminal:   curl http://localhost:${port}/`)
  say(`                               CUTOVER_HOME=${home} npx cutover status`)
  using watch = watchLoad(loads)
  await pause(seconds * 1000, undefined, { signal })

  title('Deploy the second release under this load')
  await cutover('deploy')
  await pause(seconds * 1000, undefined, { signal })

  title('Roll back')
  await cutover('rollback')
  await pause(seconds * 1000, undefined, { signal })
  watch.end()

  title('What became of every request')
  const fates = { 'new connections': await short.stop(), 'keep-alive': await kept.stop() }
  const { text, lost } = summary(fates)
  console.log(text)
  if (lost > 0) process.exitCode = 1
}

function title(text: string): void {
  console.log(`\n${styleText('bold', text)}`)
}

function say(text: string): void {
  console.log(`  ${text}`)
}
