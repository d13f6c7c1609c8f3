// Devices whose tokens only the bouncer can read, and messages that it cannot. push-bouncer.md 1.12, 1.13, 3.6, 7.2 and 8.

import assert from 'node:assert/strict';
import { randomBytes, randomUUID } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { apnsError, Apns } from './support/push/apple.ts';
import {
  assertRefused, assertRefusedSomehow, assertSuccess, BASE, Bouncer, deviceCounts, FOREIGN_REALM, keep, OLD_PLAN, withBouncer,
} from './support/push/bouncer.ts';
import { newRealm, Phone } from './support/push/client.ts';
import type { Fields, Realm, RemoteServer } from './support/push/client.ts';
import { fcmError } from './support/push/google.ts';
import { registrationKeys, seal } from './support/push/sodium.ts';
import type { Answer } from './support/service.ts';

let bouncer: Bouncer;
let server: RemoteServer;
let realm: Realm;
before(async () => {
  bouncer = await Bouncer.start();
  ({ server, realm } = await bouncer.readyRealm());
});
after(() => bouncer.finish());

const CAN_PUSH = { can_push: true, expected_end_timestamp: null };
const UNREADABLE = [400, 'BAD_REQUEST', 'Invalid encrypted_push_registration'] as const;
const UNKNOWN_KEY = [400, 'INVALID_BOUNCER_PUBLIC_KEY', 'Invalid bouncer_public_key'] as const;
const NO_REALM = [403, 'MISSING_REMOTE_REALM', 'Organization not registered'] as const;
const MISMATCH = [403, 'REMOTE_REALM_SERVER_MISMATCH_ERROR', FOREIGN_REALM] as const;

function sent(google: number, apple: number, gone: string[] = []): object {
  return { android_successfully_sent_count: google, apple_successfully_sent_count: apple, delete_token_ids: gone, realm_push_status: CAN_PUSH };
}
const key = (): string => bouncer.keys.publicKey;
const add = (phone: Phone, more: Fields = {}): Promise<Answer> => server.addSealedDevice(realm, phone, key(), more);

async function added(...kinds: ('apns' | 'fcm')[]): Promise<Phone[]> {
  const phones = kinds.map((kind) => new Phone(kind));
  for (const phone of phones) keep(phone.token);
  for (const phone of phones) assertSuccess(await add(phone));
  return phones;
}
async function one(kind: 'apns' | 'fcm'): Promise<Phone> {
  const [phone = new Phone(kind)] = await added(kind);
  return phone;
}
const send = (...requests: object[]): Promise<Answer> => server.notifySealed(realm, requests);

