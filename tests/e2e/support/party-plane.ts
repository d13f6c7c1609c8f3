// The WebSocket class of parties as the field has it (parties.md 2 and 3.2): strict constructors, anonymous start, its own
// reconnection and its own clean-up.

import assert from 'node:assert/strict';
import WebSocket from 'ws';
import { describePeer, naive, newPartyId, newPeerId, toParty, toPeer } from './party.ts';
import type { Envelope, PartyInfo, Peer, PeerInfo } from './party.ts';
import { pause, until } from './service.ts';
import type { Service } from './service.ts';
import { newAddress } from './socket.ts';

const STALE_MS = 5 * 60_000;
const MESSAGE_MAX = 1024 * 1024;

export type PlaneOptions = {
  path: string;
  offset: number;
  address: string;
  /** Restored from the class's state file. */
  peerId: string | undefined;
  token: string | undefined;
  /** The class never sends one with the upgrade; `/parties/{id}/ws` takes it. */
  authorization: string | undefined;
  first: 'auth' | 'hello' | 'nothing';
  /** 5000 in the field. */
  reconnectMs: number;
};

/** The WebSocket class, parties.md 2 and 3.2: local first, and the server's answers only ever add. */
export class RemoteControlPlane {
  service: Service;
  options: PlaneOptions;
  socket: WebSocket | undefined;
  parties = new Map<string, PartyInfo>();
  queues = new Map<string, Envelope[]>();
  myPeerId: string | null;
  frames: any[] = [];
  errors: string[] = [];
  /** Frames that the constructors refused, with the reason; signals that named somebody unknown. */
  dropped: string[] = [];
  attempts = 0;
  connects = 0;
  ended = false;
  closure: { code: number; reason: string } | undefined;

  constructor(service: Service, options: Partial<PlaneOptions> = {}) {
    this.service = service;
    this.options = {
      path: '/ws', offset: 0, address: newAddress(), peerId: undefined, token: undefined, authorization: undefined, first: 'auth',
      reconnectMs: 250, ...options,
    };
    this.myPeerId = this.options.peerId ?? null;
    planes.add(this);
  }

  static async open(service: Service, options: Partial<PlaneOptions> = {}): Promise<RemoteControlPlane> {
    const plane = new RemoteControlPlane(service, options);
    await plane.connect();
    return plane;
  }

  async connect(): Promise<void> {
    const { path, address, authorization, token, first } = this.options;
    const headers: Record<string, string> = { 'CF-Connecting-IP': address, 'User-Agent': 'Python/3.12 websockets/15.0' };
    if (authorization !== undefined) headers.Authorization = authorization;
    const url = `ws://127.0.0.1:${this.service.port}${path}`;
    const socket = new WebSocket(url, { headers, perMessageDeflate: true, maxPayload: MESSAGE_MAX, handshakeTimeout: 10_000, closeTimeout: 1200 } as WebSocket.ClientOptions);
    await new Promise<void>((done, fail) => {
      socket.once('open', () => done());
      socket.once('error', fail);
      socket.once('unexpected-response', (_request, response) => {
        response.resume();
        fail(new Error(`upgrade answered ${response.statusCode}`));
      });
    });
    socket.on('error', () => {});
    socket.on('message', (data) => this.receive(data.toString()));
    socket.once('close', (code, reason) => {
      this.closure = { code, reason: reason.toString() };
      if (socket === this.socket && !this.ended) void this.reconnect();
    });
    this.socket = socket;
    this.closure = undefined;
    this.attempts = 0;
    this.connects += 1;
    if (first === 'auth') {
      this.send({ type: 'auth', version: '1.0', client: 'lanrage', peer_id: this.myPeerId, ...(token === undefined ? {} : { token }) });
    } else if (first === 'hello') this.send({ type: 'hello', version: '1.0', client: 'lanrage' });
  }

  async reconnect(): Promise<void> {
    while (this.attempts < 5 && !this.ended) {
      this.attempts += 1;
      await pause(this.options.reconnectMs);
      if (this.ended) return;
      try {
        await this.connect();
        return;
      } catch {
        // The next attempt.
      }
    }
  }

