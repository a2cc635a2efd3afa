import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { test } from 'node:test'
import { cutoverAtTerminal } from '../support/cutover.ts'
import { daemonHere } from '../support/daemons.ts'

const here = {
  timeout: 120_000,
  skip: spawnSync('script', ['--version']).status === 0 ? false : 'needs script(1) of util-linux (bsdutils)',
}

test('at a terminal the present step has a spinner, and mark and release have a colour', here, async (t) => {
  const { place } = await daemonHere(t)
  const { code, screen } = await cutoverAtTerminal(['deploy', '/srv/shop'], { home: place.home })
  assert.match(screen, /⠋/)
  assert(screen.includes('shop \u001b[36mv5\u001b[39m · a1b2c3d'))
  assert(screen.includes('\u001b[32m✓\u001b[39m copy'))
  assert(screen.endsWith('in all\r\n'))
  assert.equal(code, 0)
})

test('at a terminal an outage is asked for, and only yes is yes', here, async (t) => {
  const { place, engine } = await daemonHere(t)
  for (const [typed, expected] of [
    ['n', 4],
    ['', 4],
    ['y', 0],
  ] as const) {
    const { code, screen } = await cutoverAtTerminal(['stop', 'shop'], { home: place.home, typed })
    assert.match(screen, /Stop shop and refuse its clients\? \[y\/N\]/)
    assert.equal(code, expected)
  }
  const unasked = await cutoverAtTerminal(['remove', 'shop', '--yes'], { home: place.home })
  assert(!unasked.screen.includes('[y/N]'))
  assert.deepEqual(engine.deeds.filter((deed) => !deed.startsWith('done')).length, 2)
})
