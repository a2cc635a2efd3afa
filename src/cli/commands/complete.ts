import { Command } from 'commander'
import { candidates } from '../completion/candidates.ts'
import { say } from '../print.ts'

/** Somebody has pressed Tab: what takes longer than this is not worth waiting for. */
const patienceMs = 2000

export const command = (): Command =>
  new Command('complete')
    .description('Prints what may stand in the place of the last word, one a line.')
    .argument('[WORDS...]', 'what stands on the command line behind cutover, up to the cursor')
    .action(complete)

/** Says nothing where anything is wrong: it would stand in the middle of what somebody is writing. */
async function complete(words: readonly string[]): Promise<void> {
  setTimeout(() => process.exit(), patienceMs).unref()
  const found = await candidates(words).catch(() => [])
  for (const candidate of found) say(candidate)
}
