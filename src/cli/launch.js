#!/usr/bin/env node
// Starts the program on a Node.js that can run it. This file alone is plain JavaScript that an old Node.js understands: it
// looks for the newer one that the project brings along, or says what is missing. A checkout runs from source, an
// installed package from `dist`, because Node.js does not strip types below node_modules.
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const root = new URL('../../', import.meta.url)
const major = Number(process.versions.node.split('.')[0])

if (major >= 24) {
  if (process.env.POTLUCK_LAUNCHED && process.channel) {
    delete process.env.POTLUCK_LAUNCHED
    process.channel.unref()
    // The launcher was killed outright; whoever did that meant the program.
    process.on('disconnect', () => process.kill(process.pid, 'SIGKILL'))
  }
  const { enableCompileCache } = await import('node:module')
  enableCompileCache()
  const built = new URL('dist/cli/main.js', root)
  const main = existsSync(fileURLToPath(new URL('src/cli/main.ts', root))) ? new URL('src/cli/main.ts', root) : built
  const { main: run } = await import(main.href)
  await run()
} else {
  const brought = fileURLToPath(new URL('node_modules/node/bin/node', root))
  if (existsSync(brought)) {
    const child = spawn(brought, [fileURLToPath(import.meta.url), ...process.argv.slice(2)], {
      stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
      env: { ...process.env, POTLUCK_LAUNCHED: '1' },
    })
    // The child ends in its own time: a signal for this process is passed on.
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal))
    child.on('exit', (code, signal) => process.exit(signal ? 1 : code))
  } else {
    console.error(`potluck needs Node.js 24 or newer; this is ${process.versions.node}. See https://nodejs.org`)
    process.exit(1)
  }
}
