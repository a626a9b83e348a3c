// `npm run demo -- FILE...`: five real peers on this machine, in a private cluster on loopback, do the main job with your
// files or with a folder made for the purpose. It uses nothing but the program's own commands and API, says what happens
// in plain words, ends with exit code 0 only if every step held, and cleans up after itself.
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createReadStream } from 'node:fs'
import { lstat, mkdir, mkdtemp, readdir, readFile, readlink, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as wait } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { RemotePeer } from '../src/cli/remote-peer.ts'
import { formatSize, formatTime } from '../src/core/units.ts'
import type { ApiFile } from '../src/node/home.ts'

const run = promisify(execFile)
const potluck = fileURLToPath(new URL('../src/cli/launch.js', import.meta.url))
const names = ['anna', 'ben', 'carla', 'dan', 'eve']
const zoneOf = (name: string) => (['anna', 'ben', 'carla'].includes(name) ? 'attic' : 'cellar')

const copies = 3
/** How long a holder may be away here before another takes its place. */
const grace = '2s'
const graceText = '2 s'

interface Added {
  cid: string
  size: number
  blocks: number
}

interface DemoPeer {
  name: string
  home: string
  peerId: string
  process: ChildProcess
}

const folder = await mkdtemp(join(tmpdir(), 'potluck-demo-'))
const running: ChildProcess[] = []
const startedMs = performance.now()
try {
  await demo(process.argv.slice(2))
  console.log(`\nEvery step held, in ${formatTime(performance.now() - startedMs)}.`)
  console.log(
    'Where to look next: `npx potluck start` runs a peer of your own, `npx potluck --help` lists the commands.',
  )
} catch (error) {
  console.error(`\nThe demo failed: ${error instanceof Error ? error.message : error}`)
  process.exitCode = 1
} finally {
  for (const child of running) child.kill('SIGKILL')
  await rm(folder, { recursive: true, force: true })
}

async function demo(given: string[]): Promise<void> {
  for (const path of given) await lstat(path)
  step('Five peers start, each with a home and an identity of its own; the first makes a private cluster')
  const peers = await startCluster()

  const sources = given.length > 0 ? given.map((path) => resolve(path)) : [await makeFolder()]
  for (const source of sources) await keepAndShare(source, peers)
}

async function keepAndShare(source: string, peers: DemoPeer[]): Promise<void> {
  const anna = peers[0] as DemoPeer
  step(`anna adds ${basename(source)}, and asks for three copies on different machines`)
  const addStartedMs = performance.now()
  const wish = ['--copies', `${copies}`, '--wait', `${copies}`]
  const added = (await json(anna, 'add', '--hidden', ...wish, source))[0] as Added
  const seconds = (performance.now() - addStartedMs) / 1000
  const { cid, size, blocks } = added
  say(`${cid}: ${formatSize(size)} in ${blocks} blocks, on ${copies} machines after ${formatTime(seconds * 1000)}`)
  const holders = await heldBy(anna, cid, peers)
  say(`held by ${holders.map(({ name }) => `${name} (${zoneOf(name)})`).join(', ')}`)
  if (new Set(holders.map(({ name }) => zoneOf(name))).size < 2) throw new Error('all copies are in one zone')

  const reader = peers.find((peer) => peer !== anna && !holders.includes(peer)) as DemoPeer
  const victim = holders.find((peer) => peer !== anna) as DemoPeer
  await fetchAndLose(source, added, { anna, holders, reader, victim })
  await nameIt(basename(source), cid, anna, reader)
  await watchRepair(cid, anna, victim, peers)
}