describe('a sealed device', () => {
  test('with Google gets what its server has encrypted, and nothing else', async () => {
    const phone = await one('fcm');
    for (const priority of ['high', 'normal']) {
      const request: any = { ...phone.request({ type: 'message', content: 'secret' }), fcm_priority: priority };
      assertSuccess(await send(request), sent(1, 0));
      assert.deepEqual(bouncer.fcm.to(phone.token).at(-1), {
        token: phone.token,
        data: { push_key_id: String(phone.pushKeyId), encrypted_data: request.payload.encrypted_data },
        android: { priority: priority.toUpperCase() },
      });
    }
  });

  test('with Apple gets what its server has encrypted, urgent or in the background', async () => {
    const phone = await one('apns');
    for (const [apns_priority, apns_push_type] of [[10, 'alert'], [5, 'background'], [1, 'alert']]) {
      const request: any = { ...phone.request(), http_headers: { apns_priority, apns_push_type } };
      assertSuccess(await send(request), sent(0, 1));
      const got = bouncer.apns.to(phone.token).at(-1);
      assert.deepEqual(got?.payload, {
        push_key_id: phone.pushKeyId,
        encrypted_data: request.payload.encrypted_data,
        aps: { 'mutable-content': 1, alert: { title: 'New notification' } },
      });
      const { 'apns-id': _id, ...headers } = got?.headers ?? {};
      assert.deepEqual(headers, { 'apns-topic': phone.appId, 'apns-priority': String(apns_priority), 'apns-push-type': apns_push_type });
    }
  });

  test('is one of many in a request', async () => {
    const phones = await added('fcm', 'apns', 'fcm', 'apns', 'fcm');
    assertSuccess(await send(...phones.map((phone) => phone.request())), sent(3, 2));
    for (const phone of phones) assert.equal((phone.kind === 'fcm' ? bouncer.fcm : bouncer.apns).to(phone.token).length, 1);
    assertSuccess(await send(), sent(0, 0));
  });

  test('registered again, or many times at once, is one', async () => {
    const phone = await one('fcm');
    const answers = await Promise.all(Array.from({ length: 6 }, () => add(phone)));
    for (const answer of answers) assertSuccess(answer);
    assertSuccess(await send(phone.request()), sent(1, 0));
    assert.equal(bouncer.fcm.to(phone.token).length, 1);
  });

  test('is known by the exact spelling of its token', async () => {
    const token = `${'ab'.repeat(24)}${randomBytes(8).toString('hex')}`;
    const [lower, upper] = [new Phone('apns', token), new Phone('apns', token.toUpperCase())];
    assertSuccess(await add(lower));
    assertSuccess(await send(lower.request(), upper.request()), sent(0, 1, [upper.tokenId]));
  });

  test('is kept over kill -9', async () => {
    const phones = await added('fcm', 'apns');
    await bouncer.service.crashAndRestart();
    assertSuccess(await send(...phones.map((phone) => phone.request())), sent(1, 1));
  });

  test('is not a device of the legacy path', async () => {
    const phone = await one('fcm');
    const user = { user_uuid: randomUUID() };
    assert.equal((await server.removeAllDevices(user)).status, 200);
    assert.deepEqual(await deviceCounts(server, user), [0, 0]);
    const unknown = await server.removeDevice('fcm', phone.token, user);
    assert.equal(unknown.json.msg, 'Token does not exist');
    assertSuccess(await send(phone.request()), sent(1, 0));
  });

  test('of one organization is not one of another, on one server or two', async () => {
    const [first, second] = [newRealm(1), newRealm(2)];
    const other = await bouncer.ready([first, second]);
    const phone = new Phone('fcm');
    assertSuccess(await other.addSealedDevice(first, phone, key()));
    assertSuccess(await other.notifySealed(second, [phone.request()]), sent(0, 0, [phone.tokenId]));
    assertSuccess(await send(phone.request()), sent(0, 0, [phone.tokenId]));
    assertSuccess(await other.notifySealed(first, [phone.request()]), sent(1, 0));
    // The same phone in both.
    assertSuccess(await other.addSealedDevice(second, phone, key()));
    assertSuccess(await other.notifySealed(second, [phone.request()]), sent(1, 0));
    assert.equal(bouncer.fcm.to(phone.token).length, 2);
  });
});

