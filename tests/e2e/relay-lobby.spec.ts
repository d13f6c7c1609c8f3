// The relay families on the signaling paths, on one socket with pairing: edge-wire.md 2.3, 2.3.2, 2.4, 4, 6.3 to 6.8, 8.9, 8.11.

import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { announce, fresh, join, LIMITLESS, meet, refused, relays, sized } from './support/relay.ts';
import { assertCalm, assertNoLeak, pause, Service, until } from './support/service.ts';
import { Client, newAddress, newCode, newKey, nobodyHeard, pair, refusedUpgrade, secrets } from './support/socket.ts';

const PATH = '/signaling';
const MISMATCH = refused('peerId mismatch with registered identity');

let service: Service;
before(async () => {
  service = await Service.start({ ...LIMITLESS, ALLOWED_ORIGINS: 'https://app.example' });
});
after(async () => {
  assertCalm(service);
  assertNoLeak(service, secrets);
  await service.stop();
});

const enter = (path = PATH): Promise<Client> => Client.enter(service, path);
const askFor = (requester: Client, chunkId: string, channelId: string): void => requester.send({ type: 'chunk_request', chunkId, channelId });
async function push(source: Client, chunkId: string, channelId: string, data: unknown, servedCount: number): Promise<void> {
  await source.expect({ type: 'chunk_push', peerId: source.code, chunkId, channelId, data }, { type: 'chunk_push_ack', chunkId, cached: true, servedCount });
}

describe('relay peers', () => {
  test('one socket pairs and relays', async () => {
    const [a, b] = [await enter(), await enter('/ws')];
    const [idA, idB] = [fresh('peer'), fresh('peer')];
    a.send({ type: 'register', peerId: idA, maxConnections: 10, publicKey: 'key-a' });
    const registered = await a.next('registered');
    assert.equal(registered.peerId, idA);
    assert.equal(typeof registered.serverId, 'string');
    assert.ok(Array.isArray(registered.relays) && !registered.relays.some((relay: any) => relay.peerId === idA));
    b.send({ type: 'register', peerId: idB });
    assert.deepEqual((await b.next('registered')).relays.find((relay: any) => relay.peerId === idA), { peerId: idA, publicKey: 'key-a', capacity: 0 });
    await a.expect({ type: 'update_load', peerId: idA, connectedCount: 4 }, { type: 'load_updated', peerId: idA, connectedCount: 4 });
    b.send({ type: 'get_relays', peerId: idB, count: 100 });
    let list = (await b.next('relays')).relays;
    assert.equal(list.find((relay: any) => relay.peerId === idA)?.capacity, 0.4);
    assert.ok(!list.some((relay: any) => relay.peerId === idB));
    await a.expect({ type: 'update_load', peerId: idA, connectedCount: 5 }, { type: 'load_updated', peerId: idA, connectedCount: 5 });
    b.send({ type: 'get_relays', peerId: idB, count: 100 });
    list = (await b.next('relays')).relays;
    assert.ok(!list.some((relay: any) => relay.peerId === idA), 'exactly half is out');
    a.send({ type: 'heartbeat', peerId: idA });
    assert.ok(Number.isInteger((await a.next('heartbeat_ack')).timestamp));
    await pair(a, b);
    a.send({ type: 'offer', target: b.code, payload: { sdp: 1 } });
    assert.equal((await b.next('offer')).from, a.code);
    await nobodyHeard(a, [b]);
  });
  test('on every signaling path, and rooms do not meet', async () => {
    for (const path of ['/ws', '/client', '/signaling']) {
      const asker = await join(service, path);
      const peer = await join(service, '/signaling');
      assert.ok((await relays(asker, { count: 100 })).has(peer.code), path);
      await asker.close();
      await peer.close();
    }
    const root = await Client.open(service, '/');
    await root.next('server_info');
    root.send({ type: 'register', peerId: fresh('root') });
    await root.next('registered');
    const [room, other] = [`/signal/${fresh('room')}`, `/signal/${fresh('room')}`];
    const [a, b, c] = [await join(service, room, { peerId: 'same' }), await join(service, room), await join(service, other, { peerId: 'same' })];
    assert.deepEqual([...(await relays(b)).keys()], ['same']);
    assert.equal((await relays(c)).size, 0);
    await nobodyHeard(a, [b, c]);
  });
  test('bounds', async () => {
    const a = await Client.open(service, PATH);
    for (const peerId of ['a b', 'x'.repeat(129), 'é']) {
      await a.expect({ type: 'register', peerId }, refused('Invalid peerId: must be 1-128 alphanumeric characters, hyphens, or underscores'));
    }
    for (const maxConnections of [0, 1001, -1, '5']) {
      await a.expect({ type: 'register', peerId: 'p', maxConnections }, refused('maxConnections must be a finite number between 1 and 1000'));
    }
    const b = await join(service, PATH);
    for (const connectedCount of [-1, 10001, '1', null]) await b.expect({ type: 'update_load', peerId: b.code, connectedCount }, refused('Invalid connectedCount'));
  });
  test('what the phone sends for its load makes it no relay', async () => {
    const phone = await enter();
    phone.send({ type: 'update_load', sourceId: 'x', connectedCount: 1, maxCapacity: 20 });
    for (const { value } of await phone.settle()) assert.ok(['error', 'load_updated'].includes(value.type), value.type);
    const found = await relays(await join(service, PATH), { count: 100 });
    assert.ok(!found.has('x') && !found.has(phone.code));
    await phone.silent();
  });
});

