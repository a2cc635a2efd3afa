/** Progress as people see it: a line a step as it ends, the present one with a spinner where somebody watches. */
import type { Spinner } from 'yocto-spinner'
import type { Progress, StepName } from '../core/documents.ts'
import type { CutoverError } from '../core/errors.ts'
import { named } from '../core/words.ts'
import { styled, widthOf } from './print.ts'
import { elapsed, printable, printableLines, wrapped } from './text.ts'

export interface ProgressView {
  show(progress: Progress): void
  /** Shows how it failed: the end of a log below the step that failed, then what is true now. */
  fail(error: CutoverError): void
  /** A line in between: what this side has to say. */
  note(line: string): void
  /** Takes the spinner away. */
  end(): void
}

const stream = process.stderr
const textWidth = 33
const nameWidth = 8
/** The mark and the name of a step, and the space around them. */
const beforeText = 4 + nameWidth + 2
/** A time of `120.5 s`, and the space before it. */
const afterText = 9
/** On the narrowest of terminals. */
const leastText = 10
const frames = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'].map((frame) => `  ${frame}`)

/** Where stderr is no terminal the same lines come, plain, without the spinner. `quiet`: warnings, and how it failed, are all that comes. */
export async function createProgressView({ quiet }: { readonly quiet: boolean }): Promise<ProgressView> {
  const yoctoSpinner = isWatched() && !quiet ? (await import('yocto-spinner')).default : null
  let spinner: Spinner | null = null
  let stepFailed = false

  const line = (text: string) => stream.write(`${text}\n`)
  const end = () => {
    spinner?.stop()
    spinner = null
  }
  // However this process ends, the cursor is shown again.
  if (yoctoSpinner !== null) process.once('exit', end)

  const isShown = ({ type }: Progress): boolean => !quiet || type === 'warning'

  const begin = (step: StepName, text: string) => {
    end()
    if (yoctoSpinner === null) return
    const options = { text: `${step.padEnd(nameWidth)}  ${printable(text)}`, stream, handleSignals: false }
    spinner = yoctoSpinner({ ...options, spinner: { frames, interval: 80 } }).start()
  }

  return {
    show(progress) {
      if (!isShown(progress)) return
      switch (progress.type) {
        case 'release':
          return line(heading(progress))
        case 'begin':
          return begin(progress.step, progress.text)
        case 'output':
          return line(`      ${printable(progress.line)}`)
        case 'end':
          end()
          stepFailed = !progress.ok
          return stepLines(progress).forEach(line)
        case 'warning':
          return line(`  ${styled('yellow', '!', stream)} ${printable(progress.text)}`)
        case 'receipt':
        case 'error':
          return end()
      }
    },
    fail(error) {
      end()
      const details = error.details.map(printable)
      if (stepFailed) for (const detail of details) line(`      ${detail}`)
      line(printableLines(error.message))
      if (!stepFailed) for (const detail of details) line(`  ${detail}`)
    },
    note: line,
    end,
  }
}

/** Somebody looks at a terminal that can draw: what the spinner itself asks for, which else prints a line a frame. */
const isWatched = (): boolean => stream.isTTY && process.env.TERM !== 'dumb' && !('CI' in process.env)

function heading({ app, release, label }: Extract<Progress, { type: 'release' }>): string {
  const what = styled('cyan', named(release), stream)
  return label === null ? `${printable(app)} ${what}` : `${printable(app)} ${what} · ${printable(label)}`
}

/**
 * `  ✓ copy      412 files, 18 MB                    0.1 s`: whole seconds, or whatever the unit is, end in the same column. Where a terminal is
 * too narrow for that, the text goes on below itself.
 */
function stepLines({ ok, step, text, ms, us }: Extract<Progress, { type: 'end' }>): string[] {
  const mark = ok ? styled('green', '✓', stream) : styled('red', '✗', stream)
  const [whole = '', rest = ''] = elapsed(ms, us).split(/(?<=^\d+)(?=\D)/)
  const room = Math.max(widthOf(stream) - beforeText - afterText, leastText)
  const [first = '', ...more] = wrapped(printable(text), room)
  const head = `  ${mark} ${step.padEnd(nameWidth)}  ${first.padEnd(Math.min(textWidth, room))}`
  return [`${head}  ${whole.padStart(2)}${rest}`, ...more.map((text) => `${' '.repeat(beforeText)}${text}`)]
}
