// kill -9 and a restart lose nothing that was acknowledged: issue 2 sections 2, 3 and 5; security-and-conventions.md R1, R2, R3.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { describe, test } from 'node:test';
import { assertCalm, assertProblem, pause, Service, until } from './support/service.ts';
import type { Settings } from './support/service.ts';
import { Relay } from './support/signing.ts';
import { Client, newCode } from './support/socket.ts';

const SEED = '9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60';
const BASE = { BOOTSTRAP_SIGNING_KEY: SEED, DEV_MODE: 'true' };
const plain = (serverId: string, more: Record<string, unknown> = {}): Record<string, unknown> => ({
  serverId, endpoint: 'ws://127.0.0.1:9000', publicKey: 'cHVibGljLWtleQ==', ...more,
});
const entries = async (service: Service): Promise<any[]> => {
  const answer = await service.get('/servers');
  assert.equal(answer.status, 200);
  return answer.json.servers;
};
async function withService(settings: Settings, run: (service: Service) => Promise<void>): Promise<void> {
  const service = await Service.start(settings);
  try {
    await run(service);
    assertCalm(service);
  } finally {
    await service.stop();
  }
}

describe('kill -9 and a restart', () => {
  test('servers stay listed as they were, and their heartbeats go on', () => withService(BASE, async (service) => {
    for (let i = 0; i < 20; i += 1) await service.post('/servers', plain(`s-${i}`, { connections: i, region: `r${i}` }));
    for (let i = 0; i < 20; i += 2) await service.post('/servers/heartbeat', { serverId: `s-${i}`, activeCodes: 100 + i });
    const before = await entries(service);
    await service.crashAndRestart();
    const after = await entries(service);
    const stable = (list: any[]): any[] => list.map(({ serverId, endpoint, publicKey, region, registeredAt }) => ({ serverId, endpoint, publicKey, region, registeredAt }));
    assert.deepEqual(stable(after), stable(before));
    for (const entry of after) assert.ok(Date.now() - entry.lastSeen < 60_000, 'a phone drops what was not seen for two minutes');
    const beat = await service.post('/servers/heartbeat', { serverId: 's-3', connections: 33 });
    assert.equal(beat.status, 200);
    assert.equal(beat.json.peers.length, 19);
    await until('the new counter in the list', async () => (await entries(service)).find((entry) => entry.serverId === 's-3').connections === 33);
  }));

  test('a server that beats all the time is listed after a crash at any moment', () =>
    withService({ ...BASE, SERVER_TTL_MS: '2000', SWEEP_INTERVAL_MS: '200' }, async (service) => {
      await service.post('/servers', plain('steady'));
      // Longer than its life without beats, so only what the beats left behind can keep it.
      const end = Date.now() + 2600;
      while (Date.now() < end) {
        assert.equal((await service.post('/servers/heartbeat', { serverId: 'steady' })).status, 200);
        await pause(50);
      }
      await service.crashAndRestart();
      assert.deepEqual((await entries(service)).map((entry) => entry.serverId), ['steady']);
      assert.equal((await service.post('/servers/heartbeat', { serverId: 'steady' })).status, 200);
    }));

  test('who left stays away, who died while nobody looked is gone, and the sweep goes on', () =>
    withService({ ...BASE, SERVER_TTL_MS: '1000', SWEEP_INTERVAL_MS: '300' }, async (service) => {
      await service.post('/servers', plain('left'));
      await service.post('/servers', plain('died'));
      assert.equal((await service.ask('DELETE', '/servers/left')).status, 200);
      await service.crash();
      await pause(1200);
      await service.boot();
      assert.deepEqual(await entries(service), []);
      await service.post('/servers', plain('new'));
      await service.crashAndRestart();
      // Nobody asks for the list: the alarm alone must remove the row.
      await pause(2000);
      assertProblem(await service.post('/servers/heartbeat', { serverId: 'new' }), 404, 'Server not registered');
    }));

  test('a captured registration, heartbeat or farewell does not work after it', () => withService(BASE, async (service) => {
    const relay = new Relay();
    const path = `/servers/${encodeURIComponent(relay.serverId)}`;
    const registration = relay.signed(relay.registration());
    assert.equal((await service.post('/servers', registration)).status, 200);
    const beat = relay.signed(relay.beat(5));
    assert.equal((await service.post('/servers/heartbeat', beat)).status, 200);
    await service.crashAndRestart();
    assertProblem(await service.post('/servers', registration), 409, 'Replay detected: duplicate nonce');
    assertProblem(await service.post('/servers/heartbeat', beat), 409);
    assertProblem(await service.post('/servers/heartbeat', relay.signed(relay.beat(5))), 409);
    assert.equal((await service.post('/servers/heartbeat', relay.signed(relay.beat(6)))).status, 200);
    const farewell = relay.leaving();
    assert.equal((await service.ask('DELETE', path, { body: farewell })).status, 200);
    assert.equal((await service.post('/servers', relay.signed(relay.registration()))).status, 200);
    await service.crashAndRestart();
    assertProblem(await service.ask('DELETE', path, { body: farewell }), 409);
    assert.equal((await entries(service)).length, 1);
  }));

  test('fifty rounds of acknowledged writes lose nothing', () => withService(BASE, async (service) => {
    const kept = new Map<string, number>();
    const maybe = new Set<string>();
    for (let round = 0; round < 50; round += 1) {
      // A few writers run until the crash cuts them; only an answer of 200 counts as acknowledged.
      let running = true;
      const writer = async (lane: number): Promise<void> => {
        for (let i = 0; running; i += 1) {
          const id = `w-${lane}-${(round + i) % 10}`;
          maybe.add(id);
          const answer = await service.post('/servers', plain(id, { connections: round * 1000 + i })).catch(() => undefined);
          if (answer?.status === 200) {
            kept.set(id, answer.json.server.registeredAt);
            maybe.delete(id);
          } else running = false;
        }
      };
      const writers = [writer(0), writer(1), writer(2)];
      await pause(10 + (round % 7) * 3);
      await service.crash();
      running = false;
      await Promise.all(writers);
      await service.boot();
      const after = new Map((await entries(service)).map((entry) => [entry.serverId, entry]));
      for (const [id, registeredAt] of kept) {
        const entry = after.get(id);
        assert.ok(entry, `round ${round}: ${id} was acknowledged and is lost`);
        assert.ok(entry.registeredAt >= registeredAt, `round ${round}: ${id} went back in time`);
      }
      for (const id of after.keys()) assert.ok(kept.has(id) || maybe.has(id), `round ${round}: ${id} was never asked for`);
    }
    assert.ok(kept.size >= 10, `there was something to lose: ${kept.size}`);
  }));

  test('peers come back with their codes and pair again', () => withService(BASE, async (service) => {
    const [a, b] = [newCode(), newCode()];
    const first = await Client.enter(service, '/ws', { pairingCode: a });
    await service.crash();
    assert.equal((await first.cut()).code, 1006);
    await service.boot();
    const again = await Client.enter(service, '/ws', { pairingCode: a });
    const other = await Client.enter(service, '/ws', { pairingCode: b });
    other.send({ type: 'pair_request', targetCode: a });
    await again.next('pair_incoming');
    again.send({ type: 'pair_response', targetCode: b, accepted: true });
    await other.next('pair_matched');
  }));

  test('SIGTERM ends it in good order', () => withService(BASE, async (service) => {
    await service.post('/servers', plain('orderly'));
    const started = Date.now();
    await service.end('SIGTERM');
    assert.ok(Date.now() - started < 2500, `took ${Date.now() - started} ms`);
    await service.boot();
    assert.deepEqual((await entries(service)).map((entry) => entry.serverId), ['orderly']);
  }));

  test('the first answers after a start come soon', () => withService(BASE, async (service) => {
    await service.crash();
    const started = Date.now();
    await service.boot();
    await until('the list', async () => (await service.get('/servers', { headers: { 'X-Request-Id': randomUUID() } })).status === 200);
    assert.ok(Date.now() - started < 5000, `took ${Date.now() - started} ms`);
  }));
});
