/** The kernel programs as they were compiled: the object files of one folder, and a name for just these. */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { type BpfObject, readObject } from '../../linux/bpf-object.ts'
import { programFolder } from '../../program.ts'

const names = ['lookup', 'nobody', 'group', 'hooks'] as const

export interface Objects extends Readonly<Record<(typeof names)[number], BpfObject>> {
  /** The same for the same bytes, and for no others: by it the programs are known that run. */
  readonly digest: string
}

/** The folder of those that belong to this program. */
export const ownObjects = new URL('bpf/', programFolder)

/** Reads what bpf/build.sh makes. `folder` ends with a slash. */
export function readObjects(folder: URL): Objects {
  const fileOf = (name: string): URL => new URL(`${name}.o`, folder)
  const digest = createHash('sha256')
  for (const name of names) digest.update(readFileSync(fileOf(name)))
  const read = (name: (typeof names)[number]): BpfObject => readObject(fileOf(name))
  return {
    lookup: read('lookup'),
    nobody: read('nobody'),
    group: read('group'),
    hooks: read('hooks'),
    digest: digest.digest('hex').slice(0, 16),
  }
}
