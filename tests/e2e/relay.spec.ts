// Relay registries: edge-wire.md 2.2 on /relay and /relay/{name}, the families of 2.3.2 there, 6.3 to 6.8, 6.13, 8.

import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { announce, fresh, join, LIMITLESS, meet, refused, relays, sized } from './support/relay.ts';
import { assertCalm, pause, Service, until } from './support/service.ts';
import type { Settings } from './support/service.ts';
import { Client, newAddress, nobodyHeard, refusedUpgrade } from './support/socket.ts';

const TTL_MS = 1500;
const SHORT = {
  RENDEZVOUS_DAILY_TTL_MS: String(TTL_MS),
  RENDEZVOUS_HOURLY_TTL_MS: String(TTL_MS),
  CHUNK_SOURCE_TTL_MS: String(TTL_MS),
  CHUNK_CACHE_TTL_MS: String(TTL_MS),
  CHUNK_PENDING_TTL_MS: String(TTL_MS),
  SWEEP_INTERVAL_MS: '1000',
};
const NO_SOURCE = 'No online sources available. You will be notified when available.';

let service: Service;
let short: Service;
let impatient: Service;
const newName = (): string => `/relay/${fresh('room')}`;

before(async () => {
  [service, short, impatient] = await Promise.all([
    Service.start({ ...LIMITLESS, ALLOWED_ORIGINS: 'https://app.example' }),
    Service.start({ ...LIMITLESS, ...SHORT, RENDEZVOUS_KEEP_DEAD_DROPS: 'false', CHUNK_CACHE_MAX: '3' }),
    Service.start({ ...LIMITLESS, RELAY_PEER_TTL_MS: String(TTL_MS), SWEEP_INTERVAL_MS: '1000' }),
  ]);
});
after(async () => {
  for (const each of [service, short, impatient]) {
    assertCalm(each);
    await each.stop();
  }
});

async function withService(settings: Settings, run: (service: Service) => Promise<void>): Promise<void> {
  const own = await Service.start({ ...LIMITLESS, ...settings });
  try {
    await run(own);
    assertCalm(own);
  } finally {
    await own.stop();
  }
}

async function request(requester: Client, chunkId: string): Promise<void> {
  requester.send({ type: 'chunk_request', peerId: requester.code, chunkId });
}
async function requestInVain(requester: Client, chunkId: string): Promise<void> {
  await requester.expect({ type: 'chunk_request', peerId: requester.code, chunkId }, { type: 'chunk_not_found', chunkId, message: NO_SOURCE });
}
async function push(source: Client, chunkId: string, data: unknown): Promise<void> {
  source.send({ type: 'chunk_push', peerId: source.code, chunkId, data });
  const answer = await source.next('chunk_push_ack');
  assert.equal(answer.chunkId, chunkId);
}
const fromRelay = (chunkId: string, data: unknown): object => ({ type: 'chunk_data', chunkId, data, source: 'relay' });
const fromCache = (chunkId: string, data: unknown): object => ({ type: 'chunk_data', chunkId, data, source: 'cache' });

describe('the door', () => {
  for (const path of ['/relay', '/relay/door']) {
    test(`${path} does not greet, answers ping, and wants an upgrade`, async () => {
      const client = await Client.open(service, path);
      await client.silent();
      client.sendRaw('{"type":"ping"}');
      await client.next('pong');
      const plain = await service.get(path);
      assert.equal(plain.status, 426);
      assert.match(plain.text, /Expected WebSocket/);
      assert.equal((await client.close(1000)).code, 1000, 'the closing is answered');
    });
    test(`${path} refuses a foreign origin and takes ours`, async () => {
      assert.equal(await refusedUpgrade(service, path, { origin: 'https://evil.example' }), 403);
      await (await Client.open(service, path, { origin: 'https://app.example' })).silent();
    });
  }
  test('/relay is the registry named global', async () => {
    const [a, b] = [await join(service, '/relay'), await Client.open(service, '/relay/global')];
    assert.ok((await relays(b, { count: 100 })).has(a.code));
    await a.close();
  });
});

describe('relay peers', () => {
  test('registered names the others, never oneself', async () => {
    const path = newName();
    const a = await Client.open(service, path);
    await a.expect({ type: 'register', peerId: 'peer-a', maxConnections: 10, publicKey: 'key-a' }, { type: 'registered', peerId: 'peer-a', relays: [] });
    const b = await Client.open(service, path);
    const seenByB = [{ peerId: 'peer-a', publicKey: 'key-a', capacity: 0 }];
    await b.expect({ type: 'register', peerId: 'peer-b' }, { type: 'registered', peerId: 'peer-b', relays: seenByB });
    await b.expect({ type: 'get_relays', peerId: 'peer-b' }, { type: 'relays', relays: seenByB });
    await a.expect({ type: 'get_relays', peerId: 'peer-a', count: 10 }, { type: 'relays', relays: [{ peerId: 'peer-b', publicKey: null, capacity: 0 }] });
    await nobodyHeard(a, [b]);
  });
  test('only what is strictly below half is listed, and re-registering keeps the load', async () => {
    const path = newName();
    const [a, b, asker] = [await join(service, path, { maxConnections: 10 }), await join(service, path), await Client.open(service, path)];
    for (const [connectedCount, listed] of [[4, true], [5, false], [6, false], [10000, false], [0, true], [4, true]] as [number, boolean][]) {
      await a.expect({ type: 'update_load', peerId: a.code, connectedCount }, { type: 'load_updated', peerId: a.code, connectedCount });
      const found = await relays(asker);
      assert.equal(found.has(a.code), listed, `${connectedCount} of 10`);
      if (listed) assert.equal(found.get(a.code).capacity, connectedCount / 10);
    }
    // Twenty is the default: nine is below half, ten is not.
    b.send({ type: 'update_load', peerId: b.code, connectedCount: 9 });
    await b.next('load_updated');
    assert.equal((await relays(asker)).get(b.code).capacity, 9 / 20);
    b.send({ type: 'update_load', peerId: b.code, connectedCount: 10 });
    await b.next('load_updated');
    assert.ok(!(await relays(asker)).has(b.code));
    a.send({ type: 'register', peerId: a.code, maxConnections: 40 });
    await a.next('registered');
    assert.equal((await relays(asker)).get(a.code).capacity, 4 / 40);
    a.send({ type: 'register', peerId: a.code, maxConnections: 8 });
    await a.next('registered');
    assert.ok(!(await relays(asker)).has(a.code), 'four of eight is half');
  });
  test('a list has as many as asked, ten by default, a hundred at most, and chance decides which', async () => {
    const path = newName();
    const peers: Client[] = [];
    for (let i = 0; i < 108; i += 1) peers.push(await join(service, path));
    const asker = await Client.open(service, path);
    for (const [count, size] of [[1, 1], [7, 7], [100, 100], [101, 100], [100000, 100]] as [number, number][]) {
      assert.equal((await relays(asker, { count })).size, size, `count ${count}`);
    }
    assert.equal((await relays(asker)).size, 10);
    for (const count of [0, -5]) assert.ok((await relays(asker, { count })).size <= 1, `count ${count}`);
    const seen = new Set<string>();
    const firsts = new Set<string>();
    for (let i = 0; i < 60; i += 1) {
      const ids = [...(await relays(asker)).keys()];
      for (const id of ids) seen.add(id);
      firsts.add(ids[0] as string);
    }
    // 600 draws of 108: that fewer than 90 turn up has no chance worth naming.
    assert.ok(seen.size >= 90, `${seen.size} of 108 were ever named`);
    assert.ok(firsts.size >= 20, `${firsts.size} different ones stood first`);
    const late = await Client.open(service, path);
    late.send({ type: 'register', peerId: 'late' });
    assert.equal((await late.next('registered')).relays.length, 10);
    const inside = peers[0] as Client;
    for (let i = 0; i < 20; i += 1) assert.ok(!(await relays(inside, { count: 100 })).has(inside.code));
  });
  test('who asks for balance is spread over the relays', async () => {
    const path = newName();
    const peers = await Promise.all(Array.from({ length: 8 }, () => join(service, path, { maxConnections: 1000 })));
    const asker = await Client.open(service, path);
    const firsts = new Map<string, number>();
    for (let i = 0; i < 800; i += 1) {
      const found = await relays(asker, { count: 1, prefer: 'balanced' });
      assert.equal(found.size, 1);
      const [id, relay] = [...found][0] as [string, any];
      assert.ok(peers.some((peer) => peer.code === id));
      assert.deepEqual(Object.keys(relay).sort(), ['capacity', 'peerId', 'publicKey']);
      firsts.set(id, (firsts.get(id) ?? 0) + 1);
    }
    // Blind draws lie nine apart from their mean of a hundred, the extremes of eight almost thirty from each other.
    const times = [...firsts.values()];
    assert.equal(times.length, 8);
    assert.ok(Math.max(...times) - Math.min(...times) <= 10, `${times}`);
    const full = peers[0] as Client;
    full.send({ type: 'update_load', peerId: full.code, connectedCount: 500 });
    await full.next('load_updated');
    for (let i = 0; i < 20; i += 1) assert.ok(!(await relays(asker, { count: 100, prefer: 'balanced' })).has(full.code));
    for (let i = 0; i < 5; i += 1) assert.ok(!(await relays(peers[1] as Client, { count: 100, prefer: 'balanced' })).has((peers[1] as Client).code));
  });
  test('heartbeats are answered with our time', async () => {
    const a = await join(service, newName());
    const earliest = Date.now();
    a.send({ type: 'heartbeat', peerId: a.code });
    const ack = await a.next('heartbeat_ack');
    assert.deepEqual(Object.keys(ack).sort(), ['timestamp', 'type']);
    assert.ok(Number.isInteger(ack.timestamp) && ack.timestamp >= earliest - 1000 && ack.timestamp <= Date.now() + 1000);
  });
  test('a peer is gone with its connection, and its id is free', async () => {
    const path = newName();
    const [a, asker] = [await join(service, path), await Client.open(service, path)];
    assert.ok((await relays(asker)).has(a.code));
    a.socket.terminate();
    await until('the peer is gone', async () => !(await relays(asker)).has(a.code));
    const again = await join(service, path, { peerId: a.code });
    assert.ok((await relays(asker)).has(again.code));
  });
});

