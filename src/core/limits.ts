// Every limit of the program, with its reason. A queue, map, batch, message or retry without a line here is a defect.

const KiB = 1024
const MiB = 1024 * KiB

export const limits = {
  /** A block that we store or accept. Bitswap peers refuse more than 2 MiB plus its protobuf envelope. */
  blockBytesMax: 2 * MiB,
  /** A block kept inside the catalog: below this a file of its own costs more than it saves (measured at 4 and 256 KiB). */
  inlineBytesMax: 32 * KiB,
  /** A key of a table in UTF-8, with the name of its table: the database takes 1,978 and makes two of some. */
  tableKeyBytesMax: 960,
  /** Bytes that one writer may have on their way to the disk: twice what is being written at a time, so that the disk never waits. */
  writeBytesMax: 16 * MiB,
  /** Blocks that one writer may have on their way to the disk: bounds the cost of many tiny ones. */
  writeBlocksMax: 8_192,
  /** Files of blocks written and synced at a time: keeps an SSD busy; each holds 1 MiB. */
  fileWritesMax: 8,
  /** An identity CID carries its bytes in itself; larger ones are a way to fill memory. Kubo's figure. */
  identityBytesMax: 128,
  /** Characters of a CID that is read: the longest identity CID written in base 2 has 1,100. */
  cidCharactersMax: 1_100,

  /** Directory levels below a root: deeper is an attack or an accident. */
  pathDepthMax: 512,
  /** DAG levels below a root: 1,024 links a node reach 2^60 bytes in 6 levels, HAMT 8 bits a level in 8 more. */
  dagDepthMax: 1_024,
  /** A name of a directory entry in bytes: what file systems allow. Longer ones are kept in DAGs but cannot be exported. */
  nameBytesMax: 255,
  /** Header of a CAR: some thousand roots. */
  carHeaderBytesMax: 1 * MiB,

  /** Blocks asked ahead when a file is read in order. */
  readAheadBlocks: 8,
  /** Files read or written at the same time: hides the disk's latency, and stays far from the limit of open files. */
  filesInFlightMax: 16,
  /** Bytes of files in memory while they are added or written: eight of the largest blocks. */
  fileBytesInFlightMax: 16 * MiB,
  /** Chunks of one file read ahead of the one being hashed: reading from a cached disk is faster than hashing. */
  fileChunksAhead: 4,
  /** Levels of one file: 174 links a node reach 2^53 bytes in 6; other layouts are deeper, none by this much. */
  fileDepthMax: 64,
  /** Links that a walk has found and not followed yet: 25 of the widest nodes that fit in a block. */
  walkItemsMax: 1_000_000,
  /** Nodes with links that a walk remembers, so that it follows each once (some 100 bytes each): 4 PiB of 1 MiB leaves. */
  walkNodesMax: 4_000_000,
  /** Leaves that a walk remembers, so that it gives each once; past that a repeated leaf is given again. */
  walkLeavesMax: 1_000_000,
  /** Symbolic links that an export keeps for its end. */
  exportSymlinksMax: 1_000_000,

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
  /** Bytes that a fetch has on their way from all its peers together: it may hold as much in memory. */
  fetchBytesMax: 24 * MiB,
  /** Bitswap streams that one connection may have open to us: others open one for each message. */
  bitswapStreamsMax: 128,
  /** Bytes within the time of a stall that make a slow supplier of one that stalls: a largest block then takes 32 min. */
  stallBytes: 16 * KiB,
  /** Streams of our block protocol that one connection may have open: one for each fetch of that peer. */
  blocksStreamsMax: 64,
  /** Connected peers that are asked whether they have a block. */
  askedPeersMax: 32,
  /** Peers that one fetch takes blocks from at a time: more adds connections, not speed. */
  fetchPeersMax: 8,
  /** Wanted CIDs that a fetch holds in memory; the rest of the DAG is found again when there is room. */
  fetchFrontierMax: 65_536,

  /** Bytes on their way on one stream: covers 1 Gbit/s at 30 ms. A paused reader gets this much on top. */
  streamWindowBytes: 4 * MiB,
  /** Bytes that a stream may have unread before it is paused. */
  channelReadBytesMax: 2 * MiB,
  /** Streams that we open of one protocol over one connection: what runs over them has tighter limits of its own. */
  streamsOutMax: 256,
  /** Connections, both ways. js-libp2p's figure. */
  connectionsMax: 300,
  /** Connections past which discovered peers are not dialed: in a cluster half of all, so that others may come in. */
  connectionsWantedPrivate: 150,
  /** The same in an open network, where the DHT makes the connections that it needs by itself. */
  connectionsWantedOpen: 32,
  /** New connections per second and address: a whole cluster behind one NAT, or on one machine, may start at once. */
  connectionsInPerSecond: 64,
  /** Connections in the middle of their handshake: strangers who say nothing must not keep others out. */
  handshakesMax: 128,
  /** Discovered peers waiting to be dialed. */
  discoveredMax: 256,
  /** Peers dialed at a time in the background. */
  dialsInBackgroundMax: 8,

  /** Providers that a search returns before it stops. */
  providersMax: 20,
  /** Addresses believed of one peer. */
  addressesPerPeerMax: 32,
  /** Peers remembered with their addresses (some 500 bytes each); whoever was heard of longest ago is forgotten. */
  peersKnownMax: 20_000,
  /** Records that this peer keeps for the DHT, from all peers (some 150 bytes each): 150 MB of disk at most. */
  dhtRecordsMax: 1_000_000,
  /** Records from one peer: one that announces more is a network of its own, or fills our disk. */
  dhtRecordsPerPeerMax: 200_000,
  /** Keys announced to a server before it must answer: some 150 KB, far below what it buffers (4 MiB). */
  dhtBatchKeys: 1_000,
  /** An answer of a DHT server: 40 peers with many addresses. */
  dhtMessageBytesMax: 1 * MiB,
  /** DHT servers of which we know where they were found. */
  dhtServersRemembered: 4_096,
  /** A value that libp2p keeps: a peer's entry, or a record of the DHT. */
  datastoreValueBytesMax: 64 * KiB,
  /** Writes of libp2p that wait to be made durable together. */
  datastorePendingMax: 4_096,
  /** Servers that hold one provider record: Kademlia's k, the same for everyone in IPFS. */
  dhtReplicas: 20,
  /** Roots announced to the servers of a region at a time: some 600 KB for each server. */
  sweepRootsMax: 4_096,
  /** Servers being told of roots at a time. */
  sweepServersInFlight: 8,
  /** Lookups for one region: an honest one takes two to four. */
  exploreLookupsMax: 32,
  /** Bits of a region's prefix: a key for it is found by trying (2^16 hashes, 60 ms); 1,300,000 servers have such regions. */
  exploreBitsMax: 16,
  /** Gossip message. */
  gossipBytesMax: 1 * MiB,
  /** What gossipsub packs together for a peer: some of the largest messages. */
  gossipPacketBytesMax: 4 * MiB,
  /** Gossip waiting for one slow peer: what is more is dropped for it. */
  gossipQueueBytesMax: 16 * MiB,
  /** Addresses in an invite line: some of one peer on each of its networks, and the line still pastes well. */
  inviteAddressesMax: 8,
  /** Characters of an invite line, when one is read. */
  inviteCharactersMax: 4_096,

  /** JSON body of an API request. */
  apiBodyBytesMax: 1 * MiB,
} as const