describe('a sealed registration', () => {
  test('needs all its parameters', async () => {
    for (const name of ['realm_uuid', 'encrypted_push_registration', 'bouncer_public_key', 'token_id']) {
      assertRefused(await add(new Phone('fcm'), { [name]: undefined }), 400, 'REQUEST_VARIABLE_MISSING', `Missing '${name}' argument`, { var_name: name });
    }
    assertRefusedSomehow(await add(new Phone('fcm'), { realm_uuid: 'nowhere' }), 400);
    assertSuccess(await add(new Phone('fcm'), { extra: '1' }), { ignored_parameters_unsupported: ['extra'] });
  });

  test('belongs to an organization of the server', async () => {
    assertRefused(await server.addSealedDevice(newRealm(), new Phone('fcm'), key()), ...NO_REALM);
    const { realm: foreign } = await bouncer.readyRealm();
    assertRefused(await server.addSealedDevice(foreign, new Phone('fcm'), key()), ...MISMATCH);
    // Said before anything is opened.
    assertRefused(await server.addSealedDevice(newRealm(), new Phone('fcm'), key(), { bouncer_public_key: 'x' }), ...NO_REALM);
  });

  test('is sealed for a key of the bouncer', async () => {
    const stranger = registrationKeys().publicKey;
    for (const text of [stranger, 'no key', '', key().slice(1), `${key()} `]) {
      assertRefused(await add(new Phone('fcm'), { bouncer_public_key: text, encrypted_push_registration: '!' }), ...UNKNOWN_KEY);
    }
    const phone = new Phone('fcm');
    assertRefused(await add(phone, { encrypted_push_registration: phone.sealed(stranger) }), ...UNREADABLE);
  });

  const box = (text: string | Buffer): string => seal(Buffer.from(key(), 'base64'), Buffer.from(text)).toString('base64');
  const now = (): number => Math.floor(Date.now() / 1000);
  const good = (phone: Phone): Fields => ({
    token: phone.token, token_kind: phone.kind, ios_app_id: phone.kind === 'apns' ? phone.appId : null, timestamp: now(),
  });

  test('that cannot be opened is refused', async () => {
    const phone = new Phone('fcm');
    const sealed = Buffer.from(phone.sealed(key()), 'base64');
    const boxes = ['', 'not base64!', 'AAAA', sealed.subarray(0, 47).toString('base64'), sealed.subarray(1).toString('base64'), sealed.toString('hex')];
    for (const at of [0, 31, 32, 47, 48, sealed.length - 1]) {
      const changed = Buffer.from(sealed);
      changed.writeUInt8(changed.readUInt8(at) ^ 1, at);
      boxes.push(changed.toString('base64'));
    }
    for (const encrypted of boxes) assertRefused(await add(phone, { encrypted_push_registration: encrypted }), ...UNREADABLE);
    assertSuccess(await add(phone, { encrypted_push_registration: sealed.toString('base64') }));
  });

  test('whose contents are no registration is refused', async () => {
    const [google, apple] = [new Phone('fcm'), new Phone('apns')];
    for (const text of ['', 'no JSON', '[]', 'null', '{}', Buffer.from([0xff, 0xfe])]) {
      assertRefused(await add(google, { encrypted_push_registration: box(text) }), ...UNREADABLE);
    }
    const wrong: [Phone, Fields][] = [
      [google, { token_kind: 'web' }], [google, { token_kind: 2 }], [google, { token_kind: undefined }],
      [google, { token: undefined }], [google, { token: 7 }],
      [google, { timestamp: undefined }], [google, { timestamp: String(now()) }], [google, { timestamp: null }], [google, { timestamp: now() + 0.5 }],
      [google, { ios_app_id: 'org.zulip.Zulip' }],
      [apple, { ios_app_id: null }], [apple, { ios_app_id: undefined }], [apple, { ios_app_id: 'org zulip' }], [apple, { ios_app_id: '' }],
    ];
    for (const [phone, more] of wrong) {
      const encrypted = box(JSON.stringify({ ...good(phone), ...more }));
      assertRefused(await add(phone, { encrypted_push_registration: encrypted }), ...UNREADABLE);
    }
    for (const [kind, token] of [['fcm', ''], ['fcm', 'x'.repeat(4097)], ['apns', 'an apple'], ['apns', '']] as const) {
      assertRefused(await add(Object.assign(new Phone(kind), { token })), ...UNREADABLE);
    }
    assertSuccess(await add(google, { encrypted_push_registration: box(JSON.stringify({ ...good(google), ios_app_id: undefined })) }));
    assertSuccess(await add(new Phone('fcm', 'y'.repeat(4096))));
  });

  test('names the token that is inside', async () => {
    const [phone, other] = [new Phone('fcm'), new Phone('fcm')];
    for (const token_id of [other.tokenId, 'AAAAAAAAAAA=', '', 'not base64!', phone.tokenId.slice(0, -4), `${phone.tokenId}AAAA`]) {
      assertRefused(await add(phone, { token_id }), ...UNREADABLE);
    }
    const answer = await send(phone.request(), other.request());
    assertSuccess(answer, sent(0, 0, answer.json.delete_token_ids));
    assert.deepEqual([...answer.json.delete_token_ids].sort(), [phone.tokenId, other.tokenId].sort());
  });

  test('is a day old at most', async () => {
    const at = (offset: number): Promise<Answer> => {
      const phone = new Phone('fcm');
      return add(phone, { encrypted_push_registration: phone.sealed(key(), { timestamp: now() + offset }) });
    };
    assertRefused(await at(-86_405), 400, 'REQUEST_EXPIRED', 'Request expired');
    assertRefused(await at(-10_000_000), 400, 'REQUEST_EXPIRED', 'Request expired');
    assertSuccess(await at(-86_380));
    assertSuccess(await at(86_400 * 30));
  });

  test('needs keys of the operator', () =>
    withBouncer({ PUSH_REGISTRATION_KEYS: '' }, async (own) => {
      const { server: sender, realm: known } = await own.readyRealm();
      assertRefusedSomehow(await sender.addSealedDevice(known, new Phone('fcm'), own.keys.publicKey), 503);
      assert.equal((await sender.notifySealed(known, [])).status, 200);
    }));

  test('goes on while the operator changes keys', () =>
    withBouncer({}, async (own) => {
      const { server: sender, realm: known } = await own.readyRealm();
      const old = own.keys;
      // The order of the setting and not that of the alphabet.
      let fresh = registrationKeys();
      while (fresh.publicKey < old.publicKey) fresh = registrationKeys();
      const served = async (): Promise<number[]> => {
        const answer = await own.service.get(`${BASE}/push/e2ee/public_keys`);
        assert.deepEqual([answer.status, answer.json.result], [200, 'success'], answer.text);
        for (const { privateKey } of [old, fresh]) assert.ok(!answer.text.includes(privateKey));
        return [old, fresh].map(({ publicKey }) => answer.text.indexOf(publicKey));
      };
      const use = async (...keys: typeof old[]): Promise<void> => {
        own.service.settings.PUSH_REGISTRATION_KEYS = JSON.stringify(Object.fromEntries(keys.map((pair) => [pair.publicKey, pair.privateKey])));
        await own.service.crashAndRestart();
      };
      const before = new Phone('fcm');
      assertSuccess(await sender.addSealedDevice(known, before, old.publicKey));
      assertRefused(await sender.addSealedDevice(known, new Phone('fcm'), fresh.publicKey), ...UNKNOWN_KEY);
      assert.ok((await served())[0] !== -1);

      await use(fresh, old);
      const [later, sooner] = await served();
      assert.ok(Number(sooner) >= 0 && Number(sooner) < Number(later), `the current key first: ${sooner}, ${later}`);
      for (const { publicKey } of [old, fresh]) assertSuccess(await sender.addSealedDevice(known, new Phone('fcm'), publicKey));

      await use(fresh);
      assert.deepEqual((await served())[0], -1);
      assertRefused(await sender.addSealedDevice(known, new Phone('fcm'), old.publicKey), ...UNKNOWN_KEY);
      assertSuccess(await sender.addSealedDevice(known, new Phone('fcm'), fresh.publicKey));
      assertSuccess(await sender.notifySealed(known, [before.request()]), sent(1, 0));
    }));
});

