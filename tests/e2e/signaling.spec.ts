// Signaling rooms: edge-wire.md 2.1 on /signal/{room}, 2.3.1 on the client paths, calls and links of 2.3.2, 2.4, 8.

import assert from 'node:assert/strict';
import { randomBytes, randomUUID } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { assertCalm, assertNoLeak, Service, until } from './support/service.ts';
import { Client, newAddress, newCode, newKey, nobodyHeard, pair, refusedUpgrade, secrets } from './support/socket.ts';

const LIMITLESS = {
  SIGNAL_MESSAGES_PER_MINUTE: '0',
  SIGNAL_PAIR_REQUESTS_PER_MINUTE: '0',
  SIGNAL_UNKNOWN_CODES_PER_MINUTE: '0',
  SIGNAL_SOCKETS_PER_ADDRESS: '0',
  SIGNAL_SOCKETS_MAX: '0',
};
const LOBBY = ['/', '/ws', '/client', '/signaling'];
const UNIFORM = '{"type":"pair_error","error":"Pair request could not be processed"}';
const COLLISION = { type: 'code_collision', message: 'Pairing code already in use. Please reconnect with a new code.' };
const unregistered = { type: 'error', message: 'Not registered. Send register message first.' };

let service: Service;
let rooms = 0;
const newRoom = (): string => `/signal/room-${(rooms += 1)}`;
const canary = `canary-${randomBytes(12).toString('hex')}`;

before(async () => {
  service = await Service.start({ ...LIMITLESS, ALLOWED_ORIGINS: 'https://app.example' });
});
after(async () => {
  assertCalm(service);
  assertNoLeak(service, [...secrets, canary]);
  await service.stop();
});

describe('the greeting', () => {
  test('comes on / and only there', async () => {
    const root = await Client.open(service, '/');
    const info = await root.next('server_info');
    assert.deepEqual(Object.keys(info).sort(), ['endpoint', 'region', 'serverId', 'type']);
    assert.equal(typeof info.serverId, 'string');
    assert.equal(typeof info.endpoint, 'string');
    assert.ok(info.region === null || typeof info.region === 'string');
    await root.silent();
    for (const path of ['/ws', '/client', '/signaling', newRoom()]) await (await Client.open(service, path)).silent();
  });
});

describe('registration on the client paths', () => {
  for (const path of LOBBY) {
    test(`${path} answers registered with a serverId, again to the same socket, and a collision to another`, async () => {
      const first = await Client.open(service, path);
      if (path === '/') await first.next('server_info');
      const [code, key] = [newCode(), newKey()];
      const message = { type: 'register', pairingCode: code, publicKey: key };
      for (let i = 0; i < 2; i += 1) {
        first.send(message);
        const answer = await first.next('registered');
        assert.equal(answer.pairingCode, code);
        assert.equal(typeof answer.serverId, 'string');
      }
      for (const other of LOBBY) {
        const second = await Client.open(service, other);
        if (other === '/') await second.next('server_info');
        await second.expect({ ...message, publicKey: newKey() }, COLLISION);
        await second.expect({ type: 'offer', target: code, payload: {} }, unregistered);
        second.socket.terminate();
      }
      await first.silent();
      first.send({ type: 'offer', target: code, payload: { to: 'myself' } });
      await first.settle();
    });
  }

  test('a code is free again when its socket is gone', async () => {
    const first = await Client.enter(service, '/ws');
    await first.close(1000);
    const second = await Client.enter(service, '/client', { pairingCode: first.code });
    const third = await Client.enter(service, '/client');
    third.send({ type: 'offer', target: first.code, payload: { n: 1 } });
    assert.equal((await second.next('offer')).from, third.code);
  });

  test('a second code on one socket replaces the first', async () => {
    const client = await Client.enter(service, '/ws');
    const other = await Client.enter(service, '/ws');
    const old = client.code;
    const fresh = newCode();
    client.send({ type: 'register', pairingCode: fresh, publicKey: client.key });
    assert.equal((await client.next('registered')).pairingCode, fresh);
    await other.expect({ type: 'offer', target: old, payload: {} }, { type: 'error', message: `Peer not found: ${old}` });
    other.send({ type: 'offer', target: fresh, payload: { n: 1 } });
    assert.equal((await client.next('offer')).from, other.code);
    await other.silent();
  });

  for (const code of ['abcdef', 'ABCDE', 'ABCDEFG', 'ABCDE0', 'ABCDE1', 'ABCDEI', 'ABCDEO', 'ABC DE', ' ABCDEF', 'ABCDÉF', 'ABCDEF\n', 'ABC-DE']) {
    test(`the code ${JSON.stringify(code)} is refused on the client paths`, async () => {
      const client = await Client.open(service, '/ws');
      await client.expect({ type: 'register', pairingCode: code, publicKey: newKey() }, { type: 'error', message: 'Invalid pairing code format' });
      await client.expect({ type: 'offer', target: newCode(), payload: {} }, unregistered);
    });
  }
  for (const [key, sentence] of [
    ['not base64!', 'Invalid public key format'],
    ['====', 'Invalid public key format'],
    [Buffer.alloc(31, 7).toString('base64'), 'Invalid public key length'],
    [Buffer.alloc(33, 7).toString('base64'), 'Invalid public key length'],
  ] as [string, string][]) {
    test(`the key ${key.slice(0, 12)} is refused on the client paths`, async () => {
      const client = await Client.open(service, '/client');
      await client.expect({ type: 'register', pairingCode: newCode(), publicKey: key }, { type: 'error', message: sentence });
    });
  }
  test('missing and mistyped fields', async () => {
    const client = await Client.open(service, '/ws');
    await client.expect({ type: 'register', pairingCode: newCode() }, { type: 'error', message: 'Missing required field: publicKey' });
    await client.expect({ type: 'register', pairingCode: newCode(), publicKey: 5 }, { type: 'error', message: 'Invalid message: register: publicKey must be a string' });
    for (const pairingCode of [5, {}, ['ABCDEF'], true]) {
      client.send({ type: 'register', pairingCode, publicKey: newKey() });
      assert.match((await client.next('error')).message, /pairingCode|pairing code/);
    }
    await client.expect({ type: 'offer', target: newCode(), payload: {} }, unregistered);
  });

  test('a refused registration leaves an earlier one as it was', async () => {
    const client = await Client.enter(service, '/ws');
    const other = await Client.enter(service, '/ws');
    await client.expect({ type: 'register', pairingCode: 'bad', publicKey: client.key }, { type: 'error', message: 'Invalid pairing code format' });
    await client.expect({ type: 'register', pairingCode: other.code, publicKey: client.key }, COLLISION);
    other.send({ type: 'offer', target: client.code, payload: 1 });
    await client.next('offer');
  });
});

