// The API over a real socket, with a scripted peer behind it: who may call it, how results and errors travel, and that the
// client gives exactly what a peer in the same process would give.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { request } from 'node:http'
import { connect, createServer } from 'node:net'
import { after, test } from 'node:test'
import { codeOf } from '../../src/base/errors.ts'
import { RemotePeer } from '../../src/cli/remote-peer.ts'
import { openApiServer } from '../../src/http/server.ts'
import type { Peer } from '../../src/node/api.ts'
import { NodeError } from '../../src/node/errors.ts'

const seen: { signal?: AbortSignal | undefined; options?: unknown } = {}
const stuck = Promise.withResolvers<void>()

// Only what the tests call; everything else is left out on purpose.
const scripted = {
  async add(source: unknown, options: { onProgress?: (progress: object) => void }) {
    seen.options = options
    options.onProgress?.({ phase: 'reading', done: 1, unit: 'bytes' })
    if (typeof source === 'string') return { cid: 'c', path: source, size: 1, blocks: 1 }
    let size = 0
    for await (const bytes of source as AsyncIterable<Uint8Array>) size += bytes.byteLength
    return { cid: 'c', path: '-', size, blocks: 1 }
  },
  async *ls(ref: string) {
    for (let index = 0; index < 3; index++) yield { name: `${ref}-${index}\n`, cid: 'c', size: index, type: 'file' }
  },
  async pinAdd(ref: string, options: unknown) {
    seen.options = { ref, ...(options as object) }
    return { cid: 'c' }
  },
  async status(asked: unknown) {
    return { asked }
  },
  async *cat(ref: string) {
    if (ref === 'missing') throw new NodeError('NOT_PINNED', 'not here')
    yield new Uint8Array(100_000).fill(1)
    if (ref === 'breaks') throw new NodeError('NOT_PROVIDED', 'the rest is nowhere')
    yield new Uint8Array(100_000).fill(2)
  },
  async gc({ signal }: { signal?: AbortSignal }) {
    seen.signal = signal
    stuck.resolve()
    return await new Promise((_, reject) => signal?.addEventListener('abort', () => reject(signal.reason)))
  },
  async importCar(car: AsyncIterable<Uint8Array>) {
    for await (const bytes of car) throw new NodeError('REQUEST_INVALID', `not a CAR: ${bytes.byteLength} bytes`)
  },
  async verify() {
    throw new TypeError('a bug')
  },
} as unknown as Peer

const token = 'a token that nobody knows'
const server = await openApiServer(scripted, { host: '127.0.0.1', port: 0, token, version: '1.2.3' })
after(() => server[Symbol.asyncDispose]())
const remote = new RemotePeer({ address: server.address, token, pid: 0 })

interface Reply {
  status: number
  text: string
}

function call(path: string, headers: Record<string, string>, body = '{}', method = 'POST'): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const outgoing = request(new URL(path, server.address), { method, headers }, async (response) => {
      const chunks = await response.toArray().catch(() => [])
      resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString() })
    })
    outgoing.on('error', reject)
    outgoing.end(method === 'POST' ? body : undefined)
  })
}

const json = { 'content-type': 'application/json', authorization: `Bearer ${token}` }

test('without the token nothing is answered but /health', async () => {
  assert.equal((await call('/health', {}, '', 'GET')).status, 200)
  for (const authorization of ['', 'Bearer', `Bearer ${token}x`, `Basic ${token}`])
    assert.equal((await call('/api/v1/ls', { ...json, authorization }, '{"ref":"x"}')).status, 401)
})

test('only the peer of the token counts as the running one', async () => {
  assert.equal(await remote.answers(), true)
  assert.equal(await new RemotePeer({ address: server.address, token: 'of another', pid: 0 }).answers(), false)
})

test('waiting for whoever holds the port of the API ends with the signal', async () => {
  const controller = new AbortController()
  const silent = createServer((socket) => {
    socket.resume().on('error', () => {})
    controller.abort(new Error('enough'))
  }).listen(0, '127.0.0.1')
  await once(silent, 'listening')
  const { port } = silent.address() as { port: number }
  const asked = new RemotePeer({ address: `http://127.0.0.1:${port}`, token, pid: 0 }).answers(controller)
  await assert.rejects(asked, /enough/)
  silent.close()
})

