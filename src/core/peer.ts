// A peer as the organs know it: its PeerId in text form (base58, `12D3Koo…`, the Ed25519 public key) and the multiaddrs
// it was seen at, also as text. Only the net folder knows libp2p's own types.

declare const peerIdBrand: unique symbol
export type PeerId = string & { readonly [peerIdBrand]: true }

export interface PeerInfo {
  peer: PeerId
  /** Multiaddrs without the `/p2p/…` tail. */
  addresses: string[]
}

/** How a provider was found, in the order in which we look. */
export type FoundVia = 'own' | 'ring' | 'peers' | 'dht' | 'hub'

export interface Provider extends PeerInfo {
  via: FoundVia
}
