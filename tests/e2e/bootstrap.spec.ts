// The registry of relay servers: edge-wire.md 1.6, 1.7, 1.9 and 8, issue 2 section 3.

import assert from 'node:assert/strict';
import { randomBytes, randomUUID, sign } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { assertCalm, assertNoLeak, assertProblem, pause, Service, until } from './support/service.ts';
import type { Answer, Settings } from './support/service.ts';
import { canonical, fromSeed, kid, rawPublic, Relay, verifies } from './support/signing.ts';

const SEED = '9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60';
const PUBLIC = '11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=';
const SECRET = 'registry-secret-0123456789abcdef01';
const BEARER = { Authorization: `Bearer ${SECRET}` };

const plain = (serverId: string, more: Record<string, unknown> = {}): Record<string, unknown> => ({
  serverId, endpoint: 'wss://relay.example:9000', publicKey: 'cHVibGljLWtleQ==', ...more,
});

async function list(service: Service): Promise<any[]> {
  const answer = await service.get('/servers');
  assert.equal(answer.status, 200, answer.text);
  return answer.json.servers;
}
const ids = async (service: Service): Promise<string[]> => (await list(service)).map((server) => server.serverId);

/** Everything the strictest client in the field asks of a list. */
function assertSignedList(answer: Answer, publicKey: Buffer): void {
  assert.equal(answer.status, 200);
  assert.equal(answer.headers['content-type'], 'application/json');
  const signature = String(answer.headers['x-bootstrap-signature']);
  assert.match(signature, /^[A-Za-z0-9+/]{86}==$/, 'standard base64 with padding');
  assert.ok(verifies(publicKey, answer.bytes, signature), 'the signature is over the exact bytes');
  assert.ok(answer.bytes.every((byte) => byte >= 0x20 && byte < 0x7f), 'ASCII without control characters');
  assert.match(answer.text, /^\{"servers":\[.*\],"timestamp":\d{13}[,}]/);
  assert.ok(!/[\s]/.test(answer.text.replace(/"(?:[^"\\]|\\.)*"/g, '""')), 'compact');
  for (const number of answer.text.replace(/"(?:[^"\\]|\\.)*"/g, '""').match(/-?\d[\d.eE+-]*/g) ?? []) assert.match(number, /^\d{1,16}$/, 'a plain integer');
  assert.ok(Math.abs(Date.now() - answer.json.timestamp) < 30_000, 'fresh');
  for (const server of answer.json.servers) {
    for (const name of ['serverId', 'endpoint', 'publicKey', 'region']) assert.equal(typeof server[name], 'string', name);
    for (const name of ['connections', 'relayConnections', 'signalingConnections', 'activeCodes', 'registeredAt', 'lastSeen']) {
      assert.ok(Number.isSafeInteger(server[name]), `${name}: ${server[name]}`);
    }
  }
}

async function withService(settings: Settings, run: (service: Service) => Promise<void>): Promise<void> {
  const service = await Service.start(settings);
  try {
    await run(service);
    assertCalm(service);
  } finally {
    await service.stop();
  }
}

describe('with the registry secret', () => {
  let service: Service;
  before(async () => {
    service = await Service.start({ BOOTSTRAP_SIGNING_KEY: SEED, SERVER_REGISTRY_SECRET: SECRET });
  });
  after(async () => {
    assertCalm(service);
    assertNoLeak(service, [SEED, SECRET, 'cHVibGljLWtleQ==', 'relay.example', 'ed25519:']);
    await service.stop();
  });
  const register = (body: unknown): Promise<Answer> => service.post('/servers', body, { headers: BEARER });

  test('a registration answers the whole entry', async () => {
    const from = Date.now();
    const answer = await register(plain('whole-1', { region: 'eu-west_1.a', connections: 3, relayConnections: 2, signalingConnections: 1, activeCodes: 7 }));
    assert.equal(answer.status, 200, answer.text);
    assert.equal(answer.json.success, true);
    const { registeredAt, lastSeen, ...rest } = answer.json.server;
    assert.deepEqual(rest, {
      ...plain('whole-1'), region: 'eu-west_1.a', connections: 3, relayConnections: 2, signalingConnections: 1, activeCodes: 7,
    });
    for (const time of [registeredAt, lastSeen]) assert.ok(Number.isInteger(time) && time >= from - 50 && time <= Date.now() + 50, String(time));
    const entry = (await list(service)).find((server) => server.serverId === 'whole-1');
    assert.deepEqual(entry, answer.json.server);
  });

  test('registering again replaces the entry', async () => {
    const first = await register(plain('again-1', { region: 'a', connections: 9 }));
    await pause(5);
    const second = await register(plain('again-1', { endpoint: 'wss://other.example/' }));
    assert.ok(second.json.server.registeredAt > first.json.server.registeredAt);
    assert.equal(second.json.server.region, 'unknown');
    assert.equal(second.json.server.connections, 0);
    const entries = (await list(service)).filter((server) => server.serverId === 'again-1');
    assert.equal(entries.length, 1);
    assert.equal(entries[0].endpoint, 'wss://other.example/');
  });

  describe('asks for the secret first', () => {
    const wrong: (Record<string, string> | undefined)[] = [
      undefined, { Authorization: '' }, { Authorization: 'Bearer' }, { Authorization: 'Bearer x' }, { Authorization: `Bearer ${SECRET}x` },
      { Authorization: `Bearer ${SECRET.slice(0, -1)}` }, { Authorization: SECRET }, { Authorization: `Basic ${SECRET}` }, { Authorization: `Bearer ${SECRET.toUpperCase()}` },
    ];
    for (const [method, path, body] of [
      ['POST', '/servers', plain('nobody')], ['POST', '/servers', '{'], ['POST', '/servers', 'x'.repeat(5000)],
      ['POST', '/servers/heartbeat', { serverId: 'nobody' }], ['POST', '/servers/heartbeat', '{'], ['DELETE', '/servers/nobody', undefined],
    ] as [string, string, unknown][]) {
      test(`${method} ${path} ${JSON.stringify(body)?.slice(0, 20) ?? ''}`, async () => {
        for (const headers of wrong) {
          const answer = await service.ask(method, path, { headers, body });
          assertProblem(answer, 401, 'Unauthorized');
        }
        assert.ok(!(await ids(service)).includes('nobody'));
      });
    }
  });

  // In the order of 1.6: each body also breaks every later rule, so the sentence proves the order.
  const badKey = 'k'.repeat(1025);
  const longPath = 'x'.repeat(2100);
  const order: [string, Record<string, unknown>, string][] = [
    ['missing serverId', { endpoint: 'nope', publicKey: badKey }, 'Missing required fields: serverId, endpoint, publicKey'],
    ['empty serverId', { serverId: '', endpoint: 'nope', publicKey: badKey }, 'Missing required fields: serverId, endpoint, publicKey'],
    ['zero serverId', { serverId: 0, endpoint: 'nope', publicKey: badKey }, 'Missing required fields: serverId, endpoint, publicKey'],
    ['null serverId', { serverId: null, endpoint: 'nope', publicKey: badKey }, 'Missing required fields: serverId, endpoint, publicKey'],
    ['missing endpoint', { serverId: 'bad id', publicKey: badKey }, 'Missing required fields: serverId, endpoint, publicKey'],
    ['missing publicKey', { serverId: 'bad id', endpoint: 'nope' }, 'Missing required fields: serverId, endpoint, publicKey'],
    ['false publicKey', { serverId: 'bad id', endpoint: 'nope', publicKey: false }, 'Missing required fields: serverId, endpoint, publicKey'],
    ['serverId with a blank', { serverId: 'bad id', endpoint: 'nope', publicKey: badKey }, 'Invalid serverId format'],
    ['serverId a number', { serverId: 5, endpoint: 'nope', publicKey: badKey }, 'Invalid serverId format'],
    ['serverId a list', { serverId: ['a'], endpoint: 'nope', publicKey: badKey }, 'Invalid serverId format'],
    ['serverId of 129', { serverId: 'a'.repeat(129), endpoint: 'nope', publicKey: badKey }, 'Invalid serverId format'],
    ['serverId not ASCII', { serverId: 'serveré', endpoint: 'nope', publicKey: badKey }, 'Invalid serverId format'],
    ['serverId with a newline', { serverId: 'a\n', endpoint: 'nope', publicKey: badKey }, 'Invalid serverId format'],
    ['serverId with a quote', { serverId: 'a"', endpoint: 'nope', publicKey: badKey }, 'Invalid serverId format'],
    ['endpoint no URL', { serverId: 'ok', endpoint: 'nope', publicKey: badKey }, 'Invalid endpoint: must be a valid URL'],
    ['endpoint a number', { serverId: 'ok', endpoint: 5, publicKey: badKey }, 'Invalid endpoint: must be a valid URL'],
    ['endpoint without host', { serverId: 'ok', endpoint: 'wss://', publicKey: badKey }, 'Invalid endpoint: must be a valid URL'],
    ['endpoint ws, private, long', { serverId: 'ok', endpoint: `ws://127.0.0.1/${longPath}`, publicKey: badKey }, 'Invalid endpoint: must use HTTPS or WSS protocol'],
    ['endpoint http', { serverId: 'ok', endpoint: 'http://relay.example', publicKey: badKey }, 'Invalid endpoint: must use HTTPS or WSS protocol'],
    ['endpoint javascript', { serverId: 'ok', endpoint: 'javascript:alert(1)', publicKey: badKey }, 'Invalid endpoint: must use HTTPS or WSS protocol'],
    ['endpoint ftp', { serverId: 'ok', endpoint: 'ftp://relay.example/', publicKey: badKey }, 'Invalid endpoint: must use HTTPS or WSS protocol'],
    ['endpoint private, long', { serverId: 'ok', endpoint: `wss://127.0.0.1/${longPath}`, publicKey: badKey }, 'Invalid endpoint: must not point to private or internal addresses'],
    ['endpoint long', { serverId: 'ok', endpoint: `wss://relay.example/${longPath}`, publicKey: badKey }, 'Invalid endpoint: URL too long (max 2048 characters)'],
    ['publicKey long', { serverId: 'ok', endpoint: 'wss://relay.example', publicKey: badKey }, 'Invalid publicKey: too long'],
  ];
  for (const [name, body, sentence] of order) {
    test(`the first failure wins: ${name}`, async () => assertProblem(await register(body), 400, sentence));
  }

  test('bounds are exact', async () => {
    const endpoint = (length: number): string => `wss://relay.example/${'x'.repeat(length - 'wss://relay.example/'.length)}`;
    assert.equal((await register(plain('a'.repeat(128)))).status, 200);
    assertProblem(await register(plain('a'.repeat(129))), 400, 'Invalid serverId format');
    assert.equal((await register(plain('bound-1', { endpoint: endpoint(2048) }))).status, 200);
    assertProblem(await register(plain('bound-1', { endpoint: endpoint(2049) })), 400, 'Invalid endpoint: URL too long (max 2048 characters)');
    assert.equal((await register(plain('bound-2', { publicKey: 'k'.repeat(1024) }))).status, 200);
    assertProblem(await register(plain('bound-2', { publicKey: 'k'.repeat(1025) })), 400, 'Invalid publicKey: too long');
    assert.equal((await register(plain('bound-3', { region: 'r'.repeat(64) }))).json.server.region, 'r'.repeat(64));
    assert.equal((await register(plain('bound-3', { region: 'r'.repeat(65) }))).json.server.region, 'unknown');
  });

  test('every character that an id may have', async () => {
    const id = 'AZaz09_:.+/=-';
    assert.equal((await register(plain(id))).status, 200);
    assert.ok((await ids(service)).includes(id));
    const gone = await service.ask('DELETE', `/servers/${encodeURIComponent(id)}`, { headers: BEARER });
    assert.equal(gone.status, 200);
    assert.ok(!(await ids(service)).includes(id));
  });

  for (const region of [undefined, null, '', 5, {}, 'a b', 'é', '<script>', 'a/b']) {
    test(`the region ${JSON.stringify(region)} is unknown`, async () => {
      const answer = await register(plain('region-1', { region }));
      assert.equal(answer.status, 200);
      assert.equal(answer.json.server.region, 'unknown');
    });
  }

  for (const [given, kept] of [[0, 0], [7, 7], [1.9, 1], [-5, 0], [-0.5, 0], ['7', 0], [null, 0], [true, 0], [{}, 0], [[3], 0], [1e3, 1000]] as [unknown, number][]) {
    test(`the counter ${JSON.stringify(given)} is ${kept}`, async () => {
      const answer = await register(plain('count-1', { connections: given, relayConnections: given, signalingConnections: given, activeCodes: given }));
      assert.equal(answer.status, 200);
      for (const name of ['connections', 'relayConnections', 'signalingConnections', 'activeCodes']) assert.equal(answer.json.server[name], kept, name);
    });
  }

  test('nothing that a caller sends can spoil the list for a strict client', async () => {
    const raw = (endpoint: string, key: string, extra: string): string =>
      `{"serverId":"odd-1","endpoint":${endpoint},"publicKey":${key}${extra}}`;
    for (const body of [
      raw('"wss://b\u00fccher.example/\u00fc\u{1f600}"', '"k"', ''),
      raw('"wss://relay.example/"', '"kl\u00fcssel\u{1f600}"', ''),
      raw('"wss://relay.example/"', '"\\ud800"', ''),
      raw('"wss://relay.example/"', '"line\\nbreak\\u0000\\u2028"', ''),
      raw('"wss://relay.example/"', '{"an":"object"}', ''),
      raw('"wss://relay.example/"', '5', ''),
      raw('"wss://relay.example/"', '["k"]', ''),
      raw('"wss://relay.example/"', '"k"', ',"connections":1e300'),
      raw('"wss://relay.example/"', '"k"', ',"connections":1e400'),
      raw('"wss://relay.example/"', '"k"', ',"connections":9007199254740993'),
      raw('"wss://relay.example/"', '"k"', ',"connections":123456789012345678901234567890'),
      raw('"wss://relay.example/"', '"k"', ',"lastSeen":"soon","registeredAt":1.5,"identityKey":{},"timestampX":1'),
      raw('" wss://relay.example/ "', '"k"', ''),
      raw('"wss://relay.example/\\t\\n\\"quote"', '"k"', ''),
      raw('"wss://relay.example/"', '"k"', ',"serverId":"odd-2"'),
    ]) {
      const answer = await register(body);
      assert.ok([200, 400].includes(answer.status), `${body}: ${answer.status}`);
      assertSignedList(await service.get('/servers'), Buffer.from(PUBLIC, 'base64'));
    }
  });

  describe('addresses', () => {
    const privateOnes = [
      'localhost', 'LOCALHOST', 'localhost.', 'x.localhost', '127.0.0.1', '127.0.0.2', '127.255.255.254', '127.1', '127.0.1', '2130706433', '0x7f000001', '0x7F.1',
      '017700000001', '0177.0.0.1', '127.0.0.1.', '0.0.0.0', '0', '10.0.0.1', '10.255.255.255', '10.1', '0xa.0.0.1', '012.0.0.1', '167772161', '172.16.0.1',
      '172.31.255.255', '0xac100001', '192.168.0.1', '192.168.255.255', '3232235521', '192.168.1', '169.254.169.254', '2852039166', '[::1]', '[0:0:0:0:0:0:0:1]',
      '[::]', '[fc00::1]', '[fd12:3456::1]', '[FDFF::1]', '[fe80::1]', '[febf::1]', '[::ffff:10.0.0.1]', '[::ffff:7f00:1]', '[::FFFF:192.168.1.1]',
      '[::ffff:127.0.0.1]', '[::127.0.0.1]', 'user:pass@10.0.0.1', '10.0.0.1:443', '%31%30.0.0.1', '\uff11\uff10.0.0.1', '127\u30020\u30020\u30021', '\u24db\u24de\u24d2\u24d0lhost',
    ];
    for (const host of privateOnes) {
      test(`${host} is private`, async () => {
        for (const scheme of ['wss', 'https']) {
          assertProblem(await register(plain('private-1', { endpoint: `${scheme}://${host}/x` })), 400, 'Invalid endpoint: must not point to private or internal addresses');
        }
        assert.ok(!(await ids(service)).includes('private-1'));
      });
    }
    for (const host of ['100.64.0.1', '224.0.0.1', '255.255.255.255', '[ff02::1]', '[64:ff9b::10.0.0.1]', '[2002:a00:1::1]']) {
      test(`${host} leads to no public relay`, async () => {
        assertProblem(await register(plain('private-2', { endpoint: `wss://${host}/` })), 400, 'Invalid endpoint: must not point to private or internal addresses');
      });
    }
    for (const host of [
      '8.8.8.8', '11.0.0.1', '9.255.255.255', '172.15.255.255', '172.32.0.1', '192.167.0.1', '192.169.0.1', '169.253.0.1', '126.0.0.1', '128.0.0.1', '134744072',
      '[2606:4700:4700::1111]', '[::ffff:8.8.8.8]', 'fd.example.com', 'fc00.example.com', 'fd12-relay.example.com', '10.example.com', '127.0.0.1.example.com', 'localhost.example.com',
      'notlocalhost', 'relay.example:8443', 'RELAY.example',
    ]) {
      test(`${host} is public`, async () => {
        const answer = await register(plain('public-1', { endpoint: `wss://${host}/x?y=1` }));
        assert.equal(answer.status, 200, answer.text);
        assert.equal(answer.json.server.endpoint, `wss://${host}/x?y=1`, 'kept as it came');
      });
    }
  });

  describe('heartbeats', () => {
    test('errors', async () => {
      const beat = (body: unknown): Promise<Answer> => service.post('/servers/heartbeat', body, { headers: BEARER });
      for (const body of [{}, { serverId: '' }, { serverId: null }, { connections: 1 }]) assertProblem(await beat(body), 400, 'Missing serverId');
      for (const serverId of ['a b', 5, ['a'], 'x'.repeat(129), 'é']) assertProblem(await beat({ serverId }), 400, 'Invalid serverId format');
      assertProblem(await beat({ serverId: 'never-registered' }), 404, 'Server not registered');
    });
    test('answer every other server, and change counters only by finite numbers', async () => {
      await register(plain('beat-1', { connections: 5, activeCodes: 6 }));
      await register(plain('beat-2'));
      const answer = await service.post('/servers/heartbeat', { serverId: 'beat-1', connections: 8.7, relayConnections: -1, activeCodes: 'x' }, { headers: BEARER });
      assert.equal(answer.status, 200, answer.text);
      assert.deepEqual(Object.keys(answer.json), ['success', 'peers']);
      assert.equal(answer.json.success, true);
      const peers = answer.json.peers.map((peer: any) => peer.serverId);
      const listed = await list(service);
      assert.deepEqual(peers, listed.map((server) => server.serverId).filter((id) => id !== 'beat-1'));
      assert.ok(peers.includes('beat-2'));
      const peer = answer.json.peers.find((entry: any) => entry.serverId === 'beat-2');
      assert.deepEqual(peer, listed.find((server) => server.serverId === 'beat-2'));
      const entry = listed.find((server) => server.serverId === 'beat-1');
      assert.deepEqual([entry.connections, entry.relayConnections, entry.signalingConnections, entry.activeCodes], [8, 0, 0, 6]);
    });
    test('move lastSeen, and not registeredAt', async () => {
      const before = (await register(plain('beat-3'))).json.server;
      await pause(20);
      const sent = Date.now();
      assert.equal((await service.post('/servers/heartbeat', { serverId: 'beat-3' }, { headers: BEARER })).status, 200);
      const entry = await until('lastSeen moved', async () =>
        (await list(service)).find((server) => server.serverId === 'beat-3' && server.lastSeen >= sent - 5));
      assert.equal(entry.registeredAt, before.registeredAt);
    });
    test('2048 bytes of signed extras are fine', async () => {
      await register(plain('beat-4'));
      const answer = await service.post('/servers/heartbeat', { serverId: 'beat-4', note: 'n'.repeat(1500) }, { headers: BEARER });
      assert.equal(answer.status, 200);
    });
  });

  describe('leaving', () => {
    test('is done once and harmless twice', async () => {
      await register(plain('leave-1'));
      for (let i = 0; i < 2; i += 1) {
        const answer = await service.ask('DELETE', '/servers/leave-1', { headers: BEARER });
        assert.equal(answer.status, 200);
        assert.deepEqual(answer.json, { success: true });
        assert.ok(!(await ids(service)).includes('leave-1'));
      }
      assertProblem(await service.post('/servers/heartbeat', { serverId: 'leave-1' }, { headers: BEARER }), 404, 'Server not registered');
    });
    test('names the server in the path, percent-decoded once', async () => {
      for (const id of ['ed25519:abc', 'a/b', 'a+b=', 'a%20b']) {
        if (id !== 'a%20b') await register(plain(id));
      }
      assert.equal((await service.ask('DELETE', `/servers/${encodeURIComponent('ed25519:abc')}`, { headers: BEARER })).status, 200);
      assert.equal((await service.ask('DELETE', '/servers/a%2Fb', { headers: BEARER })).status, 200);
      assert.equal((await service.ask('DELETE', '/servers/a+b=', { headers: BEARER })).status, 200, '+ is no blank in a path');
      const left = await ids(service);
      for (const id of ['ed25519:abc', 'a/b', 'a+b=']) assert.ok(!left.includes(id), id);
    });
    test('bad ids and paths', async () => {
      for (const id of ['a%20b', '%C3%A9', 'x'.repeat(129), 'a%00', 'a%2520']) {
        assertProblem(await service.ask('DELETE', `/servers/${id}`, { headers: BEARER }), 400, 'Invalid server ID');
      }
      for (const id of ['%', '%zz', '%e9%', '%ff']) {
        assertProblem(await service.ask('DELETE', `/servers/${id}`, { headers: BEARER }), 400);
      }
      for (const path of ['/servers/a/b', '/servers/a/']) {
        const answer = await service.ask('DELETE', path, { headers: BEARER });
        assert.ok([400, 404].includes(answer.status), `${path}: ${answer.status}`);
      }
    });
    test('by its own key needs no secret, and anybody else is refused', async () => {
      const relay = new Relay();
      const other = new Relay();
      const path = `/servers/${encodeURIComponent(relay.serverId)}`;
      const leave = (body: unknown): Promise<Answer> => service.ask('DELETE', path, { body });
      assert.equal((await register(relay.registration())).status, 200);
      const good = relay.leaving();
      const forged = [
        { ...good, signature: other.sign('x') },
        { ...good, signature: other.leaving().signature },
        { ...good, nonce: randomUUID() },
        { ...good, timestamp: Number(good.timestamp) - 1 },
        { ...good, signature: '' },
        { ...good, signature: 'not base64' },
        { ...good, signature: randomBytes(64).toString('base64') },
        { ...good, signature: relay.sign(canonical({ action: 'register', nonce: good.nonce, serverId: relay.serverId, timestamp: good.timestamp })) },
        { ...good, signature: relay.sign(canonical({ action: 'unregister', nonce: good.nonce, serverId: other.serverId, timestamp: good.timestamp })) },
      ];
      for (const body of forged) {
        const answer = await leave(body);
        assert.ok([400, 401, 403].includes(answer.status), `${JSON.stringify(body)}: ${answer.status}`);
        assertProblem(answer, answer.status);
      }
      const wrong = await leave(forged[0]);
      assert.equal(wrong.status, 403, 'a wrong proof is refused as such');
      for (const body of [relay.leaving({ timestamp: Date.now() - 121_000 }), relay.leaving({ timestamp: Date.now() + 31_000 }), relay.leaving({ nonce: 'short' })]) {
        assertProblem(await leave(body), 400);
      }
      for (const body of [undefined, {}]) assertProblem(await leave(body), 401, 'Unauthorized');
      const bearerOfKey = await service.ask('DELETE', path, { headers: { Authorization: `Bearer ${relay.publicKey}` } });
      assert.ok([401, 403].includes(bearerOfKey.status), 'a public key proves nothing');
      assert.ok((await ids(service)).includes(relay.serverId), 'still listed after every forgery');
      const gone = await leave(good);
      assert.equal(gone.status, 200, gone.text);
      assert.ok(!(await ids(service)).includes(relay.serverId));
    });
    test('a captured proof does not work a second time', async () => {
      const relay = new Relay();
      const path = `/servers/${encodeURIComponent(relay.serverId)}`;
      await register(relay.registration());
      const proof = relay.leaving();
      assert.equal((await service.ask('DELETE', path, { body: proof })).status, 200);
      await register(relay.registration());
      assertProblem(await service.ask('DELETE', path, { body: proof }), 409);
      assert.ok((await ids(service)).includes(relay.serverId));
    });
  });

  describe('the newer fields: absent is legacy, present is enforced', () => {
    const beat = (body: unknown): Promise<Answer> => service.post('/servers/heartbeat', body, { headers: BEARER });

    test('a signed registration passes, in both forms', async () => {
      for (const more of [{}, { connections: 4, meta: { deep: [1, { z: 1, a: 'ü' }] }, buildVersion: '1.2.3' }]) {
        const relay = new Relay();
        const full = await register(relay.signed(relay.registration(more)));
        assert.equal(full.status, 200, full.text);
        const legacy = await register(relay.signedLegacy(more));
        assert.equal(legacy.status, 200, legacy.text);
      }
    });

    test('a signature of another key, of other bytes, or of no form is refused', async () => {
      const relay = new Relay();
      const body = relay.signed(relay.registration());
      const signature = Buffer.from(String(body.signature), 'base64');
      const flipped = Buffer.from(signature);
      flipped[10] = (flipped[10] ?? 0) ^ 1;
      for (const forged of [new Relay().signed(relay.registration()).signature, flipped.toString('base64'), signature.subarray(1).toString('base64'), '', 'x', 5, {}, randomBytes(64).toString('base64')]) {
        const answer = await register({ ...body, signature: forged });
        assert.ok([400, 401, 403].includes(answer.status), `${JSON.stringify(forged)}: ${answer.status} ${answer.text}`);
      }
      assertProblem(await register({ ...body, signature: flipped.toString('base64') }), 403);
      assert.ok(!(await ids(service)).includes(relay.serverId));
      assert.equal((await register(body)).status, 200, 'a refused forgery does not burn the nonce of the honest one');
    });

    test('a signature by a key that is none is refused', async () => {
      for (const publicKey of ['not-a-key', Buffer.alloc(32).toString('base64'), Buffer.alloc(31, 1).toString('base64')]) {
        const relay = new Relay(`bad-key-${publicKey.length}`);
        const answer = await register(relay.signed(relay.registration({ publicKey })));
        assert.ok([400, 403].includes(answer.status), `${publicKey}: ${answer.status}`);
        assert.ok(!(await ids(service)).includes(relay.serverId));
      }
    });

    test('every field is signed', async () => {
      const relay = new Relay();
      const body: any = relay.signed(relay.registration({ connections: 1, meta: { inner: { leaf: 'x' }, items: ['p', 'q'] }, buildVersion: '1' }));
      const mutants: any[] = [];
      const mutate = (value: any, rebuild: (changed: any) => any): void => {
        if (Array.isArray(value)) {
          value.forEach((inner, at) => mutate(inner, (changed) => rebuild(value.map((old, i) => (i === at ? changed : old)))));
          mutants.push(rebuild([...value, 'more']));
        } else if (value !== null && typeof value === 'object') {
          for (const [key, inner] of Object.entries(value)) mutate(inner, (changed) => rebuild({ ...value, [key]: changed }));
          mutants.push(rebuild({ ...value, added: 1 }));
        } else mutants.push(rebuild(typeof value === 'number' ? value + 1 : `${value}0`));
      };
      const { signature, ...rest } = body;
      mutate(rest, (changed) => ({ ...changed, signature }));
      assert.ok(mutants.length >= 14, String(mutants.length));
      for (const mutant of mutants) {
        const answer = await register(mutant);
        assert.ok(answer.status >= 400 && answer.status < 500, `accepted: ${JSON.stringify(mutant)} ${answer.status}`);
      }
      assert.ok(!(await ids(service)).includes(relay.serverId));
      assert.equal((await register(body)).status, 200, 'the unchanged one passes');
    });

    test('a registration cannot be replayed', async () => {
      const relay = new Relay();
      const body = relay.signed(relay.registration());
      assert.equal((await register(body)).status, 200);
      assertProblem(await register(body), 409, 'Replay detected: duplicate nonce');
      const unsigned = { ...plain('replay-1'), nonce: 'n'.repeat(16), timestamp: Date.now() };
      assert.equal((await register(unsigned)).status, 200);
      assertProblem(await register({ ...unsigned, timestamp: Date.now() }), 409, 'Replay detected: duplicate nonce');
    });

    test('twenty copies at once register once', async () => {
      const relay = new Relay();
      const body = relay.signed(relay.registration());
      const answers = await Promise.all(Array.from({ length: 20 }, () => register(body)));
      assert.deepEqual(answers.map((answer) => answer.status).sort(), [200, ...Array(19).fill(409)]);
    });

    test('times and nonces are checked when they are there', async () => {
      const fresh = (more: Record<string, unknown>): Record<string, unknown> => plain('times-1', { nonce: randomUUID(), timestamp: Date.now(), ...more });
      assertProblem(await register(fresh({ timestamp: Date.now() - 121_000 })), 400, 'Registration timestamp too old (max 2 minutes)');
      assertProblem(await register(fresh({ timestamp: Date.now() + 32_000 })), 400, 'Registration timestamp too far in future (max 30 seconds)');
      assert.equal((await register(fresh({ timestamp: Date.now() - 115_000 }))).status, 200);
      assert.equal((await register(fresh({ timestamp: Date.now() + 25_000 }))).status, 200);
      for (const timestamp of ['now', {}, true, String(Date.now()), new Date().toISOString()]) {
        assertProblem(await register(fresh({ timestamp })), 400, 'Missing or invalid timestamp');
      }
      for (const nonce of ['', 'x'.repeat(15), 5, {}, true]) {
        assertProblem(await register(fresh({ nonce })), 400, 'Missing or invalid nonce (must be string >= 16 chars)');
      }
      assert.equal((await register(fresh({ nonce: randomBytes(8).toString('hex') }))).status, 200, '16 are enough');
    });

    test('sequence numbers only rise, and start anew with a registration', async () => {
      const relay = new Relay();
      await register(relay.signed(relay.registration()));
      const send = (n: number): Promise<Answer> => beat(relay.signed(relay.beat(n)));
      assert.equal((await send(1)).status, 200);
      assert.equal((await send(2)).status, 200);
      assert.equal((await send(10)).status, 200);
      for (const n of [10, 9, 1]) {
        const answer = await send(n);
        assertProblem(answer, 409);
        assert.equal(answer.json.lastSequenceNumber, 10);
      }
      assert.equal((await send(11)).status, 200, 'a refused one changes nothing');
      for (const bad of ['12', 12.5, -1, {}]) assertProblem(await beat(relay.beat(0, { sequenceNumber: bad })), 400);
      await register(relay.signed(relay.registration()));
      assert.equal((await send(1)).status, 200, 'a restarted server counts from 1');
    });

    test('a heartbeat cannot be replayed, nor signed by a stranger', async () => {
      const relay = new Relay();
      await register(relay.signed(relay.registration()));
      const body = relay.signed({ serverId: relay.serverId, timestamp: Date.now(), nonce: randomUUID() });
      assert.equal((await beat(body)).status, 200);
      assertProblem(await beat(body), 409);
      assertProblem(await beat(new Relay().signed(relay.beat(5))), 403);
      const changed = relay.signed(relay.beat(6, { connections: 5 }));
      assertProblem(await beat({ ...changed, connections: 6 }), 403);
      assertProblem(await beat(relay.signed(relay.beat(7, { timestamp: Date.now() - 121_000 }))), 400);
      assertProblem(await beat(relay.signed(relay.beat(8, { timestamp: Date.now() + 32_000 }))), 400);
      assertProblem(await beat(relay.signed(relay.beat(9, { nonce: 'short' }))), 400);
      assert.equal((await beat({ serverId: relay.serverId })).status, 200, 'and the plain form still works');
    });
  });

  test('the list is sorted by id', async () => {
    for (const id of ['sort-b', 'sort-a', 'sort-C', 'sort-10', 'sort-9']) await register(plain(id));
    const all = await ids(service);
    assert.deepEqual(all, [...all].sort((a, b) => (a < b ? -1 : 1)));
    assert.ok(all.includes('sort-9'));
  });
});

describe('the signed list', () => {
  test('is signed over its exact bytes by a hex or base64 seed, and the vector of 1.7 holds', async () => {
    for (const seed of [SEED, SEED.toUpperCase(), Buffer.from(SEED, 'hex').toString('base64')]) {
      await withService({ BOOTSTRAP_SIGNING_KEY: seed, DEV_MODE: 'true' }, async (service) => {
        const key = Buffer.from(PUBLIC, 'base64');
        const empty = await service.get('/servers');
        assertSignedList(empty, key);
        assert.deepEqual(empty.json.servers, []);
        assert.equal(empty.headers['x-bootstrap-signature'], sign(null, empty.bytes, fromSeed(Buffer.from(SEED, 'hex'))).toString('base64'));
        await service.post('/servers', plain('one', { endpoint: 'ws://127.0.0.1:9000' }));
        const one = await service.get('/servers');
        assertSignedList(one, key);
        assert.equal(one.json.servers.length, 1, 'a change is seen at once');
        assert.notEqual(one.headers.etag, empty.headers.etag);
      });
    }
  });

  test('is fresh whenever it is fetched, may be kept only shortly, and can be revalidated', async () => {
    await withService({ BOOTSTRAP_SIGNING_KEY: SEED, DEV_MODE: 'true' }, async (service) => {
      await service.post('/servers', plain('one', { endpoint: 'ws://127.0.0.1:9000' }));
      const first = await service.get('/servers');
      const control = String(first.headers['cache-control']);
      const age = /max-age=(\d+)/.exec(control);
      assert.ok(/no-cache|no-store/.test(control) || (age !== null && Number(age[1]) <= 60), `suits a window of 5 minutes: ${control}`);
      // The tag may change once a second, so one of several quick attempts must meet the same signing.
      let met = false;
      for (let i = 0; i < 5 && !met; i += 1) {
        const fresh = await service.get('/servers');
        assert.match(String(fresh.headers.etag), /^"[^"]+"$/, 'strong');
        const same = await service.get('/servers', { headers: { 'If-None-Match': String(fresh.headers.etag) } });
        if (same.status !== 304) continue;
        met = true;
        assert.equal(same.bytes.length, 0);
        assert.equal(same.headers.etag, fresh.headers.etag);
      }
      assert.ok(met, '304 for a current copy');
      assert.equal((await service.get('/servers', { headers: { 'If-None-Match': '"something-else"' } })).status, 200);
      await pause(1500);
      const later = await service.get('/servers');
      assertSignedList(later, Buffer.from(PUBLIC, 'base64'));
      assert.ok(Date.now() - later.json.timestamp < 60_000, `far from the end of the window: ${Date.now() - later.json.timestamp} ms old`);
      const before = String(later.headers.etag);
      await service.post('/servers', plain('two', { endpoint: 'ws://127.0.0.1:9001' }));
      const changed = await service.get('/servers', { headers: { 'If-None-Match': before } });
      assert.equal(changed.status, 200, 'a change ends the copy');
      assert.equal(changed.json.servers.length, 2);
    });
  });

  test('the same bytes carry the same tag and signature', async () => {
    await withService({ BOOTSTRAP_SIGNING_KEY: SEED, DEV_MODE: 'true' }, async (service) => {
      const answers = await Promise.all(Array.from({ length: 40 }, () => service.get('/servers')));
      const seen = new Map<string, string>();
      for (const answer of answers) {
        const known = seen.get(String(answer.headers.etag));
        if (known !== undefined) assert.equal(answer.text + answer.headers['x-bootstrap-signature'], known);
        seen.set(String(answer.headers.etag), answer.text + answer.headers['x-bootstrap-signature']);
        assertSignedList(answer, Buffer.from(PUBLIC, 'base64'));
      }
      assert.ok(seen.size <= 3, `signed once per second, not per request: ${seen.size}`);
    });
  });

  test('during a rotation every key signs, the first is current, and the keys can be read', async () => {
    const next = randomBytes(32);
    const third = randomBytes(32);
    const seeds = [Buffer.from(SEED, 'hex'), next, third];
    await withService({ BOOTSTRAP_SIGNING_KEY: `${SEED},${next.toString('base64')},${third.toString('hex')}`, DEV_MODE: 'true' }, async (service) => {
      await service.post('/servers', plain('one', { endpoint: 'ws://127.0.0.1:9000' }));
      const answer = await service.get('/servers');
      const publics = seeds.map((seed) => rawPublic(fromSeed(seed)));
      assertSignedList(answer, publics[0] as Buffer);
      const parts = String(answer.headers['x-bootstrap-signatures']).split(',').map((part) => part.trim());
      assert.equal(parts.length, 3);
      for (const key of publics) {
        const part = parts.find((text) => text.startsWith(`${kid(key)}=`));
        assert.ok(part, `kid ${kid(key)} in ${parts.join()}`);
        assert.ok(verifies(key, answer.bytes, part.slice(9)));
      }
      const keys = await service.get('/servers/keys');
      assert.equal(keys.status, 200);
      const entries: any[] = keys.json.keys;
      assert.equal(entries.length, 3);
      for (const key of publics) {
        const entry = entries.find((candidate) => candidate.kid === kid(key));
        assert.ok(entry, kid(key));
        assert.ok(Object.values(entry).includes(key.toString('base64')), 'the public key in base64');
        assert.equal(typeof entry.state, 'string');
      }
      const states = publics.map((key) => entries.find((entry) => entry.kid === kid(key)).state);
      assert.notEqual(states[0], states[1], 'the current one is told apart');
      for (const seed of seeds) for (const text of [seed.toString('hex'), seed.toString('base64')]) assert.ok(!keys.text.includes(text), 'no private key');
      assertNoLeak(service, seeds.flatMap((seed) => [seed.toString('hex'), seed.toString('base64')]));
    });
  });

  test('a rotation on the same state: the next key takes over', async () => {
    const next = randomBytes(32);
    const service = await Service.start({ BOOTSTRAP_SIGNING_KEY: SEED, DEV_MODE: 'true' });
    try {
      await service.post('/servers', plain('one', { endpoint: 'ws://127.0.0.1:9000' }));
      assertSignedList(await service.get('/servers'), Buffer.from(PUBLIC, 'base64'));
      service.settings = { ...service.settings, BOOTSTRAP_SIGNING_KEY: next.toString('hex') };
      await service.crashAndRestart();
      const answer = await service.get('/servers');
      assertSignedList(answer, rawPublic(fromSeed(next)));
      assert.equal(answer.json.servers.length, 1);
    } finally {
      await service.stop();
    }
  });
});

describe('without secrets', () => {
  test('no signing key: no list, and never an unsigned one', async () => {
    await withService({ DEV_MODE: 'true' }, async (service) => {
      await service.post('/servers', plain('one', { endpoint: 'ws://127.0.0.1:9000' }));
      for (const method of ['GET', 'HEAD']) {
        const answer = await service.ask(method, '/servers');
        assert.equal(answer.status, 503);
        assert.ok(!answer.text.includes('"servers"'));
        assert.equal(answer.headers['x-bootstrap-signature'], undefined);
        if (method === 'GET') assertProblem(answer, 503);
      }
      assertProblem(await service.get('/servers/keys'), 503);
    });
  });

  for (const [name, settings] of [
    ['by default', {}], ['with DEV_MODE=false', { DEV_MODE: 'false' }], ['in production', { ENVIRONMENT: 'production' }], ['in qa', { ENVIRONMENT: 'qa' }],
  ] as [string, Settings][]) {
    test(`no registry secret: writes are closed ${name}, also for those who prove themselves wrongly`, async () => {
      await withService({ BOOTSTRAP_SIGNING_KEY: SEED, ...settings }, async (service) => {
        const relay = new Relay();
        for (const headers of [{}, { Authorization: 'Bearer ' }, { Authorization: 'Bearer undefined' }, BEARER] as Record<string, string>[]) {
          assertProblem(await service.post('/servers', relay.signed(relay.registration()), { headers }), 503, 'Server authentication not configured');
          assertProblem(await service.post('/servers/heartbeat', relay.signed(relay.beat(1)), { headers }), 503, 'Server authentication not configured');
        }
        // A server's own key would do here, so "prove yourself" is as right as "closed".
        for (const body of [undefined, relay.leaving()]) {
          const answer = await service.ask('DELETE', '/servers/anything', { body });
          assert.ok([401, 403, 503].includes(answer.status), String(answer.status));
        }
        assert.deepEqual(await ids(service), []);
      });
    });
  }
});

describe('DEV_MODE as the relay servers of today use it', () => {
  let service: Service;
  before(async () => {
    service = await Service.start({ BOOTSTRAP_SIGNING_KEY: SEED, DEV_MODE: 'true' });
  });
  after(async () => {
    assertCalm(service);
    await service.stop();
  });

  test('register, list, beat and leave, without any proof', async () => {
    const relays = [new Relay(), new Relay()];
    const bodies = relays.map((relay, i) => ({
      serverId: relay.serverId, endpoint: `ws://127.0.0.1:${9000 + i}`, publicKey: relay.publicKey, region: 'unknown',
      connections: 0, relayConnections: 0, signalingConnections: 0, activeCodes: 0,
    }));
    for (const body of bodies) assert.equal((await service.post('/servers', body)).status, 200);
    assert.deepEqual((await ids(service)).sort(), relays.map((relay) => relay.serverId).sort());
    const beat = await service.post('/servers/heartbeat', { serverId: relays[0]?.serverId, connections: 3, relayConnections: 1, signalingConnections: 2, activeCodes: 4 });
    assert.equal(beat.status, 200);
    assert.deepEqual(beat.json.peers.map((peer: any) => peer.serverId), [relays[1]?.serverId]);
    for (const relay of relays) {
      const gone = await service.ask('DELETE', `/servers/${encodeURIComponent(relay.serverId)}`);
      assert.equal(gone.status, 200);
      assert.deepEqual(gone.json, { success: true });
    }
    assert.deepEqual(await ids(service), []);
    const unknown = await service.post('/servers/heartbeat', { serverId: relays[0]?.serverId });
    assertProblem(unknown, 404, 'Server not registered');
  });

  for (const endpoint of ['ws://127.0.0.1:9000', 'http://localhost:8080/x', 'ws://10.0.0.1', 'wss://[::1]:9', 'wss://relay.example']) {
    test(`takes ${endpoint}`, async () => {
      assert.equal((await service.post('/servers', plain('dev-1', { endpoint }))).status, 200);
    });
  }
  for (const [endpoint, sentence] of [['nope', 'Invalid endpoint: must be a valid URL'], [`ws://127.0.0.1/${'x'.repeat(2100)}`, 'Invalid endpoint: URL too long (max 2048 characters)']] as [string, string][]) {
    test(`still refuses ${endpoint.slice(0, 20)}`, async () => assertProblem(await service.post('/servers', plain('dev-2', { endpoint })), 400, sentence));
  }
  test('still checks a signature that is there', async () => {
    const relay = new Relay();
    assertProblem(await service.post('/servers', new Relay().signed(relay.registration())), 403);
    assert.equal((await service.post('/servers', relay.signed(relay.registration()))).status, 200);
    assertProblem(await service.ask('DELETE', `/servers/${encodeURIComponent(relay.serverId)}`, { body: { ...relay.leaving(), nonce: randomUUID() } }), 403);
  });
  test('with a secret, DEV_MODE opens nothing', async () => {
    await withService({ BOOTSTRAP_SIGNING_KEY: SEED, DEV_MODE: 'true', SERVER_REGISTRY_SECRET: SECRET }, async (closed) => {
      assertProblem(await closed.post('/servers', plain('dev-3')), 401, 'Unauthorized');
      assertProblem(await closed.ask('DELETE', '/servers/dev-3'), 401, 'Unauthorized');
    });
  });
});

describe('REQUIRE_REGISTRATION_AUTH', () => {
  let service: Service;
  before(async () => {
    service = await Service.start({ BOOTSTRAP_SIGNING_KEY: SEED, SERVER_REGISTRY_SECRET: SECRET, REQUIRE_REGISTRATION_AUTH: 'true' });
  });
  after(async () => {
    assertCalm(service);
    await service.stop();
  });
  test('makes every newer field mandatory', async () => {
    const relay = new Relay();
    const register = (body: unknown): Promise<Answer> => service.post('/servers', body, { headers: BEARER });
    const beat = (body: unknown): Promise<Answer> => service.post('/servers/heartbeat', body, { headers: BEARER });
    const without = (body: Record<string, unknown>, name: string): Record<string, unknown> => {
      const { [name]: _, ...rest } = body;
      return rest;
    };
    const unsigned = await register(relay.registration());
    assert.ok([401, 403].includes(unsigned.status), unsigned.text);
    assertProblem(await register(relay.signed(without(relay.registration(), 'timestamp'))), 400, 'Missing or invalid timestamp');
    assertProblem(await register(relay.signed(without(relay.registration(), 'nonce'))), 400, 'Missing or invalid nonce (must be string >= 16 chars)');
    assertProblem(await register(new Relay().signed(relay.registration())), 403);
    assertProblem(await service.post('/servers', relay.signed(relay.registration())), 401, 'Unauthorized');
    assert.deepEqual(await ids(service), []);
    assert.equal((await register(relay.signed(relay.registration()))).status, 200);
    const silent = await beat({ serverId: relay.serverId });
    assert.ok([400, 401, 403].includes(silent.status), silent.text);
    const bare = await beat(relay.beat(1));
    assert.ok([401, 403].includes(bare.status), bare.text);
    for (const name of ['timestamp', 'nonce', 'sequenceNumber']) {
      const answer = await beat(relay.signed(without(relay.beat(1), name)));
      assert.equal(answer.status, 400, `without ${name}: ${answer.text}`);
    }
    assert.equal((await beat(relay.signed(relay.beat(1)))).status, 200);
  });
  test('takes both forms of the signature', async () => {
    const relay = new Relay();
    assert.equal((await service.post('/servers', relay.signedLegacy(), { headers: BEARER })).status, 200);
  });
});

describe('liveness', () => {
  test('a server is listed as long as it beats, and SERVER_TTL_MS after', async () => {
    await withService({ BOOTSTRAP_SIGNING_KEY: SEED, DEV_MODE: 'true', SERVER_TTL_MS: '1000', SWEEP_INTERVAL_MS: '300' }, async (service) => {
      const silentAt = Date.now();
      await service.post('/servers', plain('silent'));
      await service.post('/servers', plain('alive'));
      let goneAt = 0;
      while (Date.now() - silentAt < 3000) {
        const asked = Date.now();
        const seen = await ids(service);
        assert.ok(seen.includes('alive'), `a beating server vanished after ${Date.now() - silentAt} ms`);
        if (!seen.includes('silent') && goneAt === 0) goneAt = asked - silentAt;
        if (goneAt !== 0) assert.ok(!seen.includes('silent'), 'and does not come back by itself');
        if (asked - silentAt < 900) assert.ok(seen.includes('silent'), `dropped too early: ${asked - silentAt} ms`);
        const beat = await service.post('/servers/heartbeat', { serverId: 'alive' });
        assert.equal(beat.status, 200);
        if (goneAt !== 0) assert.deepEqual(beat.json.peers, []);
        await pause(100);
      }
      assert.ok(goneAt >= 900 && goneAt < 2200, `gone after ${goneAt} ms`);
      assertProblem(await service.post('/servers/heartbeat', { serverId: 'silent' }), 404, 'Server not registered');
    });
  });

  test('the dead leave no row behind: their place is free again', async () => {
    await withService({ BOOTSTRAP_SIGNING_KEY: SEED, DEV_MODE: 'true', SERVER_TTL_MS: '500', SWEEP_INTERVAL_MS: '200' }, async (service) => {
      await service.post('/servers', plain('a'));
      // Nobody asks for anything meanwhile: the alarm does it.
      await pause(1500);
      assertProblem(await service.post('/servers/heartbeat', { serverId: 'a' }), 404, 'Server not registered');
      assert.deepEqual(await ids(service), []);
      assert.equal((await service.post('/servers', plain('a'))).status, 200);
      assert.deepEqual(await ids(service), ['a']);
    });
  });

  test('the registry holds 1000 servers and not one more', async () => {
    await withService({ BOOTSTRAP_SIGNING_KEY: SEED, DEV_MODE: 'true' }, async (service) => {
      const name = (i: number): string => `full-${String(i).padStart(4, '0')}`;
      let next = 0;
      await Promise.all(Array.from({ length: 8 }, async () => {
        for (let i = next++; i < 1000; i = next++) assert.equal((await service.post('/servers', plain(name(i)))).status, 200, name(i));
      }));
      assert.equal((await list(service)).length, 1000);
      assertProblem(await service.post('/servers', plain('one-too-many')), 503, 'Server registry full');
      assertProblem(await service.post('/servers', plain('one-too-many', { endpoint: 'nope' })), 400, 'Invalid endpoint: must be a valid URL');
      assert.equal((await service.post('/servers', plain(name(5), { connections: 5 }))).status, 200, 'a known one is no new one');
      assert.equal((await service.post('/servers/heartbeat', { serverId: name(7) })).json.peers.length, 999);
      assert.equal((await service.ask('DELETE', `/servers/${name(9)}`)).status, 200);
      assert.equal((await service.post('/servers', plain('one-in-its-place'))).status, 200);
      assertProblem(await service.post('/servers', plain('one-too-many')), 503, 'Server registry full');
      const answer = await service.get('/servers');
      assertSignedList(answer, Buffer.from(PUBLIC, 'base64'));
      assert.equal(answer.json.servers.length, 1000);
    });
  });
});