describe('messages that are none', () => {
  for (const [text, sentence] of [
    ['', 'Invalid message format: JSON parse error'],
    ['{', 'Invalid message format: JSON parse error'],
    ['{"type":"ping"', 'Invalid message format: JSON parse error'],
    ['null', 'Invalid message: Message must be a JSON object'],
    ['5', 'Invalid message: Message must be a JSON object'],
    ['"ping"', 'Invalid message: Message must be a JSON object'],
    ['[{"type":"ping"}]', 'Invalid message: Message must be a JSON object'],
    ['{}', 'Invalid message: Missing or invalid "type" field'],
    ['{"type":5}', 'Invalid message: Missing or invalid "type" field'],
    ['{"type":null}', 'Invalid message: Missing or invalid "type" field'],
    ['{"type":"nonsense"}', 'Unknown message type: nonsense'],
    ['{"type":"PING"}', 'Unknown message type: PING'],
  ] as [string, string][]) {
    test(`on a client path: ${text}`, async () => {
      const client = await Client.open(service, '/ws');
      client.sendRaw(text);
      assert.deepEqual((await client.frame()).value, { type: 'error', message: sentence });
      await client.silent();
    });
  }
  for (const [data, pattern] of [
    ['{', /^Invalid message format$/], ['null', /^Invalid message format$/], ['', /^Invalid message format$/],
    [Buffer.from('{"type":"ping"}'), /^Invalid message format$/], [Buffer.from([0xff, 0x00]), /^Invalid message format$/],
    ['{}', /^Unknown message type: undefined$/], ['{"type":"nonsense"}', /^Unknown message type: nonsense$/],
  ] as [string | Buffer, RegExp][]) {
    test(`in a room: ${Buffer.isBuffer(data) ? 'binary ' : ''}${data.toString()}`, async () => {
      const client = await Client.open(service, newRoom());
      client.sendRaw(data);
      const answer = await client.next('error');
      assert.match(answer.message, pattern);
      await client.silent();
    });
  }
  test('binary frames on a client path are read as text', async () => {
    const client = await Client.open(service, '/ws');
    const code = newCode();
    client.sendRaw(Buffer.from(JSON.stringify({ type: 'register', pairingCode: code, publicKey: newKey() })));
    assert.equal((await client.next('registered')).pairingCode, code);
    client.sendRaw(Buffer.from('{"type":"ping","x":1}'));
    await client.next('pong');
    client.sendRaw(Buffer.from([0xff, 0xfe, 0x00]));
    assert.match((await client.next('error')).message, /^Invalid message format/);
  });
  test('deep nesting and odd numbers do no harm', async () => {
    const client = await Client.open(service, '/ws');
    client.sendRaw(`{"type":"ping","x":${'['.repeat(50_000)}${']'.repeat(50_000)}}`);
    const frame = await client.frame();
    assert.ok(['error', 'pong'].includes(frame.value.type));
    for (const text of ['{"type":"ping","x":1e999999}', '{"type":"ping","x":"\\ud800"}', '{"type":"ping","type":"ping"}']) {
      client.sendRaw(text);
      assert.ok(['error', 'pong'].includes((await client.frame()).value.type), text);
    }
    await client.silent();
  });
});

describe('ping', () => {
  for (const path of ['/ws', '/client', '/signaling', '/signal/ping']) {
    test(`on ${path} in any spelling, registered or not`, async () => {
      const client = await Client.open(service, path);
      for (const text of ['{"type":"ping"}', '{ "type": "ping" }', '{"type":"ping","timestamp":5}']) {
        client.sendRaw(text);
        assert.deepEqual((await client.frame()).value, { type: 'pong' }, text);
      }
    });
  }
});

