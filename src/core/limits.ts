// Every limit of the program, with its reason. A queue, map, batch, message or retry without a line here is a defect.

const KiB = 1024
const MiB = 1024 * KiB

export const limits = {
  /** A block that we store or accept. Bitswap peers refuse more than 2 MiB plus its protobuf envelope. */
  blockBytesMax: 2 * MiB,
  /** A block kept inside the catalog: below this a file of its own costs more than it saves (measured at 4 and 256 KiB). */
  inlineBytesMax: 32 * KiB,
  /** Bytes that one writer may have on their way to the disk: enough to keep an SSD busy, small enough for a Raspberry Pi. */
  writeBytesMax: 32 * MiB,
  /** Blocks that one writer may have on their way to the disk: bounds the cost of many tiny ones. */
  writeBlocksMax: 8_192,
  /** An identity CID carries its bytes in itself; larger ones are a way to fill memory. Kubo's figure. */
  identityBytesMax: 128,

  /** Directory levels below a root: deeper is an attack or an accident. */
  pathDepthMax: 512,
  /** DAG levels below a root: 1,024 links a node reach 2^60 bytes in 6 levels, HAMT 8 bits a level in 8 more. */
  dagDepthMax: 1_024,
  /** A name of a directory entry in bytes: what file systems allow. Longer ones are kept in DAGs but cannot be exported. */
  nameBytesMax: 255,
  /** Header of a CAR: some thousand roots. */
  carHeaderBytesMax: 1 * MiB,

  /** Blocks asked ahead when a file is read in order. */
  readAheadBlocks: 16,

  /** Message of Bitswap, either way: what go-bitswap and Helia accept. */
  bitswapMessageBytesMax: 4 * MiB,
  /** Wants that a Bitswap peer may have with us: go-bitswap's and Helia's figure. */
  bitswapWantsMax: 1_024,
  /** Bytes of blocks being sent to one peer at a time: two full messages. */
  serveBytesMax: 8 * MiB,
  /** Wants in one request frame of the block protocol. */
  blocksRequestWantsMax: 1_024,
  /** Bytes that a fetch has asked of one peer and not received: covers 1 Gbit/s at 60 ms. */
  fetchWindowBytes: 8 * MiB,
  /** Wants that a fetch has with one peer, however small. */
  fetchWindowBlocks: 1_024,
  /** Peers that one fetch takes blocks from at a time: more adds connections, not speed. */
  fetchPeersMax: 8,
  /** Wanted CIDs that a fetch holds in memory; the rest of the DAG is found again when there is room. */
  fetchFrontierMax: 65_536,

  /** Bytes that a stream may have unread before it is paused. */
  channelReadBytesMax: 2 * MiB,
  /** Connections, both ways. js-libp2p's figure. */
  connectionsMax: 300,

  /** Providers that a search returns before it stops. */
  providersMax: 20,
  /** Addresses believed of one peer. */
  addressesPerPeerMax: 32,
  /** Gossip message. */
  gossipBytesMax: 1 * MiB,

  /** JSON body of an API request. */
  apiBodyBytesMax: 1 * MiB,
} as const

export const times = {
  /** Opening a connection, all addresses tried. */
  dialMs: 15_000,
  /** A request to a peer without any progress. */
  stallMs: 15_000,
  /** Looking up providers before a fetch gives up for lack of any. */
  lookUpMs: 30_000,
  /** A provider record lives this long in the DHT. */
  providerLifeMs: 48 * 3_600_000,
  /** Announced again after this long: half of the life, less some slack for a machine that sleeps at night. */
  announceEveryMs: 22 * 3_600_000,
  /** A clean stop must end within this. */
  stopMs: 5_000,
} as const
