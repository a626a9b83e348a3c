// Tells the engine whether the peer in this container answers: exit code 0 if it does. It asks the address that the running
// peer has written down, and says nothing about how well it is connected.
import { readFileSync } from 'node:fs'
import { get } from 'node:http'

const fail = (why) => {
  console.error(why)
  process.exit(1)
}

try {
  const { address } = JSON.parse(readFileSync(`${process.env.POTLUCK_HOME}/api.json`, 'utf8'))
  get(`${address}/health`, { timeout: 4000 }, ({ statusCode }) =>
    statusCode === 200 ? process.exit(0) : fail(`${address} answers with status ${statusCode}`),
  )
    .on('timeout', () => fail(`${address} does not answer`))
    .on('error', ({ message }) => fail(message))
} catch {
  fail('no peer is running')
}
