// Background work is a Worker: one step at a time, with a status that people can read. One loop runs each of them, backs
// off when a step fails, and stops between steps.
import { type Clock, sleep } from './clock.ts'
import { sentenceOf } from './errors.ts'
import type { Log } from './log.ts'

/** What a step says: more to do now, nothing to do for a while, or never again. */
export type StepResult = { next: 'now' } | { next: 'later'; delayMs: number } | { next: 'never' }

export interface Worker {
  readonly name: string
  /** One sentence: what it is doing, or waiting for. */
  status(): string
  step(signal: AbortSignal): Promise<StepResult>
  /** Takes a function that ends the wait for the next step early, for a worker whose work comes from outside. */
  onWork?(wake: () => void): void
}

export interface WorkerStatus {
  name: string
  status: string
  errors: number
  lastError?: string
}

const backOffFirstMs = 1_000
const backOffMostMs = 60_000

/** Runs a worker until stopped. `wake` ends a wait early. */
export class WorkerLoop {
  readonly #worker: Worker
  readonly #clock: Clock
  readonly #log: Log
  readonly #stop = new AbortController()
  #wake: AbortController | undefined
  #woken = false
  #errors = 0
  #lastError: string | undefined
  #running: Promise<void> | undefined

  constructor(deps: { worker: Worker; clock: Clock; log: Log }) {
    this.#worker = deps.worker
    this.#clock = deps.clock
    this.#log = deps.log
    this.#worker.onWork?.(() => this.wake())
  }

  start(): void {
    this.#running ??= this.#run()
  }

  /** The next step begins at once, even if the worker had said later. */
  wake(): void {
    this.#woken = true
    this.#wake?.abort()
  }

  async stop(): Promise<void> {
    this.#stop.abort(new Error(`${this.#worker.name} stops`))
    this.#wake?.abort()
    await this.#running
  }

  status(): WorkerStatus {
    const { name } = this.#worker
    const status = { name, status: this.#worker.status(), errors: this.#errors }
    return this.#lastError === undefined ? status : { ...status, lastError: this.#lastError }
  }

  async #run(): Promise<void> {
    const stop = this.#stop.signal
    let failuresInARow = 0
    while (!stop.aborted) {
      let result: StepResult
      try {
        this.#woken = false
        result = await this.#worker.step(stop)
        failuresInARow = 0
      } catch (error) {
        if (stop.aborted) return
        this.#errors++
        this.#lastError = sentenceOf(error)
        this.#log.warn(`${this.#worker.name}: ${this.#lastError}`)
        result = { next: 'later', delayMs: Math.min(backOffFirstMs * 2 ** failuresInARow++, backOffMostMs) }
      }
      if (result.next === 'never') return
      if (result.next === 'later') await this.#wait(result.delayMs)
    }
  }

  async #wait(delayMs: number): Promise<void> {
    if (this.#woken || this.#stop.signal.aborted) return
    this.#wake = new AbortController()
    await sleep(this.#clock, delayMs, this.#wake.signal).catch(() => {})
    this.#wake = undefined
  }
}