describe('identity', () => {
  test('a second socket with the same id is refused, and its end does not harm the first', async () => {
    const path = newName();
    const [a, thief, asker] = [await join(service, path), await Client.open(service, path), await Client.open(service, path)];
    await thief.expect({ type: 'register', peerId: a.code }, refused('Peer ID already in use by another connection'));
    await thief.close();
    assert.ok((await relays(asker)).has(a.code));
    await a.silent();
    a.send({ type: 'update_load', peerId: a.code, connectedCount: 3 });
    await a.next('load_updated');
    assert.equal((await relays(asker)).get(a.code).capacity, 3 / 20);
  });
  test('one socket has one id', async () => {
    const path = newName();
    const a = await join(service, path);
    await a.expect({ type: 'register', peerId: fresh('other') }, refused('Cannot re-register with a different peerId'));
    assert.deepEqual([...(await relays(await Client.open(service, path))).keys()], [a.code]);
  });
  test('nobody acts under a name that is not his', async () => {
    const path = newName();
    const [a, b, c] = [await join(service, path), await join(service, path), await Client.open(service, path)];
    await meet(a, { dailyPoints: ['p'], deadDrop: 'mine' });
    const forged = [
      { type: 'update_load', peerId: a.code, connectedCount: 20 },
      { type: 'heartbeat', peerId: a.code },
      { type: 'register_rendezvous', peerId: a.code, dailyPoints: ['p'], deadDrop: 'forged', hourlyTokens: ['t'] },
      { type: 'chunk_announce', peerId: a.code, chunks: [{ chunkId: 'forged', routingHash: 'r' }] },
      { type: 'chunk_request', peerId: a.code, chunkId: 'nothing' },
      { type: 'chunk_push', peerId: a.code, chunkId: 'forged', data: 'x' },
    ];
    for (const message of forged) await b.expect(message, refused('peerId mismatch with registered identity'));
    // Nor a socket without a name; of a push the name is not used (2.2.3).
    for (const message of forged.slice(0, 5)) c.send(message);
    for (const { value } of await c.settle()) assert.ok(['error', 'load_updated', 'heartbeat_ack'].includes(value.type), JSON.stringify(value));
    await a.silent();
    assert.equal((await relays(b)).get(a.code)?.capacity, 0, 'the load is untouched');
    const result = await meet(b, { dailyPoints: ['p'], hourlyTokens: ['t'] });
    assert.deepEqual(result.deadDrops, [{ peerId: a.code, deadDrop: 'mine' }]);
    assert.deepEqual(result.liveMatches, []);
    await requestInVain(b, 'forged');
    await nobodyHeard(b, [a]);
  });
  for (const peerId of ['', ' ', 'a b', 'a.b', 'a/b', 'é', 'a\n', 'x'.repeat(129), 5, true, {}, ['a'], null]) {
    test(`the id ${JSON.stringify(peerId).slice(0, 30)} is refused`, async () => {
      const path = newName();
      const client = await Client.open(service, path);
      client.send({ type: 'register', peerId });
      const { message } = await client.next('error');
      assert.ok(message === 'Missing required field: peerId' || message === 'Invalid peerId: must be 1-128 alphanumeric characters, hyphens, or underscores', message);
      assert.equal((await relays(await Client.open(service, path))).size, 0);
    });
  }
  test('the longest and the shortest id', async () => {
    const path = newName();
    for (const peerId of ['x'.repeat(128), 'a', '_', '-', 'Az09_-']) await join(service, path, { peerId });
    assert.equal((await relays(await Client.open(service, path))).size, 5);
  });
  test('missing ids', async () => {
    const client = await Client.open(service, newName());
    for (const message of [{ type: 'register' }, { type: 'update_load', connectedCount: 1 }, { type: 'register_rendezvous', dailyPoints: ['x'] }, { type: 'chunk_announce', chunks: [{ chunkId: 'a', routingHash: 'b' }] }]) {
      await client.expect(message, refused('Missing required field: peerId'));
    }
  });
  test('numbers have bounds', async () => {
    const path = newName();
    const client = await Client.open(service, path);
    for (const maxConnections of [0, -1, 1001, 0.5, '20', 1e300, true, {}]) {
      await client.expect({ type: 'register', peerId: 'p', maxConnections }, refused('maxConnections must be a finite number between 1 and 1000'));
    }
    assert.equal((await relays(await Client.open(service, path))).size, 0);
    for (const maxConnections of [1, 1000]) {
      client.send({ type: 'register', peerId: 'p', maxConnections });
      await client.next('registered');
    }
    for (const connectedCount of [-1, 10001, '3', 1e300, null, {}, undefined]) {
      await client.expect({ type: 'update_load', peerId: 'p', connectedCount }, refused('Invalid connectedCount'));
    }
    await client.expect({ type: 'update_load', peerId: 'p', connectedCount: 499 }, { type: 'load_updated', peerId: 'p', connectedCount: 499 });
    assert.equal((await relays(await Client.open(service, path))).get('p').capacity, 499 / 1000);
  });
});

describe('statistics', () => {
  const empty = {
    relays: { totalPeers: 0, totalCapacity: 0, totalConnected: 0, availableRelays: 0 },
    rendezvous: { dailyPoints: 0, hourlyTokens: 0, totalEntries: 0, dailyEntries: 0, hourlyEntries: 0 },
  };
  test('count one registry alone', async () => {
    const [path, other] = [newName(), newName()];
    const [a, b, c] = [await join(service, path, { maxConnections: 4 }), await join(service, path, { maxConnections: 10 }), await join(service, path)];
    a.send({ type: 'update_load', peerId: a.code, connectedCount: 2 });
    await a.next('load_updated');
    b.send({ type: 'update_load', peerId: b.code, connectedCount: 3 });
    await b.next('load_updated');
    await meet(a, { dailyPoints: ['d1', 'd2'], hourlyTokens: ['h1'], deadDrop: 'x' });
    await meet(b, { dailyPoints: ['d1'], hourlyTokens: ['h2', 'h3'] });
    await announce(a, ['c1', 'c2']);
    await announce(b, ['c1']);
    await push(a, 'c2', 'body');
    await requestInVain(c, 'c3');
    const stats = await until('the counts', async () => {
      const answer = await service.get(`${path}/stats`);
      assert.equal(answer.status, 200);
      return answer.json.chunks.pendingRequests === 1 ? answer.json : undefined;
    }, 8000, 200);
    assert.deepEqual(stats.relays, { totalPeers: 3, totalCapacity: 34, totalConnected: 5, availableRelays: 2 });
    assert.deepEqual(stats.rendezvous, { dailyPoints: 2, hourlyTokens: 3, totalEntries: 6, dailyEntries: 3, hourlyEntries: 3 });
    assert.equal(stats.chunks.cachedChunks, 1);
    assert.equal(stats.connections, 3);
    // The cache may count as a source of its own (2.2.3), the three announcements always count.
    assert.ok([3, 4].includes(stats.chunks.totalSources), JSON.stringify(stats.chunks));
    assert.ok([2, 3].includes(stats.chunks.trackedChunks), JSON.stringify(stats.chunks));
    const neighbour = (await service.get(`${other}/stats`)).json;
    assert.deepEqual({ relays: neighbour.relays, rendezvous: neighbour.rendezvous }, empty);
    assert.equal(neighbour.connections, 0);
    for (const secret of [a.code, b.code, 'd1', 'h1']) assert.ok(!JSON.stringify(stats).includes(`"${secret}"`));
  });
  test('/stats is that of /relay', async () => {
    const a = await join(service, '/relay', { maxConnections: 777 });
    const [short, long] = await until('the peer counts', async () => {
      const both = [(await service.get('/stats')).json, (await service.get('/relay/global/stats')).json];
      return both.every((stats) => stats.relays.totalCapacity === 777) ? both : undefined;
    }, 8000, 200);
    assert.deepEqual(short, long);
    assert.equal(short.relays.totalPeers, 1);
    await a.close();
  });
  test('registries of different names do not meet', async () => {
    const [here, there] = [newName(), newName()];
    const [a, b] = [await join(service, here, { peerId: 'same' }), await join(service, there, { peerId: 'same' })];
    assert.equal((await relays(b)).size, 0);
    await meet(a, { dailyPoints: ['d'], hourlyTokens: ['h'], deadDrop: 'x' });
    assert.deepEqual(await meet(b, { dailyPoints: ['d'], hourlyTokens: ['h'] }), { type: 'rendezvous_result', liveMatches: [], deadDrops: [] });
    await announce(a, ['c']);
    await push(a, 'c', 'x');
    await requestInVain(b, 'c');
    a.send({ type: 'channel-owner-register', channelId: 'ch' });
    await a.next('channel-owner-registered');
    await b.expect({ type: 'channel-owner-register', channelId: 'ch' }, { type: 'channel-owner-registered', channelId: 'ch' });
    await nobodyHeard(b, [a]);
  });
});