describe('identity', () => {
  test('ids and codes belong to one socket each', async () => {
    const [a, thief] = [await enter(), await enter()];
    const id = fresh('peer');
    a.send({ type: 'register', peerId: id });
    await a.next('registered');
    await thief.expect({ type: 'register', peerId: id }, refused('Peer ID already in use by another connection'));
    await a.expect({ type: 'register', peerId: fresh('peer') }, refused('Cannot re-register with a different peerId'));
    // Neither under the id of another nor under his code.
    for (const peerId of [id, a.code]) {
      for (const message of [
        { type: 'register_rendezvous', peerId, hourly_tokens: ['stolen'] },
        { type: 'chunk_announce', peerId, chunks: [{ chunkId: 'stolen' }], channelId: 'c' },
        { type: 'update_load', peerId, connectedCount: 20 },
      ]) {
        thief.send(message);
        for (const { value } of await thief.settle()) assert.equal(value.type, 'error', JSON.stringify([message, value]));
      }
    }
    thief.send({ type: 'register', peerId: a.code });
    await thief.next('error');
    const checker = await join(service, PATH);
    assert.equal((await relays(checker, { count: 100 })).get(id)?.capacity, 0);
    assert.deepEqual((await meet(checker, { hourlyTokens: ['stolen'] })).liveMatches, []);
    await nobodyHeard(checker, [a, thief]);
    await thief.close();
    assert.ok((await relays(checker, { count: 100 })).has(id));
  });
  test('a registered peer is held to its id', async () => {
    const [a, b] = [await join(service, PATH), await join(service, PATH)];
    for (const message of [
      { type: 'update_load', peerId: b.code, connectedCount: 1 },
      { type: 'heartbeat', peerId: b.code },
      { type: 'register_rendezvous', peerId: b.code, dailyPoints: ['x'] },
      { type: 'chunk_announce', peerId: b.code, chunks: [{ chunkId: 'x' }] },
    ]) await a.expect(message, MISMATCH);
    await b.silent();
  });
});

