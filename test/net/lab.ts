// A laboratory of NATs: an internet of its own on this machine, made of network namespaces, with homes behind gateways of
// each kind. Peers run in them as processes. It needs root, `ip` and `nft` on Linux, and says so where they are missing.
// Everything has the number of this process in its name and goes with it; what a killed run left is removed by the next.
//
// The internet is one segment, 203.0.113.0/24 (an address that nobody has, and no program takes for a private one). A
// gateway drops what it does not know, as home routers do. Linux keeps a connection's port across NAT while it can, so
// mapping is endpoint-independent; the kinds differ in who may answer to a mapped port.
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { promisify } from 'node:util'
import { routerRules, startRouter } from './lab-router.ts'

/**
 * `cone`: anybody may (endpoint-independent filtering). `address`: every port of an address that was written to. `port`:
 * only exactly the other end (plain Linux). `symmetric`: the same, and each connection gets a port by chance, so that
 * nobody can know it before. `double`: a `port` home behind the carrier's. `firewall`: public addresses, unsolicited
 * connections are dropped. `upnp`: a `port` home whose router maps ports when asked. `open`: no gateway at all.
 */
export type HomeKind = 'open' | 'upnp' | 'cone' | 'address' | 'port' | 'symmetric' | 'double' | 'firewall'

/** Where a peer can run. */
export interface Place {
  kind: HomeKind
  /** The address of its own interface. */
  address: string
  /** While true, only places without a gateway can be reached from here: whoever else is called, is called by a relay. */
  isolate(isolated: boolean): Promise<void>
  /** Nothing leaves or reaches the place any more, and nobody is told. */
  cut(): Promise<void>
  /** Limits what leaves the place, in megabits per second. */
  slow(rateMbit: number): Promise<void>
  /** Starts Node.js there. It is killed when the laboratory closes. */
  run(args: string[]): ChildProcess
}

const run = promisify(execFile)
const prefix = 'potlab'

/** Why there can be no laboratory here; undefined if there can. */
export async function labMissing(): Promise<string | undefined> {
  if (process.platform !== 'linux') return 'network namespaces are a thing of Linux'
  if (process.getuid?.() !== 0) return 'making network namespaces takes root'
  for (const program of ['ip', 'nft'])
    if (!['/usr/sbin', '/sbin', '/usr/bin', '/bin'].some((folder) => existsSync(`${folder}/${program}`)))
      return `the program '${program}' is not installed`
  const probe = `${prefix}${process.pid}-probe`
  try {
    await run('ip', ['netns', 'add', probe])
    await run('ip', ['netns', 'exec', probe, 'nft', 'list', 'ruleset'])
    return undefined
  } catch (error) {
    return `this machine does not allow network namespaces: ${(error as Error).message.split('\n')[0]}`
  } finally {
    await run('ip', ['netns', 'del', probe]).catch(() => {})
  }
}

export class Lab implements AsyncDisposable {
  readonly #namespaces: string[] = []
  readonly #processes = new Set<ChildProcess>()
  #internet = ''
  /** The last byte of the public address that was given last; the internet's router has the first. */
  #last = 1

  static async open(): Promise<Lab> {
    await removeLeftovers()
    const lab = new Lab()
    try {
      lab.#internet = await lab.#namespace('internet')
      await ip(lab.#internet, [
        'link add segment type bridge',
        'link set segment up',
        `address add ${publicAddress(1)}/24 dev segment`,
      ])
      await nft(lab.#internet, segmentRules)
      return lab
    } catch (error) {
      await lab[Symbol.asyncDispose]()
      throw error
    }
  }