  receive(text: string): void {
    let frame: any;
    try {
      frame = JSON.parse(text);
    } catch {
      this.dropped.push(`unparsable: ${text}`);
      return;
    }
    this.frames.push(frame);
    try {
      this.handle(frame);
    } catch (error) {
      this.dropped.push(`${String(error)}: ${text.slice(0, 500)}`);
    }
  }

  handle(frame: any): void {
    switch (frame.type) {
      case 'party_update': {
        const party = toParty(frame.party);
        this.parties.set(party.party_id, party);
        break;
      }
      case 'peer_joined': {
        const peer = toPeer(frame.peer);
        const party = this.parties.get(frame.party_id);
        if (party !== undefined) party.peers[peer.peer_id] = peer;
        break;
      }
      case 'peer_left':
        delete this.parties.get(frame.party_id)?.peers[frame.peer_id];
        break;
      case 'signal': {
        for (const key of ['party_id', 'from_peer_id', 'to_peer_id']) if (typeof frame[key] !== 'string') throw new TypeError(`signal without ${key}`);
        const peers = this.parties.get(frame.party_id)?.peers ?? {};
        if (peers[frame.from_peer_id] === undefined || peers[frame.to_peer_id] === undefined) throw new TypeError('signal of or to an unknown peer');
        const { party_id, from_peer_id, to_peer_id } = frame;
        const key = `${party_id}/${to_peer_id}`;
        this.queues.set(key, [...(this.queues.get(key) ?? []), { party_id, from_peer_id, to_peer_id, signal_data: frame.signal_data ?? {}, sent_at: naive(this.options.offset) }]);
        break;
      }
      case 'error':
        this.errors.push(frame.message ?? 'Unknown error');
        break;
      default:
    }
  }

  send(frame: unknown): void {
    assert.ok(this.socket !== undefined);
    this.socket.send(typeof frame === 'string' ? frame : JSON.stringify(frame));
  }

  info(more: Partial<PeerInfo> = {}): PeerInfo {
    this.myPeerId ??= newPeerId();
    return describePeer(this.myPeerId, more, this.options.offset);
  }

  /** Local first: success is assumed. */
  registerParty(partyId = newPartyId(), name = 'LAN', info = this.info()): string {
    this.myPeerId = info.peer_id;
    this.parties.set(partyId, { party_id: partyId, name, host_id: info.peer_id, created_at: naive(this.options.offset), peers: { [info.peer_id]: info } });
    this.send({ type: 'register_party', party_id: partyId, name, host_peer: info });
    return partyId;
  }

  /** Throws on a party that is not known locally, after the frame has gone out. */
  joinParty(partyId: string, info = this.info()): PartyInfo {
    this.myPeerId = info.peer_id;
    this.send({ type: 'join_party', party_id: partyId, peer: info });
    const party = this.parties.get(partyId);
    if (party === undefined) throw new Error(`Party ${partyId} not found`);
    party.peers[info.peer_id] = info;
    return party;
  }

  leaveParty(partyId: string, peerId = this.myPeerId): void {
    this.send({ type: 'leave_party', party_id: partyId, peer_id: peerId });
    this.parties.delete(partyId);
  }

  heartbeat(partyId: string, peerId = this.myPeerId): void {
    this.send({ type: 'heartbeat', party_id: partyId, peer_id: peerId });
  }

  /** What the class's own call would send if it sent: the receiver's fields. */
  signal(partyId: string, toPeerId: string, data: unknown, fromPeerId = this.myPeerId): void {
    this.send({ type: 'signal', party_id: partyId, from_peer_id: fromPeerId, to_peer_id: toPeerId, signal_data: data });
  }

  pollSignals(partyId: string, peerId = this.myPeerId): Envelope[] {
    const key = `${partyId}/${peerId}`;
    const waiting = this.queues.get(key) ?? [];
    this.queues.delete(key);
    return waiting;
  }

