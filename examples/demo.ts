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
  const [anna, ben, carla, dan, eve] = peers as [DemoPeer, DemoPeer, DemoPeer, DemoPeer, DemoPeer]

  const sources = given.length > 0 ? given.map((path) => resolve(path)) : [await makeFolder()]
  step(`anna adds ${sources.map((path) => basename(path)).join(', ')}`)
  for (const source of sources) {
    const addStartedMs = performance.now()
    const added = (await json(anna, 'add', '--hidden', source))[0] as { cid: string; size: number; blocks: number }
    const seconds = (performance.now() - addStartedMs) / 1000
    say(
      `${added.cid}: ${formatSize(added.size)} in ${added.blocks} blocks, durable after ${formatTime(seconds * 1000)}`,
    )
    await share(source, added, anna, [ben, carla], eve)
    await nameIt(basename(source), added.cid, anna, dan)
  }
}

async function share(
  source: string,
  { cid, size }: { cid: string; size: number },
  anna: DemoPeer,
  holders: DemoPeer[],
  eve: DemoPeer,
): Promise<void> {
  step(`${holders.map((peer) => peer.name).join(' and ')} keep copies too`)
  for (const holder of holders) await json(holder, 'pin', 'add', cid)

  step('eve, who has none of it, asks the DHT who provides it')
  const ids = new Map([anna, ...holders].map((peer) => [peer.peerId, peer.name]))
  const found = await providersInDht(eve, cid, ids)
  say(`found through the DHT: ${found.map((peerId) => ids.get(peerId)).join(', ')}`)

  const victim = holders[0] as DemoPeer
  step(`eve fetches from all of them at once, and ${victim.name} is killed in the middle`)
  const target = join(folder, 'fetched', basename(source))
  await mkdir(join(folder, 'fetched'), { recursive: true })
  const got = await getAndKill(eve, cid, target, victim, size)
  say(
    `${formatSize(got.size)} in ${formatTime(got.seconds * 1000)} (${formatSize(got.size / Math.max(got.seconds, 0.001))}/s)`,
  )
  for (const [peerId, bytes] of Object.entries(got.sources))
    say(`  ${formatSize(bytes)} came from ${ids.get(peerId) ?? peerId}`)

  step('Every file is compared with the original, and every block in the stores is hashed again')
  const [before, after] = [await fingerprint(source), await fingerprint(target)]
  if (before.digest !== after.digest) throw new Error(`${target} differs from ${source}`)
  say(`${after.files} ${after.files === 1 ? 'file is' : 'files are'} the same, byte for byte`)
  for (const peer of [anna, eve]) {
    const [verified] = (await json(peer, 'verify')) as [{ blocks: number; problems: unknown[] }]
    if (verified.problems.length > 0) throw new Error(`${peer.name} has ${verified.problems.length} damaged blocks`)
    say(`${peer.name}: ${verified.blocks} blocks, all as they should be`)
  }
  step(`${victim.name} starts again: what it had acknowledged is still there`)
  Object.assign(victim, await startPeer(victim.name, victim.home))
  const [again] = (await json(victim, 'verify')) as [{ blocks: number; problems: unknown[] }]
  if (again.problems.length > 0) throw new Error(`${victim.name} has damaged blocks after the kill`)
  say(`${victim.name}: ${again.blocks} blocks, all as they should be`)
}

async function nameIt(title: string, cid: string, anna: DemoPeer, dan: DemoPeer): Promise<void> {
  const name = `demo/${title}`
  step(`anna gives it a name, which the members keep; dan reads it with a quorum, and what it stands for by that name`)
  const [set] = (await json(anna, 'name', 'set', name, cid, '-w', 'quorum')) as [{ acks: number; wanted: number }]
  say(`'${name}' is durable on ${set.acks} of ${set.wanted} owners`)
  const [got] = (await json(dan, 'name', 'get', name, '-r', 'quorum')) as [{ value: string; acks: number }]
  if (got.value !== cid) throw new Error(`dan reads '${got.value}' instead of ${cid}`)
  say(`dan hears the same from ${got.acks} owners`)
  const entries = await json(dan, 'ls', name).catch(() => [])
  say(`by that name dan sees ${entries.length === 0 ? 'a file' : `${entries.length} entries`}`)
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
  for (let attempt = 0; attempt < 80; attempt++) {
    const members = (await json(peer, 'members')) as { liveness: string }[]
    if (members.filter(({ liveness }) => liveness === 'alive').length === names.length) return
    await wait(250)
  }
  throw new Error(`${peer.name} does not see all members`)
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
  for (let attempt = 0; attempt < 40; attempt++) {
    const found = (await json(peer, 'find', cid).catch(() => [])) as { peerId: string; via: string }[]
    const inDht = new Set(found.filter(({ via }) => via === 'dht').map(({ peerId }) => peerId))
    if ([...wanted.keys()].every((peerId) => inDht.has(peerId)))
      return [...inDht].filter((peerId) => wanted.has(peerId))
    await wait(250)
  }
  throw new Error('the DHT does not know all who have it')
}

async function getAndKill(eve: DemoPeer, cid: string, target: string, victim: DemoPeer, size: number) {
  const remote = new RemotePeer(JSON.parse(await readFile(join(eve.home, 'api.json'), 'utf8')) as ApiFile)
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
