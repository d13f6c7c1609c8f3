// What parties have that the original had not: passwords, invites, capacity, kicks and bans, promotion, virtual addresses, pushed
// changes, signals. parties.md 6.3 and 7.

import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import {
  assertDetail, assertInvalid, assertNow, assertObject, assertOk, hex, newPartyId, PARTY_SETTINGS, partySecrets, Peer, PEER_KEYS, toPeer,
} from './support/party.ts';
import { endPlanes, planeOf, RemoteControlPlane } from './support/party-plane.ts';
import { assertCalm, assertNoLeak, pause, Service, until } from './support/service.ts';

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

/** A host with its party, and guests who are in it. */
async function gathering<const N extends number>(guests: N, offset?: number): Promise<{ host: Peer; party: string; guests: Peer[] }> {
  const host = await Peer.of(service, undefined, offset);
  const party = await host.create();
  const all: Peer[] = [];
  for (let i = 0; i < guests; i += 1) {
    const guest = await Peer.of(service, undefined, offset);
    await guest.join(party);
    all.push(guest);
  }
  return { host, party, guests: all };
}

function secret(kind: string): string {
  const word = `${kind}-${hex(6)}`;
  partySecrets.push(word);
  return word;
}

async function inviteOf(host: Peer, party: string, wish: Record<string, unknown> = {}): Promise<any> {
  const invite = assertOk(await host.ask('POST', `/parties/${party}/invites`, wish));
  partySecrets.push(invite.code);
  return invite;
}

describe('settings', () => {
  test('details say who is there, under which address, in which role, and nothing of the password', async () => {
    const { host, party, guests: [guest] } = await gathering(1);
    const password = secret('password');
    const details = await host.change(party, { password, peers_max: 5, promotion: true, name: 'New name' });
    assert.deepEqual(await host.details(party).then(({ server_time, members, ...rest }) => rest), {
      party_id: party, host_id: host.id, peers_max: 5, has_password: true, promotion: true,
    });
    assert.equal(details.peers_max, 5, 'the answer to a change is the new state');
    const read = await (guest as Peer).details(party);
    assert.ok(Math.abs(Date.parse(read.server_time) - Date.now()) < 10_000, read.server_time);
    assert.equal(read.members.length, 2);
    for (const member of read.members) {
      assert.equal(member.role, member.peer_id === host.id ? 'host' : 'member');
      assert.match(member.virtual_ip, /^10\.66\.\d{1,3}\.\d{1,3}$/);
      assert.equal(typeof member.online, 'boolean');
      assert.ok(member.last_seen_ms_ago >= 0 && member.last_seen_ms_ago < 10_000, `${member.last_seen_ms_ago}`);
    }
    assert.ok(!JSON.stringify(read).includes(password));
    assert.equal((await host.read(party)).name, 'New name');
  });

  test('are the host\'s only, and are checked', async () => {
    const { host, party, guests: [guest] } = await gathering(1);
    assertDetail(await (guest as Peer).ask('PUT', `/parties/${party}/settings`, { name: 'Mine' }), 403);
    assertDetail(await (await Peer.of(service)).ask('PUT', `/parties/${party}/settings`, { name: 'Mine' }), 403);
    for (const [wrong, at] of [
      [{ name: '' }, 'name'], [{ name: 'x'.repeat(101) }, 'name'], [{ name: 5 }, 'name'], [{ peers_max: 1 }, 'peers_max'],
      [{ peers_max: 257 }, 'peers_max'], [{ peers_max: 'x' }, 'peers_max'], [{ peers_max: 2.5 }, 'peers_max'], [{ promotion: 'yes' }, 'promotion'],
      [{ password: 5 }, 'password'], [{ password: 'p'.repeat(5000) }, 'password'],
    ] as [Record<string, unknown>, string][]) {
      assertInvalid(await host.ask('PUT', `/parties/${party}/settings`, { name: 'Half', ...wrong }), undefined, ['body', at]);
    }
    assert.notEqual((await host.read(party)).name, 'Half', 'a refused change changes nothing');
    const before = await host.details(party);
    await host.change(party, {});
    assert.deepEqual((await host.details(party)).peers_max, before.peers_max);
  });

  test('a new name reaches the members at once', async () => {
    const { host, party, guests: [guest] } = await gathering(1);
    const plane = await planeOf(guest as Peer);
    await plane.knows(party, [host.id, (guest as Peer).id]);
    await host.change(party, { name: 'Pushed' });
    await plane.until('the new name', () => plane.parties.get(party)?.name === 'Pushed');
    plane.calm();
  });
});

