/** docs/install.md, as somebody follows it, on a machine of its own: from the package over deploys by ssh to where nothing is left. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, delimiter, dirname, join } from 'node:path'
import process from 'node:process'
import { after, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { createClient } from '../../src/client/client.ts'
import { placeAt } from '../../src/daemon/place.ts'
import { ask } from '../support/app.ts'
import { install } from '../support/package.ts'
import { needs } from '../support/packages.ts'
import { type Block, blocksOf, byFirstLine, commandsOf, follow, linesOf, root, shell } from './blocks.ts'
import { makeMachine } from './machine.ts'

const page = 'docs/install.md'
const variable = 'CUTOVER_TEST_INSTALL'
const packing = 'npm ci && npm pack'

/**
 * What needs the npm registry, which a namespace has not: a checkout in which the page's first block was run, and a later version. The folder
 * of both.
 */
function prepare(): string {
  const directory = mkdtempSync(join(tmpdir(), 'cutover-install-'))
  const checkout = join(directory, 'checkout')
  cpSync(root, checkout, {
    recursive: true,
    filter: (path) => !['node_modules', '.git', 'dist'].includes(basename(path)),
  })
  const PATH = `${dirname(process.execPath)}${delimiter}${process.env.PATH}`
  const run = (script: string) =>
    execFileSync('bash', ['-c', script], {
      cwd: checkout,
      env: { ...process.env, PATH, npm_config_loglevel: 'error' },
      stdio: ['ignore', 'ignore', 'inherit'],
    })
  run(commandsOf(page).find(({ text }) => text === packing)?.text ?? 'false')
  run('npm version --no-git-tag-version 0.2.0 && npm pack')
  // npm keeps what it needs to install the package once more without the registry.
  mkdirSync(join(directory, 'once'))
  install(join(directory, 'once'), join(checkout, 'cutover-0.1.0.tgz'))
  return directory
}

const missing = needs('systemd', 'rsync', 'openssh-client', 'openssh-server')
const isPossible = process.getuid?.() === 0 && missing === false
// This file runs itself again in a namespace.
process.env[variable] ??= isPossible ? prepare() : ''
const { asRoot } = await import('../support/namespace.ts')
const directory = process.env[variable] ?? ''
after(() => directory !== '' && rmSync(directory, { recursive: true, force: true }))

const config = 'app: shop\nrun: node server.js\nport: 8080\n'
const server = (words: string) => `const { createServer } = require('node:http')
createServer((request, response) => response.end('${words}')).listen(8080)`

