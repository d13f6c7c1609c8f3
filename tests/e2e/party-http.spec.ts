// Parties over HTTP: parties.md 1.2 to 1.6, 3.1 and the compatible half of 7.

import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import {
  assertDetail, assertInvalid, assertNow, assertObject, assertOk, describePeer, hex, moment, NAIVE, naive, newPartyId, newPeerId, PARTY_KEYS,
  PARTY_SETTINGS, partySecrets, Peer, PEER_KEYS, RemoteControlPlaneClient, toParty, toPeer,
} from './support/party.ts';
import { endPlanes } from './support/party-plane.ts';
import { assertCalm, assertNoLeak, pause, Service, until } from './support/service.ts';
import { newAddress } from './support/socket.ts';

let service: Service;
before(async () => {
  service = await Service.start(PARTY_SETTINGS);
});
afterEach(() => endPlanes(service));
after(async () => {
  await service.stop();
  assertCalm(service);
  assertNoLeak(service, partySecrets);
});

/** Every route that needs a token, with a body that is valid in form. */
const protectedRoutes = (party: string, peer: string): [string, string, unknown][] => [
  ['POST', '/parties', { name: 'LAN', host_peer_info: describePeer(peer) }],
  ['POST', `/parties/${party}/join`, { party_id: party, peer_info: describePeer(peer) }],
  ['DELETE', `/parties/${party}/peers/${peer}`, undefined],
  ['GET', `/parties/${party}`, undefined],
  ['GET', `/parties/${party}/peers`, undefined],
  ['GET', `/parties/${party}/peers/${peer}`, undefined],
  ['POST', `/parties/${party}/peers/${peer}/heartbeat`, undefined],
  ['PUT', `/parties/${party}/peers/${peer}`, { public_port: 1 }],
  ['GET', `/parties/${party}/details`, undefined],
  ['PUT', `/parties/${party}/settings`, { name: 'x' }],
  ['POST', `/parties/${party}/invites`, {}],
  ['GET', `/parties/${party}/invites`, undefined],
  ['DELETE', `/parties/${party}/invites/abc`, undefined],
  ['POST', `/parties/${party}/bans`, { peer_id: 'x' }],
  ['GET', `/parties/${party}/bans`, undefined],
  ['DELETE', `/parties/${party}/bans/x`, undefined],
  ['POST', `/parties/${party}/signals`, { to_peer_id: 'x', signal_data: {} }],
  ['GET', `/parties/${party}/peers/${peer}/signals`, undefined],
  ['PUT', `/parties/${party}/peers/${peer}/latencies`, { latencies: {} }],
  ['GET', `/parties/${party}/relays?peers=a,b`, undefined],
  ['POST', '/relays', { relay_id: 'r', public_ip: '203.0.113.9', port: 51820 }],
  ['GET', '/relays', undefined],
  ['GET', '/relays/eu', undefined],
  ['DELETE', '/relays/r', undefined],
];

