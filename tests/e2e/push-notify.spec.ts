// What reaches the phones of the legacy path, and what is answered. push-bouncer.md 1.10, 3.2, 3.4, 3.5, 5.1, 5.2 and 8.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { apnsError, Apns } from './support/push/apple.ts';
import {
  assertRefused, assertRefusedSomehow, assertSuccess, Bouncer, deviceCounts, fcmToken, hexToken, OLD_PLAN, untilForgotten, withBouncer,
} from './support/push/bouncer.ts';
import { newRealm } from './support/push/client.ts';
import type { Fields, Realm, RemoteServer } from './support/push/client.ts';
import type { Reply } from './support/push/fake.ts';
import { fcmError } from './support/push/google.ts';
import { pause, until } from './support/service.ts';
import type { Answer } from './support/service.ts';

let bouncer: Bouncer;
let server: RemoteServer;
let realm: Realm;
before(async () => {
  bouncer = await Bouncer.start();
  ({ server, realm } = await bouncer.readyRealm());
});
after(() => bouncer.finish());

const NONE = { android_devices: [], apple_devices: [] };
const newUser = (): Fields => ({ user_uuid: randomUUID() });

/** The members of the answer beside the envelope. */
function notified(google: number, apple: number, more: object = {}): object {
  return { total_android_devices: google, total_apple_devices: apple, deleted_devices: NONE, realm: null, ...more };
}

/** A user with so many devices of each kind. */
async function equipped(google: number, apple: number, of = server): Promise<{ user: Fields; google: string[]; apple: string[] }> {
  const user = newUser();
  const made = { user, google: Array.from({ length: google }, fcmToken), apple: Array.from({ length: apple }, hexToken) };
  for (const token of made.google) assert.equal((await of.addDevice('fcm', token, user)).status, 200);
  for (const token of made.apple) assert.equal((await of.addDevice('apns', token, user)).status, 200);
  return made;
}

