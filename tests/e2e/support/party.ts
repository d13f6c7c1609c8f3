// Clients of parties over HTTP: a peer that asks by hand, and the class that the app uses (parties.md 3.1), as strict as it is
// in the field. The WebSocket class stands in party-plane.ts.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { pause } from './service.ts';
import type { Answer, Ask, Service } from './service.ts';
import { newAddress } from './socket.ts';

export const PARTY_SETTINGS = { PARTY_TOKEN_KEY: '3f'.repeat(32) };
export const PEER_KEYS = ['last_seen', 'local_ip', 'local_port', 'name', 'nat_type', 'peer_id', 'public_ip', 'public_key', 'public_port'];
export const PARTY_KEYS = ['created_at', 'host_id', 'name', 'party_id', 'peers'];
/** As the original writes them; Python leaves the fraction out when it is zero, and reads both. */
export const NAIVE = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}$/;

/** Every token, password and code that was ever made, for the search through the logs. */
export const partySecrets: string[] = [];

export const hex = (bytes: number): string => randomBytes(bytes).toString('hex');
export const newPeerId = (): string => hex(8);
export const newPartyId = (): string => hex(6);

export type PeerInfo = {
  peer_id: string; name: string; public_key: string; nat_type: string; public_ip: string; public_port: number;
  local_ip: string; local_port: number; last_seen: string;
};
export type PartyInfo = { party_id: string; name: string; host_id: string; created_at: string; peers: Record<string, PeerInfo> };
export type Envelope = { party_id: string; from_peer_id: string; to_peer_id: string; signal_data: any; sent_at: string };

/** What the wall clock of somebody in this offset shows, as Python writes a naive time. */
export function naive(offsetMinutes: number, now = Date.now()): string {
  return new Date(now + offsetMinutes * 60_000).toISOString().replace('Z', '000');
}

/** The moment that a naive time means to somebody in this offset. */
export function moment(text: string, offsetMinutes: number): number {
  assert.match(text, NAIVE, 'a naive time with microseconds');
  return Date.parse(`${text.slice(0, 23)}Z`) - offsetMinutes * 60_000;
}

/** The time is now, as somebody in this offset reads it. */
export function assertNow(text: string, offsetMinutes: number, toleranceMs = 10_000): void {
  const off = moment(text, offsetMinutes) - Date.now();
  assert.ok(Math.abs(off) < toleranceMs, `${text} is ${off} ms off for UTC${offsetMinutes < 0 ? '' : '+'}${offsetMinutes / 60}`);
}

export function describePeer(peerId: string, more: Partial<PeerInfo> = {}, offsetMinutes = 0): PeerInfo {
  return {
    peer_id: peerId, name: 'Me', public_key: randomBytes(32).toString('base64'), nat_type: 'full_cone', public_ip: '203.0.113.7',
    public_port: 51820, local_ip: '192.168.1.4', local_port: 51820, last_seen: naive(offsetMinutes), ...more,
  };
}

/** The class's constructor: a missing or an additional key is a TypeError, so is a time that does not parse. */
export function toPeer(value: any): PeerInfo {
  if (value === null || typeof value !== 'object') throw new TypeError('a peer must be an object');
  const keys = Object.keys(value).sort();
  if (keys.join() !== PEER_KEYS.join()) throw new TypeError(`PeerInfo got ${keys.join()}`);
  for (const key of PEER_KEYS) {
    const expected = key.endsWith('_port') ? 'number' : 'string';
    if (typeof value[key] !== expected) throw new TypeError(`PeerInfo.${key} is ${JSON.stringify(value[key])}`);
  }
  if (!NAIVE.test(value.last_seen)) throw new TypeError(`last_seen is not naive: ${value.last_seen}`);
  return { ...value };
}

export function toParty(value: any): PartyInfo {
  if (value === null || typeof value !== 'object') throw new TypeError('a party must be an object');
  const keys = Object.keys(value).sort();
  if (keys.join() !== PARTY_KEYS.join()) throw new TypeError(`PartyInfo got ${keys.join()}`);
  for (const key of ['party_id', 'name', 'host_id', 'created_at']) {
    if (typeof value[key] !== 'string') throw new TypeError(`PartyInfo.${key} is ${JSON.stringify(value[key])}`);
  }
  if (!NAIVE.test(value.created_at)) throw new TypeError(`created_at is not naive: ${value.created_at}`);
  const peers: Record<string, PeerInfo> = {};
  for (const [id, peer] of Object.entries(value.peers)) {
    peers[id] = toPeer(peer);
    if (peers[id].peer_id !== id) throw new TypeError(`peer ${peers[id].peer_id} stands under ${id}`);
  }
  return { ...value, peers };
}

