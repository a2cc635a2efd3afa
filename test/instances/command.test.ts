import assert from 'node:assert/strict'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { type CommandSpec, runCommand } from '../../src/instances/command.ts'
import { cgroupPids } from '../../src/linux/cgroup.ts'
import { asRoot } from '../support/namespace.ts'
import { eventually, temporaryCgroup, temporaryDirectory } from '../support/workspace.ts'
import { path } from './worker.ts'

const skip = asRoot

function specOf(t: TestContext, script: string, more: Partial<CommandSpec> = {}): CommandSpec {
  const directory = temporaryDirectory(t)
  return {
    command: ['sh', '-c', script],
    directory,
    environment: { PATH: path },
    user: null,
    cgroup: join(temporaryCgroup(t), 'build'),
    logFile: join(directory, 'v1.log'),
    signal: AbortSignal.timeout(20_000),
    ...more,
  }
}

test('a command shows each line while it runs, keeps it in the log, and ends with its code', { skip }, async (t) => {
  const lines: string[] = []
  const fifo = join(temporaryDirectory(t), 'fifo')
  const script = `mkfifo ${fifo}; echo one; echo two >&2; read go < ${fifo}; printf three; exit 5`
  const spec = specOf(t, script, { onLine: (line) => lines.push(line) })
  const status = runCommand(spec)
  await eventually(() => lines.length === 2 && existsSync(fifo))
  writeFileSync(fifo, 'go\n')
  assert.deepEqual(await status, { code: 5, signal: null })
  assert.deepEqual(lines, ['one', 'two', 'three'])
  assert.equal(readFileSync(spec.logFile, 'utf8'), 'one\ntwo\nthree')
  assert.equal(existsSync(spec.cgroup), false)
})

test('an aborted command ends with all that it started', { skip }, async (t) => {
  const stop = new AbortController()
  const lines: string[] = []
  const spec = specOf(t, 'setsid sleep 1000 & trap "echo sorry; exit 1" TERM; echo up; wait', {
    signal: stop.signal,
    onLine: (line) => lines.push(line),
  })
  const status = runCommand(spec)
  await eventually(() => lines.includes('up'))
  stop.abort(new Error('Ctrl-C'))
  await assert.rejects(status, { message: 'Ctrl-C' })
  assert.deepEqual(cgroupPids(spec.cgroup), [])
  assert.equal(existsSync(spec.cgroup), false)
  assert.deepEqual(lines, ['up', 'sorry'])
})

test('what a finished command left running does not hold it up, and is ended', { skip }, async (t) => {
  const spec = specOf(t, 'sleep 1000 & exit 0', { onLine: () => {} })
  assert.deepEqual(await runCommand(spec), { code: 0, signal: null })
  assert.equal(existsSync(spec.cgroup), false)
})

test('a command that cannot be found leaves nothing behind', { skip }, async (t) => {
  const spec = specOf(t, '', { command: ['no-such-builder'] })
  await assert.rejects(runCommand(spec), /"no-such-builder" was not found in PATH/)
  assert.equal(existsSync(spec.cgroup), false)
})

test('output of many lines is shown whole and in order', { skip }, async (t) => {
  const lines: string[] = []
  await runCommand(specOf(t, 'seq 100000', { onLine: (line) => lines.push(line) }))
  assert.equal(lines.length, 100_000)
  assert.equal(lines.at(-1), '100000')
})
