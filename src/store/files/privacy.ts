/** Who may get what lies in an app's folder: a copy must not show anybody more than they could see. */
import type { Stats } from 'node:fs'
import { stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import process from 'node:process'
import { groupsOf } from '../../linux/groups.ts'
import { resolveUser } from '../../linux/users.ts'

/** By uid, and by any group that they are in. */
export interface Readers {
  readonly uids: ReadonlySet<number>
  readonly gids: ReadonlySet<number>
}

/**
 * The owner of the app's folder and the app's user. A daemon that is root can read every file of the machine, and whoever owns a folder can
 * move or link foreign ones into it. Null where there is nothing to guard: the folder is root's own, or the kernel guards it already.
 */
export async function readersOf(folderOwner: number, user: number | null): Promise<Readers | null> {
  const daemon = process.geteuid?.() ?? 0
  if (daemon !== 0 || folderOwner === 0) return null
  const uids = new Set([folderOwner, user ?? daemon])
  const groups = await Promise.all([...uids].map((uid) => groupsOf(resolveUser(String(uid)))))
  return { uids, gids: new Set(groups.flat()) }
}

/** Whether one of them may read it, or everybody may. */
export const mayRead = (readers: Readers | null, { uid, gid, mode }: Pick<Stats, 'uid' | 'gid' | 'mode'>): boolean =>
  readers === null || readers.uids.has(uid) || (mode & 0o004) !== 0 || ((mode & 0o040) !== 0 && readers.gids.has(gid))

/** Whether everybody may enter the directory and all those above it (search permission, path_resolution(7)). */
export async function isOpenToAll(directory: string): Promise<boolean> {
  const { mode } = await stat(directory)
  if ((mode & 0o001) === 0) return false
  const above = dirname(directory)
  return above === directory || isOpenToAll(above)
}
