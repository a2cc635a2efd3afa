/** Users by name, as this machine knows them (LDAP and the like included). See getent(1), passwd(5). */
import { readFileSync, statSync } from 'node:fs'
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

function passwd(text: string, wanted: string): User | null {
  for (const line of text.split('\n')) {
    const [name, , uid, gid, , home] = line.split(':')
    if (name && home !== undefined && (name === wanted || uid === wanted))
      return { name, uid: Number(uid), gid: Number(gid), home: home || '/' }
  }
  return null
}

/** Empty if nobody knows the name, or if there is no getent here. */
function getent(name: string): string {
  // At need: commands load this file, and hardly ever ask.
  const { spawnSync } = process.getBuiltinModule('node:child_process')
  return spawnSync('getent', ['passwd', '--', name], { encoding: 'utf8', timeout: 5000 }).stdout ?? ''
}
