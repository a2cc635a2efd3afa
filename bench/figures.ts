/** What a measurement gives: figures with their spread, beside what was promised, and zeros beside their bound. */
import type { TestContext } from 'node:test'
import { boundOfZero, type Series, seriesOf } from './statistics.ts'

export type Unit = 'µs' | 'ms' | 's' | 'MB' | '/s' | '%' | 'ratio'

export type Promised = { readonly atMost: number } | { readonly atLeast: number }

export type Figure =
  | {
      readonly kind: 'series'
      readonly what: string
      readonly unit: Unit
      readonly series: Series
      /** What is promised of the median; null if nothing is. */
      readonly promised: Promised | null
    }
  | {
      readonly kind: 'count'
      readonly what: string
      readonly seen: number
      readonly tries: number
      /** Where none was seen: the true rate is below this (95 %). */
      readonly bound: number | null
    }

export interface Measurement {
  /** The word by which it is asked for. */
  readonly name: string
  readonly title: string
  /** How it was measured and what it was compared with, in a sentence or two. */
  readonly how: string
  /** `rounds` multiplies the number of tries; 1 takes some 20 s. */
  measure(scope: Scope, rounds: number): Promise<Figure[]>
}

/** Where a measurement registers what is to be undone at its end. */
export type Scope = TestContext

export interface Measured extends Omit<Measurement, 'measure'> {
  readonly figures: readonly Figure[]
}

export const figure = (
  what: string,
  unit: Unit,
  values: readonly number[],
  promised: Promised | null = null,
): Figure => ({ kind: 'series', what, unit, series: seriesOf(values), promised })

export const zero = (what: string, seen: number, tries: number): Figure => ({
  kind: 'count',
  what,
  seen,
  tries,
  bound: seen === 0 ? boundOfZero(tries) : null,
})