describe('a password', () => {
  test('is asked of who is not yet in, and of nobody else', async () => {
    const { host, party, guests: [inside] } = await gathering(1);
    const password = secret('password');
    await host.change(party, { password });
    const guest = await Peer.of(service);
    assertDetail(await guest.tryJoin(party), 403);
    for (const wrong of ['wrong', `${password} `, password.toUpperCase()]) assertDetail(await guest.tryJoin(party, { password: wrong }), 403);
    assertInvalid(await guest.tryJoin(party, { password: 5 }), undefined, ['body', 'password']);
    assertDetail(await guest.ask('GET', `/parties/${party}`), 403);
    await guest.join(party, { password });
    for (const member of [guest, inside as Peer, host]) await member.join(party);
    assertOk(await guest.leave(party));
    assertDetail(await guest.tryJoin(party), 403);
    const next = secret('password');
    await host.change(party, { password: next });
    assertDetail(await guest.tryJoin(party, { password }), 403);
    await guest.join(party, { password: next });
    assertOk(await guest.leave(party));
    await host.change(party, { password: null });
    assert.equal((await host.details(party)).has_password, false);
    await guest.join(party);
  });

  test('keeps sockets out too, and lets those in that know it', async () => {
    const { host, party } = await gathering(0);
    const password = secret('password');
    await host.change(party, { password });
    const plane = await RemoteControlPlane.open(service);
    assert.throws(() => plane.joinParty(party));
    await plane.error();
    assert.equal(plane.parties.size, 0);
    assert.deepEqual(Object.keys((await host.read(party)).peers), [host.id]);
    const other = await RemoteControlPlane.open(service);
    other.send({ type: 'join_party', party_id: party, peer: other.info(), password });
    await other.knows(party, [host.id, other.myPeerId]);
    other.calm();
  });

  test('cannot be guessed without end', async () => {
    const { host, party } = await gathering(0);
    const password = secret('password');
    await host.change(party, { password });
    const guesser = await Peer.of(service);
    const answers = await Promise.all(Array.from({ length: 300 }, (_, i) => guesser.tryJoin(party, { password: `guess-${i}` })));
    assert.ok(answers.every((answer) => [403, 429].includes(answer.status)), 'nobody got in');
    assert.ok(answers.some((answer) => answer.status === 429) || (await guesser.tryJoin(party, { password })).status !== 200, '300 guesses at once are too many');
    await (await Peer.of(service)).join(party, { password });
  });
});

