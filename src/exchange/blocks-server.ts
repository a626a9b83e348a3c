// Serves the block protocol on one stream: reads questions, and answers them in order. Blocks are read some way ahead of
// the socket, and small answers leave together. A peer that does not read its answers stops being read itself.
import type { CID } from 'multiformats/cid'
import { ByteReader, varintBytes } from '../base/frames.ts'
import { limits } from '../core/limits.ts'
import type { BlockStore, Channel } from '../core/ports.ts'
import { decodeQuestion, questionBytesMax } from './blocks-protocol.ts'

/** Answers are handed to the stream in pieces of about this size. */
const pieceBytes = 256 * 1024
/** Blocks read at a time: enough to hide the disk. */
const together = 8

/** Serves until the client closes the stream. `onSent` hears of every block and its bytes. */
export async function serveBlocks(channel: Channel, store: BlockStore, onSent: (bytes: number) => void): Promise<void> {
  const reader = new ByteReader((options) => channel.read(options))
  const answers = new Answers(channel)
  for (;;) {
    if (reader.buffered === 0) await answers.flush()
    const frame = await reader.frame(questionBytesMax)
    if (!frame) break
    const { question, cids } = decodeQuestion(frame)
    if (question === 'have') for (const cid of cids) await answers.add(head(store.sizeOf(cid)))
    else await sendBlocks(cids, store, answers, onSent)
  }
  await answers.flush()
  await channel.close()
}

async function sendBlocks(
  cids: CID[],
  store: BlockStore,
  answers: Answers,
  onSent: (bytes: number) => void,
): Promise<void> {
  const ahead: { size: number; bytes: Promise<Uint8Array | undefined> }[] = []
  let next = 0
  let aheadBytes = 0
  const readAhead = () => {
    while (next < cids.length && ahead.length < together && aheadBytes < limits.serveBytesMax) {
      const cid = cids[next++]!
      const size = store.sizeOf(cid)
      aheadBytes += size ?? 0
      // What cannot be read any more is missing, for whatever reason.
      const bytes = size === undefined ? Promise.resolve(undefined) : store.unverified(cid).catch(() => undefined)
      ahead.push({ size: size ?? 0, bytes })
    }
  }
  for (readAhead(); ahead.length > 0; readAhead()) {
    const first = ahead.shift()!
    const bytes = await first.bytes
    aheadBytes -= first.size
    await answers.add(head(bytes?.byteLength), bytes)
    if (bytes) onSent(bytes.byteLength)
  }
}

function head(sizeBytes: number | undefined): Uint8Array {
  return varintBytes(sizeBytes === undefined ? 0 : sizeBytes + 1)
}

class Answers {
  readonly #channel: Channel
  #pieces: Uint8Array[] = []
  #bytes = 0

  constructor(channel: Channel) {
    this.#channel = channel
  }

  async add(...pieces: (Uint8Array | undefined)[]): Promise<void> {
    for (const piece of pieces) {
      if (!piece) continue
      this.#pieces.push(piece)
      this.#bytes += piece.byteLength
    }
    if (this.#bytes >= pieceBytes) await this.flush()
  }

  async flush(): Promise<void> {
    if (this.#pieces.length === 0) return
    const pieces = gathered(this.#pieces)
    this.#pieces = []
    this.#bytes = 0
    await this.#channel.write(pieces)
  }
}

/** Runs of small pieces become one each: a stream pays for every piece. */
function gathered(pieces: Uint8Array[]): Uint8Array[] {
  const result: Uint8Array[] = []
  let run: Uint8Array[] = []
  const endRun = () => {
    if (run.length > 0) result.push(run.length === 1 ? run[0]! : Buffer.concat(run))
    run = []
  }
  for (const piece of pieces) {
    if (piece.byteLength < 32_768) run.push(piece)
    else {
      endRun()
      result.push(piece)
    }
  }
  endRun()
  return result
}
