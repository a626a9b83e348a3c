// A process of a benchmark that runs in several: it gets commands one at a time and answers each. Its program is a file of
// this folder, which answers with `failed` when something went wrong. The process is killed when its parent is done with it.
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { abortable } from '../base/abort.ts'
import { sentenceOf } from '../base/errors.ts'

interface Failed {
  failed?: string
}

export class Role<Command extends object, Answer extends object> implements Disposable {
  readonly #child: ChildProcess
  readonly #signal: AbortSignal
  readonly #gone: Promise<never>

  /** Starts `<name>.ts` of this folder, or what it was compiled to. */
  constructor(name: string, signal: AbortSignal) {
    const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js'
    this.#child = fork(fileURLToPath(new URL(`./${name}.${extension}`, import.meta.url)), { serialization: 'json' })
    this.#signal = signal
    this.#gone = once(this.#child, 'exit').then(() => {
      throw new Error('a process of the benchmark ended early')
    })
    this.#gone.catch(() => {})
  }

  /** One command at a time. */
  async ask(command: Command): Promise<Answer> {
    this.#child.send(command)
    const given = await abortable(Promise.race([this.#answer(), this.#gone]), this.#signal)
    if (given.failed) throw new Error(given.failed)
    return given
  }

  async #answer(): Promise<Answer & Failed> {
    const [message] = await once(this.#child, 'message')
    return message as Answer & Failed
  }

  /** Ends the process as a crash would. */
  [Symbol.dispose](): void {
    this.#child.kill('SIGKILL')
  }
}

/** The other end, in the process itself: answers every command of the parent, and ends with it. */
export function answerParent<Command extends object, Answer extends object>(
  answer: (command: Command) => Promise<Answer>,
): void {
  // A parent that was killed ends nobody.
  process.on('disconnect', () => process.exit())
  process.on('message', (command: Command) => {
    answer(command).then(
      (given) => process.send?.(given),
      (error) => process.send?.({ failed: sentenceOf(error) }),
    )
  })
}
