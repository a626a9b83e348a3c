// The version of this program. It is read from package.json, which lies at the same place beside the source and beside the
// published package.
import { readFileSync } from 'node:fs'

const manifest = new URL('../../package.json', import.meta.url)

export const version = (JSON.parse(readFileSync(manifest, 'utf8')) as { version: string }).version
