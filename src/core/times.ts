// How long things take at most, and how often they are done, in milliseconds, each with its reason. Whatever waits goes by a line
// here; a number of its own in the code is a defect. How much of anything there may be is in limits.ts.

export const times = {
  /** Opening a connection, all addresses tried. */
  dialMs: 15_000,
  /** Opening a connection at one of its addresses: five round trips of a bad mobile link. */
  dialAddressMs: 4_000,
  /** Before a hole is punched, a plain dial has this long: three round trips of a bad mobile link. */
  punchPlainMs: 3_000,
  /** Agreeing about a hole over a relay must be done by then. */
  punchTalkMs: 10_000,
  /** A try: the system sends again after 1 and 3 s what came too early for the other side's NAT. */
  punchDialMs: 5_000,
  /** A dial through a hole goes on for so long, from try to try: the system sends again after 7 and 15 s, too. */
  punchHoldMs: 18_000,
  /** First wait after the other side refused: its peer has not begun to dial yet. Doubled each time. */
  punchRefusedMs: 50,
  /** Wait before a hole that could not be punched is tried again; doubled each time. */
  punchAgainFirstMs: 20_000,
  /** Longest such wait: a laptop may have gone to another network. */
  punchAgainMostMs: 3_600_000,
  /** Within this time a peer may ask for a few holes only. */
  punchAnswersWithinMs: 60_000,
  /** A relayed connection ends this long after there is a direct one: what is short may end over it. */
  relayedGraceMs: 5_000,
  /** A request to a peer without any progress. */
  stallMs: 15_000,
  /** While nothing comes at all, idle suppliers may take over blocks from one more of the others after each such time. */
  takeOverMs: 2_500,
  /** People's fetches to which nothing has come for so long do not hold up those in the background. */
  foregroundQuietMs: 1_000,
  /** Asking a connected peer whether it has a block. */
  askMs: 5_000,
  /** Looking up providers before a fetch gives up for lack of any. */
  lookUpMs: 30_000,
  /**
   * Hubs are asked this much later than members, connected peers and the DHT, unless those end with nothing before: of what
   * the cluster finds by itself and fetches in a moment, no hub needs to hear.
   */
  hubHeadStartMs: 300,
  /** A hub must have answered by then: its own search ends before. */
  hubMs: 10_000,
  /** A hub that failed is left alone for so long, so that a dead one does not hold up every search. */
  hubRestMs: 15_000,
  /** A search that a hub runs for a light client ends by then. */
  routingMs: 8_000,
  /** A request to a hub must have come whole by then, and a client that takes nothing is dropped after it. */
  routingIdleMs: 15_000,
  /** How long an answer of the index may be kept: one with results, */
  routingFreshMs: 300_000,
  /** and an empty one. Both are the specification's suggestion. */
  routingEmptyFreshMs: 15_000,
  /** How long an IPNS record that the index gave may be kept: what its specification says for one that does not say. */
  ipnsFreshMs: 60_000,
  /** How long an old answer is better than none: the life of a provider record. */
  routingStaleMs: 48 * 3_600_000,
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
  /** Asking a server of the DHT for a value, or to keep one, a dial included: one that is gone must not hold up the rest. */
  dhtValueMs: 5_000,
  /** An IPNS record is signed and published again after this long, or a third of its life. Kubo's figure. */
  ipnsEveryMs: 4 * 3_600_000,
  /** How long an IPNS record is valid unless its publisher says otherwise: as long as servers of the DHT keep it. */
  ipnsLifetimeMs: 48 * 3_600_000,
  /** The shortest it may be, since clocks differ, and the longest, which the specification's test records have. */
  ipnsLifetimeMinMs: 60_000,
  ipnsLifetimeMostMs: 100 * 365 * 24 * 3_600_000,
  /** How long readers may go without asking for a newer IPNS record. The specification's suggestion. */
  ipnsTtlMs: 300_000,
  /** A server that answers mentioned so lately is not considered anew: many lookups, and soon enough for one that is back. */
  dhtMentionMs: 30_000,
  /** How often it is seen whether a server of the DHT is known at last. */
  neighboursFirstMs: 1_000,
  /** Until the neighbours are looked up again: those who started together have found their places. */
  neighboursAgainMs: 15_000,
  /** kad-dht looks them up so often, from then on. */
  neighboursRefreshMs: 300_000,
  /** First wait before a lost peer is dialed again; doubled each time. */
  redialFirstMs: 1_000,
  /** Longest wait before a lost peer is dialed again: a machine that comes back is met within a minute. */
  redialMostMs: 60_000,
  /** What libp2p writes is made durable together after this long; a crash loses no more. */
  datastoreDelayMs: 1_000,
  /** A connection that does not answer a ping for this long is dead. A busy machine may take some seconds. */
  pingMs: 20_000,
  /** How often one is pinged. */
  pingEveryMs: 30_000,
  /** So is one to a relay that this peer is reached through, which then has to answer by then: another is found in 15 s. */
  pingVitalEveryMs: 4_000,
  pingVitalMs: 8_000,
  /** How often it is looked at which connections are to be pinged: a new one is at once. */
  pingLookMs: 1_000,
  /** A connection may be closed that nothing has gone over for so long: what needed it once may soon need it again. */
  connectionIdleMs: 30_000,
  /** How often it is looked at which are idle. */
  connectionsLookMs: 5_000,
  /** A connection must have finished its handshake by then. */
  handshakeMs: 8_000,
  /** Trying some addresses for a peer: one that answers nothing takes as long as a dial may. */
  dialBackMs: 8_000,
  /** Until a peer that had no time for it is asked again: until then nobody may know that this one needs a relay. */
  dialBackBusyMs: 15_000,
  /** After a connection has closed, its streams have too. */
  gossipMendMs: 200,
  /** How often a peer has others try whether it can be dialed, */
  reachEveryMs: 600_000,
  /** and how often while it cannot: somebody may have opened a port. */
  reachAgainMs: 120_000,
  /** What has changed for others meanwhile is looked at after so long at the earliest. */
  reachLookMs: 500,
  /** The same once enough others have answered: somebody from elsewhere may have come. */
  reachLookAgainMs: 2_000,
  /** An address that has failed is tried after all others for so long; doubled each time. */
  failedAddressFirstMs: 60_000,
  failedAddressMostMs: 3_600_000,
  /** For how long the networks of this machine are believed to be the same. */
  interfacesMs: 10_000,
  /** A relay must have answered by then, or brought the two together. */
  circuitMs: 8_000,
  /** How long a place at a relay lasts unless it is renewed. The specification's figure. */
  reservationMs: 3_600_000,
  /** The longest that one is believed to last, whatever the relay says, */
  reservationMostMs: 2 * 3_600_000,
  /** and the shortest that is taken: everybody is told of each that comes and goes. */
  reservationLeastMs: 60_000,
  /** First wait before a relay that refused or failed is asked again; doubled each time. */
  relayRetryFirstMs: 2_000,
  relayRetryMostMs: 300_000,
  /** How often it is looked at whether relays are wanted, though connections that come and go wake that. */
  relaysPollMs: 5_000,
  /** A circuit of strangers ends after this. go-libp2p's and js-libp2p's figure. */
  strangerCircuitMs: 120_000,
  /** A request to a member must be answered by then, unless its caller says otherwise. */
  callMs: 5_000,
  /** A connected peer must have proven by then that it is a member, or its streams are dropped. */
  proofMs: 5_000,
  /** How often a stream that waits for the proof of its peer looks: some round trips of a local network. */
  proofPollMs: 20,
  /** A member probes some others once in this time. */
  probeEveryMs: 1_000,
  /** A member has this long to answer a probe before others are asked to try it, */
  probeDirectMs: 600,
  /** and they have this long. */
  probeIndirectMs: 600,
  /** What a probe gets on top when there is no connection: a dial, a handshake and a greeting over a slow line. */
  probeDialMs: 2_000,
  /** A timer that fires this late means that we are busy ourselves; the answers may wait behind it. */
  timerLateMs: 100,
  /** After a suspicion that many share, a member has this long to object: with the probes before it stays below 5 s. */
  suspicionMinMs: 2_400,
  /** The same when nobody shares it. */
  suspicionMostMs: 7_200,
  /** Time that our timers have missed by so much was sleep. */
  sleptMs: 30_000,
  /** After that, members are met again for so long before one is suspected: lines that died are noticed after `pingMs`. */
  wakeMs: 35_000,
  /** How often a member compares what it knows with another: equal books cost one hash. */
  reconcileEveryMs: 30_000,
  /** How often a member looks whether its own addresses have changed, and claims them anew at most. */
  addressesPollMs: 10_000,
  /** A member refutes doubts at most this often: each time costs a durable write. */
  refuteEveryMs: 250,
  /** Telling others that we leave must not keep us from leaving. */
  farewellMs: 2_000,
  /** How long a replaced secret still connects members that were asleep when it was. */
  rotationOverlapMs: 7 * 24 * 3_600_000,
  /** The same when somebody was shut out: just long enough to hand the new one to all who are there. */
  rotationHandMs: 60_000,
  /** How often members that came back are offered the secret that they missed. */
  rotationOfferMs: 10_000,
  /** A member that is asked how much it holds must answer by then: whoever lists the members waits for it. */
  usedMs: 1_000,
  /** How often a peer that leaves looks whether all is handed off. */
  drainPollMs: 200,
  /** How often waiting calls on records are looked at. */
  recordTickMs: 50,
  /** An owner that has not answered by then is not waited for alone: another is asked, or a stand-in. */
  recordHedgeMs: 300,
  /** A call that takes what it can get stops waiting for the rest after this. */
  recordSettleMs: 1_000,
  /** A call on records that wants a number of answers waits this long. */
  recordMs: 5_000,
  /** An owner must have issued a write by then, or the next is asked: one durable write, and a slow line. */
  recordIssueMs: 2_000,
  /** How often hints are looked through for members that are back. */
  hintsPollMs: 1_000,
  /** Mean time between two comparisons with another owner: each costs one small question when nothing differs. */
  antiEntropyEveryMs: 10_000,
  /** Time between two comparisons of a new store, which does not answer strict calls before it has made them all. */
  fillEveryMs: 200,
  /** Wait before a partition is offered again to owners that were not there, and before others are asked again. */
  handOffRetryMs: 1_000,
  /** How often the ring is looked at, though changes wake the hand-off. */
  handOffPollMs: 30_000,
  /** A removed key is remembered for so long, and until every owner has confirmed it. */
  removalsKeptMs: 30 * 24 * 3_600_000,
  /** Away for longer, a peer may hold what was removed and forgotten: two days less than removals are kept, for bad clocks. */
  absenceMs: 28 * 24 * 3_600_000,
  /** How often it is written down that this peer is not away. */
  presenceEveryMs: 3_600_000,
  /** How often removed keys are looked through. */
  removalsEveryMs: 3_600_000,
  /** Between two messages with news of writes: a little under the second within which everybody shall have heard. */
  recordNewsEveryMs: 800,
  /** Longest wait after the first ballot that was outbid; grows with each. */
  recordBallotWaitMs: 50,
  /** Wait after the first failure to fetch what this peer shall hold; doubled each time. */
  holdRetryFirstMs: 5_000,
  /** Longest such wait: whoever has it may be back. */
  holdRetryMostMs: 300_000,
  /** How often the queue of what is to be held is put in order at most: there may be very many. */
  holdQueueMs: 1_000,
  /** How often a holder looks for work, though work wakes it. */
  holdPollMs: 60_000,
  /** How often pins that are not held as they should be are looked at, and their holders asked. */
  pinsUnsettledMs: 2_000,
  /** The same after a long time without any change. */
  pinsUnsettledMostMs: 60_000,
  /** How often members are counted, though changes wake the driver: the grace time ends without any. */
  pinsPollMs: 10_000,
  /** After its start a peer takes members for seen only when it has met them: by then it doubts those that are not there. */
  sightMs: 20_000,
  /** A holder's word counts for so long before it is asked again. */
  pinsConfirmedMs: 3_600_000,
  /** Who has been away, or has answered nothing about pins though it is alive, for so long is passed over for new ones. */
  pinsDeafMs: 30_000,
  /** A member without room, or that could not fetch, is asked again after this. */
  unfitMs: 600_000,
  /** How often what is here is compared with the pins, though messages wake it. */
  keeperEveryMs: 600_000,
  /** After a block was lost, everything held is looked through: the blocks that go with it are then gone too. */
  mendAfterMs: 10_000,
  /** Who keeps a copy only until others prove that they have theirs asks them again after this: by then one that lost it is at work. */
  proofAgainMs: 60_000,
  /** Mean time between two audits of a holder. */
  auditEveryMs: 60_000,
  /** How often somebody who waits for copies looks. */
  pinWaitMs: 500,
  /** How often it is looked at how full store and disk are. */
  collectPollMs: 60_000,
  /** After pins of the cluster were removed their blocks go together, and a pin that is added again in time costs nothing. */
  collectSoonMs: 15_000,
  /** Least time between two collections for lack of room: each reads the nodes of all pins. */
  collectEveryMs: 3 * 60_000,
  /** Longest wait for the next collection when they bring little. */
  collectMostMs: 12 * 3_600_000,
  /** Every block is read again once in this time: what Btrfs and ZFS advise. */
  scrubCycleMs: 30 * 24 * 3_600_000,
  /** How often it is looked at whether some are due: wall time may jump, and timers stand still while a machine sleeps. */
  scrubPollMs: 3_600_000,
  /** How often the place is written down: a crash costs as much reading. */
  scrubSaveMs: 60_000,
  /** A running peer that is busy answers its own commands within this; what takes longer is something else. */
  apiAnswerMs: 5_000,
  /** A clean stop must end within this. */
  stopMs: 5_000,
} as const
