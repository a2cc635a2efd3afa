import { openSharing } from '../src/strategies/share/sharing.ts'
import { temporaryCgroup, temporaryDirectory } from '../test/support/workspace.ts'
import { figure, type Measurement } from './figures.ts'

const app = 1
const port = 8080
const switches = 3000

export const share: Measurement = {
  name: 'share',
  title: 'The switch without privilege',
  how: `The strategy \`share\`: one setsockopt on the group of the port, which makes the kernel check and compile a program of some ten instructions, as each receipt tells it (\`switch_us\`). ${switches.toLocaleString('en-US')} switches to and fro between two releases, back to back. It is the same call whoever makes it.`,

  async measure(scope, rounds) {
    const cgroup = temporaryCgroup(scope)
    const sharing = openSharing({ book: `${temporaryDirectory(scope)}/places.json`, cgroup })
    scope.after(() => sharing.destroy())
    sharing.addApp(app, { ports: [port], holdMs: 5000, inherit: true })
    for (const release of [1, 2])
      sharing.addRelease({ app, release }, `${cgroup}/v${release}`, [{ port, address: null }])
    const times: number[] = []
    for (let i = 0; i < switches * rounds; i++) times.push(sharing.switchTo(app, 1 + (i % 2), { hold: true }))
    return [figure('the switch', 'µs', times, { atMost: 100 })]
  },
}