describe('invites', () => {
  test('open a party with a password, as often as they say', async () => {
    const { host, party } = await gathering(0);
    await host.change(party, { password: secret('password') });
    const invite = await inviteOf(host, party, { uses: 2, expires_in_s: 3600 });
    assert.deepEqual(Object.keys(invite).sort(), ['code', 'expires_at', 'uses_left']);
    assert.equal(invite.uses_left, 2);
    assert.ok(Math.abs(Date.parse(invite.expires_at) - Date.now() - 3_600_000) < 10_000, invite.expires_at);
    const [one, two, three] = [await Peer.of(service), await Peer.of(service), await Peer.of(service)];
    await one.join(party, { invite: invite.code });
    await one.join(party, { invite: invite.code });
    const left = async (): Promise<any[]> => assertOk(await host.ask('GET', `/parties/${party}/invites`)).invites;
    assert.deepEqual((await left()).map((each) => [each.code, each.uses_left]), [[invite.code, 1]], 'a repeated join takes no second use');
    await two.join(party, { invite: invite.code });
    assertDetail(await three.tryJoin(party, { invite: invite.code }), 403);
    assert.deepEqual(await left(), [], 'what is used up is not open');
    const unlimited = await inviteOf(host, party);
    await three.join(party, { invite: unlimited.code });
  });

  test('of ten who come at once with a code for three, three are in', async () => {
    const { host, party } = await gathering(0);
    await host.change(party, { password: secret('password') });
    const { code } = await inviteOf(host, party, { uses: 3 });
    const guests = await Promise.all(Array.from({ length: 10 }, () => Peer.of(service)));
    const answers = await Promise.all(guests.map((guest) => guest.tryJoin(party, { invite: code })));
    assert.deepEqual(answers.map((answer) => answer.status).sort(), [200, 200, 200, 403, 403, 403, 403, 403, 403, 403]);
    assert.equal(Object.keys((await host.read(party)).peers).length, 4);
  });

  test('end: by time, by the host, with the wrong party and with a wrong code', async () => {
    const { host, party } = await gathering(0);
    await host.change(party, { password: secret('password') });
    const guest = await Peer.of(service);
    const short = await inviteOf(host, party, { expires_in_s: 1 });
    const revoked = await inviteOf(host, party, { expires_in_s: 600 });
    const elsewhere = await inviteOf(host, await host.create());
    assertOk(await host.ask('DELETE', `/parties/${party}/invites/${revoked.code}`));
    assert.equal((await host.ask('DELETE', `/parties/${party}/invites/${revoked.code}`)).status, 404);
    for (const invite of [revoked.code, elsewhere.code, 'nonsense', `${short.code}x`]) assertDetail(await guest.tryJoin(party, { invite }), 403);
    await pause(1200);
    assertDetail(await guest.tryJoin(party, { invite: short.code }), 403);
    assert.deepEqual(assertOk(await host.ask('GET', `/parties/${party}/invites`)).invites, []);
  });

  test('are the host\'s only, checked and finite', async () => {
    const { host, party, guests: [guest] } = await gathering(1);
    const { code } = await inviteOf(host, party);
    const path = `/parties/${party}/invites`;
    assertDetail(await (guest as Peer).ask('POST', path, {}), 403);
    assertDetail(await (guest as Peer).ask('GET', path), 403);
    assertDetail(await (guest as Peer).ask('DELETE', `${path}/${code}`), 403);
    for (const [wrong, at] of [[{ uses: 0 }, 'uses'], [{ uses: -1 }, 'uses'], [{ uses: 'x' }, 'uses'], [{ expires_in_s: 0 }, 'expires_in_s'], [{ expires_in_s: 1e15 }, 'expires_in_s']] as [unknown, string][]) {
      assertInvalid(await host.ask('POST', path, wrong), undefined, ['body', at]);
    }
    let refused: number | undefined;
    for (let i = 0; i < 1100 && refused === undefined; i += 1) {
      const answer = await host.ask('POST', path, {});
      if (answer.status !== 200) refused = answer.status;
    }
    assert.equal(refused, 409, 'some day there are enough open invites');
  });
});

describe('capacity', () => {
  test('holds, for HTTP and sockets, and not against members', async () => {
    const { host, party, guests: [guest] } = await gathering(1);
    await host.change(party, { peers_max: 2 });
    const late = await Peer.of(service);
    assertDetail(await late.tryJoin(party), 409);
    const plane = await RemoteControlPlane.open(service);
    assert.throws(() => plane.joinParty(party));
    await plane.error();
    await (guest as Peer).join(party);
    await host.join(party);
    assertOk(await (guest as Peer).leave(party));
    await late.join(party);
    const rush = await Promise.all((await Promise.all(Array.from({ length: 8 }, () => Peer.of(service)))).map((peer) => peer.tryJoin(party)));
    assert.ok(rush.every((answer) => answer.status === 409));
    await host.change(party, { peers_max: 4 });
    const again = await Promise.all((await Promise.all(Array.from({ length: 8 }, () => Peer.of(service)))).map((peer) => peer.tryJoin(party)));
    assert.equal(again.filter((answer) => answer.status === 200).length, 2);
  });
});

