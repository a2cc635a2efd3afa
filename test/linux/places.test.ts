import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { cgroupPids, createCgroup, insideCgroup } from '../../src/linux/cgroup.ts'
import { untilEmpty } from '../../src/linux/cgroup-events.ts'
import { lockFile } from '../../src/linux/flock.ts'
import { findBpffs, mountBpffs, unmount } from '../../src/linux/mounts.ts'
import { oomScore, withOomScore } from '../../src/linux/oom.ts'
import { limitOf, withSoftLimit } from '../../src/linux/rlimit.ts'
import { ownerOf, resolveUser } from '../../src/linux/users.ts'
import { asRoot } from '../support/namespace.ts'
import { temporaryCgroup, temporaryDirectory } from '../support/workspace.ts'

test('a bpffs is found where it was mounted, and gone when it was unmounted', { skip: asRoot }, (t) => {
  const directory = join(temporaryDirectory(t), 'a place')
  const wanted = [join(directory, 'elsewhere'), directory]
  assert.equal(findBpffs(wanted), null)
  mountBpffs(directory)
  t.after(() => unmount(directory))
  assert.equal(findBpffs(wanted), directory)
  unmount(directory)
  assert.equal(findBpffs(wanted), null)
  unmount(directory)
})

test('a lock has one owner, and dies with it', async (t) => {
  const file = join(temporaryDirectory(t), 'lock')
  const script = `
    import { lockFile } from '${import.meta.resolve('../../src/linux/flock.ts')}'
    process.stdout.write(lockFile(${JSON.stringify(file)}) === null ? 'taken' : 'mine')
    setInterval(() => {}, 1000)`
  const owner = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] })
  t.after(() => owner.kill('SIGKILL'))
  const [said] = await once(owner.stdout, 'data')
  assert.equal(String(said), 'mine')
  assert.equal(lockFile(file), null)
  owner.kill('SIGKILL')
  await once(owner, 'exit')
  using lock = lockFile(file)
  assert.ok(lock)
  assert.equal(lockFile(file), null)
})

test('a limit is lowered for what is started meanwhile, and set back also when that throws', () => {
  const before = limitOf('NOFILE')
  assert.equal(withSoftLimit('NOFILE', 64, () => limitOf('NOFILE')).soft, 64n)
  assert.throws(() =>
    withSoftLimit('NOFILE', 64, () => {
      throw new Error('no')
    }),
  )
  assert.deepEqual(limitOf('NOFILE'), before)
})

/** Sets the soft limit of descriptors from outside, until the test has ended. */
function limiter(t: TestContext) {
  const before = limitOf('NOFILE')
  const set = (soft: bigint) => execFileSync('prlimit', ['--pid', String(process.pid), `--nofile=${soft}:`])
  t.after(() => withSoftLimit('NOFILE', 1024, () => set(before.soft)))
  return { before, set }
}

test('a limit that somebody else sets while it is lowered stays', (t) => {
  const { before, set } = limiter(t)
  withSoftLimit('NOFILE', 64, () => set(100n))
  assert.deepEqual(limitOf('NOFILE'), { ...before, soft: 100n })
})

test('a process comes back from a cgroup, and has its own score again, though no descriptor is left', {
  skip: asRoot,
}, (t) => {
  const { set } = limiter(t)
  const cgroup = temporaryCgroup(t)
  const score = oomScore()
  assert.throws(
    () =>
      withOomScore(score + 1, () =>
        insideCgroup(cgroup, () => {
          assert.deepEqual([oomScore(), cgroupPids(cgroup)], [score + 1, [process.pid]])
          set(3n)
          // Neither is entered where there would be no way back.
          insideCgroup(cgroup, () => assert.fail('inside'))
        }),
      ),
    { code: 'EMFILE' },
  )
  assert.throws(() => withOomScore(score + 2, () => assert.fail('with another score')), { code: 'EMFILE' })
  withSoftLimit('NOFILE', 1024, () => assert.deepEqual([oomScore(), cgroupPids(cgroup)], [score, []]))
})

test('users are known by name and by number, and a missing one is named', (t) => {
  const root = resolveUser('root')
  assert.deepEqual(root, { name: 'root', uid: 0, gid: 0, home: '/root' })
  assert.deepEqual(resolveUser('0'), root)
  assert.deepEqual(resolveUser('4012345'), { name: '4012345', uid: 4_012_345, gid: 4_012_345, home: '/' })
  assert.throws(() => resolveUser('nobody-of-that-name'), /There is no user "nobody-of-that-name"/)
  assert.equal(ownerOf(temporaryDirectory(t)).uid, process.getuid?.())
})

test('a cgroup is empty as soon as its last process ended, in whatever cgroup below it', {
  skip: asRoot,
}, async (t) => {
  const cgroup = temporaryCgroup(t)
  const below = join(cgroup, 'below')
  createCgroup(below)
  assert.equal(await untilEmpty(cgroup, AbortSignal.timeout(20_000)), true)
  const child = insideCgroup(below, () => spawn('sleep', ['60']))
  assert.equal(await untilEmpty(cgroup, AbortSignal.timeout(50)), false)
  const empty = untilEmpty(cgroup, AbortSignal.timeout(20_000))
  child.kill('SIGKILL')
  assert.equal(await empty, true)
  assert.equal(await untilEmpty(join(cgroup, 'never was'), AbortSignal.timeout(20_000)), true)
})
