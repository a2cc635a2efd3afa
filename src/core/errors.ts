/**
 * Errors for the person who reads them at three in the morning: what was tried, what happened, what is true now, what to do next.
 * The kind decides the exit code of the contract.
 */

export type ErrorKind = 'failed' | 'usage' | 'unreachable' | 'refused' | 'given-back' | 'unknown'

/** Exit codes of the contract, by kind. */
export const exitCodes: Readonly<Record<ErrorKind, number>> = {
  failed: 1,
  usage: 2,
  unreachable: 3,
  refused: 4,
  'given-back': 5,
  unknown: 6,
}

/** An error whose message is written for people; anything else that is thrown is a defect of Cutover. */
export class CutoverError extends Error {
  readonly kind: ErrorKind
  /** Lines that belong to the message and are shown below it: the end of a log, the places of config errors. */
  readonly details: readonly string[]

  constructor(kind: ErrorKind, message: string, options: { details?: readonly string[]; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? {} : { cause: options.cause })
    this.name = 'CutoverError'
    this.kind = kind
    this.details = options.details ?? []
  }
}

/** The command made no sense as given, or a config is wrong: nothing was started. Exit code 2. */
export const usageError = (message: string, details: readonly string[] = []) =>
  new CutoverError('usage', message, { details })

/** Cutover will not do this now: busy, locked, guarded, nothing to go back to. Exit code 4. */
export const refusal = (message: string, details: readonly string[] = []) =>
  new CutoverError('refused', message, { details })

/** It was tried and failed, and traffic is where it was. Exit code 1. */
export const failure = (message: string, options: { details?: readonly string[]; cause?: unknown } = {}) =>
  new CutoverError('failed', message, options)
