// Parties over WebSocket, as the unmodified class of the field lives through them: parties.md 2, 3.2 and 7.

import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import { assertDetail, assertNow, assertOk, describePeer, newPartyId, newPeerId, PARTY_SETTINGS, partySecrets, Peer } from './support/party.ts';
import { endPlanes, planeOf, RemoteControlPlane } from './support/party-plane.ts';
import { assertCalm, assertNoLeak, pause, Service, until } from './support/service.ts';
import { Client, newAddress, pair, refusedUpgrade, secrets } from './support/socket.ts';

let service: Service;
before(async () => {
  service = await Service.start({ ...PARTY_SETTINGS, SIGNAL_PAIR_REQUESTS_PER_MINUTE: '0' });
});
afterEach(() => endPlanes(service));
after(async () => {
  await service.stop();
  assertCalm(service);
  assertNoLeak(service, [...partySecrets, ...secrets]);
});

const open = (options = {}): Promise<RemoteControlPlane> => RemoteControlPlane.open(service, options);

/** A host and guests, all the unmodified class, anonymous, who know each other. */
async function gathering(guests: number): Promise<{ host: RemoteControlPlane; party: string; guests: RemoteControlPlane[] }> {
  const host = await open();
  const party = await host.host();
  const all: RemoteControlPlane[] = [];
  for (let i = 0; i < guests; i += 1) {
    const guest = await open();
    await guest.enter(party);
    all.push(guest);
  }
  const everybody = [host, ...all].map((plane) => plane.myPeerId);
  for (const plane of [host, ...all]) await plane.knows(party, everybody);
  return { host, party, guests: all };
}