describe('who calls', () => {
  test('without a token, with another form and with an unknown token every protected route answers 401', async () => {
    const host = await Peer.of(service);
    const party = await host.create();
    for (const [method, path, body] of protectedRoutes(party, host.id)) {
      const ask = (headers: Record<string, string>) => service.ask(method, path, { body, headers, address: newAddress() });
      assertDetail(await ask({}), 401, 'Missing authorization header');
      for (const wrong of [`bearer ${host.token}`, `Token ${host.token}`, String(host.token), 'Bearer', 'Basic dTpw']) {
        assertDetail(await ask({ Authorization: wrong }), 401, 'Invalid authorization format');
      }
      for (const wrong of ['x'.repeat(43), `${host.token}x`, String(host.token).slice(1), 'nonsense']) {
        assertDetail(await ask({ Authorization: `Bearer ${wrong}` }), 401, 'Invalid or expired token');
      }
    }
    assert.deepEqual(Object.keys((await host.read(party)).peers), [host.id], 'nothing of all this had an effect');
  });

  test('a token that was changed in any one character is unknown', async () => {
    const peer = await Peer.of(service);
    const token = String(peer.token);
    for (let at = 0; at < token.length; at += 1) {
      // Far apart in the alphabet, so that it differs in a bit that counts in the last character too.
      const other = token[at] === 'A' ? 'Q' : 'A';
      const forged = token.slice(0, at) + other + token.slice(at + 1);
      assertDetail(await service.get('/relays', { headers: { Authorization: `Bearer ${forged}` } }), 401, 'Invalid or expired token');
    }
    assertOk(await peer.ask('GET', '/relays'));
  });

  test('JSON that does not parse is 422 before 401, 401 goes before every other 422', async () => {
    const peer = await Peer.of(service);
    const party = await peer.create();
    for (const path of ['/parties', `/parties/${party}/join`, '/relays']) {
      for (const headers of [{}, { Authorization: 'Bearer nonsense' }, { Authorization: `Bearer ${peer.token}` }] as Record<string, string>[]) {
        assertInvalid(await service.post(path, '{"name": ', { headers }), 'json_invalid');
      }
      assertDetail(await service.post(path, {}), 401, 'Missing authorization header');
      assertDetail(await service.post(path, {}, { headers: { Authorization: 'Bearer nonsense' } }), 401, 'Invalid or expired token');
      assertInvalid(await peer.ask('POST', path, {}), 'missing');
    }
  });

  test('403 goes before 404, and 422 before both', async () => {
    const [peer, other] = [await Peer.of(service), await Peer.of(service)];
    const nowhere = newPartyId();
    const theirs = { party_id: nowhere, peer_info: other.info() };
    assertDetail(await peer.ask('POST', `/parties/${nowhere}/join`, theirs), 403, 'Token peer_id does not match peer_info.peer_id');
    assertDetail(await peer.beat(nowhere, other.id), 403, 'Token peer_id does not match requested peer_id');
    assertDetail(await peer.leave(nowhere, other.id), 403, 'Token peer_id does not match requested peer_id');
    assertInvalid(await peer.ask('POST', `/parties/${nowhere}/join`, { ...theirs, party_id: '' }), 'string_too_short', ['body', 'party_id']);
    assertDetail(await peer.tryCreate('LAN', {}, { peer_id: other.id }), 403, 'Token peer_id does not match host_peer_info.peer_id');
  });

  test('an unknown party is 404 by name on every route', async () => {
    const peer = await Peer.of(service);
    const nowhere = newPartyId();
    const sentence = `Party ${nowhere} not found`;
    assertDetail(await peer.tryJoin(nowhere), 404, sentence);
    for (const [method, path, body] of protectedRoutes(nowhere, peer.id)) {
      if (path.startsWith('/relays') || path === '/parties') continue;
      assertDetail(await peer.ask(method, path, body), 404, sentence);
    }
    for (const odd of ['x', 'a'.repeat(300), '..%2f', '%00', 'ABCDEFABCDEF']) {
      assert.ok([404, 422].includes((await peer.ask('GET', `/parties/${odd}`)).status), odd);
    }
  });

  test('unknown routes and wrong methods answer an object with a detail', async () => {
    const peer = await Peer.of(service);
    assert.equal((await peer.ask('GET', '/parties/x/nothing')).status, 404);
    const wrong = await peer.ask('PATCH', '/parties');
    assert.equal(wrong.status, 405);
    assert.match(String(wrong.headers.allow), /POST/);
    assert.equal((await peer.ask('GET', '/auth/register?peer_id=x')).status, 405);
  });

  test('a body beyond the limit is refused with an object', async () => {
    const peer = await Peer.of(service);
    const answer = await peer.tryCreate('LAN', { padding: 'x'.repeat(40 * 1024) });
    assert.equal(answer.status, 413, answer.text);
  });
});

