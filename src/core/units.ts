// Sizes and times as people write and read them: `10MB`, `1.5GiB`, `30s`, `12h`. Figures have no sign and no exponent.
import { CoreError } from './block.ts'

const sizeUnits: Record<string, number> = {
  '': 1,
  b: 1,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  tb: 1e12,
  k: 2 ** 10,
  m: 2 ** 20,
  g: 2 ** 30,
  t: 2 ** 40,
  kib: 2 ** 10,
  mib: 2 ** 20,
  gib: 2 ** 30,
  tib: 2 ** 40,
}

const timeUnits: Record<string, number> = { ms: 1, s: 1e3, m: 6e4, h: 3.6e6, d: 8.64e7, '': 1e3 }

/** Bytes of `10MB` or `1.5GiB`. Throws SIZE_INVALID. */
export function parseSize(text: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*([a-z]*)$/i.exec(text.trim())
  const unit = match && sizeUnits[match[2]!.toLowerCase()]
  const size = match && unit ? Math.floor(Number(match[1]) * unit) : Number.NaN
  if (!Number.isSafeInteger(size)) throw new CoreError('SIZE_INVALID', `'${text}' is not a size; write 10MB or 1.5GiB`)
  return size
}

/** Milliseconds of `30s` or `12h`; a bare number is seconds. Throws TIME_INVALID. */
export function parseTime(text: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*([a-z]*)$/i.exec(text.trim())
  const unit = match && timeUnits[match[2]!.toLowerCase()]
  const time = match && unit ? Math.round(Number(match[1]) * unit) : Number.NaN
  if (!Number.isSafeInteger(time)) throw new CoreError('TIME_INVALID', `'${text}' is not a time; write 30s, 5m or 12h`)
  return time
}

/** `1.5 GiB`. */
export function formatSize(sizeBytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  let value = sizeBytes
  let index = 0
  while (value >= 1024 && index < units.length - 1) {
    value /= 1024
    index++
  }
  return `${index === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[index]}`
}

/** `350 ms`, `2.4 s`, `3 min 5 s`, `2 h 10 min`. */
export function formatTime(durationMs: number): string {
  if (durationMs < 1000) return `${Math.round(durationMs)} ms`
  if (durationMs < 60_000) return `${(durationMs / 1000).toFixed(1)} s`
  const seconds = Math.round(durationMs / 1000)
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`
  return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`
}
