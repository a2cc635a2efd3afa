/** How a Ruby server is started. */
import { inTurn } from './guess-command.ts'
import { type Folder, guessed, type Start } from './guess-folder.ts'
import { portOf } from './guess-port.ts'

const pumaConfig = 'config/puma.rb'
const routes = 'config/routes.rb'
export const rubyMains = ['app.rb', 'main.rb', 'server.rb', pumaConfig, routes]

/** Rails, Rack by its config.ru, and Sinatra by itself. */
export function guessRuby(folder: Folder): Start | null {
  const gems = folder.texts.Gemfile
  const bundled = gems === undefined ? [] : ['bundle', 'exec']
  const isRails = gems !== undefined && /^[ \t]*gem\s*\(?\s*['"]rails['"]/m.test(gems)
  const build = gems === undefined ? null : guessed(inTurn(...made(gems)), 'Gemfile')
  if (folder.names.has('config.ru')) {
    const usual = isRails ? 3000 : 9292
    const port = portOf(folder, {
      command: null,
      files: [pumaConfig, 'config.ru'],
      usual,
      of: isRails ? 'Rails' : 'Rack',
    })
    const isUp = /rails\/health#show/.test(folder.texts[routes] ?? '')
    return {
      what: isRails ? 'a Rails app' : 'a Rack app',
      run: guessed([...bundled, ...server(folder, port.value)], 'config.ru'),
      port,
      build,
      health: isUp ? guessed('/up', `${routes}: rails/health#show`) : null,
      ...(isRails && {
        hints: ['release: bin/rails db:migrate   # once per release, after build; a rollback does not undo it'],
      }),
      env: isRails ? guessed({ RAILS_ENV: 'production' }, 'Gemfile: rails') : production('RACK_ENV', 'Rack'),
    }
  }
  const main = rubyMains.find((name) => /require ['"]sinatra['"]/.test(folder.texts[name] ?? ''))
  if (main === undefined) return null
  const port = portOf(folder, { command: null, files: [main], usual: 4567, of: 'Sinatra' })
  const run = [...bundled, 'ruby', main, '-o', '0.0.0.0', '-p', String(port.value)]
  return {
    what: 'a Sinatra app',
    run: guessed(run, `${main}: require 'sinatra'`),
    port,
    build,
    env: production('APP_ENV', 'Sinatra'),
  }
}

/** For development both show their errors to whoever asks, and Sinatra answers by no name but localhost. */
const production = (variable: string, of: string) =>
  guessed({ [variable]: 'production' }, `without it ${of} runs as for development`)

/** The gems of the machine where they are enough, else some of the release's own; then what browsers get. */
const made = (gems: string): readonly string[] => [
  '(bundle check || (bundle config set --local path vendor/bundle && bundle install))',
  ...(/['"](propshaft|sprockets-rails)['"]/.test(gems) ? ['SECRET_KEY_BASE_DUMMY=1 bin/rails assets:precompile'] : []),
]

/** Puma where it is named or nothing is; its own file says its port, if there is one. */
function server({ names, texts }: Folder, port: number): readonly string[] {
  if (names.has(pumaConfig)) return ['puma', '-C', pumaConfig]
  const gems = texts.Gemfile
  if (gems === undefined || /['"](puma|rails)['"]/.test(gems)) return ['puma', '--bind', `tcp://0.0.0.0:${port}`]
  return ['rackup', '--host', '0.0.0.0', '--port', String(port)]
}
