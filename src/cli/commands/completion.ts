import { Argument, Command } from 'commander'
import type { Shell } from '../completion/scripts.ts'
import { say } from '../print.ts'

const shells: readonly Shell[] = ['bash', 'zsh', 'fish']

export const command = (): Command =>
  new Command('completion')
    .description(
      'Prints a script that makes the shell complete commands, options, apps and releases. Source it where the shell starts: in ~/.bashrc, ' +
        'in ~/.zshrc after compinit, in ~/.config/fish/config.fish.',
    )
    .addArgument(new Argument('<SHELL>', 'the shell').choices(shells))
    .addHelpText(
      'after',
      `
Examples:
  cutover completion fish | source
  source <(cutover completion bash)
  source <(cutover completion zsh)`,
    )
    .action(completion)

async function completion(shell: Shell): Promise<void> {
  const { scripts } = await import('../completion/scripts.ts')
  say(scripts[shell].trim())
}