test('another host name or another origin is refused, even with the token', async () => {
  for (const host of ['evil.example', 'localhost.evil.example:5101', '10.0.0.1'])
    assert.equal((await call('/api/v1/ls', { ...json, host }, '{"ref":"x"}')).status, 401)
  assert.equal((await call('/api/v1/ls', { ...json, origin: 'https://evil.example' }, '{"ref":"x"}')).status, 401)
  assert.equal((await call('/api/v1/ls', { ...json, host: 'localhost:1' }, '{"ref":"x"}')).status, 200)
})

// Who listens on all addresses answers at 127.0.0.2 too, who listens on 127.0.0.1 does not.
test('published it answers on other addresses too, with the same guard', {
  skip: process.platform !== 'linux' && 'only on Linux all of 127.0.0.0/8 is this machine',
}, async () => {
  const options = { host: '127.0.0.1', port: 0, token, version: '1' }
  for (const published of [false, true]) {
    await using api = await openApiServer(scripted, { ...options, published })
    assert.match(api.address, /^http:\/\/127\.0\.0\.1:\d+$/)
    const beside = new URL('/health', api.address.replace('127.0.0.1', '127.0.0.2'))
    const ask = (headers: Record<string, string>) =>
      new Promise((resolve) => {
        const asked = request(beside, { headers }, (response) => resolve(response.resume().statusCode))
        asked.on('error', (error) => resolve(codeOf(error))).end()
      })
    assert.equal(await ask({ host: 'localhost' }), published ? 200 : 'ECONNREFUSED')
    assert.equal(await ask({ host: 'photos.example' }), published ? 401 : 'ECONNREFUSED')
  }
})

test('wrong arguments are named, not dropped', async () => {
  const unknown = await call('/api/v1/ls', json, '{"ref":"x","recusive":true}')
  assert.equal(unknown.status, 400)
  assert.match(unknown.text, /additional properties/)
  assert.equal((await call('/api/v1/ls', json, '{}')).status, 400)
  assert.equal((await call('/api/v1/ls', json, '{"ref":1}')).status, 400)
  assert.equal((await call('/api/v1/ls', json, 'not json')).status, 400)
  assert.equal((await call('/api/v1/nothing', json, '{}')).status, 404)
  assert.equal((await call('/api/v1/ls', json, `{"ref":"${'x'.repeat(2 << 20)}"}`)).status, 400)
})

test('what must be a stream, a flag or a path from the root is nothing else', async () => {
  const octets = { ...json, 'content-type': 'application/octet-stream' }
  for (const [path, headers, body] of [
    ['add-stream', json, '{}'],
    ['add-stream', { authorization: `Bearer ${token}` }, ''],
    ['add-stream?pin=yes', octets, 'content'],
    ['add', json, '{"path":"photos"}'],
    ['get', json, '{"ref":"x","output":"photos"}'],
    ['get', json, '{"ref":"x"}'],
  ] as const)
    assert.match((await call(`/api/v1/${path}`, headers, body)).text, /REQUEST_INVALID/, path)
})

test('whoever sends what is refused is not kept sending', { timeout: 20_000 }, async () => {
  const { port } = new URL(server.address)
  const socket = connect(Number(port), '127.0.0.1')
  const head = `POST /api/v1/import HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer ${token}\r\n`
  socket.write(`${head}Content-Type: application/octet-stream\r\nContent-Length: ${64 << 20}\r\n\r\n`)
  const answered = once(socket, 'data') as Promise<[Buffer]>
  await new Promise((resolve) => socket.write(Buffer.alloc(64 << 20), resolve))
  const [answer] = await answered
  assert.match(answer.toString(), /200 OK/)
  socket.destroy()
})

test('results arrive one by one, with progress between them', async () => {
  const entries = []
  for await (const entry of remote.ls('dir')) entries.push(entry)
  assert.deepEqual(
    entries.map(({ name }) => name),
    ['dir-0\n', 'dir-1\n', 'dir-2\n'],
  )
  const progress: object[] = []
  await remote.add('/some/path', { hidden: true, onProgress: (one) => progress.push(one) })
  assert.deepEqual(progress, [{ phase: 'reading', done: 1, unit: 'bytes' }])
  assert.equal((seen.options as { hidden: boolean }).hidden, true)
})

test('a stream goes up and is read as it comes', async () => {
  async function* body() {
    for (let index = 0; index < 50; index++) yield new Uint8Array(100_000)
  }
  const added = await remote.add(body(), { pin: false })
  assert.equal(added.size, 5_000_000)
  assert.equal((seen.options as { pin: boolean }).pin, false)
})

