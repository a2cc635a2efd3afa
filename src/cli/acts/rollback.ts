/** Giving traffic back to a former release. */
import type { ReleaseNumber } from '../../core/words.ts'
import { appNamedOrMeant, connect } from '../connect.ts'
import { operate } from '../operation.ts'

export interface RollbackOptions {
  readonly to?: ReleaseNumber
  readonly from?: ReleaseNumber
  readonly json?: boolean
  readonly quiet?: boolean
  readonly by?: string
}

export async function rollback(
  named: string | undefined,
  { to, from, json, quiet, by }: RollbackOptions,
): Promise<void> {
  const client = connect({ by })
  const app = await appNamedOrMeant(client, named)
  const releases = { ...(to !== undefined && { to }), ...(from !== undefined && { from }) }
  await operate({ kind: 'rollback', app, ...releases }, { json, quiet, by }, client)
}
