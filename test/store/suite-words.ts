// The words that the IPFS blockstore suite takes from its own toolchain, `aegir/chai`, which is far too large to install for
// a few assertions: chai, with promises, and with `true`, `false` and `ok` as calls.
import * as chai from 'chai'
import chaiAsPromised from 'chai-as-promised'

chai.use(chaiAsPromised)

const calls: Record<string, (value: unknown) => boolean> = {
  true: (value) => value === true,
  false: (value) => value === false,
  ok: (value) => Boolean(value),
}
for (const [word, holds] of Object.entries(calls))
  Object.defineProperty(chai.Assertion.prototype, word, {
    value(this: { _obj: unknown; assert(holds: boolean, message: string, negated: string): void }) {
      this.assert(holds(this._obj), `expected #{this} to be ${word}`, `expected #{this} not to be ${word}`)
    },
  })

export const expect = chai.expect