describe('rendezvous', () => {
  test('drops of others are read at every point, and one\'s own is left', async () => {
    const path = newName();
    const [a, b, c] = [await join(service, path), await join(service, path), await join(service, path)];
    const nothing = { type: 'rendezvous_result', liveMatches: [], deadDrops: [] };
    assert.deepEqual(await meet(a, { dailyPoints: ['d1', 'd2'], deadDrop: 'from a', relayId: 'relay-a' }), nothing);
    assert.deepEqual(await meet(b, { dailyPoints: ['d1'], deadDrop: 'from b' }), { ...nothing, deadDrops: [{ peerId: a.code, deadDrop: 'from a', relayId: 'relay-a' }] });
    // The earlier one hears nothing until it asks again; reading consumes nothing, and without relayId there is no such member.
    await a.silent();
    for (let i = 0; i < 3; i += 1) {
      const again = await meet(a, { dailyPoints: ['d1'], deadDrop: 'from a', relayId: 'relay-a' });
      assert.deepEqual(again, { ...nothing, deadDrops: [{ peerId: b.code, deadDrop: 'from b' }] });
    }
    const both = await meet(c, { dailyPoints: ['d1', 'd2'] });
    assert.deepEqual(both.liveMatches, []);
    const sorted = both.deadDrops.map((drop: any) => `${drop.peerId} ${drop.deadDrop}`).sort();
    // Once a point: the one of a stands at two.
    assert.deepEqual(sorted, [`${a.code} from a`, `${a.code} from a`, `${b.code} from b`].sort());
    assert.deepEqual((await meet(c, { dailyPoints: ['d3'] })).deadDrops, []);
    await nobodyHeard(c, [a, b]);
  });
  test('registering again replaces what one left', async () => {
    const path = newName();
    const [a, b] = [await join(service, path), await join(service, path)];
    const seen = async (): Promise<string[]> => (await meet(b, { dailyPoints: ['d'] })).deadDrops.map((drop: any) => drop.deadDrop);
    await meet(a, { dailyPoints: ['d'], deadDrop: 'first' });
    assert.deepEqual(await seen(), ['first']);
    await meet(a, { dailyPoints: ['d'], deadDrop: 'second' });
    assert.deepEqual(await seen(), ['second']);
    await meet(a, { dailyPoints: ['elsewhere'], deadDrop: 'third' });
    assert.deepEqual(await seen(), ['second'], 'another point is another entry');
    await meet(a, { dailyPoints: ['d'] });
    assert.deepEqual(await seen(), [], 'without a drop, nothing is left');
  });
  test('drops outlive the connection', async () => {
    const path = newName();
    const [a, b] = [await join(service, path), await join(service, path)];
    await meet(a, { dailyPoints: ['d'], deadDrop: 'while you were away' });
    await a.close(1000);
    await until('the connection is gone', async () => !(await relays(b)).has(a.code));
    assert.deepEqual((await meet(b, { dailyPoints: ['d'] })).deadDrops, [{ peerId: a.code, deadDrop: 'while you were away' }]);
    const again = await join(service, path, { peerId: a.code });
    assert.deepEqual((await meet(again, { dailyPoints: ['d'], deadDrop: 'back' })).deadDrops, []);
    assert.deepEqual((await meet(b, { dailyPoints: ['d'] })).deadDrops, [{ peerId: a.code, deadDrop: 'back' }]);
  });
  test('two with one token are told of each other, once a message', async () => {
    const path = newName();
    const [a, b, c] = [await join(service, path), await join(service, path), await join(service, path)];
    assert.deepEqual((await meet(a, { hourlyTokens: ['h1', 'h2'], relayId: 'relay-a' })).liveMatches, []);
    assert.deepEqual((await meet(b, { hourlyTokens: ['h2', 'h1', 'h3'] })).liveMatches, [{ peerId: a.code, relayId: 'relay-a' }]);
    assert.deepEqual((await a.frame()).value, { type: 'rendezvous_match', match: { peerId: b.code } });
    assert.deepEqual((await meet(c, { hourlyTokens: ['h3'], relayId: 'relay-c' })).liveMatches, [{ peerId: b.code }]);
    assert.deepEqual((await b.frame()).value, { type: 'rendezvous_match', match: { peerId: c.code, relayId: 'relay-c' } });
    // Asking again matches again: five seconds later a phone does.
    assert.deepEqual((await meet(a, { hourlyTokens: ['h1'], relayId: 'relay-a' })).liveMatches, [{ peerId: b.code }]);
    assert.deepEqual((await b.frame()).value, { type: 'rendezvous_match', match: { peerId: a.code, relayId: 'relay-a' } });
    await nobodyHeard(a, [b, c]);
  });
  test('nobody is matched with one who is gone', async () => {
    const path = newName();
    const [a, b] = [await join(service, path), await join(service, path)];
    await meet(a, { hourlyTokens: ['h'] });
    a.socket.terminate();
    await until('the peer is gone', async () => !(await relays(b)).has(a.code));
    assert.deepEqual((await meet(b, { hourlyTokens: ['h'] })).liveMatches, []);
    // He who comes back and asks again is matched again.
    const again = await join(service, path, { peerId: a.code });
    await again.silent();
    assert.deepEqual((await meet(again, { hourlyTokens: ['h'] })).liveMatches, [{ peerId: b.code }]);
    assert.equal((await b.next('rendezvous_match')).match.peerId, a.code);
  });
  test('names of both fashions, one drop and a map', async () => {
    const path = newName();
    const [a, b, c] = [await join(service, path), await join(service, path), await join(service, path)];
    await meet(a, { daily_points: ['d1', 'd2', 'd3'], hourly_tokens: ['h'], dead_drops: { d1: 'one', d2: 'two' } });
    const b1 = await meet(b, { dailyPoints: ['d1'], hourlyTokens: ['h'], deadDrops: { d1: 'uno' } });
    assert.deepEqual(b1.deadDrops, [{ peerId: a.code, deadDrop: 'one' }]);
    assert.deepEqual(b1.liveMatches, [{ peerId: a.code }]);
    assert.deepEqual((await a.frame()).value, { type: 'rendezvous_match', match: { peerId: b.code } });
    assert.deepEqual((await meet(b, { daily_points: ['d2'] })).deadDrops, [{ peerId: a.code, deadDrop: 'two' }]);
    assert.deepEqual((await meet(b, { dailyPoints: ['d3'] })).deadDrops, [], 'a point that the map does not name has no drop');
    assert.deepEqual((await meet(c, { daily_points: ['d1'], dead_drops: {} })).deadDrops.map((drop: any) => drop.deadDrop).sort(), ['one', 'uno']);
  });
  test('three hundred tokens and points in one message', async () => {
    const path = newName();
    const [a, b] = [await join(service, path), await join(service, path)];
    const tokens = Array.from({ length: 300 }, (_, n) => `hr_${n}_${randomBytes(16).toString('hex')}`);
    const points = Array.from({ length: 100 }, (_, n) => `day_${n}_${randomBytes(16).toString('hex')}`);
    await meet(a, { daily_points: points, hourly_tokens: tokens, dead_drops: Object.fromEntries(points.map((point) => [point, `drop at ${point}`])) });
    const last = await meet(b, { dailyPoints: [points[99]], hourlyTokens: [tokens[299]] });
    assert.deepEqual(last.deadDrops, [{ peerId: a.code, deadDrop: `drop at ${points[99]}` }]);
    assert.deepEqual(last.liveMatches, [{ peerId: a.code }]);
    assert.equal((await a.next('rendezvous_match')).match.peerId, b.code);
    const all = await meet(b, { dailyPoints: points, hourlyTokens: tokens });
    assert.deepEqual(all.deadDrops.map((drop: any) => drop.deadDrop), points.map((point) => `drop at ${point}`), 'in the order of the points');
    assert.deepEqual(all.liveMatches, [{ peerId: a.code }]);
    await a.next('rendezvous_match');
    await nobodyHeard(b, [a]);
  });
  test('lengths at the bound and one past', async () => {
    const path = newName();
    const [a, b] = [await join(service, path), await join(service, path)];
    const [point, drop, relayId] = ['p'.repeat(128), 'x'.repeat(4096), 'r'.repeat(128)];
    await meet(a, { dailyPoints: [point], deadDrop: drop, relayId, hourlyTokens: [point] });
    const result = await meet(b, { dailyPoints: [point], hourlyTokens: [point] });
    assert.deepEqual(result.deadDrops, [{ peerId: a.code, deadDrop: drop, relayId }]);
    assert.deepEqual(result.liveMatches, [{ peerId: a.code, relayId }]);
    await a.next('rendezvous_match');
    for (const more of [
      { dailyPoints: ['ok1', `${point}p`], deadDrop: 'x' },
      { dailyPoints: ['ok1'], hourlyTokens: [`${point}p`], deadDrop: 'x' },
      { dailyPoints: ['ok1'], deadDrop: `${drop}x` },
      { dailyPoints: ['ok1'], dead_drops: { ok1: `${drop}x` } },
      { dailyPoints: ['ok1'], deadDrop: 'x', relayId: `${relayId}r` },
      { dailyPoints: 'ok1', deadDrop: 'x' },
      { dailyPoints: ['ok1', 5], deadDrop: 'x' },
      { dailyPoints: ['ok1'], deadDrop: 5 },
      { dailyPoints: ['ok1'], deadDrop: 'x', relayId: 5 },
      { dailyPoints: ['ok1'], dead_drops: { ok1: 5 } },
    ]) {
      a.send({ type: 'register_rendezvous', peerId: a.code, ...more });
      await a.next('error');
    }
    assert.deepEqual((await meet(b, { dailyPoints: ['ok1'] })).deadDrops, [], 'a refused message leaves nothing');
  });
});

