// Who may call the bouncer and how: methods, credentials, parameters and limits. push-bouncer.md 1.2 to 1.5.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { assertRefused, assertRefusedSomehow, assertStranger, assertSuccess, BASE, Bouncer, fcmToken, withBouncer } from './support/push/bouncer.ts';
import { form, newKey } from './support/push/client.ts';
import type { Fields, RemoteServer } from './support/push/client.ts';
import { until } from './support/service.ts';
import type { Answer } from './support/service.ts';

const FORMS = ['push/register', 'push/unregister', 'push/unregister/all', 'push/e2ee/register', 'server/analytics'];
const JSONS = ['push/notify', 'push/test_notification', 'push/e2ee/notify'];
const AUTHENTICATED = ['server/deactivate', ...FORMS, ...JSONS];
const ANONYMOUS = ['server/register', 'server/register/transfer'];

const MISSING = 'Missing authorization header for basic auth';
const INVALID = 'Invalid authorization header for basic auth';
const basic = (text: string, scheme = 'Basic'): string => `${scheme} ${Buffer.from(text).toString('base64')}`;

let bouncer: Bouncer;
let server: RemoteServer;
before(async () => {
  bouncer = await Bouncer.start();
  server = await bouncer.server();
});
after(() => bouncer.finish());

function ask(path: string, headers: Record<string, string>, body: unknown = '', method = 'POST'): Promise<Answer> {
  return bouncer.service.ask(method, `${BASE}/${path}`, { headers: { 'Content-Type': 'application/x-www-form-urlencoded', ...headers }, body });
}
const as = (authorization: string): Promise<Answer> => ask('push/unregister/all', { Authorization: authorization }, form({ user_id: 1 }));

function assertNeverCached(answer: Answer): void {
  const said = String(answer.headers['cache-control']).split(',').map((word) => word.trim().toLowerCase()).sort();
  assert.deepEqual(said, ['max-age=0', 'must-revalidate', 'no-cache', 'no-store', 'private']);
  assert.ok(Date.parse(String(answer.headers.expires)) <= Date.now() + 1000, `expires ${answer.headers.expires}`);
}

describe('a method', () => {
  for (const path of [...AUTHENTICATED, ...ANONYMOUS]) {
    test(`other than POST is refused on ${path}, whoever asks`, async () => {
      for (const method of ['GET', 'PUT', 'PATCH', 'DELETE']) {
        const answer = await bouncer.service.ask(method, `${BASE}/${path}`);
        assert.equal(answer.status, 405);
        assert.deepEqual(answer.json, { result: 'error', msg: 'Method Not Allowed', allowed_methods: ['POST'] });
        assert.ok(answer.text.endsWith('}\n'));
        assert.ok(String(answer.headers.allow).split(/, */).includes('POST'));
      }
      const head = await bouncer.service.ask('HEAD', `${BASE}/${path}`);
      assert.deepEqual([head.status, head.text], [405, '']);
    });

    test(`is told by OPTIONS on ${path}`, async () => {
      const answer = await bouncer.service.ask('OPTIONS', `${BASE}/${path}`);
      assert.deepEqual([answer.status, answer.text], [204, '']);
      assert.ok(String(answer.headers.allow).split(/, */).includes('POST'), String(answer.headers.allow));
    });
  }

  test('HEAD is taken where GET is', async () => {
    for (const [path, headers] of [['push/e2ee/public_keys', {}], ['server/analytics/status', server.headers]] as const) {
      const url = `${BASE}/${path}`;
      const [head, get] = [await bouncer.service.ask('HEAD', url, { headers }), await bouncer.service.get(url, { headers })];
      assert.deepEqual([get.status, head.status, head.text], [200, 200, ''], `${path}: ${get.text}`);
      assert.ok(String((await bouncer.service.ask('OPTIONS', url)).headers.allow).includes('GET'));
    }
  });

  test('in the form replaces that of the request', async () => {
    const answer = await server.form('push/unregister/all', { user_id: 1, method: 'GET' });
    assert.deepEqual([answer.status, answer.json.msg], [405, 'Method Not Allowed'], answer.text);
  });
});

