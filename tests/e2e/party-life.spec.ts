// How parties, tokens, peers and relays live and end, with lives of seconds, and services of other settings:
// parties.md 1.4 to 1.6 and 7; configuration.md.

import assert from 'node:assert/strict';
import { generateKeyPairSync, sign } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import {
  assertDetail, assertInvalid, assertNow, assertObject, assertOk, hex, moment, newPeerId, PARTY_SETTINGS, partySecrets, Peer,
} from './support/party.ts';
import { endPlanes, planeOf, RemoteControlPlane } from './support/party-plane.ts';
import { assertCalm, assertNoLeak, pause, Service, until } from './support/service.ts';
import type { Answer, Settings } from './support/service.ts';

const TOKEN_TTL_MS = 3000;
const PEER_TTL_MS = 2000;
const RELAY_TTL_MS = 1500;
const REGISTRY_SECRET = 'registry-secret-0123456789abcdef01';
const RELAY_KEYS = ['capacity', 'port', 'public_ip', 'region', 'registered_at', 'relay_id'];

async function withService(settings: Settings, run: (service: Service) => Promise<void>): Promise<void> {
  const service = await Service.start(settings);
  try {
    await run(service);
    assertCalm(service);
  } finally {
    endPlanes(service);
    await service.stop();
  }
}

describe('lives of seconds', { concurrency: true }, () => {
  test('a token that is used lives on, one that rests dies', () =>
    withService({ ...PARTY_SETTINGS, PARTY_TOKEN_TTL_MS: String(TOKEN_TTL_MS) }, async (service) => {
      const [busy, idle] = [new Peer(service), new Peer(service)];
      for (const peer of [busy, idle]) {
        const { expires_at } = await peer.register();
        assert.ok(Math.abs(moment(expires_at, 0) - Date.now() - TOKEN_TTL_MS) < 1000, expires_at);
      }
      assertOk(await idle.ask('GET', '/relays'));
      const end = Date.now() + TOKEN_TTL_MS * 4;
      while (Date.now() < end) {
        assertOk(await busy.ask('GET', '/relays'));
        await pause(TOKEN_TTL_MS / 6);
      }
      assertDetail(await idle.ask('GET', '/relays'), 401, /^(Token expired|Invalid or expired token)$/);
      assertDetail(await idle.ask('GET', '/relays'), 401, /^(Token expired|Invalid or expired token)$/);
      idle.token = undefined;
      await idle.register();
      assertOk(await idle.ask('GET', '/relays'));
    }));

  test('a peer that gives no sign of life is taken out, its host stays', () =>
    withService({ ...PARTY_SETTINGS, PARTY_PEER_TTL_MS: String(PEER_TTL_MS) }, async (service) => {
      const [host, silent] = [await Peer.of(service), await Peer.of(service)];
      const party = await host.create();
      await silent.join(party);
      const gone = async (): Promise<boolean> => {
        assertOk(await host.beat(party));
        return (await host.read(party)).peers[silent.id] === undefined;
      };
      const began = Date.now();
      await until('the silent peer is gone', gone, PEER_TTL_MS * 4, 200);
      assert.ok(Date.now() - began > PEER_TTL_MS - 300, 'not before its time');
      assertDetail(await silent.beat(party), 404, `Peer ${silent.id} not found`);
      await silent.join(party);
      assert.equal(Object.keys((await host.read(party)).peers).length, 2);
    }));

  test('members at a socket are told of a peer that fell silent', () =>
    withService({ ...PARTY_SETTINGS, PARTY_PEER_TTL_MS: String(PEER_TTL_MS) }, async (service) => {
      const host = await Peer.of(service);
      const party = await host.create();
      const watcher = await planeOf(host);
      await watcher.knows(party, [host.id]);
      const silent = await Peer.of(service);
      await silent.join(party);
      await watcher.knows(party, [host.id, silent.id]);
      const beat = setInterval(() => watcher.heartbeat(party), 300);
      try {
        await watcher.knows(party, [host.id], PEER_TTL_MS * 4);
        watcher.calm();
      } finally {
        clearInterval(beat);
      }
    }));

  test('a party of which everybody fell silent is gone, and its id is free', () =>
    withService({ ...PARTY_SETTINGS, PARTY_PEER_TTL_MS: String(PEER_TTL_MS) }, async (service) => {
      const [host, next] = [await Peer.of(service), await Peer.of(service)];
      const party = await host.create();
      const counted = async (): Promise<number> => assertOk(await service.get('/')).parties;
      await until('one party', async () => (await counted()) === 1);
      // Nobody asks for the party: the alarm alone must end it.
      await until('no party', async () => (await counted()) === 0, PEER_TTL_MS * 5, 200);
      assertDetail(await host.ask('GET', `/parties/${party}`), 404, `Party ${party} not found`);
      assert.equal(await next.create('LAN', { party_id: party }), party);
    }));

  test('a host that fell silent leaves the party to the others', () =>
    withService({ ...PARTY_SETTINGS, PARTY_PEER_TTL_MS: String(PEER_TTL_MS) }, async (service) => {
      const [host, guest] = [await Peer.of(service), await Peer.of(service)];
      const party = await host.create();
      await guest.join(party);
      await until('the host is gone', async () => {
        assertOk(await guest.beat(party));
        return (await guest.read(party)).peers[host.id] === undefined;
      }, PEER_TTL_MS * 4, 200);
      assert.deepEqual(Object.keys((await guest.read(party)).peers), [guest.id]);
    }));

  test('a relay that is not registered again is off the list', () =>
    withService({ ...PARTY_SETTINGS, PARTY_RELAY_TTL_MS: String(RELAY_TTL_MS) }, async (service) => {
      const owner = await Peer.of(service);
      const relay = { relay_id: 'short', public_ip: '203.0.113.9', port: 51820 };
      const listed = async (): Promise<number> => assertOk(await owner.ask('GET', '/relays')).relays.length;
      for (let i = 0; i < 6; i += 1) {
        assertOk(await owner.ask('POST', '/relays', relay));
        assert.equal(await listed(), 1);
        await pause(RELAY_TTL_MS / 3);
      }
      await until('the list is empty', async () => (await listed()) === 0, RELAY_TTL_MS * 4, 100);
      const next = await Peer.of(service);
      assertOk(await next.ask('POST', '/relays', relay));
    }));
});

