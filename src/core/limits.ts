// Every limit of the program, with its reason. A queue, map, batch, message or retry without a line here is a defect. How long
// things may take is in times.ts.

const KiB = 1024
const MiB = 1024 * KiB

/** Partitions of the ring: with 1,024 the greatest load of 100 members is 1.46 times the mean, with these 1.13. */
export const partitionCount = 16_384

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
  /**
   * Kept free for the day when the disk is full: a collection writes 1,000 entries at a time, on as many pages of 4 KiB at
   * worst, and pages come free again with the second commit after.
   */
  reserveBytes: 8 * MiB,
  /** Files of blocks written and synced at a time: keeps an SSD busy; each holds 1 MiB. */
  fileWritesMax: 8,
  /** An identity CID carries its bytes in itself; larger ones are a way to fill memory. Kubo's figure. */
  identityBytesMax: 128,
  /** Characters of a CID that is read: the longest identity CID written in base 2 has 1,100. */
  cidCharactersMax: 1_100,

  /** Directory levels below a root: deeper is an attack or an accident. */
  pathDepthMax: 512,
  /** A store that fills this part of what it may have is collected by itself: some room is left for what is on its way. */
  highWaterPart: 0.9,
  /** So is one on a disk of which less than this part is free: below it file systems slow down and people worry. */
  diskFreePart: 0.05,
  /** A collection that frees less than one part in so many was hardly worth reading all pins. */
  collectPart: 100,
  /** Blocks that are read again in one go. */
  scrubStepBytes: 8 * MiB,
  /** How fast blocks are read again at most: a twentieth of a slow disk; it still gets through 20 TiB in a cycle. */
  scrubBytesPerSecond: 8 * MiB,
  /** What reading a block again counts for, however small it is: a slow disk looks for 500 in a second at most. */
  scrubBlockBytes: 16 * KiB,

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
  /** Beside fetches of people, background ones get a part in so many of their speed: people then lose a tenth or so. */
  backgroundPart: 10,
  /** Background fetches get this much per second at least, whoever else fetches: a fifth of a line of 10 Mbit/s. */
  backgroundBytesPerSecond: 256 * KiB,

  /** Bytes on their way on one stream: covers 1 Gbit/s at 30 ms. A paused reader gets this much on top. */
  streamWindowBytes: 4 * MiB,
  /** Bytes that a stream may have unread before it is paused. */
  channelReadBytesMax: 2 * MiB,
  /** Streams that we open of one protocol over one connection: what runs over them has tighter limits of its own. */
  streamsOutMax: 256,
  /** Pings under way over one connection, each way: ours, the other side's, and those of the DHT. */
  pingStreamsMax: 8,
  /** Connections, both ways. js-libp2p's figure. */
  connectionsMax: 300,
  /** Connections past which discovered peers are not dialed: the DHT makes those that it needs by itself. */
  connectionsWanted: 32,
  /** The same in a private network, where members do so too: enough to hang together, and to find the rest. */
  connectionsWantedPrivate: 8,
  /**
   * Connections of a private network past which idle ones are closed: the lines of a member, the neighbours in the DHT and
   * some further away. Kubo has 32 to 96.
   */
  connectionsKept: 40,
  /** New connections per second and address: a whole cluster behind one NAT, or on one machine, may start at once. */
  connectionsInPerSecond: 64,
  /** Connections in the middle of their handshake: strangers who say nothing must not keep others out. */
  handshakesMax: 128,
  /** Local ports that a dial tries before it leaves the choice to the system: one in some hundred is taken. */
  dialPortsTried: 3,
  /** Message of hole punching: what its specification lets everybody refuse to exceed. */
  punchMessageBytesMax: 4 * KiB,
  /** Addresses dialed for one hole: those of two families on some networks. More are a way to have us knock elsewhere. */
  punchAddressesMax: 8,
  /** Tries for one hole. The specification's figure. */
  punchTries: 3,
  /** Refusals after which one side waits to be dialed: on a longer way the second or third attempts have met. */
  punchRefusalsMax: 3,
  /** Holes that we ask for at a time. */
  punchesInFlight: 8,
  /** Holes that are asked of us at a time: nobody should be turned away who comes with a whole cluster. */
  punchesAnsweredMax: 32,
  /** Times that one peer may ask us for a hole within `punchAnswersWithinMs`: all its tries, twice. */
  punchAnswersMax: 6,
  /** Peers of which it is remembered when a hole was tried, and when they asked for one. */
  punchPeersRemembered: 1_024,
  /** A message of a relay: its addresses, and a voucher. */
  circuitMessageBytesMax: 16 * KiB,
  /** Circuits through this peer as a relay, and connections that one relay brings: each may keep 4 MiB waiting each way at worst. */
  circuitsMax: 512,
  /** Circuits from or to one peer: it may talk with a whole cluster through us. */
  circuitsPerPeerMax: 256,
  /** Peers that have a place here, as a relay of their own network. */
  relayReservationsMax: 1_024,
  /** What strangers get from a relay in the open network, go-libp2p's and js-libp2p's figures: places, */
  strangerReservationsMax: 15,
  /** circuits from or to one of them, */
  strangerCircuitsPerPeerMax: 16,
  /** and bytes through one circuit. */
  strangerCircuitBytes: 128 * KiB,
  /** Relays at which a peer behind a NAT has a place: one may die and another refuse, and it is still reached. */
  relaysWanted: 3,
  /** Addresses of one relay under which this peer is announced: more only fill claims. */
  relayAddressesMax: 3,
  /** Clocks that differ by more are worth telling: some seconds are lost on the way, and nobody sets a clock by hand better. */
  clockSkewMs: 30_000,
  /** A question or answer about addresses. */
  dialBackBytesMax: 8 * KiB,
  /** Addresses that are tried for a peer that asks: it listens at some, and its router may map a port. */
  dialBackAddressesMax: 8,
  /** How often one peer may ask for that in a minute, */
  dialBacksPerMinute: 6,
  /** how many are tried at a time for everybody, */
  dialBacksAtATime: 8,
  /** and of how many peers it is remembered that they asked. */
  dialBackPeersMax: 1_024,
  /** Peers whose dial back is asked for: some may be in the same network, and say nothing about the world. */
  dialBackAskedMax: 4,
  /** Those that are asked beyond that because they are in another network than all the others. */
  dialBackNetworksMax: 4,
  /** Addresses that others have found to work and that are announced. */
  confirmedAddressesMax: 4,
  /** Addresses remembered because they have failed. */
  failedAddressesMax: 4_096,
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
  /** Servers that a lookup in a private network asks at a time: one or two that are gone do not hold it up. */
  dhtQuestionsMax: 4,
  /** Servers at one distance in a routing table: Kademlia's k. Twice as far are twice as many, so a table stays small. */
  dhtServersPerDistance: 20,
  /** Those of them that are dialed for the table, and stay connected; a connection costs both sides time and memory. */
  dhtDialedPerDistance: 4,
  /** Lookups of our own place after a start, or after nobody was known. */
  neighbourLookups: 2,
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
  /** An IPNS record: what its specification lets everybody refuse to exceed. */
  ipnsRecordBytesMax: 10 * KiB,
  /** Names that lead to each other, from one to content: more are an accident or an attack. */
  ipnsDepthMax: 16,
  /** Publishers whose newest record is remembered, so that an older one cannot come back. */
  ipnsRemembered: 1_024,
  /** Values of others that this peer keeps for the DHT: 100 MB at most; the one stored longest ago goes first. */
  dhtValuesMax: 10_000,
  /** Hubs asked in one search, configured ones first: more know no more. */
  hubsMax: 8,
  /** An answer of a hub: a hundred peers with as many addresses as we believe have less. */
  hubAnswerBytesMax: 1 * MiB,
  /** One record in a hub's answer, in characters: as many addresses as we believe, of the longest kind, and as much again. */
  hubRecordCharactersMax: 16 * KiB,
  /** Records in a hub's answer that are looked at: what the specification asks servers not to exceed. */
  hubRecordsMax: 100,
  /** Peers whose hub's port is remembered. */
  hubsRemembered: 256,
  /** Streams over one connection on which a peer may ask a hub for the port of its index at a time. */
  hubStreamsMax: 4,
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

  /** Members of a cluster: each is some hundred bytes at everyone, and the ring is computed from all. */
  membersMax: 1_000,
  /** Peers that were forgotten: a line of 200 bytes each, kept for ever, so that they stay out. */
  forgottenMax: 2_000,
  /** Characters of a PeerId: Ed25519 ones have 52. */
  peerIdCharactersMax: 64,
  /** A zone's name in bytes: a word or two. */
  zoneBytesMax: 64,
  /** Addresses that a member claims: some on each of its networks. */
  claimAddressesMax: 8,
  /** An address in characters: a relayed one with two PeerIds and a DNS name has some 200. */
  addressCharactersMax: 256,
  /** A signed claim: as many addresses as there may be, of the longest kind, and the rest. */
  claimBytesMax: 4 * KiB,
  /** Claims that members send each other at a time: far from the limit of an answer; what is left follows the next time. */
  exchangeBytesMax: 1 * MiB,
  /**
   * Other members up to which each keeps a line to every other one. A line costs memory and pings, and a listener takes 300;
   * gossip wants a dozen, a DHT some tens.
   */
  meshFullMax: 32,
  /** Past that, circles in which each keeps a line to both beside it: as many lines as in the largest full mesh. */
  meshCircles: 16,
  /** Members that are probed in one period: each of five is noticed within a second, and the load depends on nobody else. */
  probesPerPeriod: 3,
  /** Probes without a verdict: those of one period, of periods that a slow network stretches, and of lost connections. */
  probesInFlightMax: 32,
  /** Members that are asked to try a silent one too. SWIM's k. */
  probeHelpers: 3,
  /** Members that we try for others at a time. */
  probesForOthersMax: 32,
  /** Others whose doubts shorten a suspicion: Lifeguard's K. */
  confirmationsMax: 3,
  /** How far a peer slows down that finds itself ill, in multiples of a period: Lifeguard's S. */
  healthWorst: 8,
  /** News on the back of a probe: with its frame it fits in one packet. */
  rumourBytesMax: 1_200,
  /**
   * News that wait for probes to carry them; what was carried most goes first. As many as probes tell often enough in a minute
   * or two; when more come at once, as when a whole cluster starts, gossip and reconciling spread them better.
   */
  rumoursMax: 128,
  /** Times that news are carried, for each doubling of the members: SWIM's lambda. */
  rumourRounds: 3,
  /** Secrets of a cluster that were replaced and still connect: one rotation at a time is usual. */
  secretsKeptMax: 4,
  /** Generations that a new secret may be ahead of ours: a member may have slept, but none shall use them all up. */
  generationsAheadMax: 1_024,
  /** Members that a new secret is handed to at a time. */
  rotationCallsMax: 16,
  /** A request or answer between members: some hundred records of the largest size would be more than one peer should buffer. */
  callBytesMax: 2 * MiB,
  /** Requests that one peer may have with us unanswered, over one connection. */
  callsInFlightMax: 512,
  /** Requests to one peer that wait until others are answered: past that the peer is too slow, and its callers shall know. */
  callsWaitingMax: 4_096,
  /** Streams of one protocol of requests that a connection may have open: one, and some that broke and are being closed. */
  callStreamsMax: 4,
  /** Answers that a peer has not taken: past that no more of its requests are read. */
  callAnswersBytesMax: 8 * MiB,
  /** Payloads of requests, or of answers, in one write: larger ones gain nothing, and the copy of them must stay small. */
  callBatchBytes: 64 * KiB,
  /** A payload below this is copied out of the piece that it came in, which it would keep alive: pieces have 64 KiB. */
  callCopiedBytesMax: 16 * KiB,
  /** Characters of a refusal: a code and a sentence. */
  refusalCharactersMax: 1_024,

  /** Entries of a table deleted together when all of them go. */
  tableBatchMax: 1_024,
  /** Copies that anybody may ask for: as many machines must answer for a quorum of them. */
  copiesMax: 16,
  /** Contents that a machine fetches at a time to keep them: past that they only slow each other down. */
  repairConcurrencyMax: 16,
  /** Bytes of a name: longer ones are not for people. */
  nameKeyBytesMax: 400,
  /** Names whose last change waits for a watcher that is slow. */
  watchedMax: 4_096,

  /** Value of a record, in bytes: names and pins are small, and larger content has an address of its own. */
  recordValueBytesMax: 64 * KiB,
  /** Key of a record, in bytes: a path that people write. Tables hold keys of less than 2,000. */
  recordKeyBytesMax: 512,
  /** Concurrent values of one key. More come from a program that writes without reading; sixteen of the largest are 1 MiB. */
  recordSiblingsMax: 16,
  /** Stores that have ever issued a version of one key: every member, over some changes of disk. */
  recordStoresMax: 1_024,
  /** A signed write: the largest value with the largest causal context. */
  recordBodyBytesMax: 128 * KiB,
  /** Dots of one write: it is issued again only when an owner took too long, by as many as may be asked. */
  recordDotsMax: 64,
  /** Replaced writes that a record remembers by id, to know a second copy of one that comes late. Some 18 bytes each. */
  recordPastIdsMax: 16,
  /** Siblings of one key that are exchanged: each side of some partitions may have had as many as a write allows. */
  recordSiblingsHeldMax: 256,
  /** Bytes of the siblings that a write may leave: sets of several sides of a partition still fit in a call together. */
  recordSiblingsBytesMax: 256 * KiB,
  /** Counts of dots made durable at a time: one small write in some thousand. */
  recordDotsReserved: 8_192,
  /** Replaced writes of a key that a replica shows in its history. */
  recordPastMax: 10,
  /** Bytes of them: they are written again with every change. */
  recordPastBytesMax: 8 * KiB,
  /** Hints that a peer keeps, and records that it keeps for others: some 100 MB of small ones. */
  recordHintsMax: 100_000,
  /** Rings whose hand-off has not ended, remembered: more changes than that in one hand-off are one change. */
  recordRingsMax: 8,
  /** Members after the owners that may stand in for them. */
  recordStandInsMax: 3,
  /** Records in one message, whatever their size. */
  recordsCarried: 512,
  /** Bytes of records in one message: a quarter of a call, so that one set of any size may come on top. */
  recordsCarriedBytes: 512 * KiB,
  /** Keys with their hashes in one message: the longest fill half of a call. */
  recordHashesCarried: 2_048,
  /** Ranges of partitions whose hashes one message asks for: two steps from all partitions to each one. */
  recordRangesMax: 128,
  /** Entries of a listing in one answer. */
  recordsListed: 1_000,
  /** Owners being mended at a time after reads; anti-entropy finds the others. */
  recordRepairsMax: 64,
  /** Times that a call is planned anew because members join or leave meanwhile. */
  recordPlansMax: 4,
  /** Partitions being handed over at a time: hides the distance, and leaves the line to others. */
  handOffInFlight: 16,
  /** Partitions that a hand-off fails with before it waits: their owners are not there. */
  handOffFailuresMax: 64,
  /** News of writes that wait to be told: a second's worth of the fastest writer. */
  recordNewsMax: 10_000,
  /** A message with news of writes. */
  recordNewsBytes: 16 * KiB,
  /** Watched keys whose last version is remembered. */
  recordsWatched: 10_000,
  /** Ballots that a compare-and-set tries: others that write the same key have their turn. */
  recordBallotsMax: 12,
  /** The longest record that is remembered as decoded; `recordVerdictsMax` of them are 8 MB. */
  recordSetRememberedBytes: 1 * KiB,
  /** Writes that share a signature: more would save little of it, and make every one of them longer by 32 bytes. */
  recordsSignedTogether: 16,
  /** Signatures remembered as good, and records as decoded: as many writes as come in some seconds. */
  recordVerdictsMax: 8_192,
  /** Capacity for which a member has one token: 256 for 100 GB. This and the next two are law: see placementVersion. */
  tokenCapacityBytes: 390_625_000,
  /** Tokens of the smallest member: with fewer its share would be left to chance. */
  tokensMin: 16,
  /** Tokens of the largest member: what 1.6 TB have; more would cost every peer time to work out. */
  tokensMax: 4_096,
  /** Rings remembered (some hundred KB each): of the views that meet while members join and leave. */
  ringsKept: 8,

  /** Wishes that one content be kept: one from each time that somebody pinned it. */
  pinWishesMax: 64,
  /** Ended wishes of one pin that are remembered, so that a late write of a driver does not bring them back. */
  pinEndedMax: 128,
  /** Characters of a wish's id: 12 bytes of chance. */
  pinWishIdCharactersMax: 32,
  /** Members that a holder is told to fetch from: as many as a fetch uses. */
  pinSourcesMax: 8,
  /** Pins in one message: with their records some 200 KB, far from the limit of a call. */
  pinsCarried: 256,
  /** Bytes of records of pins in one message: half of a call, so that one of the largest may come on top. */
  pinsCarriedBytes: 1 * MiB,
  /** Blocks in one audit. At most half are of pins that were not proven before. */
  pinsAudited: 16,
  /** Audits in a row that a holder may fail before another is named instead, or not answer before that counts as failing. */
  auditsFailedMax: 3,
  /** Members of the ring's walk that are looked at first: nearly always they are enough, and looking at all of 500 costs time. */
  pinWalkFirst: 16,
  /** Records of pins being written, or compared with what is here, at a time. */
  pinWritesInFlight: 16,
  /** Failures that make a holder wait for longer each time. */
  holdFailuresCounted: 6,

  /** Connections to a hub's index at a time: each light client has one or two, and open ones cost some 20 KB. */
  routingConnectionsMax: 512,
  /** Of one address, or IPv6 network: what says nothing is dropped after 15 s, and until then must not keep others out. */
  routingConnectionsPerClient: 64,
  /** Searches that a hub runs for others at a time: each may be a lookup in the DHT. */
  routingSearchesMax: 64,
  /** Requests that one address may make at once, a whole household behind it, */
  routingBurst: 100,
  /** and per second in the long run. */
  routingPerSecond: 10,
  /** Addresses whose requests are counted; an IPv6 one stands for its /64. */
  routingClientsMax: 10_000,
  /** Header of a request to a hub. */
  routingHeaderBytesMax: 8 * KiB,
  /** Filters in one request: all transports and transfer protocols that there are. */
  routingFiltersMax: 64,
  /** JSON body of an API request. */
  apiBodyBytesMax: 1 * MiB,
} as const
