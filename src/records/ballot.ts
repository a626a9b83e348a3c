// Ballots of compare-and-set, one register for each key, as in "CASPaxos: Replicated State Machines without logs" (Rystsov,
// 2018): an owner promises to accept nothing below the highest ballot that it has seen, and keeps what it accepted last.
// Pure; who asks whom is in compare-and-set.ts, and the promises are durable in acceptor.ts.

/** The proposer tells ballots of one round apart. */
export type Ballot = readonly [round: number, proposer: string]

/** A write that an owner has accepted, encoded; null once it is in the owner's record. The ballot counts all the same. */
export type Accepted = readonly [ballot: Ballot, write: Uint8Array | null]

export const noBallot: Ballot = [0, '']

export function compareBallots(a: Ballot, b: Ballot): number {
  return a[0] - b[0] || (a[1] < b[1] ? -1 : a[1] > b[1] ? 1 : 0)
}

/** The write accepted under the highest ballot: if any was chosen, it is this one. */
export function highestAccepted(accepted: readonly (Accepted | undefined)[]): Accepted | undefined {
  let highest: Accepted | undefined
  for (const candidate of accepted)
    if (candidate && (!highest || compareBallots(candidate[0], highest[0]) > 0)) highest = candidate
  return highest
}
