/** Shells at a terminal, each with the completion of `cutover` switched on. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import process from 'node:process'
import type { TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'
import type { Shell } from '../../src/cli/completion/scripts.ts'
import { temporaryDirectory } from './workspace.ts'

export type { Shell }

const source = fileURLToPath(new URL('../../bin/cutover.js', import.meta.url))

export interface ShellHome {
  readonly command: string
  readonly cwd: string
  readonly environment: NodeJS.ProcessEnv
  /** Where Ctrl-T writes the line. */
  readonly line: string
}

/** What a shell reads when it starts: completion, a prompt to wait for, and Ctrl-T to write the line as it is and leave. */
const startUp: Readonly<Record<Shell, { file: string; command: (file: string) => string; text: string }>> = {
  bash: {
    file: 'bashrc',
    command: (file) => `bash --rcfile '${file}' -i`,
    text: `
      bind 'set enable-bracketed-paste off'
      bind -x '"\\C-t": printf %s "$READLINE_LINE" >"$LINE"; exit'
      source <(cutover completion bash)
      PS1='ready> '
    `,
  },
  zsh: {
    file: '.zshrc',
    command: () => 'zsh -d -i',
    text: `
      leave() { print -rn -- "$BUFFER" >$LINE; exit }
      zle -N leave
      bindkey -e
      bindkey '^T' leave
      source <(cutover completion zsh)
      PS1='ready> '
    `,
  },
  fish: {
    file: 'config/fish/config.fish',
    command: () => 'fish -i',
    text: `
      set -g fish_greeting
      set -g fish_autosuggestion_enabled 0
      function fish_prompt; printf 'ready> '; end
      function leave; commandline -b | string collect | read -z line; printf %s $line >$LINE; exit; end
      function fish_user_key_bindings; bind \\ct leave; end
      cutover completion fish | source
    `,
  },
}

export interface ShellOptions {
  readonly home: string
  readonly cwd: string
  /** What its `cutover` does first, as a line of sh. */
  readonly instead?: string
}

/** A home for such a shell, whose commands talk to the daemon of `home`. */
export function shellHome(t: TestContext, shell: Shell, { home, cwd, instead = '' }: ShellOptions): ShellHome {
  const at = temporaryDirectory(t)
  const program = join(at, 'bin', 'cutover')
  const { file, command, text } = startUp[shell]
  // Where that last one is missing, fish reads all the manual pages of the machine.
  for (const folder of ['bin', 'config/fish', '.local/share/fish/generated_completions'])
    mkdirSync(join(at, folder), { recursive: true })
  writeFileSync(program, `#!/bin/sh\n${instead}\nexec '${process.execPath}' '${source}' "$@"\n`)
  chmodSync(program, 0o755)
  writeFileSync(join(at, file), text)
  const line = join(at, 'line')
  const environment = {
    HOME: at,
    ZDOTDIR: at,
    XDG_CONFIG_HOME: join(at, 'config'),
    // Without one of its own fish makes one in the machine's /tmp, and leaves it.
    XDG_RUNTIME_DIR: at,
    PATH: [join(at, 'bin'), process.env.PATH].join(delimiter),
    CUTOVER_HOME: home,
    LINE: line,
    TERM: 'xterm',
    LC_ALL: 'C.UTF-8',
  }
  return { command: command(join(at, file)), cwd, environment, line }
}

/** What stands on the command line when somebody has typed that and pressed Tab. */
export async function afterTab({ command, cwd, environment, line }: ShellHome, typed: string): Promise<string> {
  writeFileSync(line, '')
  const child = spawn('script', ['-q', '-e', '-c', command, '/dev/null'], {
    cwd,
    env: environment,
    stdio: ['pipe', 'pipe', 'inherit'],
    timeout: 60_000,
  })
  let screen = ''
  let isTyped = false
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    screen += chunk
    if (isTyped || !screen.includes('ready> ')) return
    isTyped = true
    child.stdin.write(`${typed}\t\x14`)
  })
  await once(child, 'close')
  return readFileSync(line, 'utf8')
}