/** What the app's client needs of every answer: a JSON object that is not empty; with a `detail` when refused. */
export function assertObject(answer: Answer): any {
  assert.match(String(answer.headers['content-type']), /^application\/(problem\+)?json/, `${answer.status} ${answer.text}`);
  assert.ok(answer.json !== null && typeof answer.json === 'object' && !Array.isArray(answer.json), `no object: ${answer.status} ${answer.text}`);
  assert.ok(Object.keys(answer.json).length > 0, 'an empty answer is a failure to the client');
  if (answer.status >= 400) assert.ok(answer.json.detail !== undefined && answer.json.detail !== '', `no detail: ${answer.text}`);
  return answer.json;
}

export function assertOk(answer: Answer): any {
  assert.equal(answer.status, 200, `${answer.status} ${answer.text}`);
  return assertObject(answer);
}

/** Refused, with exactly this sentence or one like it. */
export function assertDetail(answer: Answer, status: number, detail?: string | RegExp): void {
  assert.equal(answer.status, status, `${answer.status} ${answer.text}`);
  const body = assertObject(answer);
  if (detail === undefined) assert.equal(typeof body.detail, 'string', answer.text);
  else if (typeof detail === 'string') assert.equal(body.detail, detail);
  else assert.match(String(body.detail), detail);
}

/** Not valid: a list of what is wrong, one of which is this. */
export function assertInvalid(answer: Answer, type?: string, loc?: (string | number)[]): void {
  assert.equal(answer.status, 422, `${answer.status} ${answer.text}`);
  const { detail } = assertObject(answer);
  assert.ok(Array.isArray(detail) && detail.length > 0, `detail is a list: ${answer.text}`);
  for (const each of detail) {
    assert.equal(typeof each.type, 'string', answer.text);
    assert.equal(typeof each.msg, 'string', answer.text);
    assert.ok(Array.isArray(each.loc), answer.text);
  }
  const found = detail.some((each: any) => (type === undefined || each.type === type) && (loc === undefined || each.loc.join('/') === loc.join('/')));
  assert.ok(found, `no ${type} at ${loc?.join('/')}: ${answer.text}`);
}

/** Somebody with an id, an address, a clock and perhaps a token, who asks by hand. */
export class Peer {
  service: Service;
  id: string;
  token: string | undefined;
  address = newAddress();
  offset: number;

  constructor(service: Service, id = newPeerId(), offsetMinutes = 0) {
    this.service = service;
    this.id = id;
    this.offset = offsetMinutes;
  }

  /** A registered peer. */
  static async of(service: Service, id?: string, offsetMinutes?: number): Promise<Peer> {
    const peer = new Peer(service, id, offsetMinutes);
    await peer.register();
    return peer;
  }

  /** A request with this peer's token, unless `headers` say otherwise. */
  async ask(method: string, path: string, body?: unknown, ask: Ask = {}): Promise<Answer> {
    const authorization: Record<string, string> = this.token === undefined ? {} : { Authorization: `Bearer ${this.token}` };
    const answer = await this.service.ask(method, path, { address: this.address, body, ...ask, headers: { ...authorization, ...ask.headers } });
    assertObject(answer);
    return answer;
  }

  async tryRegister(body?: unknown, ask: Ask = {}): Promise<Answer> {
    return this.ask('POST', `/auth/register?peer_id=${encodeURIComponent(this.id)}`, body, ask);
  }

  async register(body?: unknown): Promise<any> {
    const answer = assertOk(await this.tryRegister(body));
    assert.match(answer.token, /^[A-Za-z0-9_-]{43}$/);
    this.token = answer.token;
    partySecrets.push(answer.token);
    return answer;
  }

  info(more: Partial<PeerInfo> = {}): PeerInfo {
    return describePeer(this.id, more, this.offset);
  }

  tryCreate(name = 'LAN', more: Record<string, unknown> = {}, info: Partial<PeerInfo> = {}): Promise<Answer> {
    return this.ask('POST', '/parties', { name, host_peer_info: this.info(info), ...more });
  }

  /** A new party with this peer as its host. */
  async create(name = `LAN ${hex(3)}`, more: Record<string, unknown> = {}): Promise<string> {
    const answer = assertOk(await this.tryCreate(name, more));
    toParty(answer.party);
    return answer.party_id;
  }

  tryJoin(partyId: string, more: Record<string, unknown> = {}, info: Partial<PeerInfo> = {}): Promise<Answer> {
    return this.ask('POST', `/parties/${partyId}/join`, { party_id: partyId, peer_info: this.info(info), ...more });
  }

  async join(partyId: string, more: Record<string, unknown> = {}, info: Partial<PeerInfo> = {}): Promise<PartyInfo> {
    return toParty(assertOk(await this.tryJoin(partyId, more, info)).party);
  }

  async read(partyId: string): Promise<PartyInfo> {
    return toParty(assertOk(await this.ask('GET', `/parties/${partyId}`)).party);
  }

  async details(partyId: string): Promise<any> {
    return assertOk(await this.ask('GET', `/parties/${partyId}/details`));
  }

  async member(partyId: string, peerId = this.id): Promise<any> {
    return (await this.details(partyId)).members.find((each: any) => each.peer_id === peerId);
  }