describe('rendezvous', () => {
  test('as headless and phone clients do it: peerId is the code, names in snake case, no relayId', async () => {
    const [a, b] = [await enter(), await enter()];
    const [point, token] = [fresh('day'), fresh('hr')];
    const nothing = { type: 'rendezvous_result', liveMatches: [], deadDrops: [] };
    assert.deepEqual(await meet(a, { daily_points: [point], hourly_tokens: [token, point], dead_drops: { [point]: 'cipher a' } }), nothing);
    assert.deepEqual(await meet(b, { daily_points: [point], hourly_tokens: [token, point], dead_drops: {} }), {
      type: 'rendezvous_result',
      liveMatches: [{ peerId: a.code, relayId: '' }],
      deadDrops: [{ peerId: a.code, deadDrop: 'cipher a', relayId: '' }],
    });
    assert.deepEqual((await a.frame()).value, { type: 'rendezvous_match', match: { peerId: b.code, relayId: '' } });
    // The match leads to pairing on the same sockets.
    await pair(a, b);
    await nobodyHeard(a, [b]);
  });
  test('with a relayId, camel case and one drop', async () => {
    const [a, b] = [await enter('/ws'), await enter()];
    const [point, token] = [fresh('day'), fresh('hr')];
    await meet(a, { dailyPoints: [point], hourlyTokens: [token], deadDrop: 'one', relayId: a.code });
    const result = await meet(b, { dailyPoints: [point], hourlyTokens: [token], relayId: b.code });
    assert.deepEqual(result.liveMatches, [{ peerId: a.code, relayId: a.code }]);
    assert.deepEqual(result.deadDrops, [{ peerId: a.code, deadDrop: 'one', relayId: a.code }]);
    assert.deepEqual((await a.frame()).value, { type: 'rendezvous_match', match: { peerId: b.code, relayId: b.code } });
  });
  test('drops outlive the socket, live tokens do not', async () => {
    const [a, b] = [await enter(), await enter()];
    const [point, token] = [fresh('day'), fresh('hr')];
    await meet(a, { daily_points: [point], hourly_tokens: [token], dead_drops: { [point]: 'left behind' } });
    await pair(a, b);
    await a.close(1000);
    await b.next('peer_left');
    const result = await meet(b, { daily_points: [point], hourly_tokens: [token] });
    assert.deepEqual(result.deadDrops, [{ peerId: a.code, deadDrop: 'left behind', relayId: '' }]);
    assert.deepEqual(result.liveMatches, []);
    // Nor does a stranger who takes the code over inherit the match.
    const heir = await Client.enter(service, PATH, { pairingCode: a.code, publicKey: newKey() });
    const other = await enter();
    assert.ok(!(await meet(other, { hourly_tokens: [token] })).liveMatches.some((match: any) => match.peerId === a.code));
    await heir.silent();
  });
  test('thirty trusted peers in one message', async () => {
    const [a, b] = [await enter(), await enter()];
    const points = Array.from({ length: 90 }, () => `day_${randomBytes(32).toString('hex')}`);
    const tokens = [...Array.from({ length: 180 }, () => `hr_${randomBytes(32).toString('hex')}`), ...points];
    await meet(a, { daily_points: points, hourly_tokens: tokens, dead_drops: {} });
    const result = await meet(b, { daily_points: points.slice(80), hourly_tokens: tokens.slice(100), dead_drops: {} });
    assert.deepEqual(result.liveMatches, [{ peerId: a.code, relayId: '' }]);
    assert.equal((await a.next('rendezvous_match')).match.peerId, b.code);
    await nobodyHeard(b, [a]);
  });
});

