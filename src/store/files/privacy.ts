/** Whether others could read a folder: a copy of it must not show them more. */
import { stat } from 'node:fs/promises'
import { dirname } from 'node:path'

/** Whether everybody may enter the directory and all those above it (search permission, path_resolution(7)). */
export async function isOpenToAll(directory: string): Promise<boolean> {
  const { mode } = await stat(directory)
  if ((mode & 0o001) === 0) return false
  const above = dirname(directory)
  return above === directory || isOpenToAll(above)
}
