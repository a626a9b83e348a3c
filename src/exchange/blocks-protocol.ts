// The block protocol of potluck, `/potluck/blocks/1.0.0`.
//
// Participants: a client that wants blocks, and a server that may have them. The client opens one stream for as long as
// it fetches; closing it withdraws everything.
//
// Goals: keep the pipe full (the client asks far ahead, up to the bytes that it is ready to take), cost little per block
// (two bytes for a small one), no round trip between asking for one block and the next, and each block read into memory
// once. Credit is in the hands of the client: the server sends only what was asked for, so nothing piles up unread.
// Non-goals: discovering who has what beyond the peers one talks to, pushing blocks that nobody asked for, and trust:
// the client verifies every block.
//
// Client to server, frames: a varint with the length of what follows, then a varint with the kind (1 want, 2 have), then
// CIDs in binary form, one after the other, at most `blocksRequestWantsMax`.
// Server to client, for every CID in the order in which they were asked: a varint that is 0 if the server does not have
// the block and its size plus 1 if it does; after a want, that many bytes follow.
import { CID } from 'multiformats/cid'
import { varintBytes } from '../base/frames.ts'
import { limits } from '../core/limits.ts'
import { ExchangeError } from './errors.ts'

export const blocksProtocol = '/potluck/blocks/1.0.0'

export type Question = 'want' | 'have'

const kinds: Record<Question, number> = { want: 1, have: 2 }

/** A CID in binary form takes 36 bytes with SHA-256 and at most about 200 with an identity hash. */
const cidBytesMax = 256

export const questionBytesMax = limits.blocksRequestWantsMax * cidBytesMax

/** One frame. */
export function encodeQuestion(question: Question, cids: CID[]): Uint8Array {
  const body = [Uint8Array.of(kinds[question]), ...cids.map((cid) => cid.bytes)]
  const length = body.reduce((sum, part) => sum + part.byteLength, 0)
  return Buffer.concat([varintBytes(length), ...body])
}

/** The frame without its length. Throws PEER_BROKEN for anything that is not one. */
export function decodeQuestion(frame: Uint8Array): { question: Question; cids: CID[] } {
  const question = (Object.keys(kinds) as Question[]).find((name) => kinds[name] === frame[0])
  if (!question) throw new ExchangeError('PEER_BROKEN', 'the peer asked in a way that nobody understands')
  const cids: CID[] = []
  let rest = frame.subarray(1)
  try {
    while (rest.byteLength > 0) {
      const [cid, remainder] = CID.decodeFirst(rest)
      cids.push(cid)
      rest = remainder
    }
  } catch (error) {
    throw new ExchangeError('PEER_BROKEN', 'the peer asked for something that is not a CID', { cause: error })
  }
  if (cids.length > limits.blocksRequestWantsMax)
    throw new ExchangeError('PEER_BROKEN', 'the peer asked for too many blocks at once')
  return { question, cids }
}