describe('other settings', () => {
  test('without PARTY_TOKEN_KEY parties are closed, with an object', () => withService({}, async (service) => {
    const answer = await service.ask('POST', '/auth/register?peer_id=x');
    assert.equal(answer.status, 503, answer.text);
    assert.equal(typeof assertObject(answer).detail, 'string');
    assert.equal((await service.get('/health')).status, 200);
    assert.equal((await service.get('/')).status, 200);
  }));

  test('with PARTY_OPEN_IDENTITIES anybody registers as anybody, and both tokens are good', () =>
    withService({ ...PARTY_SETTINGS, PARTY_OPEN_IDENTITIES: 'true' }, async (service) => {
      const first = await Peer.of(service);
      const party = await first.create();
      const second = await Peer.of(service, first.id);
      await second.read(party);
      await first.read(party);
      assert.notEqual(first.token, second.token);
    }));

  test('with PARTY_ANONYMOUS_SOCKETS=false a socket needs a token to speak for a peer', () =>
    withService({ ...PARTY_SETTINGS, PARTY_ANONYMOUS_SOCKETS: 'false' }, async (service) => {
      const stranger = await RemoteControlPlane.open(service);
      const wanted = stranger.registerParty();
      await stranger.error();
      const host = await Peer.of(service);
      assertDetail(await host.ask('GET', `/parties/${wanted}`), 404, `Party ${wanted} not found`);
      const plane = await planeOf(host);
      const party = await plane.host();
      plane.calm();
      await host.read(party);
    }));

  test('tokens of another key are unknown, those of the same key survive a crash', () => withService(PARTY_SETTINGS, async (service) => {
    const peer = await Peer.of(service);
    const party = await peer.create();
    await service.crashAndRestart();
    await peer.read(party);
    await service.crash();
    service.settings = { ...service.settings, PARTY_TOKEN_KEY: '4e'.repeat(32) };
    await service.boot();
    assertDetail(await peer.ask('GET', `/parties/${party}`), 401, 'Invalid or expired token');
  }));
});