describe('a room of /signal, as the seed promises it', () => {
  test('registers any non-empty code, with or without a key', async () => {
    const room = newRoom();
    for (const pairingCode of ['x', 'lower case', 'ABC', 'ünï😀', 'a'.repeat(100), '5']) {
      const client = await Client.open(service, room);
      client.send({ type: 'register', pairingCode });
      assert.equal((await client.next('registered')).pairingCode, pairingCode);
      client.send({ type: 'register', pairingCode });
      assert.equal((await client.next('registered')).pairingCode, pairingCode, 'the same socket again');
    }
  });
  test('refuses no code and a code in use', async () => {
    const room = newRoom();
    const first = await Client.enter(service, room);
    const second = await Client.open(service, room);
    for (const pairingCode of ['', null, 5, {}, ['a'], true]) {
      await second.expect({ type: 'register', pairingCode }, { type: 'error', message: 'Invalid pairing code' });
    }
    await second.expect({ type: 'register', pairingCode: first.code }, { type: 'error', message: 'Pairing code already in use' });
    for (const type of ['offer', 'answer', 'ice_candidate']) {
      await second.expect({ type, target: first.code, payload: {} }, { type: 'error', message: 'Not registered' });
    }
    await nobodyHeard(second, [first]);
  });
  for (const type of ['offer', 'answer', 'ice_candidate']) {
    test(`forwards ${type} to its target only, with the sender's name and the payload as it came`, async () => {
      const room = newRoom();
      const [a, b, c] = [await Client.enter(service, room), await Client.enter(service, room), await Client.enter(service, room)];
      const payload = { sdp: `v=0\r\n${canary}`, list: [1, 2.5, null], nested: { x: 'é😀' } };
      await b.expect({ type: 'ping', x: 0 }, { type: 'pong' });
      a.send({ type, target: b.code, payload });
      assert.deepEqual((await b.frame()).value, { type, from: a.code, payload });
      a.send({ type, target: b.code, payload: {}, from: c.code });
      assert.deepEqual((await b.frame()).value, { type, from: a.code, payload: {} }, 'nobody speaks for another');
      a.send({ type, target: b.code, payload: 'text' });
      assert.deepEqual((await b.frame()).value, { type, from: a.code, payload: 'text' });
      await nobodyHeard(a, [b, c]);
    });
  }
  test('payloads are not decoded and encoded again', async () => {
    const room = newRoom();
    const [a, b] = [await Client.enter(service, room), await Client.enter(service, room)];
    const raw = '{"big":12345678901234567890,"float":1.0,"exp":1E5,"escaped":"\\u00e9\\/","keys":{"b":1,"a":2,"b2":[]}}';
    a.sendRaw(`{"type":"offer","target":"${b.code}","payload":${raw}}`);
    const frame = await b.frame();
    assert.ok(frame.text.includes(`"payload":${raw}`), frame.text);
  });
  test('errors of the exchange', async () => {
    const room = newRoom();
    const a = await Client.enter(service, room);
    for (const message of [{ target: 'x' }, { payload: {} }, {}, { target: '', payload: {} }, { target: 'x', payload: '' }, { target: 'x', payload: null }]) {
      await a.expect({ type: 'offer', ...message }, { type: 'error', message: 'Missing target or payload' });
    }
    await a.expect({ type: 'offer', target: newCode(), payload: {} }, { type: 'error', message: 'Target peer not found' });
  });
  test('pairs like everywhere, with the words of the seed too', async () => {
    const room = newRoom();
    const [a, b, c] = [await Client.enter(service, room), await Client.enter(service, room), await Client.enter(service, room)];
    await pair(a, b);
    c.send({ type: 'pair_request', targetCode: b.code });
    await b.next('pair_incoming');
    b.send({ type: 'pair_accept', targetCode: c.code });
    assert.deepEqual(await c.next('pair_matched'), { type: 'pair_matched', peerCode: b.code, peerPublicKey: b.key, isInitiator: true });
    assert.deepEqual(await b.next('pair_matched'), { type: 'pair_matched', peerCode: c.code, peerPublicKey: c.key, isInitiator: false });
    c.send({ type: 'pair_request', targetCode: a.code });
    await a.next('pair_incoming');
    a.send({ type: 'pair_reject', targetCode: c.code });
    assert.deepEqual(await c.next('pair_rejected'), { type: 'pair_rejected', peerCode: a.code });
    await nobodyHeard(a, [a, b, c]);
  });
});

describe('rooms', () => {
  test('never meet: the same code lives in each, and nothing crosses', async () => {
    const code = newCode();
    const here = await Client.enter(service, '/signal/here', { pairingCode: code });
    const there = await Client.enter(service, '/signal/there', { pairingCode: code });
    const lobby = await Client.enter(service, '/ws', { pairingCode: code });
    const named = await Client.enter(service, '/signal/lobby', { pairingCode: code });
    const upper = await Client.enter(service, '/signal/HERE', { pairingCode: code });
    const a = await Client.enter(service, '/signal/here');
    a.send({ type: 'offer', target: code, payload: { n: 1 } });
    assert.equal((await here.next('offer')).from, a.code);
    await nobodyHeard(a, [there, lobby, named, upper]);
    const b = await Client.enter(service, '/signal/elsewhere');
    await b.expect({ type: 'offer', target: code, payload: {} }, { type: 'error', message: 'Target peer not found' });
    await nobodyHeard(b, [here, there, lobby, named, upper]);
  });
  test('the paths without a name share the lobby', async () => {
    const peers = [];
    for (const path of LOBBY) peers.push(await Client.enter(service, path));
    for (const from of peers) {
      for (const to of peers) {
        if (from === to) continue;
        from.send({ type: 'ice_candidate', target: to.code, payload: { candidate: 'x' } });
        assert.deepEqual((await to.frame()).value, { type: 'ice_candidate', from: from.code, payload: { candidate: 'x' } });
      }
    }
    const [first, last] = [peers[0] as Client, peers[3] as Client];
    await pair(first, last);
  });
});