describe('the class of the field', () => {
  test('opens a party, is joined, signals, leaves, and prints nothing', async () => {
    const host = await open();
    const party = await host.host();
    assert.equal(host.parties.get(party)?.host_id, host.myPeerId);
    const guest = await open({ first: 'hello' });
    await guest.enter(party, guest.info({ public_ip: 'unknown', public_port: 0, local_ip: 'unknown', local_port: 0 }));
    await host.knows(party, [host.myPeerId, guest.myPeerId]);
    await guest.knows(party, [host.myPeerId, guest.myPeerId]);
    assert.equal(host.parties.get(party)?.peers[guest.myPeerId ?? '']?.public_ip, 'unknown');
    guest.signal(party, String(host.myPeerId), { sdp: 'offer' });
    await host.until('the offer', () => host.queues.size > 0);
    const [offer] = host.pollSignals(party);
    assert.deepEqual([offer?.from_peer_id, offer?.to_peer_id, offer?.signal_data], [guest.myPeerId, host.myPeerId, { sdp: 'offer' }]);
    host.signal(party, String(guest.myPeerId), {});
    await guest.until('the answer', () => guest.queues.size > 0);
    host.heartbeat(party);
    await host.alive();
    guest.leaveParty(party);
    await host.knows(party, [host.myPeerId]);
    for (const plane of [host, guest]) plane.calm();
  });

  test('is answered by a party_update after every register and join, also to an equal one', async () => {
    const { host, party, guests: [guest] } = await gathering(1) as { host: RemoteControlPlane; party: string; guests: [RemoteControlPlane] };
    for (let i = 1; i <= 3; i += 1) {
      await guest.settle(party);
      const before = host.count('party_update');
      host.registerParty(party);
      await host.until('the party_update after an equal register_party', () => host.count('party_update') > before);
    }
    await host.knows(party, [host.myPeerId, guest.myPeerId]);
    host.calm();
    guest.calm();
  });

  test('hears of the host leaving as peer_left of the host, and the party is gone', async () => {
    const { host, party, guests } = await gathering(3);
    host.leaveParty(party);
    for (const guest of guests) {
      await guest.until('peer_left of the host', () => guest.frames.some((frame) => frame.type === 'peer_left' && frame.party_id === party && frame.peer_id === host.myPeerId));
      guest.calm();
    }
    const [late] = [await open()];
    assert.throws(() => late.joinParty(party));
    await late.error(`Party ${party} not found`);
    const own = await (guests[0] as RemoteControlPlane).host();
    assert.notEqual(own, party);
  });

  test('with a clock in another zone keeps its peers through its own clean-up', async () => {
    const [east, west] = [await open({ offset: 120 }), await open({ offset: -420 })];
    const party = await east.host();
    await west.enter(party);
    const guest = await Peer.of(service);
    await guest.join(party);
    const everybody = [east.myPeerId, west.myPeerId, guest.id];
    for (const plane of [east, west]) {
      await plane.knows(party, everybody);
      plane.cleanUp();
      plane.cleanUp(Date.now() + 4 * 60_000);
      await plane.knows(party, everybody);
      for (const peer of Object.values(plane.parties.get(party)?.peers ?? {})) assertNow(peer.last_seen, plane.options.offset);
      assertNow(plane.parties.get(party)?.created_at ?? '', plane.options.offset);
      plane.calm();
    }
  });

  test('comes back after a disconnect by its id alone, and learns what it missed', async () => {
    const { host, party, guests: [guest, other] } = await gathering(2) as { host: RemoteControlPlane; party: string; guests: [RemoteControlPlane, RemoteControlPlane] };
    const connects = guest.connects;
    guest.options.reconnectMs = 600;
    guest.socket?.terminate();
    other.leaveParty(party);
    await host.knows(party, [host.myPeerId, guest.myPeerId]);
    const late = await open();
    await late.enter(party);
    await guest.until('the reconnection', () => guest.connects > connects);
    await guest.knows(party, [host.myPeerId, guest.myPeerId, late.myPeerId]);
    late.signal(party, String(guest.myPeerId), { after: 'all' });
    await guest.until('a signal to the restored', () => guest.queues.size > 0);
    guest.signal(party, String(host.myPeerId), { me: 'too' });
    await host.until('a signal of the restored', () => host.queues.size > 0);
    for (const plane of [host, guest, late]) plane.calm();
  });

  test('comes back from another address when its old socket is gone', async () => {
    const { host, party, guests: [guest] } = await gathering(1) as { host: RemoteControlPlane; party: string; guests: [RemoteControlPlane] };
    guest.end();
    const roaming = await open({ peerId: guest.myPeerId });
    await roaming.knows(party, [host.myPeerId, guest.myPeerId]);
    roaming.calm();
  });

  test('in two parties hears of both', async () => {
    const plane = await open();
    const first = await plane.host();
    const { host, party: second } = await gathering(0);
    await plane.enter(second);
    const guest = await Peer.of(service);
    await guest.join(first);
    await guest.join(second);
    await plane.knows(first, [plane.myPeerId, guest.id]);
    await plane.knows(second, [host.myPeerId, plane.myPeerId, guest.id]);
    plane.leaveParty(first);
    await plane.settle(second);
    assertDetail(await guest.ask('GET', `/parties/${first}`), 404, `Party ${first} not found`);
    plane.calm();
  });

  test('shares the party with those at HTTP', async () => {
    const host = await open();
    const party = await host.host();
    const guest = await Peer.of(service);
    assert.deepEqual(Object.keys((await guest.join(party)).peers).sort(), [host.myPeerId, guest.id].sort());
    await host.knows(party, [host.myPeerId, guest.id]);
    await guest.join(party, {}, { public_port: 7777 });
    await host.until('the new port', () => host.parties.get(party)?.peers[guest.id]?.public_port === 7777);
    host.signal(party, guest.id, { to: 'the poll' });
    const signals = await until('the signal', async () => {
      const waiting = await guest.poll(party);
      return waiting.length > 0 && waiting;
    });
    assert.equal(signals[0]?.from_peer_id, host.myPeerId);
    assertOk(await guest.signal(party, String(host.myPeerId), { to: 'the socket' }));
    await host.until('the signal', () => host.queues.size > 0);
    assertOk(await guest.leave(party));
    await host.knows(party, [host.myPeerId]);
    const again = await Peer.of(service);
    await again.join(party);
    host.leaveParty(party);
    await until('the party is gone', async () => (await again.beat(party)).status === 404);
    host.calm();
  });

  test('hears of a party that its own peer opens or joins over HTTP meanwhile', async () => {
    const [host, guest] = [await Peer.of(service), await Peer.of(service)];
    const [hostPlane, guestPlane] = [await planeOf(host), await planeOf(guest)];
    const party = await host.create();
    await guest.join(party);
    for (const plane of [hostPlane, guestPlane]) await plane.knows(party, [host.id, guest.id]);
    assertOk(await host.signal(party, guest.id, { n: 1 }));
    await guestPlane.until('the signal', () => guestPlane.queues.size > 0);
  });

  test('twenty join at once and leave at once, and all agree', async () => {
    const host = await open();
    const party = await host.host();
    const guests = await Promise.all(Array.from({ length: 20 }, () => open()));
    for (const guest of guests) assert.throws(() => guest.joinParty(party));
    const everybody = [host, ...guests].map((plane) => plane.myPeerId);
    for (const plane of [host, ...guests]) await plane.knows(party, everybody, 15_000);
    const half = guests.slice(0, 10);
    for (const guest of half) guest.leaveParty(party);
    const rest = everybody.filter((id) => !half.some((guest) => guest.myPeerId === id));
    for (const plane of [host, ...guests.slice(10)]) {
      await plane.knows(party, rest, 15_000);
      plane.calm();
    }
  });
});

