import { constants, existsSync } from 'node:fs'
import { open, readdir, rm, stat } from 'node:fs/promises'
import { basename, join, resolve } from 'node:path'
import { Command } from 'commander'
import { configName } from '../../core/config.ts'
import { schema } from '../../core/documents.ts'
import { failure, refusal, usageError } from '../../core/errors.ts'
import type { Folder } from '../../core/guess-folder.ts'
import { programFolder } from '../../program.ts'
import { readSmall } from '../../store/files/small-file.ts'
import { jsonOption } from '../options.ts'
import { say, sayJson } from '../print.ts'
import { columns, printable } from '../text.ts'

export const command = (): Command =>
  new Command('init')
    .description(
      'Looks at what the app in DIR (here, if left out) is, writes a cutover.yaml for it, and says what it guessed and from what. ' +
        'A cutover.yaml that is there is left as it is.',
    )
    .argument('[DIR]', "the app's own folder", '.')
    .addOption(jsonOption())
    .addHelpText('after', '\nExamples:\n  cutover init\n  cutover init /srv/shop --json')
    .action(init)

async function init(named: string, { json }: { readonly json?: boolean }): Promise<void> {
  const { guess } = await import('../../core/guess.ts')
  const { guessedConfig, guessedKeys } = await import('../../core/guess-written.ts')
  const { parseConfig } = await import('../../core/config.ts')
  const directory = resolve(named)
  const file = join(directory, configName)
  const folder = await look(directory)
  if (folder.names.has(configName)) throw isThere(file)
  const found = guess(folder) ?? guess({ ...folder, programs: await programsOf(directory) })
  if (found === null) throw unknown(directory)

  const config = guessedConfig(found, schemaFor(directory))
  // What a file says may be none that a config can have: a command with a zero byte, or one without end.
  parseConfig(config, { file: configName, cores: 1 })
  const guessed = guessedKeys(found)
  await write(directory, file, config)
  if (json) return sayJson({ schema, file, guessed, config })
  const rows = guessed.map(({ key, value, from }) => [key, shown(value), from].map(printable))
  say(printable(`${file} is written: ${found.app.value}, ${found.start.what}.`))
  for (const line of columns(rows)) say(`  ${line}`)
  say('Look it through, then: cutover deploy')
}

const shown = (value: unknown): string => (typeof value === 'string' ? value : JSON.stringify(value))

/** Files that are larger, or cannot be read, are not looked at. */
const mostRead = 131_072

/** What a guess is made from. @throws CutoverError `usage` if the folder cannot be listed */
async function look(directory: string): Promise<Folder> {
  const { filesToRead, foldersToList, namedFiles } = await import('../../core/guess.ts')
  const own = await readdir(directory).catch((error: NodeJS.ErrnoException) => {
    throw usageError(`${directory} cannot be looked at: ${error.code ?? error.message}. Nothing was written.`)
  })
  const below = foldersToList.filter((name) => own.includes(name)).map((name) => namesBelow(directory, name))
  const names = new Set([...own, ...(await Promise.all(below)).flat()])
  const folder = { name: basename(directory), names }
  const texts = await textsOf(directory, filesToRead)
  return { ...folder, texts: { ...texts, ...(await textsOf(directory, namedFiles({ ...folder, texts }))) } }
}

const namesBelow = (directory: string, folder: string): Promise<readonly string[]> =>
  readdir(join(directory, folder)).then(
    (names) => names.map((name) => `${folder}/${name}`),
    () => [],
  )

async function textsOf(directory: string, files: readonly string[]): Promise<Readonly<Record<string, string>>> {
  const read = files.map(async (file): Promise<[string, string][]> => {
    const text = await readSmall(join(directory, file), mostRead).catch(() => null)
    return text === null ? [] : [[file, text]]
  })
  return Object.fromEntries((await Promise.all(read)).flat())
}

/** The names of the compiled programs in the folder itself, see elf(5); libraries are compiled too, and none. */
async function programsOf(directory: string): Promise<readonly string[]> {
  const programs: string[] = []
  for (const entry of await readdir(directory, { withFileTypes: true }))
    if (entry.isFile() && !/\.so(\.|$)/.test(entry.name) && (await isProgram(join(directory, entry.name))))
      programs.push(entry.name)
  return programs
}

async function isProgram(path: string): Promise<boolean> {
  try {
    if (((await stat(path)).mode & 0o111) === 0) return false
    await using file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK)
    const { buffer } = await file.read(Buffer.alloc(4), 0, 4, 0)
    return buffer.toString('latin1') === '\x7fELF'
  } catch {
    return false
  }
}

/** From the app's folder where Cutover is installed in it, so that the file is right wherever the folder is; else that of this program. */
function schemaFor(directory: string): string {
  const file = 'docs/cutover.schema.json'
  const installed = `node_modules/cutover/${file}`
  return existsSync(join(directory, installed)) ? installed : new URL(file, programFolder).href
}

/** Never over what is there, nor through a link. What root writes belongs to the folder's owner, who will want to change it. */
async function write(directory: string, file: string, config: string): Promise<void> {
  try {
    await using made = await open(file, 'wx', 0o644)
    try {
      const { uid, gid } = await stat(directory)
      if (process.getuid?.() === 0) await made.chown(uid, gid)
      await made.writeFile(config)
    } catch (error) {
      await rm(file, { force: true })
      throw error
    }
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    throw code === 'EEXIST'
      ? isThere(file)
      : failure(`${file} could not be written: ${code ?? message}.`, { cause: error })
  }
}

const isThere = (file: string) =>
  refusal(`${file} is there already, and was left as it is. What it means: cutover config`)

const unknown = (directory: string) =>
  usageError(`Nothing in ${directory} says how the app is started. Write a ${configName} with three lines:`, [
    'app: shop',
    'run: the command that starts it',
    'port: 8080',
  ])
