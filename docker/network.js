// The network of compose.yaml as a test sees it: started under a name of its own, so that it touches nothing else on the
// machine, asked by commands in its containers, and taken down with all that belongs to it. What is to be expected of it is
// not said here.
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { request } from 'node:http'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'

const folder = dirname(fileURLToPath(import.meta.url))
export const project = `potluck-test-${randomBytes(4).toString('hex')}`
export const image = project
// Another range than `docker compose up` takes, so that both can run on one machine; the published port is a free one.
const settings = { POTLUCK_IMAGE: image, POTLUCK_INTERNET: '198.51.100', POTLUCK_PORT: '' }

export const peers = ['hub', 'office-1', 'office-2', 'office-3', 'anna', 'ben', 'client']
/** By their addresses in the network `internet`. */
export const routers = { 'router-of-anna': '198.51.100.11', 'router-of-ben': '198.51.100.12' }
export const services = [...peers, ...Object.keys(routers)]

const startedMs = Date.now()
export const seconds = () => ((Date.now() - startedMs) / 1000).toFixed(1).padStart(6)
export const say = (text) => console.log(`${seconds()} s  ${text}`)
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

/** Runs a program to its end: `{ code, stdout, stderr }`. With `shown`, what it says is passed on as it comes. */
export function run(program, args, { shown = false, timeoutMs = 60_000 } = {}) {
  return new Promise((resolve, reject) => {
    const stdio = ['ignore', shown ? 'inherit' : 'pipe', shown ? 'inherit' : 'pipe']
    const child = spawn(program, args, { cwd: folder, env: { ...process.env, ...settings }, stdio, timeout: timeoutMs })
    const texts = { stdout: '', stderr: '' }
    for (const name of ['stdout', 'stderr']) {
      child[name]?.setEncoding('utf8').on('data', (text) => {
        texts[name] += text
      })
    }
    child.on('error', reject)
    child.on('close', (code) => resolve({ code: code ?? 1, ...texts }))
  })
}

export async function must(program, args, options) {
  const { code, stdout, stderr } = await run(program, args, options)
  if (code === 0) return stdout.trim()
  throw new Error(`${[program, ...args].join(' ')} ended with ${code}: ${(stderr || stdout).trim().slice(-2000)}`)
}

export const docker = (...args) => must('docker', args)

/** `docker compose`, or `docker-compose` where there is only that. */
let composeProgram = []
export async function findPrograms() {
  const isSecond = (await run('docker', ['compose', 'version']).catch(() => ({ code: 1 }))).code === 0
  const found = isSecond ? ['docker', 'compose'] : ['docker-compose']
  for (const needed of [
    ['docker', 'info'],
    [...found, 'version'],
  ]) {
    const [program, ...args] = needed
    const { code } = await run(program, args).catch(() => ({ code: 1 }))
    check(code === 0, `'${needed.join(' ')}' fails: this test needs a Docker engine, and docker compose`)
  }
  composeProgram = found
  return found.join(' ')
}

export const compose = (...args) => {
  const [program, ...first] = [...composeProgram, '--project-name', project, ...args]
  return must(program, first, { timeoutMs: 120_000 })
}

/** Container ids by service; names of containers differ between versions of compose. */
export const ids = {}

/** A command of potluck in a peer's container: its JSON documents. */
export async function potluck(peer, ...args) {
  const lines = await docker('exec', ids[peer], 'potluck', '--json', '--quiet', '--timeout', '50s', ...args)
  return lines
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line))
}
export const one = async (peer, ...args) => (await potluck(peer, ...args))[0]
export const shell = (peer, script) => docker('exec', ids[peer], 'sh', '-c', script)
const sumOf = async (peer, path) => (await shell(peer, `sha256sum ${path}`)).split(' ')[0]

/** Bytes that nobody has yet, as a file in a peer's container; returns its SHA-256. */
export async function makeFile(peer, path, bytes) {
  await shell(peer, `head -c ${bytes} /dev/urandom > ${path}`)
  return sumOf(peer, path)
}

export async function fetchAndCheck(peer, ref, sum) {
  const path = `/tmp/got-${randomBytes(4).toString('hex')}`
  const got = await one(peer, 'get', ref, '-o', path)
  check((await sumOf(peer, path)) === sum, `what ${peer} fetched is not what was added`)
  return got
}

export async function networkId(name) {
  const labels = [`com.docker.compose.project=${project}`, `com.docker.compose.network=${name}`]
  return docker('network', 'ls', '-q', ...labels.flatMap((label) => ['--filter', `label=${label}`]))
}

