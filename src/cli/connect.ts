/** The client that commands use: of `$CUTOVER_HOME`, starting a daemon there where none answers. */
import { type Client, createClient } from '../client/client.ts'
import type { AppName } from '../core/words.ts'
import { defaultPlace, type Place } from '../daemon/place.ts'
import { ownVersion } from '../program.ts'
import { note } from './print.ts'
import { printable } from './text.ts'

export interface ConnectOptions {
  /** What history shall say who it was. */
  readonly by?: string | undefined
}

export const connect = ({ by }: ConnectOptions = {}): Client =>
  createClient({ place: defaultPlace(), start: startHere, by: by ?? null, onOtherVersion: sayOtherVersion })

function sayOtherVersion(daemon: string): void {
  note(
    `This is cutover ${ownVersion()}, and the daemon is ${printable(daemon)}. To put this one in its place, apps and traffic going on: cutover daemon`,
  )
}

/** The same, but where no daemon answers none is started. */
export const connectToRunning = (): Client => createClient({ place: defaultPlace(), start: null })

/** Loaded at need: hardly any command starts a daemon. */
async function startHere(place: Place): Promise<void> {
  const { startInBackground } = await import('../daemon/autostart.ts')
  await startInBackground(place)
}

/** The app that was named, or the one that is meant in this folder. */
export const appNamedOrMeant = async (client: Client, named: string | undefined): Promise<AppName> =>
  named ?? (await client.appMeant(process.cwd()))