describe('who a socket may be', () => {
  test('a socket is one peer: a second id is refused, and nothing came of it', async () => {
    const { host, party } = await gathering(0);
    const guest = await open();
    await guest.enter(party);
    const other = describePeer(newPeerId());
    guest.send({ type: 'join_party', party_id: party, peer: other });
    await guest.error();
    guest.send({ type: 'register_party', party_id: newPartyId(), name: 'LAN', host_peer: other });
    await guest.error();
    guest.send({ type: 'leave_party', party_id: party, peer_id: host.myPeerId });
    await guest.error();
    await host.settle(party);
    await host.knows(party, [host.myPeerId, guest.myPeerId]);
    await guest.settle(party);
    await guest.knows(party, [host.myPeerId, guest.myPeerId]);
  });

  test('the id of a living socket is refused to another address, and nothing came of it', async () => {
    const { host, party, guests: [guest] } = await gathering(1) as { host: RemoteControlPlane; party: string; guests: [RemoteControlPlane] };
    const claiming = await open({ peerId: guest.myPeerId });
    await claiming.error();
    claiming.send({ type: 'join_party', party_id: party, peer: describePeer(String(guest.myPeerId), { public_port: 6666 }) });
    await claiming.error();
    claiming.leaveParty(party, guest.myPeerId);
    const joining = await open();
    assert.throws(() => joining.joinParty(party, describePeer(String(guest.myPeerId), { public_port: 6666 })));
    await joining.error();
    host.signal(party, String(guest.myPeerId), { for: 'the first' });
    await guest.until('the signal', () => guest.queues.size > 0);
    await guest.settle(party);
    await host.settle(party);
    await host.knows(party, [host.myPeerId, guest.myPeerId]);
    assert.notEqual(host.parties.get(party)?.peers[String(guest.myPeerId)]?.public_port, 6666);
    for (const thief of [claiming, joining]) assert.deepEqual([thief.count('signal'), thief.count('party_update'), thief.count('peer_joined')], [0, 0, 0]);
  });

  test('the same address takes its own id over: the newest socket counts', async () => {
    const { host, party, guests: [guest] } = await gathering(1) as { host: RemoteControlPlane; party: string; guests: [RemoteControlPlane] };
    guest.ended = true;
    const next = await open({ peerId: guest.myPeerId, address: guest.options.address });
    await next.knows(party, [host.myPeerId, guest.myPeerId]);
    const before = guest.count('signal');
    host.signal(party, String(guest.myPeerId), { for: 'the newest' });
    await next.until('the signal', () => next.queues.size > 0);
    assert.equal(guest.count('signal'), before);
    guest.end();
    await host.settle(party);
    next.signal(party, String(host.myPeerId), { still: 'here' });
    await host.until('the signal', () => host.queues.size > 0);
    await host.knows(party, [host.myPeerId, guest.myPeerId]);
    next.calm();
  });

  test('a token binds; a bad one is an error and binds nothing', async () => {
    const [host, guest] = [await Peer.of(service), await Peer.of(service)];
    const party = await host.create();
    await guest.join(party);
    const plane = await planeOf(guest);
    await plane.knows(party, [host.id, guest.id]);
    plane.calm();
    for (const token of ['x'.repeat(43), '', `${guest.token}x`, String(host.token)]) {
      const bad = await open({ peerId: guest.id, token });
      await bad.error();
      bad.leaveParty(party, guest.id);
      assert.equal(bad.count('party_update'), 0, 'not bound');
    }
    await plane.settle(party);
    assert.deepEqual(Object.keys((await host.read(party)).peers).sort(), [host.id, guest.id].sort());
  });

  test('a token says whose it is, without a peer_id beside it', async () => {
    const host = await Peer.of(service);
    const party = await host.create();
    const plane = await open({ token: host.token });
    await plane.knows(party, [host.id]);
    plane.calm();
  });

  test('who has a token cannot be claimed without it, also when no socket of it is open', async () => {
    const [host, guest] = [await Peer.of(service), await Peer.of(service)];
    const party = await host.create();
    await guest.join(party);
    const claiming = await open({ peerId: guest.id });
    await claiming.error();
    const joining = await open();
    assert.throws(() => joining.joinParty(party, describePeer(guest.id, { public_port: 6666 })));
    await joining.error();
    joining.leaveParty(party, guest.id);
    claiming.leaveParty(party, host.id);
    const read = await host.read(party);
    assert.deepEqual(Object.keys(read.peers).sort(), [host.id, guest.id].sort());
    assert.notEqual(read.peers[guest.id]?.public_port, 6666);
    for (const plane of [claiming, joining]) assert.equal(plane.count('party_update'), 0);
  });

  test('whoever holds the token resumes from anywhere', async () => {
    const [host, guest] = [await Peer.of(service), await Peer.of(service)];
    const party = await host.create();
    await guest.join(party);
    const first = await planeOf(guest);
    await first.knows(party, [host.id, guest.id]);
    first.ended = true;
    const second = await planeOf(guest, { address: newAddress() });
    await second.knows(party, [host.id, guest.id]);
    assertOk(await host.signal(party, guest.id, { to: 'the newest' }));
    await second.until('the signal', () => second.queues.size > 0);
    second.calm();
  });

  test('an anonymous peer that is here cannot be registered over HTTP by another', async () => {
    const { host, party } = await gathering(0);
    assertDetail(await new Peer(service, String(host.myPeerId)).tryRegister(), 409);
    await host.settle(party);
    host.calm();
  });

  test('a party of another host cannot be registered again', async () => {
    const { host, party } = await gathering(0);
    const thief = await open();
    thief.registerParty(party);
    await thief.error();
    assert.equal(thief.count('party_update'), 0);
    await host.settle(party);
    assert.equal(host.parties.get(party)?.host_id, host.myPeerId);
    await host.knows(party, [host.myPeerId]);
  });
});

