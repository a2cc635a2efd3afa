/** What is worth knowing of each app. */
import { activeOf } from '../../core/app.ts'
import type { DoctorCheck } from '../../core/documents.ts'
import type { AppName } from '../../core/words.ts'
import type { Node } from '../node.ts'
import { type PortHolder, portHolders } from '../ports.ts'
import { fine, wrong } from './check.ts'

/** Who has the ports of each app that has any. */
export async function appPorts(node: Node): Promise<DoctorCheck[]> {
  const checks: DoctorCheck[] = []
  for (const { name } of node.store.apps.list()) {
    if (activeOf(node.store.apps.state(name)) === null) continue
    try {
      checks.push(portsOf(name, await portHolders(node, name)))
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error)
      checks.push(wrong(`ports of ${name}`, text, 'They cannot be looked at before sockets and kernel programs work.'))
    }
  }
  return checks
}

function portsOf(app: AppName, holders: readonly PortHolder[]): DoctorCheck {
  const check = `ports of ${app}`
  const foreign = holders.find(({ whose }) => whose === 'in the way')
  if (foreign !== undefined)
    return wrong(
      check,
      `${told(foreign)}, where ${app} is to be reached`,
      `End that program, or give ${app} another port.`,
    )
  if (!holders.some(({ whose }) => whose === 'own'))
    return wrong(
      check,
      'nobody listens there',
      `See what it says: cutover logs ${app}; and start it anew: cutover restart ${app}`,
    )
  return fine(check, [...new Set(holders.map(told))].join('; '))
}

const told = ({ holder, address, port }: PortHolder): string => `${holder} listens on ${address}, port ${port}`

/** Not a hindrance, but worth knowing. */
export function rootApps(node: Node): DoctorCheck[] {
  return node.store.apps.list().flatMap(({ name }) => {
    const active = activeOf(node.store.apps.state(name))
    if (active === null || node.store.apps.config(name, active.number).owner.uid !== 0) return []
    const text = `${name} runs as root: set "user" in its cutover.yaml, or give its folder to a user of its own`
    return [{ check: `user of ${name}`, ok: false, text }]
  })
}
