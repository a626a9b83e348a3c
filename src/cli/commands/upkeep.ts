// `potluck gc`, `verify` and `doctor`: free space, check what is stored, and look the whole peer over. What is found wrong is
// said in a sentence each, with what to do about it.
import { formatSize } from '../../core/units.ts'
import { NodeError } from '../../node/errors.ts'
import { define, type Register } from '../define.ts'

export const registerUpkeep: Register = (parent) => {
  define(parent, {
    name: 'gc',
    summary: 'delete the blocks that no pin and no running operation needs',
    examples: ['potluck gc'],
    async action(context) {
      const { output, signal } = context
      await using peer = await context.anyPeer('gc')
      const collected = await peer.gc({ signal, onProgress: output.progress })
      const { blocks, bytes, kept, incomplete } = collected
      await output.result(collected, `freed ${formatSize(bytes)} in ${blocks} blocks; ${kept} blocks kept`)
      for (const cid of incomplete)
        output.say(`pinned ${cid} has missing blocks: 'potluck pin add ${cid}' fetches them`)
    },
  })
  define(parent, {
    name: 'verify',
    summary: 'read every block again and compare it with its hash',
    examples: ['potluck verify', 'potluck --json verify'],
    async action(context) {
      const { output, signal } = context
      await using peer = await context.anyPeer('verify')
      const verified = await peer.verify({ signal, onProgress: output.progress })
      const { blocks, bytes, problems } = verified
      await output.result(verified, `${blocks} blocks, ${formatSize(bytes)}: ${problems.length} problems`)
      for (const { cid, problem } of problems) output.say(`${cid}: ${problem}`)
      if (problems.length > 0) throw new NodeError('VERIFY_FAILED', `${problems.length} blocks are damaged or missing`)
    },
  })
  define(parent, {
    name: 'doctor',
    summary: 'look this peer over, and say in sentences what is wrong and how to mend it; exit code 1 if something is',
    examples: ['potluck doctor', 'potluck --json doctor'],
    async action(context) {
      const { output, signal } = context
      await using peer = await context.anyPeer('doctor')
      let found = 0
      for await (const result of peer.doctor({ signal })) {
        const { check, ok, message, mend } = result
        if (!ok) found++
        const advice = mend === undefined ? '' : `\n    ${mend}`
        await output.result(result, `${ok ? 'ok  ' : 'MEND'} ${check}: ${message}${advice}`)
      }
      if (found > 0) throw new NodeError('DOCTOR_FOUND', `${found} ${found === 1 ? 'thing' : 'things'} to mend`)
    },
  })
}