describe('offers, answers and candidates on the client paths', () => {
  for (const type of ['offer', 'answer', 'ice_candidate']) {
    test(`${type} needs no pairing, only a target`, async () => {
      const [a, b, c] = [await Client.enter(service, '/ws'), await Client.enter(service, '/client'), await Client.enter(service, '/')];
      const payload = { type: 'offer', sdp: `v=0\r\no=- ${canary}\r\n`, from: 'me', target: 'x' };
      a.send({ type, target: b.code, payload });
      assert.deepEqual((await b.frame()).value, { type, from: a.code, payload });
      const gone = newCode();
      await a.expect({ type, target: gone, payload }, { type: 'error', message: `Peer not found: ${gone}` });
      await a.expect({ type, payload }, { type: 'error', message: 'Missing required field: target' });
      await a.expect({ type, target: 5, payload }, { type: 'error', message: `Invalid message: ${type}: target must be a string` });
      const stranger = await Client.open(service, '/ws');
      await stranger.expect({ type, target: b.code, payload }, unregistered);
      await nobodyHeard(a, [b, c]);
    });
  }
  test('come in the order in which they were sent', async () => {
    const [a, b] = [await Client.enter(service, '/ws'), await Client.enter(service, '/ws')];
    for (let n = 0; n < 200; n += 1) a.send({ type: 'ice_candidate', target: b.code, payload: { n } });
    for (let n = 0; n < 200; n += 1) assert.equal((await b.next('ice_candidate')).payload.n, n);
    await nobodyHeard(a, [b]);
  });
});

