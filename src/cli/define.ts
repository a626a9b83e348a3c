// How a command is declared: its arguments, flags, examples and what it does, said once. Commands that come from here have
// the same help, the same exit codes and the same Context.
import type { Command } from 'commander'
import { Context, type GlobalOptions } from './context.ts'

/** What a command does with what commander parsed. */
export type Action = (context: Context, args: string[], flags: Record<string, unknown>) => Promise<void>

export interface CommandDoc {
  name: string
  /** Arguments as commander writes them: `<ref>`, `[key]`, `<path...>`. */
  args?: string
  summary: string
  flags?: [flag: string, explain: string][]
  examples: string[]
  action: Action
}

/** Adds one command to the program, or to a command that has commands of its own. */
export type Register = (parent: Command) => void

export const exitHelp = `
Exit codes: 0 done, 1 failed, 2 usage, 3 not found, 4 quorum or copies unavailable, 5 corrupt data,
6 no peer is running, 7 refused (not a member, bad token), 124 timed out, 130 interrupted`

/** Makes a command from its documentation: help with examples and exit codes included. */
export function define(parent: Command, doc: CommandDoc): void {
  const command = parent.command(doc.args ? `${doc.name} ${doc.args}` : doc.name).description(doc.summary)
  for (const [flag, explain] of doc.flags ?? []) command.option(flag, explain)
  command.addHelpText('after', `\nExamples:\n${doc.examples.map((line) => `  ${line}`).join('\n')}\n${exitHelp}`)
  command.action(async (...given: unknown[]) => {
    const [flags, self] = given.slice(-2) as [Record<string, unknown>, Command]
    const context = new Context(self.optsWithGlobals<GlobalOptions>())
    current = context
    await doc.action(
      context,
      given
        .slice(0, -2)
        .flat()
        .filter((arg): arg is string => typeof arg === 'string'),
      flags,
    )
  })
}

let current: Context | undefined

/** The context of the command that runs, once it has begun. */
export function currentContext(): Context | undefined {
  return current
}