describe('identities', () => {
  test('a registration gives a token, its peer and its naive end a day ahead', async () => {
    const peer = new Peer(service);
    const answer = await peer.register();
    assert.deepEqual(Object.keys(answer).sort(), ['expires_at', 'peer_id', 'token']);
    assert.equal(answer.peer_id, peer.id);
    assert.match(answer.expires_at, NAIVE);
    assert.ok(Math.abs(moment(answer.expires_at, 0) - Date.now() - 86_400_000) < 10_000, answer.expires_at);
  });

  test('the id must stand in the query', async () => {
    assertInvalid(await service.post('/auth/register', { peer_id: 'x' }), 'missing', ['query', 'peer_id']);
    assertInvalid(await service.ask('POST', '/auth/register'), 'missing', ['query', 'peer_id']);
    assert.equal((await service.ask('POST', `/auth/register?peer_id=${'a'.repeat(1000)}`)).status, 422);
  });

  test('the unescaped id of the app arrives as the original reads it', async () => {
    const end = hex(4);
    assert.equal(assertOk(await service.ask('POST', `/auth/register?peer_id=p%201${end}&a=b+c`)).peer_id, `p 1${end}`);
    assert.equal(assertOk(await service.ask('POST', `/auth/register?peer_id=p+2${end}`)).peer_id, `p 2${end}`);
  });

  test('a first answer that got lost can be asked for again at once, while its token was not used', async () => {
    const peer = await Peer.of(service);
    await peer.register();
    assertOk(await peer.ask('GET', '/relays'));
  });

  test('who is known cannot be taken over: 409 without its token, 200 with it', async () => {
    const peer = await Peer.of(service);
    const party = await peer.create();
    const thief = new Peer(service, peer.id);
    assertDetail(await thief.tryRegister(), 409);
    assertDetail(await thief.tryRegister({}), 409);
    const other = await Peer.of(service);
    thief.token = other.token;
    const refused = await thief.tryRegister();
    assert.ok([401, 403, 409].includes(refused.status), refused.text);
    const first = peer.token;
    await peer.register();
    await peer.read(party);
    assert.equal((await peer.leave(party)).status, 200);
    thief.token = undefined;
    assertDetail(await thief.tryRegister(), 409);
    assert.ok(first !== undefined);
  });

  test('ids of different letters are different peers', async () => {
    const id = `Peer-${hex(4)}`;
    const [a, b] = [await Peer.of(service, id), await Peer.of(service, id.toLowerCase())];
    const party = await a.create();
    assertDetail(await b.ask('GET', `/parties/${party}`), 403);
  });

  test('a revoked token is unknown at once, and all of a peer end together when it asks', async () => {
    const peer = await Peer.of(service);
    const other = await Peer.of(service);
    await peer.create();
    const first = peer.token;
    await peer.register();
    const second = peer.token;
    assert.notEqual(first, second);
    const status = async (token: string | undefined): Promise<number> => {
      const answer = await service.get('/relays', { headers: { Authorization: `Bearer ${token}` } });
      if (answer.status === 401) assertDetail(answer, 401, 'Invalid or expired token');
      return answer.status;
    };
    assert.equal(await status(second), 200);
    assertOk(await peer.ask('POST', '/auth/revoke'));
    assert.equal(await status(second), 401);
    assertDetail(await service.post('/auth/revoke', {}), 401, 'Missing authorization header');
    assertDetail(await service.post('/auth/revoke', {}, { headers: { Authorization: `Bearer ${second}` } }), 401, 'Invalid or expired token');
    const all = await Peer.of(service);
    await all.create();
    const tokens = [all.token];
    await all.register();
    tokens.push(all.token);
    assertOk(await all.ask('POST', '/auth/revoke', { all: true }));
    for (const token of tokens) assert.equal(await status(token), 401);
    assert.equal(await status(other.token), 200);
  });
});

