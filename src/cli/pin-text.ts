// Pins on the command line: the flags that say how one is kept, and a pin as a line and as a page. Text only; what the figures
// mean is said where they are made.
import { systemClock } from '../base/clock.ts'
import { limits } from '../core/limits.ts'
import { formatSize, formatTime, parseTime } from '../core/units.ts'
import type { KeepOptions, PinInfo, PlaceInfo, PreviewInfo } from '../node/api.ts'
import { NodeError } from '../node/errors.ts'

/** Flags of commands that pin something. */
export const keepFlags: [flag: string, explain: string][] = [
  [
    '--copies <n>',
    `members that shall hold it, 1 to ${limits.copiesMax} (default: the setting 'copies'); fewer than before count only after 'pin rm'`,
  ],
  ['--wait <n>', 'return when so many members hold all of it, after fsync'],
  ['--expires <time>', 'let it go by itself after this long, such as 30d'],
]

/** Throws REQUEST_INVALID, TIME_INVALID. */
export function keepOptions({ copies, wait, expires }: Record<string, unknown>): KeepOptions {
  return {
    copies: countOf('--copies', copies),
    wait: countOf('--wait', wait),
    expiresMs: expires === undefined ? undefined : systemClock.nowMs() + parseTime(String(expires)),
  }
}

function countOf(flag: string, given: unknown): number | undefined {
  if (given === undefined) return undefined
  const count = Number(given)
  if (Number.isInteger(count) && count >= 1 && count <= limits.copiesMax) return count
  throw new NodeError('REQUEST_INVALID', `${flag} takes a number from 1 to ${limits.copiesMax}, not '${given}'`)
}

/** `2 of 3 copies`. */
export function copiesText({ held, copies }: { held: number; copies: number }): string {
  return `${held} of ${copies} ${copies === 1 ? 'copy' : 'copies'}`
}

export function pinLine(pin: PinInfo): string {
  const { cid, size, state, why } = pin
  const parts = [cid, copiesText(pin), size === null ? '' : formatSize(size), why ? `${state}: ${why}` : state]
  return parts.filter((part) => part !== '').join('  ')
}

export function pinPage(pin: PinInfo): string {
  const { cid, size, state, why, places, holders, bytesToGo, bytesPerSecond, expires } = pin
  const lines = [cid, `  ${[copiesText(pin), ...(size === null ? [] : [formatSize(size)]), state].join(', ')}`]
  if (why) lines.push(`  ${why}`)
  lines.push(...places.map((place) => `  ${placeLine(place, size)}`))
  if (places.length === 0) lines.push(...holders.map((peer) => `  held by ${peer}`))
  if (bytesToGo > 0) {
    const speed = bytesPerSecond > 0 ? [`${formatSize(bytesPerSecond)}/s`] : ['nothing is on its way now']
    if (bytesPerSecond > 0) speed.push(`${formatTime((bytesToGo / bytesPerSecond) * 1000)} left`)
    lines.push(`  ${[`${formatSize(bytesToGo)} to go`, ...speed].join(', ')}`)
  }
  if (expires) lines.push(`  until ${expires}`)
  return lines.join('\n')
}

function placeLine({ peerId, zone, state, bytes, why }: PlaceInfo, size: number | null): string {
  const amount = state === 'held' || size === null ? formatSize(bytes) : `${formatSize(bytes)} of ${formatSize(size)}`
  return [state.padEnd(8), peerId, `zone ${zone}`, amount, ...(why ? [why] : [])].join('  ')
}

export function previewText(preview: PreviewInfo): string {
  const { change, peerId, zone, pins, bytes, byPeer, short, unreached } = preview
  const when = { leave: 'this peer leaves', forget: `${peerId} is forgotten`, zone: `this peer moves to zone ${zone}` }
  const moved = pins === 0 ? 'nothing is copied' : `${counted(pins, 'pin')} with ${formatSize(bytes)} in all are copied`
  const lines = [`if ${when[change]}: ${moved}`]
  lines.push(...Object.entries(byPeer).map(([peer, bytes]) => `  ${formatSize(bytes)} to ${peer}`))
  if (short > 0)
    lines.push(`  ${counted(short, 'pin')} will have fewer copies than wanted: nobody is left to hold them`)
  if (unreached.length > 0) lines.push(`  there may be more: ${unreached.join(', ')} did not answer`)
  return lines.join('\n')
}

function counted(count: number, thing: string): string {
  return `${count} ${thing}${count === 1 ? '' : 's'}`
}
