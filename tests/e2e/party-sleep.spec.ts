// Parties that sleep, die, crowd and fall silent: parties.md 2.4, 6.3 and 7; what hibernation.spec.ts says about eviction.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { assertOk, PARTY_SETTINGS, partySecrets, Peer } from './support/party.ts';
import { endPlanes, planeOf, RemoteControlPlane } from './support/party-plane.ts';
import { assertCalm, assertNoLeak, pause, Service, until } from './support/service.ts';
import type { Settings } from './support/service.ts';

const IDLE_MS = 12_500;

async function withService(settings: Settings, run: (service: Service) => Promise<void>): Promise<void> {
  const service = await Service.start({ ...PARTY_SETTINGS, ...settings });
  try {
    await run(service);
    assertCalm(service);
    if (partySecrets.length > 0) assertNoLeak(service, partySecrets);
  } finally {
    endPlanes(service);
    await service.stop();
  }
}

describe('after more than ten idle seconds', { concurrency: true }, () => {
  let service: Service;
  before(async () => {
    service = await Service.start(PARTY_SETTINGS);
  });
  after(async () => {
    await service.stop();
    endPlanes(service);
    assertCalm(service);
  });

  test('anonymous sockets at /ws still are who they were, in their party', async () => {
    const [host, guest] = [await RemoteControlPlane.open(service, { offset: 120 }), await RemoteControlPlane.open(service, { offset: -420 })];
    const party = await host.host();
    await guest.enter(party);
    const both = [host.myPeerId, guest.myPeerId];
    for (const plane of [host, guest]) await plane.knows(party, both);
    await pause(IDLE_MS);
    guest.signal(party, String(host.myPeerId), { after: 'sleep' });
    await host.until('the signal', () => host.queues.size > 0);
    await guest.settle(party);
    for (const plane of [host, guest]) {
      await plane.knows(party, both);
      plane.cleanUp();
      await plane.knows(party, both);
    }
    guest.leaveParty(party);
    await host.knows(party, [host.myPeerId]);
    for (const plane of [host, guest]) plane.calm();
  });

  test('a join over HTTP wakes the sockets at /ws', async () => {
    const host = await RemoteControlPlane.open(service);
    const party = await host.host();
    await pause(IDLE_MS);
    const guest = await Peer.of(service);
    await guest.join(party);
    await host.knows(party, [host.myPeerId, guest.id]);
    assertOk(await guest.signal(party, String(host.myPeerId), { n: 1 }));
    await host.until('the signal', () => host.queues.size > 0);
    host.calm();
  });

  test('an id is still bound to its sleeping socket', async () => {
    const host = await RemoteControlPlane.open(service);
    const party = await host.host();
    await pause(IDLE_MS);
    const thief = await RemoteControlPlane.open(service, { peerId: host.myPeerId ?? undefined });
    await thief.error();
    host.send({ type: 'join_party', party_id: party, peer: { ...host.info(), peer_id: 'another' } });
    await host.error();
    await host.settle(party);
    assert.equal(thief.count('party_update'), 0);
  });

  test('a sleeper is online, and comes back after it has closed', async () => {
    const [host, guest] = [await Peer.of(service), await Peer.of(service)];
    const party = await host.create();
    await guest.join(party);
    const plane = await planeOf(guest);
    await plane.knows(party, [host.id, guest.id]);
    await until('online', async () => (await host.member(party, guest.id)).online === true);
    await pause(IDLE_MS);
    assert.equal((await host.member(party, guest.id)).online, true);
    plane.end();
    const back = await planeOf(guest);
    await back.knows(party, [host.id, guest.id]);
    back.calm();
  });

  test("a party's own socket still belongs to its member", async () => {
    const [host, guest] = [await Peer.of(service, undefined, 120), await Peer.of(service)];
    const party = await host.create();
    await guest.join(party);
    const path = `/parties/${party}/ws`;
    const plane = await planeOf(host, { path, authorization: `Bearer ${host.token}`, first: 'nothing' });
    await plane.knows(party, [host.id, guest.id]);
    await pause(IDLE_MS);
    plane.signal(party, guest.id, { after: 'sleep' });
    await until('the signal waits', async () => (await guest.poll(party)).length === 1);
    assertOk(await guest.leave(party));
    await plane.knows(party, [host.id]);
    plane.cleanUp();
    await plane.knows(party, [host.id]);
    plane.calm();
  });

  test('first frames of sockets that slept before them are understood', async () => {
    const mute = await RemoteControlPlane.open(service, { first: 'nothing' });
    const half = await RemoteControlPlane.open(service);
    await pause(IDLE_MS);
    mute.send({ type: 'auth', version: '1.0', client: 'lanrage', peer_id: null });
    for (const plane of [mute, half]) {
      await plane.host();
      plane.calm();
    }
  });
});

