// Style is a test: what the design says about the house is checked here on the whole tree. What each check is for, and that
// it can fail, is in test/tidy. A finding says what to do; an exception needs a reason, and goes when it is not needed.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as house from './tidy/house.ts'
import * as promises from './tidy/promises.ts'
import { type Finding, readSources, readTracked, trackedPaths } from './tidy/source.ts'
import * as style from './tidy/style.ts'

const tooLong: style.Reasons = {
  'src/core/limits.ts': 'one list of all limits, each with its reason: it is read by searching, and has no second idea',
}

const ownTime: style.Reasons = {
  'src/sim/clock.ts':
    'between two events of simulated time the event loop takes one real turn, in which promises settle',
}

const paths = await trackedPaths()
const sources = await readSources(paths)
const manifest = await readTracked('package.json')

function check(name: string, findings: () => Finding[]): void {
  test(name, () => {
    const found = findings()
    assert.equal(found.length, 0, `\n  ${found.join('\n  ')}\n`)
  })
}

test('the tree was read', () => {
  assert.ok(sources.length > 50)
})

check('imports go down the house, and organs do not know each other', () => house.floors(sources))
check('packages are imported where they belong', () => house.fences(sources))
check('package.json lists what is imported, and only that', () => house.dependencies(sources, JSON.parse(manifest)))
check('imports do not go round in circles', () => house.cycles(sources))
check('no barrels', () => house.barrels(sources))
check('no dead exports', () => house.deadExports(sources))
check('no dead files', () => house.deadFiles(sources, manifest))
check('files open with prose', () => style.openings(sources))
check('files have names that say something', () => style.fileNames(paths))
check('files and functions are short', () => style.lengths(sources, tooLong))
check('time and chance come from ports', () => style.ports(sources, ownTime))
check('nothing is silenced without a reason', () => style.silenced(sources))
check('types vanish without a trace', () => style.plainSyntax(sources))
check('options are read', () => promises.unreadOptions(sources))
check('limits are used', () => promises.unusedLimits(sources))
check('error codes are thrown and explained', () => promises.errorCodes(sources))

test('the commands of the README exist', async () => {
  const found = promises.readmeCommands(await readTracked('README.md'), sources)
  assert.equal(found.length, 0, `\n  ${found.join('\n  ')}\n`)
})
