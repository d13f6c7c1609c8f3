// Devices of the legacy path: who owns a token, by which name, and who may touch it. push-bouncer.md 1.9, 1.11, 2.3 and 3.4.

import assert from 'node:assert/strict';
import { randomInt, randomUUID } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import {
  assertRefused, assertRefusedSomehow, assertSuccess, Bouncer, deviceCounts, fcmToken, FOREIGN_REALM, hexToken, report,
} from './support/push/bouncer.ts';
import { newRealm } from './support/push/client.ts';
import type { Fields, RemoteServer } from './support/push/client.ts';
import { apnsError } from './support/push/apple.ts';
import { fcmError } from './support/push/google.ts';
import type { Answer } from './support/service.ts';

let bouncer: Bouncer;
let server: RemoteServer;
before(async () => {
  bouncer = await Bouncer.start();
  server = await bouncer.ready();
});
after(() => bouncer.finish());

/** What the real client sends besides the parameters that mean something. */
const IGNORED = { ignored_parameters_unsupported: ['server_uuid'] };
const GONE = [400, 'BAD_REQUEST', 'Token does not exist'] as const;

type Person = { user_id: number; user_uuid: string };
const person = (): Person => ({ user_id: randomInt(1, 2 ** 31), user_uuid: randomUUID() });
const byId = ({ user_id }: Person): Fields => ({ user_id: String(user_id) });
const byUuid = ({ user_uuid }: Person): Fields => ({ user_uuid });
/** As newer servers identify a user: an id that is a string of digits, and the UUID. */
const byBoth = (who: Person): Fields => ({ ...byId(who), ...byUuid(who) });
const counts = (who: Fields, of = server): Promise<[number, number]> =>
  deviceCounts(of, { ...who, ...(who.user_id === undefined ? {} : { user_id: Number(who.user_id) }) });

async function add(kind: 'apns' | 'fcm', token: string, who: Fields, more: Fields = {}, to = server): Promise<void> {
  assertSuccess(await to.addDevice(kind, token, who, more), IGNORED);
}

