import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import process from 'node:process'
import { text } from 'node:stream/consumers'
import { test } from 'node:test'
import koffi from 'koffi'
import { withCredentials } from '../../src/linux/credentials.ts'
import { groupsOf } from '../../src/linux/groups.ts'
import { resolveUser } from '../../src/linux/users.ts'
import { asRoot } from '../support/namespace.ts'

const skip = asRoot
const someone = { uid: 4_012_345, gid: 4_012_346, groups: [4_012_347, 4_012_348] }
const prctl = koffi.load(null).func('int prctl(int, uint64_t, uint64_t, uint64_t, uint64_t)')
const [setDeathSignal, getDeathSignal, getDumpable] = [1, 2, 3]

test('a program has exactly the credentials it is started with, and no capability', { skip }, async () => {
  const child = withCredentials(someone, (as) => spawn('/bin/cat', ['/proc/self/status'], { ...as, env: {} }))
  const fields = credentialFields(await text(child.stdout))
  assert.deepEqual(fields, {
    Uid: '4012345 4012345 4012345 4012345',
    Gid: '4012346 4012346 4012346 4012346',
    Groups: '4012347 4012348',
    CapPrm: '0000000000000000',
    CapEff: '0000000000000000',
    CapAmb: '0000000000000000',
  })
})

test('meanwhile this thread stays root by uid, and every other thread is as it was', { skip }, () => {
  const before = threads()
  withCredentials(someone, () => {
    const { main, others } = threads()
    assert.equal(main.Uid, '0 0 0 0')
    assert.deepEqual(others, before.others)
    assert.ok(others.length > 0)
  })
})

test('afterwards this process is as it was, also when the start throws', { skip }, (t) => {
  prctl(setDeathSignal, 10, 0, 0, 0)
  t.after(() => prctl(setDeathSignal, 0, 0, 0, 0))
  const before = [threads(), attributes()]
  withCredentials(someone, () => {})
  assert.deepEqual([threads(), attributes()], before)
  assert.throws(() =>
    withCredentials(someone, () => {
      throw new Error('no')
    }),
  )
  assert.deepEqual([threads(), attributes()], before)
})

test('groups that cannot be are an error, and change nothing', { skip }, () => {
  const before = threads()
  assert.throws(
    () => withCredentials({ ...someone, gid: 0xffff_ffff, groups: [0xffff_ffff] }, () => {}),
    /setgroups: EINVAL/,
  )
  assert.deepEqual(threads(), before)
})

test('the groups of a user are those of a login; a uid without a name has its own', async () => {
  assert.deepEqual(await groupsOf(resolveUser('root')), [0])
  assert.deepEqual(await groupsOf(resolveUser('4012345')), [4_012_345])
})

function threads() {
  const status = (thread: string) => credentialFields(readFileSync(`/proc/self/task/${thread}/status`, 'utf8'))
  const main = String(process.pid)
  const others = readdirSync('/proc/self/task').filter((thread) => thread !== main)
  return { main: status(main), others: others.map(status) }
}

function attributes() {
  const signal = Buffer.alloc(4)
  prctl(getDeathSignal, koffi.address(signal), 0, 0, 0)
  return { signal: signal.readInt32LE(), dumpable: prctl(getDumpable, 0, 0, 0, 0) }
}

/** The lines of /proc/pid/status that say who a thread is. */
function credentialFields(status: string): Record<string, string> {
  const fields = [...status.matchAll(/^(Uid|Gid|Groups|CapPrm|CapEff|CapAmb):\s*(.*)$/gm)]
  return Object.fromEntries(fields.map(([, name, value]) => [name, value?.trim().replaceAll('\t', ' ')]))
}