export const times = {
  /** Opening a connection, all addresses tried. */
  dialMs: 15_000,
  /** Opening a connection at one of its addresses: five round trips of a bad mobile link. */
  dialAddressMs: 4_000,
  /** A request to a peer without any progress. */
  stallMs: 15_000,
  /** While nothing comes at all, idle suppliers may take over blocks from one more of the others after each such time. */
  takeOverMs: 2_500,
  /** Asking a connected peer whether it has a block. */
  askMs: 5_000,
  /** Looking up providers before a fetch gives up for lack of any. */
  lookUpMs: 30_000,
  /** Announced again after this long: half of the 48 h that a provider record lives, less some slack for a machine that sleeps at night. */
  announceEveryMs: 22 * 3_600_000,
  /** First wait before a root that too few servers took is announced again; doubled each time. */
  announceRetryFirstMs: 30_000,
  /** Longest wait before it is announced again. */
  announceRetryMostMs: 3_600_000,
  /** Telling one server of a region's roots, a slow line included. */
  announceServerMs: 90_000,
  /** The servers of a region are believed for this long: a long list of roots is announced with one exploration. */
  regionFreshMs: 600_000,
  /** How often we look whether a server of the DHT has appeared, while something waits to be announced. */
  serversPollMs: 500,
  /** Longest wait of the announcer: wall time may jump, and timers stand still while a machine sleeps. */
  announcePollMs: 60_000,
  /** First wait before a lost peer is dialed again; doubled each time. */
  redialFirstMs: 1_000,
  /** Longest wait before a lost peer is dialed again: a machine that comes back is met within a minute. */
  redialMostMs: 60_000,
  /** What libp2p writes is made durable together after this long; a crash loses no more. */
  datastoreDelayMs: 1_000,
  /** A connection that does not answer a ping for this long is dead. A busy machine may take some seconds. */
  pingMs: 20_000,
  /** A connection must have finished its handshake by then. */
  handshakeMs: 8_000,
  /** A running peer that is busy answers its own commands within this; what takes longer is something else. */
  apiAnswerMs: 5_000,
  /** A clean stop must end within this. */
  stopMs: 5_000,
} as const
