#!/usr/bin/env node
// Runs on any Node from 20 on: what is written here must. Cutover itself needs 24, which it brings along where npm installed it.
// CommonJS, as what is bundled: somebody waits for the command, and modules of the other kind take Node longer to load.
const { existsSync } = require('node:fs')
const { join } = require('node:path')

const needed = 24
const own = join(__dirname, `../node_modules/node-linux-${process.arch}/bin/node`)

// A checkout runs its sources; in a package Node would not take them, and there they are bundled.
const sources = join(__dirname, '../src/cli/main.ts')
const isCheckout = existsSync(sources)

if (Number.parseInt(process.versions.node, 10) >= needed) {
  run(process.argv.slice(2))
} else if (existsSync(own)) {
  runWith(own)
} else {
  const besides = isCheckout ? ' Or run npm ci in its folder.' : ''
  console.error(`Cutover needs Node ${needed} or later; this is ${process.version}.${besides}`)
  process.exit(3)
}

async function run(args) {
  const { main } = isCheckout ? await import(sources) : require('../dist/cutover.cjs')
  await main(args)
}

function runWith(node) {
  const { spawn } = require('node:child_process')
  const child = spawn(node, [__filename, ...process.argv.slice(2)], { stdio: 'inherit' })
  // What a signal means is for the child to decide. Ctrl-C at a terminal reaches both, and the child then gets it twice.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT']) process.on(signal, () => child.kill(signal))
  child.on('exit', (code, signal) => {
    if (signal === null) process.exit(code ?? 1)
    process.removeAllListeners(signal)
    process.kill(process.pid, signal)
  })
}