describe('a device', () => {
  const put = (more: Fields): Promise<Answer> =>
    server.form('push/register', { user_id: '10', user_uuid: randomUUID(), token: hexToken(), token_kind: '1', ios_app_id: 'org.zulip.Zulip', ...more });
  const take = (more: Fields): Promise<Answer> =>
    server.form('push/unregister', { user_id: '10', user_uuid: randomUUID(), token: hexToken(), token_kind: '1', ...more });

  const rules: [string, Fields, string][] = [
    ['of no known kind', { token_kind: '0' }, 'Invalid token type'],
    ['of a kind to come', { token_kind: '3' }, 'Invalid token type'],
    ['of an unknown kind', { token_kind: '4' }, 'Invalid token type'],
    ['of a negative kind', { token_kind: '-1' }, 'Invalid token type'],
    ['without a token', { token: '' }, 'Empty or invalid length token'],
    ['with a long token', { token: 'a'.repeat(4097) }, 'Empty or invalid length token'],
    ['with a long token for Google', { token: 'x'.repeat(4097), token_kind: '2' }, 'Empty or invalid length token'],
    ['of Apple without hexadecimal digits', { token: 'an apple' }, 'Invalid APNS token'],
    ['without a user', { user_id: undefined, user_uuid: undefined }, 'Missing user_id or user_uuid'],
  ];
  for (const [what, more, msg] of rules) {
    test(`${what} is neither registered nor removed`, async () => {
      assertRefused(await put(more), 400, 'BAD_REQUEST', msg);
      assertRefused(await take(more), 400, 'BAD_REQUEST', msg);
    });
  }

  test('of Apple belongs to an app', async () => {
    assertRefused(await put({ ios_app_id: undefined }), 400, 'BAD_REQUEST', 'Missing ios_app_id');
    assertSuccess(await put({ token_kind: '2', ios_app_id: undefined }));
  });

  test('is judged in the order of the rules', async () => {
    const nobody = { user_id: undefined, user_uuid: undefined, ios_app_id: undefined };
    assertRefused(await put({ ...nobody, token_kind: '7', token: '' }), 400, 'BAD_REQUEST', 'Invalid token type');
    assertRefused(await put({ ...nobody, token: '' }), 400, 'BAD_REQUEST', 'Empty or invalid length token');
    assertRefused(await put({ ...nobody, token: 'an apple' }), 400, 'BAD_REQUEST', 'Invalid APNS token');
    assertRefused(await put({ ...nobody }), 400, 'BAD_REQUEST', 'Missing ios_app_id');
  });

  test('may have a token of the greatest length, with any characters for Google', async () => {
    const who = byUuid(person());
    for (const token of ['a'.repeat(4096), 'fcm:ü +&=%/?#\u{1f4f1}']) await add('fcm', token, who);
    await add('apns', 'ab'.repeat(2048), who);
    assert.deepEqual((await counts(who)), [2, 1]);
    for (const token of ['a'.repeat(4096), 'fcm:ü +&=%/?#\u{1f4f1}']) assertSuccess(await server.removeDevice('fcm', token, who), IGNORED);
  });

  test('is kept over kill -9', async () => {
    const who = byUuid(person());
    await add('fcm', fcmToken(), who);
    await add('apns', hexToken(), who);
    await bouncer.service.crashAndRestart();
    assert.deepEqual(await counts(who), [1, 1]);
  });

  test('registered twice is one, and stays as it was', async () => {
    const who = byUuid(person());
    const [google, apple] = [fcmToken(), hexToken()];
    for (const app of ['org.zulip.First', 'org.zulip.Second']) {
      await add('apns', apple, who, { ios_app_id: app });
      await add('fcm', google, who);
    }
    assert.deepEqual(await counts(who), [1, 1]);
    assert.deepEqual(bouncer.apns.to(apple).map((sent) => sent.topic), ['org.zulip.First']);
  });

  test('registered many times at once is one', async () => {
    const who = byBoth(person());
    const token = fcmToken();
    const answers = await Promise.all(Array.from({ length: 8 }, () => server.addDevice('fcm', token, who)));
    for (const answer of answers) assertSuccess(answer, IGNORED);
    assert.deepEqual(await counts(who), [1, 0]);
  });

  test('of Google is told apart by case, one of Apple is not', async () => {
    const who = byUuid(person());
    for (const token of ['fcm:aBc', 'fcm:AbC']) await add('fcm', token, who);
    const apple = hexToken();
    for (const token of [apple, apple.toUpperCase()]) await add('apns', token, who);
    assert.deepEqual(await counts(who), [2, 1]);
    assert.equal(bouncer.apns.to(apple).length, 1);
    assertRefused(await server.removeDevice('fcm', 'fcm:ABC', who), ...GONE);
    assertSuccess(await server.removeDevice('apns', apple.toUpperCase(), who), IGNORED);
    assert.deepEqual(await counts(who), [2, 0]);
  });

  test('may be of several users', async () => {
    const [one, other] = [byUuid(person()), byUuid(person())];
    const token = fcmToken();
    await add('fcm', token, one);
    await add('fcm', token, other);
    assertSuccess(await server.removeDevice('fcm', token, one), IGNORED);
    assert.deepEqual([await counts(one), await counts(other)], [[0, 0], [1, 0]]);
  });

  test('of one kind is not one of the other', async () => {
    const who = byUuid(person());
    const token = hexToken();
    await add('apns', token, who);
    assertRefused(await server.removeDevice('fcm', token, who), ...GONE);
    await add('fcm', token, who);
    assert.deepEqual(await counts(who), [1, 1]);
  });
});