describe('a message', () => {
  const gcm_payload = {
    event: 'message', zulip_message_id: 12345, time: 1_700_000_000, content: 'Grüße \u{1f44b}', content_truncated: 'x', sender_id: 10,
    sender_email: 'iago@zulip.test', sender_full_name: 'Iago', sender_avatar_url: '/avatar/10', recipient_type: 'stream', stream: 'general',
    stream_id: 3, topic: 'news', server: 'chat.zulip.test', realm_id: 1, realm_uri: 'https://chat.zulip.test', realm_url: 'https://chat.zulip.test',
    realm_name: 'Zulip', user_id: 9,
  };

  test('arrives on a phone with Google as text', async () => {
    const { user, google: [token = ''] } = await equipped(1, 0);
    assertSuccess(await server.notify(user, { gcm_payload, apns_payload: {}, gcm_options: { priority: 'high' } }), notified(1, 0));
    assert.deepEqual(bouncer.fcm.to(token), [{
      token,
      data: Object.fromEntries(Object.entries(gcm_payload).map(([name, value]) => [name, String(value)])),
      android: { priority: 'HIGH' },
    }]);
  });

  test('arrives on a phone with Apple with what is custom at the top', async () => {
    const { user, apple: [token = ''] } = await equipped(0, 1);
    const alert = { title: '#general > news', subtitle: 'Iago:', body: 'Grüße \u{1f44b}' };
    const zulip = { message_ids: [12345], sender_id: 10, server: 'chat.zulip.test', realm_id: 1, user_id: 9, time: 1_700_000_000, nested: { a: [1, null, true] } };
    const apns_payload = { alert, sound: 'default', badge: 0, custom: { zulip, other: 'x' } };
    const start = Math.floor(Date.now() / 1000);
    assertSuccess(await server.notify(user, { gcm_payload: {}, apns_payload }), notified(0, 1));
    const [sent] = bouncer.apns.to(token);
    assert.deepEqual(sent?.payload, { aps: { alert, sound: 'default', badge: 0 }, zulip, other: 'x' });
    assert.deepEqual([sent?.token, sent?.topic], [token, 'org.zulip.Zulip']);
    const { 'apns-topic': _topic, 'apns-id': _id, 'apns-expiration': expires, ...others } = sent?.headers ?? {};
    assert.deepEqual(others, {}, 'neither a priority nor a type');
    const life = Number(expires) - start;
    assert.ok(life >= 86_400 && life <= 86_410, `expires after ${life} s`);
  });

  test('goes to every device of the user, once each, and to nobody else', async () => {
    const [one, other] = [await equipped(3, 3), await equipped(1, 1)];
    assertSuccess(await server.notify(one.user), notified(3, 3));
    for (const token of one.google) assert.equal(bouncer.fcm.to(token).length, 1);
    for (const token of one.apple) assert.equal(bouncer.apns.to(token).length, 1);
    for (const token of other.google) assert.equal(bouncer.fcm.to(token).length, 0);
    for (const token of other.apple) assert.equal(bouncer.apns.to(token).length, 0);
  });

  test('for a user without devices asks nobody', async () => {
    const before = [bouncer.fcm.seen.length, bouncer.apns.seen.length];
    assertSuccess(await server.notify(newUser()), notified(0, 0));
    assert.deepEqual([bouncer.fcm.seen.length, bouncer.apns.seen.length], before);
  });

  test('has nothing but a user when everything else is left out', async () => {
    const { user } = await equipped(1, 0);
    assertSuccess(await server.json('push/notify', user), notified(1, 0));
    assertSuccess(await server.json('push/notify', { ...user, user_id: null, realm_uuid: null, unheard: { of: 1 } }), notified(1, 0));
    assertRefusedSomehow(await server.json('push/notify', {}), 400);
  });

  test('to many devices is sent side by side, but not to all at once', async () => {
    const { user, google, apple } = await equipped(45, 45);
    for (const fake of [bouncer.fcm, bouncer.apns]) Object.assign(fake, { atOnceMax: 0, delayMs: 50 });
    assertSuccess(await server.notify(user), notified(45, 45));
    for (const fake of [bouncer.fcm, bouncer.apns]) fake.delayMs = 0;
    assert.ok([...google.map((token) => bouncer.fcm.to(token)), ...apple.map((token) => bouncer.apns.to(token))].every((sent) => sent.length === 1));
    for (const fake of [bouncer.fcm, bouncer.apns]) assert.ok(fake.atOnceMax >= 2 && fake.atOnceMax <= 32, `${fake.atOnceMax} at once`);
  });

  test('of an organization is answered with whether it may push', async () => {
    const { user } = await equipped(1, 0);
    const status = { realm: { can_push: true, expected_end_timestamp: null } };
    assertSuccess(await server.notify(user, { realm_uuid: realm.uuid }), notified(1, 0, status));
    assertSuccess(await server.notify(user, { realm_uuid: randomUUID() }), notified(1, 0));
    assertRefusedSomehow(await server.notify(user, { realm_uuid: 'nowhere' }), 400);
  });

  test('is sent with one token of Google and one of Apple, many times', () =>
    withBouncer({}, async (own) => {
      const sender = await own.ready();
      const { user } = await equipped(2, 2, sender);
      await Promise.all(Array.from({ length: 10 }, () => sender.notify(user).then((answer) => assertSuccess(answer, notified(2, 2)))));
      assert.deepEqual([own.fcm.delivered.length, own.apns.delivered.length], [20, 20]);
      assert.equal(own.fcm.tokens.seen.length, 1, 'one OAuth token');
      assert.equal(own.apns.jwts.size, 1, 'one provider token');
      own.fcm.tokens.revokeAll();
      assertSuccess(await sender.notify(user), notified(2, 2));
      assert.deepEqual([own.fcm.delivered.length, own.fcm.tokens.seen.length], [22, 2], 'fetched again, once');
      assert.deepEqual(new Set(own.fcm.seen.map((seen) => seen.path)), new Set(['/v1/projects/my-project/messages:send']));
    }));
});