describe('a party', () => {
  test('is created with 12 hex digits, five keys, nine keys, and a status of 200', async () => {
    const host = await Peer.of(service);
    const sent = host.info({ public_ip: 'unknown', public_port: 0, local_ip: 'unknown', local_port: 0, nat_type: 'unknown' });
    const answer = await host.ask('POST', '/parties', { name: 'Friday', host_peer_info: sent, more: 1 });
    assertOk(answer);
    assert.deepEqual(Object.keys(answer.json).sort(), ['party', 'party_id']);
    assert.match(answer.json.party_id, /^[0-9a-f]{12}$/);
    const party = toParty(answer.json.party);
    assert.deepEqual(Object.keys(answer.json.party).sort(), PARTY_KEYS);
    assert.deepEqual(Object.keys(answer.json.party.peers[host.id]).sort(), PEER_KEYS);
    assert.equal(party.party_id, answer.json.party_id);
    assert.equal(party.name, 'Friday');
    assert.equal(party.host_id, host.id);
    assertNow(party.created_at, 0);
    const { last_seen, ...rest } = party.peers[host.id] as any;
    const { last_seen: _, ...expected } = sent;
    assert.deepEqual(rest, expected);
    assertNow(last_seen, 0);
  });

  test('may have an id of its own of 12 to 20 hex digits; another host cannot take it', async () => {
    const [host, other] = [await Peer.of(service), await Peer.of(service)];
    for (const bytes of [6, 10]) {
      const id = hex(bytes);
      assert.equal(await host.create('LAN', { party_id: id }), id);
      assertDetail(await other.tryCreate('LAN', { party_id: id }), 409);
      assert.equal((await host.read(id)).host_id, host.id);
      assert.equal(await host.create('LAN', { party_id: id }), id, 'a repeated creation is the same party');
    }
    for (const id of ['', 'abc', hex(6).toUpperCase().replace(/^./, 'A'), 'g'.repeat(12), hex(11), 5, {}]) {
      assertInvalid(await host.tryCreate('LAN', { party_id: id }), undefined, ['body', 'party_id']);
    }
  });

  test('is the same when a stalled client sends its creation again', async () => {
    const host = await Peer.of(service);
    const body = { name: 'Again', host_peer_info: host.info() };
    const ids = new Set<string>();
    for (let i = 0; i < 3; i += 1) ids.add(assertOk(await host.ask('POST', '/parties', body)).party_id);
    assert.equal(ids.size, 1);
  });

  test('names have 1 to 100 characters, and every fault is told by type and place', async () => {
    for (const name of ['x', 'é'.repeat(100), '🎮 LAN']) assert.equal(assertOk(await (await Peer.of(service)).tryCreate(name)).party.name, name);
    const info = describePeer(newPeerId());
    for (const [body, type, loc] of [
      [{ name: '', host_peer_info: info }, 'string_too_short', ['body', 'name']],
      [{ name: 'x'.repeat(101), host_peer_info: info }, 'string_too_long', ['body', 'name']],
      [{ host_peer_info: info }, 'missing', ['body', 'name']],
      [{ name: 5, host_peer_info: info }, 'string_type', ['body', 'name']],
      [{ name: 'LAN' }, 'missing', ['body', 'host_peer_info']],
      [{ name: 'LAN', host_peer_info: 'me' }, 'dict_type', ['body', 'host_peer_info']],
      [{ name: 'LAN', host_peer_info: null }, 'dict_type', ['body', 'host_peer_info']],
    ] as [unknown, string, string[]][]) assertInvalid(await (await Peer.of(service)).ask('POST', '/parties', body), type, loc);
    const host = await Peer.of(service);
    const both = assertObject(await host.ask('POST', '/parties', {}));
    assert.equal(both.detail.length, 2, 'every fault at once');
    for (const body of ['[]', '5', '"x"', 'null']) assertInvalid(await host.ask('POST', '/parties', body));
  });

  test('a peer that is not one is refused on create and join, and nothing came of it', async () => {
    const [host, guest] = [await Peer.of(service), await Peer.of(service)];
    const party = await host.create();
    const faults: Record<string, unknown>[] = PEER_KEYS.filter((key) => key !== 'peer_id').map((key) => ({ [key]: undefined }));
    faults.push(
      { name: 5 }, { name: null }, { public_port: 'x' }, { public_port: -1 }, { public_port: 65_536 }, { public_port: 1.5 }, { local_port: null },
      { last_seen: 'yesterday' }, { last_seen: 5 }, { public_key: 'k'.repeat(20_000) }, { name: 'n'.repeat(20_000) }, { public_ip: 'i'.repeat(5000) },
    );
    for (const fault of faults) {
      // Another peer each time: how many parties one opens is counted.
      const creator = await Peer.of(service);
      for (const answer of [
        await guest.ask('POST', `/parties/${party}/join`, { party_id: party, peer_info: { ...guest.info(), ...fault } }),
        await creator.ask('POST', '/parties', { name: 'LAN', host_peer_info: { ...creator.info(), ...fault } }),
      ]) {
        assert.ok([400, 422].includes(answer.status), `${JSON.stringify(fault).slice(0, 80)}: ${answer.status} ${answer.text}`);
      }
    }
    assert.deepEqual(Object.keys((await host.read(party)).peers), [host.id]);
  });

  test('additional keys of a peer never come out again', async () => {
    const host = await Peer.of(service);
    const party = await host.create();
    const guest = await Peer.of(service);
    await guest.tryJoin(party, {}, { virtual_ip: '10.0.0.1', role: 'host' } as any);
    await guest.join(party);
    assert.deepEqual(Object.keys((await host.read(party)).peers[guest.id] as object).sort(), PEER_KEYS);
  });

  test('is joined, read, listed and left', async () => {
    const [host, guest] = [await Peer.of(service), await Peer.of(service)];
    const party = await host.create();
    const joined = await guest.ask('POST', `/parties/${party}/join`, { party_id: 'not compared', peer_info: guest.info({ name: 'Guest' }) });
    assertOk(joined);
    assert.deepEqual(Object.keys(joined.json), ['party']);
    assert.deepEqual(Object.keys(toParty(joined.json.party).peers).sort(), [host.id, guest.id].sort());
    for (const member of [host, guest]) {
      const read = await member.ask('GET', `/parties/${party}`);
      assert.deepEqual(Object.keys(assertOk(read)), ['party']);
      assert.deepEqual(Object.keys(toParty(read.json.party).peers).sort(), [host.id, guest.id].sort());
      const peers = assertOk(await member.ask('GET', `/parties/${party}/peers`));
      assert.deepEqual(Object.keys(peers), ['peers']);
      assert.deepEqual(peers.peers, read.json.party.peers);
      const one = assertOk(await member.ask('GET', `/parties/${party}/peers/${guest.id}`));
      assert.deepEqual(Object.keys(one), ['peer']);
      assert.equal(toPeer(one.peer).name, 'Guest');
      assertDetail(await member.ask('GET', `/parties/${party}/peers/nobody`), 404, 'Peer nobody not found');
    }
    assert.deepEqual(assertOk(await guest.beat(party)), { status: 'ok' });
    assertDetail(await guest.beat(party, host.id), 403, 'Token peer_id does not match requested peer_id');
    assertDetail(await guest.leave(party, host.id), 403, 'Token peer_id does not match requested peer_id');
    assert.deepEqual(assertOk(await guest.leave(party)), { status: 'left' });
    assertDetail(await guest.leave(party), 404, `Peer ${guest.id} not in party`);
    assertDetail(await guest.beat(party), 404, `Peer ${guest.id} not found`);
    assert.deepEqual(Object.keys((await host.read(party)).peers), [host.id]);
    assert.deepEqual(assertOk(await host.leave(party)), { status: 'party_deleted' });
    assertDetail(await host.ask('GET', `/parties/${party}`), 404, `Party ${party} not found`);
    assertDetail(await host.beat(party), 404, `Party ${party} not found`);
  });

  test('may be read by members only', async () => {
    const [host, stranger] = [await Peer.of(service), await Peer.of(service)];
    const party = await host.create();
    for (const path of ['', '/peers', `/peers/${host.id}`, '/peers/nobody', '/details', '/relays?peers=a,b']) {
      assertDetail(await stranger.ask('GET', `/parties/${party}${path}`), 403);
    }
    await stranger.join(party);
    await stranger.read(party);
    assertOk(await stranger.leave(party));
    assertDetail(await stranger.ask('GET', `/parties/${party}`), 403);
  });

  test('is joined again without harm, and the newest key, name and endpoint count', async () => {
    const [host, guest] = [await Peer.of(service), await Peer.of(service)];
    const party = await host.create();
    const first = guest.info();
    for (let i = 0; i < 3; i += 1) assertOk(await guest.tryJoin(party, { peer_info: first }));
    assert.equal(Object.keys((await host.read(party)).peers).length, 2);
    const second = describePeer(guest.id, { name: 'Renamed', public_ip: '198.51.100.9', public_port: 4000, nat_type: 'symmetric', local_ip: '10.1.1.1', local_port: 7 });
    await guest.join(party, { peer_info: second });
    const { last_seen, ...seen } = (await host.read(party)).peers[guest.id] as any;
    const { last_seen: _, ...expected } = second;
    assert.deepEqual(seen, expected);
    assertNow(last_seen, 0);
    // The host too: a restart of its client joins or creates again.
    const again = await host.join(party, {}, { name: 'Host again' });
    assert.equal(again.host_id, host.id);
    assert.equal(again.peers[host.id]?.name, 'Host again');
  });

  test('a peer can be in two parties, and leaves them one by one', async () => {
    const [a, b, guest] = [await Peer.of(service), await Peer.of(service), await Peer.of(service)];
    const [first, second] = [await a.create('First'), await b.create('Second')];
    await guest.join(first);
    assert.deepEqual(Object.keys((await guest.join(second)).peers).sort(), [b.id, guest.id].sort());
    assert.ok((await a.read(first)).peers[guest.id] !== undefined);
    assertOk(await guest.beat(first));
    assertOk(await guest.beat(second));
    assertOk(await guest.leave(first));
    assertDetail(await guest.beat(first), 404, `Peer ${guest.id} not found`);
    await guest.read(second);
    const own = await guest.create('Own');
    assert.equal((await guest.read(own)).host_id, guest.id);
  });

  test('ends with its host: the members are free at once', async () => {
    const [host, one, two] = [await Peer.of(service), await Peer.of(service), await Peer.of(service)];
    const party = await host.create();
    await one.join(party);
    await two.join(party);
    assert.deepEqual(assertOk(await host.leave(party)), { status: 'party_deleted' });
    for (const member of [one, two]) {
      assertDetail(await member.ask('GET', `/parties/${party}`), 404, `Party ${party} not found`);
      assertDetail(await member.beat(party), 404, `Party ${party} not found`);
      assertDetail(await member.tryJoin(party), 404, `Party ${party} not found`);
      assert.deepEqual(Object.keys((await member.read(await member.create())).peers), [member.id]);
    }
  });

  test('twenty who join at once are all there, and twenty who leave are all gone', async () => {
    const host = await Peer.of(service);
    const party = await host.create();
    const guests = await Promise.all(Array.from({ length: 20 }, () => Peer.of(service)));
    const seen = await Promise.all(guests.map((guest) => guest.join(party)));
    seen.forEach((read, i) => assert.ok(read.peers[(guests[i] as Peer).id] !== undefined, 'each is in its own answer'));
    assert.equal(Object.keys((await host.read(party)).peers).length, 21);
    for (const answer of await Promise.all(guests.map((guest) => guest.leave(party)))) assert.deepEqual(assertOk(answer), { status: 'left' });
    assert.deepEqual(Object.keys((await host.read(party)).peers), [host.id]);
  });
});

