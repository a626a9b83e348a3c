// Why a fetch gives up, as a sentence: who was asked and what became of them, what has come so far, and how to go on.
import type { CID } from 'multiformats/cid'
import type { PeerId } from '../core/peer.ts'
import type { FetchReport } from '../core/ports.ts'
import { formatSize } from '../core/units.ts'
import { ExchangeError } from './errors.ts'

export interface Hopeless {
  /** A block that nobody brings. */
  cid: CID
  /** Suppliers that say they lack it. */
  lacking: number
  /** Those that say nothing. */
  silent: PeerId[]
  /** Those that failed since the last search, each with the reason. */
  failed: string[]
  /** The last supplier that was lost, with the reason. */
  lost: string | undefined
  report: FetchReport
}

export function hopeless({ cid, lacking, silent, failed, lost, report }: Hopeless): ExchangeError {
  const counts: [count: number, what: string][] = [
    [lacking, 'lack it'],
    [silent.length, `sent nothing (${silent.slice(0, 3).join(', ')})`],
    [failed.length, `failed (${failed.slice(0, 3).join('; ')})`],
  ]
  const told = counts.filter(([count]) => count > 0).map(([count, what]) => `${count} ${what}`)
  const found = lacking + silent.length + failed.length
  const nobody = lost ? `the last provider was lost (${lost}) and no other was found` : 'no provider was found'
  const who = found === 0 ? nobody : `of ${found} providers ${told.join(' and ')}`
  const blocks = `${report.blocks} ${report.blocks === 1 ? 'block' : 'blocks'} (${formatSize(report.bytes)})`
  const kept = report.blocks > 0 ? ` ${blocks} came and are kept: the same command goes on from there.` : ''
  const why = `nobody that can be reached has ${cid}: ${who}.${kept} Is the peer that has it running and connected ('potluck peers')?`
  return new ExchangeError('NO_PROVIDERS', why, { retryable: true })
}
