// Attestation over the sockets of the rooms, on the real runtime: the room asks the registry, a whole file's answer is
// judged in the build's own object, and what needs a session is refused without one. Issue 4, edge-wire.md 2.3.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { answers, CI, Desk, newBuild, sha256, signed, wrongMac } from './support/attest.ts';
import type { Build } from './support/attest.ts';
import { LIMITLESS } from './support/relay.ts';
import { assertCalm, assertNoLeak, pause, until } from './support/service.ts';
import { Client } from './support/socket.ts';

const FILE = randomBytes(4096);
const SPANS: [number, number][] = Array.from({ length: 12 }, (_, i) => [i * 300 + 7, 32 + i]);
const GRACE_MS = 400;
const PATHS = ['/', '/ws', '/client', '/signal/attest-room', '/relay', '/relay/attest-registry'];
const NOT_ATTESTED = { type: 'error', code: 'NOT_ATTESTED', message: 'Attestation required' };
const REQUEST = { type: 'chunk_request', peerId: 'peer', chunkId: 'chunk' };

async function open(desk: Desk, path: string, headers: Record<string, string> = {}): Promise<Client> {
  const client = await Client.open(desk.service, path, { headers });
  if (path === '/') await client.next('server_info');
  return client;
}

async function ask(client: Client, device_id: string): Promise<any> {
  client.send({ type: 'attest_request', build_token: 'as the field sends it', device_id });
  return client.next('attest_challenge');
}

async function attest(client: Client, device: string): Promise<string> {
  const challenge = await ask(client, device);
  client.send({ type: 'attest_response', nonce: challenge.nonce, responses: answers(challenge, FILE) });
  return (await client.next('attest_success')).session_token;
}

describe('a room where chunks and relays need a session', () => {
  let desk: Desk;
  let build: Build;
  before(async () => {
    desk = await Desk.open({ ...LIMITLESS, ATTEST_REQUIRED: 'chunks,relays', ATTEST_GRACE_MS: String(GRACE_MS), ATTEST_SESSION_TTL_MS: '2000' });
    build = newBuild();
    assert.equal((await desk.declare(build, FILE, SPANS)).status, 200);
  });
  after(async () => {
    try {
      assertCalm(desk.service);
      assertNoLeak(desk.service, [...desk.canaries, ...desk.macs]);
    } finally {
      await desk.service.stop();
    }
  });

  for (const path of PATHS) {
    test(`${path}: grace, refusal, attestation, service, expiry`, async () => {
      const client = await open(desk, path);
      client.send(REQUEST);
      assert.notEqual((await client.frame()).value.code, 'NOT_ATTESTED', 'within the grace');
      await pause(GRACE_MS + 50);
      for (const message of [
        { type: 'chunk_announce', peerId: 'peer', chunks: [{ chunkId: 'chunk' }] }, REQUEST,
        { type: 'chunk_request_meta', peerId: 'peer', routingHash: 'r' }, { type: 'chunk_push', peerId: 'peer', chunkId: 'chunk', data: 'x' },
        { type: 'register', peerId: 'peer' }, { type: 'update_load', peerId: 'peer', connectedCount: 1 }, { type: 'get_relays', peerId: 'peer' },
        { type: 'heartbeat', peerId: 'peer' }, { type: 'register_rendezvous', peerId: 'peer', dailyPoints: [], hourlyTokens: [] },
      ]) await client.expect(message, NOT_ATTESTED);
      const token = await attest(client, await desk.newDevice(build));
      const session = await desk.session(token);
      assert.deepEqual([session.aud, session.tier], ['waystation', 1]);
      client.send(REQUEST);
      assert.notEqual((await client.frame()).value.code, 'NOT_ATTESTED');
      await pause(Math.max(0, session.expires_at - Date.now()) + 50);
      await client.expect(REQUEST, NOT_ATTESTED);
      await client.close();
    });
  }

  test('a bad answer is told, and closes with 4001', async () => {
    for (const path of PATHS) {
      const client = await open(desk, path);
      const challenge = await ask(client, await desk.newDevice(build));
      const responses = answers(challenge, FILE).map((response) => ({ ...response, hmac: wrongMac() }));
      client.send({ type: 'attest_response', nonce: challenge.nonce, responses });
      assert.deepEqual((await client.frame()).value, { type: 'attest_failed', message: 'Verification failed' });
      assert.deepEqual(await client.cut(), { code: 4001, reason: 'Attestation failed' });
    }
  });

  test('an unknown device is told so, and the socket stays', async () => {
    const client = await open(desk, '/client');
    client.send({ type: 'attest_request', build_token: 't', device_id: 'nobody' });
    const told = await client.next('attest_error');
    assert.deepEqual([told.message, told.code], ['Failed to get attestation challenge from bootstrap', 'not_found']);
    await client.silent();
    await client.close();
  });

  test('an answer counts once, whichever way it comes', async () => {
    const device = await desk.newDevice(build);
    const [one, other] = [await open(desk, '/client'), await open(desk, '/relay/attest-registry')];
    const challenge = await ask(one, device);
    const responses = answers(challenge, FILE);
    assert.equal((await desk.verify(device, challenge.nonce, responses)).status, 200);
    other.send({ type: 'attest_response', device_id: device, nonce: challenge.nonce, responses });
    await other.next('attest_failed');
    one.send({ type: 'attest_response', nonce: challenge.nonce, responses });
    await one.next('attest_failed');
  });

  test('of 300 steps at once on one socket one is taken, and the others are refused', async () => {
    const device = await desk.newDevice(build);
    const client = await open(desk, '/client');
    for (let i = 0; i < 300; i += 1) client.send({ type: 'attest_request', build_token: 't', device_id: device });
    const told: any[] = [];
    while (told.length < 300) told.push((await client.frame()).value);
    const challenges = told.filter(({ type }) => type === 'attest_challenge').length;
    assert.ok(challenges >= 1 && challenges <= 5, `${challenges} challenges`);
    assert.equal(told.filter(({ type }) => type === 'attest_error').length, 300 - challenges);
    await client.close();
  });

  test('a socket that closes while it is asked for leaves the room calm', async () => {
    const device = await desk.newDevice(build);
    const witness = await open(desk, '/signal/attest-room');
    for (let i = 0; i < 20; i += 1) {
      const client = await open(desk, '/signal/attest-room');
      client.send({ type: 'attest_request', build_token: 't', device_id: device });
      client.socket.terminate();
    }
    await witness.silent();
    await witness.close();
  });

  test('a session of HTTP counts when it is presented at the upgrade', async () => {
    const device = await desk.newDevice(build);
    const challenge = await desk.newChallenge(build, device);
    const { json } = await desk.verify(device, challenge.nonce, answers(challenge, FILE));
    // On /ws the first message decides where the socket goes; there its time begins, and no token is taken along.
    await Promise.all(PATHS.filter((path) => path !== '/ws').map(async (path) => {
      const [bearer, stranger] = [await open(desk, path, { Authorization: `Bearer ${json.session_token}` }), await open(desk, path, { Authorization: 'Bearer nonsense' })];
      await pause(GRACE_MS + 50);
      bearer.send(REQUEST);
      assert.notEqual((await bearer.frame()).value.code, 'NOT_ATTESTED');
      await stranger.expect(REQUEST, NOT_ATTESTED);
      await Promise.all([bearer.close(), stranger.close()]);
    }));
  });
});

