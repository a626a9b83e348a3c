// The checks of the tidy test, each shown a file that is wrong and one that is right: a check that cannot fail is none.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as house from './house.ts'
import * as promises from './promises.ts'
import { type Finding, parse, type Source } from './source.ts'
import * as style from './style.ts'

const files = (texts: Record<string, string>): Source[] =>
  Object.entries(texts).map(([path, text]) => parse(path, text))

function finds(found: Finding[], ...expected: RegExp[]): void {
  assert.equal(found.length, expected.length, found.join('\n'))
  for (const [index, pattern] of expected.entries()) assert.match(found[index]!, pattern)
}

test('floors: imports that go up, across organs, or out of the house are found, types too', () => {
  const wrong = {
    'src/store/a.ts': "import type { Dht } from '../net/dht.ts'\nimport { x } from '../node/x.ts'",
    'src/base/b.ts': "import { y } from '../core/y.ts'",
    'src/core/c.ts': "export { z } from '../../test/z.ts'",
    'src/http/d.ts': "const s = await import('../store/open.ts')",
    'src/attic/e.ts': '',
  }
  finds(
    house.floors(files(wrong)),
    /src\/store\/a\.ts:1: store may not import src\/net\/dht\.ts/,
    /src\/store\/a\.ts:2: .*src\/node\/x\.ts/,
    /src\/base\/b\.ts:1/,
    /src\/core\/c\.ts:1/,
    /src\/http\/d\.ts:1/,
    /'attic' has no floor/,
  )
  const right = {
    'src/store/a.ts': "import '../base/b.ts'\nimport type { P } from '../core/ports.ts'\nimport './x.ts'",
    'src/replicas/a.ts': "import '../placement/ring.ts'",
    'src/cli/a.ts': "import '../bench/x.ts'\nimport '../store/x.ts'",
    'src/index.ts': "export { createPeer } from './node/open.ts'",
    'test/anything.test.ts': "import '../src/store/open.ts'\nimport '../src/net/host.ts'",
  }
  finds(house.floors(files(right)))
})

test('floors: the folders of the design that are still to come have their places', () => {
  const across = {
    'src/members/a.ts': "import '../records/b.ts'",
    'src/placement/a.ts': "import '../store/b.ts'",
    'src/sim/a.ts': "import '../http/b.ts'",
  }
  assert.equal(house.floors(files(across)).length, 3)
})

test('fences: a package is found outside of its folder', () => {
  const wrong = {
    'src/routing/a.ts': "import { Libp2p } from 'libp2p'",
    'src/exchange/a.ts': "import type { Stream } from '@libp2p/interface'",
    'src/core/a.ts': "import { readFile } from 'node:fs/promises'",
    'src/net/a.ts': "import { open } from 'lmdb'",
    'src/base/a.ts': "import { CID } from 'multiformats/cid'",
  }
  assert.equal(house.fences(files(wrong)).length, 5)
  const right = {
    'src/net/a.ts': "import { noise } from '@libp2p/noise'\nimport { CID } from 'multiformats/cid'",
    'src/store/a.ts': "import { open } from 'lmdb'\nimport { open as o } from 'node:fs/promises'",
    'src/cli/a.js': 'await import(path)',
  }
  finds(house.fences(files(right)))
})

test('dependencies: what is missing and what is unused is found', () => {
  const sources = files({
    'src/net/a.ts': "import 'a'\nimport '@b/c/deep'\nimport 'fs'\nimport 'node:net'",
    'test/a.ts': "import 'only-tests'",
  })
  finds(
    house.dependencies(sources, { dependencies: { a: '1', d: '1' } }),
    /'@b\/c' is not among/,
    /write 'node:fs'/,
    /nothing in src imports 'd'/,
  )
  finds(house.dependencies(files({ 'src/net/a.ts': "import 'a/x'" }), { dependencies: { a: '1' } }))
})

test('cycles: a ring of files is found, types included', () => {
  const ring = {
    'src/core/a.ts': "import './b.ts'",
    'src/core/b.ts': "import type { C } from './c.ts'",
    'src/core/c.ts': "import './a.ts'",
  }
  finds(house.cycles(files(ring)), /a\.ts -> src\/core\/b\.ts -> src\/core\/c\.ts -> src\/core\/a\.ts/)
  finds(house.cycles(files({ ...ring, 'src/core/c.ts': '' })))
})