describe('the host\'s power', () => {
  test('a kicked member is out, hears it, and may come back', async () => {
    const { host, party, guests: [guest, other] } = await gathering(2) as { host: Peer; party: string; guests: [Peer, Peer] };
    const [plane, watcher] = [await planeOf(guest), await planeOf(other)];
    await plane.knows(party, [host.id, guest.id, other.id]);
    await watcher.knows(party, [host.id, guest.id, other.id]);
    assert.deepEqual(assertOk(await host.leave(party, guest.id)), { status: 'left' });
    await watcher.knows(party, [host.id, other.id]);
    await plane.until('the word that it is out', () => plane.frames.some((frame) => frame.type === 'peer_left' && frame.peer_id === guest.id));
    assertDetail(await guest.ask('GET', `/parties/${party}`), 403);
    assertDetail(await guest.beat(party), 404, `Peer ${guest.id} not found`);
    assertDetail(await host.leave(party, guest.id), 404, `Peer ${guest.id} not in party`);
    const frames = plane.frames.length;
    const third = await Peer.of(service);
    await third.join(party);
    await watcher.knows(party, [host.id, other.id, third.id]);
    assert.equal(plane.frames.length, frames, 'who is out hears nothing more');
    await guest.join(party);
    await watcher.knows(party, [host.id, other.id, third.id, guest.id]);
  });

  test('a banned peer is out and stays out, until it is unbanned or the time is over', async () => {
    const { host, party, guests: [guest] } = await gathering(1) as { host: Peer; party: string; guests: [Peer] };
    const { code } = await inviteOf(host, party);
    const path = `/parties/${party}/bans`;
    const sentence = `Banned from party ${party}`;
    assertOk(await host.ask('POST', path, { peer_id: guest.id }));
    assert.deepEqual(Object.keys((await host.read(party)).peers), [host.id]);
    assertDetail(await guest.tryJoin(party), 403, sentence);
    assertDetail(await guest.tryJoin(party, { invite: code }), 403, sentence);
    const bans = assertOk(await host.ask('GET', path)).bans;
    assert.deepEqual(bans.map((ban: any) => ban.peer_id), [guest.id]);
    assertOk(await host.ask('DELETE', `${path}/${guest.id}`));
    assert.equal((await host.ask('DELETE', `${path}/${guest.id}`)).status, 404);
    await guest.join(party);
    assertOk(await host.ask('POST', path, { peer_id: guest.id, seconds: 1 }));
    assertDetail(await guest.tryJoin(party), 403, sentence);
    await pause(1200);
    await guest.join(party);
    const stranger = await Peer.of(service);
    assertOk(await host.ask('POST', path, { peer_id: stranger.id }));
    assertDetail(await stranger.tryJoin(party), 403, sentence);
  });

  test('a ban holds for sockets', async () => {
    const { host, party } = await gathering(0);
    const guest = await Peer.of(service);
    await guest.join(party);
    const plane = await planeOf(guest);
    await plane.knows(party, [host.id, guest.id]);
    assertOk(await host.ask('POST', `/parties/${party}/bans`, { peer_id: guest.id }));
    await plane.until('the word that it is out', () => plane.frames.some((frame) => frame.type === 'peer_left' && frame.peer_id === guest.id));
    plane.parties.clear();
    assert.throws(() => plane.joinParty(party));
    await plane.error(`Banned from party ${party}`);
    assert.deepEqual(Object.keys((await host.read(party)).peers), [host.id]);
  });

  test('bans are the host\'s, checked, finite, and never of the host', async () => {
    const { host, party, guests: [guest] } = await gathering(1) as { host: Peer; party: string; guests: [Peer] };
    const path = `/parties/${party}/bans`;
    assertDetail(await guest.ask('POST', path, { peer_id: host.id }), 403);
    assertDetail(await guest.ask('GET', path), 403);
    assertDetail(await guest.ask('DELETE', `${path}/${guest.id}`), 403);
    assertInvalid(await host.ask('POST', path, {}), 'missing', ['body', 'peer_id']);
    assertInvalid(await host.ask('POST', path, { peer_id: 5 }), undefined, ['body', 'peer_id']);
    assertInvalid(await host.ask('POST', path, { peer_id: guest.id, seconds: 0 }), undefined, ['body', 'seconds']);
    const self = await host.ask('POST', path, { peer_id: host.id });
    assert.ok([403, 409, 422].includes(self.status), self.text);
    await host.read(party);
    let refused: number | undefined;
    for (let i = 0; i < 2100 && refused === undefined; i += 1) {
      const answer = await host.ask('POST', path, { peer_id: `banned-${i}` });
      if (answer.status !== 200) refused = answer.status;
    }
    assert.equal(refused, 409, 'some day there are enough bans');
  });

  test('with promotion the longest-present member follows a host that leaves', async () => {
    const { host, party, guests: [one, two] } = await gathering(2) as { host: Peer; party: string; guests: [Peer, Peer] };
    await host.change(party, { promotion: true });
    const plane = await planeOf(two);
    await plane.knows(party, [host.id, one.id, two.id]);
    assert.deepEqual(assertOk(await host.leave(party)), { status: 'left' });
    await plane.until('the new host', () => plane.parties.get(party)?.host_id === one.id);
    await plane.knows(party, [one.id, two.id]);
    const read = await two.read(party);
    assert.equal(read.host_id, one.id);
    assert.deepEqual(Object.keys(read.peers).sort(), [one.id, two.id].sort());
    assert.equal((await two.member(party, one.id)).role, 'host');
    await one.change(party, { name: 'In new hands' });
    assertDetail(await two.ask('PUT', `/parties/${party}/settings`, { name: 'x' }), 403);
    await host.join(party);
    assertDetail(await host.ask('PUT', `/parties/${party}/settings`, { name: 'x' }), 403);
    assertOk(await two.leave(party));
    assertOk(await host.leave(party));
    assert.deepEqual(assertOk(await one.leave(party)), { status: 'party_deleted' });
    plane.calm();
  });
});

