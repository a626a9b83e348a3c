// A line of names, first come first served, from which some may be passed over without losing their place. Cheap at any
// length: taking from the front moves nothing.

export class Line {
  #names: string[] = []
  #head = 0

  get length(): number {
    return this.#names.length - this.#head
  }

  push(name: string): void {
    this.#names.push(name)
  }

  /**
   * Goes along the line: 'drop' takes the name out, 'keep' passes it over, 'stop' leaves it and ends. True if the end of
   * the line was reached.
   */
  take(decide: (name: string) => 'drop' | 'keep' | 'stop'): boolean {
    const kept: string[] = []
    let at = this.#head
    let stopped = false
    for (; at < this.#names.length && !stopped; at++) {
      const decision = decide(this.#names[at]!)
      if (decision === 'keep') kept.push(this.#names[at]!)
      stopped = decision === 'stop'
    }
    this.#head = stopped ? at - 1 : at
    // Those passed over go back to the front; their old places are free.
    for (const name of kept.reverse()) this.#names[--this.#head] = name
    if (this.#head > 1_024 && this.#head > this.#names.length / 2) {
      this.#names = this.#names.slice(this.#head)
      this.#head = 0
    }
    return !stopped
  }
}
