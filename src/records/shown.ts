// Records as callers see them: siblings in the order in which they are shown, and the version as text.
import { versionText } from './record.ts'
import { type SiblingSet, shownOrder, versionOf, type Write } from './version.ts'
import type { Found, ShownSibling } from './words.ts'

export function foundOf(key: string, set: SiblingSet): Found {
  const siblings = shownSiblings(set)
  const first = siblings[0]
  return { key, siblings, winner: first?.value === undefined ? undefined : first, context: contextOf(set) }
}

export function shownSiblings(set: SiblingSet): ShownSibling[] {
  return shownOrder(set).map(({ write }) => shown(write))
}

export function contextOf(set: SiblingSet): string {
  return versionText(versionOf(set))
}

function shown({ value, author, id, atMs }: Write): ShownSibling {
  return { value, author, writeId: id, atMs }
}