describe('chunks', () => {
  test('announced, asked for, pulled once, delivered to all, and then served from the cache', async () => {
    const path = newName();
    const source = await join(service, path);
    const requesters = await Promise.all(Array.from({ length: 5 }, () => join(service, path)));
    await announce(source, ['c1', 'c2']);
    await source.silent();
    for (const requester of requesters) {
      await request(requester, 'c1');
      await requester.silent();
    }
    assert.deepEqual((await source.frame()).value, { type: 'chunk_pull', chunkId: 'c1' });
    const data = { any: ['json', 1, null, { ü: '\u2028' }] };
    await push(source, 'c1', data);
    for (const requester of requesters) assert.deepEqual((await requester.frame()).value, fromRelay('c1', data));
    const late = await join(service, path);
    await late.expect({ type: 'chunk_request', peerId: late.code, chunkId: 'c1' }, fromCache('c1', data));
    await (requesters[0] as Client).expect({ type: 'chunk_request', peerId: requesters[0]?.code, chunkId: 'c1' }, fromCache('c1', data));
    await nobodyHeard(source, [...requesters, late]);
    // Cached chunks stay when their source goes.
    await source.close();
    await until('the source is gone', async () => !(await relays(late)).has(source.code));
    await late.expect({ type: 'chunk_request', peerId: late.code, chunkId: 'c1' }, fromCache('c1', data));
    await requestInVain(late, 'c2');
  });
  test('a request without a source waits, and is served when one comes', async () => {
    const path = newName();
    const [a, b, c] = [await join(service, path), await join(service, path), await join(service, path)];
    await requestInVain(a, 'later');
    await requestInVain(b, 'later');
    await announce(c, ['other', 'later']);
    assert.deepEqual((await c.frame()).value, { type: 'chunk_pull', chunkId: 'later' });
    await push(c, 'later', 'at last');
    for (const each of [a, b]) assert.deepEqual(await each.next('chunk_data'), fromRelay('later', 'at last'));
    // An unsolicited push serves as well.
    await requestInVain(a, 'unasked');
    await push(c, 'unasked', 'here');
    assert.deepEqual(await a.next('chunk_data'), fromRelay('unasked', 'here'));
    await nobodyHeard(c, [a, b]);
  });
  test('who left is not served, and his request pulls nothing', async () => {
    const path = newName();
    const [a, c] = [await join(service, path), await join(service, path)];
    await requestInVain(a, 'lost');
    a.socket.terminate();
    await until('the requester is gone', async () => !(await relays(c)).has(a.code));
    await announce(c, ['lost']);
    await c.silent();
  });
  test('many wait, two sources come, one is asked', async () => {
    const path = newName();
    const waiting = await Promise.all(Array.from({ length: 40 }, () => join(service, path)));
    for (const each of waiting) await requestInVain(each, 'c');
    const sources = [await join(service, path), await join(service, path)];
    await announce(sources[0] as Client, ['c']);
    await announce(sources[1] as Client, ['c']);
    const pulls = (await Promise.all(sources.map((each) => each.settle()))).flat().map((frame) => frame.value);
    assert.deepEqual(pulls, [{ type: 'chunk_pull', chunkId: 'c' }]);
    await push(sources[0] as Client, 'c', 'x');
    for (const each of waiting) assert.deepEqual((await each.frame()).value, fromRelay('c', 'x'));
    await nobodyHeard(sources[0] as Client, [...waiting, sources[1] as Client]);
  });
  test('items without both names are skipped', async () => {
    const a = await join(service, newName());
    await a.expect(
      { type: 'chunk_announce', peerId: a.code, chunks: [{ chunkId: 'c', routingHash: 'r' }, { routingHash: 'r' }, {}, { chunkId: 'e', routingHash: 'r' }] },
      { type: 'chunk_announce_ack', registered: 2 },
    );
  });
  test('a silent source is given up after two seconds, and the second is asked', async () => {
    const path = newName();
    const [a, b, requester] = [await join(service, path), await join(service, path), await join(service, path)];
    await announce(a, ['c']);
    await announce(b, ['c']);
    await request(requester, 'c');
    const started = Date.now();
    const winner = await until('the first pull', () => [a, b].find((each) => each.inbox.length > 0), 1500, 5);
    const other = winner === a ? b : a;
    await winner.next('chunk_pull');
    await other.silent();
    assert.deepEqual((await other.frame('the second pull', 4000)).value, { type: 'chunk_pull', chunkId: 'c' });
    const waited = Date.now() - started;
    assert.ok(waited >= 1900 && waited < 3500, `asked after ${waited} ms`);
    await push(other, 'c', 'from the second');
    assert.deepEqual(await requester.next('chunk_data'), fromRelay('c', 'from the second'));
    await nobodyHeard(winner, [requester]);
  });
  test('a source that leaves is followed at once by the second, and without a second the requester is told', async () => {
    const path = newName();
    const [a, b, requester] = [await join(service, path), await join(service, path), await join(service, path)];
    await announce(a, ['c']);
    await announce(b, ['c']);
    await request(requester, 'c');
    const winner = await until('the first pull', () => [a, b].find((each) => each.inbox.length > 0), 1500, 5);
    const other = winner === a ? b : a;
    const started = Date.now();
    winner.socket.terminate();
    await other.next('chunk_pull');
    assert.ok(Date.now() - started < 1500, `asked after ${Date.now() - started} ms`);
    other.socket.terminate();
    assert.deepEqual((await requester.frame()).value, { type: 'chunk_not_found', chunkId: 'c', message: NO_SOURCE });
    const third = await join(service, path);
    await announce(third, ['c']);
    await third.next('chunk_pull');
    await push(third, 'c', 'late');
    assert.deepEqual(await requester.next('chunk_data'), fromRelay('c', 'late'));
  });
  test('when the only source is silent the requester is told, and served by a later push', async () => {
    const path = newName();
    const [a, requester] = [await join(service, path), await join(service, path)];
    await announce(a, ['c']);
    const started = Date.now();
    await request(requester, 'c');
    await a.next('chunk_pull');
    assert.equal((await requester.next('chunk_not_found', 5000)).chunkId, 'c');
    assert.ok(Date.now() - started >= 1900 && Date.now() - started < 4000, `told after ${Date.now() - started} ms`);
    await push(a, 'c', 'slow but here');
    assert.deepEqual(await requester.next('chunk_data'), fromRelay('c', 'slow but here'));
  });
  test('64 KiB pass, one more does not', async () => {
    const path = newName();
    const [a, b] = [await join(service, path), await join(service, path)];
    await requestInVain(b, 'big');
    const body = sized(65_536);
    for (const data of [sized(65_537), sized(100_000), [sized(65_535)]]) {
      const length = JSON.stringify(data).length;
      await a.expect({ type: 'chunk_push', peerId: a.code, chunkId: 'big', data }, refused(`Chunk payload too large: ${length} bytes exceeds 65536 byte limit`));
    }
    await b.silent();
    await push(a, 'big', body);
    assert.deepEqual(await b.next('chunk_data'), fromRelay('big', body));
    await b.expect({ type: 'chunk_request', peerId: b.code, chunkId: 'big' }, fromCache('big', body));
  });
  test('the size is that of the JSON text in UTF-16 units', async () => {
    const a = await join(service, newName());
    const fits = ['é'.repeat(65_534), '\n'.repeat(32_767), '😀'.repeat(32_767), { d: sized(65_530) }];
    for (const data of fits) {
      assert.equal(JSON.stringify(data).length, 65_536);
      await push(a, 'c', data);
      await a.expect({ type: 'chunk_request', peerId: a.code, chunkId: 'c' }, fromCache('c', data));
    }
    for (const data of ['é'.repeat(65_535), '\n'.repeat(32_768), '😀'.repeat(32_768), { d: sized(65_531) }]) {
      a.send({ type: 'chunk_push', peerId: a.code, chunkId: 'd', data });
      assert.match((await a.next('error')).message, /^Chunk payload too large: \d+ bytes exceeds 65536 byte limit$/);
    }
  });
  test('two hundred chunks of 64 KiB come back as they went in', async () => {
    const path = newName();
    const [a, b] = [await join(service, path), await join(service, path)];
    const body = (n: number): string => `${n}.`.padEnd(65_534, String.fromCharCode(97 + (n % 26)));
    for (let n = 0; n < 200; n += 1) await push(a, `c${n}`, body(n));
    for (const n of [...Array(200).keys()].reverse()) {
      b.send({ type: 'chunk_request', peerId: b.code, chunkId: `c${n}` });
      const got = await b.next('chunk_data');
      assert.ok(got.chunkId === `c${n}` && got.data === body(n) && got.source === 'cache', `chunk ${n}`);
    }
  });
  for (const encoding of ['hex', 'base64url'] as const) {
    test(`an id that is a hash (${encoding}) admits that data alone, and a liar is asked no more`, async () => {
      const path = newName();
      const [liar, honest, requester] = [await join(service, path), await join(service, path), await join(service, path)];
      const data = `content ${randomBytes(8).toString('hex')}`;
      const chunkId = createHash('sha256').update(data).digest(encoding);
      await announce(liar, [chunkId]);
      await request(requester, chunkId);
      assert.deepEqual((await liar.frame()).value, { type: 'chunk_pull', chunkId });
      await announce(honest, [chunkId]);
      liar.send({ type: 'chunk_push', peerId: liar.code, chunkId, data: `${data}!` });
      await liar.next('error');
      assert.deepEqual((await honest.frame('the pull of the next source')).value, { type: 'chunk_pull', chunkId });
      await requester.silent();
      await push(honest, chunkId, data);
      assert.deepEqual(await requester.next('chunk_data'), fromRelay(chunkId, data));
      await requester.expect({ type: 'chunk_request', peerId: requester.code, chunkId }, fromCache(chunkId, data));
      await nobodyHeard(liar, [honest, requester]);
      // Unasked lies are not kept either, and leave what is cached alone.
      honest.send({ type: 'chunk_push', peerId: honest.code, chunkId, data: 'rubbish' });
      await honest.next('error');
      await requester.expect({ type: 'chunk_request', peerId: requester.code, chunkId }, fromCache(chunkId, data));
    });
  }
  test('errors of the original', async () => {
    const a = await join(service, newName());
    const peerId = a.code;
    for (const [message, sentence] of [
      [{ type: 'chunk_announce', peerId }, 'Missing or empty chunks array'],
      [{ type: 'chunk_announce', peerId, chunks: [] }, 'Missing or empty chunks array'],
      [{ type: 'chunk_announce', peerId, chunks: 'c' }, 'Missing or empty chunks array'],
      [{ type: 'chunk_request', peerId }, 'Missing required fields: peerId, chunkId'],
      [{ type: 'chunk_push', peerId, chunkId: 'c' }, 'Missing required fields: chunkId, data'],
      [{ type: 'chunk_push', peerId, data: 'x' }, 'Missing required fields: chunkId, data'],
      ...['', null, 0, false].map((data) => [{ type: 'chunk_push', peerId, chunkId: 'c', data }, 'Missing required fields: chunkId, data']),
    ] as [object, string][]) await a.expect(message, refused(sentence));
    const bare = await Client.open(service, newName());
    await bare.expect({ type: 'chunk_request', chunkId: 'c' }, refused('Missing required fields: peerId, chunkId'));
  });
  test('bounds of an announcement', async () => {
    const path = newName();
    const [a, b] = [await join(service, path), await join(service, path)];
    const items = (count: number): object[] => Array.from({ length: count }, (_, n) => ({ chunkId: `n${n}`, routingHash: 'r' }));
    await a.expect({ type: 'chunk_announce', peerId: a.code, chunks: items(100) }, { type: 'chunk_announce_ack', registered: 100 });
    b.send({ type: 'chunk_announce', peerId: b.code, chunks: items(101) });
    await b.next('error');
    await b.expect({ type: 'chunk_announce', peerId: b.code, chunks: [{ chunkId: 'i'.repeat(256), routingHash: 'r' }] }, { type: 'chunk_announce_ack', registered: 1 });
    b.send({ type: 'chunk_announce', peerId: b.code, chunks: [{ chunkId: 'i'.repeat(257), routingHash: 'r' }] });
    const answer = (await b.frame()).value;
    assert.ok(answer.type === 'error' || answer.registered === 0, JSON.stringify(answer));
  });
  test('a request by its place is answered with an ordinary chunk', async () => {
    const path = newName();
    const [a, b] = [await join(service, path), await join(service, path)];
    a.send({ type: 'chunk_announce', peerId: a.code, chunks: [{ chunkId: 'ch_1', routingHash: 'route-1' }, { chunkId: 'ch_2', routingHash: 'route-2' }] });
    await a.next('chunk_announce_ack');
    b.send({ type: 'chunk_request_meta', peerId: b.code, routingHash: 'route-2', sequence: 1, chunkIndex: 0 });
    assert.deepEqual((await a.frame('a pull')).value, { type: 'chunk_pull', chunkId: 'ch_2' });
    await push(a, 'ch_2', { sequence: 1 });
    assert.deepEqual((await b.frame()).value, fromRelay('ch_2', { sequence: 1 }));
    b.send({ type: 'chunk_request_meta', peerId: b.code, routingHash: 'route-2', sequence: 1, chunkIndex: 0 });
    assert.deepEqual((await b.frame()).value, fromCache('ch_2', { sequence: 1 }));
    // Nobody has it: an answer all the same, and none that calls the message unknown.
    b.send({ type: 'chunk_request_meta', peerId: b.code, routingHash: 'route-9', sequence: 1, chunkIndex: 0 });
    const missing = (await b.frame('an answer')).value;
    assert.ok(['chunk_not_found', 'chunk_error'].includes(missing.type) || (missing.type === 'error' && !/Unknown message/.test(missing.message)), JSON.stringify(missing));
  });
  test('a thousand requesters of one cold chunk cause one pull, and all are served', async () => {
    const path = newName();
    const source = await join(service, path);
    const crowd: Client[] = [];
    while (crowd.length < 1000) crowd.push(...(await Promise.all(Array.from({ length: 50 }, () => Client.open(service, path)))));
    await announce(source, ['cold']);
    crowd.forEach((each, n) => {
      each.code = `crowd-${n}`;
      each.send({ type: 'chunk_request', peerId: each.code, chunkId: 'cold' });
    });
    assert.deepEqual((await source.frame()).value, { type: 'chunk_pull', chunkId: 'cold' });
    for (const each of crowd) each.send({ type: 'ping', settle: true });
    // All requests are in before the source answers.
    for (const each of crowd) await each.next('pong', 20_000);
    await source.silent();
    const body = sized(65_536);
    await push(source, 'cold', body);
    for (const each of crowd) {
      const got = await each.next('chunk_data', 20_000);
      assert.ok(got.data === body && got.source === 'relay' && got.chunkId === 'cold');
    }
    await source.silent();
    for (const each of crowd) {
      assert.equal(each.inbox.length, 0);
      assert.equal(each.closure, undefined);
    }
    for (const each of crowd) each.socket.terminate();
  });
});

