/** `cutover` as somebody runs it. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'

const program = fileURLToPath(new URL('../../bin/cutover.js', import.meta.url))

export interface Ran {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface RunOptions {
  readonly home: string
  readonly cwd?: string
  /** Variables besides its usual ones. */
  readonly environment?: Readonly<Record<string, string>>
  /** As this user and group, which takes root. */
  readonly uid?: number
  /** Instead of this source's own: Node and the program. */
  readonly command?: readonly [string, string]
  /** Called with the process as soon as it runs. */
  readonly meanwhile?: (child: ChildProcess) => void
}

const environmentFor = (home: string) => {
  const { NO_COLOR: _, FORCE_COLOR: __, CI: ___, ...environment } = process.env
  return { ...environment, CUTOVER_HOME: home, TERM: 'xterm' }
}

/** Runs `cutover` without a terminal. */
export async function cutover(
  args: readonly string[],
  { home, cwd, uid, environment, meanwhile, command = [process.execPath, program] }: RunOptions,
): Promise<Ran> {
  const [node, file] = command
  const child = spawn(node, [file, ...args], {
    cwd,
    ...(uid !== undefined && { uid, gid: uid }),
    env: { ...environmentFor(home), ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const exited = once(child, 'close')
  meanwhile?.(child)
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)])
  const [code] = await exited
  return { code, stdout, stderr }
}

export interface TerminalOptions extends Pick<RunOptions, 'home' | 'cwd' | 'environment'> {
  /** What is typed as soon as the screen shows that. */
  readonly typed?: { readonly when: string; readonly keys: string }
  /** How wide it is. */
  readonly columns?: number
}

/** Runs `cutover` at a terminal (script(1)); both streams come as one. */
export async function cutoverAtTerminal(
  args: readonly string[],
  { home, cwd, environment, typed, columns = 80 }: TerminalOptions,
): Promise<{ readonly code: number | null; readonly screen: string }> {
  const command = [process.execPath, program, ...args].map((word) => `'${word}'`).join(' ')
  const child = spawn('script', ['-q', '-e', '-c', `stty cols ${columns} rows 50; exec ${command}`, '/dev/null'], {
    cwd,
    env: { ...environmentFor(home), ...environment },
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const exited = once(child, 'close')
  let screen = ''
  let isTyped = false
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    screen += chunk
    if (isTyped || !typed || !screen.includes(typed.when)) return
    isTyped = true
    child.stdin.write(typed.keys)
  })
  const [code] = await exited
  return { code, screen }
}
