// What a detector is told and what it asks for. It has no other way to the world: whoever carries this out tells it what came
// of it.
import type { Liveness } from '../core/member.ts'
import type { PeerId } from '../core/peer.ts'
import type { Opinion } from './rumours.ts'

/** `probe` is the number in the action that asked for it; what comes too late is ignored. */
export type DetectorEvent =
  /** Who shall be watched, with the incarnation that is known of each, and the own one. */
  | { kind: 'roster'; peers: ReadonlyMap<PeerId, number>; incarnation: number }
  /** The same for one of them; undefined when it shall not be watched any more. */
  | { kind: 'member'; peer: PeerId; incarnation: number | undefined }
  /** The time that `dueMs` said has come, or will soon. */
  | { kind: 'tick'; wallMs: number }
  /** There is no connection yet: the probe needs longer. */
  | { kind: 'dialing'; probe: number }
  | { kind: 'answered'; probe: number }
  /** It is certain that no answer will come. */
  | { kind: 'unreachable'; probe: number }
  /** What a helper found; undefined when the helper did not answer itself. */
  | { kind: 'helped'; probe: number; reached: boolean | undefined }
  /** Anything came from this peer itself. */
  | { kind: 'heard'; peer: PeerId }
  /** The connection is gone, which proves nothing. */
  | { kind: 'lost'; peer: PeerId }
  | { kind: 'opinion'; opinion: Opinion }
  /** What `redial` asked for is done. */
  | { kind: 'redialed' }

export type DetectorAction =
  | { kind: 'ping'; probe: number; peer: PeerId; withinMs: number }
  | { kind: 'ask'; probe: number; peer: PeerId; helpers: PeerId[]; withinMs: number }
  | { kind: 'liveness'; peer: PeerId; liveness: Liveness }
  /** Pass this on; to all at once if it is `urgent`. */
  | { kind: 'spread'; opinion: Opinion; urgent: boolean }
  /** Others doubt us: claim a higher incarnation than this. */
  | { kind: 'refute'; incarnation: number }
  /** We have slept: see who is there before anybody is suspected. */
  | { kind: 'redial' }