  /** The clean-up that runs every 60 s, with the client's naive wall clock. */
  cleanUp(now = Date.now()): void {
    const wall = Date.parse(`${naive(this.options.offset, now).slice(0, 23)}Z`);
    for (const [id, party] of this.parties) {
      for (const peer of Object.values(party.peers)) {
        if (/[zZ+]|-\d\d:\d\d$/.test(peer.last_seen.slice(11))) throw new TypeError("can't subtract offset-naive and offset-aware datetimes");
        if (wall - Date.parse(`${peer.last_seen.slice(0, 23)}Z`) > STALE_MS) delete party.peers[peer.peer_id];
      }
      if (Object.keys(party.peers).length === 0) this.parties.delete(id);
    }
  }

  count(type: string): number {
    return this.frames.filter((frame) => frame.type === type).length;
  }

  peersOf(partyId: string): string[] {
    return Object.keys(this.parties.get(partyId)?.peers ?? {}).sort();
  }

  /** Waits until this holds; what was printed and dropped goes into the failure. */
  async until(what: string, holds: () => unknown, deadlineMs = 5000): Promise<void> {
    try {
      await until(what, () => Boolean(holds()), deadlineMs, 5);
    } catch {
      const closed = this.closure === undefined ? '' : `, closed ${this.closure.code} ${this.closure.reason}`;
      const last = JSON.stringify(this.frames.slice(-4)).slice(0, 1500);
      assert.fail(`waited in vain: ${what}; errors ${JSON.stringify(this.errors)}, dropped ${JSON.stringify(this.dropped)}${closed}, last frames ${last}`);
    }
  }

  async knows(partyId: string, peerIds: (string | null)[], deadlineMs?: number): Promise<void> {
    const expected = [...peerIds].sort().join();
    await this.until(`${this.myPeerId} knows ${expected} in ${partyId}`, () => this.peersOf(partyId).join() === expected, deadlineMs);
  }

  /** A first party, and the server's word that it is there. */
  async host(partyId = newPartyId(), info = this.info()): Promise<string> {
    const before = this.count('party_update');
    this.registerParty(partyId, 'LAN', info);
    await this.until('the party_update after register_party', () => this.count('party_update') > before);
    return partyId;
  }

  /** Joins as the class does it: the first call throws, the server's update makes the second succeed. */
  async enter(partyId: string, info = this.info()): Promise<void> {
    assert.throws(() => this.joinParty(partyId, info), /^Error: Party .* not found$/);
    await this.until('the party_update after join_party', () => this.parties.get(partyId)?.peers[info.peer_id]);
    const before = this.count('party_update');
    this.joinParty(partyId, info);
    await this.until('the party_update after the second, equal join_party', () => this.count('party_update') > before);
  }

  /** An own join is answered after all that was sent before it. */
  async settle(partyId: string): Promise<void> {
    const before = this.count('party_update');
    this.joinParty(partyId);
    await this.until('the party_update after a repeated join_party', () => this.count('party_update') > before);
  }

  /** The server must answer a ping within ten seconds. */
  async alive(): Promise<void> {
    let ponged = false;
    this.socket?.once('pong', () => {
      ponged = true;
    });
    this.socket?.ping();
    await this.until('a pong', () => ponged, 10_000);
  }

  /** Nothing was printed, nothing was dropped. */
  calm(): void {
    assert.deepEqual({ errors: this.errors, dropped: this.dropped }, { errors: [], dropped: [] });
  }

  async error(what: string | RegExp = /./): Promise<string> {
    await this.until(`an error frame (${what})`, () => this.errors.length > 0);
    const message = this.errors.shift() ?? '';
    if (typeof what === 'string') assert.equal(message, what);
    else assert.match(message, what);
    return message;
  }

  end(): void {
    this.ended = true;
    this.socket?.terminate();
    planes.delete(this);
  }
}

const planes = new Set<RemoteControlPlane>();

/** Ends every socket of this service, so that nobody tries to come back. */
export function endPlanes(service: Service): void {
  for (const plane of [...planes]) if (plane.service === service) plane.end();
}

/** A socket of this peer, with its token in the first frame. */
export function planeOf(peer: Peer, how: Partial<PlaneOptions> = {}): Promise<RemoteControlPlane> {
  return RemoteControlPlane.open(peer.service, { peerId: peer.id, token: peer.token, offset: peer.offset, address: peer.address, ...how });
}
