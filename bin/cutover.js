#!/usr/bin/env node
// Runs on any Node from 20 on: what is written here must. Cutover itself needs 24, which it brings along where npm installed it.
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const needed = 24
const here = fileURLToPath(import.meta.url)
const own = fileURLToPath(new URL(`../node_modules/node-linux-${process.arch}/bin/node`, import.meta.url))

// A checkout runs its sources; in a package Node would not take them, and there they are bundled.
const sources = new URL('../src/cli/main.ts', import.meta.url)
const isCheckout = existsSync(sources)

if (Number.parseInt(process.versions.node, 10) >= needed) {
  const { main } = await import(isCheckout ? sources : new URL('../dist/cutover.js', import.meta.url))
  await main(process.argv.slice(2))
} else if (existsSync(own)) {
  const child = spawn(own, [here, ...process.argv.slice(2)], { stdio: 'inherit' })
  // What a signal means is for the child to decide. Ctrl-C at a terminal reaches both, and the child then gets it twice.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT']) process.on(signal, () => child.kill(signal))
  child.on('exit', (code, signal) => {
    if (signal === null) process.exit(code ?? 1)
    process.removeAllListeners(signal)
    process.kill(process.pid, signal)
  })
} else {
  const besides = isCheckout ? ' Or run npm ci in its folder.' : ''
  console.error(`Cutover needs Node ${needed} or later; this is ${process.version}.${besides}`)
  process.exit(3)
}
