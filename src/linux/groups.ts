/** The groups of a user, as a login gives them. See getgrouplist(3), initgroups(3). */
import { promisify } from 'node:util'
import koffi from 'koffi'
import type { User } from './users.ts'

/**
 * The groups that a login gives the user, the own one included, as `id -G` tells them; of a uid without a name the own one only. Asked in a
 * thread of its own, because a directory service may be slow.
 */
export async function groupsOf({ name, gid }: Pick<User, 'name' | 'gid'>): Promise<readonly number[]> {
  if (/^\d+$/.test(name)) return [gid]
  const groups = new Uint32Array(mostGroups)
  const count = Int32Array.of(mostGroups)
  await getgrouplist(name, gid, groups, count)
  return [...groups.subarray(0, Math.min(count[0] ?? 0, mostGroups))]
}

const getgrouplist = promisify(koffi.load(null).func('int getgrouplist(str, unsigned int, void *, void *)').async)

/** NGROUPS_MAX of linux/limits.h. */
const mostGroups = 65_536