describe('a user', () => {
  test('is found by the name that was given', async () => {
    const who = person();
    await add('fcm', fcmToken(), byId(who));
    assert.deepEqual([await counts(byId(who)), await counts(byUuid(who)), await counts(byBoth(who))], [[1, 0], [0, 0], [1, 0]]);
    const other = person();
    await add('fcm', fcmToken(), byUuid(other));
    assert.deepEqual([await counts(byId(other)), await counts(byUuid(other)), await counts(byBoth(other))], [[0, 0], [1, 0], [1, 0]]);
  });

  test('with both names is known by the UUID from then on', async () => {
    const who = person();
    const [google, apple] = [fcmToken(), hexToken()];
    await add('fcm', google, byId(who));
    await add('apns', apple.toUpperCase(), byId(who));
    await add('fcm', google, byBoth(who));
    await add('apns', apple, byBoth(who));
    assert.deepEqual([await counts(byId(who)), await counts(byUuid(who)), await counts(byBoth(who))], [[0, 0], [1, 1], [1, 1]]);
  });

  test('keeps the devices of the old name that are not named again', async () => {
    const who = person();
    await add('fcm', fcmToken(), byId(who));
    await add('fcm', fcmToken(), byBoth(who));
    assert.deepEqual([await counts(byId(who)), await counts(byUuid(who)), await counts(byBoth(who))], [[1, 0], [1, 0], [2, 0]]);
  });

  test('with a device under both names loses the one of the id when notified', async () => {
    const who = person();
    const [google, apple] = [fcmToken(), hexToken()];
    await add('fcm', google, byId(who));
    await add('apns', apple.toUpperCase(), byId(who), { ios_app_id: 'org.zulip.Old' });
    await add('fcm', google, byUuid(who));
    await add('apns', apple, byUuid(who), { ios_app_id: 'org.zulip.New' });
    assert.deepEqual(await counts(byBoth(who)), [1, 1]);
    assert.deepEqual([bouncer.fcm.to(google).length, bouncer.apns.to(apple).map((sent) => sent.topic)], [1, ['org.zulip.New']]);
    assert.deepEqual([await counts(byId(who)), await counts(byUuid(who))], [[0, 0], [1, 1]]);
  });

  test('removes a device by either name', async () => {
    for (const owner of [byId, byUuid]) {
      const who = person();
      const token = hexToken();
      await add('apns', token, owner(who));
      assertRefused(await server.removeDevice('apns', token, byBoth(person())), ...GONE);
      assertSuccess(await server.removeDevice('apns', token, byBoth(who)), IGNORED);
      assertRefused(await server.removeDevice('apns', token, byBoth(who)), ...GONE);
      assert.deepEqual(await counts(byBoth(who)), [0, 0]);
    }
  });

  test('removes all devices, of both kinds and names, and nobody else\'s', async () => {
    const [who, other] = [person(), person()];
    for (const name of [byId, byUuid]) {
      for (const owner of [who, other]) {
        await add('fcm', fcmToken(), name(owner));
        await add('apns', hexToken(), name(owner));
      }
    }
    assertSuccess(await server.removeAllDevices(byBoth(who)), IGNORED);
    assertSuccess(await server.removeAllDevices(byBoth(who)), IGNORED);
    assert.deepEqual([await counts(byBoth(who)), await counts(byBoth(other))], [[0, 0], [2, 2]]);
    assertSuccess(await server.removeAllDevices(byId(other)), IGNORED);
    assert.deepEqual(await counts(byBoth(other)), [1, 1]);
    assertRefused(await server.removeAllDevices({}), 400, 'BAD_REQUEST', 'Missing user_id or user_uuid');
    assertRefusedSomehow(await server.removeAllDevices({ user_uuid: 'nobody' }), 400);
  });

  test('may have an id as large as databases count', async () => {
    const who = { user_id: String(2 ** 53 - 1) };
    await add('fcm', fcmToken(), who);
    assert.deepEqual(await counts(who), [1, 0]);
    assert.deepEqual(await counts({ user_id: String(2 ** 53 - 2) }), [0, 0]);
    assertSuccess(await server.removeAllDevices(who), IGNORED);
  });
});

describe('a server', () => {
  test('neither sees nor touches the devices of another', async () => {
    const other = await bouncer.ready();
    const who = person();
    const [google, apple] = [fcmToken(), hexToken()];
    await add('fcm', google, byBoth(who));
    await add('apns', apple, byBoth(who));
    assert.deepEqual(await counts(byBoth(who), other), [0, 0]);
    assertRefused(await other.removeDevice('fcm', google, byBoth(who)), ...GONE);
    assertSuccess(await other.removeAllDevices(byBoth(who)), IGNORED);
    const refused = await other.json('push/test_notification', {
      token: google, token_kind: 2, ...who, base_payload: { realm_name: 'R', realm_url: 'https://r.test' },
    });
    assertRefused(refused, 400, 'INVALID_REMOTE_PUSH_DEVICE_TOKEN', 'Device not recognized by the push bouncer');
    assert.deepEqual([bouncer.fcm.to(google), bouncer.apns.to(apple)], [[], []]);
    assert.deepEqual(await counts(byBoth(who)), [1, 1]);
    // The same phone on both: each has its own.
    await add('fcm', google, byBoth(who), {}, other);
    assertSuccess(await other.removeDevice('fcm', google, byBoth(who)), IGNORED);
    assert.deepEqual(await counts(byBoth(who)), [1, 1]);
  });

  test('may not name the organization of another', async () => {
    const realm = newRealm();
    const owner = await bouncer.ready([realm]);
    const who = person();
    const foreign = { ...byBoth(who), realm_uuid: realm.uuid };
    const token = fcmToken();
    const refusal = [403, 'REMOTE_REALM_SERVER_MISMATCH_ERROR', FOREIGN_REALM] as const;
    assertRefused(await server.addDevice('fcm', token, foreign), ...refusal);
    assert.deepEqual(await counts(byBoth(who)), [0, 0]);
    await add('fcm', token, byBoth(who));
    assertRefused(await server.removeDevice('fcm', token, foreign), ...refusal);
    assertRefused(await server.removeAllDevices(foreign), ...refusal);
    assertRefused(await server.notify({ ...who, realm_uuid: realm.uuid }), ...refusal);
    assert.deepEqual(await counts(byBoth(who)), [1, 0]);
    await add('fcm', token, foreign, {}, owner);
    assertSuccess(await owner.removeDevice('fcm', token, foreign), IGNORED);
  });

  test('may name an organization that is not known yet', async () => {
    const realm = newRealm();
    const who = { ...byBoth(person()), realm_uuid: realm.uuid };
    await add('fcm', fcmToken(), who);
    assert.deepEqual(await counts(who), [1, 0]);
    await report(server, [realm]);
    assert.deepEqual(await counts(who), [1, 0]);
    assertSuccess(await server.removeAllDevices(who), IGNORED);
  });
});