describe('virtual addresses', () => {
  test('are unique, and stay with a peer that comes again or moves', async () => {
    const host = await Peer.of(service);
    const party = await host.create();
    const guests = await Promise.all(Array.from({ length: 40 }, () => Peer.of(service)));
    await Promise.all(guests.map((guest) => guest.join(party)));
    const table = async (): Promise<Map<string, string>> => new Map((await host.details(party)).members.map((each: any) => [each.peer_id, each.virtual_ip]));
    const first = await table();
    assert.equal(first.size, 41);
    assert.equal(new Set(first.values()).size, 41, 'no two have the same');
    for (const address of first.values()) assert.match(address, /^10\.66\.\d{1,3}\.\d{1,3}$/);
    await Promise.all(guests.map((guest) => guest.join(party, {}, { public_ip: '198.51.100.77' })));
    assert.deepEqual(await table(), first);
    for (const guest of guests.slice(0, 20)) assertOk(await guest.leave(party));
    const fresh = await Promise.all(Array.from({ length: 20 }, () => Peer.of(service)));
    await Promise.all([...fresh, ...guests.slice(0, 20)].map((guest) => guest.join(party)));
    const second = await table();
    assert.equal(new Set(second.values()).size, 61);
    for (const guest of guests.slice(20)) assert.equal(second.get(guest.id), first.get(guest.id), 'who stayed keeps its address');
  });
});