test('a path that does not exist is refused in the same words', async () => {
  for (const path of [`${BASE}/nothing`, `${BASE}/push`, `${BASE}/push/notify/now`, `${BASE}/server`, `${BASE}/`, `${BASE}/server/register/steal`]) {
    for (const method of ['GET', 'POST']) assertRefusedSomehow(await bouncer.service.ask(method, path, { headers: server.headers }), 404);
  }
});

describe('credentials', () => {
  for (const path of AUTHENTICATED) {
    test(`are needed for ${path}, before anything else is looked at`, async () => {
      assertStranger(await ask(path, {}), MISSING);
      assertStranger(await ask(path, { Authorization: 'Basic' }, '{"broken'), INVALID);
      assertStranger(await ask(path, { Authorization: basic(`${server.uuid}:${newKey()}`) }, '{"broken'), wrong(server.uuid));
      assertNeverCached(await ask(path, {}));
    });
  }
  const wrong = (uuid: string): string => `Zulip server auth failure: key does not match role ${uuid}`;
  const unknown = (name: string): string => `Zulip server auth failure: ${name} is not registered -- did you run \`manage.py register_server\`?`;

  test('must be a scheme and a value with one colon', async () => {
    for (const text of ['Basic', 'Basic !!!', basic('no colon'), basic('a:b:c'), basic(`${server.uuid}:${server.key}:`), 'Basic a b', 'garbage']) {
      assertStranger(await as(text), INVALID);
    }
    // What cannot be decoded is said before the scheme is looked at.
    assertStranger(await as('Bearer !!!'), INVALID);
    assertStranger(await as(basic('no colon', 'Bearer')), INVALID);
  });

  test('must be of the basic scheme, in any spelling', async () => {
    const answer = await as(basic(`${server.uuid}:${server.key}`, 'Bearer'));
    assertRefused(answer, 400, 'BAD_REQUEST', 'This endpoint requires HTTP basic authentication.');
    assert.equal(answer.headers['www-authenticate'], undefined);
    for (const scheme of ['basic', 'BASIC', 'bAsIc']) assertSuccess(await as(basic(`${server.uuid}:${server.key}`, scheme)));
  });

  test('must not be those of a person', async () => {
    const answer = await as(basic(`iago@zulip.test:${newKey()}`));
    assertRefused(answer, 400, 'BAD_REQUEST', 'Must validate with valid Zulip server API key');
    assert.equal(answer.headers['www-authenticate'], undefined);
  });

  test('must be of a registered server', async () => {
    for (const name of [randomUUID(), 'someone', '', '00000000-0000-0000-0000-000000000000', `${server.uuid}x`]) {
      assertStranger(await as(basic(`${name}:${server.key}`)), unknown(name));
    }
  });

  test('must have the right key', async () => {
    for (const key of [newKey(), '', server.key.slice(1), `${server.key}0`, server.key.toUpperCase()]) {
      assertStranger(await as(basic(`${server.uuid}:${key}`)), wrong(server.uuid));
    }
    assertSuccess(await as(basic(`${server.uuid}:${server.key}`)));
  });

  test('must not be deactivated, which only their owner is told', async () => {
    const gone = await bouncer.server();
    assertSuccess(await gone.deactivate());
    assertStranger(await as(basic(`${gone.uuid}:${newKey()}`)), wrong(gone.uuid));
    const said = 'The mobile push notification service registration for your server has been deactivated';
    for (const path of AUTHENTICATED) assertStranger(await ask(path, gone.headers), said);
  });
});

describe('an answer', () => {
  test('to who has authenticated is never cached, and says what is left', async () => {
    for (const answer of [await server.removeAllDevices({ user_id: 1 }), await server.removeAllDevices({}), await server.json('push/notify', 'no JSON')]) {
      assertNeverCached(answer);
      assert.equal(answer.headers['x-ratelimit-limit'], '10000');
      assert.match(String(answer.headers['x-ratelimit-remaining']), /^\d+$/);
      assert.match(String(answer.headers['x-ratelimit-reset']), /^\d+$/);
    }
  });

  test('to a form names the parameters that mean nothing; to JSON it does not', async () => {
    assertSuccess(await server.removeAllDevices({ user_id: 1, b: '1', a: '2' }), { ignored_parameters_unsupported: ['a', 'b', 'server_uuid'] });
    assertSuccess(await server.form('push/unregister/all', { user_id: 1 }));
    const refused = await server.form('push/register', { a: '1' });
    assert.equal(refused.json.ignored_parameters_unsupported, undefined);
    const test = await server.json('push/notify', { user_id: 1, mystery: 2 });
    assert.equal(test.json.ignored_parameters_unsupported, undefined);
    assert.notEqual(test.json.msg, 'Argument "mystery" at request is unexpected');
  });
});

