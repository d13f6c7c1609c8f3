// Hibernation that really happens: workerd evicts an object whose sockets were idle for ten seconds, and everything must
// go on as if nothing had been. Issue 2 section 4, edge-wire.md 6.1. All waits run side by side.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { assertCalm, assertNoLeak, pause, Service } from './support/service.ts';
import { Client, newCode, nobodyHeard, pair, secrets } from './support/socket.ts';

const IDLE_MS = 12_500;
const WARNING_MS = 15_000;
const TIMEOUT_MS = 17_000;

const LIMITLESS = { SIGNAL_PAIR_REQUESTS_PER_MINUTE: '0', SIGNAL_SOCKETS_PER_ADDRESS: '0' };

let service: Service;
let slow: Service;
let canary: Service;
before(async () => {
  service = await Service.start(LIMITLESS);
  slow = await Service.start({ ...LIMITLESS, PAIR_WARNING_MS: String(WARNING_MS), PAIR_TIMEOUT_MS: String(TIMEOUT_MS) });
  canary = await Service.startCanary();
});
after(async () => {
  for (const each of [service, slow]) assertCalm(each);
  assertNoLeak(service, secrets);
  for (const each of [service, slow, canary]) await each.stop();
});

describe('after more than ten idle seconds', { concurrency: true }, () => {
  test('this workerd really evicts', async () => {
    const client = await Client.open(canary, '/');
    client.sendRaw('x');
    const first = await client.next('life');
    client.sendRaw('x');
    assert.equal((await client.next('life')).life, first.life, 'one life while busy');
    await pause(IDLE_MS);
    client.sendRaw('x');
    assert.notEqual((await client.next('life')).life, first.life, 'another life after the pause');
  });

  for (const path of ['/ws', '/signal/sleepers']) {
    test(`on ${path}: codes, names, pairs and keys are still known`, async () => {
      const a = await Client.enter(service, path, { pqPublicKey: 'cHE=', protocolVersion: 2 });
      const [b, c] = [await Client.enter(service, path), await Client.enter(service, path)];
      const bare = await Client.open(service, path);
      await pair(a, b);
      await pause(IDLE_MS);
      // The runtime answers the plain ping without waking the object; the offer wakes it.
      a.sendRaw('{"type":"ping"}');
      await a.next('pong');
      a.send({ type: 'offer', target: b.code, payload: { after: 'sleep' } });
      assert.deepEqual((await b.frame()).value, { type: 'offer', from: a.code, payload: { after: 'sleep' } });
      b.send({ type: 'answer', target: a.code, payload: 1 });
      assert.equal((await a.next('answer')).from, b.code);
      // A code is still taken, an unregistered socket still nobody.
      bare.send({ type: 'register', pairingCode: a.code, publicKey: a.key });
      assert.ok(['code_collision', 'error'].includes((await bare.frame()).value.type));
      bare.send({ type: 'offer', target: a.code, payload: 1 });
      assert.match((await bare.next('error')).message, /^Not registered/);
      // Re-registration is recovery, and keys given before the sleep reach the next peer.
      a.send({ type: 'register', pairingCode: a.code, publicKey: a.key, pqPublicKey: 'cHE=', protocolVersion: 2 });
      await a.next('registered');
      c.send({ type: 'pair_request', targetCode: b.code });
      assert.equal((await b.next('pair_incoming')).fromPublicKey, c.key);
      b.send({ type: 'pair_response', targetCode: c.code, accepted: false });
      await c.next('pair_rejected');
      await nobodyHeard(c, [a, b]);
    });

    test(`on ${path}: newer keys of a sleeper reach the peer`, async () => {
      const a = await Client.enter(service, path, { pqPublicKey: 'cHE=', protocolVersion: 2 });
      const b = await Client.enter(service, path);
      await pause(IDLE_MS);
      b.send({ type: 'pair_request', targetCode: a.code });
      await a.next('pair_incoming');
      a.send({ type: 'pair_response', targetCode: b.code, accepted: true });
      assert.deepEqual(await b.next('pair_matched'), {
        type: 'pair_matched', peerCode: a.code, peerPublicKey: a.key, isInitiator: true, peerPqPublicKey: 'cHE=', peerProtocolVersion: 2,
      });
      await a.next('pair_matched');
    });

    test(`on ${path}: only the paired peer hears that a sleeper left`, async () => {
      const room = path === '/ws' ? path : '/signal/leavers';
      const [a, b, c] = [await Client.enter(service, room), await Client.enter(service, room), await Client.enter(service, room)];
      await pair(a, b);
      await pause(IDLE_MS);
      assert.equal((await a.close(4000, 'bye')).code, 4000);
      assert.deepEqual((await b.frame()).value, { type: 'peer_left', pairingCode: a.code });
      await nobodyHeard(b, [c]);
    });

    test(`on ${path}: a request from before can be accepted, and its end is known to both`, async () => {
      const [a, b] = [await Client.enter(service, path), await Client.enter(service, path)];
      a.send({ type: 'pair_request', targetCode: b.code });
      await b.next('pair_incoming');
      await pause(IDLE_MS);
      b.send({ type: 'pair_response', targetCode: a.code, accepted: true });
      assert.deepEqual(await a.next('pair_matched'), { type: 'pair_matched', peerCode: b.code, peerPublicKey: b.key, isInitiator: true });
      await b.next('pair_matched');
      await b.expect({ type: 'pair_response', targetCode: a.code, accepted: true }, { type: 'pair_error', error: 'No pending request from this peer' });
    });

    test(`on ${path}: a requester hears that a sleeping target left`, async () => {
      const [a, b] = [await Client.enter(service, path), await Client.enter(service, path)];
      a.send({ type: 'pair_request', targetCode: b.code });
      await b.next('pair_incoming');
      await pause(IDLE_MS);
      b.socket.terminate();
      const told = (await a.frame('word that the target left')).value;
      assert.ok(told.type === 'pair_error' || told.peerCode === b.code, JSON.stringify(told));
    });

    test(`on ${path}: a request from before expires by the alarm`, async () => {
      const [a, b, c] = [await Client.enter(slow, path), await Client.enter(slow, path), await Client.enter(slow, path)];
      const started = Date.now();
      a.send({ type: 'pair_request', targetCode: b.code });
      assert.equal((await b.next('pair_incoming')).expiresIn, TIMEOUT_MS);
      const warning = { type: 'pair_expiring', remainingSeconds: (TIMEOUT_MS - WARNING_MS) / 1000 };
      assert.deepEqual((await a.frame('the warning', 20_000)).value, { ...warning, peerCode: b.code });
      const warned = Date.now() - started;
      assert.deepEqual((await b.frame('the warning', 20_000)).value, { ...warning, peerCode: a.code });
      assert.deepEqual((await a.frame('the end', 20_000)).value, { type: 'pair_timeout', peerCode: b.code });
      const ended = Date.now() - started;
      assert.ok(warned >= WARNING_MS - 100 && warned < WARNING_MS + 1500, `warned after ${warned} ms`);
      assert.ok(ended >= TIMEOUT_MS - 100 && ended < TIMEOUT_MS + 2000, `ended after ${ended} ms`);
      await b.expect({ type: 'pair_response', targetCode: a.code, accepted: true }, { type: 'pair_error', error: 'No pending request from this peer' });
      await nobodyHeard(b, [a, b, c]);
    });
  }

  test('a link asked for before is still answered', async () => {
    const [phone, page] = [await Client.enter(service, '/signal/linkers'), await Client.enter(service, '/signal/linkers')];
    page.send({ type: 'link_request', linkCode: phone.code, publicKey: page.key, deviceName: 'Sleepy' });
    await phone.next('link_request');
    await pause(IDLE_MS);
    phone.send({ type: 'link_response', linkCode: phone.code, accepted: true, deviceId: 'd' });
    assert.deepEqual(await page.next('link_matched'), { type: 'link_matched', linkCode: phone.code, peerPublicKey: phone.key, isInitiator: true, deviceId: 'd' });
    assert.deepEqual(await phone.next('link_matched'), {
      type: 'link_matched', linkCode: phone.code, peerPublicKey: page.key, isInitiator: false, webClientCode: page.code, deviceName: 'Sleepy',
    });
  });

  test('a count of messages goes on: sleeping does not refill it beyond the rule', async () => {
    const quiet = await Client.enter(slow, '/signal/counted');
    await pause(IDLE_MS);
    const code = newCode();
    let refused = 0;
    for (let i = 0; i < 130; i += 1) quiet.send({ type: 'offer', target: code, payload: 1 });
    for (let i = 0; i < 130; i += 1) if ((await quiet.next('error')).message === 'Rate limit exceeded. Please slow down.') refused += 1;
    assert.ok(refused >= 20 && refused <= 32, `about 100 a minute pass: ${refused} of 130 refused`);
  });

  test('settings of the registry survive an evicted registry', async () => {
    const body = { serverId: 'sleeper', endpoint: 'wss://relay.example', publicKey: 'k' };
    const closed = await slow.post('/servers', body);
    assert.equal(closed.status, 503, 'no secret, not open');
    await pause(IDLE_MS);
    assert.equal((await slow.post('/servers', body)).status, 503);
  });
});
