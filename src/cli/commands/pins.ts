// `potluck pin`: what must be kept. A pin is added only once everything below it is here, so that what is listed as held
// was whole when it was pinned.
import type { PinInfo } from '../../node/api.ts'
import { define, type Register } from '../define.ts'

export const registerPins: Register = (parent) => {
  const pin = parent.command('pin').description('keep content, let it go, or list what is kept')
  define(pin, {
    name: 'add',
    args: '<ref...>',
    summary: 'fetch all of it, keep it from gc, and announce it',
    examples: ['potluck pin add bafy…'],
    async action(context, refs) {
      const { output, signal } = context
      await using peer = await context.runningPeer()
      for (const ref of refs) {
        const pinned = await peer.pinAdd(ref, { signal, onProgress: output.progress })
        await output.result(pinned, line(pinned))
      }
    },
  })
  define(pin, {
    name: 'rm',
    args: '<ref...>',
    summary: 'no longer keep it; the next gc frees what nothing else needs',
    examples: ['potluck pin rm bafy… && potluck gc'],
    async action(context, refs) {
      const { output, signal } = context
      await using peer = await context.runningPeer()
      for (const ref of refs) {
        const unpinned = await peer.pinRemove(ref, { signal })
        await output.result(unpinned, `${unpinned.cid}  no longer pinned`)
      }
    },
  })
  define(pin, {
    name: 'ls',
    summary: 'what is kept, and where',
    examples: ['potluck pin ls', 'potluck --json pin ls'],
    async action(context) {
      const { output, signal } = context
      await using peer = await context.anyPeer('pin ls')
      for await (const pinned of peer.pinList({ signal })) await output.result(pinned, line(pinned))
    },
  })
}

function line({ cid, held, copies, state }: PinInfo): string {
  return `${cid}  ${held} of ${copies} ${copies === 1 ? 'copy' : 'copies'}  ${state}`
}
