/** The README's first command, as an ordinary user. */
import '../../support/ordinary.ts'
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import process from 'node:process'
import { test } from 'node:test'
import { root } from '../../docs/blocks.ts'

test('the demo plays without root, and every request is answered', () => {
  const { status, stdout, stderr } = spawnSync(process.execPath, ['demo/main.ts'], {
    cwd: root,
    encoding: 'utf8',
    timeout: 180_000,
  })
  assert.equal(status, 0, stdout + stderr)
  assert.match(stdout, /pid \d+ was given \[::\]:\d+/)
  assert.match(stdout, /\d requests answered, 0 lost\. Nothing was retried\./)
})
