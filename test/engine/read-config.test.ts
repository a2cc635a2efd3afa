import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { readConfig } from '../../src/engine/read-config.ts'

async function folder(t: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'cutover-config-'))
  t.after(() => rm(directory, { recursive: true }))
  return directory
}

test("the config is read from the app's folder, and `workers: max` is one per core", async (t) => {
  const directory = await folder(t)
  await writeFile(join(directory, 'cutover.yaml'), 'app: shop\nrun: ./server\nport: 80\nworkers: max\n')
  const config = await readConfig(directory)
  assert.equal(config.app, 'shop')
  assert.equal(config.workers, Math.min(64, availableParallelism()))
})

test('a folder without a config says what to do', async (t) => {
  const directory = await folder(t)
  await assert.rejects(readConfig(directory), {
    kind: 'usage',
    message: /There is no cutover\.yaml in .*app, run and port/,
  })
})

test('a config that cannot be read says why', async (t) => {
  const directory = await folder(t)
  await mkdir(join(directory, 'cutover.yaml'))
  await assert.rejects(readConfig(directory), { kind: 'usage', message: /cannot be read: it is a folder/ })
})