test('a whole file is asked for over a socket and judged in its own object; a session outlives hibernation', async () => {
  const desk = await Desk.open({ ...LIMITLESS, ATTEST_REQUIRED: 'chunks', ATTEST_GRACE_MS: '1' });
  try {
    const build = newBuild();
    const file = randomBytes(3 * 65_536);
    const hash = (bytes: Buffer): Buffer => Buffer.from(sha256(bytes), 'hex');
    const leaves = [0, 1, 2].map((at) => hash(Buffer.concat([Buffer.from([0]), file.subarray(at * 65_536, (at + 1) * 65_536)])));
    const node = (left: Buffer, right: Buffer): Buffer => hash(Buffer.concat([Buffer.from([1]), left, right]));
    const tree = node(node(leaves[0] as Buffer, leaves[1] as Buffer), leaves[2] as Buffer);
    const manifest = JSON.stringify({ typ: 'manifest', ...build, size: file.length, tree_hash: tree.toString('hex'), critical_ranges: [{ offset: 5, length: 70_000 }] });
    const begun = await desk.post('/attest/references', { manifest, signature: signed(`waystation/attest/manifest/v1\n${manifest}`) }, CI);
    assert.equal(begun.status, 200, begun.text);
    const path = `/attest/references/${begun.json.reference_id}`;
    const part = await desk.ask('PUT', `${path}/parts/0?sha256=${sha256(file)}`, { body: file, headers: { ...CI, 'Content-Type': 'application/octet-stream' } });
    assert.equal(part.status, 200, part.text);
    assert.equal((await desk.post(`${path}/complete`, undefined, CI)).status, 200);
    const client = await open(desk, '/client');
    await client.expect(REQUEST, NOT_ATTESTED);
    const challenge = await ask(client, await desk.newDevice(build));
    assert.equal(challenge.regions.length, 16);
    client.send({ type: 'attest_response', nonce: challenge.nonce, responses: answers(challenge, file) });
    await client.next('attest_success');
    // Objects without events are put to sleep after ten seconds.
    await pause(11_000);
    client.send(REQUEST);
    assert.notEqual((await client.frame()).value.code, 'NOT_ATTESTED');
    await client.close();
    assertCalm(desk.service);
  } finally {
    await desk.service.stop();
  }
});

test('a build that is blocked loses its session on open sockets within a minute, and nobody else does', async () => {
  const desk = await Desk.open({ ...LIMITLESS, ATTEST_REQUIRED: 'chunks', ATTEST_GRACE_MS: '1' });
  try {
    const [good, bad] = [newBuild(), newBuild()];
    for (const build of [good, bad]) assert.equal((await desk.declare(build, FILE, SPANS)).status, 200);
    const barred = async (client: Client): Promise<boolean> => {
      client.send(REQUEST);
      return (await client.frame()).value.code === 'NOT_ATTESTED';
    };
    const clients: { client: Client; build: Build }[] = [];
    for (const path of ['/client', '/relay']) {
      for (const build of [good, bad]) {
        const client = await open(desk, path);
        await attest(client, await desk.newDevice(build));
        clients.push({ client, build });
      }
    }
    assert.equal((await desk.setPolicy({ blocked_builds: [bad.build_hash] })).status, 200);
    const blocked = clients.filter(({ build }) => build === bad);
    await until('both sockets of the blocked build are refused', async () => (await Promise.all(blocked.map(({ client }) => barred(client)))).every(Boolean), 60_000, 1000);
    for (const { client, build } of clients) assert.equal(await barred(client), build === bad);
    await Promise.all(clients.map(({ client }) => client.close()));
    assertCalm(desk.service);
  } finally {
    await desk.service.stop();
  }
});