test('how a pin is kept travels with a path, a stream and a REF', async () => {
  const wish = { copies: 3, wait: 2, expiresMs: 1_900_000_000_000 }
  const given = () => {
    const { copies, wait, expiresMs, offload } = seen.options as Record<string, unknown>
    return { copies, wait, expiresMs, offload }
  }
  async function* body() {
    yield new Uint8Array(1)
  }
  await remote.add('/some/path', { ...wish, offload: true })
  assert.deepEqual(given(), { ...wish, offload: true })
  await remote.add(body(), { ...wish, offload: true })
  assert.deepEqual(given(), { ...wish, offload: true })
  await remote.pinAdd('x', wish)
  assert.deepEqual(given(), { ...wish, offload: undefined })
  assert.equal((seen.options as { ref: string }).ref, 'x')
  const octets = { ...json, 'content-type': 'application/octet-stream' }
  assert.match((await call('/api/v1/add-stream?copies=3x', octets, 'content')).text, /'copies' must be a whole number/)
  for (const copies of ['0', '17', '1.5', '"3"'])
    assert.equal((await call('/api/v1/pin/add', json, `{"ref":"x","copies":${copies}}`)).status, 400, copies)
})

test('a status is of this peer, of one pin, or a preview', async () => {
  assert.deepEqual(await remote.status(), {})
  assert.deepEqual(await remote.status('x'), { asked: 'x' })
  const { asked } = (await remote.status({ preview: 'leave' })) as unknown as { asked: { preview: string } }
  assert.equal(asked.preview, 'leave')
  assert.match((await call('/api/v1/status', json, '{"ref":"x","preview":"leave"}')).text, /REQUEST_INVALID/)
})

test('a stream that breaks on the way up fails with its own reason', async () => {
  async function* body() {
    yield new Uint8Array(10)
    throw new Error('the pipe broke')
  }
  await assert.rejects(remote.add(body()), /the pipe broke|broke off/)
})

test('content comes down whole; a failure in the middle is an error, never a short file', async () => {
  let size = 0
  for await (const bytes of remote.cat('whole')) size += bytes.byteLength
  assert.equal(size, 200_000)
  await assert.rejects(Array.fromAsync(remote.cat('breaks')), { message: 'the rest is nowhere' })
  await assert.rejects(Array.fromAsync(remote.cat('missing')), { message: 'not here' })
  // A reader that does not take trailers must not mistake it for a whole file.
  const plain = await fetch(`${server.address}/api/v1/cat`, { method: 'POST', headers: json, body: '{"ref":"breaks"}' })
  await assert.rejects(plain.arrayBuffer())
})

test('errors keep their exit code; a bug is said to be one', async () => {
  await assert.rejects(remote.verify(), (error: { shown?: { code: string; exit: number } }) => {
    assert.equal(error.shown?.code, 'INTERNAL')
    return true
  })
})

test('a caller that goes away ends the work', async () => {
  const controller = new AbortController()
  const collecting = remote.gc({ signal: controller.signal })
  await stuck.promise
  controller.abort(new Error('enough'))
  await assert.rejects(collecting, /enough/)
  if (!seen.signal?.aborted) await new Promise((resolve) => seen.signal?.addEventListener('abort', resolve))
  assert.equal(seen.signal?.aborted, true)
})

test('a peer that is not there is NO_PEER', async () => {
  const gone = new RemotePeer({ address: 'http://127.0.0.1:1', token, pid: 0 })
  assert.equal(await gone.answers(), false)
  await assert.rejects(gone.gc(), { code: 'NO_PEER' })
})

test('the API describes itself', async () => {
  const { status, text } = await call('/api/v1/openapi.json', json, '', 'GET')
  assert.equal(status, 200)
  const document = JSON.parse(text) as { openapi: string; paths: Record<string, unknown> }
  assert.equal(document.openapi, '3.1.0')
  assert.ok(document.paths['/api/v1/add'])
  assert.match(JSON.stringify(document.paths['/api/v1/pin/add']), /"copies":{"type":"integer","minimum":1,"maximum":16/)
})

test('a peer that is killed while it answers is said to have broken off', async () => {
  const begun = 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{"pro\r\n'
  const killed = createServer((socket) => {
    socket.once('data', () => socket.write(begun, () => setImmediate(() => socket.destroy())))
  }).listen(0, '127.0.0.1')
  await once(killed, 'listening')
  const { port } = killed.address() as { port: number }
  const asked = new RemotePeer({ address: `http://127.0.0.1:${port}`, token, pid: 0 }).add('/some/file')
  await assert.rejects(asked, { code: 'TRUNCATED' }).finally(() => killed.close())
})
