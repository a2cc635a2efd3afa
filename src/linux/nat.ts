/** The rules by which the kernel sends packets elsewhere, listed by the programs that make them. See nft(8), iptables-save(8). */
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import process from 'node:process'
import { promisify } from 'node:util'

export interface NatRules {
  /** What the programs printed, all of it. */
  readonly text: string
  /** The programs that there are, and that could list theirs. */
  readonly by: readonly string[]
  /** Tables of the older kind that the kernel has and that no program listed. */
  readonly unlisted: readonly string[]
}

/** None of them changes anything, or loads a module. */
const programs = [
  ['nft', '-n', 'list', 'ruleset'],
  ['iptables-save'],
  ['ip6tables-save'],
  ['iptables-legacy-save'],
  ['ip6tables-legacy-save'],
] as const

export async function listNatRules(): Promise<NatRules> {
  const listed = await Promise.all(programs.map(async ([name, ...args]) => ({ name, text: await printed(name, args) })))
  const done = listed.filter(({ text }) => text !== null)
  const names = new Set(done.map(({ name }) => name))
  const unlisted = [
    ...(names.has('iptables-save') || names.has('iptables-legacy-save') ? [] : tablesIn('/proc/net/ip_tables_names')),
    ...(names.has('ip6tables-save') || names.has('ip6tables-legacy-save')
      ? []
      : tablesIn('/proc/net/ip6_tables_names')),
  ]
  return { text: done.map(({ text }) => text).join('\n'), by: [...names], unlisted }
}

/** Null if there is no such program, or it fails. */
async function printed(program: string, args: readonly string[]): Promise<string | null> {
  // Whoever started the daemon may have had no folders of programs for administrators.
  const PATH = [process.env.PATH ?? '/usr/bin:/bin', '/usr/sbin:/sbin'].join(':')
  try {
    const { stdout } = await promisify(execFile)(program, args, { env: { PATH }, timeout: 5000, maxBuffer: 2 ** 26 })
    return stdout
  } catch {
    return null
  }
}

/** Tables in which packets can be sent elsewhere; none where the kernel has never had any. */
function tablesIn(path: string): string[] {
  try {
    const names = readFileSync(path, 'utf8').split('\n')
    return names.filter((name) => name === 'nat' || name === 'mangle').map((name) => `${path} (${name})`)
  } catch {
    return []
  }
}