describe('naive times', () => {
  test('are those of the wall clock of who reads, in UTC+2, UTC-7 and UTC+5:45', async () => {
    const host = await Peer.of(service, undefined, 120);
    const guests = [await Peer.of(service, undefined, -420), await Peer.of(service, undefined, 345)];
    const party = await host.create();
    for (const guest of guests) for (const peer of Object.values((await guest.join(party)).peers)) assertNow(peer.last_seen, guest.offset);
    for (const reader of [host, ...guests]) {
      const read = await reader.read(party);
      assertNow(read.created_at, reader.offset);
      for (const peer of Object.values(read.peers)) assertNow(peer.last_seen, reader.offset);
      const listed = assertOk(await reader.ask('GET', `/parties/${party}/peers/${host.id}`)).peer;
      assertNow(listed.last_seen, reader.offset);
    }
  });

  test('a heartbeat moves last_seen to now', async () => {
    const [host, guest] = [await Peer.of(service, undefined, 120), await Peer.of(service, undefined, 120)];
    const party = await host.create();
    await guest.join(party);
    const seen = async (): Promise<number> => moment((await host.read(party)).peers[guest.id]?.last_seen ?? '', 120);
    const first = await seen();
    await pause(60);
    assertOk(await guest.beat(party));
    assert.ok((await seen()) - first >= 50, 'later than before');
  });

  test('are understood with and without a fraction, and three minutes off is still the same zone', async () => {
    for (const text of [naive(120).slice(0, 19), naive(120).slice(0, 23), naive(120, Date.now() - 180_000)]) {
      const host = await Peer.of(service, undefined, 120);
      const party = assertOk(await host.tryCreate('LAN', {}, { last_seen: text })).party_id;
      assertOk(await host.beat(party));
      assertNow((await host.read(party)).peers[host.id]?.last_seen ?? '', 120);
    }
  });
});