describe('chunks', () => {
  test('announced, pulled once, delivered with its channel, cached', async () => {
    const [source, a, b, c] = [await enter(), await enter(), await enter('/ws'), await enter()];
    const [chunkId, channelId] = [fresh('ch'), fresh('channel')];
    // routingHash is optional here.
    await source.expect({ type: 'chunk_announce', peerId: source.code, channelId, chunks: [{ chunkId }] }, { type: 'chunk_announce_ack', registered: 1 });
    for (const each of [a, b]) {
      askFor(each, chunkId, channelId);
      assert.deepEqual((await each.frame()).value, { type: 'chunk_pulling', chunkId });
    }
    assert.deepEqual((await source.frame()).value, { type: 'chunk_pull', chunkId, channelId });
    const data = { channel_id: channelId, encrypted: 'AAAA', n: 1 };
    await push(source, chunkId, channelId, data, 2);
    for (const each of [a, b]) assert.deepEqual((await each.frame()).value, { type: 'chunk_data', chunkId, channelId, data, source: 'relay' });
    await c.expect({ type: 'chunk_request', chunkId, channelId }, { type: 'chunk_data', chunkId, channelId, data, source: 'cache' });
    await nobodyHeard(source, [a, b, c]);
  });
  test('without a source there is an error at once', async () => {
    const a = await enter();
    const chunkId = fresh('ch');
    await a.expect({ type: 'chunk_request', chunkId, channelId: 'c' }, { type: 'chunk_error', chunkId, error: 'No source available for chunk' });
  });
  test('who asked too early without a channel waits, as on /relay', async () => {
    const [a, gone, source] = [await enter(), await enter(), await enter()];
    const chunkId = fresh('ch');
    for (const each of [a, gone]) {
      await each.expect({ type: 'chunk_request', peerId: each.code, chunkId }, {
        type: 'chunk_not_found', chunkId, message: 'No online sources available. You will be notified when available.',
      });
    }
    await pair(gone, source);
    gone.socket.terminate();
    await source.next('peer_left');
    await announce(source, [chunkId]);
    assert.deepEqual((await source.frame('a pull for who waits')).value, { type: 'chunk_pull', chunkId });
    source.send({ type: 'chunk_push', peerId: source.code, chunkId, data: 'late' });
    await source.next('chunk_push_ack');
    assert.deepEqual((await a.frame()).value, { type: 'chunk_data', chunkId, data: 'late', source: 'relay' });
  });
  test('who asked too early in a channel can ask again', async () => {
    const [a, source] = [await enter(), await enter()];
    const [chunkId, channelId] = [fresh('ch'), fresh('channel')];
    askFor(a, chunkId, channelId);
    await a.next('chunk_error');
    source.send({ type: 'chunk_push', peerId: source.code, chunkId, channelId, data: 'late' });
    await source.next('chunk_push_ack');
    askFor(a, chunkId, channelId);
    // The table says "not queued", the seed says "multicast to all pending": a delivery in between is allowed.
    const frames = (await a.settle()).map((frame) => frame.value);
    assert.deepEqual(frames.at(-1), { type: 'chunk_data', chunkId, channelId, data: 'late', source: 'cache' });
    assert.ok(frames.length <= 2 && frames.every(({ type }) => type === 'chunk_data'));
  });
  test('when the only source leaves or is silent, the requester is told', async () => {
    const [silent, leaves, a, b] = [await enter(), await enter(), await enter(), await enter()];
    const [one, two, channelId] = [fresh('ch'), fresh('ch'), fresh('channel')];
    await announce(silent, [one], { channelId });
    await announce(leaves, [two], { channelId });
    for (const [each, id] of [[a, one], [b, two]] as [Client, string][]) {
      askFor(each, id, channelId);
      await each.next('chunk_pulling');
    }
    await silent.next('chunk_pull');
    await leaves.next('chunk_pull');
    const started = Date.now();
    leaves.socket.terminate();
    assert.equal((await b.next('chunk_error')).chunkId, two);
    assert.ok(Date.now() - started < 1500, `after ${Date.now() - started} ms`);
    assert.equal((await a.next('chunk_error')).chunkId, one);
    assert.ok(Date.now() - started > 1700 && Date.now() - started < 3500, `after ${Date.now() - started} ms`);
  });
  test('two hundred requesters cause one pull', async () => {
    const source = await enter();
    const [chunkId, channelId] = [fresh('ch'), fresh('channel')];
    await announce(source, [chunkId], { channelId });
    const crowd: Client[] = [];
    while (crowd.length < 200) crowd.push(...(await Promise.all(Array.from({ length: 50 }, () => enter()))));
    for (const each of crowd) askFor(each, chunkId, channelId);
    for (const each of crowd) assert.equal((await each.next('chunk_pulling')).chunkId, chunkId);
    assert.deepEqual((await source.settle()).map((frame) => frame.value), [{ type: 'chunk_pull', chunkId, channelId }]);
    const body = sized(65_536);
    await push(source, chunkId, channelId, body, 200);
    for (const each of crowd) {
      const got = await each.next('chunk_data');
      assert.ok(got.data === body && got.channelId === channelId);
    }
    await nobodyHeard(source, crowd);
    for (const each of crowd) each.socket.terminate();
  });
  test('an unsolicited push is kept, as the headless client does it', async () => {
    const [source, a] = [await enter(), await enter()];
    const [chunkId, channelId] = [fresh('ch'), fresh('channel')];
    source.send({ type: 'chunk_announce', peerId: source.code, channelId, chunks: [{ chunkId, routingHash: 'r' }] });
    source.send({ type: 'chunk_push', peerId: source.code, channelId, chunkId, data: { x: 1 } });
    await source.next('chunk_announce_ack');
    assert.deepEqual((await source.frame()).value, { type: 'chunk_push_ack', chunkId, cached: true, servedCount: 0 });
    await a.expect({ type: 'chunk_request', chunkId, channelId, peerId: a.code }, { type: 'chunk_data', chunkId, channelId, data: { x: 1 }, source: 'cache' });
  });
  test('a silent source is followed by the second', async () => {
    const [a, b, requester] = [await enter(), await enter(), await enter()];
    const [chunkId, channelId] = [fresh('ch'), fresh('channel')];
    await announce(a, [chunkId], { channelId });
    await announce(b, [chunkId], { channelId });
    const started = Date.now();
    askFor(requester, chunkId, channelId);
    await requester.next('chunk_pulling');
    const winner = await until('the first pull', () => [a, b].find((each) => each.inbox.length > 0), 1500, 5);
    const other = winner === a ? b : a;
    assert.deepEqual((await other.frame()).value, { type: 'chunk_pull', chunkId, channelId });
    assert.ok(Date.now() - started >= 1900 && Date.now() - started < 3500, `asked after ${Date.now() - started} ms`);
    await push(other, chunkId, channelId, 'second', 1);
    assert.deepEqual((await requester.frame()).value, { type: 'chunk_data', chunkId, channelId, data: 'second', source: 'relay' });
  });
  test('size and hash', async () => {
    const [source, requester] = [await enter(), await enter()];
    const chunkId = fresh('ch');
    const data = sized(65_537);
    source.send({ type: 'chunk_push', peerId: source.code, chunkId, channelId: 'c', data });
    assert.match((await source.next('error')).message, /^Chunk payload too large: \d+ bytes exceeds 65536 byte limit$/);
    await push(source, chunkId, 'c', sized(65_536), 0);
    const good = `content ${randomBytes(8).toString('hex')}`;
    const hash = createHash('sha256').update(good).digest('hex');
    source.send({ type: 'chunk_push', peerId: source.code, chunkId: hash, channelId: 'c', data: `${good}!` });
    await source.next('error');
    await requester.expect({ type: 'chunk_request', chunkId: hash, channelId: 'c' }, { type: 'chunk_error', chunkId: hash, error: 'No source available for chunk' });
    const asked = await enter();
    source.send({ type: 'chunk_push', peerId: source.code, chunkId: hash, channelId: 'c', data: good });
    await source.next('chunk_push_ack');
    await asked.expect({ type: 'chunk_request', chunkId: hash, channelId: 'c' }, { type: 'chunk_data', chunkId: hash, channelId: 'c', data: good, source: 'cache' });
  });
  test('a request by its place', async () => {
    const [source, a] = [await enter(), await enter()];
    const [chunkId, routingHash] = [fresh('ch'), fresh('route')];
    source.send({ type: 'chunk_announce', peerId: source.code, chunks: [{ chunkId, routingHash }] });
    await source.next('chunk_announce_ack');
    source.send({ type: 'chunk_push', peerId: source.code, chunkId, data: { sequence: 3, chunk_index: 0 } });
    await source.next('chunk_push_ack');
    a.send({ type: 'chunk_request_meta', peerId: a.code, routingHash, sequence: 3, chunkIndex: 0 });
    const got = await a.next('chunk_data');
    assert.deepEqual([got.chunkId, got.data, got.source], [chunkId, { sequence: 3, chunk_index: 0 }, 'cache']);
  });
  test('who is nobody asks in vain, and mistyped channels are named', async () => {
    const bare = await Client.open(service, PATH);
    bare.send({ type: 'chunk_request', chunkId: 'c', channelId: 'x' });
    assert.match((await bare.next('error')).message, /^Not registered/);
    const a = await enter();
    await a.expect({ type: 'chunk_request', chunkId: 'c', channelId: 5 }, refused('Invalid message: chunk_request: channelId must be a string'));
    await a.expect({ type: 'register_rendezvous', peerId: a.code, relayId: 5 }, refused('Invalid message: register_rendezvous: relayId must be a string'));
  });
  test('the requester who leaves is not counted', async () => {
    const [source, a, b] = [await enter(), await enter(), await enter()];
    const [chunkId, channelId] = [fresh('ch'), fresh('channel')];
    await announce(source, [chunkId], { channelId });
    for (const each of [a, b]) {
      askFor(each, chunkId, channelId);
      await each.next('chunk_pulling');
    }
    await source.next('chunk_pull');
    await pair(a, source);
    a.socket.terminate();
    await source.next('peer_left');
    await push(source, chunkId, channelId, 'x', 1);
    await b.next('chunk_data');
  });
});

