/** Options and arguments that several commands have. */
import { InvalidArgumentError, Option } from 'commander'
import type { ReleaseNumber } from '../core/words.ts'
import { releaseNamed } from './text.ts'

export const jsonOption = (): Option =>
  new Option('--json', 'print one JSON document on stdout, and nothing else there')

export const quietOption = (): Option =>
  new Option('-q, --quiet', 'say nothing unless it fails, or there is something to know')

export const byOption = (): Option =>
  new Option('--by <name>', 'whom history shall name (default: who used sudo, or the user)')

export const yesOption = (): Option => new Option('--yes', 'do not ask')

export const appArgument = 'the app; may be left out in a folder with its cutover.yaml, or where there is one app'

export function asRelease(text: string): ReleaseNumber {
  const release = releaseNamed(text)
  if (release === null) throw new InvalidArgumentError('A release is named like v4.')
  return release
}

export const asCount =
  (least: number, most: number) =>
  (text: string): number => {
    const number = Number(text)
    if (/^\d+$/.test(text) && number >= least && number <= most) return number
    throw new InvalidArgumentError(`It must be a whole number from ${least} to ${most}.`)
  }
