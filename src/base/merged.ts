// Several streams as one, each item as it comes. The end comes when all of them have ended; the first failure ends it at once, so a
// source that may fail alone must keep its failure to itself.

/** What the sources give, as it comes. Ends when all have ended. */
export async function* merged<T>(sources: AsyncGenerator<T>[]): AsyncGenerator<T> {
  const next = async (source: AsyncGenerator<T>) => ({ source, result: await source.next() })
  const waiting = new Map(sources.map((source) => [source, next(source)]))
  try {
    while (waiting.size > 0) {
      const { source, result } = await Promise.race(waiting.values())
      if (result.done) waiting.delete(source)
      else {
        waiting.set(source, next(source))
        yield result.value
      }
    }
  } finally {
    // Not awaited: a source in the middle of a question ends when its signal does.
    for (const source of waiting.keys()) void source.return(undefined).catch(() => {})
  }
}
