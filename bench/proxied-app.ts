/** nginx as an app, and what stands in front of apps elsewhere: nginx and HAProxy as proxies. All of them with one worker, as they come. */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import { endGroup, untilAccepting } from '../test/support/examples.ts'
import type { Scope } from './figures.ts'

/** Where each of them listens. The proxies lead to the bare one. */
export const ports = { steered: 8080, shared: 8081, bare: 8090, nginx: 8091, haproxy: 8092 } as const

/** A folder with nginx as an app that answers a few bytes on the port. */
export const appFolder = (scope: Scope, port: number): string =>
  folderWith(scope, {
    'cutover.yaml': `app: nginx\nrun: nginx -p . -e stderr -c nginx.conf\nport: ${port}\nhealth: {path: /}\n`,
    'nginx.conf': nginxConf(`server { listen ${port}; location / { return 200 "v1\\n"; } }`),
  })

/** The same with the socket that it is given, which nginx looks for among those of a former binary. */
export const givenFolder = (scope: Scope, port: number): string =>
  folderWith(scope, {
    'cutover.yaml': `app: nginx-given\nrun: nginx -p . -e stderr -c nginx.conf\nports: [{port: ${port}, address: 0.0.0.0}]\nbind: inherit\nenv: {NGINX: "3;"}\nhealth: {path: /}\n`,
    'nginx.conf': nginxConf(`server { listen ${port}; location / { return 200 "v1\\n"; } }`),
  })

/** Starts the app without Cutover, and the two proxies before it. */
export async function startPeers(scope: Scope): Promise<void> {
  const app = appFolder(scope, ports.bare)
  const proxies = folderWith(scope, {
    'nginx.conf': nginxConf(`
      upstream app { server 127.0.0.1:${ports.bare}; keepalive 64; }
      server {
        listen ${ports.nginx};
        location / { proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection ""; }
      }`),
    'haproxy.cfg': `
global
  nbthread 1
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
listen app
  bind :${ports.haproxy}
  server app 127.0.0.1:${ports.bare}
`,
  })
  await Promise.all([
    started(scope, app, ports.bare, 'nginx', '-p', '.', '-e', 'stderr', '-c', 'nginx.conf'),
    started(scope, proxies, ports.nginx, 'nginx', '-p', '.', '-e', 'stderr', '-c', 'nginx.conf'),
    started(scope, proxies, ports.haproxy, 'haproxy', '-db', '-f', 'haproxy.cfg'),
  ])
}

/** Connections stay for as long as their client likes: a limit would be met in the midst of a run. */
const nginxConf = (server: string): string => `
daemon off;
worker_processes 1;
pid nginx.pid;
events { worker_connections 1024; }
http {
  access_log off;
  keepalive_requests 100000000;
  client_body_temp_path body;
  proxy_temp_path proxy;
  fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi;
  scgi_temp_path scgi;
  ${server}
}
`

function folderWith(scope: Scope, files: Readonly<Record<string, string>>): string {
  const folder = mkdtempSync(join(tmpdir(), 'cutover-bench-'))
  scope.after(() => rmSync(folder, { recursive: true, force: true }))
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text)
  return folder
}

async function started(scope: Scope, cwd: string, port: number, program: string, ...args: string[]): Promise<void> {
  const env = { PATH: process.env.PATH }
  const child: ChildProcess = spawn(program, args, { cwd, env, stdio: ['ignore', 'ignore', 'inherit'], detached: true })
  scope.after(() => endGroup(child))
  await untilAccepting(port, () => child.exitCode === null && child.signalCode === null)
}
