#!/usr/bin/env node
// Runs on any Node from 20 on: what is written here must. Cutover itself needs 24, which it brings along where npm installed it.
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const needed = 24
const here = fileURLToPath(import.meta.url)
const own = fileURLToPath(new URL(`../node_modules/node-linux-${process.arch}/bin/node`, import.meta.url))

if (Number.parseInt(process.versions.node, 10) >= needed) {
  const { main } = await import('../src/cli/main.ts')
  await main(process.argv.slice(2))
} else if (existsSync(own)) {
  const child = spawn(own, [here, ...process.argv.slice(2)], { stdio: 'inherit' })
  // Ctrl-C reaches both: the child decides what it means. Other signals reach only this process, and are handed on.
  process.on('SIGINT', () => {})
  for (const signal of ['SIGTERM', 'SIGHUP', 'SIGQUIT']) process.on(signal, () => child.kill(signal))
  child.on('exit', (code, signal) => {
    if (signal === null) process.exit(code ?? 1)
    process.removeAllListeners(signal)
    process.kill(process.pid, signal)
  })
} else {
  console.error(`Cutover needs Node ${needed} or later; this is ${process.version}. Or run npm install in its folder.`)
  process.exit(3)
}
