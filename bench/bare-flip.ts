/**
 * The least that a rollback could be: one process that answers on a port, and on a unix socket takes a POST after which it answers as another
 * release. No kernel, no state, no second process; what is left is HTTP and the machine.
 */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { createServer, request } from 'node:http'
import { join } from 'node:path'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { temporaryDirectory } from '../test/support/workspace.ts'
import { barePort } from './bare-app.ts'
import type { Scope } from './figures.ts'

/** Starts it, as `v1` on {@link barePort}; each call of the result makes it the other release. */
export async function startBareFlip(scope: Scope): Promise<() => Promise<void>> {
  const socketPath = join(temporaryDirectory(scope), 'flip.sock')
  const child = fork(fileURLToPath(import.meta.url), [socketPath], { execArgv: [] })
  scope.after(() => child.kill('SIGKILL'))
  await once(child, 'message')
  return async () => {
    const asked = request({ socketPath, method: 'POST', path: '/rollback', agent: false }).end('{}')
    const [answer] = await once(asked, 'response')
    await once(answer.resume(), 'end')
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  let release = 1
  const server = () =>
    createServer((asked, answer) => {
      if (asked.method === 'POST') release = 3 - release
      const body = `v${release} pid ${process.pid}\n`
      answer.writeHead(200, { 'Content-Length': body.length }).end(body)
    })
  process.on('disconnect', () => process.exit())
  server().listen(process.argv[2], () => server().listen(barePort, () => process.send?.('ready')))
}