describe('the overview', () => {
  test('serves both families of clients, and counts', async () => {
    const read = async (): Promise<any> => assertOk(await service.get('/'));
    const before = await read();
    assert.equal(before.service, 'LANrage Control Plane');
    assert.equal(before.status, 'ok');
    assert.equal(typeof before.version, 'string');
    const host = await Peer.of(service);
    const parties = [await host.create('one'), await host.create('two')];
    await until('two more parties', async () => (await read()).parties === before.parties + 2);
    assertOk(await host.ask('POST', '/relays', { relay_id: `count-${hex(3)}`, public_ip: '203.0.113.9', port: 51820 }));
    await until('one more relay', async () => (await read()).relays === before.relays + 1);
    for (const party of parties) assertOk(await host.leave(party));
    await until('two less', async () => (await read()).parties === before.parties);
  });
});

describe('the HTTP class of the app', () => {
  test('walks through a whole evening', async () => {
    const [host, guest] = [new RemoteControlPlaneClient(service), new RemoteControlPlaneClient(service)];
    const [hostInfo, guestInfo] = [describePeer(newPeerId()), describePeer(newPeerId(), { public_ip: 'unknown', public_port: 0, local_ip: 'unknown', local_port: 0 })];
    const party = await host.registerParty(newPartyId(), 'Evening', hostInfo);
    assert.equal(await guest.getParty('0'.repeat(12)), null);
    const invented = guest.peerId;
    assert.match(String(invented), /^peer_[0-9a-f]{12}$/);
    const joined = await guest.joinParty(party.party_id, guestInfo);
    assert.equal(guest.peerId, guestInfo.peer_id, 'registered anew for the wanted id');
    assert.deepEqual(Object.keys(joined.peers).sort(), [hostInfo.peer_id, guestInfo.peer_id].sort());
    await host.heartbeat();
    await guest.heartbeat();
    assert.deepEqual(Object.keys(await host.getPeers(party.party_id)).sort(), Object.keys(joined.peers).sort());
    assert.equal((await host.discoverPeer(party.party_id, guestInfo.peer_id))?.public_ip, 'unknown');
    assert.equal(await host.discoverPeer(party.party_id, 'nobody'), null);
    assert.ok(Array.isArray(await host.listRelays()));
    assert.deepEqual(await host.listRelays('nowhere'), []);
    await guest.leaveParty(party.party_id, guestInfo.peer_id);
    await assert.rejects(guest.heartbeat(), /HTTP 404: Peer .* not found/);
    await host.leaveParty(party.party_id, hostInfo.peer_id);
    await assert.rejects(host.getPeers(party.party_id), /HTTP 404: Party .* not found/);
    assert.equal(await host.getParty(party.party_id), null);
  });

  test('finds its party again when the service died between two of its three tries', async () => {
    const own = await Service.start(PARTY_SETTINGS);
    try {
      const host = new RemoteControlPlaneClient(own);
      const info = describePeer(newPeerId());
      const party = await host.registerParty('', 'LAN', info);
      await own.crash();
      const [read] = await Promise.all([host.getParty(party.party_id), pause(300).then(() => own.boot())]);
      assert.deepEqual(Object.keys(read?.peers ?? {}), [info.peer_id]);
      await host.heartbeat();
      assertCalm(own);
    } finally {
      await own.stop();
    }
  });
});
