import { Command } from 'commander'
import { exitCodes } from '../../core/errors.ts'
import { connect } from '../connect.ts'
import { jsonOption } from '../options.ts'
import { say, sayJson, styled } from '../print.ts'
import { printable } from '../text.ts'

export const command = (): Command =>
  new Command('doctor')
    .description(
      'Tries what Cutover needs of this machine, and says which strategy works here, what is missing or in the way, and what to do.',
    )
    .addOption(jsonOption())
    .addHelpText('after', '\nExamples:\n  cutover doctor\n  cutover doctor --json')
    .action(doctor)

async function doctor({ json }: { readonly json?: boolean }): Promise<void> {
  const report = await connect().doctor()
  const verdict = report.strategy === null ? 'No strategy works here.' : `Strategy here: ${report.strategy}.`
  if (json) sayJson(report)
  else {
    for (const { ok, check, text } of report.checks) {
      const mark = ok ? styled('green', '✓', process.stdout) : styled('red', '✗', process.stdout)
      say(`  ${mark} ${printable(check)}: ${printable(text)}`)
    }
    say(verdict)
  }
  if (report.strategy === null) process.exitCode = exitCodes.failed
}