describe('nothing grows without end', { concurrency: true }, () => {
  /** Asks until it is refused, and says after how many times. */
  async function refusal(ask: (i: number) => Promise<Answer>, max: number): Promise<Answer> {
    for (let i = 0; i < max; i += 1) {
      const answer = await ask(i);
      if (answer.status !== 200) return answer;
    }
    return assert.fail(`still accepted after ${max} times`);
  }

  test('one peer opens and joins only so many parties, and registers so many relays', () => withService(PARTY_SETTINGS, async (service) => {
    const peer = await Peer.of(service);
    const refused = await refusal((i) => peer.tryCreate(`LAN ${i}`), 600);
    assert.ok([409, 429].includes(refused.status), refused.text);
    const relay = await refusal((i) => peer.ask('POST', '/relays', { relay_id: `r-${i}`, public_ip: '203.0.113.9', port: 51820 }), 1100);
    assert.ok([409, 429].includes(relay.status), relay.text);
    const other = await Peer.of(service);
    await other.create();
    assertOk(await other.ask('POST', '/relays', { relay_id: 'other', public_ip: '203.0.113.9', port: 51820 }));
  }));

  test('latencies of relays are counted', () => withService(PARTY_SETTINGS, async (service) => {
    const peer = await Peer.of(service);
    const party = await peer.create();
    const report = (count: number): Promise<Answer> => peer.ask('PUT', `/parties/${party}/peers/${peer.id}/latencies`, {
      latencies: Object.fromEntries(Array.from({ length: count }, (_, i) => [`r${i}`, i])),
    });
    assertOk(await report(10));
    assertInvalid(await report(2500));
  }));
});

describe('an identity with a key', () => {
  const pair = () => {
    const { publicKey, privateKey } = generateKeyPairSync('ed25519');
    const raw = publicKey.export({ type: 'spki', format: 'der' }).subarray(-32).toString('base64');
    return (peerId: string, timestamp = Date.now()) => ({
      public_key: raw,
      timestamp,
      signature: sign(null, Buffer.from(`waystation/party-identity/v1\n${peerId}\n${timestamp}`), privateKey).toString('base64'),
    });
  };

  test('comes back without its token by a signature of the first key, and by nothing else', () => withService(PARTY_SETTINGS, async (service) => {
    const [mine, other] = [pair(), pair()];
    const peer = new Peer(service);
    await peer.register(mine(peer.id));
    const party = await peer.create();
    const back = new Peer(service, peer.id);
    for (const [what, proof] of [
      ['no proof', {}],
      ['another key', other(peer.id)],
      ['the key of one, the signature of another', { ...mine(peer.id), signature: other(peer.id).signature }],
      ['for another peer', mine(newPeerId())],
      ['an hour old', mine(peer.id, Date.now() - 3_600_000)],
      ['another time than signed', { ...mine(peer.id), timestamp: Date.now() + 7 }],
      ['no signature', { ...mine(peer.id), signature: undefined }],
    ] as [string, unknown][]) {
      const answer = await back.tryRegister(proof);
      assert.ok([401, 403, 409, 422].includes(answer.status), `${what}: ${answer.status} ${answer.text}`);
    }
    await back.register(mine(peer.id));
    await back.read(party);
  }));

  test('a first registration with a wrong signature is refused', () => withService(PARTY_SETTINGS, async (service) => {
    const [mine, other] = [pair(), pair()];
    const peer = new Peer(service);
    const answer = await peer.tryRegister({ ...mine(peer.id), signature: other(peer.id).signature });
    assert.ok(answer.status >= 400 && answer.status < 500, answer.text);
  }));
});