describe('pairing', () => {
  test('request, incoming, response, matched', async () => {
    const [a, b, c] = [await Client.enter(service, '/ws'), await Client.enter(service, '/ws'), await Client.enter(service, '/ws')];
    a.send({ type: 'pair_request', targetCode: b.code, proposedName: 'Ada' });
    assert.deepEqual((await b.frame()).value, {
      type: 'pair_incoming', fromCode: a.code, fromPublicKey: a.key, expiresIn: 120_000, proposedName: 'Ada',
    });
    await nobodyHeard(a, [a, b, c]);
    b.send({ type: 'pair_response', targetCode: a.code, accepted: true });
    assert.deepEqual((await a.frame()).value, { type: 'pair_matched', peerCode: b.code, peerPublicKey: b.key, isInitiator: true });
    assert.deepEqual((await b.frame()).value, { type: 'pair_matched', peerCode: a.code, peerPublicKey: a.key, isInitiator: false });
    await b.expect({ type: 'pair_response', targetCode: a.code, accepted: true }, { type: 'pair_error', error: 'No pending request from this peer' });
    await nobodyHeard(b, [a, c]);
  });
  test('without a name there is none', async () => {
    const [a, b] = [await Client.enter(service, '/ws'), await Client.enter(service, '/ws')];
    a.send({ type: 'pair_request', targetCode: b.code });
    assert.deepEqual((await b.frame()).value, { type: 'pair_incoming', fromCode: a.code, fromPublicKey: a.key, expiresIn: 120_000 });
  });
  test('a refusal', async () => {
    const [a, b, c] = [await Client.enter(service, '/ws'), await Client.enter(service, '/ws'), await Client.enter(service, '/ws')];
    for (const answer of [{ type: 'pair_response', accepted: false }, { type: 'pair_reject' }]) {
      a.send({ type: 'pair_request', targetCode: b.code });
      await b.next('pair_incoming');
      b.send({ ...answer, targetCode: a.code });
      assert.deepEqual((await a.frame()).value, { type: 'pair_rejected', peerCode: b.code });
    }
    await b.expect({ type: 'pair_response', targetCode: a.code, accepted: true }, { type: 'pair_error', error: 'No pending request from this peer' });
    await nobodyHeard(b, [a, c]);
  });
  test('the words of the seed are aliases', async () => {
    const [a, b] = [await Client.enter(service, '/ws'), await Client.enter(service, '/ws')];
    a.send({ type: 'pair_request', targetCode: b.code });
    await b.next('pair_incoming');
    b.send({ type: 'pair_accept', targetCode: a.code });
    assert.equal((await a.next('pair_matched')).isInitiator, true);
    assert.equal((await b.next('pair_matched')).isInitiator, false);
    await b.expect({ type: 'pair_accept', targetCode: a.code }, { type: 'pair_error', error: 'No pending request from this peer' });
    await b.expect({ type: 'pair_reject', targetCode: a.code }, { type: 'pair_error', error: 'No pending request from this peer' });
  });
  test('newer fields of a registration reach the peer', async () => {
    const pq = randomBytes(1184).toString('base64');
    const a = await Client.enter(service, '/ws', { protocolVersion: 2, supportedKEMs: ['ml-kem-768'], pqPublicKey: pq });
    const b = await Client.enter(service, '/ws');
    await (async () => {
      b.send({ type: 'pair_request', targetCode: a.code });
      await a.next('pair_incoming');
      a.send({ type: 'pair_response', targetCode: b.code, accepted: true });
    })();
    const matched = await b.next('pair_matched');
    assert.equal(matched.peerPqPublicKey, pq);
    assert.equal(matched.peerProtocolVersion, 2);
    assert.deepEqual(await a.next('pair_matched'), { type: 'pair_matched', peerCode: b.code, peerPublicKey: b.key, isInitiator: false });
  });
  test('repeating replaces the pending request and tells again', async () => {
    const [a, b] = [await Client.enter(service, '/ws'), await Client.enter(service, '/ws')];
    for (const proposedName of ['one', 'two', 'three']) {
      a.send({ type: 'pair_request', targetCode: b.code, proposedName });
      assert.equal((await b.next('pair_incoming')).proposedName, proposedName);
    }
    b.send({ type: 'pair_response', targetCode: a.code, accepted: true });
    await a.next('pair_matched');
    await b.next('pair_matched');
    await b.expect({ type: 'pair_response', targetCode: a.code, accepted: true }, { type: 'pair_error', error: 'No pending request from this peer' });
    await nobodyHeard(b, [a]);
  });
  test('who has no request cannot answer one', async () => {
    const [a, b, c] = [await Client.enter(service, '/ws'), await Client.enter(service, '/ws'), await Client.enter(service, '/ws')];
    a.send({ type: 'pair_request', targetCode: b.code });
    await b.next('pair_incoming');
    const none = { type: 'pair_error', error: 'No pending request from this peer' };
    await c.expect({ type: 'pair_response', targetCode: a.code, accepted: true }, none);
    await a.expect({ type: 'pair_response', targetCode: b.code, accepted: true }, none);
    await a.expect({ type: 'pair_response', targetCode: a.code, accepted: true }, none);
    await b.expect({ type: 'pair_response', targetCode: c.code, accepted: true }, none);
    await b.expect({ type: 'pair_response', targetCode: newCode(), accepted: false }, none);
    b.send({ type: 'pair_response', targetCode: a.code, accepted: true });
    await a.next('pair_matched');
  });
  test('unknown, departed, own and full targets are answered alike, byte for byte', async () => {
    const asker = await Client.enter(service, '/ws');
    const departed = await Client.enter(service, '/ws');
    await departed.close(1000);
    const full = await Client.enter(service, '/ws');
    for (let i = 0; i < 10; i += 1) {
      const other = await Client.enter(service, '/ws');
      other.send({ type: 'pair_request', targetCode: full.code });
      assert.equal((await full.next('pair_incoming')).fromCode, other.code, `the ${i + 1}th is told`);
    }
    for (const targetCode of [newCode(), departed.code, asker.code, full.code]) {
      asker.send({ type: 'pair_request', targetCode });
      assert.equal((await asker.frame('pair_error')).text, UNIFORM, targetCode);
    }
    await nobodyHeard(asker, [full]);
  });
  test('one of ten that was answered makes room', async () => {
    const full = await Client.enter(service, '/ws');
    const askers: Client[] = [];
    for (let i = 0; i < 10; i += 1) {
      const asker = await Client.enter(service, '/ws');
      askers.push(asker);
      asker.send({ type: 'pair_request', targetCode: full.code });
      await full.next('pair_incoming');
    }
    const late = await Client.enter(service, '/ws');
    late.send({ type: 'pair_request', targetCode: full.code });
    assert.equal((await late.frame()).text, UNIFORM);
    const first = askers[0] as Client;
    first.send({ type: 'pair_request', targetCode: full.code });
    assert.equal((await full.next('pair_incoming')).fromCode, first.code, 'a repeated one is no new one');
    full.send({ type: 'pair_response', targetCode: first.code, accepted: false });
    await first.next('pair_rejected');
    late.send({ type: 'pair_request', targetCode: full.code });
    assert.equal((await full.next('pair_incoming')).fromCode, late.code);
  });
  test('missing and mistyped fields', async () => {
    const a = await Client.enter(service, '/ws');
    for (const type of ['pair_request', 'pair_response']) {
      const more = type === 'pair_response' ? { accepted: true } : {};
      await a.expect({ type, ...more }, { type: 'error', message: 'Missing required field: targetCode' });
      await a.expect({ type, targetCode: 5, ...more }, { type: 'error', message: `Invalid message: ${type}: targetCode must be a string` });
      const stranger = await Client.open(service, '/ws');
      await stranger.expect({ type, targetCode: a.code, ...more }, unregistered);
    }
    await a.expect({ type: 'pair_response', targetCode: newCode(), accepted: 'yes' }, { type: 'error', message: 'Invalid message: pair_response: accepted must be a boolean' });
    for (const targetCode of ['abcdef', 'ABCDE', 'ABCDE0', 'ABCDEFG']) {
      await a.expect({ type: 'pair_request', targetCode }, { type: 'error', message: 'Invalid target code format' });
    }
    await a.silent();
  });
  test('both ask each other: one answer pairs them once', async () => {
    const [a, b] = [await Client.enter(service, '/ws'), await Client.enter(service, '/ws')];
    a.send({ type: 'pair_request', targetCode: b.code });
    await b.next('pair_incoming');
    b.send({ type: 'pair_request', targetCode: a.code });
    await a.next('pair_incoming');
    b.send({ type: 'pair_response', targetCode: a.code, accepted: true });
    assert.equal((await a.next('pair_matched')).isInitiator, true);
    assert.equal((await b.next('pair_matched')).isInitiator, false);
  });
});

