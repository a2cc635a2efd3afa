/** Symbolic links of a folder, and whether they stay in it: a release must not depend on what lies elsewhere. */
import { isAbsolute, posix } from 'node:path'
import { type Survey, type SurveyedFolder, uncopyable } from './survey.ts'

/**
 * The folders of a survey with their links as the release needs them: relative ones as they are, absolute ones into the folder turned
 * into relative ones, so that they lead into the release and not back to where it came from. Dangling ones stay.
 * @param names - the absolute paths by which the folder is known.
 * @param shared - paths whose content lies elsewhere in a release.
 * @throws CutoverError naming every link that leads out.
 */
export function keptLinks(survey: Survey, names: readonly string[], shared: readonly string[]): SurveyedFolder[] {
  const texts = new Map<string, string>()
  const problems: string[] = []
  const folders = survey.folders.map((folder) => ({
    ...folder,
    links: folder.links.map(({ name, text }) => ({ name, text: inwards(text, folder.path, names) })),
  }))
  for (const { path, links } of folders) for (const { name, text } of links) texts.set(posix.join(path, name), text)
  for (const [path, text] of texts) {
    if (leadsOut(path, text, texts, shared)) problems.push(`${path}: a symbolic link to ${text}, which is outside it`)
  }
  if (problems.length > 0)
    throw uncopyable(survey.root, [
      ...problems.sort(),
      'Copy what they lead to into the folder, or leave the links out (ignore), or let them outlive releases (shared).',
    ])
  return folders
}

/** As `/srv/shop/lib/x` is `../lib/x` for a link in the folder `bin` of `/srv/shop`. */
function inwards(text: string, folder: string, names: readonly string[]): string {
  const root = names.find((name) => text === name || text.startsWith(`${name}/`))
  if (root === undefined) return text
  const up = folder === '' ? [] : folder.split('/').map(() => '..')
  const down = text.slice(root.length).split('/').filter(Boolean)
  return [...up, ...down].join('/') || '.'
}

/** Follows the link as the kernel would (path_resolution(7)), within what the survey knows. */
function leadsOut(link: string, text: string, texts: ReadonlyMap<string, string>, shared: readonly string[]): boolean {
  if (isAbsolute(text)) return true
  const here = link.split('/').slice(0, -1)
  const ahead = text.split('/')
  let followed = 0
  for (let part = ahead.shift(); part !== undefined; part = ahead.shift()) {
    if (part === '' || part === '.') continue
    if (part === '..') {
      if (here.pop() === undefined) return true
      continue
    }
    here.push(part)
    const path = here.join('/')
    if (shared.includes(path)) return ahead.includes('..')
    const next = texts.get(path)
    if (next === undefined) continue
    if (isAbsolute(next)) return true
    // A loop, or as good as one: the kernel gives up at 40 with ELOOP, and never leaves the folder on the way.
    if (++followed > 40) return false
    here.pop()
    ahead.unshift(...next.split('/'))
  }
  return false
}