describe('a sealed notification', () => {
  test('belongs to an organization of the server', async () => {
    const phone = await one('fcm');
    assertRefused(await server.notifySealed(newRealm(), [phone.request()]), ...NO_REALM);
    const { server: other } = await bouncer.readyRealm();
    assertRefused(await other.notifySealed(realm, [phone.request()]), ...MISMATCH);
    assertRefusedSomehow(await server.json('push/e2ee/notify', { realm_uuid: 'nowhere', push_requests: [] }), 400);
    assert.deepEqual(bouncer.fcm.to(phone.token), []);
  });

  test('has a shape that phones understand', async () => {
    const [google, apple] = [await one('fcm'), await one('apns')];
    const [forGoogle, forApple] = [google.request() as any, apple.request() as any];
    const wrong: unknown[] = [
      'text', 7, null, {}, { ...forGoogle, token_id: undefined }, { ...forGoogle, token_id: 7 }, { ...forGoogle, payload: undefined },
      { ...forGoogle, payload: 'x' }, { ...forGoogle, fcm_priority: undefined }, { ...forGoogle, fcm_priority: 'urgent' },
      { ...forGoogle, payload: { ...forGoogle.payload, push_key_id: 'x' } }, { ...forGoogle, payload: { push_key_id: 1 } },
      { ...forApple, http_headers: {} }, { ...forApple, http_headers: { apns_priority: 7, apns_push_type: 'alert' } },
      { ...forApple, http_headers: { apns_priority: '10', apns_push_type: 'alert' } }, { ...forApple, http_headers: { apns_priority: 10, apns_push_type: 'loud' } },
      { ...forApple, http_headers: undefined },
      // For a phone of the other kind.
      { ...forGoogle, token_id: apple.tokenId }, { ...forApple, token_id: google.tokenId },
    ];
    const taken: unknown[] = [];
    for (const request of wrong) {
      const answer = await server.json('push/e2ee/notify', { realm_uuid: realm.uuid, push_requests: [forGoogle, request] });
      if (answer.status !== 400 || answer.json?.result !== 'error') taken.push([request, answer.status, answer.text]);
    }
    assert.deepEqual(taken, []);
    assert.deepEqual([bouncer.fcm.to(google.token), bouncer.apns.to(apple.token)], [[], []], 'all or nothing');
  });

  test('to a dead device says so at once, and every time', async () => {
    const phones = await added('fcm', 'fcm', 'apns', 'apns');
    const dead = [phones[0], phones[2]].filter((phone) => phone !== undefined);
    for (const phone of dead) {
      if (phone.kind === 'fcm') bouncer.fcm.dead.add(phone.token);
      else bouncer.apns.dead.set(phone.token, Apns.unregistered(Date.now() + 3_600_000));
    }
    const stranger = new Phone('fcm');
    const all = [...phones, stranger].map((phone) => phone.request());
    const gone = [...dead, stranger].map((phone) => phone.tokenId).sort();
    for (let i = 0; i < 2; i += 1) {
      const answer = await send(...all);
      const ids: string[] = answer.json.delete_token_ids;
      assertSuccess(answer, sent(1, 1, ids));
      assert.deepEqual([...ids].sort(), gone);
    }
    await bouncer.service.crashAndRestart();
    const tries = bouncer.fcm.seen.length;
    assert.deepEqual([...(await send(...all)).json.delete_token_ids].sort(), gone);
    assert.equal(bouncer.fcm.seen.length, tries + 1, 'only the living one is asked for');
  });

  test('reaches a device that was dead and has registered again', async () => {
    for (const [kind, death] of [['fcm', fcmError(404, 'UNREGISTERED')], ['apns', apnsError(400, 'BadDeviceToken')]] as const) {
      const phone = await one(kind);
      const fake = kind === 'fcm' ? bouncer.fcm : bouncer.apns;
      fake.queue(death);
      assertSuccess(await send(phone.request()), sent(0, 0, [phone.tokenId]));
      assertSuccess(await send(phone.request()), sent(0, 0, [phone.tokenId]));
      assertSuccess(await add(phone));
      assertSuccess(await send(phone.request()), kind === 'fcm' ? sent(1, 0) : sent(0, 1));
    }
  });

  test('that the provider does not take is not counted, and the device stays', async () => {
    const [google, apple] = [await one('fcm'), await one('apns')];
    bouncer.fcm.queue(fcmError(400, 'INVALID_ARGUMENT'));
    bouncer.apns.queue(apnsError(400, 'TopicDisallowed'));
    assertSuccess(await send(google.request(), apple.request()), sent(0, 0));
    bouncer.fcm.calm();
    bouncer.apns.calm();
    assertSuccess(await send(google.request(), apple.request()), sent(1, 1));
  });

  test('to who has removed the device is answered as to a dead one', async () => {
    const [phone, other] = [await one('fcm'), await one('fcm')];
    const gone = await server.form('push/e2ee/unregister', { realm_uuid: realm.uuid, token_id: phone.tokenId });
    assertSuccess(gone);
    assertSuccess(await send(phone.request(), other.request()), sent(1, 0, [phone.tokenId]));
    assert.deepEqual(bouncer.fcm.to(phone.token), []);
    assertSuccess(await add(phone));
    assertSuccess(await send(phone.request()), sent(1, 0));
    const { server: stranger } = await bouncer.readyRealm();
    assertRefused(await stranger.form('push/e2ee/unregister', { realm_uuid: realm.uuid, token_id: phone.tokenId }), ...MISMATCH);
    assertRefused(await server.form('push/e2ee/unregister', { realm_uuid: randomUUID(), token_id: phone.tokenId }), ...NO_REALM);
    assertSuccess(await send(phone.request()), sent(1, 0));
  });

  test('is counted as not sent where nothing is configured', () =>
    withBouncer({ FCM_SERVICE_ACCOUNT: '', APNS_KEY_P8: '', APNS_KEY_ID: '', APNS_TEAM_ID: '' }, async (own) => {
      const { server: sender, realm: known } = await own.readyRealm();
      const phones = [new Phone('fcm'), new Phone('apns')];
      for (const phone of phones) assertSuccess(await sender.addSealedDevice(known, phone, own.keys.publicKey));
      assertSuccess(await sender.notifySealed(known, phones.map((phone) => phone.request())), sent(0, 0));
      assert.deepEqual([own.fcm.seen.length, own.apns.seen.length], [0, 0]);
    }));

  test('needs permission, a registration does not', async () => {
    const [large, small] = [newRealm(1), newRealm(2)];
    const sender = await bouncer.server();
    assert.equal((await sender.reportRealms([large, small], { realmauditlog_rows: undefined })).status, 200);
    const phone = new Phone('fcm');
    assertSuccess(await sender.addSealedDevice(large, phone, key()));
    const disallowed = (reason: string): [number, string, string] =>
      [400, 'PUSH_NOTIFICATIONS_DISALLOWED', `${OLD_PLAN} Reason provided by the server: ${reason}`];
    assertRefused(await sender.notifySealed(large, [phone.request()]), ...disallowed('Missing data'));
    const rows = [sender.auditRow(1, large, 11), sender.auditRow(2, small, 10)];
    assert.equal((await sender.reportRealms([large, small], { realmauditlog_rows: rows })).status, 200);
    assertRefused(
      await sender.notifySealed(large, [phone.request()]),
      ...disallowed('Push notifications access with 10+ users requires signing up for a plan. https://zulip.com/plans/'),
    );
    assertSuccess(await sender.notifySealed(small, [phone.request()]), sent(0, 0, [phone.tokenId]));
    assert.deepEqual(bouncer.fcm.to(phone.token), []);
  });
});

