// What a simulated run comes to: the findings of its checkers, and one for whatever it threw or left rejected unheard, since a
// real peer would have crashed of that. All machines are off afterwards.
import { codeOf, sentenceOf } from '../base/errors.ts'
import type { Finding } from './checkers.ts'
import type { Cluster } from './cluster.ts'

export async function judged<P extends AsyncDisposable>(
  cluster: Cluster<P>,
  run: () => Promise<Finding[]>,
): Promise<Finding[]> {
  const findings: Finding[] = []
  const onRejection = (reason: unknown) => findings.push(crashed(reason))
  process.on('unhandledRejection', onRejection)
  try {
    findings.push(...(await run()))
  } catch (error) {
    findings.push(crashed(error))
  } finally {
    process.off('unhandledRejection', onRejection)
    for (const peer of cluster.peers) cluster.crash(peer, { power: true })
  }
  return findings
}

function crashed(reason: unknown): Finding {
  const stack = reason instanceof Error ? `\n${reason.stack}` : ''
  return { checker: 'no peer crashes', sentence: `${codeOf(reason) ?? ''} ${sentenceOf(reason)}${stack}` }
}