describe('the priority', () => {
  const cases: [string, Fields, Fields, string][] = [
    ['of a message is high', { event: 'message' }, {}, 'HIGH'],
    ['of a removal is normal', { event: 'remove' }, {}, 'NORMAL'],
    ['of anything else is normal', {}, {}, 'NORMAL'],
    ['is normal where that is said', { event: 'message' }, { priority: 'normal' }, 'NORMAL'],
    ['is high where that is said', { event: 'remove' }, { priority: 'high' }, 'HIGH'],
  ];
  for (const [what, gcm_payload, gcm_options, priority] of cases) {
    test(what, async () => {
      const { user, google: [token = ''] } = await equipped(1, 0);
      assertSuccess(await server.notify(user, { gcm_payload, gcm_options }), notified(1, 0));
      assert.deepEqual(bouncer.fcm.to(token), [{ token, data: gcm_payload, android: { priority } }]);
    });
  }

  test('is one of two, and the only option', async () => {
    const { user, google: [token = ''] } = await equipped(1, 0);
    const wrong = await server.notify(user, { gcm_options: { priority: 'urgent' } });
    assertRefused(wrong, 400, 'BAD_REQUEST', "Invalid GCM option to bouncer: priority 'urgent'");
    for (const gcm_options of [{ collapse: true }, { priority: 'high', collapse: true }]) {
      const other = await server.notify(user, { gcm_options });
      assert.deepEqual([other.status, other.json.code], [400, 'BAD_REQUEST'], other.text);
      const said = /^Invalid GCM options to bouncer: (.*)$/.exec(other.json.msg)?.[1] ?? 'null';
      assert.equal(JSON.parse(said)?.collapse, true, other.text);
    }
    assert.deepEqual(bouncer.fcm.to(token), []);
  });

  test('does not matter to who has no phone with Google', async () => {
    const { user } = await equipped(0, 1);
    assertSuccess(await server.notify(user, { gcm_options: { priority: 'urgent', collapse: true } }), notified(0, 1));
  });
});

describe('a removal', () => {
  const list = (from: number, count: number): number[] => Array.from({ length: count }, (_, i) => from + i);
  const both = (ids: string, event = 'remove'): Fields => ({
    gcm_payload: { event, zulip_message_ids: ids, server: 'x' }, apns_payload: { badge: 0, custom: { zulip: { event, zulip_message_ids: ids, server: 'x' } } }, gcm_options: {},
  });

  async function arrives(ids: string, event?: string): Promise<[string | undefined, string | undefined]> {
    const { user, google: [google = ''], apple: [apple = ''] } = await equipped(1, 1);
    assertSuccess(await server.notify(user, both(ids, event)), notified(1, 1));
    const payload = bouncer.apns.to(apple)[0]?.payload;
    assert.deepEqual(payload?.aps, { badge: 0 });
    return [bouncer.fcm.to(google)[0]?.data.zulip_message_ids, payload?.zulip.zulip_message_ids];
  }

  test('of many messages keeps the 200 newest, in order', async () => {
    const shuffled = [...list(900, 250)].reverse();
    const kept = list(950, 200).join(',');
    assert.deepEqual(await arrives(shuffled.join(',')), [kept, kept]);
  });

  test('counts as numbers do', async () => {
    // By text 9 is newer than 10 and 1000.
    const ids = [...list(1, 9), ...list(1000, 201)];
    const kept = list(1001, 200).join(',');
    assert.deepEqual(await arrives(ids.join(',')), [kept, kept]);
  });

  test('of 200 messages arrives whole', async () => {
    const all = list(5, 200).join(',');
    assert.deepEqual(await arrives(all), [all, all]);
    assert.deepEqual(await arrives('1,2'), ['1,2', '1,2']);
    assert.deepEqual(await arrives(''), ['', '']);
  });

  test('is the only event that is cut', async () => {
    const all = list(1000, 210).join(',');
    assert.deepEqual(await arrives(all, 'message'), [all, all]);
  });

  test('of what are no messages is refused', async () => {
    const { user, google: [token = ''] } = await equipped(1, 1);
    assertRefusedSomehow(await server.notify(user, both('1,two,3')), 400);
    assert.deepEqual(bouncer.fcm.to(token), []);
  });
});

