/**
 * The machine on which people have their folders: the folders themselves, with what they installed in them, and the home of the user who owns
 * them. npm's cache and pip's packages lie in that home, since the namespace of a test has no network, and a deploy installs again.
 */
import { exec, execFileSync, spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { type FolderName, folderNames, folderOf } from './folders.ts'
import { needs } from './packages.ts'

const fixtures = fileURLToPath(new URL('../fixtures', import.meta.url))

export interface Machine {
  /** All of it, to be removed at the end. */
  readonly directory: string
  readonly home: string
  /** Has the Node that runs this, which npm takes too. */
  readonly path: string
}

/** For the `skip` option of a test. */
export const lacks = (name: FolderName): string | false => needs(...folderOf(name).packages)

export const placeOf = ({ directory }: Machine, name: FolderName): string => join(directory, name)

/** To be called outside of a namespace: npm needs its registry. */
export async function prepareMachine(): Promise<Machine> {
  const directory = mkdtempSync(join(tmpdir(), 'cutover-folders-'))
  const home = join(directory, 'home')
  mkdirSync(join(home, '.config', 'pip'), { recursive: true })
  const machine = { directory, home, path: `${dirname(process.execPath)}${delimiter}${process.env.PATH}` }
  for (const name of folderNames)
    cpSync(join(fixtures, folderOf(name).fixture), placeOf(machine, name), { recursive: true })
  const installed = folderNames.map(async (name) => {
    const { install } = folderOf(name)
    if (install === null || lacks(name) !== false) return
    // With whatever this machine has to say about the registry.
    await inFolder(machine, name, install, { npm_config_cache: join(home, '.npm') })
  })
  await Promise.all(installed)
  writeFileSync(join(home, '.npmrc'), 'offline=true\naudit=false\nfund=false\nupdate-notifier=false\n')
  if (needs('python3-venv', 'python3-flask', 'gunicorn', 'python3-fastapi', 'uvicorn') === false) packWheels(home)
  return machine
}

/** Runs a line of the user's in the folder, by a shell as at a terminal. */
export async function inFolder(
  machine: Machine,
  name: FolderName,
  line: string,
  environment: NodeJS.ProcessEnv,
): Promise<void> {
  const { NODE_TEST_CONTEXT: _, ...rest } = process.env
  await promisify(exec)(line, {
    cwd: placeOf(machine, name),
    env: { ...rest, PATH: machine.path, ...environment },
  })
}

function packWheels(home: string): void {
  const wheels = join(home, 'wheels')
  mkdirSync(wheels)
  execFileSync('/usr/bin/python3', [fileURLToPath(new URL('wheels.py', import.meta.url)), wheels])
  writeFileSync(join(home, '.config', 'pip', 'pip.conf'), `[global]\nno-index = true\nfind-links = ${wheels}\n`)
}

/** In this mount namespace root, whose the folders are, has that home: Cutover asks /etc/passwd. */
export function moveIn({ directory, home }: Machine): void {
  const users = join(directory, 'passwd')
  const text = readFileSync('/etc/passwd', 'utf8').replace(
    /^(root:(?:[^:]*:){4})[^:]*/m,
    (_, start: string) => start + home,
  )
  writeFileSync(users, text)
  const { status, stderr } = spawnSync('mount', ['--bind', users, '/etc/passwd'], { encoding: 'utf8' })
  if (status !== 0) throw new Error(`/etc/passwd could not be replaced: ${stderr}`)
}