test('whoever follows the page installs, deploys from CI, upgrades, and undoes it all', {
  skip: asRoot || missing,
  timeout: 300_000,
}, async (t) => {
  const place = join(directory, 'machine')
  mkdirSync(place)
  const { env, letIn } = await makeMachine(t, place)
  const [checkout, ours] = [join(directory, 'checkout'), join(directory, 'app')]
  mkdirSync(ours)
  writeFileSync(join(ours, 'cutover.yaml'), config)
  writeFileSync(join(ours, 'server.js'), server('first'))

  const typed = async (script: string, cwd = checkout) => {
    const { code, stdout, stderr } = await shell(`set -e\n${script}`, cwd, env)
    assert.equal(code, 0, `${script}\n${stdout}\n${stderr}`)
    return stdout
  }
  // What the page does not undo, where it was not followed to its end.
  t.after(() => shell('cutover daemon stop --all --yes', checkout, env))
  const client = createClient({ place: placeAt('/var/lib/cutover'), start: null })
  const active = async () => (await client.status('shop')).apps[0]?.active
  const version = async () => (await client.daemon())?.version
  const unit = '/etc/systemd/system/cutover.service'
  const isTheUnits = async () =>
    String((await client.daemon())?.pid) === readFileSync(join(place, 'unit'), 'utf8').trim()

  const ways = {
    [packing]: () => assert.ok(existsSync(join(checkout, 'cutover-0.1.0.tgz')), 'it was run before, see prepare()'),
    'npm install -g ./cutover-0.1.0.tgz': async ({ text }: Block) => {
      const said = await typed(text)
      assert.match(said, /^cutover 0\.1\.0/m)
      assert.match(said, /queues move/)
    },
    'cp "$(npm root -g)/cutover/packaging/cutover.service" /etc/systemd/system/': async ({ text }: Block) => {
      assert.match(await typed(text), /Active: active \(running\)/)
      assert.deepEqual(readFileSync(unit), readFileSync(join(root, 'packaging', 'cutover.service')))
      assert.ok(existsSync('/etc/systemd/system/multi-user.target.wants/cutover.service'))
      await becomesTrue(isTheUnits)
    },
    'npm install -g ./cutover-0.2.0.tgz': async ({ text }: Block) => {
      await typed(`cp -r ${ours} /srv/shop && chown -R shop:shop /srv/shop && cutover deploy /srv/shop`)
      const before = (await client.status('shop')).apps[0]?.releases[0]?.pids
      assert.match(await typed(text), /^cutover 0\.2\.0/m)
      await becomesTrue(async () => (await version())?.startsWith('0.2.0') === true)
      assert.deepEqual((await client.status('shop')).apps[0]?.releases[0]?.pids, before)
      assert.equal(await ask(), 'first')
    },
    'cutover daemon stop': async ({ text }: Block) => {
      assert.match(await typed(text), /shop/)
      await typed('systemctl restart cutover')
      await becomesTrue(isTheUnits)
    },
    'rsync -a --delete --chown=shop:shop ./ root@shop.example:/srv/shop/': async ({ text }: Block) => {
      writeFileSync(join(ours, 'server.js'), server('second'))
      const receipt = JSON.parse(await typed(text, ours))
      assert.deepEqual([receipt.release, receipt.label, receipt.by.name], [2, 'a1b2c3d', 'ci-4711'])
      assert.equal(await ask(), 'second')
    },
    'ssh root@shop.example cutover rollback shop --from v2 --json --by ci-4711': async ({ text }: Block) => {
      assert.equal(JSON.parse(await typed(text)).release, 1)
      assert.equal(await ask(), 'first')
      // Once more it would take back what nobody meant.
      assert.equal((await shell(text, checkout, env)).code, 4)
      await heldToOneApp()
    },
    'cutover remove shop --yes': async ({ text }: Block) => {
      await typed(text)
      await assert.rejects(ask(), { code: 'ECONNREFUSED' })
    },
    'systemctl disable --now cutover': async ({ text }: Block) => {
      await typed('cutover deploy /srv/shop')
      await typed(text)
      assert.equal(await client.daemon(), null)
      assert.ok(!existsSync(unit))
      assert.equal(await ask(), 'second')
    },
    'cutover daemon stop --all --yes': async ({ text }: Block) => {
      await typed(text)
      await assert.rejects(ask(), { code: 'ECONNREFUSED' })
    },
    'npm uninstall -g cutover': async ({ text }: Block) => {
      await typed(text)
      assert.ok(!existsSync('/var/lib/cutover'))
      assert.equal((await shell('command -v cutover', checkout, env)).code, 1)
    },
  }

  /** The line for `authorized_keys`, with a key of ours: whatever the job asks for, it deploys. */
  async function heldToOneApp(): Promise<void> {
    const line = blocksOf(page).find(({ language }) => language === 'text')?.text ?? ''
    const [, options] = /^(command=".*",restrict )ssh-ed25519 /.exec(line) ?? []
    const key = letIn('ci', options)
    const receipt = JSON.parse(
      await typed(`ssh -o IdentitiesOnly=yes -i ${key} root@shop.example cutover stop shop --yes`),
    )
    assert.deepEqual([receipt.kind, receipt.by.name], ['deploy', 'ci'])
    assert.equal(await active(), receipt.release)
  }

  await follow(
    t,
    page,
    byFirstLine(page, {
      ...Object.fromEntries(Object.entries(ways).map(([line, run]) => [line, { run }])),
      'mkdir -p ~/.config/systemd/user': {
        notRun: "it wants a systemd of the user's own",
        instead: async ({ text }) => {
          const [make = '', copy = ''] = linesOf(text)
          await typed(`export HOME=${place}/user\n${make}\n${copy}`)
          assert.ok(existsSync(join(place, 'user/.config/systemd/user/cutover.service')))
        },
      },
    }),
  )
})

async function becomesTrue(look: () => Promise<boolean>): Promise<void> {
  for (const deadline = performance.now() + 30_000; !(await look()); await sleep(50))
    assert.ok(performance.now() < deadline, 'it did not come true within 30 s')
}
