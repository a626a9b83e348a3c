// What a change of members would move, before anybody makes it. The change comes as people write it (`leave`, `forget=PEER`,
// `zone=NAME`); nothing is changed here.
import type { Abortable } from '../base/abort.ts'
import type { Change } from '../replicas/words.ts'
import type { PreviewInfo } from './api.ts'
import type { Organs } from './assemble.ts'
import { type Config, parseSetting } from './config.ts'
import { NodeError } from './errors.ts'
import { memberNamed } from './membership.ts'

type Cluster = Pick<Organs, 'members' | 'replicas'>

/** Throws REQUEST_INVALID, CONFIG_INVALID. Reads all pins of the cluster. */
export async function previewChange(cluster: Cluster, asked: string, options: Abortable): Promise<PreviewInfo> {
  const { kind, ...change } = changeOf(cluster, asked)
  const preview = await cluster.replicas.preview({ kind, ...change } as Change, options)
  const { peer: peerId, ...zone } = change
  return { change: kind, peerId, ...zone, ...preview }
}

function changeOf({ members }: Cluster, asked: string): Change {
  const [, kind, value = ''] = /^(leave|forget|zone)(?:=(.*))?$/su.exec(asked) ?? []
  if (kind === 'leave' && value === '') return { kind, peer: members.self }
  if (kind === 'forget') return { kind, peer: memberNamed(members, value).peer }
  if (kind === 'zone')
    return { kind, peer: members.self, zone: parseSetting('zone', value, '--preview') as Config['zone'] }
  throw new NodeError('REQUEST_INVALID', `'${asked}' is no change; write leave, forget=PEER or zone=NAME`)
}