describe('relays', () => {
  let service: Service;
  before(async () => {
    service = await Service.start({ ...PARTY_SETTINGS, SERVER_REGISTRY_SECRET: REGISTRY_SECRET });
  });
  after(async () => {
    await service.stop();
    assertCalm(service);
    assertNoLeak(service, [...partySecrets, REGISTRY_SECRET]);
  });
  const registry = { headers: { Authorization: `Bearer ${REGISTRY_SECRET}` } };
  const wish = (more: Record<string, unknown> = {}): Record<string, unknown> => ({ relay_id: `r-${hex(4)}`, public_ip: '203.0.113.9', port: 51820, ...more });
  const region = (): string => `region-${hex(4)}`;
  const list = async (peer: Peer, path = '/relays'): Promise<any[]> => assertOk(await peer.ask('GET', path)).relays;

  test('are registered, listed with exactly six keys, and listed by region', async () => {
    const owner = await Peer.of(service, undefined, 120);
    await owner.create();
    const own = region();
    const plain = wish();
    assert.deepEqual(assertOk(await owner.ask('POST', '/relays', plain)), { status: 'registered', relay_id: plain.relay_id });
    const full = wish({ region: own, capacity: 7, port: '4242', public_ip: 'relay.example' });
    assertOk(await owner.ask('POST', '/relays', full));
    const all = await list(owner);
    for (const relay of all) assert.deepEqual(Object.keys(relay).sort(), RELAY_KEYS);
    const { registered_at, ...first } = all.find((relay) => relay.relay_id === plain.relay_id);
    assert.deepEqual(first, { ...plain, region: 'unknown', capacity: 100 });
    assertNow(registered_at, 120);
    const listed = await list(owner, `/relays/${own}`);
    assert.equal(listed.length, 1);
    assert.equal(listed[0].port, 4242, 'a number');
    assert.equal(listed[0].capacity, 7);
    assert.deepEqual(await list(owner, '/relays/nowhere'), []);
    assert.deepEqual(await list(owner, `/relays/${own.toUpperCase()}`), [], 'exact match');
  });

  test('are in the order of region and id, byte by byte', async () => {
    const owner = await Peer.of(service);
    const own = region();
    const ids = ['b', 'B', 'a-10', 'a-9', 'é', 'Z', 'z'].map((id) => `${id}`);
    for (const id of ids) await owner.ask('POST', '/relays', wish({ relay_id: `${own}${id}`.slice(-20), region: own }));
    const listed = (await list(owner, `/relays/${own}`)).map((relay) => relay.relay_id);
    assert.ok(listed.length >= 6);
    assert.deepEqual(listed, [...listed].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b))));
    const regions = (await list(owner)).map((relay) => relay.region);
    assert.deepEqual(regions, [...regions].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b))));
  });

  test('every fault is told by type and place', async () => {
    const owner = await Peer.of(service);
    const own = region();
    for (const [body, type, at] of [
      [wish({ region: null }), 'string_type', 'region'],
      [wish({ port: 1.5 }), 'int_from_float', 'port'],
      [wish({ port: 'x' }), 'int_parsing', 'port'],
      [wish({ relay_id: undefined }), 'missing', 'relay_id'],
      [wish({ public_ip: undefined }), 'missing', 'public_ip'],
      [wish({ port: undefined }), 'missing', 'port'],
      [wish({ port: 0 }), undefined, 'port'],
      [wish({ port: -7 }), undefined, 'port'],
      [wish({ port: 99_999 }), undefined, 'port'],
      [wish({ port: '65536' }), undefined, 'port'],
      [wish({ relay_id: '' }), undefined, 'relay_id'],
      [wish({ relay_id: 'r'.repeat(5000) }), undefined, 'relay_id'],
      [wish({ capacity: -1 }), undefined, 'capacity'],
      [wish({ capacity: 'many' }), undefined, 'capacity'],
      [wish({ load: 2 }), undefined, 'load'],
      [wish({ health: 101 }), undefined, 'health'],
      [wish({ draining: 'perhaps' }), undefined, 'draining'],
    ] as [any, string | undefined, string][]) {
      assertInvalid(await owner.ask('POST', '/relays', { region: own, ...body }), type, ['body', at]);
    }
    assert.deepEqual(await list(owner, `/relays/${own}`), []);
    for (const port of [1, 65_535]) assertOk(await owner.ask('POST', '/relays', wish({ port })));
  });

  test('belong to who registered them: replaced, kept since and removed by the owner only', async () => {
    const [owner, thief] = [await Peer.of(service), await Peer.of(service)];
    const own = region();
    const relay = wish({ region: own });
    assertOk(await owner.ask('POST', '/relays', relay));
    const [first] = await list(owner, `/relays/${own}`);
    const taken = await thief.ask('POST', '/relays', { ...relay, public_ip: '198.51.100.66' });
    assert.ok([403, 409].includes(taken.status), taken.text);
    const removed = await thief.ask('DELETE', `/relays/${relay.relay_id}`);
    assertDetail(removed, 403);
    assert.deepEqual(await list(thief, `/relays/${own}`), [first]);
    await pause(20);
    assertOk(await owner.ask('POST', '/relays', { ...relay, public_ip: '203.0.113.10', port: 9, capacity: 3 }));
    const [second] = await list(owner, `/relays/${own}`);
    assert.deepEqual(second, { ...first, public_ip: '203.0.113.10', port: 9, capacity: 3 });
    assertOk(await owner.ask('DELETE', `/relays/${relay.relay_id}`));
    assert.deepEqual(await list(owner, `/relays/${own}`), []);
    assert.equal((await owner.ask('DELETE', `/relays/${relay.relay_id}`)).status, 404);
  });

  test("may be kept with the registry's secret, and peers cannot touch those", async () => {
    const own = region();
    const relay = wish({ region: own });
    assertOk(await service.post('/relays', relay, registry));
    assert.equal(assertOk(await service.get(`/relays/${own}`, registry)).relays.length, 1);
    const peer = await Peer.of(service);
    assert.equal((await list(peer, `/relays/${own}`)).length, 1);
    assert.ok([403, 409].includes((await peer.ask('POST', '/relays', relay)).status));
    assertDetail(await peer.ask('DELETE', `/relays/${relay.relay_id}`), 403);
    assertOk(await service.post('/relays', { ...relay, draining: true }, registry));
    assertOk(await service.ask('DELETE', `/relays/${relay.relay_id}`, registry));
    assertDetail(await service.post('/relays', relay, { headers: { Authorization: 'Bearer wrong' } }), 401, 'Invalid or expired token');
  });

  test('show health, load and draining to who asks for the full list only; nobody is sent to one that drains', async () => {
    const owner = await Peer.of(service);
    const own = region();
    const relay = wish({ region: own, load: 0.5, health: 90 });
    assertOk(await owner.ask('POST', '/relays', relay));
    const [short] = await list(owner, `/relays/${own}`);
    assert.deepEqual(Object.keys(short).sort(), RELAY_KEYS);
    const full = async (): Promise<any> => (await list(owner, '/relays?full=true')).find((each) => each.relay_id === relay.relay_id);
    const { load, health, draining } = await full();
    assert.deepEqual({ load, health, draining }, { load: 0.5, health: 90, draining: false });
    assertOk(await owner.ask('POST', '/relays', { ...relay, draining: true }));
    assert.equal((await full()).draining, true);
    assert.deepEqual(await list(owner, `/relays/${own}`), [], 'a client that knows nothing of draining does not see it');
    assert.ok((await list(owner)).every((each) => each.relay_id !== relay.relay_id));
  });

  test('candidates of a pair come in the order of their common latency, and never draining ones first', async () => {
    const [a, b, stranger] = [await Peer.of(service), await Peer.of(service), await Peer.of(service)];
    const party = await a.create();
    await b.join(party);
    const relays: any[] = [];
    for (const more of [{}, {}, {}, { draining: true }]) relays.push(wish({ region: region(), ...more }));
    for (const relay of relays) assertOk(await a.ask('POST', '/relays', relay));
    const [far, near, lopsided, draining] = relays.map((relay) => String(relay.relay_id)) as [string, string, string, string];
    const report = (peer: Peer, latencies: Record<string, unknown>) => peer.ask('PUT', `/parties/${party}/peers/${peer.id}/latencies`, { latencies });
    assertOk(await report(a, { [far]: 90, [near]: 20, [lopsided]: 5, [draining]: 1 }));
    assertOk(await report(b, { [far]: 80, [near]: 25, [lopsided]: 120, [draining]: 1 }));
    const order = async (peers: string): Promise<string[]> =>
      assertOk(await a.ask('GET', `/parties/${party}/relays?peers=${peers}`)).relays.map((relay: any) => relay.relay_id);
    const ids = await order(`${a.id},${b.id}`);
    for (const id of [far, near, lopsided]) assert.ok(ids.includes(id), `${id} is a candidate`);
    assert.ok(ids.indexOf(near) < ids.indexOf(lopsided) && ids.indexOf(lopsided) < ids.indexOf(far), `20+25, 5+120, 90+80: ${ids.join()}`);
    assert.ok(!ids.includes(draining) || ids.indexOf(draining) > ids.indexOf(far), 'nobody is sent to a relay that drains');
    assert.deepEqual(await order(`${b.id},${a.id}`), ids, 'the same for both');
    assertOk(await report(a, { [far]: 1, [near]: 200, [lopsided]: 5 }));
    assertOk(await report(b, { [far]: 1, [near]: 200, [lopsided]: 120 }));
    assert.ok((await order(`${a.id},${b.id}`)).indexOf(far) < (await order(`${a.id},${b.id}`)).indexOf(near), 'the newest report counts');
    assertInvalid(await report(a, { [far]: -1 }));
    assertInvalid(await report(a, { [far]: 'slow' }));
    assertInvalid(await a.ask('PUT', `/parties/${party}/peers/${a.id}/latencies`, {}), 'missing', ['body', 'latencies']);
    assertDetail(await a.ask('PUT', `/parties/${party}/peers/${b.id}/latencies`, { latencies: {} }), 403, 'Token peer_id does not match requested peer_id');
    assertDetail(await stranger.ask('GET', `/parties/${party}/relays?peers=${a.id},${b.id}`), 403);
    assertInvalid(await a.ask('GET', `/parties/${party}/relays?peers=${a.id},${b.id},${a.id}`), undefined, ['query', 'peers']);
  });
});