describe('a parameter of a form', () => {
  const good = (): Fields => ({ user_id: '10', token: fcmToken(), token_kind: '2' });
  const refused = async (more: Fields, msg: string, code = 'BAD_REQUEST', members: object = {}): Promise<void> =>
    assertRefused(await server.form('push/register', { ...good(), ...more }), 400, code, msg, members);

  test('is found in the query too, the form first', async () => {
    const token = fcmToken();
    const mixed = await ask(`push/register?${form({ token_kind: '7', user_id: '1' })}`, server.headers, form({ token, token_kind: '2' }));
    assertSuccess(mixed);
  });

  test('that is needed is named', async () => {
    await refused({ token: undefined }, "Missing 'token' argument", 'REQUEST_VARIABLE_MISSING', { var_name: 'token' });
    await refused({ token_kind: undefined }, "Missing 'token_kind' argument", 'REQUEST_VARIABLE_MISSING', { var_name: 'token_kind' });
  });

  test('that is an integer is JSON and nothing else', async () => {
    await refused({ token_kind: 'two' }, 'token_kind is not valid JSON');
    await refused({ token_kind: '' }, 'token_kind is not valid JSON');
    for (const text of ['"2"', '2.5', 'true', '[2]', '{}']) await refused({ token_kind: text }, 'token_kind is not an integer');
    await refused({ user_id: 'ten' }, 'user_id is not valid JSON');
    await refused({ user_id: '"10"' }, 'user_id is not an integer');
  });

  test('that has a pattern is held to it', async () => {
    for (const app of ['org zulip', 'org/zulip', '', 'örg']) {
      await refused({ token: 'aa', token_kind: '1', ios_app_id: app }, 'ios_app_id has invalid format');
    }
  });

  test('that names a realm or a person is a UUID', async () => {
    for (const more of [{ user_uuid: 'nobody' }, { user_uuid: randomUUID(), realm_uuid: 'nowhere' }, { realm_uuid: randomUUID() }]) {
      assertRefusedSomehow(await server.form('push/register', { ...good(), ...more }), 400);
    }
  });

  test('is not taken from a body without end', async () => {
    assertRefusedSomehow(await server.form('push/register', { ...good(), filler: 'x'.repeat(100_000) }), 413);
  });
});

describe('a member of a JSON body', () => {
  const refused = async (path: string, body: unknown, msg: string): Promise<void> =>
    assertRefused(await server.json(path, body), 400, 'BAD_REQUEST', msg);
  const good = { token: 'aa', token_kind: 2, user_id: 1, user_uuid: randomUUID(), base_payload: { realm_name: 'R', realm_url: 'https://r.test' } };

  for (const path of JSONS) {
    test(`is JSON on ${path}`, async () => {
      await refused(path, '{"broken', 'Malformed JSON');
      await refused(path, '', 'Malformed JSON');
      await refused(path, Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x7d]), 'Malformed payload');
      await refused(path, '[]', 'request is not a dict');
      await refused(path, '7', 'request is not a dict');
    });
  }

  test('has its type', async () => {
    await refused('push/notify', { user_id: '7' }, 'request["user_id"] is not an integer');
    await refused('push/notify', { user_id: 1.5 }, 'request["user_id"] is not an integer');
    await refused('push/notify', { user_id: true }, 'request["user_id"] is not an integer');
    await refused('push/notify', { user_uuid: 7 }, 'request["user_uuid"] is not a string');
    await refused('push/notify', { user_id: 1, gcm_payload: [] }, 'request["gcm_payload"] is not a dict');
    await refused('push/notify', { user_id: 1, gcm_options: 'high' }, 'request["gcm_options"] is not a dict');
    await refused('push/notify', { user_id: 1, apple_devices: 'aa' }, 'request["apple_devices"] is not a list');
    await refused('push/notify', { user_id: 1, android_devices: ['a', 7] }, 'request["android_devices"][1] is not a string');
    await refused('push/test_notification', { ...good, token_kind: '2' }, 'request["token_kind"] is not an integer');
    await refused('push/test_notification', { ...good, base_payload: 'x' }, 'request["base_payload"] is not a dict');
    await refused('push/e2ee/notify', { realm_uuid: randomUUID(), push_requests: {} }, 'request["push_requests"] is not a list');
  });

  test('that is needed is named, that is unknown too where nothing else is wanted', async () => {
    for (const name of Object.keys(good)) {
      await refused('push/test_notification', { ...good, [name]: undefined }, `request["${name}"] field is missing: Field required`);
    }
    await refused('push/test_notification', { ...good, extra: 1 }, 'Argument "extra" at request is unexpected');
    await refused('push/e2ee/notify', { push_requests: [] }, 'request["realm_uuid"] field is missing: Field required');
    await refused('push/e2ee/notify', { realm_uuid: randomUUID() }, 'request["push_requests"] field is missing: Field required');
  });
});

