/** Followed logs of releases that come and go while their reader takes his time. */
import '../support/namespace.ts'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ask } from '../support/app.ts'
import { asRoot } from '../support/namespace.ts'
import { shopFolder } from '../support/shop.ts'
import { eventually } from '../support/workspace.ts'
import { by, inProcess } from './in-process.ts'

/** Says what it is asked for, health checks apart. */
const talker = `
import { createServer } from 'node:http'
createServer((request, response) => {
  if (request.url !== '/') console.log(request.url)
  response.end(process.env.CUTOVER_RELEASE)
}).listen(8080)
`

test('a release that is back before its reader has taken what it wrote earlier is followed again, each line once', {
  skip: asRoot,
}, async (t) => {
  const { engine, deploy } = await inProcess(t)
  const folder = shopFolder(t, { server: talker, config: 'standby: {keep: 0}' })
  await deploy(folder)
  for (const path of ['/1', '/2', '/3']) assert.equal(await ask(path), 'v1')
  const over = new AbortController()
  const signal = AbortSignal.any([over.signal, AbortSignal.timeout(60_000)])
  const shown = engine.logs('shop', { lines: 100, follow: true, signal })[Symbol.asyncIterator]()
  t.after(async () => {
    over.abort()
    await shown.return?.(undefined)
  })
  /** The next line that an app wrote; undefined when there is none for long. */
  const next = async (): Promise<unknown> => {
    const { value } = await shown.next()
    return value?.line.startsWith('cutover: ') ? await next() : value
  }
  assert.deepEqual(await next(), { release: 1, line: '/1' })

  await deploy(folder)
  const stateOfV1 = () => engine.status('shop')[0]?.releases.find(({ release }) => release === 1)?.state
  await eventually(() => stateOfV1() === undefined)
  await engine.rollback({ app: 'shop' }, by, () => {}, signal)
  for (const path of ['/4', '/5']) assert.equal(await ask(path), 'v1')
  const seen: unknown[] = []
  while (seen.length < 4) seen.push(await next())
  assert.deepEqual(
    seen,
    ['/2', '/3', '/4', '/5'].map((line) => ({ release: 1, line })),
  )
})