describe('a changed endpoint', () => {
  test('reaches the others at once', async () => {
    const { host, party, guests: [guest] } = await gathering(1, 120) as { host: Peer; party: string; guests: [Peer] };
    const plane = await planeOf(host);
    await plane.knows(party, [host.id, guest.id]);
    const change = { public_ip: '198.51.100.200', public_port: 40_000, nat_type: 'symmetric' };
    const answer = assertOk(await guest.ask('PUT', `/parties/${party}/peers/${guest.id}`, change));
    assert.deepEqual(Object.keys(answer.peer).sort(), PEER_KEYS);
    assert.equal(toPeer(answer.peer).public_port, 40_000);
    await plane.until('the new endpoint', () => plane.parties.get(party)?.peers[guest.id]?.public_ip === change.public_ip);
    const seen = plane.parties.get(party)?.peers[guest.id];
    assert.equal(seen?.public_port, change.public_port);
    assert.equal(seen?.nat_type, change.nat_type);
    assert.equal(seen?.name, 'Me', 'the rest stays');
    assertNow(seen?.last_seen ?? '', 120);
    plane.calm();
  });

  test('is the peer\'s own, and checked', async () => {
    const { host, party, guests: [guest] } = await gathering(1) as { host: Peer; party: string; guests: [Peer] };
    const put = (peer: Peer, id: string, body: unknown) => peer.ask('PUT', `/parties/${party}/peers/${id}`, body);
    assertDetail(await put(host, guest.id, { public_port: 1 }), 403, 'Token peer_id does not match requested peer_id');
    const stranger = await Peer.of(service);
    assertDetail(await put(stranger, stranger.id, { public_port: 1 }), 404, `Peer ${stranger.id} not found`);
    for (const wrong of [{ public_port: 70_000 }, { public_port: 'x' }, { name: 5 }, { public_key: 'k'.repeat(20_000) }, { last_seen: 'never' }]) {
      assertInvalid(await put(guest, guest.id, { local_port: 99, ...wrong }));
    }
    const renamed = await put(guest, guest.id, { peer_id: host.id });
    assert.ok(renamed.status !== 200 || renamed.json.peer.peer_id === guest.id, renamed.text);
    const read = await host.read(party);
    assert.deepEqual(Object.keys(read.peers).sort(), [host.id, guest.id].sort());
    assert.notEqual(read.peers[guest.id]?.local_port, 99, 'a refused change changes nothing');
  });
});

