/**
 * Rules that send packets elsewhere on their way in (DNAT, REDIRECT, TPROXY), in the words of `nft list ruleset` or iptables-save. See nft(8),
 * iptables-extensions(8).
 */

export interface Taken {
  readonly port: number
  /** The rule, as it was listed. */
  readonly rule: string
}

/**
 * Which of these TCP ports are taken by a rule, each once. Seen is a rule that names the port, or, right where packets come in, none at all. Where a
 * port is named by a set, by a map, or by the rule that leads to the chain, it is not seen; and what else a rule asks for, interface or address,
 * is left to whoever reads it.
 */
export function takenFirst(ports: readonly number[], listing: string): Taken[] {
  const rules = rulesIn(listing)
  return [...new Set(ports)].flatMap((port) => {
    const rule = rules.find(({ takes }) => takes(port))
    return rule === undefined ? [] : [{ port, rule: rule.text }]
  })
}

interface Rule {
  readonly text: string
  readonly takes: (port: number) => boolean
}

const elsewhere = /\b(?:DNAT|REDIRECT|TPROXY|dnat|redirect|tproxy)\b/
const otherProtocol = /-p (?:udp|sctp|icmp)|\b(?:udp|sctp) dport|\bl4proto (?:udp|sctp)/

function rulesIn(listing: string): Rule[] {
  let comesIn = false
  return listing.split('\n').flatMap((line) => {
    const text = line.trim()
    // nft: a chain says at its head where it is hooked in, if it is.
    if (/^chain /.test(text)) comesIn = false
    if (/^type \w+ hook prerouting /.test(text)) comesIn = true
    if (!elsewhere.test(text) || otherProtocol.test(text)) return []
    const named = namedPorts(text)
    if (named !== null) return [{ text, takes: named }]
    return comesIn || /^-A PREROUTING /.test(text) ? [{ text, takes: () => true }] : []
  })
}

/** `--dport 80`, `--dports 80,8000:8100`, `dport 80`, `dport 8000-8100`, `dport { 80, 443 }`, each with a no before it; null if it names none. */
function namedPorts(rule: string): ((port: number) => boolean) | null {
  const [, before = '', after = '', list] = /(! )?(?:--dports? |\bdport )(!= )?(\{[^}]*\}|\d[\d:,-]*)/.exec(rule) ?? []
  if (list === undefined) return rule.includes('dport ') ? () => false : null
  const ranges = [...list.matchAll(/(\d+)(?:[:-](\d+))?/g)].map(([, from, to = from]) => [Number(from), Number(to)])
  const isNamed = (port: number) => ranges.some(([from = 0, to = 0]) => port >= from && port <= to)
  return before || after ? (port) => !isNamed(port) : isNamed
}
