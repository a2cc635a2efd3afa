import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { appendFileSync, chmodSync, copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { resolveUser } from '../../src/linux/users.ts'
import { asRoot } from '../support/namespace.ts'
import { needs } from '../support/packages.ts'
import { temporaryDirectory } from '../support/workspace.ts'
import { path, specOf, start } from './worker.ts'

const skip = asRoot
const nobody = resolveUser('nobody')

test('a library that the app preloads never runs as root', { skip: asRoot || needs('clang-19') }, async (t) => {
  inGroups(t, nobody.name)
  const place = temporaryDirectory(t)
  chmodSync(place, 0o755)
  const [library, witness] = [preloadable(place), join(place, 'witness')]
  writeFileSync(witness, '')
  chmodSync(witness, 0o666)
  for (const user of [nobody, resolveUser('4012345')]) {
    const environment = () => ({ PATH: path, LD_PRELOAD: library, WITNESS: witness })
    const spec = specOf(t, ['sh', '-c', '/bin/true; :'], { user, environment })
    chmodSync(spec.directory, 0o755)
    const { told } = await start(t, spec)
    await told('exit')
  }
  const seen = readFileSync(witness, 'utf8').trim().split('\n')
  assert.deepEqual([...new Set(seen)], [String(nobody.uid), '4012345'])
})

test('an app has all the groups of its user, and no capability', { skip }, async (t) => {
  inGroups(t, nobody.name)
  const spec = specOf(t, ['sh', '-c', 'id -u; id -g; id -G; exec cat /proc/self/status'], { user: nobody })
  chmodSync(spec.directory, 0o755)
  const { told, log } = await start(t, spec)
  await told('exit')
  const [uid, gid, groups = ''] = log().split('\n')
  assert.deepEqual([uid, gid], [String(nobody.uid), String(nobody.gid)])
  const wanted = execFileSync('id', ['-G', nobody.name], { encoding: 'utf8' })
  assert.deepEqual(sorted(groups), sorted(wanted))
  assert.equal(sorted(groups).length, 3)
  for (const field of ['CapPrm', 'CapEff', 'CapAmb', 'SigBlk', 'SigIgn'])
    assert.match(log(), new RegExp(`^${field}:\\s+0{16}$`, 'm'))
})

test('an app of another user gets its environment, and nobody finds it in a command line', { skip }, async (t) => {
  const environment = () => ({ PATH: path, SECRET: 'as long as nobody tells' })
  const spec = specOf(t, ['sh', '-c', 'tr "\\0" "\\n" < /proc/$$/environ; cat /proc/$$/cmdline'], {
    user: nobody,
    environment,
  })
  chmodSync(spec.directory, 0o755)
  const { told, log } = await start(t, spec)
  await told('exit')
  const [given = '', commandLine = ''] = log().split('sh\0-c\0')
  assert.deepEqual(given.trim().split('\n').sort(), [`PATH=${path}`, 'SECRET=as long as nobody tells'])
  assert.doesNotMatch(commandLine, /as long as/)
})

test('a program of another user that the kernel cannot run is an error, not a silence', { skip }, async (t) => {
  const spec = specOf(t, ['./serve'], { user: nobody })
  chmodSync(spec.directory, 0o755)
  writeFileSync(join(spec.directory, 'serve'), '#!/no/such/interpreter\n', { mode: 0o755 })
  await assert.rejects(start(t, spec), /\.\/serve could not be started: .*interpreter/)
})

test('what the user may not read or run is named', { skip }, async (t) => {
  const closed = specOf(t, ['true'], { user: nobody })
  await assert.rejects(start(t, closed), /The user nobody may not read the directory/)

  // As a Node that was installed below root's own home.
  const bin = join(temporaryDirectory(t), 'bin')
  mkdirSync(bin)
  writeFileSync(join(bin, 'serve'), '#!/bin/sh\n', { mode: 0o755 })
  const open = specOf(t, ['serve'], { user: nobody, environment: () => ({ PATH: bin }) })
  chmodSync(open.directory, 0o755)
  await assert.rejects(start(t, open), /The user nobody may not run .*\/bin\/serve/)
})

test('a directory that only a group of the user may enter is open to the app', { skip }, async (t) => {
  const [group] = inGroups(t, nobody.name)
  const spec = specOf(t, ['pwd'], { user: nobody })
  execFileSync('chgrp', [String(group), spec.directory])
  chmodSync(spec.directory, 0o750)
  const { told, log } = await start(t, spec)
  await told('exit')
  assert.ok(log().startsWith(`${spec.directory}\n`))
})

/** Puts the user into two more groups, as far as this file's mount namespace goes. */
function inGroups(t: TestContext, user: string): readonly number[] {
  const groups = [48_001, 48_002]
  const file = join(temporaryDirectory(t), 'group')
  copyFileSync('/etc/group', file)
  for (const group of groups) appendFileSync(file, `cutover-${group}:x:${group}:${user}\n`)
  execFileSync('mount', ['--bind', file, '/etc/group'])
  t.after(() => execFileSync('umount', ['/etc/group']))
  return groups
}

/** A library that appends the effective uid of whatever process it is loaded into to the file $WITNESS. */
function preloadable(place: string): string {
  const [source, library] = [join(place, 'preload.c'), join(place, 'preload.so')]
  writeFileSync(
    source,
    `extern char *getenv(const char *);
     extern unsigned geteuid(void);
     extern int open(const char *, int, ...), dprintf(int, const char *, ...), close(int);
     __attribute__((constructor)) static void tell(void) {
       const char *witness = getenv("WITNESS");
       if (!witness) return;
       int fd = open(witness, 02001);
       dprintf(fd, "%u\\n", geteuid());
       close(fd);
     }`,
  )
  execFileSync('clang-19', ['-shared', '-fPIC', '-nostdlib', '-o', library, source])
  return library
}

const sorted = (groups: string): number[] =>
  groups
    .trim()
    .split(' ')
    .map(Number)
    .sort((a, b) => a - b)
