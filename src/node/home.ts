// The home is the folder that makes a peer: its identity, its cluster's secret, what the user set, its blocks. This file
// knows the names and permissions of what lies in it; it does not open the store or the network.
import { mkdir, open, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { codeOf, sentenceOf } from '../base/errors.ts'
import { NodeError } from './errors.ts'

export interface ApiFile {
  /** `http://127.0.0.1:5101` */
  address: string
  token: string
  /** Process id of the running peer. */
  pid: number
}

export class Home {
  /** Absolute path. */
  readonly path: string

  constructor(path: string) {
    this.path = resolve(path)
  }

  at(name: string): string {
    return join(this.path, name)
  }

  /** Makes the folder if it is missing, for its owner alone. Throws HOME_INVALID. */
  async make(): Promise<void> {
    try {
      await mkdir(this.path, { recursive: true, mode: 0o700 })
    } catch (error) {
      throw new NodeError('HOME_INVALID', `the home ${this.path} cannot be made: ${sentenceOf(error)}`, {
        cause: error,
      })
    }
  }

  /** A secret file, or undefined if there is none yet. */
  async readSecret(name: 'identity.key' | 'cluster.key'): Promise<Uint8Array | undefined> {
    const text = await this.#read(name)
    if (text === undefined) return undefined
    const bytes = Buffer.from(text.trim(), 'base64url')
    if (bytes.byteLength === 0)
      throw new NodeError('HOME_INVALID', `${this.at(name)} is empty or damaged; restore it from a backup`)
    return new Uint8Array(bytes)
  }

  async writeSecret(name: 'identity.key' | 'cluster.key', secret: Uint8Array): Promise<void> {
    await this.#write(name, `${Buffer.from(secret).toString('base64url')}\n`)
  }

  /** Keeps a secret that is about to be replaced, under another name. */
  async setAside(name: 'cluster.key' | 'identity.key'): Promise<void> {
    await rename(this.at(name), this.at(`${name}.previous`)).catch(ignoreMissing)
  }

  async readApi(): Promise<ApiFile | undefined> {
    const text = await this.#read('api.json')
    if (text === undefined) return undefined
    try {
      return JSON.parse(text) as ApiFile
    } catch {
      return undefined
    }
  }

  async writeApi(api: ApiFile): Promise<void> {
    await this.#write('api.json', `${JSON.stringify(api)}\n`)
  }

  async removeApi(): Promise<void> {
    await rm(this.at('api.json'), { force: true })
  }

  async readConfig(): Promise<string | undefined> {
    return await this.#read('config.json')
  }

  async writeConfig(text: string): Promise<void> {
    await this.#write('config.json', text)
  }

  async #read(name: string): Promise<string | undefined> {
    try {
      return await readFile(this.at(name), 'utf8')
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return undefined
      throw new NodeError('HOME_INVALID', `${this.at(name)} cannot be read: ${sentenceOf(error)}`, { cause: error })
    }
  }

  // Written beside its name, synced and renamed: a crash leaves the old file or the new one, never half of one.
  async #write(name: string, text: string): Promise<void> {
    const path = this.at(name)
    const temporary = `${path}.new`
    try {
      await writeFile(temporary, text, { mode: 0o600, flush: true })
      await rename(temporary, path)
      const folder = await open(dirname(path), 'r')
      await folder.sync().finally(() => folder.close())
    } catch (error) {
      await rm(temporary, { force: true }).catch(() => {})
      throw new NodeError('HOME_INVALID', `${path} cannot be written: ${sentenceOf(error)}`, { cause: error })
    }
  }
}

function ignoreMissing(error: unknown): void {
  if (codeOf(error) !== 'ENOENT') throw error
}

/** `--home`, else `$POTLUCK_HOME`, else `~/.potluck`. */
export function homePath(flag: string | undefined, env: Record<string, string | undefined>): string {
  return resolve(flag ?? env.POTLUCK_HOME ?? join(homedir(), '.potluck'))
}
