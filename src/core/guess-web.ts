/** How folders are served that are no program by themselves: PHP's pages, and what a Caddyfile describes. */
import { inTurn } from './guess-command.ts'
import { type Folder, guessed, type Start } from './guess-folder.ts'
import { portOf } from './guess-port.ts'

export function guessPhp(folder: Folder): Start | null {
  const root = folder.names.has('public/index.php') ? 'public' : folder.names.has('index.php') ? '.' : null
  if (root === null) return null
  const port = portOf(folder, { command: null, files: [], usual: 8000, of: 'php -S' })
  const installs = folder.names.has('composer.json') && !folder.names.has('vendor')
  return {
    what: 'PHP',
    run: guessed(['php', '-S', `0.0.0.0:${port.value}`, '-t', root], root === '.' ? 'index.php' : 'public/index.php'),
    port,
    build: installs
      ? guessed(inTurn('composer install --no-dev --no-interaction'), 'composer.json; there is no vendor to be copied')
      : null,
    env: guessed({ PHP_CLI_SERVER_WORKERS: '8' }, 'without it PHP answers one request at a time'),
    // It hands out every file below its root; env_file is read from the app's own folder.
    ignore: root === '.' && folder.names.has('.env') ? guessed(['.env'], 'php -S would hand it out') : null,
    hints: [
      "PHP's own server is a small one; with many visitors FrankenPHP, or nginx with php-fpm, is the better one.",
      ...(root === '.' ? ['It hands out every file of this folder: keep secrets elsewhere, or pages in public/.'] : []),
    ],
  }
}

export function guessCaddy(folder: Folder): Start | null {
  const text = folder.texts.Caddyfile
  if (text === undefined) return null
  const said = /^[ \t]*(?:https?:\/\/)?[\w.*-]*:(?:\/\/)?:?(\d{2,5})\b/m.exec(text.replace(/^[ \t]*#.*$/gm, ''))
  const isPlain = /^[ \t]*http:\/\//m.test(text)
  return {
    what: 'Caddy',
    run: guessed(['caddy', 'run', '--config', 'Caddyfile', '--adapter', 'caddyfile'], 'Caddyfile'),
    port: said
      ? guessed(Number(said[1]), `Caddyfile: ${said[0].trim()}`)
      : guessed(isPlain ? 80 : 443, "Caddy's own, since the Caddyfile names none"),
    hints:
      said || isPlain
        ? []
        : ['ports: [{port: 443}, {port: 80}]   # instead of port, if Caddy is to send visitors of 80 on'],
  }
}
