/** A start that failed for a file that was left out of the release. */
import type { LeftOut } from './survey.ts'

/**
 * Which left-out path an app's last words name, or null: `Cannot find module './dist/main.js'` names `dist/`.
 * @param lines - the end of the app's log, or the error of the program that was not found.
 * @param release - the release's directory.
 */
export function missedFile(leftOut: readonly LeftOut[], lines: readonly string[], release: string): LeftOut | null {
  const text = lines.join('\n').replaceAll(`${release}/`, './')
  return leftOut.find(({ path, by }) => by !== 'Cutover' && mentions(text, path.replace(/\/$/, ''))) ?? null
}

/** Whether the path stands for itself in the text, or begins one: `dist` in `./dist/main.js`, but not in `distance` or `lib/dist`. */
function mentions(text: string, path: string): boolean {
  const literal = path.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&')
  return new RegExp(`(^|[\\s'"\`(=:])(\\./)?${literal}(?=$|[\\s'"\`):,;/])`, 'm').test(text)
}