describe('the older dialect', () => {
  /** A server of 11.x: accounts instead of tokens' names. */
  const addOld = (phone: Phone, account: number, to = server, where = realm): Promise<Answer> =>
    to.addSealedDevice(where, phone, key(), { token_id: undefined, push_account_id: account });
  function requestOld(phone: Phone, device: number, account: number): any {
    const { token_id: _id, payload: { push_key_id: _key, ...payload }, ...request } = phone.request() as any;
    return { ...request, device_id: device, payload: { ...payload, push_account_id: account } };
  }
  async function addedOld(kind: 'apns' | 'fcm', account: number): Promise<{ phone: Phone; device: number }> {
    const phone = new Phone(kind);
    const answer = await addOld(phone, account);
    const device: number = answer.json.device_id;
    assertSuccess(answer, { device_id: device });
    assert.ok(Number.isInteger(device));
    return { phone, device };
  }
  const says = (answer: Answer, google: number, apple: number, gone: number[]): void => {
    const { android_successfully_sent_count, apple_successfully_sent_count, delete_device_ids, realm_push_status } = answer.json;
    assert.deepEqual(
      [answer.status, android_successfully_sent_count, apple_successfully_sent_count, delete_device_ids, realm_push_status],
      [200, google, apple, gone, CAN_PUSH], answer.text,
    );
  };

  test('is spoken with servers of 11.x', async () => {
    const [google, apple] = [await addedOld('fcm', 11), await addedOld('apns', 2 ** 32 - 1)];
    const requests = [requestOld(google.phone, google.device, 11), requestOld(apple.phone, apple.device, 2 ** 32 - 1)];
    says(await send(...requests), 1, 1, []);
    assert.deepEqual(bouncer.fcm.to(google.phone.token).map((message) => message.data), [
      { push_account_id: '11', encrypted_data: requests[0].payload.encrypted_data },
    ]);
    assert.deepEqual(bouncer.apns.to(apple.phone.token).map((got) => got.payload), [requests[1].payload]);
  });

  test('gives one device one number, in each organization its own', async () => {
    const { phone, device } = await addedOld('fcm', 21);
    const again = await addOld(phone, 21);
    assertSuccess(again, { device_id: device });
    const another = await addOld(phone, 22);
    assert.notEqual(another.json.device_id, device);
    const [first, second] = [newRealm(1), newRealm(2)];
    const other = await bouncer.ready([first, second]);
    const ids: number[] = [];
    for (const where of [first, second]) {
      const { device_id: id } = (await addOld(phone, 21, other, where)).json;
      ids.push(id);
      says(await other.notifySealed(where, [requestOld(phone, id, 21)]), 1, 0, []);
    }
    const [, last = 0] = ids;
    says(await other.notifySealed(first, [requestOld(phone, last, 21)]), 0, 0, [last]);
  });

  test('names the devices that are gone', async () => {
    const { phone, device } = await addedOld('fcm', 31);
    bouncer.fcm.queue(fcmError(404, 'UNREGISTERED'));
    for (let i = 0; i < 2; i += 1) says(await send(requestOld(phone, device, 31)), 0, 0, [device]);
    const missing = device + 1_000_000;
    says(await send(requestOld(phone, missing, 31)), 0, 0, [missing]);
    const { device_id: revived } = (await addOld(phone, 31)).json;
    says(await send(requestOld(phone, revived, 31)), 1, 0, []);
  });

  test('has the same rules', async () => {
    assertRefused(await addOld(new Phone('fcm'), 1, server, newRealm()), ...NO_REALM);
    const phone = new Phone('fcm');
    const account = await server.addSealedDevice(realm, phone, key(), { token_id: undefined, push_account_id: '"x"' });
    assertRefused(account, 400, 'BAD_REQUEST', 'push_account_id is not an integer');
    const old = phone.sealed(key(), { timestamp: Math.floor(Date.now() / 1000) - 90_000 });
    const expired = await server.addSealedDevice(realm, phone, key(), { token_id: undefined, push_account_id: 1, encrypted_push_registration: old });
    assertRefused(expired, 400, 'REQUEST_EXPIRED', 'Request expired');
  });
});
