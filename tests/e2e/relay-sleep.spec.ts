// Relay families across a hibernation that really happens (the canary in hibernation.spec.ts shows that it does):
// issue 3 section 5, edge-wire.md 6.1. All waits run side by side.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { announce, fresh, join, LIMITLESS, meet, refused, relays } from './support/relay.ts';
import { assertCalm, pause, Service, until } from './support/service.ts';
import { Client, newCode } from './support/socket.ts';

const IDLE_MS = 12_500;

let service: Service;
before(async () => {
  service = await Service.start(LIMITLESS);
});
after(async () => {
  assertCalm(service);
  await service.stop();
});

describe('after more than ten idle seconds', { concurrency: true }, () => {
  // The lobby paths are one room, in which every test finds its own by fresh names.
  for (const path of ['/relay/sleepers', '/signaling', '/signal/sleepers']) {
    const newPeer = (more: Record<string, unknown> = {}): Promise<Client> => join(service, path, more);

    test(`on ${path}: peers, their load and their ids`, async () => {
      const [a, b] = [await newPeer({ maxConnections: 10, publicKey: 'key-a' }), await newPeer()];
      a.send({ type: 'update_load', peerId: a.code, connectedCount: 3 });
      await a.next('load_updated');
      await pause(IDLE_MS);
      const found = (await relays(b, { count: 100 })).get(a.code);
      assert.deepEqual(found, { peerId: a.code, publicKey: 'key-a', capacity: 0.3 });
      const thief = await Client.open(service, path);
      await thief.expect({ type: 'register', peerId: a.code }, refused('Peer ID already in use by another connection'));
      await a.expect({ type: 'update_load', peerId: b.code, connectedCount: 1 }, refused('peerId mismatch with registered identity'));
      await a.expect({ type: 'register', peerId: fresh('other') }, refused('Cannot re-register with a different peerId'));
      a.send({ type: 'register', peerId: a.code, maxConnections: 10 });
      await a.next('registered');
      assert.equal((await relays(b, { count: 100 })).get(a.code)?.capacity, 0.3, 'the load is kept');
    });

    test(`on ${path}: who left in his sleep is gone`, async () => {
      const [a, b] = [await newPeer(), await newPeer()];
      const token = fresh('token');
      await meet(a, { hourlyTokens: [token] });
      await pause(IDLE_MS);
      a.socket.terminate();
      await until('the peer is gone', async () => !(await relays(b, { count: 100 })).has(a.code));
      assert.deepEqual((await meet(b, { hourlyTokens: [token] })).liveMatches, []);
      await newPeer({ peerId: a.code });
    });

    test(`on ${path}: tokens match and drops are read`, async () => {
      const a = await newPeer();
      const [point, token] = [fresh('point'), fresh('token')];
      await meet(a, { dailyPoints: [point], hourlyTokens: [token], deadDrop: 'slept', relayId: 'r' });
      await pause(IDLE_MS);
      const b = await newPeer();
      const result = await meet(b, { dailyPoints: [point], hourlyTokens: [token], relayId: 'q' });
      assert.deepEqual(result.deadDrops, [{ peerId: a.code, deadDrop: 'slept', relayId: 'r' }]);
      assert.deepEqual(result.liveMatches, [{ peerId: a.code, relayId: 'r' }]);
      assert.deepEqual((await a.frame()).value, { type: 'rendezvous_match', match: { peerId: b.code, relayId: 'q' } });
    });

    test(`on ${path}: sources are asked, and the cache still answers`, async () => {
      const a = await newPeer();
      const [cold, warm] = [fresh('cold'), fresh('warm')];
      await announce(a, [cold, warm]);
      a.send({ type: 'chunk_push', peerId: a.code, chunkId: warm, data: { w: 1 }, channelId: 'sleep' });
      await a.next('chunk_push_ack');
      await pause(IDLE_MS);
      const b = await newPeer();
      b.send({ type: 'chunk_request', peerId: b.code, chunkId: warm, channelId: 'sleep' });
      const kept = await b.next('chunk_data');
      assert.deepEqual([kept.chunkId, kept.data, kept.source], [warm, { w: 1 }, 'cache']);
      b.send({ type: 'chunk_request', peerId: b.code, chunkId: cold, channelId: 'sleep' });
      assert.equal((await a.next('chunk_pull')).chunkId, cold);
      a.send({ type: 'chunk_push', peerId: a.code, chunkId: cold, data: 'c', channelId: 'sleep' });
      await a.next('chunk_push_ack');
      const got = await until('the chunk', () => b.inbox.map((frame) => frame.value).find((value) => value.type === 'chunk_data'));
      assert.deepEqual([got.chunkId, got.data, got.source], [cold, 'c', 'relay']);
    });

    test(`on ${path}: owners and subscribers stay, and a stream goes on`, async () => {
      const [owner, a, b] = [await newPeer(), await newPeer(), await newPeer()];
      const channelId = fresh('channel');
      owner.send({ type: 'channel-owner-register', channelId });
      await owner.next('channel-owner-registered');
      a.send({ type: 'channel-subscribe', channelId });
      await a.next('channel-subscribed');
      owner.send({ type: 'stream-start', streamId: 's', channelId, title: 't' });
      assert.equal((await owner.next('stream-started')).subscriberCount, 1);
      await a.next('stream-start');
      await pause(IDLE_MS);
      const up = { type: 'upstream-message', channelId, message: { id: 'm' }, ephemeralPublicKey: 'e' };
      await a.expect(up, { type: 'upstream-ack', channelId, messageId: 'm' });
      assert.deepEqual((await owner.frame()).value, up);
      await b.expect({ type: 'channel-owner-register', channelId }, refused('Channel already has an active owner'));
      await b.expect(up, refused('Not subscribed to this channel'));
      owner.send({ type: 'stream-frame', streamId: 's', channelId, frame: 'f' });
      assert.equal((await a.next('stream-frame')).frame, 'f');
      b.send({ type: 'channel-subscribe', channelId });
      await b.next('channel-subscribed');
      assert.equal((await b.next('stream-start')).streamId, 's');
      await announce(owner, [fresh('news')], { channelId });
      for (const each of [a, b]) assert.equal((await each.next('chunk_available')).channelId, channelId);
    });

    test(`on ${path}: messages for an owner who is away still wait`, async () => {
      const [first, a] = [await newPeer(), await newPeer()];
      const channelId = fresh('channel');
      a.send({ type: 'channel-subscribe', channelId });
      await a.next('channel-subscribed');
      await first.close();
      const up = { type: 'upstream-message', channelId, message: { id: 'm', text: 'waits' }, ephemeralPublicKey: 'e' };
      await a.expect(up, { type: 'upstream-ack', channelId, messageId: 'm' });
      await pause(IDLE_MS);
      const owner = await newPeer();
      await owner.expect({ type: 'channel-owner-register', channelId }, { type: 'channel-owner-registered', channelId });
      assert.deepEqual((await owner.frame()).value, up);
    });
  }

  test('on /relay/sleepers: a waiting request is served', async () => {
    const path = '/relay/sleepers';
    const [waiting, gone] = [await join(service, path), await join(service, path)];
    const chunkId = fresh('wanted');
    for (const each of [waiting, gone]) {
      each.send({ type: 'chunk_request', peerId: each.code, chunkId });
      await each.next('chunk_not_found');
    }
    await pause(IDLE_MS);
    gone.socket.terminate();
    const source = await join(service, path);
    await announce(source, [chunkId]);
    assert.deepEqual((await source.frame()).value, { type: 'chunk_pull', chunkId });
    source.send({ type: 'chunk_push', peerId: source.code, chunkId, data: 'woken' });
    await source.next('chunk_push_ack');
    assert.deepEqual((await waiting.frame()).value, { type: 'chunk_data', chunkId, data: 'woken', source: 'relay' });
  });

  test('on /relay/sleepers: a heartbeat as the first word wakes it', async () => {
    const a = await join(service, '/relay/heartbeats');
    await pause(IDLE_MS);
    a.send({ type: 'heartbeat', peerId: a.code });
    await a.next('heartbeat_ack');
    assert.ok((await relays(await Client.open(service, '/relay/heartbeats'))).has(a.code));
  });

  test('on /signaling: a pairing code stays a name for matches', async () => {
    const a = await Client.enter(service, '/signaling');
    const token = fresh('token');
    await meet(a, { hourly_tokens: [token] });
    await pause(IDLE_MS);
    const b = await Client.enter(service, '/signaling', { pairingCode: newCode() });
    assert.deepEqual((await meet(b, { hourly_tokens: [token] })).liveMatches, [{ peerId: a.code, relayId: '' }]);
    assert.deepEqual((await a.frame()).value, { type: 'rendezvous_match', match: { peerId: b.code, relayId: '' } });
  });
});