describe('channels', () => {
  const own = async (owner: Client, channelId: string): Promise<void> => {
    owner.send({ type: 'channel-owner-register', channelId });
    assert.deepEqual((await owner.frame()).value, { type: 'channel-owner-registered', channelId });
  };
  const subscribe = (subscriber: Client, channelId: string): Promise<void> =>
    subscriber.expect({ type: 'channel-subscribe', channelId }, { type: 'channel-subscribed', channelId });
  const upstream = (channelId: string, id: unknown): any => ({ type: 'upstream-message', channelId, message: { id, body: { deep: [1] } }, ephemeralPublicKey: 'ZXBo' });

  test('have one owner at a time', async () => {
    const path = newName();
    const [a, b] = [await join(service, path), await join(service, path)];
    const channelId = fresh('channel');
    await own(a, channelId);
    await own(a, channelId);
    await b.expect({ type: 'channel-owner-register', channelId }, refused('Channel already has an active owner'));
    await own(b, fresh('channel'));
    a.socket.terminate();
    await until('the owner is gone', async () => !(await relays(b)).has(a.code));
    await own(b, channelId);
  });
  for (const channelId of ['', 'c'.repeat(257), 5, null, {}, undefined]) {
    test(`the channel ${JSON.stringify(channelId)?.slice(0, 20)} is refused`, async () => {
      const a = await join(service, newName());
      for (const type of ['channel-owner-register', 'channel-subscribe']) {
        a.send({ type, channelId });
        const { message } = await a.next('error');
        assert.ok(message === 'Invalid channel ID' || /channelId/.test(message), message);
      }
    });
  }
  test('the longest channel id', async () => {
    const a = await join(service, newName());
    await own(a, 'c'.repeat(256));
    await subscribe(a, 'c'.repeat(256));
  });
  test('what a subscriber sends goes to the owner as it is, and is acknowledged', async () => {
    const path = newName();
    const [owner, a, b, c] = [await join(service, path), await join(service, path), await join(service, path), await join(service, path)];
    const channelId = fresh('channel');
    await own(owner, channelId);
    await subscribe(a, channelId);
    await subscribe(b, channelId);
    await c.expect(upstream(channelId, 'm0'), refused('Not subscribed to this channel'));
    const message = upstream(channelId, 'm1');
    await a.expect(message, { type: 'upstream-ack', channelId, messageId: 'm1' });
    assert.deepEqual((await owner.frame()).value, message);
    const bare = { ...message, message: { text: 'no id' } };
    await b.expect(bare, { type: 'upstream-ack', channelId, messageId: null });
    assert.deepEqual((await owner.frame()).value, bare);
    await nobodyHeard(owner, [a, b, c]);
  });
  test('what is sent while the owner is away waits for him, in order and once', async () => {
    const path = newName();
    const [owner, a] = [await join(service, path), await join(service, path)];
    const channelId = fresh('channel');
    await own(owner, channelId);
    await subscribe(a, channelId);
    owner.socket.terminate();
    await until('the owner is gone', async () => !(await relays(a)).has(owner.code));
    for (let n = 0; n < 10; n += 1) await a.expect(upstream(channelId, n), { type: 'upstream-ack', channelId, messageId: n });
    const again = await join(service, path);
    await own(again, channelId);
    for (let n = 0; n < 10; n += 1) assert.deepEqual((await again.frame()).value, upstream(channelId, n));
    await own(again, channelId);
    await nobodyHeard(again, [a]);
  });
  test('a hundred wait at most', async () => {
    const path = newName();
    const channelId = fresh('channel');
    for (let s = 0; s < 4; s += 1) {
      const each = await join(service, path);
      await subscribe(each, channelId);
      for (let n = 0; n < 30; n += 1) each.send(upstream(channelId, `${s}-${n}`));
      await each.settle();
    }
    const owner = await join(service, path);
    await own(owner, channelId);
    const flushed = (await owner.settle()).map((frame) => frame.value.message.id);
    assert.equal(flushed.length, 100);
    assert.equal(new Set(flushed).size, 100);
  });
  test('thirty a minute', async () => {
    const path = newName();
    const [owner, a] = [await join(service, path), await join(service, path)];
    const channelId = fresh('channel');
    await own(owner, channelId);
    await subscribe(a, channelId);
    for (let n = 0; n < 30; n += 1) await a.expect(upstream(channelId, `m${n}`), { type: 'upstream-ack', channelId, messageId: `m${n}` });
    await a.expect(upstream(channelId, 'm30'), refused('Upstream rate limit exceeded. Please slow down.'));
    for (let n = 0; n < 30; n += 1) assert.equal((await owner.next('upstream-message')).message.id, `m${n}`);
    await nobodyHeard(a, [owner]);
  });
  test('streams go from the owner to all subscribers, also late ones, and end', async () => {
    const path = newName();
    const [owner, a, b, late] = [await join(service, path), await join(service, path), await join(service, path), await join(service, path)];
    const channelId = fresh('channel');
    await own(owner, channelId);
    await subscribe(a, channelId);
    await subscribe(b, channelId);
    const start = { type: 'stream-start', streamId: 's1', channelId, title: 'Live' };
    await a.expect({ ...start, streamId: 'forged' }, refused('Only the channel owner can start a stream'));
    owner.send(start);
    // The table leaves open which of the start's members come back beside the count.
    const started = await owner.next('stream-started');
    assert.deepEqual([started.streamId, started.channelId, started.subscriberCount], ['s1', channelId, 2]);
    for (const each of [a, b]) assert.deepEqual((await each.frame()).value, start);
    late.send({ type: 'channel-subscribe', channelId });
    assert.deepEqual((await late.frame()).value, { type: 'channel-subscribed', channelId });
    assert.deepEqual((await late.frame()).value, start, 'who comes later is told that a stream runs');
    for (let n = 0; n < 5; n += 1) owner.send({ type: 'stream-frame', streamId: 's1', channelId, frame: `frame ${n}` });
    for (const each of [a, b, late]) {
      for (let n = 0; n < 5; n += 1) {
        const got = await each.next('stream-frame');
        assert.deepEqual([got.streamId, got.channelId, got.frame], ['s1', channelId, `frame ${n}`]);
      }
    }
    // Frames and ends of others are dropped without a word.
    a.send({ type: 'stream-frame', streamId: 's1', channelId, frame: 'forged' });
    await nobodyHeard(a, [b, late, owner]);
    a.send({ type: 'stream-end', streamId: 's1', channelId });
    await a.settle();
    for (const each of [b, late, owner]) await each.silent();
    owner.send({ type: 'stream-end', streamId: 's1', channelId });
    const ended = await owner.next('stream-ended');
    assert.deepEqual([ended.streamId, ended.channelId], ['s1', channelId]);
    for (const each of [a, b, late]) {
      const end = await each.next('stream-end');
      assert.deepEqual([end.streamId, end.channelId], ['s1', channelId]);
    }
    const after = await join(service, path);
    await subscribe(after, channelId);
    await after.silent();
  });
  test('a stream ends with its owner', async () => {
    const path = newName();
    const [owner, a, b] = [await join(service, path), await join(service, path), await join(service, path)];
    const channelId = fresh('channel');
    await own(owner, channelId);
    owner.send({ type: 'stream-start', streamId: 's', channelId, title: 't' });
    assert.equal((await owner.next('stream-started')).subscriberCount, 0);
    a.send({ type: 'channel-subscribe', channelId });
    await a.next('channel-subscribed');
    await a.next('stream-start');
    owner.socket.terminate();
    await until('the owner is gone', async () => !(await relays(b)).has(owner.code));
    await subscribe(b, channelId);
    await b.silent();
  });
  test('news of chunks reach the other subscribers, and late ones learn what is cached', async () => {
    const path = newName();
    const [owner, a, b, other] = [await join(service, path), await join(service, path), await join(service, path), await join(service, path)];
    const [channelId, elsewhere] = [fresh('channel'), fresh('channel')];
    await own(owner, channelId);
    await subscribe(owner, channelId);
    await subscribe(a, channelId);
    await subscribe(other, elsewhere);
    await announce(owner, ['n1', 'n2'], { channelId });
    assert.deepEqual((await a.frame()).value, { type: 'chunk_available', channelId, chunkIds: ['n1', 'n2'] });
    owner.send({ type: 'chunk_push', peerId: owner.code, channelId, chunkId: 'n1', data: 'body' });
    await owner.next('chunk_push_ack');
    b.send({ type: 'channel-subscribe', channelId });
    assert.deepEqual((await b.frame()).value, { type: 'channel-subscribed', channelId });
    assert.deepEqual((await b.frame()).value, { type: 'chunk_available', channelId, chunkIds: ['n1'] });
    await nobodyHeard(owner, [a, b, other]);
  });
});

