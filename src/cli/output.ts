// What people and programs see. Results go to stdout: text for people, or with `--json` one document a line and nothing
// else. Messages and progress go to stderr: a bar on a terminal, a plain line now and then in a pipe, nothing with
// `--quiet`. Text from the network may hold control characters, which could drive the terminal: they are shown escaped.

import { SingleBar } from 'cli-progress'
import { systemClock } from '../base/clock.ts'
import { codeOf } from '../base/errors.ts'
import type { Progress } from '../core/progress.ts'
import { formatSize, formatTime } from '../core/units.ts'

export interface OutputOptions {
  json: boolean
  quiet: boolean
}

const plainEveryMs = 5_000

export class Output {
  readonly #json: boolean
  readonly #quiet: boolean
  #bar: SingleBar | undefined
  #phase: string | undefined
  #counted = false
  #phaseStartedMs = 0
  #phaseStartDone = 0
  #plainAtMs = systemClock.monotonicMs()

  constructor(options: OutputOptions) {
    this.#json = options.json
    this.#quiet = options.quiet
  }

  /** One result: the document for programs, the text for people. */
  async result(document: object, text: string): Promise<void> {
    this.clear()
    await writeOut(this.#json ? `${JSON.stringify(document)}\n` : `${visible(text)}\n`)
  }

  /** Raw content, the same for people and programs. */
  async bytes(bytes: Uint8Array): Promise<void> {
    await writeOut(bytes)
  }

  /** A sentence for people. */
  say(sentence: string): void {
    if (this.#quiet) return
    this.clear()
    process.stderr.write(`${visible(sentence)}\n`)
  }

  /** Why it failed; shown even when quiet. */
  fail(sentence: string): void {
    this.clear()
    process.stderr.write(`potluck: ${visible(sentence)}\n`)
  }

  readonly progress = (progress: Progress): void => {
    if (this.#quiet || this.#json) return
    const nowMs = systemClock.monotonicMs()
    const counted = progress.total !== undefined
    if (counted !== this.#counted) this.clear()
    this.#counted = counted
    if (progress.phase !== this.#phase) {
      this.clear()
      this.#phase = progress.phase
      this.#phaseStartedMs = nowMs
      this.#phaseStartDone = progress.done
    }
    if (process.stderr.isTTY) this.#draw(progress, nowMs)
    else if (nowMs - this.#plainAtMs >= plainEveryMs) {
      this.#plainAtMs = nowMs
      process.stderr.write(`${visible(this.#line(progress, nowMs))}\n`)
    }
  }

  /** Takes the bar off the screen. */
  clear(): void {
    this.#bar?.stop()
    this.#bar = undefined
  }

  #draw(progress: Progress, nowMs: number): void {
    if (!this.#bar) {
      const options = {
        // Without a total there is nothing that a bar could be a part of.
        format: progress.total === undefined ? '{line}' : '{bar} {line}',
        clearOnComplete: true,
        hideCursor: true,
        barsize: 24,
        stream: process.stderr,
      }
      this.#bar = new SingleBar({ ...options, barCompleteChar: '━', barIncompleteChar: ' ', linewrap: false, fps: 8 })
      this.#bar.start(progress.total ?? 0, progress.done, { line: '' })
    }
    if (progress.total !== undefined) this.#bar.setTotal(progress.total)
    this.#bar.update(progress.done, { line: visible(this.#line(progress, nowMs)) })
  }

  #line(progress: Progress, nowMs: number): string {
    const { phase, done, total, unit, note } = progress
    const show = (value: number) => (unit === 'bytes' ? formatSize(value) : `${value} ${unit}`)
    const perSecond = ((done - this.#phaseStartDone) * 1000) / Math.max(nowMs - this.#phaseStartedMs, 1)
    const amount = total === undefined || total === 0 ? (done > 0 ? show(done) : '') : `${show(done)} of ${show(total)}`
    const known = perSecond > 0 && nowMs - this.#phaseStartedMs > 1000
    const rate = known ? (unit === 'bytes' ? `${formatSize(perSecond)}/s` : `${Math.round(perSecond)}/s`) : ''
    const left =
      known && total !== undefined && total > done ? `${formatTime(((total - done) / perSecond) * 1000)} left` : ''
    return [phase, amount, rate, left, note].filter(Boolean).join(' · ')
  }
}

// Waits for a slow reader, so that a large `cat` into a pipe stays small in memory. A reader that has gone (`| head`)
// ends the program quietly, as it does for other commands.
function writeOut(data: string | Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    process.stdout.write(data, (error) => {
      if (!error) resolve()
      else if (codeOf(error) === 'EPIPE') process.exit(0)
      else reject(error)
    })
  })
}

// Tabs and line ends stay; everything else that steers a terminal, C1 and bidirectional overrides included, is escaped.
const steering = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g

/** Text that cannot drive a terminal. */
export function visible(text: string): string {
  return text.replace(steering, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`)
}
