// The source files as the checks see them: parsed once, with a walk over the syntax tree. A check is a function from files
// to findings, so that it can be shown a file that is wrong.
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { posix } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { parseSync } from 'oxc-parser'

/** A node of the syntax tree (ESTree with TypeScript's additions): `type` and whatever that type has. */
export interface SyntaxNode {
  type: string
  start: number
  end: number
  [key: string]: unknown
}

export interface Source {
  /** From the top of the repository: `src/base/clock.ts`. */
  path: string
  text: string
  program: SyntaxNode
  comments: { text: string; start: number; end: number; isLine: boolean }[]
}

/** What is wrong and what to do about it, beginning with where it is. */
export type Finding = string

/** An import, an export from, or an import() of a literal. */
export interface Import {
  /** As it is written; '' if it is computed. */
  specifier: string
  /** The file that a relative specifier names. */
  path: string | undefined
  /** The imported names; '*' for all of them. */
  names: string[]
  isReexport: boolean
  line: number
}

export function parse(path: string, text: string): Source {
  const { program, comments, errors } = parseSync(path, text)
  if (errors.length > 0) throw new Error(`${path} does not parse: ${errors[0]?.message}`)
  const simple = comments.map(({ type, value, start, end }) => ({ text: value, start, end, isLine: type === 'Line' }))
  return { path, text, program: program as unknown as SyntaxNode, comments: simple }
}

const top = fileURLToPath(new URL('../../', import.meta.url))

/** Paths of all files that git has or would take, except deleted ones. */
export async function trackedPaths(): Promise<string[]> {
  const listing = ['ls-files', '-z', '--cached', '--others', '--exclude-standard']
  const { stdout } = await promisify(execFile)('git', listing, { cwd: top, maxBuffer: 2 ** 26 })
  return stdout.split('\0').filter((path) => path !== '' && existsSync(posix.join(top, path)))
}

export function readTracked(path: string): Promise<string> {
  return readFile(posix.join(top, path), 'utf8')
}

export async function readSources(paths: string[]): Promise<Source[]> {
  const code = paths.filter((path) => /^(src|test|examples)\/.*\.(ts|js|mjs)$/.test(path))
  return await Promise.all(code.map(async (path) => parse(path, await readTracked(path))))
}

export function isNode(value: unknown): value is SyntaxNode {
  return typeof value === 'object' && value !== null && typeof (value as SyntaxNode).type === 'string'
}

/** Every node below and including this one, parents first. */
export function* nodesOf(node: SyntaxNode, parent?: SyntaxNode): Generator<{ node: SyntaxNode; parent?: SyntaxNode }> {
  yield parent ? { node, parent } : { node }
  for (const value of Object.values(node)) {
    for (const child of Array.isArray(value) ? value : [value]) if (isNode(child)) yield* nodesOf(child, node)
  }
}

export function lineOf({ text }: Source, offset: number): number {
  return text.slice(0, offset).split('\n').length
}

/** The text of an identifier, a private name or a string, as keys and names are. */
export function nameOf(node: unknown): string | undefined {
  if (!isNode(node)) return undefined
  const name = node.name ?? node.value
  return typeof name === 'string' ? name : undefined
}

/** The folder of a file of src: `store` for `src/store/writer.ts`, '' for `src/index.ts`; undefined outside of src. */
export function folderOf(path: string): string | undefined {
  const match = /^src\/(?:([^/]+)\/)?/.exec(path)
  return match ? (match[1] ?? '') : undefined
}

export function importsOf(source: Source): Import[] {
  const imports: Import[] = []
  for (const { node, parent } of nodesOf(source.program)) {
    if (!isNode(node.source)) continue
    // The file of an import() that is not a literal is only known when the program runs.
    const specifier = (node.source.type === 'Literal' ? nameOf(node.source) : undefined) ?? ''
    const isReexport = node.type === 'ExportNamedDeclaration' || node.type === 'ExportAllDeclaration'
    if (!isReexport && node.type !== 'ImportDeclaration' && node.type !== 'ImportExpression') continue
    const path = specifier.startsWith('.') ? posix.join(posix.dirname(source.path), specifier) : undefined
    const names = node.type === 'ImportExpression' ? awaitedNames(source, node, parent) : namesOf(source, node)
    imports.push({ specifier, path, names, isReexport, line: lineOf(source, node.start) })
  }
  return imports
}

function namesOf(source: Source, node: SyntaxNode): string[] {
  if (node.type === 'ExportAllDeclaration') return ['*']
  return (node.specifiers as SyntaxNode[]).flatMap((specifier) => {
    if (specifier.type === 'ImportDefaultSpecifier') return ['default']
    if (specifier.type === 'ImportNamespaceSpecifier') return membersOf(source, nameOf(specifier.local) ?? '')
    return [nameOf(specifier.type === 'ExportSpecifier' ? specifier.local : specifier.imported) ?? '*']
  })
}

/** The names that are taken out of a namespace import. */
function membersOf(source: Source, namespace: string): string[] {
  const names: string[] = []
  for (const { node } of nodesOf(source.program)) {
    const [object, member] = node.type === 'MemberExpression' ? [node.object, node.property] : [node.left, node.right]
    if (node.type !== 'MemberExpression' && node.type !== 'TSQualifiedName') continue
    if (nameOf(object) === namespace) names.push(nameOf(member) ?? '*')
  }
  return names
}

/** The names in `const { a, b } = await import('./c.ts')`; all of them if it is used in another way. */
function awaitedNames(source: Source, node: SyntaxNode, parent: SyntaxNode | undefined): string[] {
  for (const { node: declarator } of nodesOf(source.program)) {
    if (declarator.type !== 'VariableDeclarator' || declarator.init !== parent) continue
    if (!isNode(declarator.id) || declarator.id.type !== 'ObjectPattern' || parent?.argument !== node) continue
    return (declarator.id.properties as SyntaxNode[]).map((property) => nameOf(property.key) ?? '*')
  }
  return ['*']
}
