// Text in the order of its code points, which is that of its bytes in UTF-8. JavaScript compares code units, and those of
// characters past U+FFFF are below U+E000. Nothing here knows of languages.

/** Negative if a comes before b, 0 if they are the same. */
export function compareByCodePoint(a: string, b: string): number {
  const length = Math.min(a.length, b.length)
  for (let at = 0; at < length; at++) {
    const [unitOfA, unitOfB] = [a.charCodeAt(at), b.charCodeAt(at)]
    if (unitOfA !== unitOfB) return rankOf(unitOfA) - rankOf(unitOfB)
  }
  return a.length - b.length
}

// Surrogates go behind all others.
function rankOf(unit: number): number {
  return unit >= 0xd800 && unit < 0xe000 ? unit + 0x10000 : unit
}
