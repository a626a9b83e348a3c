// Which entries of a folder are left out: the rules of a .gitignore, given as globs. A glob without a slash is about
// names at any depth, one with a slash about paths below the added folder; a slash at the end means folders only; `!`
// takes an entry back in; the last glob that matches decides. All pure.
import { posix } from 'node:path'

interface Rule {
  glob: string
  ofPath: boolean
  foldersOnly: boolean
  ignores: boolean
}

/** Tells whether to leave out the entry at `path`, relative to the added folder, with forward slashes. */
export function ignoring(globs: string[]): (path: string, isFolder: boolean) => boolean {
  const rules = globs.map(ruleOf)
  return (path, isFolder) => {
    const rule = rules.findLast((rule) => (isFolder || !rule.foldersOnly) && matches(rule, path))
    return rule?.ignores ?? false
  }
}

function ruleOf(text: string): Rule {
  const ignores = !text.startsWith('!')
  const pattern = ignores ? text : text.slice(1)
  const glob = pattern.replace(/^\//, '').replace(/\/$/, '')
  return { glob, ofPath: /\/./.test(pattern), foldersOnly: pattern.endsWith('/'), ignores }
}

function matches({ glob, ofPath }: Rule, path: string): boolean {
  const subject = ofPath ? path : posix.basename(path)
  // In a shell `*` passes over names that begin with a dot, in a .gitignore it does not.
  return posix.matchesGlob(subject, glob) || posix.matchesGlob(subject.replace(/(^|\/)\./g, '$1\ue000'), glob)
}