describe('a test notification', () => {
  const base_payload = { server: 'chat.zulip.test', realm_id: 7, realm_name: 'Zulip Dev', realm_uri: 'https://chat.zulip.test', realm_url: 'https://chat.zulip.test', user_id: 9 };
  const ask = (who: Person, token: string, kind: number, more: Fields = {}): Promise<Answer> =>
    server.json('push/test_notification', { token, token_kind: kind, ...who, base_payload, ...more });

  test('reaches a phone with Google', async () => {
    const who = person();
    const token = fcmToken();
    await add('fcm', token, byBoth(who));
    const start = Math.floor(Date.now() / 1000);
    assertSuccess(await ask(who, token, 2, { realm_uuid: randomUUID() }));
    const [sent] = bouncer.fcm.to(token);
    const time = sent?.data.time;
    assert.deepEqual(sent, {
      token,
      data: { ...base_payload, realm_id: '7', user_id: '9', event: 'test', time },
      android: { priority: 'HIGH' },
    });
    assert.ok(Number(time) >= start && Number(time) <= Date.now() / 1000 + 1, `time ${time}`);
  });

  test('reaches a phone with Apple, however its token is spelled', async () => {
    const who = person();
    const token = hexToken();
    await add('apns', token, byId(who));
    assertSuccess(await ask(who, token.toUpperCase(), 1));
    const [sent] = bouncer.apns.to(token);
    assert.deepEqual(sent?.payload, {
      aps: {
        alert: { title: 'Test notification', body: 'This is a test notification from Zulip Dev (https://chat.zulip.test).' },
        sound: 'default',
      },
      zulip: { ...base_payload, event: 'test' },
    });
    assert.equal(sent?.topic, 'org.zulip.Zulip');
  });

  test('knows the address of the organization by its old name', async () => {
    const who = person();
    const token = hexToken();
    await add('apns', token, byUuid(who));
    assertSuccess(await ask(who, token, 1, { base_payload: { realm_name: 'Old', realm_uri: 'https://old.test' } }));
    assert.equal(bouncer.apns.to(token)[0]?.payload.aps.alert.body, 'This is a test notification from Old (https://old.test).');
  });

  test('names the organization', async () => {
    const who = person();
    const token = hexToken();
    await add('apns', token, byUuid(who));
    for (const payload of [{}, { realm_name: 'R' }, { realm_url: 'https://r.test' }]) assertRefusedSomehow(await ask(who, token, 1, { base_payload: payload }), 400);
    assert.deepEqual(bouncer.apns.to(token), []);
  });

  test('goes to known devices of the user only', async () => {
    const who = person();
    const token = fcmToken();
    const unknown = [400, 'INVALID_REMOTE_PUSH_DEVICE_TOKEN', 'Device not recognized by the push bouncer'] as const;
    assertRefused(await ask(who, token, 2), ...unknown);
    await add('fcm', token, byBoth(who));
    assertRefused(await ask(person(), token, 2), ...unknown);
    assertRefused(await ask(who, fcmToken(), 2), ...unknown);
    assertSuccess(await server.removeDevice('fcm', token, byBoth(who)), IGNORED);
    assertRefused(await ask(who, token, 2), ...unknown);
    assert.deepEqual(bouncer.fcm.to(token), []);
  });

  test('is a success even when the provider fails', async () => {
    const who = person();
    const [google, apple] = [fcmToken(), hexToken()];
    await add('fcm', google, byUuid(who));
    await add('apns', apple, byUuid(who));
    bouncer.fcm.queue(fcmError(400, 'INVALID_ARGUMENT'));
    bouncer.apns.queue(apnsError(400, 'BadTopic'));
    assertSuccess(await ask(who, google, 2));
    assertSuccess(await ask(who, apple, 1));
    bouncer.fcm.calm();
    bouncer.apns.calm();
  });

  test('needs no plan, and no reports of use', async () => {
    const fresh = await bouncer.server();
    const who = person();
    const token = fcmToken();
    await add('fcm', token, byUuid(who), {}, fresh);
    assert.equal((await fresh.notify(byUuid(who))).status, 400);
    assertSuccess(await fresh.json('push/test_notification', { token, token_kind: 2, ...who, base_payload }));
    assert.equal(bouncer.fcm.to(token).length, 1);
  });
});
