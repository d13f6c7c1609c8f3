// Providers that fail, hang and ask for patience, and a service that is killed: what was accepted arrives.
// push-bouncer.md 1.10 and 4; security-and-conventions.md 2.2, R3 and R8.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { describe, test } from 'node:test';
import { apnsError } from './support/push/apple.ts';
import { assertSuccess, fcmToken, hexToken, withBouncer } from './support/push/bouncer.ts';
import type { Bouncer } from './support/push/bouncer.ts';
import { newRealm, Phone } from './support/push/client.ts';
import type { Fields, RemoteServer } from './support/push/client.ts';
import type { Reply, Seen } from './support/push/fake.ts';
import { fcmError } from './support/push/google.ts';
import { pause, until } from './support/service.ts';
import type { Answer } from './support/service.ts';

type User = { server: RemoteServer; user: Fields; google: string; apple: string };

/** A server with one user, who has a phone of each kind. */
async function one(bouncer: Bouncer): Promise<User> {
  const server = await bouncer.ready();
  const made = { server, user: { user_uuid: randomUUID() }, google: fcmToken(), apple: hexToken() };
  assert.equal((await server.addDevice('fcm', made.google, made.user)).status, 200);
  assert.equal((await server.addDevice('apns', made.apple, made.user)).status, 200);
  return made;
}

/** A message that can be told from others on either phone. */
const message = ({ server, user }: User, id: number, more: Fields = {}): Promise<Answer> =>
  server.notify(user, {
    gcm_payload: { event: 'message', zulip_message_id: id },
    apns_payload: { alert: { title: 'x' }, custom: { zulip: { message_ids: [id] } } },
    ...more,
  });

const atGoogle = (bouncer: Bouncer): number[] => bouncer.fcm.delivered.map((sent) => Number(sent.data.zulip_message_id));
const atApple = (bouncer: Bouncer): number[] => bouncer.apns.delivered.map((sent) => sent.payload.zulip.message_ids[0]);

/** As the queue of a real server: tries again when nobody answers, or with trouble, three times. */
async function patiently(send: () => Promise<Answer>): Promise<{ answer: Answer; cutOff: boolean }> {
  let cutOff = false;
  for (let tries = 0; ; tries += 1) {
    const answer = await send().catch((error: Error) => error);
    if (!(answer instanceof Error) && answer.status < 500) return { answer, cutOff };
    assert.ok(tries < 3, `given up: ${answer instanceof Error ? answer.message : answer.text}`);
    cutOff = true;
    await pause(1000);
  }
}

/** What Google was asked that has this in it, in order. */
const attempts = (bouncer: Bouncer, text: string): Seen[] => bouncer.fcm.seen.filter((seen) => seen.body.includes(text));

