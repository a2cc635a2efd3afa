/** The published JSON Schema. `UPDATE_SCHEMA=1 node --test` on this file writes it anew. */
import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { configSchema } from '../../src/core/config-schema.ts'

const published = join(import.meta.dirname, '../../docs/cutover.schema.json')

test('the published JSON Schema is the one that configs are checked with', () => {
  const schema = JSON.parse(JSON.stringify(configSchema()))
  if (process.env.UPDATE_SCHEMA) writeFileSync(published, `${JSON.stringify(schema, null, 2)}\n`)
  assert.deepEqual(JSON.parse(readFileSync(published, 'utf8')), schema)
})
