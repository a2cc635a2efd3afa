/** What stays out of a release: `.git`, and what the config, `.cutoverignore` or `.gitignore` name (gitignore(5) is the syntax of all). */
import type { FileHandle } from 'node:fs/promises'
import { basename } from 'node:path'
import ignore, { type Ignore } from 'ignore'
import { failure } from '../../core/errors.ts'
import { cannot } from './failures.ts'
import { textOf } from './small-file.ts'

export interface Rules {
  /** Who leaves it out (`.gitignore`, say), or null if it is part of the release. The path is relative to the app's folder. */
  readonly leftOut: (path: string, isFolder: boolean) => string | null
  /** Whether a `.gitignore` found further down counts. */
  readonly followsGitignore: boolean
  /** The rules for a folder further down that has a `.gitignore` with that text. */
  readonly within: (folder: string, gitignore: string) => Rules
}

export interface RulesRequest {
  /** The key `ignore` of the config. It has the last word: `!dist` brings back what a file left out. */
  readonly ignore: readonly string[]
  /** The text of the folder's `.cutoverignore`, or null if it has none. */
  readonly cutoverignore: string | null
  /** The text of the folder's `.gitignore`, or null if it has none. */
  readonly gitignore: string | null
  /** A folder that was built elsewhere needs its `dist` and `node_modules`, so `.gitignore` counts only where there is a build. */
  readonly hasBuild: boolean
}

export function rulesOf({ ignore: patterns, cutoverignore, gitignore, hasBuild }: RulesRequest): Rules {
  const config = ignoring('the key "ignore"', patterns)
  const followsGitignore = hasBuild && cutoverignore === null
  const file = cutoverignore ?? (followsGitignore ? gitignore : null) ?? ''
  const source = cutoverignore === null ? '.gitignore' : '.cutoverignore'
  // The config comes twice: before nested files, and after the patterns of the folder's own, where it can take back a single one.
  const own = ignoring(source, linesOf(file)).add(marked('the key "ignore"', patterns))
  return ofLayers({ base: '', matcher: config }, [{ base: '', matcher: own }], followsGitignore)
}

/** The patterns of one source, which mean paths below `base`. */
interface Layer {
  readonly base: string
  readonly matcher: Ignore
}

/** How many bytes of rules a file may have. */
const mostRules = 1_000_000

/** The rules of an open file that has that name. @throws CutoverError if there are too many */
export async function readRules(file: FileHandle, name: string): Promise<string> {
  try {
    return await textOf(file, mostRules)
  } catch (error) {
    throw failure(`${cannot(`read ${name}`, error)}. Nothing was copied and nothing was started.`, { cause: error })
  }
}

/** The first layer that has an opinion decides, so the strongest comes first: of nested files the deepest. */
const ofLayers = (config: Layer, files: readonly Layer[], followsGitignore: boolean): Rules => ({
  followsGitignore,
  leftOut: (path, isFolder) => {
    if (basename(path) === '.git') return 'Cutover'
    for (const { base, matcher } of [config, ...files]) {
      const verdict = matcher.test(path.slice(base.length) + (isFolder ? '/' : ''))
      if (verdict.ignored) return verdict.rule?.mark ?? 'a rule'
      if (verdict.unignored) return null
    }
    return null
  },
  within: (folder, text) => {
    const nested = { base: `${folder}/`, matcher: ignoring(`${folder}/.gitignore`, linesOf(text)) }
    return ofLayers(config, [nested, ...files], followsGitignore)
  },
})

/** The library does not tell upper case from lower unless it is asked to; the file system does. */
const ignoring = (source: string, patterns: readonly string[]): Ignore =>
  ignore({ ignorecase: false }).add(marked(source, patterns))

/** The time that a pattern takes grows with the depth of a path to the power of its `**`, and everybody waits for it. */
const mostDeep = 3

function marked(source: string, patterns: readonly string[]) {
  const slow = patterns.find((pattern) => pattern.split('**').length - 1 > mostDeep)
  if (slow !== undefined)
    throw failure(
      `In ${source} the pattern "${slow}" has more than ${mostDeep} "**". Nothing was copied and nothing was started.`,
    )
  return patterns.map((pattern) => ({ pattern, mark: source }))
}

const linesOf = (text: string): string[] => text.split(/\r?\n/)