describe('the list of deleted devices', () => {
  const deleted = async (user: Fields, android_devices: string[], apple_devices: string[]): Promise<unknown> => {
    const answer = await server.notify(user, { android_devices, apple_devices });
    assert.equal(answer.status, 200, answer.text);
    return answer.json.deleted_devices;
  };

  test('has what the server believes and the bouncer does not, in order', async () => {
    const { user, google: [google = ''], apple: [apple = ''] } = await equipped(1, 1);
    assert.deepEqual(await deleted(user, ['zz', google, 'aa'], ['ff', apple, '00']), { android_devices: ['aa', 'zz'], apple_devices: ['00', 'ff'] });
    assert.deepEqual(await deleted(user, [], []), NONE);
  });

  test('knows devices of Apple in any spelling, and those of Google in one', async () => {
    const { user, google: [google = ''], apple: [apple = ''] } = await equipped(1, 1);
    const other = google.toUpperCase();
    assert.deepEqual(await deleted(user, [google, other], [apple.toUpperCase()]), { android_devices: [other], apple_devices: [] });
    assert.deepEqual(await deleted(user, [], ['AbCd']), { android_devices: [], apple_devices: ['AbCd'] });
  });

  test('has all spellings of one device of Apple but the first', async () => {
    const { user, apple: [apple = ''] } = await equipped(0, 1);
    const loud = apple.toUpperCase();
    assert.deepEqual(await deleted(user, [], [loud, apple]), { android_devices: [], apple_devices: [apple] });
    assert.deepEqual(await deleted(user, [], [apple, loud]), { android_devices: [], apple_devices: [loud] });
  });

  test('has no repeats', async () => {
    const { user, google: [google = ''], apple: [apple = ''] } = await equipped(1, 1);
    assert.deepEqual(await deleted(user, ['b', 'a', 'b', google, google], ['bb', 'bb', apple, apple]), { android_devices: ['a', 'b'], apple_devices: ['bb'] });
  });

  test('has devices of other users and servers', async () => {
    const [one, other] = [await equipped(1, 1), await equipped(1, 1)];
    assert.deepEqual(await deleted(one.user, other.google, other.apple), { android_devices: other.google, apple_devices: other.apple });
    assert.deepEqual(await deleted(other.user, other.google, other.apple), NONE);
  });
});

