/** One TCP connection as the load client sees it: bytes that come, and the one way in which it ends. */
import { connect } from 'node:net'
import type { Loss } from './load-fates.ts'

export interface Target {
  /** An IPv4 or IPv6 address, never a name. */
  readonly address: string
  readonly port: number
}

/** How a connection ended, or that nothing came in time. */
export interface Ending {
  readonly fate: Loss
  readonly detail: string
}

export interface Wire extends Disposable {
  write(bytes: string | Uint8Array): void
  /** All bytes that came since the last call, as soon as there are some, or else how the connection ended; `timedOut` ends it. */
  next(timeoutMs: number): Promise<Buffer | Ending>
  /** Nothing for `ms`: true. Bytes, or the end, before that: false, and `next` tells. */
  staysQuiet(ms: number): Promise<boolean>
  /** Bytes have come that nobody has read. */
  readonly unread: boolean
  readonly ended: boolean
}

/** Opens a connection. What is written goes out as soon as it stands; a failure to connect is its ending. */
export function openWire(target: Target): Wire {
  const socket = connect({ host: target.address, port: target.port, noDelay: true })
  let connected = false
  let unread: Buffer[] = []
  let ending: Ending | null = null
  let wake: (() => void) | null = null

  const finish = (how: Ending) => {
    ending ??= how
    wake?.()
  }
  socket.on('connect', () => {
    connected = true
  })
  socket.on('data', (bytes: Buffer) => {
    unread.push(bytes)
    wake?.()
  })
  socket.on('end', () => finish({ fate: 'cut', detail: 'closed by the server' }))
  socket.on('error', (error: NodeJS.ErrnoException) => finish(endingOf(error, connected)))

  const somethingWithin = (ms: number) =>
    new Promise<boolean>((resolve) => {
      if (unread.length > 0 || ending) return resolve(true)
      const done = (came: boolean) => {
        clearTimeout(timer)
        wake = null
        resolve(came)
      }
      const timer = setTimeout(done, ms, false)
      wake = () => done(true)
    })

  return {
    write(bytes) {
      socket.write(bytes)
    },
    async next(timeoutMs) {
      if (!(await somethingWithin(timeoutMs))) {
        finish({ fate: 'timedOut', detail: `${connected ? 'nothing came' : 'no connection'} within ${timeoutMs} ms` })
        socket.destroy()
      }
      if (unread.length > 0) {
        const bytes = unread.length === 1 && unread[0] ? unread[0] : Buffer.concat(unread)
        unread = []
        return bytes
      }
      return ending ?? { fate: 'cut', detail: 'closed' }
    },
    async staysQuiet(ms) {
      return !(await somethingWithin(ms))
    },
    get unread() {
      return unread.length > 0
    },
    get ended() {
      return ending !== null
    },
    [Symbol.dispose]() {
      socket.destroy()
    },
  }
}

/**
 * What an error of connect(2), read(2) or write(2) says about the server.
 * @throws the error itself if it is the load client that cannot go on (no descriptors or local ports left): then no count is worth anything.
 */
export function endingOf(error: NodeJS.ErrnoException, connected: boolean): Ending {
  switch (error.code) {
    case 'ECONNREFUSED':
    case 'EHOSTUNREACH':
    case 'ENETUNREACH':
      if (connected) return { fate: 'reset', detail: error.message }
      return { fate: 'refused', detail: error.message }
    case 'ECONNRESET':
    case 'EPIPE':
      return { fate: 'reset', detail: `${error.message}${connected ? '' : ' while connecting'}` }
    case 'ETIMEDOUT':
      return { fate: 'timedOut', detail: error.message }
    default:
      throw new Error('the load client itself cannot go on', { cause: error })
  }
}