  /** A place for one peer, behind a gateway of this kind. */
  async home(kind: HomeKind): Promise<Place> {
    const number = ++this.#last
    const host = await this.#namespace(`${kind}${number}`)
    const place = (address: string) => this.#place(kind, host, { address, number })
    if (kind === 'open') return place(await this.#plugIn(host, number))
    const gateway = await this.#namespace(`gate${number}`)
    await this.#plugIn(gateway, number)
    if (kind === 'firewall') return place(await this.#firewalled(gateway, host, number))
    let nearest = gateway
    if (kind === 'double') {
      nearest = await this.#namespace(`own${number}`)
      await attach(gateway, `100.64.${number}`, 24, nearest)
      await nft(gateway, natRules('port', `100.64.${number}.2`))
    }
    await attach(nearest, `192.168.${number}`, 24, host)
    await nft(nearest, natRules(kind, `192.168.${number}.2`))
    if (kind === 'upnp') {
      await nft(gateway, routerRules)
      this.#keep(await startRouter(gateway, number))
    }
    return place(`192.168.${number}.2`)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.#processes) child.kill('SIGKILL')
    for (const child of this.#processes)
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
    for (const name of this.#namespaces) await run('ip', ['netns', 'del', name]).catch(() => {})
  }

  async #namespace(name: string): Promise<string> {
    const whole = `${prefix}${process.pid}-${name}`
    this.#namespaces.push(whole)
    await run('ip', ['netns', 'add', whole])
    await ip(whole, ['link set lo up'])
    // A NAT that remembers a failed beginning for two minutes makes the next one a matter of microseconds here, where
    // packets take no time.
    const settings = ['ipv4.ip_forward=1', 'netfilter.nf_conntrack_tcp_timeout_syn_sent=10']
    await run('ip', ['netns', 'exec', whole, 'sysctl', '-qw', ...settings.map((each) => `net.${each}`)])
    return whole
  }

  async #plugIn(namespace: string, number: number): Promise<string> {
    const address = publicAddress(number)
    await ip(this.#internet, [
      `link add to${number} type veth peer name wan netns ${namespace}`,
      `link set to${number} master segment up`,
    ])
    await ip(namespace, [
      `address add ${address}/24 dev wan`,
      'link set wan up',
      `route add default via ${publicAddress(1)}`,
    ])
    return address
  }

  // Its network is public, so the internet has to know the way to it.
  async #firewalled(gateway: string, host: string, number: number): Promise<string> {
    const net = `198.51.${number}`
    await attach(gateway, net, 24, host)
    await ip(this.#internet, [`route add ${net}.0/24 via ${publicAddress(number)}`])
    await nft(gateway, wallRules)
    return `${net}.2`
  }

  #keep(child: ChildProcess): void {
    this.#processes.add(child)
    child.once('exit', () => this.#processes.delete(child))
  }

  #place(kind: HomeKind, namespace: string, { address, number }: { address: string; number: number }): Place {
    return {
      kind,
      address,
      isolate: (isolated) =>
        nft(this.#internet, `${isolated ? 'add' : 'delete'} element bridge segment isolated { "to${number}" }`),
      cut: () => ip(namespace, ['link set wan down']),
      slow: async (rateMbit) => {
        const limit = ['rate', `${rateMbit}mbit`, 'burst', '64kb', 'latency', '100ms']
        await run('ip', ['netns', 'exec', namespace, 'tc', 'qdisc', 'add', 'dev', 'wan', 'root', 'tbf', ...limit])
      },
      run: (args) => {
        const child = spawn('ip', ['netns', 'exec', namespace, process.execPath, ...args], {
          stdio: ['pipe', 'pipe', 'inherit'],
        })
        this.#keep(child)
        return child
      },
    }
  }
}

const publicAddress = (last: number) => `203.0.113.${last}`

/** Joins a gateway's inner side, which gets the first address of the net, to what stands behind it, which gets the second. */
async function attach(gateway: string, net: string, bits: number, behind: string): Promise<void> {
  await ip(gateway, [
    `link add lan type veth peer name wan netns ${behind}`,
    `address add ${net}.1/${bits} dev lan`,
    'link set lan up',
  ])
  await ip(behind, [`address add ${net}.2/${bits} dev wan`, 'link set wan up', `route add default via ${net}.1`])
}

// Packets between isolated places are lost in silence, on either way: through the segment, or its router.
const segmentRules = `
table bridge segment {
  set isolated {
    type ifname
  }
  chain through {
    type filter hook forward priority filter; policy accept;
    ether type ip iifname @isolated oifname @isolated drop
  }
}
`

// Unknown packets are dropped on their way in and for the gateway itself, never refused: a refusal would end the attempt
// of the other side before ours has begun.
const wallRules = `
table inet wall {
  chain input {
    type filter hook input priority filter; policy drop;
    iifname != "wan" accept
    ct state established,related accept
  }
  chain forward {
    type filter hook forward priority filter; policy drop;
    ct state invalid drop
    iifname != "wan" accept
    ct state established,related accept
    ct status dnat accept
  }
}
`

const mappedKeys = {
  cone: { type: 'inet_service', out: 'tcp sport', in: 'tcp dport' },
  address: { type: 'ipv4_addr . inet_service', out: 'ip daddr . tcp sport', in: 'ip saddr . tcp dport' },
}

function natRules(kind: HomeKind, inside: string): string {
  const masquerade = kind === 'symmetric' ? 'masquerade random,fully-random' : 'masquerade'
  const mapped = kind === 'cone' || kind === 'address' ? mappedKeys[kind] : undefined
  const more = mapped
    ? `
  set mapped {
    type ${mapped.type}
    flags dynamic,timeout
    timeout 10m
    size 4096
  }
  chain note {
    type filter hook forward priority filter; policy accept;
    oifname "wan" meta l4proto tcp add @mapped { ${mapped.out} }
  }
  chain back {
    type nat hook prerouting priority dstnat; policy accept;
    iifname "wan" ${mapped.in} @mapped dnat to ${inside}
  }`
    : ''
  return `${wallRules}
table ip home {
  chain out {
    type nat hook postrouting priority srcnat; policy accept;
    oifname "wan" ${masquerade}
  }${more}
}
`
}

async function ip(namespace: string, commands: string[]): Promise<void> {
  await feed('ip', ['-n', namespace, '-batch', '-'], commands.join('\n'))
}

async function nft(namespace: string, rules: string): Promise<void> {
  await feed('ip', ['netns', 'exec', namespace, 'nft', '-f', '-'], rules)
}

async function feed(program: string, args: string[], input: string): Promise<void> {
  const running = run(program, args)
  running.child.stdin?.end(input)
  await running
}

// A run that was killed could not take its namespaces with it; its number tells that nobody uses them.
async function removeLeftovers(): Promise<void> {
  const names = await readdir('/run/netns').catch(() => [])
  for (const name of names) {
    const [, pid] = /^potlab(\d+)-/.exec(name) ?? []
    if (pid && !existsSync(`/proc/${pid}`)) await run('ip', ['netns', 'del', name]).catch(() => {})
  }
}