describe('who leaves', () => {
  for (const path of ['/ws', '/signal/leaving']) {
    test(`on ${path}: paired peers are told, nobody else`, async () => {
      const [a, b, stranger] = [await Client.enter(service, path), await Client.enter(service, path), await Client.enter(service, path)];
      await pair(a, b);
      await nobodyHeard(stranger, [a, b]);
      await a.close(1000);
      assert.deepEqual((await b.frame()).value, { type: 'peer_left', pairingCode: a.code });
      await nobodyHeard(b, [stranger]);
    });
    test(`on ${path}: a broken connection counts as leaving`, async () => {
      const [a, b, stranger] = [await Client.enter(service, path), await Client.enter(service, path), await Client.enter(service, path)];
      await pair(a, b);
      a.socket.terminate();
      assert.deepEqual((await b.frame()).value, { type: 'peer_left', pairingCode: a.code });
      await nobodyHeard(b, [stranger]);
    });
    test(`on ${path}: a requester whose target leaves is told`, async () => {
      const [a, b, stranger] = [await Client.enter(service, path), await Client.enter(service, path), await Client.enter(service, path)];
      a.send({ type: 'pair_request', targetCode: b.code });
      await b.next('pair_incoming');
      await b.close(1000);
      const told = (await a.frame('word that the target left')).value;
      assert.ok(told.type === 'pair_error' || told.peerCode === b.code, JSON.stringify(told));
      await nobodyHeard(a, [stranger]);
    });
    test(`on ${path}: a request whose asker left cannot be accepted`, async () => {
      const [a, b] = [await Client.enter(service, path), await Client.enter(service, path)];
      a.send({ type: 'pair_request', targetCode: b.code });
      await b.next('pair_incoming');
      await a.close(1000);
      // What b may hear of it is not fixed; the answer to an acceptance is.
      b.send({ type: 'pair_response', targetCode: a.code, accepted: true });
      let frame = (await b.frame()).value;
      if (frame.type !== 'pair_error') frame = (await b.frame()).value;
      assert.deepEqual(frame, { type: 'pair_error', error: 'No pending request from this peer' });
    });
    test(`on ${path}: nobody hears of strangers that come, go, or register again`, async () => {
      const listener = await Client.enter(service, path);
      const bare = await Client.open(service, path);
      for (let i = 0; i < 3; i += 1) {
        const passer = await Client.enter(service, path);
        passer.send({ type: 'register', pairingCode: passer.code, publicKey: passer.key });
        await passer.next('registered');
        await passer.close(1000);
      }
      await listener.silent();
      await bare.silent();
    });
  }
});

describe('time', () => {
  let quick: Service;
  before(async () => {
    quick = await Service.start({ ...LIMITLESS, PAIR_WARNING_MS: '1000', PAIR_TIMEOUT_MS: '2000' });
  });
  after(async () => {
    assertCalm(quick);
    await quick.stop();
  });
  for (const path of ['/ws', '/signal/time']) {
    test(`on ${path}: both are warned, the requester is told of the end, and a late answer finds nothing`, async () => {
      const [a, b] = [await Client.enter(quick, path), await Client.enter(quick, path)];
      const started = Date.now();
      a.send({ type: 'pair_request', targetCode: b.code });
      assert.equal((await b.next('pair_incoming')).expiresIn, 2000);
      assert.deepEqual((await a.frame()).value, { type: 'pair_expiring', peerCode: b.code, remainingSeconds: 1 });
      const warned = Date.now() - started;
      assert.deepEqual((await b.frame()).value, { type: 'pair_expiring', peerCode: a.code, remainingSeconds: 1 });
      assert.deepEqual((await a.frame()).value, { type: 'pair_timeout', peerCode: b.code });
      const ended = Date.now() - started;
      assert.ok(warned >= 950 && warned < 1900, `warned after ${warned} ms`);
      assert.ok(ended >= 1950 && ended < 3500, `ended after ${ended} ms`);
      await b.expect({ type: 'pair_response', targetCode: a.code, accepted: true }, { type: 'pair_error', error: 'No pending request from this peer' });
      await nobodyHeard(b, [a, b]);
      a.send({ type: 'pair_request', targetCode: b.code });
      await b.next('pair_incoming');
      b.send({ type: 'pair_response', targetCode: a.code, accepted: true });
      await a.next('pair_matched');
    });
  }
  test('an answered request is silent afterwards, a repeated one starts anew', async () => {
    const [a, b, c, d] = [await Client.enter(quick, '/ws'), await Client.enter(quick, '/ws'), await Client.enter(quick, '/ws'), await Client.enter(quick, '/ws')];
    await pair(a, b);
    c.send({ type: 'pair_request', targetCode: d.code });
    await d.next('pair_incoming');
    await new Promise((done) => setTimeout(done, 700));
    const again = Date.now();
    c.send({ type: 'pair_request', targetCode: d.code });
    await d.next('pair_incoming');
    await c.next('pair_expiring');
    assert.ok(Date.now() - again >= 950, `counted from the repetition: ${Date.now() - again} ms`);
    await d.next('pair_expiring');
    await c.next('pair_timeout');
    await nobodyHeard(c, [a, b, c, d]);
  });
  test('an expired request frees its place and its code is answered like any other', async () => {
    const [a, b] = [await Client.enter(quick, '/ws'), await Client.enter(quick, '/ws')];
    a.send({ type: 'pair_request', targetCode: b.code });
    await b.next('pair_incoming');
    await a.next('pair_expiring');
    await a.next('pair_timeout');
    await b.next('pair_expiring');
    await b.close(1000);
    a.send({ type: 'pair_request', targetCode: b.code });
    assert.equal((await a.frame()).text, UNIFORM);
  });
  test('a link request ends like a pair request', async () => {
    const [phone, page] = [await Client.enter(quick, '/ws'), await Client.enter(quick, '/ws')];
    page.send({ type: 'link_request', linkCode: phone.code, publicKey: page.key });
    assert.equal((await phone.next('link_request')).expiresIn, 2000);
    const started = Date.now();
    assert.deepEqual(await page.next('link_timeout'), { type: 'link_timeout', linkCode: phone.code });
    assert.ok(Date.now() - started >= 1900);
    phone.send({ type: 'link_response', linkCode: phone.code, accepted: true });
    let frame = (await phone.frame()).value;
    if (frame.type === 'link_timeout') frame = (await phone.frame()).value;
    assert.equal(frame.type, 'link_error');
  });
});