async function fetchAndLose(
  source: string,
  { cid, size }: Added,
  { anna, holders, reader, victim }: { anna: DemoPeer; holders: DemoPeer[]; reader: DemoPeer; victim: DemoPeer },
): Promise<void> {
  step(`${reader.name}, who has none of it, asks the DHT who provides it`)
  const ids = new Map([anna, ...holders].map((peer) => [peer.peerId, peer.name]))
  const found = await providersInDht(reader, cid, ids)
  say(`found through the DHT: ${found.map((peerId) => ids.get(peerId)).join(', ')}`)

  step(`${reader.name} fetches from all of them at once, and ${victim.name} is killed in the middle`)
  const target = join(folder, 'fetched', basename(source))
  await mkdir(join(folder, 'fetched'), { recursive: true })
  const got = await getAndKill(reader, cid, target, victim, size)
  say(
    `${formatSize(got.size)} in ${formatTime(got.seconds * 1000)} (${formatSize(got.size / Math.max(got.seconds, 0.001))}/s)`,
  )
  for (const [peerId, bytes] of Object.entries(got.sources))
    say(`  ${formatSize(bytes)} came from ${ids.get(peerId) ?? peerId}`)

  step('Every file is compared with the original, and every block in the stores is hashed again')
  const [before, after] = [await fingerprint(source), await fingerprint(target)]
  if (before.digest !== after.digest) throw new Error(`${target} differs from ${source}`)
  say(`${after.files} ${after.files === 1 ? 'file is' : 'files are'} the same, byte for byte`)
  for (const peer of [anna, reader]) {
    const [verified] = (await json(peer, 'verify')) as [{ blocks: number; problems: unknown[] }]
    if (verified.problems.length > 0) throw new Error(`${peer.name} has ${verified.problems.length} damaged blocks`)
    say(`${peer.name}: ${verified.blocks} blocks, all as they should be`)
  }
}

async function watchRepair(cid: string, anna: DemoPeer, victim: DemoPeer, peers: DemoPeer[]): Promise<void> {
  step(`${victim.name} stays away, so the others bring the copies back (after ${graceText} here; 12 h unless told)`)
  const repairStartedMs = performance.now()
  const living = peers.filter((peer) => peer !== victim)
  const now = await until('the copies are back', async () => {
    const holders = await heldBy(anna, cid, living)
    return holders.length === copies && holders
  })
  const tookMs = performance.now() - repairStartedMs
  say(`${copies} copies again after ${formatTime(tookMs)}: ${now.map(({ name }) => name).join(', ')}`)

  step(`${victim.name} starts again: what it had acknowledged is still there, and the extra copy goes`)
  Object.assign(victim, await startPeer(victim.name, victim.home))
  const [again] = (await json(victim, 'verify')) as [{ blocks: number; problems: unknown[] }]
  if (again.problems.length > 0) throw new Error(`${victim.name} has damaged blocks after the kill`)
  say(`${victim.name}: ${again.blocks} blocks, all as they should be`)
  const settled = await until('the extra copy is dropped', async () => {
    const holders = await heldBy(anna, cid, peers)
    return holders.length === copies && holders.includes(victim) && holders
  })
  say(`held by ${settled.map(({ name }) => name).join(', ')}`)
}

/** The peers among `peers` that hold it now, every block of it. */
async function heldBy(asked: DemoPeer, cid: string, peers: DemoPeer[]): Promise<DemoPeer[]> {
  const [{ holders }] = (await json(asked, 'status', cid)) as [{ holders: string[] }]
  return peers.filter(({ peerId }) => holders.includes(peerId))
}

async function until<T>(what: string, look: () => Promise<T | false>): Promise<T> {
  for (let attempt = 0; attempt < 120; attempt++) {
    const seen = await look()
    if (seen !== false) return seen
    await wait(250)
  }
  throw new Error(`it took too long until ${what}`)
}

async function nameIt(title: string, cid: string, anna: DemoPeer, reader: DemoPeer): Promise<void> {
  const name = `demo/${title}`
  step(
    `anna gives it a name, which the members keep; ${reader.name} reads it with a quorum, and its content by that name`,
  )
  const [set] = (await json(anna, 'name', 'set', name, cid, '-w', 'quorum')) as [{ acks: number; wanted: number }]
  say(`'${name}' is durable on ${set.acks} owners, where ${set.wanted} were asked for`)
  const [got] = (await json(reader, 'name', 'get', name, '-r', 'quorum')) as [{ value: string; acks: number }]
  if (got.value !== cid) throw new Error(`${reader.name} reads '${got.value}' instead of ${cid}`)
  say(`${reader.name} hears the same from ${got.acks} owners`)
  const entries = await json(reader, 'ls', name).catch(() => [])
  say(`by that name ${reader.name} sees ${entries.length === 0 ? 'a file' : `${entries.length} entries`}`)
}

async function startCluster(): Promise<DemoPeer[]> {
  const first = await startPeer('anna', join(folder, 'anna'))
  const [invited] = (await json(first, 'invite')) as [{ line: string }]
  const others = names.slice(1).map(async (name) => {
    const home = join(folder, name)
    await run(process.execPath, [potluck, '--home', home, '--json', 'join', invited.line])
    return await startPeer(name, home)
  })
  const peers = [first, ...(await Promise.all(others))]
  await everybodyKnown(first)
  for (const peer of peers) say(`${peer.name.padEnd(6)} ${peer.peerId}  zone ${zoneOf(peer.name)}`)
  return peers
}

