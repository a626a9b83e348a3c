// Who may import what: the floors of the house, the fences around vendors, and what nobody imports.
import { builtinModules } from 'node:module'
import {
  type Finding,
  folderOf,
  type Import,
  importsOf,
  lineOf,
  nameOf,
  nodesOf,
  type Source,
  type SyntaxNode,
} from './source.ts'

interface Room {
  floor: number
  /** Folders that it may import from, besides its own; or all that are on lower floors. */
  imports: string[] | 'below'
  /** Packages that it may import; a star stands for the rest of a name. */
  vendors: string[]
}

const words = ['multiformats', 'multiformats/*']
const disk = ['node:fs', 'node:fs/promises', 'node:path']
const organ = (vendors: string[], imports: string[] = ['base', 'core']): Room => ({
  floor: 3,
  imports,
  vendors: [...words, ...vendors],
})

/** The folders of src. One that does not exist yet has its place already. */
const house: Record<string, Room> = {
  base: { floor: 0, imports: [], vendors: ['node:crypto', 'node:timers'] },
  core: { floor: 1, imports: ['base'], vendors: [...words, '@ipld/dag-cbor', 'node:crypto'] },
  placement: { floor: 2, imports: ['base', 'core'], vendors: words },
  store: organ(['lmdb', ...disk]),
  files: organ(['ipfs-unixfs', '@ipld/*', '@multiformats/murmur3', ...disk]),
  net: organ([
    'libp2p',
    '@libp2p/*',
    '@chainsafe/*',
    '@multiformats/*',
    '@ipld/dag-cbor',
    'datastore-core',
    'interface-datastore',
    'uint8arraylist',
    'uint8arrays',
    'node:crypto',
    'node:net',
    'node:os',
  ]),
  members: organ(['@ipld/dag-cbor']),
  routing: organ(['@ipld/dag-cbor']),
  exchange: organ(['@ipld/dag-cbor']),
  records: organ(['@ipld/dag-cbor'], ['base', 'core', 'placement']),
  replicas: organ(['@ipld/dag-cbor'], ['base', 'core', 'placement']),
  node: {
    floor: 4,
    imports: 'below',
    vendors: [...words, ...disk, 'node:child_process', 'node:net', 'node:os', 'node:crypto', 'node:v8'],
  },
  http: { floor: 5, imports: ['base', 'core', 'node'], vendors: [...words, ...disk, 'fastify', 'node:*'] },
  sim: { floor: 5, imports: ['base', 'core', 'node', 'store'], vendors: words },
  bench: { floor: 6, imports: 'below', vendors: [...words, 'node:*', 'libp2p', '@libp2p/*'] },
  cli: { floor: 7, imports: 'below', vendors: [...words, 'commander', 'cli-progress', 'node:*'] },
  '': { floor: 8, imports: 'below', vendors: [] },
}

const inSource = (sources: Source[]) => sources.filter(({ path }) => folderOf(path) !== undefined)

/** Imports go down the house, types included, and organs do not know each other. */
export function floors(sources: Source[]): Finding[] {
  return inSource(sources).flatMap((source) => {
    const own = folderOf(source.path)!
    const room = house[own]
    if (!room)
      return [`${source.path}: folder '${own}' has no floor; give it one in the design and in test/tidy/house.ts`]
    return importsOf(source).flatMap(({ path, line }) => {
      if (path === undefined) return []
      const other = folderOf(path)
      if (other === own) return []
      const below = other !== undefined && (house[other]?.floor ?? 9) < room.floor
      const allowed = room.imports === 'below' ? below : below && room.imports.includes(other!)
      if (allowed) return []
      return [
        `${source.path}:${line}: ${own} may not import ${path}; take it as a port, or move what both need down a floor`,
      ]
    })
  })
}

/** Each package is imported where it belongs and nowhere else. */
export function fences(sources: Source[]): Finding[] {
  return inSource(sources).flatMap((source) =>
    importsOf(source).flatMap(({ specifier, path, line }) => {
      if (path !== undefined || specifier === '') return []
      const vendors = house[folderOf(source.path)!]?.vendors ?? []
      const isAllowed = vendors.some((vendor) =>
        vendor.endsWith('*') ? specifier.startsWith(vendor.slice(0, -1)) : specifier === vendor,
      )
      if (isAllowed) return []
      return [`${source.path}:${line}: '${specifier}' is fenced off here; use the folder that wraps it, through a port`]
    }),
  )
}

/** What src imports is a dependency, and every dependency is imported. */
export function dependencies(sources: Source[], manifest: { dependencies: Record<string, string> }): Finding[] {
  const unused = new Set(Object.keys(manifest.dependencies))
  const missing: Finding[] = []
  for (const source of inSource(sources)) {
    for (const { specifier, path, line } of importsOf(source)) {
      if (path !== undefined || specifier === '' || specifier.startsWith('node:')) continue
      const name = specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/')
      if (builtinModules.includes(name)) missing.push(`${source.path}:${line}: write 'node:${name}'`)
      else if (!Object.hasOwn(manifest.dependencies, name))
        missing.push(`${source.path}:${line}: '${name}' is not among the dependencies in package.json`)
      unused.delete(name)
    }
  }
  return [...missing, ...[...unused].map((name) => `package.json: nothing in src imports '${name}'; remove it`)]
}

