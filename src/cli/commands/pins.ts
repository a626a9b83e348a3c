// `potluck pin`: what must be kept, and in how many copies. A pin is added only once everything below it is here, so that
// what is listed as held was whole when it was pinned.

import { define, type Register } from '../define.ts'
import { copiesText, keepFlags, keepOptions, pinLine } from '../pin-text.ts'

export const registerPins: Register = (parent) => {
  const pin = parent.command('pin').description('keep content on several members, let it go, or list what is kept')
  define(pin, {
    name: 'add',
    args: '<ref...>',
    summary: 'fetch all of it, announce it, and have the cluster keep it',
    flags: keepFlags,
    examples: [
      'potluck pin add bafy…',
      'potluck pin add bafy… --copies 3 --wait 2     return when two members hold it',
      'potluck pin add team/handbook --expires 30d',
    ],
    async action(context, refs, flags) {
      const { output, signal } = context
      const wish = keepOptions(flags)
      await using peer = await context.runningPeer()
      for (const ref of refs) {
        const pinned = await peer.pinAdd(ref, { ...wish, signal, onProgress: output.progress })
        await output.result(pinned, `${pinned.cid}  ${wish.wait === undefined ? 'pinned' : copiesText(pinned)}`)
        if (pinned.note) output.say(pinned.note)
      }
    },
  })
  define(pin, {
    name: 'rm',
    args: '<ref...>',
    summary: 'no longer keep it, on any member; gc frees what nothing else needs',
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
    summary:
      'what is kept: copies held and wanted, size, and what is missing; without a running peer, what is kept here',
    examples: ['potluck pin ls', 'potluck --json pin ls'],
    async action(context) {
      const { output, signal } = context
      await using peer = await context.anyPeer('pin ls')
      for await (const pinned of peer.pinList({ signal })) await output.result(pinned, pinLine(pinned))
    },
  })
}