test('barrels: passing on is for src/index.ts alone', () => {
  const wrong = { 'src/core/a.ts': "export * from './b.ts'", 'src/net/index.ts': '' }
  finds(house.barrels(files(wrong)), /core\/a\.ts:1/, /net\/index\.ts/)
  finds(
    house.barrels(files({ 'src/index.ts': "export { a } from './core/a.ts'", 'src/core/a.ts': 'export const a = 1' })),
  )
})

test('dead exports: what nobody imports is found', () => {
  const wrong = {
    'src/core/a.ts': 'export const used = 1\nexport function unused() {}\nexport class Alone {}\nexport type Lone = 1',
    'src/core/b.ts': "import { used } from './a.ts'\nimport * as c from './c.ts'\nc.taken()",
    'src/core/c.ts': 'export const taken = 1, left = 2',
  }
  finds(house.deadExports(files(wrong)), /'unused'/, /'Alone'/, /'Lone'/, /c\.ts:1: nobody imports 'left'/)
  const right = {
    'src/core/a.ts':
      'export interface Shape { side: Side }\nexport type Side = 1\nexport const a = (shape: Shape) => shape',
    'src/core/b.ts': 'export const lazy = 1\nexport type T = 1',
    'src/core/c.ts': 'export const started = 1',
    'src/index.ts': "export { a } from './core/a.ts'\nexport const forAll = 1",
    'test/b.test.ts':
      "const { lazy } = await import('../src/core/b.ts')\nimport type * as B from '../src/core/b.ts'\nlet t: B.T",
    'src/cli/launch.js': 'const { started: run } = await import(path)',
  }
  finds(house.deadExports(files(right)))
})

test('dead files: what nothing imports or starts is found', () => {
  const texts = {
    'src/core/lone.ts': '',
    'src/bench/role.ts': '',
    'src/bench/a.ts': "fork(new URL('./role.js', import.meta.url))",
    'src/cli/launch.js': "import '../bench/a.ts'",
    'src/index.ts': '',
  }
  finds(house.deadFiles(files(texts), '{ "bin": "src/cli/launch.js" }'), /src\/core\/lone\.ts/)
})

test('openings: a file without prose at its beginning is found', () => {
  const wrong = {
    'src/core/a.ts': 'export const a = 1\n// A sentence too late. And another one.',
    'src/core/b.ts': '// Too short.\nexport const b = 1',
    'src/core/c.ts': "// One.\n\n/** About the constant. And more of that. */\nexport const c = 'late'",
    'test/d.ts': 'export const d = 1',
  }
  assert.equal(style.openings(files(wrong)).length, 4)
  const right = {
    'src/core/a.ts': '// What it is. What it is not.\nexport const a = 1',
    'src/core/b.js': `#!/usr/bin/env node\n// ${'What it is and why, in a single sentence that goes on for a while '.repeat(2)}\n// and on.`,
    'test/c.ts': '// What is tested.\n',
  }
  finds(style.openings(files(right)))
})

test('names: empty words and other cases are found', () => {
  finds(style.fileNames(['src/core/string-utils.ts']), /'utils' says nothing/)
  finds(style.fileNames(['src/helpers/a.ts']), /'helpers' says nothing/)
  finds(style.fileNames(['src/core/BlockStore.ts']), /kebab-case/)
  finds(style.fileNames(['test/core/block_store.test.ts']), /kebab-case/)
  finds(style.fileNames(['src/core/dht-key.ts', 'test/core/block.test.ts', 'README.md', 'test/data/A_b.bin']))
})

test('lengths: long files and functions are found, and exceptions that are not needed', () => {
  const long = 'x()\n'.repeat(80)
  const sources = files({
    'src/core/a.ts': `const f = () => {\n${long}}\nclass C { m() {\n${long}} }\nfunction g() {}`,
    'src/core/b.ts': 'x()\n'.repeat(401),
    'test/c.ts': 'x()\n'.repeat(900),
  })
  finds(style.lengths(sources, {}), /a\.ts: f: 82 lines/, /a\.ts: m: 82 lines/, /b\.ts: 401 lines/)
  const reasons = { 'src/core/b.ts': 'a table', 'src/core/a.ts: f': 'one switch', 'src/core/a.ts: m': 'the same' }
  finds(style.lengths(sources, reasons))
  finds(style.lengths(files({ 'src/core/b.ts': '' }), { 'src/core/b.ts': 'a table' }), /remove its exception/)
})

