/** The words that complete a command line. */
import type { Client } from '../../client/client.ts'
import { type AppName, named } from '../../core/words.ts'
import { commandLineFor } from '../command-line.ts'
import { printable } from '../text.ts'
import { type Expected, expectedAt } from './expected.ts'

/** Stands for the folders of this machine, which a shell completes better. */
const folders = '/'

/**
 * What may stand in the place of the last word, in the order in which it should be shown. Apps and releases are what a running daemon says;
 * none is started.
 * @throws CutoverError where they are wanted, and no daemon answers
 */
export async function candidates(words: readonly string[]): Promise<readonly string[]> {
  const expected = expectedAt(await commandLineFor(words), words)
  const { kind, begun, before } = expected
  if (kind === 'folder') return [folders]
  const all = typeof kind === 'string' ? await known(kind, expected) : kind
  // What a shell would have to show as something else is left out, a second line above all.
  return all.filter((word) => word.startsWith(begun) && printable(word) === word).map((word) => `${before}${word}`)
}

async function known(kind: 'app' | 'release', { app }: Expected): Promise<readonly string[]> {
  const { appNamedOrMeant, connectToRunning } = await import('../connect.ts')
  const client = connectToRunning()
  if (kind === 'app') return (await client.status()).apps.map((status) => status.app)
  return await releasesOf(client, await appNamedOrMeant(client, app))
}

/** How many former releases are worth showing. */
const most = 20

/** The newest first: those that run, and those that were: one may go back to them, or read their logs. */
async function releasesOf(client: Client, app: AppName): Promise<readonly string[]> {
  const [{ apps }, history] = await Promise.all([client.status(app), client.history(app)])
  const former = history.flatMap(({ release }) => release ?? [])
  const running = apps.flatMap(({ releases }) => releases.map(({ release }) => release))
  const numbers = new Set([...running, ...former.slice(-most)])
  return [...numbers].sort((one, other) => other - one).map(named)
}
