// How a file looks: what it opens with, its name and length, and words that have no place in it.
import { type Finding, folderOf, isNode, lineOf, nameOf, nodesOf, type Source, type SyntaxNode } from './source.ts'

const inSource = (sources: Source[]) => sources.filter(({ path }) => folderOf(path) !== undefined)

/** A file opens with prose: what it is, what it promises, what it is not. Tests and examples may say it in one sentence. */
export function openings(sources: Source[]): Finding[] {
  return sources.flatMap(({ path, text, comments, program }) => {
    const first = (program.body as SyntaxNode[])[0]?.start ?? text.length
    const prose: string[] = []
    let end = /^#!.*\n/.exec(text)?.[0].length ?? 0
    for (const comment of comments) {
      // A comment after an empty line is not the opening, but that of what follows.
      if (comment.start > first || text.slice(end, comment.start).trim() !== '') break
      if (prose.length > 0 && text.slice(end, comment.start).includes('\n\n')) break
      prose.push(comment.text.trim())
      end = comment.end
    }
    const words = prose.join(' ')
    const sentences = words.match(/[.!?](\s|$)/g)?.length ?? 0
    if (words.length >= 80 || sentences >= (folderOf(path) === undefined ? 1 : 2)) return []
    return [`${path}: open it with a few sentences: what it is, what it promises, what it is not`]
  })
}

const emptyWords = ['util', 'utils', 'helper', 'helpers', 'manager', 'service', 'common', 'misc', 'shared', 'stuff']

/** Files are named in kebab-case after what they hold. */
export function fileNames(paths: string[]): Finding[] {
  return paths.flatMap((path) => {
    const folders = path.split('/').slice(1)
    const bare = folders.map((part) => part.replace(/(\.test)?\.\w+$/, ''))
    if (!/^(src|test|examples)\//.test(path) || !/\.(ts|js|mjs)$/.test(path)) return []
    const empty = bare.flatMap((part) => part.split('-')).find((word) => emptyWords.includes(word))
    if (empty) return [`${path}: '${empty}' says nothing; name it after the noun it is about`]
    const odd = bare.find((part) => !/^[a-z0-9]+(-[a-z0-9]+)*$/.test(part))
    return odd === undefined ? [] : [`${path}: write '${odd}' in kebab-case`]
  })
}

/** What may be longer: a path, or a path and a function, with the reason. */
export type Reasons = Record<string, string>

const fileLinesMax = 400
const functionLinesMax = 70

/** Files have at most 400 lines, functions 70. An exception that is no longer needed is a finding too. */
export function lengths(sources: Source[], exceptions: Reasons): Finding[] {
  const unneeded = new Set(Object.keys(exceptions))
  const findings: Finding[] = []
  const note = (key: string, lines: number, most: number, advice: string) => {
    if (lines <= most) return
    if (!unneeded.delete(key)) findings.push(`${key}: ${lines} lines, over ${most}; ${advice}`)
  }
  for (const source of inSource(sources)) {
    const lines = source.text.trimEnd().split('\n').length
    note(source.path, lines, fileLinesMax, 'split it where it has two ideas')
    for (const { node, parent } of nodesOf(source.program)) {
      if (!/^(FunctionDeclaration|FunctionExpression|ArrowFunctionExpression)$/.test(node.type)) continue
      const length = lineOf(source, node.end) - lineOf(source, node.start) + 1
      const name = nameOf(node.id) ?? nameOf(parent?.key) ?? nameOf(parent?.id) ?? `line ${lineOf(source, node.start)}`
      note(`${source.path}: ${name}`, length, functionLinesMax, 'give a part of it a name')
    }
  }
  const stale = [...unneeded].map((key) => `${key}: is short enough now; remove its exception`)
  return [...findings, ...stale]
}

const forbiddenCalls = new Set(['setTimeout', 'setInterval', 'setImmediate'])
const forbiddenMembers = new Set([
  'Date.now',
  'Math.random',
  'performance.now',
  'process.hrtime',
  'process.uptime',
  'AbortSignal.timeout',
  'crypto.randomUUID',
])

/** Time and chance come from the ports in base, so that a test can turn hours into microseconds. */
export function ports(sources: Source[], exceptions: Reasons): Finding[] {
  const unneeded = new Set(Object.keys(exceptions))
  const findings = inSource(sources).flatMap((source) => {
    if (folderOf(source.path) === 'base') return []
    const found = [...nodesOf(source.program)].flatMap(({ node }) => {
      const what = ambient(node)
      return what ? [`${source.path}:${lineOf(source, node.start)}: take a Clock or a Random instead of ${what}`] : []
    })
    return found.length > 0 && unneeded.delete(source.path) ? [] : found
  })
  return [...findings, ...[...unneeded].map((path) => `${path}: needs no exception any more; remove it`)]
}

function ambient(node: SyntaxNode): string | undefined {
  const callee = nameOf(node.callee)
  if (node.type === 'CallExpression' && callee && forbiddenCalls.has(callee)) return `${callee}()`
  if (node.type === 'NewExpression' && callee === 'Date' && (node.arguments as unknown[]).length === 0)
    return 'new Date()'
  if (node.type !== 'MemberExpression') return undefined
  const member = `${nameOf(node.object)}.${nameOf(node.property)}`
  return forbiddenMembers.has(member) ? member : undefined
}

/** No `any`, and no message of a tool is silenced without a reason beside it. */
export function silenced(sources: Source[]): Finding[] {
  return sources.flatMap((source) => {
    const anys = [...nodesOf(source.program)].flatMap(({ node }) =>
      node.type === 'TSAnyKeyword'
        ? [`${source.path}:${lineOf(source, node.start)}: say what it is instead of any`]
        : [],
    )
    const orders = source.comments.flatMap(({ text, start }) => {
      const order = /(@ts-(?:ignore|nocheck|expect-error)|(?:eslint|oxlint|biome)-(?:ignore|disable)\S*)(.*)/s.exec(
        text,
      )
      if (!order) return []
      const reason = order[2]!.replace(/^[^:]*:?/, '').trim()
      return reason.length >= 10 && !order[1]!.includes('ts-ignore')
        ? []
        : [`${source.path}:${lineOf(source, start)}: mend what ${order[1]} silences, or say why it must be so`]
    })
    return [...anys, ...orders]
  })
}

const erased = /^(TSEnumDeclaration|TSModuleDeclaration|TSParameterProperty|ExportDefaultDeclaration)$/

/** Types vanish without a trace: no enums, namespaces and parameter properties. Exports have names. */
export function plainSyntax(sources: Source[]): Finding[] {
  return inSource(sources).flatMap((source) =>
    [...nodesOf(source.program)]
      .filter(({ node }) => erased.test(node.type) && !(node.type === 'TSModuleDeclaration' && node.declare === true))
      .map(({ node }) => `${source.path}:${lineOf(source, node.start)}: write it without ${node.type}`),
  )
}

/** Names of properties that some code reads: `.name`, `['name']`, or `{ name }` taken apart. */
export function readsOf(sources: Source[]): Set<string> {
  const reads = new Set<string>()
  for (const { program } of sources) {
    for (const { node, parent } of nodesOf(program)) {
      const isWritten = parent?.type === 'AssignmentExpression' && parent.left === node && parent.operator === '='
      if (node.type === 'MemberExpression' && !isWritten) reads.add(nameOf(node.property) ?? '')
      if (node.type !== 'ObjectPattern') continue
      for (const property of node.properties as unknown[]) if (isNode(property)) reads.add(nameOf(property.key) ?? '')
    }
  }
  return reads
}
