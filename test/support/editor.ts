/** What an editor with a YAML language server makes of a `cutover.yaml`. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { pathToFileURL } from 'node:url'
import { parse } from 'yaml'
import { z } from 'zod'

/** Checks the config by the JSON Schema that its first line names, an address or a path from the file; returns that name. */
export function checkAsEditor(file: string): string {
  const text = readFileSync(file, 'utf8')
  const named = /^# yaml-language-server: \$schema=(\S+)\n/.exec(text)?.[1]
  assert.ok(named, text)
  const schema: z.core.JSONSchema.JSONSchema = JSON.parse(readFileSync(new URL(named, pathToFileURL(file)), 'utf8'))
  assert.equal(schema.$schema, 'https://json-schema.org/draft/2020-12/schema')
  // zod takes an alternative that only says what is required for one that anything fits.
  const { oneOf = [], ...rest } = schema
  const config = parse(text)
  assert.equal(oneOf.filter((way) => typeof way === 'object' && way.required?.every((key) => key in config)).length, 1)
  const check = z.fromJSONSchema(rest)
  check.parse(config)
  assert.equal(check.safeParse({ ...config, port: 'none' }).success, false, 'it is a schema that finds mistakes')
  return named
}
