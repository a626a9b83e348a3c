// What a long operation tells while it runs, for progress bars and event streams. Only the latest matters: whoever shows
// it may drop any of them. Figures for people: nothing decides by them.

export type Phase =
  | 'reading'
  | 'looking up'
  | 'dialing'
  | 'fetching'
  | 'verifying'
  | 'writing'
  | 'marking'
  | 'sweeping'
  | 'announcing'
  | 'handing off'
  | 'copying'

export interface Progress {
  phase: Phase
  /** Units done so far. Never falls within a phase. */
  done: number
  /** Units in all, as far as known by now; may grow. */
  total?: number | undefined
  unit: 'bytes' | 'blocks' | 'files' | 'peers' | 'partitions'
  /** What it is doing right now: a path, a peer, or why it waits. */
  note?: string | undefined
}

export interface Reporting {
  onProgress?: ((progress: Progress) => void) | undefined
}
