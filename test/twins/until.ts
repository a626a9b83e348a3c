// Waiting in tests of real sockets: for what should happen, not for time to pass. The deadline is far beyond what any
// machine needs, and only turns a hang into a failure that says what was waited for.
import { sleep, systemClock } from '../../src/base/clock.ts'

const pollMs = 5
const deadlineMs = 100_000

/** Resolves once `holds` is true, which is looked at every so often. */
export async function until(
  what: string,
  holds: () => boolean | Promise<boolean>,
  { everyMs = pollMs }: { everyMs?: number } = {},
): Promise<void> {
  const startMs = systemClock.monotonicMs()
  while (!(await holds())) {
    if (systemClock.monotonicMs() - startMs > deadlineMs) throw new Error(`waited too long until ${what}`)
    await sleep(systemClock, everyMs)
  }
}

/** Resolves once a figure has stopped changing, with that figure. */
export async function settled(what: string, figure: () => number): Promise<number> {
  let last = figure()
  let same = 0
  await until(`${what} stands still`, () => {
    const now = figure()
    same = now === last ? same + 1 : 0
    last = now
    return same >= 40
  })
  return last
}