describe('times', { concurrency: true }, () => {
  const PAST_MS = TTL_MS + 500;
  test('a silent peer is no longer listed, and a heartbeat or a load keeps one', async () => {
    const path = newName();
    const [a, b, c, d] = [await join(impatient, path), await join(impatient, path), await join(impatient, path), await join(impatient, path)];
    const asker = await Client.open(impatient, path);
    assert.equal((await relays(asker)).size, 4);
    for (let waited = 0; waited < PAST_MS + 1000; waited += 500) {
      await pause(500);
      a.send({ type: 'heartbeat', peerId: a.code });
      await a.next('heartbeat_ack');
      c.send({ type: 'update_load', peerId: c.code, connectedCount: 1 });
      await c.next('load_updated');
      if (d.closure === undefined) d.sendRaw('{"type":"ping"}');
    }
    assert.deepEqual([...(await relays(asker)).keys()].sort(), [a.code, c.code].sort());
    assert.ok(b.closure === undefined || b.closure.code === 1000);
    const stats = await until('the counts', async () => {
      const { relays } = (await impatient.get(`${path}/stats`)).json;
      return relays.totalPeers === 2 ? relays : undefined;
    }, 8000, 200);
    assert.equal(stats.totalCapacity, 40);
    const back = await join(impatient, path, { peerId: fresh('back') });
    assert.ok((await relays(asker)).has(back.code));
  });
  test('points and tokens end', async () => {
    const path = newName();
    const [a, b] = [await join(short, path), await join(short, path)];
    const entry = { dailyPoints: ['d'], hourlyTokens: ['h'], deadDrop: 'short' };
    const [before, began] = [await meet(a, entry), Date.now()];
    assert.deepEqual(before.deadDrops, []);
    const during = await meet(b, { dailyPoints: ['d'], hourlyTokens: ['h'] });
    assert.ok(Date.now() - began < TTL_MS, 'the machine is too slow for this test');
    assert.deepEqual([during.deadDrops, during.liveMatches], [[{ peerId: a.code, deadDrop: 'short' }], [{ peerId: a.code }]]);
    await a.next('rendezvous_match');
    await pause(PAST_MS);
    const later = await join(short, path);
    const after = await meet(later, { dailyPoints: ['d'], hourlyTokens: ['h'] });
    assert.deepEqual([after.deadDrops, after.liveMatches], [[], []]);
    await later.silent();
  });
  test('what ended is swept away', async () => {
    const path = newName();
    const a = await join(short, path);
    await meet(a, { dailyPoints: ['d1', 'd2'], hourlyTokens: ['h'], deadDrop: 'x' });
    await announce(a, ['c1', 'c2']);
    await push(a, 'c3', 'x');
    await requestInVain(a, 'c4');
    await pause(TTL_MS);
    await until('nothing is left', async () => {
      const { rendezvous, chunks } = (await short.get(`${path}/stats`)).json;
      return rendezvous.totalEntries + chunks.trackedChunks + chunks.totalSources + chunks.cachedChunks + chunks.pendingRequests === 0;
    }, 8000, 200);
    assert.equal(a.closure, undefined);
  });
  test('with the seed\'s rule, drops go with their connection', async () => {
    const path = newName();
    const [a, b, stays] = [await join(short, path), await join(short, path), await join(short, path)];
    await meet(a, { dailyPoints: ['d'], deadDrop: 'from a' });
    await meet(stays, { dailyPoints: ['d'], deadDrop: 'from one who stays' });
    assert.equal((await meet(b, { dailyPoints: ['d'] })).deadDrops.length, 2);
    a.socket.terminate();
    await until('the drop is gone', async () => {
      const left = (await meet(b, { dailyPoints: ['d'] })).deadDrops;
      assert.ok(left.some((drop: any) => drop.peerId === stays.code), 'the other drop stays');
      return left.length === 1;
    }, 1200);
  });
  test('a source ends', async () => {
    const path = newName();
    const [a, b] = [await join(short, path), await join(short, path)];
    await announce(a, ['c', 'd']);
    await request(b, 'c');
    await a.next('chunk_pull');
    await push(a, 'c', 'body');
    await b.next('chunk_data');
    await pause(PAST_MS);
    await requestInVain(b, 'd');
    await a.silent();
    await announce(a, ['d']);
    assert.deepEqual((await a.frame()).value, { type: 'chunk_pull', chunkId: 'd' });
  });
  test('a cached chunk ends', async () => {
    const path = newName();
    const [a, b] = [await join(short, path), await join(short, path)];
    await push(a, 'c', 'body');
    await b.expect({ type: 'chunk_request', peerId: b.code, chunkId: 'c' }, fromCache('c', 'body'));
    await pause(PAST_MS);
    await request(b, 'c');
    const answers = await b.settle();
    assert.ok(answers.every((frame) => frame.value.type !== 'chunk_data'), JSON.stringify(answers));
  });
  test('a waiting request ends', async () => {
    const path = newName();
    const [a, patient, c] = [await join(short, path), await join(short, path), await join(short, path)];
    await requestInVain(a, 'c');
    await pause(PAST_MS);
    await requestInVain(patient, 'c');
    await push(c, 'c', 'body');
    assert.deepEqual(await patient.next('chunk_data'), fromRelay('c', 'body'));
    assert.ok((await a.settle()).every((frame) => frame.value.type !== 'chunk_data'), 'who waited too long is not served');
  });
  test('of four chunks in a cache of three, the one longest not asked for goes', async () => {
    const path = newName();
    const [a, b] = [await join(short, path), await join(short, path)];
    for (const id of ['c1', 'c2', 'c3']) await push(a, id, `body ${id}`);
    await b.expect({ type: 'chunk_request', peerId: b.code, chunkId: 'c1' }, fromCache('c1', 'body c1'));
    await push(a, 'c4', 'body c4');
    for (const id of ['c1', 'c3', 'c4']) await b.expect({ type: 'chunk_request', peerId: b.code, chunkId: id }, fromCache(id, `body ${id}`));
    await request(b, 'c2');
    assert.ok((await b.settle()).every((frame) => frame.value.type !== 'chunk_data'));
  });
});