describe('silence', { concurrency: true }, () => {
  test('is no absence while the socket is open: the class sends no heartbeats', () => withService({ PARTY_PEER_TTL_MS: '1500' }, async (service) => {
    const host = await RemoteControlPlane.open(service);
    const party = await host.host();
    const guest = await RemoteControlPlane.open(service);
    await guest.enter(party);
    const watcher = await Peer.of(service);
    await watcher.join(party);
    for (let i = 0; i < 12; i += 1) {
      await pause(400);
      assertOk(await watcher.beat(party));
    }
    assert.deepEqual(Object.keys((await watcher.read(party)).peers).sort(), [host.myPeerId, guest.myPeerId, watcher.id].sort());
    guest.end();
    await until('who closed is taken out in its time', async () => {
      assertOk(await watcher.beat(party));
      return (await watcher.read(party)).peers[String(guest.myPeerId)] === undefined;
    }, 8000, 200);
    await host.knows(party, [host.myPeerId, watcher.id]);
    host.calm();
  }));
});

describe('silence at a socket that came later', { concurrency: true }, () => {
  const PEER_TTL_MS = 2000;
  /** The watcher beats for three lives, and these must be there all the time. */
  async function stay(watcher: Peer, party: string, ids: (string | null)[]): Promise<void> {
    const began = Date.now();
    while (Date.now() - began < PEER_TTL_MS * 3) {
      await pause(400);
      assertOk(await watcher.beat(party));
      const there = Object.keys((await watcher.read(party)).peers);
      for (const id of ids) assert.ok(there.includes(String(id)), `${id} was taken out after ${Date.now() - began} ms`);
    }
  }

  test('is no absence after a reconnection either: the class only says auth, and joins nothing again', () =>
    withService({ PARTY_PEER_TTL_MS: String(PEER_TTL_MS) }, async (service) => {
      const host = await RemoteControlPlane.open(service);
      const party = await host.host();
      const guest = await RemoteControlPlane.open(service);
      await guest.enter(party);
      const watcher = await Peer.of(service);
      await watcher.join(party);
      for (const plane of [host, guest]) plane.socket?.terminate();
      for (const plane of [host, guest]) await plane.until('the reconnection', () => plane.connects === 2);
      await stay(watcher, party, [host.myPeerId, guest.myPeerId]);
      for (const plane of [host, guest]) plane.calm();
    }));

  for (const [what, how] of [['at /ws', {}], ["at the party's own door", { own: true }]] as [string, { own?: true }][]) {
    test(`${what} is no absence of who joined over HTTP`, () => withService({ PARTY_PEER_TTL_MS: String(PEER_TTL_MS) }, async (service) => {
      const [watcher, guest] = [await Peer.of(service), await Peer.of(service)];
      const party = await watcher.create();
      await guest.join(party);
      const plane = await planeOf(guest, how.own === true ? { path: `/parties/${party}/ws` } : {});
      await plane.knows(party, [watcher.id, guest.id]);
      await stay(watcher, party, [guest.id]);
      plane.calm();
    }));
  }
});

