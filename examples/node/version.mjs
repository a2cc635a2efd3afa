import { existsSync, readFileSync } from 'node:fs'

/** What this server calls itself: a VERSION file beside it, or else the release that Cutover names, as in `v4`. */
export function version() {
  const file = new URL('VERSION', import.meta.url)
  const said = existsSync(file) ? readFileSync(file, 'utf8') : (process.env.CUTOVER_RELEASE ?? '0')
  return `v${said.trim().replace(/^v/, '')}`
}