describe('a device that is dead', () => {
  const deaths: [string, 'fcm' | 'apns', Reply][] = [
    ['that Google has given up', 'fcm', fcmError(404, 'UNREGISTERED')],
    ['that Apple does not know', 'apns', apnsError(400, 'BadDeviceToken')],
    ['of another app', 'apns', apnsError(400, 'DeviceTokenNotForTopic')],
    ['that has removed the app', 'apns', Apns.unregistered(Date.now() + 3_600_000)],
    ['that has removed the app, nobody knows when', 'apns', apnsError(410, 'Unregistered')],
    ['whose token has ended', 'apns', apnsError(410, 'ExpiredToken', { timestamp: Date.now() + 3_600_000 })],
  ];
  for (const [what, kind, reply] of deaths) {
    test(`${what} is told of at once, and forgotten on every server`, async () => {
      const other = await bouncer.ready();
      const apple = kind === 'apns';
      const made = await equipped(apple ? 1 : 2, apple ? 2 : 1);
      const [dead = '', alive = ''] = apple ? made.apple : made.google;
      const elsewhere = { user_id: 77 };
      assert.equal((await other.addDevice(kind, apple ? dead.toUpperCase() : dead, elsewhere)).status, 200);
      const fake = apple ? bouncer.apns : bouncer.fcm;
      const says = (seen: { path: string; body: Buffer }): boolean => (apple ? seen.path.toLowerCase().endsWith(dead) : seen.body.includes(dead));
      fake.always((seen) => (says(seen) ? reply : undefined));
      try {
        const answer = await server.notify(made.user, { android_devices: made.google, apple_devices: made.apple });
        const gone = apple ? { ...NONE, apple_devices: [dead] } : { ...NONE, android_devices: [dead] };
        assertSuccess(answer, notified(apple ? 1 : 2, apple ? 2 : 1, { deleted_devices: gone }));
        assertSuccess(await server.notify(made.user), notified(1, 1));
        const before = fake.seen.filter(says).length;
        assert.equal(before, 1, 'it is not tried again');
        await until('the other server forgets it', async () => {
          const counted = await deviceCounts(other, elsewhere);
          return counted[0] + counted[1] === 0;
        }, 10_000, 100);
        assert.equal((apple ? bouncer.apns.to(alive) : bouncer.fcm.to(alive)).length, 2);
      } finally {
        fake.calm();
      }
    });
  }

  test('stays forgotten over kill -9, and may come back', async () => {
    const { user, google: [token = ''] } = await equipped(1, 0);
    bouncer.fcm.dead.add(token);
    assertSuccess(await server.notify(user, { android_devices: [token] }), notified(1, 0, { deleted_devices: { ...NONE, android_devices: [token] } }));
    await bouncer.service.crashAndRestart();
    await untilForgotten(server, user);
    bouncer.fcm.dead.delete(token);
    assert.equal((await server.addDevice('fcm', token, user)).status, 200);
    assertSuccess(await server.notify(user, { android_devices: [token] }), notified(1, 0));
    assert.equal(bouncer.fcm.to(token).length, 1);
  });

  test('is kept where it was registered after its death', async () => {
    const other = await bouncer.ready();
    const { user, apple: [token = ''] } = await equipped(0, 1);
    // Longer than a second, in case times are kept in seconds.
    await pause(1100);
    bouncer.apns.queue(Apns.unregistered(Date.now()));
    await pause(1100);
    assert.equal((await other.addDevice('apns', token, user)).status, 200);
    assertSuccess(await server.notify(user, { apple_devices: [token] }), notified(0, 1, { deleted_devices: { ...NONE, apple_devices: [token] } }));
    await untilForgotten(server, user);
    for (let i = 0; i < 5; i += 1) {
      assertSuccess(await other.notify(user), notified(0, 1));
      await pause(100);
    }
  });

  test('is forgotten at once even when the server has restarted in between', async () => {
    const other = await bouncer.ready();
    const { user, apple: [token = ''] } = await equipped(0, 1);
    assert.equal((await other.addDevice('apns', token, user)).status, 200);
    bouncer.apns.dead.set(token, Apns.unregistered(Date.now() + 3_600_000));
    assert.equal((await server.notify(user)).status, 200);
    await bouncer.service.crashAndRestart();
    await untilForgotten(other, user);
  });
});

