// `potluck config`: shows, explains and sets what is in config.json. The keys and what they mean are in src/node/config.ts.
import { type ConfigKey, configKeys } from '../../node/config.ts'
import { define, type Register } from '../define.ts'

export const registerConfig: Register = (parent) =>
  define(parent, {
    name: 'config',
    args: '[key] [value]',
    summary: 'show the settings, explain one, or set one for the next start',
    examples: [
      'potluck config',
      'potluck config listen',
      'potluck config listen /ip4/0.0.0.0/tcp/5000',
      'potluck config mdns false',
    ],
    async action(context, [key, value]) {
      const { output } = context
      await using peer = await context.anyPeer('config')
      const settings = await peer.config(key, value)
      const lines = Object.entries(settings).map(([name, now]) => {
        const shown = Array.isArray(now) ? now.join(' ') || '(none)' : String(now)
        return `${name.padEnd(10)} ${shown}\n${' '.repeat(11)}${configKeys[name as ConfigKey].explain}`
      })
      await output.result(settings, lines.join('\n'))
      if (value !== undefined) output.say("takes effect at the next 'potluck start'")
    },
  })