describe('channels', () => {
  test('owner, subscribers, news, upstream, streams on paired sockets', async () => {
    const [owner, a, late, stranger] = [await enter(), await enter('/ws'), await enter(), await enter()];
    const channelId = fresh('channel');
    await pair(owner, a);
    await owner.expect({ type: 'channel-owner-register', channelId }, { type: 'channel-owner-registered', channelId });
    await stranger.expect({ type: 'channel-owner-register', channelId }, refused('Channel already has an active owner'));
    await a.expect({ type: 'channel-subscribe', channelId }, { type: 'channel-subscribed', channelId });
    const chunkId = fresh('ch');
    await announce(owner, [chunkId], { channelId });
    assert.deepEqual((await a.frame()).value, { type: 'chunk_available', channelId, chunkIds: [chunkId] });
    askFor(a, chunkId, channelId);
    await a.next('chunk_pulling');
    await owner.next('chunk_pull');
    await push(owner, chunkId, channelId, { b: 1 }, 1);
    await a.next('chunk_data');
    const up = { type: 'upstream-message', channelId, message: { id: 'm1', text: 'hi' }, ephemeralPublicKey: 'ZXBo' };
    await stranger.expect(up, refused('Not subscribed to this channel'));
    await a.expect(up, { type: 'upstream-ack', channelId, messageId: 'm1' });
    assert.deepEqual((await owner.frame()).value, up);
    const start = { type: 'stream-start', streamId: 's', channelId, title: 'Live' };
    await a.expect(start, refused('Only the channel owner can start a stream'));
    owner.send(start);
    assert.equal((await owner.next('stream-started')).subscriberCount, 1);
    assert.deepEqual((await a.frame()).value, start);
    await late.expect({ type: 'channel-subscribe', channelId }, { type: 'channel-subscribed', channelId });
    assert.deepEqual((await late.frame()).value, start);
    assert.deepEqual((await late.frame()).value, { type: 'chunk_available', channelId, chunkIds: [chunkId] });
    owner.send({ type: 'stream-end', streamId: 's', channelId });
    await owner.next('stream-ended');
    for (const each of [a, late]) await each.next('stream-end');
    // The owner leaves, a message waits, the owner comes back with another code.
    await owner.close();
    await a.next('peer_left');
    await a.expect({ ...up, message: { id: 'm2' } }, { type: 'upstream-ack', channelId, messageId: 'm2' });
    const again = await enter();
    await again.expect({ type: 'channel-owner-register', channelId }, { type: 'channel-owner-registered', channelId });
    assert.deepEqual((await again.frame()).value, { ...up, message: { id: 'm2' } });
    await nobodyHeard(again, [a, late, stranger]);
  });
  test('bad channel ids', async () => {
    const a = await enter();
    await a.expect({ type: 'channel-owner-register', channelId: 'c'.repeat(257) }, refused('Invalid channel ID'));
    await a.expect({ type: 'channel-subscribe', channelId: '' }, refused('Invalid channel ID'));
  });
});

