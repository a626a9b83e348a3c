// The program: commands, flags, help and exit codes. Each command lives in a file of its own; this one puts them together,
// runs the chosen one and turns what it threw into a sentence and an exit code.
import { Command, CommanderError } from 'commander'
import { codeOf } from '../base/errors.ts'
import { describeError, exitCodes } from '../node/errors.ts'
import { countBuffersAsHeap } from '../node/heap.ts'
import { version } from '../node/version.ts'
import { registerAdd } from './commands/add.ts'
import { registerBench } from './commands/bench.ts'
import { registerCar } from './commands/car.ts'
import { registerCluster } from './commands/cluster.ts'
import { registerConfig } from './commands/config.ts'
import { registerMembers } from './commands/members.ts'
import { registerNames } from './commands/names.ts'
import { registerPins } from './commands/pins.ts'
import { registerRead } from './commands/read.ts'
import { registerSim } from './commands/sim.ts'
import { registerStart } from './commands/start.ts'
import { registerStatus } from './commands/status.ts'
import { registerUpkeep } from './commands/upkeep.ts'
import { Interrupted } from './context.ts'
import { currentContext, exitHelp, type Register } from './define.ts'
import { visible } from './output.ts'

function program(): Command {
  const root = new Command('potluck')
    .description('A content store that your own machines run together.')
    .version(version, '--version', 'print the version')
    .option('--home <dir>', 'the folder of this peer (default $POTLUCK_HOME or ~/.potluck)')
    .option('--json', 'one JSON document a line on stdout, nothing else there')
    .option('--quiet', 'no progress and no messages')
    .option('--timeout <time>', 'give up after this long: 30s, 5m')
    .addHelpText('after', `${gettingStarted}\n${exitHelp}`)
    .showHelpAfterError("(run with '--help' for the flags and examples)")
    .enablePositionalOptions(false)
    .exitOverride()
  const registers: Register[] = [
    registerStart,
    registerAdd,
    registerRead,
    registerPins,
    registerUpkeep,
    registerCar,
    registerNames,
    registerCluster,
    registerMembers,
    registerStatus,
    registerConfig,
    registerBench,
    registerSim,
  ]
  for (const register of registers) register(root)
  return root
}

const gettingStarted = `
Examples:
  potluck start                      run a peer (leave it running; use another terminal)
  potluck add photos                 add a folder; prints its CID
  potluck get bafy… -o photos        fetch it, on this or another machine
  potluck invite                     print a line; 'potluck join LINE' on another machine joins it`

/** Runs the command line of this process and sets its exit code. */
export async function main(argv: string[] = process.argv): Promise<void> {
  countBuffersAsHeap()
  // Whoever read the messages has gone; that is no reason to end the work.
  process.stderr.on('error', () => {})
  try {
    await program().parseAsync(argv)
  } catch (error) {
    process.exitCode = report(error)
  }
  // Commands close what they opened. A handle that is left over must not keep a finished command from ending.
  if (process.stdout.writableLength === 0) process.exit()
  process.stdout.once('drain', () => process.exit())
}

function report(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.done : exitCodes.usage
  const current = currentContext()
  const reason = current?.signal.aborted ? current.signal.reason : error
  if (reason instanceof Interrupted) {
    current?.output.fail('interrupted')
    return exitCodes.interrupted
  }
  const { exit, message, code } = describeError(reason)
  if (current) current.output.fail(message)
  else process.stderr.write(`potluck: ${visible(message)}\n`)
  if (code === 'INTERNAL' && process.env.POTLUCK_DEBUG) console.error(reason, codeOf(reason))
  return exit
}