  async change(partyId: string, settings: Record<string, unknown>): Promise<any> {
    return assertOk(await this.ask('PUT', `/parties/${partyId}/settings`, settings));
  }

  leave(partyId: string, peerId = this.id): Promise<Answer> {
    return this.ask('DELETE', `/parties/${partyId}/peers/${peerId}`);
  }

  beat(partyId: string, peerId = this.id): Promise<Answer> {
    return this.ask('POST', `/parties/${partyId}/peers/${peerId}/heartbeat`);
  }

  signal(partyId: string, toPeerId: string, data: unknown): Promise<Answer> {
    return this.ask('POST', `/parties/${partyId}/signals`, { to_peer_id: toPeerId, signal_data: data });
  }

  async poll(partyId: string): Promise<Envelope[]> {
    return assertOk(await this.ask('GET', `/parties/${partyId}/peers/${this.id}/signals`)).signals;
  }
}

/** The app's HTTP client, parties.md 3.1. */
export class RemoteControlPlaneClient {
  service: Service;
  token: string | undefined;
  peerId: string | undefined;
  partyId: string | undefined;
  address = newAddress();
  tries = 0;

  constructor(service: Service) {
    this.service = service;
  }

  async request(method: string, path: string, body?: unknown): Promise<any> {
    const headers: Record<string, string> = { 'User-Agent': 'python-httpx/0.28.1', 'Accept-Encoding': 'gzip, deflate', Accept: '*/*' };
    if (this.token !== undefined) headers.Authorization = `Bearer ${this.token}`;
    let answer: Answer | undefined;
    for (let attempt = 1; answer === undefined; attempt += 1) {
      this.tries += 1;
      try {
        answer = await this.service.ask(method, path, { headers, body, address: this.address });
      } catch (error) {
        if (attempt === 3) throw new Error(`Request failed: ${String(error)}`);
        await pause(1000 * attempt);
      }
    }
    let value: any;
    try {
      value = JSON.parse(answer.text);
    } catch {
      throw new Error('Request failed: Expecting value: line 1 column 1 (char 0)');
    }
    if (value === null || typeof value !== 'object' || Array.isArray(value)) throw new Error("Request failed: no attribute 'get'");
    if (answer.status >= 400) throw new Error(`Request failed: HTTP ${answer.status}: ${value.detail ?? 'Unknown error'}`);
    return value;
  }

  async registerPeer(peerId: string): Promise<void> {
    // The id goes out unescaped, as the original sends it.
    this.token = (await this.request('POST', `/auth/register?peer_id=${peerId}`)).token;
    assert.equal(typeof this.token, 'string');
    partySecrets.push(String(this.token));
    this.peerId = peerId;
  }

  async ensure(peerId: string | undefined): Promise<void> {
    const wanted = peerId ?? this.peerId ?? `peer_${hex(6)}`;
    if (this.token === undefined || this.peerId !== wanted) await this.registerPeer(wanted);
  }

  /** The id that the app invented is never sent. */
  async registerParty(_partyId: string, name: string, info: PeerInfo): Promise<PartyInfo> {
    await this.ensure(info.peer_id);
    const party = toParty((await this.request('POST', '/parties', { name, host_peer_info: info })).party);
    this.partyId = party.party_id;
    return party;
  }

  async joinParty(partyId: string, info: PeerInfo): Promise<PartyInfo> {
    await this.ensure(info.peer_id);
    const party = toParty((await this.request('POST', `/parties/${partyId}/join`, { party_id: partyId, peer_info: info })).party);
    this.partyId = party.party_id;
    return party;
  }

  async leaveParty(partyId: string, peerId: string): Promise<void> {
    await this.ensure(peerId);
    await this.request('DELETE', `/parties/${partyId}/peers/${peerId}`);
  }

  async orNone<T>(ask: Promise<T>): Promise<T | null> {
    try {
      return await ask;
    } catch (error) {
      if (String(error).includes('404')) return null;
      throw error;
    }
  }

  async getParty(partyId: string): Promise<PartyInfo | null> {
    await this.ensure(undefined);
    return this.orNone(this.request('GET', `/parties/${partyId}`).then((value) => toParty(value.party)));
  }

  async getPeers(partyId: string): Promise<Record<string, PeerInfo>> {
    await this.ensure(undefined);
    const { peers } = await this.request('GET', `/parties/${partyId}/peers`);
    return Object.fromEntries(Object.entries(peers).map(([id, peer]) => [id, toPeer(peer)]));
  }

  async discoverPeer(partyId: string, peerId: string): Promise<PeerInfo | null> {
    await this.ensure(undefined);
    return this.orNone(this.request('GET', `/parties/${partyId}/peers/${peerId}`).then((value) => toPeer(value.peer)));
  }

  async heartbeat(): Promise<void> {
    await this.request('POST', `/parties/${this.partyId}/peers/${this.peerId}/heartbeat`);
  }

  async listRelays(region?: string): Promise<any[]> {
    await this.ensure(undefined);
    return (await this.request('GET', region === undefined ? '/relays' : `/relays/${region}`)).relays;
  }
}
