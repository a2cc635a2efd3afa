/** The servers among the examples: how each listens, which load it understands, and what is to know about it. */

import type { Protocol } from './load.ts'
import type { Kind } from './load-clients.ts'

export interface Server {
  /** Its folder in `examples/`. */
  readonly folder: string
  /** The config in that folder. */
  readonly config: string
  /** As people know it; what `version` prints has its version. */
  readonly title: string
  readonly version: readonly string[]
  /** The Debian packages that it needs. */
  readonly packages: readonly string[]
  /** Which processes listen and accept. */
  readonly listens: string
  readonly protocol: Protocol
  readonly kinds: readonly Kind[]
  /** Why it does not understand the other kinds, and what was configured besides app, run and port. */
  readonly note: string
}

const everything = ['short', 'keep-alive', 'slow', 'trickle', 'websocket', 'stream'] as const satisfies Kind[]
const without = (...kinds: readonly Kind[]): readonly Kind[] => everything.filter((kind) => !kinds.includes(kind))

const plain = { config: 'cutover.yaml', protocol: 'http/1.1', kinds: everything, note: '' } as const

const node = { ...plain, folder: 'node', version: ['node', '--version'], packages: [] } as const
const nginx = { ...plain, folder: 'nginx', version: ['nginx', '-v'], packages: ['nginx-light'] } as const
const apache = { ...plain, folder: 'apache', version: ['apache2', '-v'], packages: ['apache2-bin', 'python3'] } as const

const files = 'It serves files that `build` makes: no streams, no WebSockets.'

const all = {
  node: { ...node, title: 'Node, `http`', listens: 'one process' },
  'node-cluster': {
    ...node,
    config: 'cutover-cluster.yaml',
    title: 'Node, `cluster`',
    listens: 'the primary, which hands connections to 2 workers',
  },
  'node-http2': {
    ...node,
    config: 'cutover-http2.yaml',
    title: 'Node, `http2` in clear text',
    listens: 'one process',
    protocol: 'h2c',
    kinds: without('trickle', 'websocket'),
    note: '`keep-alive` is eight requests at once on each of 4 connections. The other kinds exist over HTTP/1.1 only.',
  },
  python: {
    ...plain,
    folder: 'python',
    title: 'Python, `http.server`',
    version: ['python3', '--version'],
    packages: ['python3'],
    listens: 'one process, a thread a connection',
    kinds: without('websocket'),
    note: 'No WebSockets in the standard library.',
  },
  gunicorn: {
    ...plain,
    folder: 'gunicorn',
    title: 'gunicorn',
    version: ['gunicorn', '--version'],
    packages: ['gunicorn'],
    listens: 'the master; 2 forked workers accept',
    kinds: without('websocket'),
    note: 'WSGI has no WebSockets.',
  },
  uvicorn: {
    ...plain,
    folder: 'uvicorn',
    title: 'uvicorn',
    version: ['uvicorn', '--version'],
    packages: ['uvicorn', 'python3-websockets'],
    listens: 'the master; 2 spawned workers accept',
  },
  caddy: {
    ...plain,
    folder: 'caddy',
    title: 'caddy (Go)',
    version: ['caddy', 'version'],
    packages: ['caddy'],
    listens: 'one process',
    kinds: without('slow', 'websocket', 'stream'),
    note: 'Its config can only answer at once.',
  },
  java: {
    ...plain,
    folder: 'java',
    title: 'Java, the JDK’s `HttpServer`',
    version: ['javac', '--version'],
    packages: ['default-jdk-headless'],
    listens: 'one process; an IPv6 socket that takes IPv4 as well',
    kinds: without('websocket'),
    note: 'No WebSockets in the JDK’s server.',
  },
  nginx: {
    ...nginx,
    title: 'nginx',
    listens: 'the master; 2 forked workers accept',
    kinds: without('stream', 'websocket'),
    note: files,
  },
  'nginx-reuseport': {
    ...nginx,
    config: 'cutover-reuseport.yaml',
    title: 'nginx, `reuseport`',
    listens: 'the master, a socket with SO_REUSEPORT for each of 2 workers',
    kinds: without('stream', 'websocket'),
    note: files,
  },
  apache: {
    ...apache,
    title: 'Apache, `mpm_event`',
    listens: 'the parent; its children accept',
    kinds: without('websocket'),
    note: 'Slow answers and streams are CGI programs, which cannot speak WebSocket. 64 threads a child (below).',
  },
  'apache-prefork': {
    ...apache,
    config: 'cutover-prefork.yaml',
    title: 'Apache, `mpm_prefork`',
    listens: 'the parent; its children accept',
    kinds: without('websocket'),
    note: 'The same; 64 processes from the start, where the default adds one a second.',
  },
  puma: {
    ...plain,
    folder: 'puma',
    title: 'puma (Ruby)',
    version: ['puma', '--version'],
    packages: ['puma'],
    listens: 'the master; 2 forked workers accept',
  },
  php: {
    ...plain,
    folder: 'php',
    title: 'PHP’s built-in server',
    version: ['php', '--version'],
    packages: ['php-cli'],
    listens: 'the master; 32 forked workers accept',
    kinds: without('stream', 'websocket'),
    note: '`env` has PHP_CLI_SERVER_WORKERS; without it PHP answers one request at a time, and with it a stream takes a whole worker.',
  },
} as const satisfies Readonly<Record<string, Server>>

/** Those that take the socket which they are given. */
const given = {
  'given-node': { ...node, config: 'cutover-inherit.yaml', title: 'Node, `http`', listens: '`listen({ fd: 3 })`' },
  'given-gunicorn': {
    ...all.gunicorn,
    config: 'cutover-inherit.yaml',
    listens: 'without `--bind`, by itself',
  },
  'given-uvicorn': { ...all.uvicorn, config: 'cutover-inherit.yaml', listens: '`--fd 3`' },
  'given-python': { ...all.python, config: 'cutover-inherit.yaml', listens: '`socket.socket(fileno=3)`' },
  'given-puma': { ...all.puma, config: 'cutover-inherit.yaml', listens: '`--bind-to-activated-sockets only`' },
  'given-nginx': {
    ...all.nginx,
    config: 'cutover-inherit.yaml',
    listens: '`NGINX=3;`, at the same address as its `listen`',
  },
  'given-c': {
    ...plain,
    folder: 'c',
    title: 'a C program',
    version: ['gcc', '--version'],
    packages: [],
    listens: '`accept(3, …)`',
    kinds: without('websocket', 'stream', 'trickle'),
    note: 'It is an example in a hundred lines.',
  },
} as const satisfies Readonly<Record<string, Server>>

export type HardCoded = keyof typeof all
export type Given = keyof typeof given
export type ServerName = HardCoded | Given

export const servers: Readonly<Record<ServerName, Server>> = { ...all, ...given }

/** Whose port is hard-coded, and nothing else configured. */
export const serverNames = Object.keys(all) as readonly HardCoded[]
export const givenNames = Object.keys(given) as readonly Given[]
/** Those of them that go through hundreds of switches. */
export const givenForLong = ['given-node', 'given-gunicorn', 'given-uvicorn', 'given-c'] as const satisfies Given[]
