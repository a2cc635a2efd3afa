/** Users by name, as this machine knows them (LDAP and the like included). See getent(1), passwd(5). */
import { spawnSync } from 'node:child_process'
import { readFileSync, statSync } from 'node:fs'
import { promisify } from 'node:util'
import koffi from 'koffi'
import { failure } from '../core/errors.ts'

export interface User {
  /** The uid in digits if no user of this machine has it. */
  readonly name: string
  readonly uid: number
  readonly gid: number
  readonly home: string
}

/**
 * The user of that name, or of that uid if it is all digits (a uid without a name is a user without a home, of the group of the same number).
 * @throws CutoverError `failed` if there is no user of that name.
 */
export function resolveUser(name: string): User {
  const known = passwd(readFileSync('/etc/passwd', 'utf8'), name) ?? passwd(getent(name), name)
  if (known) return known
  if (/^\d{1,10}$/.test(name)) return { name, uid: Number(name), gid: Number(name), home: '/' }
  throw failure(
    `There is no user "${name}" on this machine. Nothing was started. Make the user, or change the key "user".`,
  )
}

/** Who owns a file or directory. */
export const ownerOf = (path: string): User => resolveUser(String(statSync(path).uid))

/**
 * The groups that a login gives the user, the own one included, as `id -G` tells them; of a uid without a name the own one only. Asked in a
 * thread of its own, because a directory service may be slow. See getgrouplist(3), initgroups(3).
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

function passwd(text: string, wanted: string): User | null {
  for (const line of text.split('\n')) {
    const [name, , uid, gid, , home] = line.split(':')
    if (name && home !== undefined && (name === wanted || uid === wanted))
      return { name, uid: Number(uid), gid: Number(gid), home: home || '/' }
  }
  return null
}

/** Empty if nobody knows the name, or if there is no getent here. */
const getent = (name: string): string =>
  spawnSync('getent', ['passwd', '--', name], { encoding: 'utf8', timeout: 5000 }).stdout ?? ''
