/** Whoever types a wrong word is told the nearest right one. */
import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { cutover } from '../support/cutover.ts'
import { temporaryHome } from '../support/daemons.ts'

const slow = { timeout: 120_000 }

test('a command', slow, async (t) => {
  const { home } = temporaryHome(t)
  for (const [args, meant] of [
    [['rolback'], 'rollback'],
    [['deplyo', '.', '--json'], 'deploy'],
    [['staus'], 'status'],
    [['help', 'rolback'], 'rollback'],
    [['daemon', 'stpo'], 'stop'],
  ] as const) {
    const { code, stderr } = await cutover(args, { home })
    assert.match(stderr, new RegExp(`^error: unknown command '.*'\n\\(Did you mean ${meant}\\?\\)\n$`), args.join(' '))
    assert.equal(code, 2)
  }
  for (const args of [['nothing-like-it'], ['help', 'nothing-like-it'], ['daemon', 'nothing-like-it']]) {
    const { code, stderr } = await cutover(args, { home })
    assert.equal(stderr, "error: unknown command 'nothing-like-it'\n")
    assert.equal(code, 2)
  }
})

test('an option, or the value of one that has few', slow, async (t) => {
  const { home } = temporaryHome(t)
  for (const [args, meant] of [
    [['rollback', '--form', 'v3'], /\(Did you mean --from\?\)/],
    [['status', '--jsn'], /\(Did you mean --json\?\)/],
    [['daemon', 'stop', '--al'], /\(Did you mean --all\?\)/],
    [['completion', 'bahs'], /Allowed choices are bash, zsh, fish\./],
  ] as const) {
    const { code, stderr } = await cutover(args, { home })
    assert.match(stderr, meant, args.join(' '))
    assert.equal(code, 2)
  }
})

test('a key of the config, at the top and below', slow, async (t) => {
  const { home } = temporaryHome(t)
  mkdirSync(home, { recursive: true })
  writeFileSync(
    join(home, 'cutover.yaml'),
    'app: shop\nrun: node server.js\nport: 8080\ndrain_timout: 5s\nhealth: {pth: /up}\n',
  )
  const { code, stderr } = await cutover(['validate', home], { home })
  assert.match(stderr, /cutover\.yaml:4: drain_timout: unknown key; did you mean drain_timeout\?/)
  assert.match(stderr, /cutover\.yaml:5: health\.pth: unknown key; did you mean path\?/)
  assert.equal(code, 2)
})
