// Small trees of files for tests: made on the disk, read back, and told to ipfs-unixfs-importer, which is the oracle.
import { mkdir, mkdtemp, readdir, readFile, readlink, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { type ImportCandidate, importer } from 'ipfs-unixfs-importer'
import { fixedSize } from 'ipfs-unixfs-importer/chunker'
import { balanced } from 'ipfs-unixfs-importer/layout'
import { CID } from 'multiformats/cid'
import type { Profile } from '../../src/files/profiles.ts'
import { unixfsV0, unixfsV1 } from '../../src/files/profiles.ts'

export type Tree = { file: Uint8Array } | { link: string } | { folder: Record<string, Tree> }

/** Profiles with the real shapes and tiny figures, so that small inputs cross every boundary. */
export const tinyV1: Profile = { ...unixfsV1, name: 'tiny-v1', chunkBytes: 10, linksMax: 3 }
export const tinyV0: Profile = { ...unixfsV0, name: 'tiny-v0', chunkBytes: 10, linksMax: 3 }

/** A temporary folder, gone when the test ends. */
export async function temporaryFolder(context: { after(fn: () => Promise<void>): void }): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'potluck-files-'))
  context.after(() => rm(path, { recursive: true, force: true }))
  return path
}

export async function makeTree(path: string, tree: Tree): Promise<void> {
  if ('file' in tree) await writeFile(path, tree.file)
  else if ('link' in tree) await symlink(tree.link, path)
  else {
    await mkdir(path)
    for (const [name, below] of Object.entries(tree.folder)) await makeTree(join(path, name), below)
  }
}

export async function readTree(path: string): Promise<Tree> {
  const folder: Record<string, Tree> = {}
  for (const entry of await readdir(path, { withFileTypes: true })) {
    const inner = join(path, entry.name)
    if (entry.isDirectory()) folder[entry.name] = await readTree(inner)
    else if (entry.isSymbolicLink()) folder[entry.name] = { link: await readlink(inner) }
    else folder[entry.name] = { file: new Uint8Array(await readFile(inner)) }
  }
  return { folder }
}

/** The CID that ipfs-unixfs-importer gives the folder. */
export async function oracleCid(folder: Record<string, Tree>, profile: Profile): Promise<CID> {
  let last: CID | undefined
  const options = oracleOptions(profile)
  for await (const entry of importer(candidates('root', { folder }), { put: async (cid: CID) => cid }, options)) {
    last = CID.asCID(entry.cid) ?? undefined
  }
  return last!
}

export function oracleOptions(profile: Profile) {
  return {
    cidVersion: profile.cidVersion,
    rawLeaves: profile.rawLeaves,
    chunker: fixedSize({ chunkSize: profile.chunkBytes }),
    layout: balanced({ maxChildrenPerNode: profile.linksMax }),
    shardSplitStrategy: profile.shardBy,
    shardSplitThresholdBytes: profile.shardAboveBytes,
  }
}

function* candidates(path: string, tree: Tree): Generator<ImportCandidate> {
  if ('file' in tree) yield { path, content: tree.file }
  else if ('link' in tree) yield { path, link: tree.link } as ImportCandidate
  else {
    yield { path }
    for (const [name, below] of Object.entries(tree.folder)) yield* candidates(`${path}/${name}`, below)
  }
}

/** Names of any characters that a file may have here and a path of the oracle may hold. */
export const anyName = fc
  .string({ unit: 'binary', minLength: 1, maxLength: 20 })
  .filter((name) => !/[/\\\0]/.test(name) && name !== '.' && name !== '..')

const contents = fc.uint8Array({ maxLength: 200 }).map((file) => ({ file }))
const links = anyName.map((link) => ({ link }))

export const anyFolder: fc.Arbitrary<Record<string, Tree>> = fc.letrec<{ folder: Record<string, Tree>; tree: Tree }>(
  (tie) => ({
    folder: fc.dictionary(anyName, tie('tree'), { maxKeys: 6, noNullPrototype: true }),
    tree: fc.oneof(
      { depthSize: 'small', withCrossShrink: true },
      contents,
      links,
      tie('folder').map((folder) => ({ folder })),
    ),
  }),
).folder
