/** `npm run build`: makes `dist/`, from which an installed package runs. A checkout uses it for as long as it is of the present sources. */
import { rename, rm } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { programFolder } from '../../program.ts'
import { bundleCommands, bundleDaemon } from './bundle.ts'

const dist = fileURLToPath(new URL('dist', programFolder))
const aside = `${dist}.partial`

await rm(aside, { recursive: true, force: true })
await bundleDaemon(aside)
await bundleCommands(aside)
await rm(dist, { recursive: true, force: true })
await rename(aside, dist)