describe('times', { concurrency: true }, () => {
  const TTL_MS = 1500;
  let short: Service;
  before(async () => {
    const ttl = String(TTL_MS);
    short = await Service.start({
      ...LIMITLESS, RELAY_PEER_TTL_MS: ttl, RENDEZVOUS_DAILY_TTL_MS: ttl, RENDEZVOUS_HOURLY_TTL_MS: ttl, CHUNK_SOURCE_TTL_MS: ttl, CHUNK_CACHE_TTL_MS: ttl,
      CHUNK_PENDING_TTL_MS: ttl, CHUNK_CACHE_MAX: '3', RENDEZVOUS_KEEP_DEAD_DROPS: 'false', SWEEP_INTERVAL_MS: '1000',
    });
  });
  after(async () => {
    assertCalm(short);
    await short.stop();
  });
  test('a silent relay is listed no more, and its paired socket lives on', async () => {
    const [a, b] = [await Client.enter(short, PATH), await Client.enter(short, PATH)];
    const peerId = fresh('peer');
    a.send({ type: 'register', peerId });
    await a.next('registered');
    assert.ok((await relays(b, { count: 100 })).has(peerId));
    await pair(a, b);
    await pause(TTL_MS + 2000);
    assert.ok(!(await relays(b, { count: 100 })).has(peerId));
    assert.equal(a.closure, undefined, 'a socket with a code does not time out');
    a.send({ type: 'offer', target: b.code, payload: 1 });
    assert.equal((await b.next('offer')).from, a.code);
  });
  test('points, tokens, sources, cached chunks and requests end', async () => {
    const room = `/signal/${fresh('room')}`;
    const [a, b, early] = [await Client.enter(short, room), await Client.enter(short, room), await Client.enter(short, room)];
    await meet(a, { daily_points: ['d'], hourly_tokens: ['h'], dead_drops: { d: 'x' } });
    const during = await meet(b, { daily_points: ['d'], hourly_tokens: ['h'] });
    assert.deepEqual([during.deadDrops.length, during.liveMatches.length], [1, 1]);
    await a.next('rendezvous_match');
    await announce(a, ['cold'], { channelId: 'c' });
    await push(b, 'warm', 'c', 'w', 0);
    early.send({ type: 'chunk_request', peerId: early.code, chunkId: 'wanted' });
    await early.next('chunk_not_found');
    await pause(TTL_MS + 500);
    const later = await Client.enter(short, room);
    const after = await meet(later, { daily_points: ['d'], hourly_tokens: ['h'] });
    assert.deepEqual([after.deadDrops, after.liveMatches], [[], []]);
    for (const id of ['cold', 'warm']) {
      askFor(later, id, 'c');
      for (const { value } of await later.settle()) assert.notEqual(value.type, 'chunk_data', id);
    }
    await a.silent();
    await push(a, 'wanted', 'c', 'too late', 0);
    assert.ok((await early.settle()).every(({ value }) => value.type !== 'chunk_data'));
  });
  test('three are cached, and by the seed\'s rule drops go with their socket', async () => {
    const room = `/signal/${fresh('room')}`;
    const [a, b] = [await Client.enter(short, room), await Client.enter(short, room)];
    for (const id of ['c1', 'c2', 'c3']) await push(a, id, 'c', id, 0);
    askFor(b, 'c1', 'c');
    await b.next('chunk_data');
    await push(a, 'c4', 'c', 'c4', 0);
    for (const [id, cached] of [['c1', true], ['c3', true], ['c4', true], ['c2', false]] as [string, boolean][]) {
      askFor(b, id, 'c');
      assert.equal((await b.settle()).some(({ value }) => value.type === 'chunk_data'), cached, id);
    }
    await a.settle();
    await meet(a, { daily_points: ['d'], dead_drops: { d: 'x' } });
    assert.equal((await meet(b, { daily_points: ['d'] })).deadDrops.length, 1);
    a.socket.terminate();
    await until('the drop is gone', async () => (await meet(b, { daily_points: ['d'] })).deadDrops.length === 0, 1000);
  });
});