test('ports: every way to read a clock or throw dice is found outside of base', () => {
  const ways = 'Date.now(); new Date(); Math.random(); performance.now(); setTimeout(f, 1); setInterval(f, 1)'
  const sources = files({
    'src/net/a.ts': `${ways}; AbortSignal.timeout(5)`,
    'src/base/clock.ts': ways,
    'test/a.ts': ways,
  })
  assert.equal(style.ports(sources, {}).length, 7)
  finds(style.ports(sources, { 'src/net/a.ts': 'a reason' }))
  finds(
    style.ports(files({ 'src/net/a.ts': 'new Date(5); clock.timer(1, f)' }), { 'src/net/a.ts': 'old' }),
    /no exception/,
  )
})

test('silenced: any, and orders to tools without a reason, are found', () => {
  const wrong = `let a: any
// @ts-ignore because I say so, at length
// @ts-expect-error
// biome-ignore lint/style/x: no
/* eslint-disable */`
  assert.equal(style.silenced(files({ 'src/core/a.ts': wrong })).length, 5)
  const right = `// Any word may stand in prose.
// @ts-expect-error: the types of the package forget that this may be undefined
// biome-ignore lint/style/x: the name comes from the specification`
  finds(style.silenced(files({ 'test/a.ts': right })))
})

test('plain syntax: what types would leave behind is found', () => {
  const wrong =
    'enum E { A }\nnamespace N { export const a = 1 }\nclass C { constructor(private a: string) {} }\nexport default 1'
  assert.equal(style.plainSyntax(files({ 'src/core/a.ts': wrong })).length, 4)
  finds(style.plainSyntax(files({ 'src/core/a.ts': 'declare const a: unique symbol\nexport const b = 1' })))
})

test('options: one that nobody reads is found', () => {
  const declared =
    'export interface AddOptions { read?: 1; taken?: 1; dead?: 1; only?: 1 }\ntype HostConfig = { gone: 1 }'
  const reading = 'const f = (o) => o.read; const g = ({ taken }) => taken; call({ dead: 1 }); o.only = 1'
  finds(
    promises.unreadOptions(files({ 'src/node/a.ts': declared, 'src/node/b.ts': reading, 'test/c.ts': 'o.dead' })),
    /'dead' of AddOptions/,
    /'only' of AddOptions/,
    /'gone' of HostConfig/,
  )
})

test('limits: one that nothing goes by is found', () => {
  const declared = {
    'src/core/limits.ts': 'export const limits = { used: 1, dead: 2 } as const',
    'src/core/times.ts': 'export const times = { used: 1 } as const',
  }
  finds(
    promises.unusedLimits(files({ ...declared, 'src/net/a.ts': 'f(limits.used)', 'test/a.ts': 'limits.dead' })),
    /limits\.dead/,
    /times\.used/,
  )
  finds(promises.unusedLimits([]), /limits\.ts: is missing/, /times\.ts: is missing/)
})

test('error codes: one that is not thrown, or not explained, is found', () => {
  const declared = "export type NetErrorCode = 'DIAL_FAILED' | 'NEVER'"
  const thrown = "throw new NetError('DIAL_FAILED', 'why'); if (code === 'NEVER') ok()"
  const table = 'const meanings = { NEVER: [1, 500] }'
  const sources = { 'src/net/errors.ts': declared, 'src/net/a.ts': thrown }
  finds(
    promises.errorCodes(files({ ...sources, 'src/node/errors.ts': table })),
    /no exit code and HTTP status for DIAL_FAILED/,
    /nothing throws NEVER/,
  )
  finds(promises.errorCodes(files(sources)), /src\/node\/errors\.ts: is missing/)
})

test('README: commands that do not exist are found', () => {
  const program = "define(parent, { name: 'start' }); root.command('pin <what>')"
  const sources = files({ 'src/cli/a.ts': program })
  const readme =
    'Run `potluck start`, then `potluck --json pin add`.\n\n```\n$ npx potluck fly\npotluck makes sense\n```\npotluck sings'
  finds(promises.readmeCommands(readme, sources), /potluck fly/, /potluck makes/)
  finds(promises.readmeCommands('`potluck start`', []), /declares no command/)
})

test('a file that does not parse is an error, not a pass', () => {
  assert.throws(() => parse('src/core/a.ts', 'const ='), /src\/core\/a\.ts does not parse/)
})
