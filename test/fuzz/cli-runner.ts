/** Runs command lines that come one by one from whoever forked this process, and tells what each printed and how it ended. */
import process from 'node:process'
import { main } from '../../src/cli/main.ts'

export interface Answer {
  readonly code: number | string | null | undefined
  readonly stdout: string
  readonly stderr: string
}

class Exit extends Error {}

process.exit = (code) => {
  process.exitCode = code ?? process.exitCode
  throw new Exit()
}

process.on('message', async (args: readonly string[]) => {
  const printed = { stdout: '', stderr: '' }
  for (const stream of ['stdout', 'stderr'] as const) {
    process[stream].write = (chunk: string | Uint8Array): boolean => {
      printed[stream] += Buffer.from(chunk).toString()
      return true
    }
  }
  process.exitCode = undefined
  await main(args).catch((error: unknown) => {
    if (!(error instanceof Exit)) printed.stderr += `thrown: ${error instanceof Error ? error.stack : error}`
  })
  process.send?.({ code: process.exitCode ?? 0, ...printed } satisfies Answer)
})
process.send?.('ready')
