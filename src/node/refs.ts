// What a REF means: a CID with a path, a name whose value is one, or an IPNS name that leads to one. A name may have slashes,
// so of `team/book/intro` the longest part that is a name counts, and the rest is a path in its content.
import type { Abortable } from '../base/abort.ts'
import { codeOf } from '../base/errors.ts'
import { formatIpnsName, parseIpnsRef } from '../core/ipns-name.ts'
import { limits } from '../core/limits.ts'
import type { PeerId } from '../core/peer.ts'
import { formatRef, parseRef, type Ref } from '../core/ref.ts'
import { isName, type Names } from '../records/names.ts'
import type { Ipns } from '../routing/ipns.ts'
import { NodeError } from './errors.ts'

/** Those who know what names mean. */
export interface Namers {
  names: Pick<Names, 'get'>
  ipns: Pick<Ipns, 'resolve'>
}

/** What no name looks like, but a CID that was mistyped or cut does. */
const almostCid = /^(Qm|baf|\/ipfs\/|ipfs:)/

/** Throws REF_INVALID, REF_NOT_FOUND, NO_PEER, and what reading a name throws. `namers` is undefined while no peer runs. */
export async function resolveRef(text: string, namers: Namers | undefined, options: Abortable = {}): Promise<Ref> {
  let path = text
  for (let hops = 0; hops <= limits.ipnsDepthMax; hops++) {
    const ipns = parseIpnsRef(path)
    // What a stranger's record says is never a name of this cluster.
    if (!ipns) return hops === 0 ? await refOrName(path, namers, options) : contentRef(path, text)
    if (!namers) throw new NodeError('NO_PEER', "an IPNS name needs a running peer: start one with 'potluck start'")
    const { value } = await namers.ipns.resolve(ipns.peer, options)
    path = [value.replace(/\/+$/, ''), ...ipns.path].join('/')
  }
  throw new NodeError(
    'REF_NOT_FOUND',
    `'${text}' leads through more than ${limits.ipnsDepthMax} names, perhaps in a circle`,
  )
}

/** A REF as the value of an IPNS record of `self`. An IPNS name stays one, so that it is followed; others stand for what they are now. */
export async function publishable(ref: string, namers: Namers, self: PeerId, options: Abortable = {}): Promise<string> {
  const ipns = parseIpnsRef(ref)
  if (!ipns) return `/ipfs/${formatRef(await resolveRef(ref, namers, options))}`
  if (ipns.peer === self) throw new NodeError('REQUEST_INVALID', 'a name cannot point at itself')
  return [`/ipns/${formatIpnsName(ipns.peer)}`, ...ipns.path].join('/')
}

async function refOrName(text: string, namers: Namers | undefined, options: Abortable): Promise<Ref> {
  let notCid: unknown
  try {
    return parseRef(text)
  } catch (error) {
    notCid = error
  }
  const bare = text.replace(/\/+$/, '')
  if (almostCid.test(bare) || !isName(bare)) throw notCid
  if (!namers) {
    const why = `'${text}' is not a CID, and names need a running peer: start one with 'potluck start'`
    throw new NodeError('NO_PEER', why, { cause: notCid })
  }
  const parts = bare.split('/')
  for (let length = parts.length; length > 0; length--) {
    const name = parts.slice(0, length).join('/')
    const { value } = await namers.names.get(name, options)
    if (value === null) continue
    const below = [value.trim(), ...parts.slice(length)].join('/')
    if (parseIpnsValue(below)) return await resolveRef(below, namers, options)
    try {
      return parseRef(below)
    } catch (error) {
      const why = `the name '${name}' holds text that is not a CID; 'potluck name get' shows it`
      throw new NodeError('REF_NOT_FOUND', why, { cause: error })
    }
  }
  throw new NodeError('REF_NOT_FOUND', `'${text}' is neither a CID nor a name; 'potluck name ls' shows all names`)
}

function parseIpnsValue(text: string): boolean {
  try {
    return parseIpnsRef(text) !== undefined
  } catch (error) {
    if (codeOf(error) === 'REF_INVALID') return false
    throw error
  }
}

function contentRef(path: string, text: string): Ref {
  try {
    return parseRef(path)
  } catch (error) {
    const shown = path.length > 80 ? `${path.slice(0, 80)}…` : path
    throw new NodeError('REF_NOT_FOUND', `'${text}' leads to '${shown}', which is no content path`, { cause: error })
  }
}