describe('calls', () => {
  const id = randomUUID();
  const sdp = `v=0\r\no=- ${canary}\r\ns=-\r\n`;
  const bodies: [string, Record<string, unknown>][] = [
    ['call_offer', { callId: id, sdp, withVideo: true }],
    ['call_answer', { callId: id, sdp }],
    ['call_ice', { callId: id, candidate: '{"candidate":"candidate:1 1 udp"}' }],
    ['call_reject', { callId: id, reason: 'busy' }],
    ['call_reject', { callId: id }],
    ['call_hangup', { callId: id }],
  ];
  for (const path of ['/ws', '/signal/calls']) {
    for (const [type, body] of bodies) {
      test(`${type} on ${path} in both forms becomes the union`, async () => {
        const [a, b, c] = [await Client.enter(service, path), await Client.enter(service, path), await Client.enter(service, path)];
        for (const message of [{ type, target: b.code, payload: body }, { type, targetId: b.code, ...body }]) {
          a.send(message);
          const got = await b.next(type);
          assert.equal(got.from, a.code);
          assert.deepEqual(got.payload, body, 'nested, for Python and Dart');
          for (const [name, value] of Object.entries(body)) assert.deepEqual(got[name], value, `${name} flat, for the web`);
        }
        await nobodyHeard(a, [a, b, c]);
      });
    }
  }
  test('what does not fit is refused and not forwarded', async () => {
    const [a, b] = [await Client.enter(service, '/ws'), await Client.enter(service, '/ws')];
    const callId = 'Invalid or missing callId (must be UUID v4 format)';
    for (const [type, payload, sentence] of [
      ['call_offer', undefined, 'Missing or invalid payload'],
      ['call_offer', 'text', 'Missing or invalid payload'],
      ['call_hangup', { callId: 'x' }, callId],
      ['call_hangup', { callId: 5 }, callId],
      ['call_hangup', {}, callId],
      ['call_hangup', { callId: '6ba7b810-9dad-11d1-80b4-00c04fd430c8' }, callId],
      ['call_offer', { callId: id }, 'Missing or invalid sdp in call_offer'],
      ['call_offer', { callId: id, sdp: '' }, 'Missing or invalid sdp in call_offer'],
      ['call_answer', { callId: id, sdp: 5 }, 'Missing or invalid sdp in call_answer'],
      ['call_offer', { callId: id, sdp: 'v'.repeat(65_537) }, 'SDP too large (max 65536 bytes)'],
      ['call_answer', { callId: id, sdp: 'v'.repeat(65_537) }, 'SDP too large (max 65536 bytes)'],
      ['call_ice', { callId: id }, 'Missing or invalid candidate in call_ice'],
      ['call_ice', { callId: id, candidate: {} }, 'Missing or invalid candidate in call_ice'],
      ['call_ice', { callId: id, candidate: 'c'.repeat(1025) }, 'ICE candidate too large (max 1024 bytes)'],
    ] as [string, unknown, string][]) {
      a.send({ type, target: b.code, payload });
      const { message } = await a.next('error');
      assert.ok(message === sentence || message === `Invalid message: ${sentence}`, `${type} ${JSON.stringify(payload)?.slice(0, 60)}: ${message}`);
    }
    await nobodyHeard(a, [b]);
    a.send({ type: 'call_offer', target: b.code, payload: { callId: id, sdp: 'v'.repeat(65_536) } });
    assert.equal((await b.next('call_offer')).payload.sdp.length, 65_536);
    a.send({ type: 'call_ice', target: b.code, payload: { callId: id, candidate: 'c'.repeat(1024) } });
    assert.equal((await b.next('call_ice')).payload.candidate.length, 1024);
  });
  test('need a registered sender and a target that is there', async () => {
    const a = await Client.enter(service, '/ws');
    const stranger = await Client.open(service, '/ws');
    await stranger.expect({ type: 'call_hangup', target: a.code, payload: { callId: id } }, unregistered);
    const gone = newCode();
    for (const message of [{ type: 'call_hangup', target: gone, payload: { callId: id } }, { type: 'call_hangup', targetId: gone, callId: id }]) {
      await a.expect(message, { type: 'error', message: `Peer not found: ${gone}` });
    }
    await a.silent();
  });
});