describe('frames', () => {
  test('of unknown types are ignored, and more keys beside ours harm nothing', async () => {
    const { host, party } = await gathering(0);
    for (const frame of [{ type: 'nonsense' }, { type: 'nonsense', party_id: party }, { type: 'PARTY_UPDATE' }]) host.send(frame);
    host.send({ type: 'heartbeat', party_id: party, peer_id: host.myPeerId, more: 1 });
    await host.settle(party);
    host.calm();
  });

  test('hello after auth, auth again and a heartbeat more harm nothing', async () => {
    const { host, party } = await gathering(0);
    host.send({ type: 'hello', version: '1.0', client: 'lanrage' });
    const before = host.count('party_update');
    host.send({ type: 'auth', version: '1.0', client: 'lanrage', peer_id: host.myPeerId });
    await host.until('the party_update after auth', () => host.count('party_update') > before);
    host.heartbeat(party);
    await host.settle(party);
    host.calm();
  });

  for (const [what, frame] of [
    ['a party id that is none', { type: 'register_party', party_id: 'x y', name: 'LAN', host_peer: describePeer(newPeerId()) }],
    ['no party id', { type: 'register_party', name: 'LAN', host_peer: describePeer(newPeerId()) }],
    ['an empty name', { type: 'register_party', party_id: newPartyId(), name: '', host_peer: describePeer(newPeerId()) }],
    ['no peer', { type: 'register_party', party_id: newPartyId(), name: 'LAN' }],
    ['half a peer', { type: 'register_party', party_id: newPartyId(), name: 'LAN', host_peer: { peer_id: newPeerId(), name: 'Me' } }],
    ['a port that is none', { type: 'register_party', party_id: newPartyId(), name: 'LAN', host_peer: describePeer(newPeerId(), { public_port: 70_000 }) }],
    ['a join without a peer', { type: 'join_party', party_id: newPartyId() }],
    ['a join of an unknown party', { type: 'join_party', party_id: newPartyId(), peer: describePeer(newPeerId()) }],
    ['a leave of an unknown party', { type: 'leave_party', party_id: newPartyId(), peer_id: newPeerId() }],
    ['a signal before anything', { type: 'signal', party_id: newPartyId(), from_peer_id: 'a', to_peer_id: 'b', signal_data: {} }],
    ['a signal without a target', { type: 'signal', party_id: newPartyId(), signal_data: {} }],
  ] as [string, unknown][]) {
    test(`with ${what} are an error, and the socket works on`, async () => {
      const plane = await open();
      plane.send(frame);
      await plane.error();
      const party = await plane.host();
      await plane.knows(party, [plane.myPeerId]);
      plane.calm();
    });
  }

  test('that do not parse harm nobody', async () => {
    const { host, party } = await gathering(0);
    for (const text of ['{', '[]', 'null', '5', '"auth"', '{}', '{"type":5}', '']) host.send(text);
    await host.settle(party);
    assert.deepEqual(host.dropped, []);
  });

  test('who sends heartbeats at a socket is seen now, who is gone ever longer ago', async () => {
    const host = await Peer.of(service);
    const party = await host.create();
    const plane = await open();
    await plane.enter(party);
    const seen = async (): Promise<any> => host.member(party, String(plane.myPeerId));
    await pause(300);
    plane.heartbeat(party);
    await until('the heartbeat counts', async () => (await seen()).last_seen_ms_ago < 150);
    assert.equal((await seen()).online, true);
    plane.calm();
    plane.end();
    await until('time passes', async () => (await seen()).last_seen_ms_ago > 300);
  });

  test('a signal to who is not there is an error', async () => {
    const { host, party } = await gathering(0);
    host.signal(party, newPeerId(), {});
    await host.error();
    const stranger = await open();
    await stranger.host();
    stranger.signal(party, String(host.myPeerId), { from: 'outside' });
    await stranger.error();
    await host.settle(party);
    assert.equal(host.count('signal'), 0);
  });
});

