/** Whom a release still has to answer: nobody is overlooked, in whatever moment they are accepted. */
import '../support/namespace.ts'
import assert from 'node:assert/strict'
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { parts } from '../../src/engine/parts.ts'
import { dumpTcp } from '../../src/linux/sock-diag.ts'
import { ask } from '../support/app.ts'
import { asRoot } from '../support/namespace.ts'
import { needs } from '../support/packages.ts'
import { shopFolder, shopPort } from '../support/shop.ts'
import { eventually, temporaryDirectory } from '../support/workspace.ts'
import { inProcess } from './in-process.ts'

/**
 * Has one connection at a time. The first that asks for `/slow` is answered when the file `go` is there. Then `next` tells that another one was
 * accepted, which takes its time as well.
 */
const oneAtATime = (directory: string) => `
import os, socket, time
listener = socket.socket(fileno=3)
def answer(connection):
    connection.sendall(b"HTTP/1.1 200 OK\\r\\nConnection: close\\r\\nContent-Length: 2\\r\\n\\r\\n" + os.environ["CUTOVER_RELEASE"].encode())
    connection.close()
while True:
    connection, _ = listener.accept()
    if b"/slow" in connection.recv(65536):
        while not os.path.exists("${directory}/go"):
            time.sleep(0.01)
        answer(connection)
        connection, _ = listener.accept()
        open("${directory}/next", "w").close()
        time.sleep(1)
    answer(connection)
`

test('who is accepted by a shared port’s former release while it is looked at is answered by it', {
  skip: asRoot || needs('python3'),
}, async (t) => {
  const directory = temporaryDirectory(t)
  let looked = false
  const accepts = () => {
    writeFileSync(join(directory, 'go'), '')
    const idle = new Int32Array(new SharedArrayBuffer(4))
    for (let tries = 0; tries < 1000 && !existsSync(join(directory, 'next')); tries++) Atomics.wait(idle, 0, 0, 20)
    looked = true
  }
  let left: (() => void) | null = null
  const { engine, deploy } = await inProcess(t, {
    ...parts,
    openSharing: (options) => {
      const sharing = parts.openSharing(options)
      return {
        ...sharing,
        listeners: (ref) => {
          if (ref.release === 1) left?.()
          return sharing.listeners(ref)
        },
      }
    },
  })
  const config = 'strategy: share\nrun: python3 one.py\nstandby: {keep: 0}'
  const folder = shopFolder(t, { config, files: { 'one.py': oneAtATime(directory) } })
  await deploy(folder)
  const first = ask('/slow')
  await eventually(() => dumpTcp({ states: ['established'], port: shopPort }).some(({ inode }) => inode !== 0))
  const second = ask('/')
  await eventually(() => dumpTcp({ states: ['established'], port: shopPort }).length === 2)
  await deploy(folder)
  left = () => {
    left = null
    accepts()
  }
  assert.deepEqual(await Promise.all([first, second]), ['v1', 'v1'])
  assert.ok(looked)
  await eventually(() => engine.status('shop')[0]?.releases.every(({ state }) => state !== 'retiring'))
})
