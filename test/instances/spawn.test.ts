import assert from 'node:assert/strict'
import { chmodSync, closeSync, openSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import process from 'node:process'
import { test } from 'node:test'
import { Descriptor, syscall } from '../../src/linux/ffi.ts'
import { resolveUser } from '../../src/linux/users.ts'
import { asRoot } from '../support/namespace.ts'
import { path, specOf, start } from './worker.ts'

const skip = asRoot
const nobody = resolveUser('nobody')

test('an app gets exactly the environment that it is given', { skip }, async (t) => {
  // Node hands this one on by itself.
  process.env.NODE_V8_COVERAGE = '/nowhere'
  t.after(() => delete process.env.NODE_V8_COVERAGE)
  const environment = () => ({ PATH: path, GREETING: 'hello  world\n', EMPTY: '' })
  const { told, log } = await start(t, specOf(t, ['env', '--null'], { environment }))
  await told('exit')
  const [variables = ''] = log().split('\ncutover:')
  assert.deepEqual(variables.split('\0').filter(Boolean).sort(), ['EMPTY=', 'GREETING=hello  world\n', `PATH=${path}`])
})

test('an app has its log as output, no input, and no descriptor of the daemon, not even an inherited one', {
  skip,
}, async (t) => {
  // A descriptor that is left open for children, as a careless parent of the daemon leaves one.
  const careless = new Descriptor(syscall('socket', 1, 1, 0))
  t.after(() => careless[Symbol.dispose]())
  const spec = specOf(t, ['sh', '-c', 'ls -l /proc/$$/fd; true'])
  const { told, log } = await start(t, spec)
  await told('exit')
  const descriptors = [...log().matchAll(/ (\d+) -> (.*)$/gm)].map(([, fd, file]) => [Number(fd), file])
  assert.deepEqual(descriptors, [
    [0, '/dev/null'],
    [1, spec.logFile],
    [2, spec.logFile],
  ])
})

test('signals, limits and the mode of new files are as a login shell gives them', { skip }, async (t) => {
  const mask = process.umask(0o077)
  const ignore = () => {}
  process.on('SIGUSR2', ignore)
  t.after(() => {
    process.umask(mask)
    process.off('SIGUSR2', ignore)
  })
  const { told, log } = await start(t, specOf(t, ['sh', '-c', 'exec cat /proc/self/status /proc/self/limits']))
  await told('exit')
  const text = log()
  for (const field of ['SigBlk', 'SigIgn', 'SigCgt']) assert.match(text, new RegExp(`^${field}:\\s+0{16}$`, 'm'))
  assert.match(text, /^Umask:\s+0022$/m)
  assert.match(text, /^Max open files\s+1024 /m)
})

test('an app that runs as a user has its uid, gid and groups, and may open its own output', { skip }, async (t) => {
  const spec = specOf(t, ['sh', '-c', 'id -u; id -g; id -G; echo again >> /dev/stdout'], { user: nobody })
  chmodSync(spec.directory, 0o755)
  const { told, log } = await start(t, spec)
  await told('exit')
  assert.match(log(), new RegExp(`^${nobody.uid}\n${nobody.gid}\n${nobody.gid}\nagain\n`))
  assert.equal(statSync(spec.logFile).uid, nobody.uid)
})

test('a uid without a name can run an app', { skip }, async (t) => {
  const spec = specOf(t, ['sh', '-c', 'id -u; id -G'], { user: resolveUser('4012345') })
  chmodSync(spec.directory, 0o755)
  const { told, log } = await start(t, spec)
  await told('exit')
  assert.match(log(), /^4012345\n4012345\n/)
})

test('a script is found beside the app and told the name by which it was called', { skip }, async (t) => {
  const spec = specOf(t, ['./serve', 'a b', '$HOME'])
  writeFileSync(join(spec.directory, 'serve'), '#!/bin/sh\necho "$0|$1|$2"\n', { mode: 0o755 })
  const { told, log } = await start(t, spec)
  await told('exit')
  assert.match(log(), /^\.\/serve\|a b\|\$HOME\n/)
})

test('a program that cannot be found is named, with the PATH that was searched', { skip }, async (t) => {
  const environment = () => ({ PATH: '/usr/bin:/bin' })
  await assert.rejects(start(t, specOf(t, ['nodex', 'server.js'], { environment })), {
    kind: 'failed',
    message: 'The program "nodex" was not found in PATH, which is /usr/bin:/bin. Nothing was started.',
  })
  const spec = specOf(t, ['./bin/serve'])
  const file = join(spec.directory, 'bin/serve')
  await assert.rejects(start(t, spec), {
    message: `The program "./bin/serve" was not found at ${file}. Nothing was started.`,
  })
})

test('a program that is not executable is named', { skip }, async (t) => {
  const spec = specOf(t, ['./serve'])
  writeFileSync(join(spec.directory, 'serve'), '#!/bin/sh\n', { mode: 0o644 })
  await assert.rejects(start(t, spec), /serve is not executable\. Nothing was started\. Run: chmod \+x/)
})

test('a program that the kernel cannot run is an error, not a silence', { skip }, async (t) => {
  const spec = specOf(t, ['./serve'])
  writeFileSync(join(spec.directory, 'serve'), '#!/no/such/interpreter\n', { mode: 0o755 })
  await assert.rejects(start(t, spec), /\.\/serve could not be started: .*interpreter/)
})

test('an environment that is too long for the kernel is an error', { skip }, async (t) => {
  const environment = () => ({ PATH: path, LONG: 'x'.repeat(200_000) })
  await assert.rejects(start(t, specOf(t, ['true'], { environment })), {
    kind: 'failed',
    message: /\/true could not be started: its arguments and environment.* too long/,
  })
})

test('a daemon that has more than a thousand descriptors open starts apps, which may open a few more', {
  skip,
}, async (t) => {
  const descriptors = Array.from({ length: 1500 }, () => openSync('/dev/null', 'r'))
  t.after(() => descriptors.forEach(closeSync))
  for (const user of [null, nobody]) {
    const spec = specOf(t, ['sh', '-c', 'ulimit -Sn; ls /proc/$$/fd'], { user })
    chmodSync(spec.directory, 0o755)
    const { told, log } = await start(t, spec)
    await told('exit')
    const [limit, ...inherited] = log().split('\n')
    assert.ok(Number(limit) > 1500 && Number(limit) < 2500, `the limit is ${limit}`)
    assert.deepEqual(inherited.slice(0, 3), ['0', '1', '2'])
    assert.match(inherited[3] ?? '', /^cutover: /)
  }
})

test('a missing directory is named', { skip }, async (t) => {
  await assert.rejects(start(t, specOf(t, ['true'], { directory: '/nowhere' })), {
    message: 'The directory /nowhere does not exist. Nothing was started.',
  })
})
