// The same server in a cluster, as Node's own manual has it: the primary accepts connections and hands them to its workers.
import cluster from 'node:cluster'

if (cluster.isPrimary) {
  for (let worker = 0; worker < 2; worker++) cluster.fork()
  cluster.on('exit', () => cluster.fork())
} else {
  await import('./server.mjs')
}
