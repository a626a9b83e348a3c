// A fixed amount of something (files open, bytes in memory) that tasks take and give back, served in the order asked.
// Taking does not listen to a signal: who holds some gives it back when the operation is cancelled, so waiting ends.

export class Slots {
  readonly #most: number
  #free: number
  #waiting: { amount: number; wake: () => void }[] = []

  constructor(most: number) {
    this.#most = most
    this.#free = most
  }

  /** Waits until `amount` is free; more than there is counts as all there is. Returns the way to give it back, once. */
  async take(amount: number): Promise<() => void> {
    const taken = Math.min(amount, this.#most)
    if (this.#waiting.length > 0 || this.#free < taken) {
      const { promise, resolve } = Promise.withResolvers<void>()
      this.#waiting.push({ amount: taken, wake: resolve })
      await promise
    } else this.#free -= taken
    return () => this.#give(taken)
  }

  #give(amount: number): void {
    this.#free += amount
    while (this.#waiting.length > 0 && this.#waiting[0]!.amount <= this.#free) {
      const { amount: next, wake } = this.#waiting.shift()!
      this.#free -= next
      wake()
    }
  }
}