export function check(held, otherwise) {
  if (!held) throw new Error(otherwise)
}

/** Asks once a second until `held` answers with something true, and returns it; what it throws counts as no. */
export async function until(what, limitSeconds, held) {
  const beganMs = Date.now()
  let last = ''
  for (;;) {
    const answer = await held().catch((error) => {
      last = error.message
    })
    if (answer) {
      say(`${what} (${((Date.now() - beganMs) / 1000).toFixed(1)} s)`)
      return answer
    }
    if (Date.now() - beganMs > limitSeconds * 1000) throw new Error(`not within ${limitSeconds} s: ${what}. ${last}`)
    await pause(1000)
  }
}

export const alive = async (peer) =>
  (await potluck(peer, 'members')).filter((member) => member.self || member.liveness === 'alive')
/** One after the other: seven commands at a time would keep a small machine from what they wait for. */
export const allMeet = (limitSeconds) => {
  const waiting = [...peers]
  return until(`all ${peers.length} members see all others alive`, limitSeconds, async () => {
    for (const peer of [...waiting]) {
      const count = (await alive(peer)).length
      if (count < peers.length) throw new Error(`${count} are alive for ${peer}`)
      waiting.shift()
    }
    return true
  })
}

async function zonesOf(peer, ref) {
  const { places, holders } = await one(peer, 'status', ref)
  return places
    .filter(({ peerId }) => holders.includes(peerId))
    .map(({ zone }) => zone)
    .sort()
}
export const copiesIn = (ref, wanted, limitSeconds) =>
  until(`its copies are in ${wanted.join(', ')}`, limitSeconds, async () => {
    const zones = await zonesOf('client', ref)
    if (zones.join() !== wanted.join()) throw new Error(`they are in ${zones.join(', ')}`)
    return true
  })

/** What the published API answers, as a status code. */
export function statusOf(hostPort, method, path, headers) {
  return new Promise((resolve, reject) => {
    const body = method === 'POST' ? '{}' : ''
    const json = body && { 'content-type': 'application/json' }
    const asked = request(`http://${hostPort}${path}`, { method, headers: { ...json, ...headers } }, (response) => {
      response.resume()
      resolve(response.statusCode)
    })
    asked.on('error', reject)
    asked.end(body)
  })
}

/** How one peer is connected to another: `relayed` or `direct`, and by which address. */
export async function wayFrom(peer, other) {
  const { peerId } = await one(other, 'status')
  return until(`${peer} is connected to ${other}`, 30, async () => {
    const found = (await potluck(peer, 'peers')).find((connection) => connection.peerId === peerId)
    return found && `${found.relayed ? 'by a relay' : 'directly'}: ${found.addresses[0]}`
  })
}

/** Waits until a peer has found out how others reach it, and returns what it says about that. */
export async function reachOf(peer, kind) {
  const { why } = await until(`${peer} knows how it is reached`, 30, async () => {
    const { reachability } = await one(peer, 'status')
    if (reachability.kind !== kind) throw new Error(`it says ${reachability.kind} and not ${kind}: ${reachability.why}`)
    return reachability
  })
  return why
}

/** What the containers say, for whoever has to find out why. */
export async function showLogs() {
  if (composeProgram.length === 0) return
  const [program, ...first] = composeProgram
  await run(program, [...first, '--project-name', project, 'ps', '-a'], { shown: true })
  await run(program, [...first, '--project-name', project, 'logs', '--no-color', '--tail', '40'], { shown: true })
}

/** Removes all that bears the name of this run; returns what could not be removed. */
export async function takeDown() {
  // Before a program for compose was found, nothing was started.
  if (composeProgram.length === 0) return ''
  const down = () => compose('down', '--volumes', '--remove-orphans', '--timeout', '10')
  await down().catch((error) => say(error.message))
  // Who is stopped in the middle of `up` may leave a container that was just being made.
  if (await leftOver()) await pause(2000).then(down)
  await run('docker', ['image', 'rm', '--force', image, `${image}-gateway`])
  return leftOver()
}

async function leftOver() {
  const mine = ['--filter', `label=com.docker.compose.project=${project}`]
  const kinds = [
    ['ps', '-a'],
    ['network', 'ls'],
    ['volume', 'ls'],
  ]
  const left = await Promise.all(kinds.map((kind) => docker(...kind, '-q', ...mine)))
  return left.filter(Boolean).join(' ').replaceAll('\n', ' ')
}
