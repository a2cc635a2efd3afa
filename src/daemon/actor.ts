/** Who is asking: as the kernel tells, and, beside it, what the client says about itself for the record. */
import { readFileSync, statSync } from 'node:fs'
import type { Actor } from '../core/documents.ts'
import { CutoverError } from '../core/errors.ts'
import type { Peer } from '../linux/peer.ts'
import { resolveUser } from '../linux/users.ts'
import { actorHeaders } from './headers.ts'

/**
 * The owner of the daemon, root, and members of the socket's group may do what the daemon can. The mode of the socket says so too; this
 * holds even where somebody has opened that.
 * @throws CutoverError `unreachable` for everybody else.
 */
export function admit(peer: Peer, socket: string): void {
  const { gid } = statSync(socket)
  if (peer.uid === 0 || peer.uid === process.geteuid?.()) return
  if (peer.gid === gid || peer.groups.includes(gid)) return
  throw new CutoverError(
    'unreachable',
    `${userName(peer.uid)} may not do this: only root, the daemon's owner and members of the group ${groupName(gid)} may.`,
  )
}

/** The person behind a request, for `history`: `--by`, else who used sudo, else the name of the uid. */
export function actorOf(peer: Peer, header: (name: string) => string | undefined): Actor {
  const said = (name: string) => plain(header(name))
  const sudoUser = peer.uid === 0 ? said(actorHeaders.sudoUser) : null
  return {
    uid: peer.uid,
    name: said(actorHeaders.by) ?? sudoUser ?? userName(peer.uid),
    from: said(actorHeaders.from),
  }
}

/**
 * The name of a uid, or its digits if no user of this machine has it. Remembered for a minute: every request needs it, and where a directory
 * service has to be asked the daemon stands still meanwhile.
 */
export function userName(uid: number): string {
  const known = names.get(uid)
  if (known !== undefined && performance.now() < known.until) return known.name
  const { name } = resolveUser(String(uid))
  if (names.size >= namesKept) names.clear()
  names.set(uid, { name, until: performance.now() + nameHoldsMs })
  return name
}

const names = new Map<number, { readonly name: string; readonly until: number }>()
const namesKept = 1000
const nameHoldsMs = 60_000

/** The name of a gid in group(5), or its digits. */
export function groupName(gid: number): string {
  for (const line of readFileSync('/etc/group', 'utf8').split('\n')) {
    const [name, , number] = line.split(':')
    if (name && number === String(gid)) return name
  }
  return String(gid)
}

/** A header's text, at most 100 characters, or null if there is none or it is no text. */
function plain(encoded: string | undefined): string | null {
  if (!encoded) return null
  try {
    return decodeURIComponent(encoded).slice(0, 100).trim() || null
  } catch {
    return null
  }
}
