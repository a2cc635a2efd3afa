/** A daemon whose Node is a file of its own, so that no page of it is another process's as well: its memory is what it costs. */
import { copyFileSync } from 'node:fs'
import { join } from 'node:path'
import process from 'node:process'
import { startInBackground } from '../../src/daemon/autostart.ts'
import type { Place } from '../../src/daemon/place.ts'
import { installProgram } from '../../src/daemon/program/install.ts'

export async function startLonelyDaemon(place: Place): Promise<void> {
  const [, ...args] = await installProgram(place.home)
  const node = join(place.home, 'node')
  copyFileSync(process.execPath, node)
  await startInBackground(place, [node, ...args, '--ready-fd', '3'])
}
