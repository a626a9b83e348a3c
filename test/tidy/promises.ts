// What is declared is kept: options are read, limits hold, error codes are thrown and explained, and the commands of the
// README exist.
import { type Finding, folderOf, isNode, lineOf, nameOf, nodesOf, type Source, type SyntaxNode } from './source.ts'
import { readsOf } from './style.ts'

const inSource = (sources: Source[]) => sources.filter(({ path }) => folderOf(path) !== undefined)

/** Every property of a type named …Options or …Config is read somewhere. */
export function unreadOptions(sources: Source[]): Finding[] {
  const code = inSource(sources)
  const reads = readsOf(code)
  return code.flatMap((source) =>
    [...nodesOf(source.program)].flatMap(({ node }) => {
      const owner = nameOf(node.id)
      if (!/^TS(Interface|TypeAlias)Declaration$/.test(node.type) || !owner || !/(Options|Config)$/.test(owner))
        return []
      return propertiesOf(node)
        .filter((property) => !reads.has(nameOf(property.key) ?? ''))
        .map((property) => {
          const where = `${source.path}:${lineOf(source, property.start)}`
          return `${where}: nobody reads '${nameOf(property.key)}' of ${owner}; make it do something or remove it`
        })
    }),
  )
}

function propertiesOf(declaration: SyntaxNode): SyntaxNode[] {
  return [...nodesOf(declaration)].filter(({ node }) => node.type === 'TSPropertySignature').map(({ node }) => node)
}

const tables = { limits: 'src/core/limits.ts', times: 'src/core/times.ts' }

/** Every limit and time of the core is what some code goes by. */
export function unusedLimits(sources: Source[]): Finding[] {
  const uses = new Set<string>()
  for (const { program } of inSource(sources))
    for (const { node } of nodesOf(program))
      if (node.type === 'MemberExpression') uses.add(`${nameOf(node.object)}.${nameOf(node.property)}`)
  return Object.entries(tables).flatMap(([table, declaredIn]) => {
    const declaring = sources.find(({ path }) => path === declaredIn)
    if (!declaring) return [`${declaredIn}: is missing; ${table} are declared there`]
    const declarations = [...nodesOf(declaring.program)].filter(
      ({ node }) => node.type === 'VariableDeclarator' && nameOf(node.id) === table,
    )
    return declarations
      .flatMap(({ node }) => keysOf(node.init as SyntaxNode))
      .filter((key) => !uses.has(`${table}.${key}`))
      .map((key) => `${declaredIn}: nothing goes by ${table}.${key}; enforce it or remove it`)
  })
}

function keysOf(value: SyntaxNode): string[] {
  const object = [...nodesOf(value)].find(({ node }) => node.type === 'ObjectExpression')?.node
  return ((object?.properties as SyntaxNode[] | undefined) ?? []).map((property) => nameOf(property.key) ?? '')
}

const errorTable = 'src/node/errors.ts'

/** Every error code is thrown by some code, and the node's table gives it an exit code and an HTTP status. */
export function errorCodes(sources: Source[]): Finding[] {
  const table = sources.find(({ path }) => path === errorTable)
  if (!table) return [`${errorTable}: is missing; it gives each error code its exit code and HTTP status`]
  const explained = new Set(
    [...nodesOf(table.program)].flatMap(({ node }) => (node.type === 'Property' ? [nameOf(node.key)] : [])),
  )
  const thrown = new Set(inSource(sources).flatMap(({ program }) => textsInCode(program)))
  return inSource(sources).flatMap((source) =>
    [...nodesOf(source.program)].flatMap(({ node }) => {
      if (node.type !== 'TSTypeAliasDeclaration' || !/.ErrorCode$/.test(nameOf(node.id) ?? '')) return []
      return literalsOf(node).flatMap(({ code, start }) => [
        ...(thrown.has(code) ? [] : [`${source.path}:${lineOf(source, start)}: nothing throws ${code}; remove it`]),
        ...(explained.has(code) ? [] : [`${errorTable}: has no exit code and HTTP status for ${code}`]),
      ])
    }),
  )
}

function literalsOf(alias: SyntaxNode): { code: string; start: number }[] {
  return [...nodesOf(alias)].flatMap(({ node }) =>
    node.type === 'Literal' && typeof node.value === 'string' ? [{ code: node.value, start: node.start }] : [],
  )
}

/** The texts that code computes with: those in types, in keys of objects and in comparisons are none. */
function textsInCode(program: SyntaxNode): string[] {
  const texts: string[] = []
  const visit = (node: SyntaxNode) => {
    if (node.type.startsWith('TSTypeAlias') || node.type === 'TSLiteralType' || node.type === 'BinaryExpression') return
    if (node.type === 'Literal' && typeof node.value === 'string') texts.push(node.value)
    for (const [key, value] of Object.entries(node)) {
      if (key === 'key' && node.computed !== true) continue
      for (const child of Array.isArray(value) ? value : [value]) if (isNode(child)) visit(child)
    }
  }
  visit(program)
  return texts
}

/** Every `potluck …` of a text for people is a command of the program. */
export function readmeCommands(readme: string, sources: Source[]): Finding[] {
  const known = new Set(commandNames(sources))
  if (known.size === 0) return ['src/cli: declares no command at all; how test/tidy/promises.ts finds them has aged']
  const code = readme.match(/```[\s\S]*?```|`[^`]+`/g) ?? []
  const lines = code.flatMap((part) => part.split('\n'))
  const used = lines.flatMap((line) => [...line.matchAll(/(?:^|[`$&(] ?|npx |; )potluck ((?:--\w+ )*)([a-z][a-z-]*)/g)])
  const missing = new Set(used.map((match) => match[2]!).filter((name) => !known.has(name)))
  return [...missing].map((name) => `README.md: there is no command 'potluck ${name}'`)
}

/** Commands are declared as `define(parent, { name: 'start', … })`, or with commander's own `.command('pin')`. */
function commandNames(sources: Source[]): string[] {
  const calls = sources
    .filter(({ path }) => path.startsWith('src/cli/'))
    .flatMap(({ program }) => [...nodesOf(program)].map(({ node }) => node))
    .filter((node) => node.type === 'CallExpression')
  return calls.flatMap((call) => {
    const [first, second] = call.arguments as SyntaxNode[]
    if (nameOf((call.callee as SyntaxNode).property) === 'command') return [nameOf(first)?.split(' ')[0] ?? '']
    if (nameOf(call.callee) !== 'define' || second?.type !== 'ObjectExpression') return []
    const name = (second.properties as SyntaxNode[]).find((property) => nameOf(property.key) === 'name')
    return [nameOf(name?.value) ?? '']
  })
}