describe('a device is kept', () => {
  const google: [string, Reply][] = [
    ['when Google finds the message invalid', fcmError(400, 'INVALID_ARGUMENT')],
    ['when it is of another project', fcmError(403, 'SENDER_ID_MISMATCH')],
    ['when Google finds nothing there', { status: 404, body: { error: { code: 404, status: 'NOT_FOUND' } } }],
    ['when Google finds a page instead', { status: 404, body: '<html>' }],
    ['when Google may not ask Apple', fcmError(401, 'THIRD_PARTY_AUTH_ERROR')],
    ['when Google has had enough', fcmError(429, 'QUOTA_EXCEEDED', { 'retry-after': '1' })],
    ['when Google has trouble', fcmError(500, 'INTERNAL')],
    ['when Google is away', fcmError(503, 'UNAVAILABLE')],
    ['when Google says what nobody knows', { status: 418, body: 'teapot' }],
    ['when Google sends us elsewhere', { status: 302, headers: { location: 'https://elsewhere.invalid/' } }],
    ['when Google hangs up', 'hang_up'],
  ];
  const apple: [string, Reply][] = [
    ['when Apple does not let us push to the app', apnsError(400, 'TopicDisallowed')],
    ['when Apple misses the app', apnsError(400, 'MissingTopic')],
    ['when Apple dislikes the app', apnsError(400, 'BadTopic')],
    ['when Apple finds the message too large', apnsError(413, 'PayloadTooLarge')],
    ['when Apple finds no message', apnsError(400, 'PayloadEmpty')],
    ['when Apple dislikes the priority', apnsError(400, 'BadPriority')],
    ['when Apple dislikes the type', apnsError(400, 'InvalidPushType')],
    ['when Apple does not know us', apnsError(403, 'InvalidProviderToken')],
    ['when our key is of the other environment', apnsError(403, 'BadEnvironmentKeyIdInToken')],
    ['when Apple has had enough', apnsError(429, 'TooManyRequests', {})],
    ['when Apple sees too many keys', apnsError(429, 'TooManyProviderTokenUpdates')],
    ['when Apple has trouble', apnsError(500, 'InternalServerError')],
    ['when Apple is away', apnsError(503, 'ServiceUnavailable')],
    ['when Apple goes', apnsError(503, 'Shutdown')],
    ['when Apple talks nonsense', { status: 400, body: 'no JSON' }],
    ['when Apple gives a reason of its own', apnsError(410, 'SomethingNew')],
    ['when Apple hangs up', 'hang_up'],
    ['when it was gone before it was registered', Apns.unregistered(Date.now() - 86_400_000)],
  ];
  for (const [kind, rows] of [['fcm', google], ['apns', apple]] as const) {
    for (const [what, reply] of rows) {
      test(what, async () => {
        const sender = await bouncer.ready();
        const other = await bouncer.ready();
        const made = await equipped(kind === 'fcm' ? 1 : 0, kind === 'apns' ? 1 : 0, sender);
        const [token = ''] = [...made.google, ...made.apple];
        assert.equal((await other.addDevice(kind, token, made.user)).status, 200);
        const fake = kind === 'fcm' ? bouncer.fcm : bouncer.apns;
        const expected = notified(made.google.length, made.apple.length);
        fake.always(reply);
        try {
          const answer = await sender.notify(made.user, { android_devices: made.google, apple_devices: made.apple });
          assertSuccess(answer, expected);
          assert.ok(fake.seen.length > 0);
        } finally {
          fake.calm();
        }
        assertSuccess(await sender.notify(made.user, { android_devices: made.google, apple_devices: made.apple }), expected);
        assertSuccess(await other.notify(made.user, { android_devices: made.google, apple_devices: made.apple }), expected);
      });
    }
  }
});

describe('credentials that have ended', () => {
  test('are renewed for Google, once, and the message arrives', () =>
    withBouncer({}, async (own) => {
      const sender = await own.ready();
      const { user, google: [token = ''] } = await equipped(1, 0, sender);
      assertSuccess(await sender.notify(user), notified(1, 0));
      own.fcm.tokens.revokeAll();
      assertSuccess(await sender.notify(user), notified(1, 0));
      assert.deepEqual([own.fcm.to(token).length, own.fcm.seen.length, own.fcm.tokens.seen.length], [2, 3, 2]);
      // Refused for good: asked once more, and not for ever.
      own.fcm.always(fcmError(401, 'UNAUTHENTICATED'));
      assertSuccess(await sender.notify(user), notified(1, 0));
      assert.ok(own.fcm.seen.length <= 5, `${own.fcm.seen.length} attempts`);
      own.fcm.calm();
    }));

  // Apple forbids a new token within twenty minutes, so how fast one is made of an old one is for tests with another clock.
  test('of Apple, before their time, lose no message', () =>
    withBouncer({}, async (own) => {
      const sender = await own.ready();
      const { user, apple: [token = ''] } = await equipped(0, 1, sender);
      assertSuccess(await sender.notify(user), notified(0, 1));
      await pause(1100);
      for (const jwt of own.apns.jwts) own.apns.expired.add(jwt);
      assertSuccess(await sender.notify(user), notified(0, 1));
      await until('it arrives', () => own.apns.to(token).length === 2, 120_000, 100);
      assert.equal(own.apns.jwts.size, 2);
    }));
});

