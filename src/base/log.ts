// The log: one line per event, for people who run a peer. Organs get a Log and never print.

export type LogLevel = 'debug' | 'info' | 'warn' | 'error'

export interface Log {
  debug(sentence: string): void
  info(sentence: string): void
  warn(sentence: string): void
  error(sentence: string): void
}

const ranks: Record<LogLevel, number> = { debug: 0, info: 1, warn: 2, error: 3 }

/** A log that hands lines of at least `level` to `print`. */
export function lineLog(level: LogLevel, print: (line: string) => void): Log {
  const at = (own: LogLevel) => (sentence: string) => {
    if (ranks[own] >= ranks[level]) print(`${own === 'info' ? '' : `${own}: `}${sentence}`)
  }
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }
}

export const silentLog: Log = lineLog('error', () => {})