/** No file imports itself by way of others, types included. */
export function cycles(sources: Source[]): Finding[] {
  const edges = new Map(sources.map((source) => [source.path, importsOf(source).map(({ path }) => path)]))
  const findings: Finding[] = []
  const finished = new Set<string>()
  const visit = (path: string, above: string[]) => {
    if (above.includes(path)) {
      const ring = [...above.slice(above.indexOf(path)), path].join(' -> ')
      findings.push(`${path}: imports go round in a circle (${ring}); move what they share to a file of its own`)
      return
    }
    if (finished.has(path)) return
    for (const next of edges.get(path) ?? []) if (next !== undefined) visit(next, [...above, path])
    finished.add(path)
  }
  for (const path of edges.keys()) visit(path, [])
  return findings
}

/** Only src/index.ts passes on what others export. */
export function barrels(sources: Source[]): Finding[] {
  return inSource(sources).flatMap((source) => {
    if (source.path === 'src/index.ts') return []
    if (source.path.endsWith('/index.ts')) return [`${source.path}: name the file after what it holds`]
    const passedOn = importsOf(source).find(({ isReexport }) => isReexport)
    return passedOn ? [`${source.path}:${passedOn.line}: import '${passedOn.specifier}' where it is used instead`] : []
  })
}

/**
 * Every export of src is imported by another file; a type may instead be named by another export of its file.
 * `src/index.ts` exports for the world.
 */
export function deadExports(sources: Source[]): Finding[] {
  const used = usedNames(sources)
  return inSource(sources).flatMap((source) => {
    if (source.path === 'src/index.ts') return []
    const names = new Set([...(used.get(source.path) ?? []), ...(used.get('') ?? [])])
    if (names.has('*')) return []
    const exported = exportsOf(source)
    const isNamed = (name: string) => exported.some((other) => other.name !== name && other.mentions.has(name))
    return exported
      .filter(({ name, isType }) => !names.has(name) && !(isType && isNamed(name)))
      .map(({ name, line }) => `${source.path}:${line}: nobody imports '${name}'; remove it, or the word export`)
  })
}

/** The names imported from each file; those of files that are computed when the program runs are under ''. */
function usedNames(sources: Source[]): Map<string, Set<string>> {
  const used = new Map<string, Set<string>>()
  for (const { path = '', specifier, names } of sources.flatMap(importsOf)) {
    if (path === '' && specifier !== '') continue
    const all = used.get(path) ?? new Set()
    used.set(path, all)
    for (const name of names) all.add(name)
  }
  return used
}

/** Every file of src is imported, or named in a text (a program that is started), or is where a program begins. */
export function deadFiles(sources: Source[], manifest: string): Finding[] {
  const imported = new Set(sources.flatMap(importsOf).map(({ path }: Import) => path))
  const texts = inSource(sources).flatMap(({ program }) =>
    [...nodesOf(program)].map(({ node }) => (node.type === 'TemplateElement' ? rawOf(node) : nameOf(node)) ?? ''),
  )
  const isNamed = (path: string) => {
    const stem = path
      .split('/')
      .at(-1)!
      .replace(/\.\w+$/, '')
    return texts.some((text) => text.includes(`/${stem}.`)) || manifest.includes(path)
  }
  return inSource(sources)
    .filter(({ path }) => path !== 'src/index.ts' && !imported.has(path) && !isNamed(path))
    .map(({ path }) => `${path}: nothing imports it and nothing starts it; remove it`)
}

function rawOf(node: SyntaxNode): string {
  return (node.value as { raw: string }).raw
}

interface Export {
  name: string
  isType: boolean
  /** Names of types that it is declared with. */
  mentions: Set<string>
  line: number
}

function exportsOf(source: Source): Export[] {
  return (source.program.body as SyntaxNode[]).flatMap((node) => {
    const line = lineOf(source, node.start)
    const mentions = mentionedTypes(node)
    const isType = /^TS(Interface|TypeAlias)/.test((node.declaration as SyntaxNode | null)?.type ?? '')
    if (node.type === 'ExportDefaultDeclaration') return [{ name: 'default', isType, mentions, line }]
    if (node.type !== 'ExportNamedDeclaration') return []
    const declaration = node.declaration as SyntaxNode | null
    const declared = (declaration?.declarations as SyntaxNode[] | undefined) ?? (declaration ? [declaration] : [])
    const specifiers = (node.specifiers as SyntaxNode[]).map(({ exported }) => nameOf(exported))
    const names = [...declared.map(({ id }) => nameOf(id)), ...specifiers]
    return names.flatMap((name) => (name === undefined ? [] : [{ name, isType, mentions, line }]))
  })
}

/** The types in a declaration's signature; what a function does inside is its own business. */
function mentionedTypes(node: SyntaxNode): Set<string> {
  const mentions = new Set<string>()
  for (const { node: inner } of nodesOf(node)) {
    if (inner.type === 'TSTypeReference') mentions.add(nameOf(inner.typeName) ?? '')
    if (inner.type === 'TSInterfaceHeritage' || inner.type === 'TSClassImplements')
      mentions.add(nameOf(inner.expression) ?? '')
  }
  return mentions
}
