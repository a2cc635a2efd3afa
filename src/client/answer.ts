/** What the daemon answered, or the error that it told. */
import { CutoverError } from '../core/errors.ts'
import type { Problem } from '../daemon/problem.ts'
import type { LastWords } from '../daemon/routes/streams.ts'
import { documentsOf } from './lines.ts'
import type { Answer } from './transport.ts'

/**
 * The document of an answer.
 * @throws CutoverError: the problem that the daemon told instead.
 */
export async function answered<T>(asked: Promise<Answer<T>>): Promise<T> {
  const answer = await asked
  if (!answer.ok) throw problemIn(await answer.json())
  return await answer.json()
}

/**
 * The answer, if the daemon took the request up.
 * @throws CutoverError: the problem that it told instead.
 */
export async function accepted(asked: Promise<Answer>): Promise<Answer> {
  const answer = await asked
  if (!answer.ok) throw problemIn(await answer.json())
  return answer
}

/**
 * The documents of an answer that goes on, until the daemon has no more.
 * @throws CutoverError: the problem that the daemon told, instead or at the end; `unreachable` if the daemon ends.
 */
export async function* streamed<T extends object>(asked: Promise<Answer>): AsyncGenerator<T> {
  const answer = await accepted(asked)
  try {
    for await (const document of documentsOf<T | LastWords>(answer)) {
      if ('problem' in document) throw problemIn(document.problem)
      yield document
    }
  } catch (error) {
    if (error instanceof CutoverError) throw error
    throw new CutoverError('unreachable', 'The daemon ended; apps and traffic go on.', { cause: error })
  }
}

/** An error answer's body is a Problem, whatever the answer's type says: types only know what a route answers itself. */
function problemIn(body: unknown): CutoverError {
  const { kind, message, details } = body as Problem
  return new CutoverError(kind, message, { details })
}