describe('the limit of a server', () => {
  const once = (who: RemoteServer): Promise<Answer> => who.form('push/unregister/all', { user_id: 1 });

  test('is so many requests, and says so in every answer', () =>
    withBouncer({ PUSH_RATE_LIMIT: '5/60' }, async (own) => {
      const [one, other] = [await own.server(), await own.server()];
      const start = Date.now() / 1000;
      for (let left = 4; left >= 0; left -= 1) {
        // Who is not let in is not counted.
        const impostor = await own.service.ask('POST', `${BASE}/push/unregister/all`, { headers: { Authorization: basic(`${one.uuid}:${newKey()}`) } });
        assert.equal(impostor.status, 401);
        // Neither is what the owner of the registration does without the header.
        assert.equal((await one.register()).status, 200);
        const answer = left === 2 ? await one.form('push/register', {}) : await once(one);
        assert.equal(answer.status, left === 2 ? 400 : 200, answer.text);
        assert.deepEqual([answer.headers['x-ratelimit-limit'], answer.headers['x-ratelimit-remaining']], ['5', String(left)]);
        const reset = Number(answer.headers['x-ratelimit-reset']);
        assert.ok(reset >= Math.floor(start) && reset <= start + 65, `resets at ${reset}, it is ${start}`);
      }
      for (let i = 0; i < 3; i += 1) {
        const over = await once(one);
        assert.equal(over.status, 429);
        const wait = over.json['retry-after'];
        assert.ok(typeof wait === 'number' && wait > 50 && wait <= 60, over.text);
        assert.deepEqual(over.json, {
          result: 'error', code: 'RATE_LIMIT_HIT', 'retry-after': wait,
          msg: 'API usage exceeded rate limit; see https://zulip.com/api/http-headers#rate-limiting-response-headers',
        });
        assert.ok(over.text.endsWith('}\n'));
        assert.equal(Number(over.headers['retry-after']), wait);
        assert.deepEqual([over.headers['x-ratelimit-limit'], over.headers['x-ratelimit-remaining']], ['5', '0']);
        assertNeverCached(over);
      }
      assert.equal((await one.upload()).status, 429, 'one limit for all endpoints');
      assert.equal((await own.service.ask('POST', `${BASE}/push/notify`, { headers: { Authorization: basic(`${one.uuid}:x`) } })).status, 401);
      assert.equal((await once(other)).headers['x-ratelimit-remaining'], '4', 'each server has its own');
    }));

  test('looks back, and forgets what it refused', () =>
    withBouncer({ PUSH_RATE_LIMIT: '3/2' }, async (own) => {
      const one = await own.server();
      const start = Date.now();
      for (let i = 0; i < 3; i += 1) assert.equal((await once(one)).status, 200);
      let refusals = 0;
      await until('the first is two seconds ago', async () => {
        const answer = await once(one);
        if (answer.status === 429) refusals += 1;
        return answer.status === 200;
      }, 4000, 50);
      assert.ok(refusals > 10, `${refusals} refusals`);
      assert.ok(Date.now() - start >= 1950 && Date.now() - start < 3500, `${Date.now() - start} ms`);
    }));
});