describe('limits', () => {
  test('256 KiB pass, one byte more closes 1009', async () => {
    const path = newName();
    const [a, b] = [await join(service, path), await join(service, path)];
    const frame = (size: number): string => {
      const start = `{"type":"heartbeat","peerId":"${a.code}","x":"`;
      return `${start}${'p'.repeat(size - start.length - 2)}"}`;
    };
    a.sendRaw(frame(262_144));
    await a.next('heartbeat_ack');
    a.sendRaw(frame(262_145));
    assert.equal((await a.cut()).code, 1009);
    await until('the peer is gone', async () => !(await relays(b)).has(a.code));
  });
  test('messages a minute', () => withService({ SIGNAL_MESSAGES_PER_MINUTE: '20' }, async (own) => {
    const path = newName();
    const a = await join(own, path);
    const b = await join(own, path);
    for (let n = 1; n <= 25; n += 1) a.send({ type: 'update_load', peerId: a.code, connectedCount: n });
    for (let n = 1; n <= 19; n += 1) assert.equal((await a.next('load_updated')).connectedCount, n);
    for (let n = 20; n <= 25; n += 1) assert.deepEqual((await a.frame()).value, refused('Rate limit exceeded. Please slow down.'));
    b.send({ type: 'heartbeat', peerId: b.code });
    await b.next('heartbeat_ack');
    a.sendRaw('{"type":"ping"}');
    await a.next('pong');
  }));
  test('tokens of a network, with room for hundreds of friends', () => withService({ SIGNAL_MESSAGES_PER_MINUTE: '100' }, async (own) => {
    const path = newName();
    const address = newAddress();
    const tokens = (): string[] => Array.from({ length: 2000 }, () => randomBytes(8).toString('hex'));
    let taken = 0;
    let refusals = 0;
    for (let peer = 0; peer < 3; peer += 1) {
      // Another id and another socket do not help.
      const client = await join(own, path, {}, { address });
      for (let n = 0; n < 40; n += 1) {
        client.send({ type: 'register_rendezvous', peerId: client.code, hourlyTokens: tokens() });
        const answer = (await client.frame()).value;
        if (answer.type === 'rendezvous_result') taken += 2000;
        else {
          assert.equal(answer.type, 'error');
          refusals += 1;
          break;
        }
      }
    }
    assert.ok(taken >= 4000 && taken <= 100_000, `${taken} tokens of one network were taken`);
    assert.ok(refusals >= 2, 'a network has a bound');
    const stranger = await join(own, path);
    await meet(stranger, { hourlyTokens: ['h'], dailyPoints: ['d'] });
  }));
  test('sockets of an address, of a registry', () => withService({ SIGNAL_SOCKETS_PER_ADDRESS: '2', SIGNAL_SOCKETS_MAX: '3' }, async (own) => {
    const path = newName();
    const address = newAddress();
    const first = await join(own, path, {}, { address });
    await join(own, path, {}, { address });
    assert.deepEqual(await (await Client.open(own, path, { address })).cut(), { code: 1013, reason: 'Too many connections from this IP' });
    const third = await join(own, path);
    assert.deepEqual(await (await Client.open(own, path)).cut(), { code: 1013, reason: 'Server at capacity' });
    assert.equal((await relays(third)).size, 2, 'the others are not disturbed');
    await join(own, newName());
    await first.close(1000);
    await until('a free place', async () => {
      const candidate = await Client.open(own, path);
      return Promise.race([candidate.closed.then(() => false), candidate.settle().then(() => true, () => false)]);
    });
  }));
});