describe('signals', () => {
  test('over HTTP wait for the poll, in order, and are gone after it', async () => {
    const { host, party, guests: [guest] } = await gathering(1, 120) as { host: Peer; party: string; guests: [Peer] };
    for (let i = 0; i < 3; i += 1) assertOk(await host.signal(party, guest.id, { offer: i, text: 'ünïcode 🎮' }));
    const signals = await guest.poll(party);
    assert.deepEqual(signals.map(({ sent_at, ...rest }) => rest), [0, 1, 2].map((i) => (
      { party_id: party, from_peer_id: host.id, to_peer_id: guest.id, signal_data: { offer: i, text: 'ünïcode 🎮' } })));
    for (const signal of signals) assertNow(signal.sent_at, 120);
    assert.deepEqual(await guest.poll(party), []);
    assert.deepEqual(await host.poll(party), []);
  });

  test('go from socket to socket, from socket to poll and from HTTP to socket', async () => {
    const { host, party, guests: [polling, listening] } = await gathering(2) as { host: Peer; party: string; guests: [Peer, Peer] };
    const [from, to] = [await planeOf(host), await planeOf(listening)];
    for (const plane of [from, to]) await plane.knows(party, [host.id, polling.id, listening.id]);
    from.signal(party, listening.id, { n: 1 });
    await to.until('the signal', () => to.queues.size > 0);
    assert.deepEqual(to.pollSignals(party).map(({ sent_at, ...rest }) => rest), [{ party_id: party, from_peer_id: host.id, to_peer_id: listening.id, signal_data: { n: 1 } }]);
    from.signal(party, polling.id, { n: 2 });
    const signals = await until('the signal waits', async () => {
      const waiting = await polling.poll(party);
      return waiting.length > 0 && waiting;
    });
    assert.deepEqual(signals.map((signal) => [signal.from_peer_id, signal.signal_data]), [[host.id, { n: 2 }]]);
    assertOk(await polling.signal(party, listening.id, { n: 3 }));
    await to.until('the signal', () => to.queues.size > 0);
    assert.deepEqual(to.pollSignals(party)[0]?.signal_data, { n: 3 });
    assert.deepEqual(await listening.poll(party), [], 'what was pushed does not wait as well');
    for (const plane of [from, to]) plane.calm();
  });

  test('are refused in another\'s name, to nobody, from strangers and when they are no object', async () => {
    const { host, party, guests: [guest] } = await gathering(1) as { host: Peer; party: string; guests: [Peer] };
    const stranger = await Peer.of(service);
    assertDetail(await stranger.signal(party, guest.id, {}), 403);
    assertDetail(await host.signal(party, stranger.id, {}), 404, new RegExp(`^Peer ${stranger.id} not (found|in party)$`));
    assertDetail(await host.ask('GET', `/parties/${party}/peers/${guest.id}/signals`), 403, 'Token peer_id does not match requested peer_id');
    for (const data of ['text', 5, [1], true]) assertInvalid(await host.signal(party, guest.id, data), undefined, ['body', 'signal_data']);
    assertInvalid(await host.ask('POST', `/parties/${party}/signals`, { signal_data: {} }), 'missing', ['body', 'to_peer_id']);
    assert.deepEqual(await guest.poll(party), []);
    assertOk(await host.signal(party, guest.id, undefined));
    assert.deepEqual((await guest.poll(party)).map((signal) => signal.signal_data), [{}], 'absent means empty');
    const [plane, other] = [await planeOf(host), await planeOf(guest)];
    await plane.knows(party, [host.id, guest.id]);
    await other.knows(party, [host.id, guest.id]);
    plane.signal(party, guest.id, { forged: true }, guest.id);
    await plane.error();
    await plane.settle(party);
    await other.settle(party);
    assert.deepEqual(other.pollSignals(party).filter((signal) => signal.from_peer_id !== host.id), []);
  });

  test('a queue that nobody takes is finite', async () => {
    const { host, party, guests: [guest] } = await gathering(1) as { host: Peer; party: string; guests: [Peer] };
    const statuses = new Set<number>();
    const count = 1500;
    for (let i = 0; i < count; i += 50) {
      for (const answer of await Promise.all(Array.from({ length: 50 }, (_, j) => host.signal(party, guest.id, { n: i + j, pad: 'x'.repeat(1000) })))) {
        statuses.add(answer.status);
        assertObject(answer);
      }
    }
    for (const status of statuses) assert.ok([200, 409, 413, 422, 429].includes(status), `${status}`);
    const waiting = await guest.poll(party);
    assert.ok(waiting.length > 0 && waiting.length < count, `${waiting.length} of ${count} were kept`);
    const large = await host.signal(party, guest.id, { pad: 'x'.repeat(100_000) });
    assert.ok([413, 422].includes(large.status), large.text.slice(0, 200));
    assertOk(await host.signal(party, guest.id, { last: true }));
    assert.deepEqual((await guest.poll(party)).map((signal) => signal.signal_data), [{ last: true }], 'it works again when it is empty');
  });

  test('and invitations end with their party: another one of the same id starts empty', async () => {
    const id = newPartyId();
    const [host, guest] = [await Peer.of(service), await Peer.of(service)];
    await host.create('First', { party_id: id });
    await guest.join(id);
    await host.change(id, { password: secret('password') });
    const { code } = await inviteOf(host, id);
    assertOk(await host.signal(id, guest.id, { old: true }));
    assertOk(await host.ask('POST', `/parties/${id}/bans`, { peer_id: 'somebody' }));
    assertOk(await host.leave(id));
    await guest.create('Second', { party_id: id });
    await host.join(id);
    assert.deepEqual(await guest.poll(id), []);
    assert.deepEqual(assertOk(await guest.ask('GET', `/parties/${id}/bans`)).bans, []);
    assert.deepEqual(assertOk(await guest.ask('GET', `/parties/${id}/invites`)).invites, []);
    assert.ok(code.length > 4);
  });
});