describe('one door for two families', () => {
  test('/ws speaks signaling when the first message does, and pairs with /client', async () => {
    const [a, b, c] = [await Client.enter(service, '/ws'), await Client.enter(service, '/client'), await Client.enter(service, '/ws')];
    await pair(a, b);
    await pair(b, c);
    a.send({ type: 'offer', target: b.code, payload: { n: 1 } });
    assert.equal((await b.next('offer')).from, a.code);
    await a.close(1000);
    assert.equal((await b.next('peer_left')).pairingCode, a.code);
  });

  test('/ws answers a ping that comes first, and rubbish as signaling does', async () => {
    const client = await Client.open(service, '/ws');
    await client.silent();
    const rubbish = await Client.open(service, '/ws');
    rubbish.sendRaw('{');
    assert.match((await rubbish.next('error')).message, /^Invalid message/);
  });

  test('/client does not speak parties', async () => {
    const client = await Client.open(service, '/client');
    await client.expect({ type: 'auth', version: '1.0', client: 'lanrage', peer_id: null }, { type: 'error', message: 'Unknown message type: auth' });
  });
});

describe('a party\'s own socket', () => {
  test('opens with the token and tells the state at once', async () => {
    const [host, guest] = [await Peer.of(service, undefined, 120), await Peer.of(service)];
    const party = await host.create();
    const path = `/parties/${party}/ws`;
    const plane = await open({ path, authorization: `Bearer ${host.token}`, peerId: host.id, first: 'nothing', offset: 120 });
    await plane.knows(party, [host.id]);
    await guest.join(party);
    await plane.knows(party, [host.id, guest.id]);
    for (const peer of Object.values(plane.parties.get(party)?.peers ?? {})) assertNow(peer.last_seen, 120);
    assert.equal((await guest.member(party, host.id)).online, true);
    assertOk(await guest.signal(party, host.id, { n: 1 }));
    await plane.until('the signal', () => plane.queues.size > 0);
    plane.signal(party, guest.id, { n: 2 });
    await until('the signal', async () => (await guest.poll(party)).length === 1);
    plane.heartbeat(party);
    await plane.alive();
    plane.leaveParty(party);
    await until('the party is gone', async () => (await guest.beat(party)).status === 404);
    plane.calm();
  });

  test('opens with the token in the first frame, and says nothing before', async () => {
    const [host, guest] = [await Peer.of(service), await Peer.of(service)];
    const party = await host.create();
    const mute = await open({ path: `/parties/${party}/ws`, first: 'nothing' });
    const plane = await open({ path: `/parties/${party}/ws`, token: host.token, peerId: host.id });
    await plane.knows(party, [host.id]);
    await guest.join(party);
    await plane.knows(party, [host.id, guest.id]);
    assert.deepEqual(mute.frames, [], 'a stranger hears nothing');
    plane.calm();
  });

  test('refuses bad tokens, strangers and unknown parties', async () => {
    const [host, stranger] = [await Peer.of(service), await Peer.of(service)];
    const party = await host.create();
    const bearer = (token: unknown) => ({ headers: { Authorization: `Bearer ${token}` } });
    assert.equal(await refusedUpgrade(service, `/parties/${party}/ws`, bearer('x'.repeat(43))), 401);
    assert.equal(await refusedUpgrade(service, `/parties/${party}/ws`, { headers: { Authorization: 'nonsense' } }), 401);
    const path = `/parties/${party}/ws`;
    const refused = [
      await open({ path, token: 'x'.repeat(43), peerId: host.id }),
      await open({ path, token: stranger.token, peerId: stranger.id }),
      await open({ path, authorization: `Bearer ${stranger.token}`, first: 'nothing' }),
      await open({ path: `/parties/${newPartyId()}/ws`, authorization: `Bearer ${host.token}`, first: 'nothing' }),
    ];
    for (const plane of refused) plane.ended = true;
    for (const plane of refused) await plane.error();
    const guest = await Peer.of(service);
    await guest.join(party);
    await host.read(party);
    for (const plane of refused) {
      assert.deepEqual(plane.errors, [], 'said once');
      assert.deepEqual([plane.count('party_update'), plane.count('peer_joined')], [0, 0]);
    }
    assert.equal((await service.get(`/parties/${party}/ws`, bearer(host.token))).status, 426);
  });
});
