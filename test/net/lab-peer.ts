// A peer of the laboratory: the program that runs in a namespace, told what to do in lines of JSON and answering in kind.
// It is a whole potluck peer; here it only gets a voice.
import { createHash } from 'node:crypto'
import { createInterface } from 'node:readline'
import { lineLog } from '../../src/base/log.ts'
import { seededRandom } from '../../src/base/random.ts'
import { type CreatePeerOptions, createPeer, type Status } from '../../src/index.ts'

/** What the other end may ask, and gets. */
export interface LabCalls {
  peers: { asks: []; gets: { peerId: string; relayed: boolean; addresses: string[] }[] }
  connect: { asks: [address: string]; gets: unknown }
  addresses: { asks: []; gets: string[] }
  /** Stores bytes that nobody else has, and keeps them here only. */
  add: { asks: [seed: number, sizeBytes: number]; gets: string }
  /** SHA-256 and speed of a content that is fetched. */
  cat: { asks: [cid: string]; gets: { sizeBytes: number; sha256: string; ms: number } }
  /** Bytes that all fetches have got so far. */
  progress: { asks: []; gets: number }
  /** Peers to which it could not punch a hole, once for each time. */
  gaveUp: { asks: []; gets: string[] }
  status: { asks: []; gets: Pick<Status, 'connections' | 'connectionsRelayed' | 'reachability'> }
}

const gaveUp: string[] = []
const options = JSON.parse(process.argv[2] ?? '{}') as CreatePeerOptions
const log = lineLog('debug', (line) => gaveUp.push(...(/(\S+) stays behind/.exec(line)?.slice(1) ?? [])))
await using peer = await createPeer({ ...options, log })

async function* bytesOf(seed: number, sizeBytes: number): AsyncGenerator<Uint8Array> {
  const block = seededRandom(seed).bytes(Math.min(sizeBytes, 65_536))
  for (let at = 0; at < sizeBytes; at += block.byteLength) {
    const piece = block.slice(0, sizeBytes - at)
    // No two blocks are the same.
    new DataView(piece.buffer).setFloat64(0, at + seed)
    yield piece
  }
}

let gotBytes = 0

const calls: { [Name in keyof LabCalls]: (...asks: LabCalls[Name]['asks']) => Promise<LabCalls[Name]['gets']> } = {
  peers: () => Array.fromAsync(peer.peers()),
  connect: (address) => peer.connect(address),
  addresses: async () => ((await peer.status()) as Status).addresses ?? [],
  add: async (seed, sizeBytes) => (await peer.add(bytesOf(seed, sizeBytes), { pin: false })).cid,
  cat: async (cid) => {
    const startMs = performance.now()
    const hash = createHash('sha256')
    let sizeBytes = 0
    for await (const piece of peer.cat(cid)) {
      hash.update(piece)
      sizeBytes += piece.byteLength
      gotBytes += piece.byteLength
    }
    return { sizeBytes, sha256: hash.digest('hex'), ms: performance.now() - startMs }
  },
  progress: async () => gotBytes,
  gaveUp: async () => gaveUp,
  status: () => peer.status() as Promise<Status>,
}

function say(message: object): void {
  process.stdout.write(`${JSON.stringify(message)}\n`)
}

const { peerId, addresses } = (await peer.status()) as { peerId: string; addresses: string[] }
say({ peerId, addresses })
for await (const line of createInterface({ input: process.stdin })) {
  const { id, call, asks } = JSON.parse(line) as { id: number; call: keyof LabCalls; asks: [] }
  const answer = calls[call] as (...asks: unknown[]) => Promise<unknown>
  answer(...asks).then(
    (gets) => say({ id, gets }),
    (error: Error) => say({ id, error: error.message }),
  )
}