describe('device links', () => {
  for (const path of ['/ws', '/signal/links']) {
    test(`on ${path}: request, response, matched`, async () => {
      const [phone, page, other] = [await Client.enter(service, path), await Client.enter(service, path), await Client.enter(service, path)];
      page.send({ type: 'link_request', linkCode: phone.code, publicKey: page.key, deviceName: 'Firefox' });
      assert.deepEqual((await phone.frame()).value, { type: 'link_request', linkCode: phone.code, publicKey: page.key, deviceName: 'Firefox', expiresIn: 120_000 });
      phone.send({ type: 'link_response', linkCode: phone.code, accepted: true, deviceId: 'device-1' });
      assert.deepEqual((await page.frame()).value, { type: 'link_matched', linkCode: phone.code, peerPublicKey: phone.key, isInitiator: true, deviceId: 'device-1' });
      assert.deepEqual((await phone.frame()).value, {
        type: 'link_matched', linkCode: phone.code, peerPublicKey: page.key, isInitiator: false, webClientCode: page.code, deviceName: 'Firefox',
      });
      phone.send({ type: 'link_response', linkCode: phone.code, accepted: true });
      assert.deepEqual((await phone.frame()).value, { type: 'link_error', error: 'No pending link request found' });
      await nobodyHeard(phone, [page, other]);
    });
  }
  test('a browser without a name is unknown, and a refusal is told', async () => {
    const [phone, page] = [await Client.enter(service, '/ws'), await Client.enter(service, '/ws')];
    page.send({ type: 'link_request', linkCode: phone.code, publicKey: page.key });
    assert.equal((await phone.next('link_request')).deviceName, 'Unknown Browser');
    phone.send({ type: 'link_response', linkCode: phone.code, accepted: false });
    assert.deepEqual((await page.frame()).value, { type: 'link_rejected', linkCode: phone.code });
    await nobodyHeard(phone, [page]);
  });
  test('a phone that is not there', async () => {
    const page = await Client.enter(service, '/ws');
    page.send({ type: 'link_request', linkCode: newCode(), publicKey: page.key });
    assert.deepEqual((await page.frame()).value, { type: 'link_error', error: 'Link request could not be processed' });
  });
  test('nobody answers for another phone', async () => {
    const [phone, page, thief] = [await Client.enter(service, '/ws'), await Client.enter(service, '/ws'), await Client.enter(service, '/ws')];
    page.send({ type: 'link_request', linkCode: phone.code, publicKey: page.key });
    await phone.next('link_request');
    thief.send({ type: 'link_response', linkCode: phone.code, accepted: true });
    const refused = await thief.frame();
    assert.ok(['error', 'link_error'].includes(refused.value.type), refused.text);
    assert.ok(refused.text.includes('Cannot respond to link request for another device'), refused.text);
    await nobodyHeard(thief, [page, phone]);
    phone.send({ type: 'link_response', linkCode: phone.code, accepted: true });
    await page.next('link_matched');
  });
  test('the page goes: the phone is told', async () => {
    const [phone, page] = [await Client.enter(service, '/ws'), await Client.enter(service, '/ws')];
    page.send({ type: 'link_request', linkCode: phone.code, publicKey: page.key });
    await phone.next('link_request');
    await page.close(1000);
    phone.send({ type: 'link_response', linkCode: phone.code, accepted: true });
    assert.deepEqual((await phone.frame()).value, { type: 'link_timeout', linkCode: phone.code });
  });
});

describe('frames', () => {
  test('256 KiB pass, one byte more closes 1009', async () => {
    const [a, b] = [await Client.enter(service, '/ws'), await Client.enter(service, '/ws')];
    const frame = (size: number): string => {
      const start = `{"type":"offer","target":"${b.code}","payload":"`;
      return `${start}${'p'.repeat(size - start.length - 2)}"}`;
    };
    assert.equal(frame(262_144).length, 262_144);
    a.sendRaw(frame(262_144));
    assert.equal((await b.next('offer')).payload.length, 262_144 - `{"type":"offer","target":"${b.code}","payload":""}`.length);
    a.sendRaw(frame(262_145));
    assert.equal((await a.cut()).code, 1009);
    await b.silent();
  });
  test('bytes count, not characters', async () => {
    const a = await Client.enter(service, '/signal/bytes');
    a.sendRaw(`{"type":"ping","x":"${'é'.repeat(131_072)}"}`);
    assert.equal((await a.cut()).code, 1009);
  });
  test('a paired peer hears when an oversized frame ends a socket', async () => {
    const [a, b] = [await Client.enter(service, '/ws'), await Client.enter(service, '/ws')];
    await pair(a, b);
    a.sendRaw('x'.repeat(300_000));
    assert.equal((await a.cut()).code, 1009);
    assert.deepEqual((await b.frame()).value, { type: 'peer_left', pairingCode: a.code });
  });
});

describe('closing', () => {
  for (const path of ['/', '/ws', '/signal/closing']) {
    for (const [code, reason] of [[1000, ''], [1000, 'done'], [1001, 'going'], [3000, ''], [4321, 'own reason']] as [number, string][]) {
      test(`${code} ${reason} on ${path} is answered at once with its code`, async () => {
        const client = await Client.enter(service, path);
        const started = Date.now();
        assert.equal((await client.close(code, reason)).code, code);
        assert.ok(Date.now() - started < 2000, `took ${Date.now() - started} ms`);
      });
    }
    test(`without a code on ${path}`, async () => {
      const client = await Client.open(service, path);
      const started = Date.now();
      const { code } = await client.close();
      assert.ok([1000, 1005].includes(code), String(code));
      assert.ok(Date.now() - started < 2000);
    });
  }
});

describe('origins of upgrades', () => {
  for (const origin of ['https://evil.example', 'null', 'https://app.example.evil.test', 'http://app.example']) {
    test(`${origin} is refused everywhere`, async () => {
      for (const path of [...LOBBY, '/signal/origin']) assert.equal(await refusedUpgrade(service, path, { origin }), 403, path);
    });
  }
  test('an allowed page and a program without an origin come in', async () => {
    for (const path of ['/ws', '/signal/origin']) {
      const page = await Client.enter(service, path, {}, { origin: 'https://app.example' });
      const app = await Client.enter(service, path, {}, { address: newAddress() });
      await pair(page, app);
    }
  });
  test('upgrades stand in the log by template, without the room', async () => {
    const client = await Client.enter(service, '/signal/a-very-private-room', {}, { headers: { 'X-Request-Id': 'upgrade-log-1' } });
    await client.silent();
    const line = await until('the line', () => service.logs.find((entry) => entry.request_id === 'upgrade-log-1'));
    assert.equal(line?.route, '/signal/{room}');
    assert.equal(line?.status, 101);
    assert.ok(!service.output.includes('a-very-private-room'));
  });
});
