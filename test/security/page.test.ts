import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

const at = (path: string) => fileURLToPath(new URL(`../../${path}`, import.meta.url))

test('each line of the page on security names its test, and the test is there', () => {
  const rows = readFileSync(at('docs/security.md'), 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('| ') && !line.startsWith('| ---') && !line.includes('shown by |'))
  assert.ok(rows.length > 30)
  for (const row of rows) {
    const files = [...(row.split('|').at(-2) ?? '').matchAll(/`([^`]+)`/g)].map(([, file = '']) => file)
    assert.ok(files.length > 0, row)
    for (const file of files) assert.ok(/^test\/.*\.test\.ts$/.test(file) && existsSync(at(file)), `${file} in ${row}`)
  }
})
