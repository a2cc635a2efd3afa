/**
 * `npm run kernels [-- PACKAGE]`: the tests of what touches the kernel, on the kernel of another Debian package (`linux-image-6.1.0-50-amd64`; left
 * out: the one that `linux-image-amd64` stands for). It runs in qemu, without KVM where there is none, on this very file system, which it
 * cannot change; Yama is on as Ubuntu has it. Slow without KVM. Needs root, qemu-system-x86 and a mirror of Debian.
 */
import { dirname } from 'node:path'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { withScope } from '../../bench/scope.ts'
import { boot } from './machine.ts'
import { kernelPackage, unpacked } from './packages.ts'

/** Each by whom, and what. The first ones load and prove the programs; those of the ordinary user meet Yama. */
const runs = [
  { as: 'root', tests: ['test/linux', 'test/steer'] },
  { as: 'nobody', tests: ['test/system/share/lifecycle.test.ts', 'test/system/share/recovery.test.ts'] },
] as const

if (process.getuid?.() !== 0) {
  console.error('kernels: needs root')
  process.exit(3)
}
const checkout = fileURLToPath(new URL('../..', import.meta.url))
const commands = runs.map(({ as, tests }) => {
  const run = `cd ${checkout}; export HOME=$(mktemp -d) NO_COLOR=1 PATH=${dirname(process.execPath)}:$PATH; exec node test/run.ts ${tests.join(' ')}`
  return as === 'root' ? run : `setpriv --reuid ${as} --regid nogroup --clear-groups sh -c '${run}'`
})

await withScope(async (scope) => {
  const kernel = unpacked(scope, process.argv[2] ?? kernelPackage())
  process.exitCode = await boot(scope, kernel, commands)
})