describe('an outage', { concurrency: 4 }, () => {
  test('of 30 percent, with two kills, loses nothing and repeats little', () =>
    withBouncer({}, async (bouncer) => {
      const from = await one(bouncer);
      bouncer.fcm.failing(30);
      bouncer.apns.failing(30, 'hang_up');
      const COUNT = 90;
      const ids = Array.from({ length: COUNT }, (_, i) => i + 1);
      const waiting = [...ids];
      const repeatable = new Set<number>();
      let done = 0;
      const worker = async (): Promise<void> => {
        for (let id = waiting.shift(); id !== undefined; id = waiting.shift()) {
          const asked = id;
          const { answer, cutOff } = await patiently(() => message(from, asked));
          assert.deepEqual([answer.status, answer.json?.total_android_devices, answer.json?.total_apple_devices], [200, 1, 1], answer.text);
          if (cutOff) repeatable.add(id);
          done += 1;
        }
      };
      const killer = async (): Promise<void> => {
        for (const share of [1 / 3, 2 / 3]) {
          await until('enough are sent', () => done >= COUNT * share, 120_000);
          await bouncer.service.crashAndRestart();
        }
      };
      await Promise.all([killer(), ...Array.from({ length: 4 }, worker)]);
      assert.ok(repeatable.size <= 2 * 4, `${repeatable.size} requests were cut off`);
      for (const delivered of [atGoogle, atApple]) {
        const missing = (): number[] => ids.filter((id) => !delivered(bouncer).includes(id));
        const tries = (id: number): string => `${id} after ${attempts(bouncer, `"${id}"`).length} attempts at Google`;
        await until('all arrive', () => missing().length === 0, 240_000, 200).catch(() => assert.fail(`lost: ${missing().map(tries)}`));
        const twice = ids.filter((id) => delivered(bouncer).filter((one) => one === id).length > 1);
        const surprising = twice.filter((id) => !repeatable.has(id));
        assert.ok(surprising.length <= 2, `arrived more than once: ${surprising}`);
        // Of what was cut off, the kept row repeats once, and the server's own queue once more.
        assert.ok(delivered(bouncer).length <= COUNT + 2 * repeatable.size + 2, `${delivered(bouncer).length} deliveries`);
      }
    }));

  test('does not keep the server waiting, and ends in a delivery', () =>
    withBouncer({}, async (bouncer) => {
      const from = await one(bouncer);
      const other = await one(bouncer);
      bouncer.fcm.always('silence');
      const start = Date.now();
      const sending = message(from, 1);
      await bouncer.fcm.until(1);
      // Meanwhile the server does other things, and others are served.
      for (const ask of [() => from.server.removeAllDevices({ user_id: 1 }), () => other.server.removeAllDevices({ user_id: 1 })]) {
        const began = Date.now();
        assert.equal((await ask()).status, 200);
        assert.ok(Date.now() - began < 3000, `${Date.now() - began} ms`);
      }
      const answer = await sending;
      assert.ok(Date.now() - start < 15_000, `${Date.now() - start} ms`);
      assert.deepEqual([answer.status, answer.json.total_android_devices, answer.json.total_apple_devices], [200, 1, 1], answer.text);
      assert.deepEqual(answer.json.deleted_devices, { android_devices: [], apple_devices: [] });
      assert.deepEqual(atApple(bouncer), [1], 'the other provider was not held up');
      bouncer.fcm.calm();
      await until('it arrives', () => atGoogle(bouncer).includes(1), 90_000, 100);
      await pause(2000);
      assert.deepEqual([atGoogle(bouncer), atApple(bouncer)], [[1], [1]]);
    }));

  test('of Apple does not keep the server waiting, and ends in a delivery', () =>
    withBouncer({}, async (bouncer) => {
      const from = await one(bouncer);
      bouncer.apns.always('silence');
      const start = Date.now();
      const answer = await message(from, 1);
      assert.ok(Date.now() - start < 15_000, `${Date.now() - start} ms`);
      assert.deepEqual([answer.status, answer.json.total_apple_devices, atGoogle(bouncer)], [200, 1, [1]], answer.text);
      bouncer.apns.calm();
      await until('it arrives', () => atApple(bouncer).includes(1), 90_000, 100);
      assert.deepEqual([atGoogle(bouncer), atApple(bouncer)], [[1], [1]]);
    }));

  test('while Google gives no tokens ends in a delivery', () =>
    withBouncer({}, async (bouncer) => {
      const from = await one(bouncer);
      bouncer.fcm.tokens.always({ status: 503 });
      assert.equal((await message(from, 1)).status, 200);
      bouncer.fcm.tokens.calm();
      await until('it arrives', () => atGoogle(bouncer).includes(1), 90_000, 100);
      bouncer.fcm.tokens.revokeAll();
      bouncer.fcm.tokens.always('silence');
      const start = Date.now();
      assert.equal((await message(from, 2)).status, 200);
      assert.ok(Date.now() - start < 15_000, `${Date.now() - start} ms`);
      bouncer.fcm.tokens.calm();
      await until('it arrives', () => atGoogle(bouncer).includes(2), 90_000, 100);
    }));

  const patience: [string, (seconds: number) => Reply][] = [
    ['with trouble', (seconds) => fcmError(503, 'UNAVAILABLE', { 'retry-after': String(seconds) })],
    ['with too much to do', (seconds) => fcmError(429, 'QUOTA_EXCEEDED', { 'retry-after': String(seconds) })],
    ['until a time of day', (seconds) => fcmError(503, 'UNAVAILABLE', { 'retry-after': new Date(Date.now() + (seconds + 1) * 1000).toUTCString() })],
  ];
  for (const [what, reply] of patience) {
    test(`${what} is left alone as long as it asks`, () =>
      withBouncer({}, async (bouncer) => {
        const from = await one(bouncer);
        bouncer.fcm.queue(() => reply(5));
        assert.equal((await message(from, 1)).status, 200);
        await until('it arrives', () => atGoogle(bouncer).includes(1), 120_000, 100);
        const [first, second] = attempts(bouncer, from.google).map((seen) => seen.at);
        assert.ok(Number(second) - Number(first) >= 4950, `asked again after ${Number(second) - Number(first)} ms`);
        assert.equal(atGoogle(bouncer).length, 1);
      }));
  }

  test('of Apple is left alone as long as it asks, over kill -9 too', () =>
    withBouncer({}, async (bouncer) => {
      const from = await one(bouncer);
      bouncer.apns.queue({ status: 503, headers: { 'retry-after': '8' }, body: { reason: 'ServiceUnavailable' } });
      assert.equal((await message(from, 1)).status, 200);
      await bouncer.service.crashAndRestart();
      await until('it arrives', () => atApple(bouncer).includes(1), 120_000, 100);
      const [first, second] = bouncer.apns.seen.map((seen) => seen.at);
      assert.ok(Number(second) - Number(first) >= 7950, `asked again after ${Number(second) - Number(first)} ms`);
      assert.deepEqual([atApple(bouncer), atGoogle(bouncer)], [[1], [1]]);
    }));

  test('outlives a kill: what was answered arrives, once, and nobody asks again', () =>
    withBouncer({}, async (bouncer) => {
      const from = await one(bouncer);
      bouncer.fcm.always({ status: 503 });
      bouncer.apns.always(apnsError(500, 'InternalServerError'));
      for (const id of [1, 2, 3]) assert.equal((await message(from, id)).status, 200);
      await bouncer.service.crash();
      bouncer.fcm.calm();
      bouncer.apns.calm();
      assert.deepEqual([atGoogle(bouncer), atApple(bouncer)], [[], []]);
      await bouncer.service.boot();
      for (const delivered of [atGoogle, atApple]) {
        await until('all arrive', () => delivered(bouncer).length >= 3, 120_000, 100);
        assert.deepEqual([...delivered(bouncer)].sort(), [1, 2, 3]);
      }
    }));

  test('and a kill in the middle of a send: the server asks again, and it arrives', () =>
    withBouncer({}, async (bouncer) => {
      const from = await one(bouncer);
      bouncer.fcm.always('silence');
      const sending = message(from, 1).catch((error: Error) => error);
      await bouncer.fcm.until(1);
      await bouncer.service.crash();
      assert.ok((await sending) instanceof Error);
      bouncer.fcm.calm();
      await bouncer.service.boot();
      const { answer } = await patiently(() => message(from, 1));
      assert.equal(answer.status, 200);
      await until('it arrives', () => atGoogle(bouncer).includes(1) && atApple(bouncer).includes(1), 60_000, 100);
      await pause(3000);
      for (const delivered of [atGoogle, atApple]) assert.ok(delivered(bouncer).length <= 2, `${delivered(bouncer)}`);
      // Nothing is stuck.
      assert.equal((await message(from, 2)).status, 200);
      assert.ok(atGoogle(bouncer).includes(2) && atApple(bouncer).includes(2));
    }));

  test('of one phone does not delay the others', () =>
    withBouncer({}, async (bouncer) => {
      const from = await one(bouncer);
      const poison = fcmToken();
      assert.equal((await from.server.addDevice('fcm', poison, from.user)).status, 200);
      bouncer.fcm.always((seen) => (seen.body.includes(poison) ? { status: 500 } : undefined));
      for (let id = 1; id <= 5; id += 1) {
        const start = Date.now();
        assert.equal((await message(from, id)).status, 200);
        assert.ok(Date.now() - start < 12_000, `${Date.now() - start} ms`);
      }
      assert.deepEqual(new Set(atGoogle(bouncer)), new Set([1, 2, 3, 4, 5]));
      bouncer.fcm.calm();
    }));

  test('that is total is not made worse, and everything arrives in the end', () =>
    withBouncer({}, async (bouncer) => {
      const from = await one(bouncer);
      assert.equal((await from.server.removeDevice('apns', from.apple, from.user)).status, 200);
      bouncer.fcm.always({ status: 503 });
      const COUNT = 40;
      for (let id = 1; id <= COUNT; id += 1) assert.equal((await message(from, id)).status, 200);
      const tried = bouncer.fcm.seen.length;
      assert.ok(tried >= 10 && tried < COUNT, `${tried} attempts`);
      bouncer.fcm.calm();
      await until('all arrive', () => new Set(atGoogle(bouncer)).size === COUNT, 240_000, 200);
      assert.equal(atGoogle(bouncer).length, COUNT);
    }));

  test('delays sealed messages too, and loses none', () =>
    withBouncer({}, async (bouncer) => {
      const realm = newRealm();
      const server = await bouncer.ready([realm]);
      const phones = [new Phone('fcm'), new Phone('apns')];
      for (const phone of phones) assertSuccess(await server.addSealedDevice(realm, phone, bouncer.keys.publicKey));
      bouncer.fcm.always({ status: 503 });
      bouncer.apns.always('hang_up');
      const requests: any[] = phones.map((phone) => phone.request());
      const start = Date.now();
      const answer = await server.notifySealed(realm, requests);
      assert.ok(Date.now() - start < 15_000, `${Date.now() - start} ms`);
      assert.deepEqual(
        [answer.status, answer.json.android_successfully_sent_count, answer.json.apple_successfully_sent_count, answer.json.delete_token_ids],
        [200, 0, 0, []], answer.text,
      );
      await bouncer.service.crash();
      bouncer.fcm.calm();
      bouncer.apns.calm();
      await bouncer.service.boot();
      await until('both arrive', () => bouncer.fcm.delivered.length > 0 && bouncer.apns.delivered.length > 0, 120_000, 100);
      assert.deepEqual(bouncer.fcm.delivered.map((sent) => sent.data.encrypted_data), [requests[0].payload.encrypted_data]);
      const [got] = bouncer.apns.delivered;
      assert.deepEqual([got?.payload, got?.headers['apns-priority'], got?.headers['apns-push-type']], [requests[1].payload, '10', 'alert']);
    }));
});