describe('damage', () => {
  const types = [
    'register', 'update_load', 'get_relays', 'heartbeat', 'register_rendezvous', 'chunk_announce', 'chunk_request', 'chunk_request_meta', 'chunk_push',
    'channel-owner-register', 'channel-subscribe', 'upstream-message', 'stream-start', 'stream-frame', 'stream-end',
  ];
  const members = [
    'peerId', 'maxConnections', 'connectedCount', 'count', 'prefer', 'publicKey', 'dailyPoints', 'hourlyTokens', 'daily_points', 'hourly_tokens', 'deadDrop', 'dead_drops',
    'relayId', 'chunks', 'chunkId', 'channelId', 'data', 'routingHash', 'sequence', 'chunkIndex', 'message', 'ephemeralPublicKey', 'streamId', 'title', 'frame',
  ];
  const junk = ['null', 'true', '-1', '1e999', '1e-400', '0.5', '99999999999999999999', '""', '"\\u0000"', '"\\ud800"', '"é😀"', `"${'y'.repeat(5000)}"`, '[]', '{}', '[[]]', '[null]', '[{"chunkId":{},"routingHash":[]}]', '{"a":{"b":null}}', `${'['.repeat(200)}${']'.repeat(200)}`];
  test('no frame ends the service or disturbs others', async () => {
    const path = newName();
    const [a, b] = [await join(service, path), await join(service, path)];
    const bad = await Client.open(service, path);
    let sent = 0;
    for (const type of types) {
      bad.sendRaw(`{"type":"${type}"}`);
      for (const member of members) {
        bad.sendRaw(`{"type":"${type}","${member}":${junk[sent % junk.length]}}`);
        sent += 1;
      }
      for (let round = 0; round < 10; round += 1) {
        const all = members.map((member, n) => `"${member}":${member === 'peerId' && round % 2 === 0 ? '"bad"' : junk[(n * 7 + round * 5 + sent) % junk.length]}`);
        bad.sendRaw(`{"type":"${type}",${all.join()}}`);
      }
    }
    for (const text of [
      '', ' ', '{', '}', '"', 'null', 'true', '5', '[]', '[{"type":"heartbeat"}]', '{}', '{"type":null}', '{"type":{}}', '{"type":""}', '{"type":"__proto__"}',
      `{"type":"heartbeat","peerId":"a"`, '{"type":"heartbeat","type":"register","peerId":"a","peerId":"b"}', `{"type":"${'t'.repeat(10_000)}"}`,
      '['.repeat(50_000), `${'{"a":'.repeat(20_000)}1${'}'.repeat(20_000)}`, '{"type":"chunk_push","chunkId":"deep","data":' + '['.repeat(30_000) + ']'.repeat(30_000) + '}', '\ufeff{"type":"heartbeat"}',
    ]) bad.sendRaw(text);
    bad.sendRaw(randomBytes(300));
    bad.sendRaw(Buffer.alloc(0));
    bad.sendRaw(Buffer.from([0xff, 0xfe, 0xfd]));
    const answers = await bad.settle();
    assert.equal(bad.closure, undefined, 'the socket lives');
    for (const { value } of answers) assert.ok(typeof value?.type === 'string', 'every answer is an object with a type');
    assert.ok(!answers.some(({ value }) => value.type === 'error' && /panic|wasm|rust|unwrap|serde/i.test(value.message)));
    assert.ok(answers.filter(({ value }) => value.type === 'error').length > 300, 'most of it is refused');
    // Text that is not UTF-8 is a protocol error, of that socket alone.
    const broken = await Client.open(service, path);
    (broken.socket as any)._sender.sendFrame([Buffer.from([0x81, 0x83, 1, 2, 3, 4, 0xff ^ 1, 0xfe ^ 2, 0xfd ^ 3])]);
    await until('an answer or the end', () => broken.inbox.length > 0 || broken.closure !== undefined);
    // And then a normal exchange.
    await nobodyHeard(a, [b]);
    await announce(a, ['whole']);
    await request(b, 'whole');
    assert.deepEqual((await a.frame()).value, { type: 'chunk_pull', chunkId: 'whole' });
    await push(a, 'whole', 'ok');
    assert.deepEqual(await b.next('chunk_data'), fromRelay('whole', 'ok'));
    assert.equal((await service.get(`${path}/stats`)).status, 200);
  });
});

describe('kill -9', () => {
  test('keeps dead drops and cached chunks, and nothing of the sockets', () => withService({}, async (own) => {
    const path = newName();
    const [a, b] = [await join(own, path), await join(own, path)];
    await meet(a, { dailyPoints: ['d1', 'd2'], hourlyTokens: ['h'], dead_drops: { d1: 'one', d2: 'two' }, relayId: 'r' });
    const body = sized(65_536);
    await push(a, 'big', body);
    for (let n = 0; n < 20; n += 1) await push(a, `c${n}`, { n });
    a.send({ type: 'channel-owner-register', channelId: 'ch' });
    await a.next('channel-owner-registered');
    await announce(a, ['only-announced']);
    await requestInVain(b, 'wanted');
    await own.crashAndRestart();
    const c = await join(own, path);
    assert.equal((await relays(c)).size, 0);
    const result = await meet(c, { dailyPoints: ['d1', 'd2'], hourlyTokens: ['h'] });
    assert.deepEqual(result.deadDrops, [{ peerId: a.code, deadDrop: 'one', relayId: 'r' }, { peerId: a.code, deadDrop: 'two', relayId: 'r' }]);
    assert.deepEqual(result.liveMatches, [], 'nobody is connected');
    await c.expect({ type: 'chunk_request', peerId: c.code, chunkId: 'big' }, fromCache('big', body));
    for (let n = 0; n < 20; n += 1) await c.expect({ type: 'chunk_request', peerId: c.code, chunkId: `c${n}` }, fromCache(`c${n}`, { n }));
    // Ids and channels of the dead are free, and their chunks have no source.
    const again = await join(own, path, { peerId: a.code });
    await again.expect({ type: 'channel-owner-register', channelId: 'ch' }, { type: 'channel-owner-registered', channelId: 'ch' });
    await requestInVain(c, 'only-announced');
    await push(again, 'wanted', 'x');
    await nobodyHeard(again, [c]);
    const { connections, relays: peers } = await until('the counts', async () => {
      const stats = (await own.get(`${path}/stats`)).json;
      return stats.connections === 2 ? stats : undefined;
    }, 8000, 200);
    assert.deepEqual([connections, peers.totalPeers], [2, 2]);
  }));
  test('loses nothing that was acknowledged, whenever it comes', () => withService({ CHUNK_CACHE_MAX: '10000' }, async (own) => {
    const path = newName();
    const drops = new Set<string>();
    const chunks = new Set<string>();
    for (let round = 0; round < 4; round += 1) {
      const peers = await Promise.all(Array.from({ length: 3 }, () => join(own, path)));
      const writers = peers.map(async (peer) => {
        for (let n = 0; ; n += 1) {
          await meet(peer, { dailyPoints: [`${peer.code}-${n}`], deadDrop: 'kept' });
          drops.add(`${peer.code}-${n}`);
          const chunkId = fresh('chunk');
          await push(peer, chunkId, chunkId);
          chunks.add(chunkId);
        }
      });
      const ended = Promise.allSettled(writers);
      await pause(120 + round * 7);
      await own.crash();
      for (const outcome of await ended) assert.match(String((outcome as PromiseRejectedResult).reason), /closed 1006/);
      await own.boot();
    }
    assert.ok(drops.size >= 20 && chunks.size >= 20, `there was something to lose: ${drops.size} and ${chunks.size}`);
    const reader = await join(own, path);
    const points = [...drops];
    for (let at = 0; at < points.length; at += 100) {
      const asked = points.slice(at, at + 100);
      const { deadDrops } = await meet(reader, { dailyPoints: asked });
      // In the order of the points, and each point has one.
      assert.deepEqual(deadDrops.map((drop: any) => drop.peerId), asked.map((point) => point.slice(0, point.lastIndexOf('-'))));
    }
    for (const chunkId of chunks) await reader.expect({ type: 'chunk_request', peerId: reader.code, chunkId }, fromCache(chunkId, chunkId));
  }));
  test('by the seed\'s rule it ends the connections, and with them their drops', () => withService({ RENDEZVOUS_KEEP_DEAD_DROPS: 'false' }, async (own) => {
    const path = newName();
    const a = await join(own, path);
    await meet(a, { dailyPoints: ['d'], deadDrop: 'from before' });
    await own.crashAndRestart();
    const b = await join(own, path);
    await until('the drop is gone', async () => (await meet(b, { dailyPoints: ['d'] })).deadDrops.length === 0, 2000, 100);
  }));
});
