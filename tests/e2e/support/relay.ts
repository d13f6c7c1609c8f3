// What the relay tests share: peers with an id, and the questions that every family asks.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import type { Service } from './service.ts';
import { Client } from './socket.ts';
import type { Open } from './socket.ts';

/** No limit that a test is not about. */
export const LIMITLESS = {
  SIGNAL_MESSAGES_PER_MINUTE: '0',
  SIGNAL_PAIR_REQUESTS_PER_MINUTE: '0',
  SIGNAL_UNKNOWN_CODES_PER_MINUTE: '0',
  SIGNAL_SOCKETS_PER_ADDRESS: '0',
  SIGNAL_SOCKETS_MAX: '0',
};

/** A word that nothing else has used: an id, a point, a token, a name. */
export const fresh = (what: string): string => `${what}-${randomBytes(6).toString('hex')}`;

export const refused = (message: string): object => ({ type: 'error', message });

/** Opens and registers as a relay peer; `client.code` is the peer id. */
export async function join(service: Service, path: string, more: Record<string, unknown> = {}, open: Open = {}): Promise<Client> {
  const client = await Client.open(service, path, open);
  client.code = typeof more.peerId === 'string' ? more.peerId : fresh('peer');
  client.send({ type: 'register', peerId: client.code, ...more });
  assert.equal((await client.next('registered')).peerId, client.code);
  return client;
}

/** The peers that an asker is told, by id. */
export async function relays(asker: Client, more: Record<string, unknown> = {}): Promise<Map<string, any>> {
  asker.send({ type: 'get_relays', ...(asker.code === '' ? {} : { peerId: asker.code }), ...more });
  const answer = await asker.next('relays');
  const found = new Map<string, any>(answer.relays.map((relay: any) => [relay.peerId, relay]));
  assert.equal(found.size, answer.relays.length, 'nobody is listed twice');
  return found;
}

/** Registers points or tokens and returns the result. */
export async function meet(peer: Client, more: Record<string, unknown>): Promise<any> {
  peer.send({ type: 'register_rendezvous', peerId: peer.code, ...more });
  const result = await peer.next('rendezvous_result');
  assert.deepEqual(Object.keys(result).sort(), ['deadDrops', 'liveMatches', 'type']);
  return result;
}

export async function announce(source: Client, ids: string[], more: Record<string, unknown> = {}): Promise<void> {
  source.send({ type: 'chunk_announce', peerId: source.code, chunks: ids.map((chunkId) => ({ chunkId, routingHash: `route-${chunkId}` })), ...more });
  assert.equal((await source.next('chunk_announce_ack')).registered, ids.length);
}

/** Text whose JSON form has exactly this many characters. */
export const sized = (characters: number): string => 'd'.repeat(characters - 2);