describe('a provider that is not configured', () => {
  test('is not sent to, and its devices are kept', () =>
    withBouncer({ FCM_SERVICE_ACCOUNT: '', APNS_KEY_P8: '', APNS_KEY_ID: '', APNS_TEAM_ID: '' }, async (own) => {
      const sender = await own.ready();
      const { user, google, apple } = await equipped(1, 1, sender);
      const answer = await sender.notify(user, { android_devices: google, apple_devices: apple, gcm_options: { priority: 'urgent' } });
      assertSuccess(answer, notified(1, 1));
      assert.deepEqual([own.fcm.seen.length, own.fcm.tokens.seen.length, own.apns.seen.length], [0, 0, 0]);
    }));

  test('does not hinder the other', () =>
    withBouncer({ APNS_KEY_P8: '', APNS_KEY_ID: '', APNS_TEAM_ID: '' }, async (own) => {
      const sender = await own.ready();
      const { user, google: [token = ''] } = await equipped(1, 1, sender);
      assertSuccess(await sender.notify(user), notified(1, 1));
      assert.deepEqual([own.fcm.to(token).length, own.apns.seen.length], [1, 0]);
    }));
});

describe('permission', () => {
  const disallowed = (reason: string): [number, string, string] =>
    [400, 'PUSH_NOTIFICATIONS_DISALLOWED', `${OLD_PLAN} Reason provided by the server: ${reason}`];
  const TOO_MANY = 'Push notifications access with 10+ users requires signing up for a plan. https://zulip.com/plans/';

  async function refuses(sender: RemoteServer, more: Fields, refusal: [number, string, string]): Promise<void> {
    const { user, google: [token = ''] } = await equipped(1, 1, sender);
    assertRefused(await sender.notify(user, more), ...refusal);
    assert.deepEqual(bouncer.fcm.to(token), []);
  }

  test('is not given to who has never reported', async () => {
    await refuses(await bouncer.server(), {}, [400, 'INVALID_ZULIP_SERVER', OLD_PLAN]);
  });

  test('is not given to who has not reported its users', async () => {
    const sender = await bouncer.server();
    assert.equal((await sender.upload({ realmauditlog_rows: undefined })).status, 200);
    await refuses(sender, {}, disallowed('Missing data'));
  });

  test('ends when the report is too old', () =>
    withBouncer({ PUSH_SERVER_DATA_MAX_AGE_MS: '1500' }, async (own) => {
      const sender = await own.ready();
      const user = newUser();
      assertSuccess(await sender.notify(user), notified(0, 0));
      const stale = await until<Answer>('the report is stale', async () => {
        const answer = await sender.notify(user);
        return answer.status === 200 ? (undefined as never) : answer;
      }, 6000, 100);
      assertRefused(stale, ...disallowed('Missing data'));
      assert.equal((await sender.upload()).status, 200);
      assertSuccess(await sender.notify(user), notified(0, 0));
    }));

  test('is given to organizations of up to ten users, each by itself', async () => {
    const [small, large] = [newRealm(1), newRealm(2)];
    const sender = await bouncer.server();
    const rows = [sender.auditRow(1, small, 10), sender.auditRow(2, large, 11)];
    assert.equal((await sender.reportRealms([small, large], { realmauditlog_rows: rows })).status, 200);
    const { user } = await equipped(1, 0, sender);
    const status = { realm: { can_push: true, expected_end_timestamp: null } };
    assertSuccess(await sender.notify(user, { realm_uuid: small.uuid }), notified(1, 0, status));
    await refuses(sender, { realm_uuid: large.uuid }, disallowed(TOO_MANY));
    // Without an organization, all users of the server count.
    await refuses(sender, {}, disallowed(TOO_MANY));
    assert.equal((await sender.reportRealms([small, large], { realmauditlog_rows: [sender.auditRow(3, large, 10)] })).status, 200);
    assertSuccess(await sender.notify(user, { realm_uuid: large.uuid }), notified(1, 0, status));
    await refuses(sender, {}, disallowed(TOO_MANY));
  });
});
