/** One line of what doctor found. */
import type { DoctorCheck } from '../../core/documents.ts'

export const fine = (check: string, text: string): DoctorCheck => ({ check, ok: true, text })

/** @param remedy what to do, as a sentence */
export const wrong = (check: string, text: string, remedy: string): DoctorCheck => ({
  check,
  ok: false,
  text: `${text.replace(/\.$/, '')}. ${remedy}`,
})

/** What the attempt says, or why it failed and what to do. */
export function tried(check: string, remedy: string, attempt: () => string): DoctorCheck {
  try {
    return fine(check, attempt())
  } catch (error) {
    return wrong(check, error instanceof Error ? error.message : String(error), remedy)
  }
}