describe('kill -9 and a restart', () => {
  test('the class comes back by itself, and finds its party as it was', () => withService({}, async (service) => {
    const planes = [await RemoteControlPlane.open(service, { offset: 120 }), await RemoteControlPlane.open(service), await RemoteControlPlane.open(service)];
    const [host, one, two] = planes as [RemoteControlPlane, RemoteControlPlane, RemoteControlPlane];
    const party = await host.host();
    await one.enter(party);
    await two.enter(party);
    const member = await Peer.of(service);
    const mine = await planeOf(member);
    await mine.enter(party, member.info());
    const everybody = [...planes.map((plane) => plane.myPeerId), member.id];
    for (const plane of [...planes, mine]) {
      plane.options.reconnectMs = 1000;
      await plane.knows(party, everybody);
      plane.parties.clear();
    }
    await service.crashAndRestart();
    for (const plane of [...planes, mine]) {
      await plane.until('the reconnection', () => plane.connects === 2, 10_000);
      await plane.knows(party, everybody);
      plane.cleanUp();
      await plane.knows(party, everybody);
    }
    one.signal(party, String(two.myPeerId), { after: 'the crash' });
    await two.until('the signal', () => two.queues.size > 0);
    two.leaveParty(party);
    await mine.knows(party, everybody.filter((id) => id !== two.myPeerId));
    assert.equal((await member.read(party)).host_id, host.myPeerId);
    for (const plane of [...planes, mine]) plane.calm();
  }));

  test('what was acknowledged stands: parties, members, settings, bans, invites and waiting signals', () => withService({}, async (service) => {
    const [host, guest, banned, late] = [await Peer.of(service, undefined, 345), await Peer.of(service), await Peer.of(service), await Peer.of(service)];
    const party = await host.create();
    await guest.join(party);
    await host.change(party, { password: 'after-the-crash', peers_max: 3, promotion: true });
    partySecrets.push('after-the-crash');
    assertOk(await host.ask('POST', `/parties/${party}/bans`, { peer_id: banned.id }));
    const invite = assertOk(await host.ask('POST', `/parties/${party}/invites`, { uses: 1 }));
    assertOk(await host.signal(party, guest.id, { n: 1 }));
    assertOk(await host.ask('POST', '/relays', { relay_id: 'r', public_ip: '203.0.113.9', port: 51820 }));
    const [read, details] = [await host.read(party), await host.details(party)];
    await service.crashAndRestart();
    const steady = ({ created_at, peers, ...rest }: any): unknown => ({ ...rest, peers: Object.keys(peers).sort() });
    const after = await host.read(party);
    assert.deepEqual(steady(after), steady(read));
    assert.equal(after.created_at, read.created_at, 'the same moment in the same zone');
    const plain = ({ server_time, members, ...rest }: any): unknown => ({ ...rest, addresses: members.map((each: any) => [each.peer_id, each.virtual_ip]).sort() });
    assert.deepEqual(plain(await host.details(party)), plain(details));
    assert.equal((await banned.tryJoin(party, { password: 'after-the-crash' })).status, 403);
    assert.equal((await late.tryJoin(party)).status, 403);
    await late.join(party, { invite: invite.code });
    assert.equal((await (await Peer.of(service)).tryJoin(party, { password: 'after-the-crash' })).status, 409);
    assert.deepEqual((await guest.poll(party)).map((signal) => signal.signal_data), [{ n: 1 }]);
    assert.equal(assertOk(await guest.ask('GET', '/relays')).relays.length, 1);
    await until('the count', async () => assertOk(await service.get('/')).parties === 1);
  }));

  test('twenty rounds of acknowledged joins lose nobody', () => withService({}, async (service) => {
    const host = await Peer.of(service);
    const party = await host.create();
    await host.change(party, { peers_max: 256 });
    const inside = new Set<string>([host.id]);
    for (let round = 0; round < 20; round += 1) {
      const guests = await Promise.all(Array.from({ length: 4 }, () => Peer.of(service)));
      let acknowledged = 0;
      const joins = guests.map(async (guest) => {
        const answer = await guest.tryJoin(party).catch(() => undefined);
        if (answer?.status === 200) {
          acknowledged += 1;
          inside.add(guest.id);
        }
      });
      await until('some are in', () => acknowledged > round % 3);
      await service.crash();
      await Promise.all(joins);
      await service.boot();
      const peers = (await host.read(party)).peers;
      for (const id of inside) assert.ok(peers[id] !== undefined, `${id} was told it is in, round ${round}`);
    }
  }));
});

describe('a crowd', () => {
  test('of two hundred, at HTTP and at sockets, agrees on who is there', () => withService({}, async (service) => {
    const host = await Peer.of(service);
    const party = await host.create();
    await host.change(party, { peers_max: 256 });
    const watcher = await planeOf(host);
    await watcher.knows(party, [host.id]);
    const everybody: (string | null)[] = [host.id];
    const guests: Peer[] = [];
    const planes: RemoteControlPlane[] = [];
    for (let round = 0; round < 10; round += 1) {
      const [peers, sockets] = await Promise.all([
        Promise.all(Array.from({ length: 14 }, () => Peer.of(service))),
        Promise.all(Array.from({ length: round === 0 ? 5 : 6 }, () => RemoteControlPlane.open(service))),
      ]);
      for (const plane of sockets) assert.throws(() => plane.joinParty(party));
      await Promise.all(peers.map((peer) => peer.join(party)));
      guests.push(...peers);
      planes.push(...sockets);
      everybody.push(...peers.map((peer) => peer.id), ...sockets.map((plane) => plane.myPeerId));
    }
    assert.equal(everybody.length, 200);
    for (const plane of [watcher, ...planes]) await plane.knows(party, everybody, 30_000);
    assert.deepEqual(Object.keys((await host.read(party)).peers).sort(), [...everybody].sort());
    const addresses = (await host.details(party)).members.map((member: any) => member.virtual_ip);
    assert.equal(new Set(addresses).size, 200);
    await watcher.settle(party);
    const [last] = planes.slice(-1) as [RemoteControlPlane];
    last.signal(party, (guests[0] as Peer).id, { across: 'the crowd' });
    await until('the signal', async () => (await (guests[0] as Peer).poll(party)).length === 1);
    await Promise.all(guests.map(async (guest) => assertOk(await guest.leave(party))));
    for (const plane of planes) plane.leaveParty(party);
    await watcher.knows(party, [host.id], 30_000);
    for (const plane of [watcher, ...planes]) plane.calm();
  }));
});
