/** Calls of the daemon's API by its routes, whose types say what each takes and answers. */
import type { ExtractSchema } from 'hono/types'
import type { Api } from '../daemon/api.ts'
import type { Answer, Request } from './transport.ts'

type Routes = ExtractSchema<Api>

interface Endpoint {
  readonly input: unknown
  readonly output: unknown
}

/** What each path takes and answers when it is asked so. */
type Asked<Method extends '$get' | '$post'> = {
  [Path in keyof Routes as Routes[Path] extends Record<Method, Endpoint> ? Path : never]: Routes[Path] extends Record<
    Method,
    infer Found extends Endpoint
  >
    ? Found
    : never
}

type Gets = Asked<'$get'>
type Posts = Asked<'$post'>
type Headers = Readonly<Record<string, string>>

export interface Calls {
  get<Path extends keyof Gets & string>(path: Path, input: Gets[Path]['input']): Promise<Answer<Gets[Path]['output']>>
  post<Path extends keyof Posts & string>(
    path: Path,
    input: Posts[Path]['input'],
    headers?: Headers,
  ): Promise<Answer<Posts[Path]['output']>>
}

interface Input {
  readonly query?: Readonly<Record<string, string>>
  readonly param?: Readonly<Record<string, string>>
  readonly json?: unknown
}

/** Calls through `ask`, each with those headers. What comes back is of the type that the route says: nobody checks it. */
export function callsThrough(ask: (request: Request) => Promise<Answer>, common: Headers): Calls {
  const call = (method: Request['method'], path: string, input: unknown, own: Headers = {}) => {
    // Any of the routes' types, all of which are such.
    const { query, param = {}, json } = input as Input
    const target = path.replace(/:(\w+)/g, (_, name: string) => encodeURIComponent(param[name] ?? ''))
    const asked = query === undefined ? '' : `?${new URLSearchParams(query)}`
    const body = json === undefined ? {} : { body: JSON.stringify(json) }
    return ask({ method, target: `${target}${asked}`, headers: { ...common, ...own }, ...body }) as Promise<
      Answer<never>
    >
  }
  return {
    get: (path, input) => call('GET', path, input),
    post: (path, input, headers) => call('POST', path, input, headers),
  }
}