async function everybodyKnown(peer: DemoPeer): Promise<void> {
  await until('all members see each other', async () => {
    const members = (await json(peer, 'members')) as { liveness: string }[]
    return members.filter(({ liveness }) => liveness === 'alive').length === names.length
  })
}

async function startPeer(name: string, home: string): Promise<DemoPeer> {
  const flags = [
    '--listen',
    '/ip4/127.0.0.1/tcp/0',
    '--api',
    '127.0.0.1:0',
    '--no-mdns',
    '--no-upnp',
    '--zone',
    zoneOf(name),
    '--repair-grace',
    grace,
  ]
  const child = spawn(process.execPath, [potluck, '--home', home, '--json', '--quiet', 'start', ...flags], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  running.push(child)
  const ended = once(child, 'exit').then(() => {
    throw new Error(`${name} did not start`)
  })
  ended.catch(() => {})
  const line = once(createInterface({ input: child.stdout }), 'line').then(([text]) => JSON.parse(text as string))
  const { peerId } = (await Promise.race([line, ended])) as { peerId: string }
  return { name, home, peerId, process: child }
}

/** Runs one command of the program for a peer and returns its JSON lines. */
async function json(peer: DemoPeer, ...command: string[]): Promise<unknown[]> {
  const { stdout } = await run(process.execPath, [
    potluck,
    '--home',
    peer.home,
    '--json',
    '--timeout',
    '60s',
    ...command,
  ])
  return stdout
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as unknown)
}

async function providersInDht(peer: DemoPeer, cid: string, wanted: Map<string, string>): Promise<string[]> {
  return await until('the DHT knows all who have it', async () => {
    const found = (await json(peer, 'find', cid).catch(() => [])) as { peerId: string; via: string }[]
    const inDht = new Set(found.filter(({ via }) => via === 'dht').map(({ peerId }) => peerId))
    const isAll = [...wanted.keys()].every((peerId) => inDht.has(peerId))
    return isAll && [...inDht].filter((peerId) => wanted.has(peerId))
  })
}

async function getAndKill(reader: DemoPeer, cid: string, target: string, victim: DemoPeer, size: number) {
  const remote = new RemotePeer(JSON.parse(await readFile(join(reader.home, 'api.json'), 'utf8')) as ApiFile)
  let killed = false
  const got = await remote.get(cid, {
    output: target,
    signal: AbortSignal.timeout(60_000),
    onProgress({ phase, done }) {
      if (killed || phase !== 'fetching' || done < size / 4) return
      killed = true
      victim.process.kill('SIGKILL')
      say(`${victim.name} is gone after ${formatSize(done)} of ${formatSize(size)}`)
    },
  })
  if (!killed) {
    victim.process.kill('SIGKILL')
    say(`it was over before ${victim.name} could be killed: try something larger`)
  }
  return got
}

/** A digest over names, kinds and content of everything below a path. */
async function fingerprint(path: string): Promise<{ digest: string; files: number }> {
  const hash = createHash('sha256')
  let files = 0
  const visit = async (at: string, name: string): Promise<void> => {
    const stats = await lstat(at)
    if (stats.isDirectory()) {
      hash.update(`folder ${name}\0`)
      for (const entry of (await readdir(at)).sort()) await visit(join(at, entry), `${name}/${entry}`)
    } else if (stats.isSymbolicLink()) hash.update(`link ${name} ${await readlink(at)}\0`)
    else {
      files++
      hash.update(`file ${name} ${stats.size}\0`)
      for await (const bytes of createReadStream(at)) hash.update(bytes as Uint8Array)
    }
  }
  await visit(path, '')
  return { digest: hash.digest('hex'), files }
}

async function makeFolder(): Promise<string> {
  const path = join(folder, 'party photos 🎉')
  await mkdir(join(path, 'more', 'empty'), { recursive: true })
  await writeFile(join(path, 'film.mov'), randomBytes(96 << 20))
  await writeFile(join(path, 'guest list.txt'), names.join('\n'))
  for (let index = 1; index <= 200; index++)
    await writeFile(join(path, 'more', `photo ${index}.jpg`), randomBytes(20_000 + index))
  return path
}

function step(sentence: string): void {
  console.log(`\n${sentence}.`)
}

function say(sentence: string): void {
  console.log(`  ${sentence}`)
}
