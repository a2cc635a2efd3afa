/**
 * `npm run pictures`: plays a deploy, a rollback and a killed release under load, and draws what happened. Needs root; all of it happens in a
 * network namespace of its own. `npm run pictures -- --write` puts the pictures into docs/pictures/, else into a folder that it names.
 */
import '../../test/support/namespace.ts'
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { withScope } from '../scope.ts'
import { draw } from './draw.ts'
import { play } from './scenes.ts'

const { values: options } = parseArgs({ options: { write: { type: 'boolean', default: false } } })
if (process.getuid?.() !== 0) {
  console.error('pictures: needs root, because steering does')
  process.exit(3)
}
const scenes = await withScope(play)
const folder = options.write
  ? fileURLToPath(new URL('../../docs/pictures', import.meta.url))
  : mkdtempSync(join(tmpdir(), 'cutover-pictures-'))
mkdirSync(folder, { recursive: true })
for (const [name, scene] of Object.entries(scenes)) {
  const file = join(folder, `${name}.svg`)
  writeFileSync(file, draw(scene))
  console.log(file)
}
process.exit()
