/** Whether the kernel moves what waits in a listener that ends, and wakes whoever gets it. */
import type { DoctorCheck } from '../../core/documents.ts'
import type { Node } from '../node.ts'
import { fine, wrong } from './check.ts'

export interface QueueChecks {
  readonly move: DoctorCheck
  readonly wake: DoctorCheck
}

const moving = 'queues move'
const waking = 'queues wake'

/** Without the first, whoever waits is lost with the listener; the second Cutover can do by itself for clients that it parked. */
export async function queues({ tryQueues }: Node): Promise<QueueChecks> {
  try {
    const { waiting, moved, woken } = await tryQueues()
    if (moved < waiting)
      return notMoving(`${waiting - moved} of ${waiting} connections that waited in a listener were lost when it ended`)
    return {
      move: fine(moving, `${moved} of ${waiting} connections that waited in a listener were answered by its heir`),
      wake: woken ? fine(waking, 'the heir was woken by them') : notWaking,
    }
  } catch (error) {
    return notMoving(error instanceof Error ? error.message : String(error))
  }
}

const notMoving = (text: string): QueueChecks => ({
  move: wrong(
    moving,
    text,
    'The kernel has to have sk_reuseport/migrate, Linux 5.14 or later, and connections over loopback must not be filtered.',
  ),
  wake: wrong(waking, 'nothing came that could have woken anybody', 'It cannot be tried before queues move.'),
})

const notWaking: DoctorCheck = wrong(
  waking,
  'the heir got what had waited only when another connection came: what a worker that ends had not accepted waits in the next one until a client comes',
  'Use a kernel that wakes it (upstream commit 3864c6b). For clients that wait while nothing serves, Cutover makes that connection by itself.',
)