describe('statistics, limits, origins, crashes', () => {
  test('the lobby is not the registry', async () => {
    const [here, there] = [await join(service, PATH, { peerId: 'both' }), await join(service, '/relay', { peerId: 'both' })];
    assert.ok(![...(await relays(there, { count: 100 })).keys()].some((id) => id === 'both'));
    const point = fresh('day');
    await meet(here, { dailyPoints: [point], deadDrop: 'x' });
    assert.deepEqual((await meet(there, { dailyPoints: [point] })).deadDrops, []);
    await nobodyHeard(here, [there]);
  });
  test('origins', async () => {
    assert.equal(await refusedUpgrade(service, PATH, { origin: 'https://evil.example' }), 403);
  });
  test('one count of messages for pairing and relaying', async () => {
    const own = await Service.start({ ...LIMITLESS, SIGNAL_MESSAGES_PER_MINUTE: '20' });
    try {
      const a = await Client.enter(own, PATH);
      const b = await Client.enter(own, PATH);
      for (let n = 0; n < 10; n += 1) await meet(a, { hourly_tokens: [`t${n}`] });
      for (let n = 0; n < 9; n += 1) a.send({ type: 'offer', target: b.code, payload: { n } });
      for (let n = 0; n < 9; n += 1) assert.equal((await b.next('offer')).payload.n, n);
      await a.expect({ type: 'register_rendezvous', peerId: a.code, hourly_tokens: ['t'] }, refused('Rate limit exceeded. Please slow down.'));
      await a.expect({ type: 'channel-subscribe', channelId: 'c' }, refused('Rate limit exceeded. Please slow down.'));
      assertCalm(own);
    } finally {
      await own.stop();
    }
  });
  test('a flood of relay garbage does not disturb a pair', async () => {
    const [a, b, bad] = [await enter(), await enter(), await Client.open(service, PATH, { address: newAddress() })];
    await pair(a, b);
    for (const type of ['register', 'update_load', 'get_relays', 'heartbeat', 'register_rendezvous', 'chunk_announce', 'chunk_request', 'chunk_request_meta', 'chunk_push', 'channel-owner-register', 'channel-subscribe', 'upstream-message', 'stream-start', 'stream-frame', 'stream-end']) {
      for (const value of [null, 5, -1e308, true, '', '\u0000', [], [[]], {}, { a: null }, [null, 5]]) {
        bad.send({ type, peerId: value, chunkId: value, channelId: value, data: value, chunks: value, dailyPoints: value, hourly_tokens: value, dead_drops: value, relayId: value, message: value, streamId: value, frame: value, routingHash: value, sequence: value });
        bad.send({ type, peerId: 'bad', chunkId: 'bad', channelId: 'bad', data: value, chunks: value, daily_points: value, hourlyTokens: value, deadDrop: value, message: value, title: value, count: value, maxConnections: value, connectedCount: value });
      }
    }
    for (const { value } of await bad.settle()) assert.equal(typeof value?.type, 'string');
    assert.equal(bad.closure, undefined);
    a.send({ type: 'offer', target: b.code, payload: 1 });
    assert.equal((await b.next('offer')).from, a.code);
    await nobodyHeard(a, [b]);
  });
  test('kill -9 keeps dead drops and the cache of the lobby', async () => {
    const own = await Service.start(LIMITLESS);
    try {
      const a = await Client.enter(own, PATH);
      const [point, token] = [fresh('day'), fresh('hr')];
      await meet(a, { daily_points: [point], hourly_tokens: [token], dead_drops: { [point]: 'kept' } });
      await push(a, 'c1', 'ch', { big: sized(60_000) }, 0);
      await own.crashAndRestart();
      const b = await Client.enter(own, PATH, { pairingCode: newCode() });
      assert.deepEqual(await meet(b, { daily_points: [point], hourly_tokens: [token] }), {
        type: 'rendezvous_result', liveMatches: [], deadDrops: [{ peerId: a.code, deadDrop: 'kept', relayId: '' }],
      });
      await b.expect({ type: 'chunk_request', chunkId: 'c1', channelId: 'ch' }, { type: 'chunk_data', chunkId: 'c1', channelId: 'ch', data: { big: sized(60_000) }, source: 'cache' });
      assertCalm(own);
    } finally {
      await own.stop();
    }
  });
});
