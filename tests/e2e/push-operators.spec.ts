// Operators: who may do what, what they see of servers, organizations and devices, and what they can do to them.
// push-bouncer.md 2.1 to 2.7 and 9.

import assert from 'node:assert/strict';
import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { assertStranger, assertSuccess, Bouncer, deviceCounts, fcmToken, FOREIGN_REALM, hexToken, keep, report, withBouncer } from './support/push/bouncer.ts';
import { newKey, newRealm, Phone, RemoteServer } from './support/push/client.ts';
import type { Realm } from './support/push/client.ts';
import { firstOperator, ofType, Operator, PAYMENT_KEY, ROLES, routes, SECRET, seconds } from './support/push/operator.ts';
import type { Role } from './support/push/operator.ts';
import { assertProblem, ROOT, until } from './support/service.ts';
import type { Answer } from './support/service.ts';

let bouncer: Bouncer;
let first: Operator;
before(async () => {
  bouncer = await Bouncer.start({ ADMIN_SECRET: SECRET, PUSH_BILLING_KEY: PAYMENT_KEY });
  keep(SECRET);
  keep(PAYMENT_KEY);
  first = firstOperator(bouncer);
});
after(() => bouncer.finish());

const at = (server: { uuid: string }): string => `servers/${server.uuid}`;
const on = (realm: { uuid: string }): string => `realms/${realm.uuid}`;
/** The list follows the servers at a small distance. */
const listed = (query: string, count = 1): Promise<any[]> =>
  until(`${count} servers are found by ${query}`, async () => {
    const { servers } = await first.read(`servers?query=${encodeURIComponent(query)}`);
    return servers.length === count && servers;
  }, 20_000, 100);
const only = async (query: string): Promise<any> => (await listed(query))[0];

/** Who may call what: the least role, or `payment` for what is signed instead. */
const MATRIX: Record<string, Role | 'payment'> = {
  'GET /v1/push/metrics': 'viewer',
  'GET /v1/push/operators': 'owner',
  'POST /v1/push/operators': 'owner',
  'DELETE /v1/push/operators/{id}': 'owner',
  'GET /v1/push/realms/{uuid}': 'viewer',
  'GET /v1/push/realms/{uuid}/audit': 'viewer',
  'GET /v1/push/realms/{uuid}/counts': 'viewer',
  'GET /v1/push/realms/{uuid}/invoices': 'viewer',
  'POST /v1/push/realms/{uuid}/deactivate': 'admin',
  'POST /v1/push/realms/{uuid}/move': 'admin',
  'PUT /v1/push/realms/{uuid}/plan': 'admin',
  'POST /v1/push/realms/{uuid}/reactivate': 'admin',
  'GET /v1/push/servers': 'viewer',
  'GET /v1/push/servers/{uuid}': 'viewer',
  'DELETE /v1/push/servers/{uuid}': 'owner',
  'GET /v1/push/servers/{uuid}/audit': 'viewer',
  'POST /v1/push/servers/{uuid}/billing-events': 'payment',
  'GET /v1/push/servers/{uuid}/billing-users': 'viewer',
  'DELETE /v1/push/servers/{uuid}/billing-users/{id}': 'admin',
  'GET /v1/push/servers/{uuid}/counts': 'viewer',
  'POST /v1/push/servers/{uuid}/deactivate': 'admin',
  'POST /v1/push/servers/{uuid}/deactivation-link': 'admin',
  'GET /v1/push/servers/{uuid}/export': 'admin',
  'GET /v1/push/servers/{uuid}/invoices': 'viewer',
  'PUT /v1/push/servers/{uuid}/plan': 'admin',
  'POST /v1/push/servers/{uuid}/reactivate': 'admin',
  'GET /v1/push/servers/{uuid}/realms': 'viewer',
  'POST /v1/push/servers/{uuid}/rotate': 'admin',
  'GET /v1/push/servers/{uuid}/tokens': 'viewer',
};
/** A body with which the operation would be done. */
const BODIES: Record<string, object> = {
  'POST /v1/push/operators': { name: 'an intruder', role: 'owner' },
  'PUT /v1/push/realms/{uuid}/plan': { plan_type: 105 },
  'PUT /v1/push/servers/{uuid}/plan': { plan_type: 105 },
  'POST /v1/push/servers/{uuid}/deactivate': { reason: 'no reason' },
  'POST /v1/push/servers/{uuid}/billing-events': { event: 'a gift', change: { plan_type: 105 } },
};

describe('a door', () => {
  let server: RemoteServer;
  let other: RemoteServer;
  let realm: Realm;
  let target: { operator: Operator; id: string };
  const staff: Partial<Record<Role, Operator>> = {};
  let strangers: Record<string, Record<string, string>>;

  before(async () => {
    ({ server, realm } = await bouncer.readyRealm());
    other = await bouncer.server();
    target = await first.hire('viewer');
    for (const role of ROLES) staff[role] = (await first.hire(role)).operator;
    const gone = await first.hire('owner');
    await first.act('DELETE', `operators/${gone.id}`);
    const late = (await first.hire('owner', { expires_in: 1 })).operator;
    await until('the token has ended', async () => (await late.get('metrics')).status === 401);
    const [prefix = '', id = ''] = late.token.split('_');
    strangers = {
      nobody: {},
      'rubbish': { Authorization: 'Bearer rubbish' },
      'an empty bearer': { Authorization: 'Bearer ' },
      'half a secret': { Authorization: `Bearer ${SECRET.slice(0, -1)}` },
      'a longer secret': { Authorization: `Bearer ${SECRET}x` },
      'the secret as a password': { Authorization: `Basic ${Buffer.from(`admin:${SECRET}`).toString('base64')}` },
      'the secret without a scheme': { Authorization: SECRET },
      'a living token with another end': { Authorization: `Bearer ${target.operator.token.slice(0, -2)}zz` },
      'an id without its secret': { Authorization: `Bearer ${prefix}_${id}_` },
      'a revoked token': gone.operator.headers,
      'an expired token': late.headers,
      "the server's own credentials": server.headers,
      "the server's key as a token": { Authorization: `Bearer ${server.key}` },
    };
  });

  const filled = (path: string, uuid = path.includes('/realms/{') ? realm.uuid : server.uuid): string =>
    `${path.replace('{uuid}', uuid).replace('{id}', target.id)}${path.endsWith('/counts') ? '?property=messages_read::hour' : ''}`;
  const call = (method: string, path: string, headers: Record<string, string>, body?: unknown): Promise<Answer> =>
    bouncer.service.ask(method, path, { headers, ...(body === undefined ? {} : { body }) });
  const body = (name: string): object | undefined =>
    name.endsWith('/move') ? { server: other.uuid, uuid_owner_secret: realm.uuid_owner_secret } : BODIES[name];
  const everything = async (): Promise<unknown> => [
    await first.read(at(server)), await first.read(on(realm)), await first.audit(at(server)), await first.audit(on(realm)), await first.all('operators', 'tokens'),
  ];

  test('is known: every route that is described has a row here, and every row a route', () => {
    assert.deepEqual(routes().map(({ method, path }) => `${method} ${path}`).sort(), Object.keys(MATRIX).sort());
  });

  for (const { method, path } of routes()) {
    const name = `${method} ${path}`;
    const least = MATRIX[name];

    test(`is closed to strangers: ${name}`, async () => {
      const before = await everything();
      for (const [who, headers] of Object.entries(strangers)) {
        const answer = await call(method, filled(path), headers, body(name));
        assert.equal(answer.status, 401, `${who}: ${answer.text}`);
        assertProblem(answer, 401);
        if (least !== 'payment') assert.match(String(answer.headers['www-authenticate']), /^Bearer\b/, who);
        assert.equal(answer.headers['cache-control'], 'no-store');
        // Nobody learns what exists.
        const elsewhere = await call(method, filled(path, randomUUID()), headers, body(name));
        assert.deepEqual([elsewhere.status, elsewhere.json.detail], [401, answer.json.detail], who);
      }
      assert.deepEqual(await everything(), before, 'and nothing was done');
    });

    test(`opens for those whom it is for: ${name}`, async () => {
      if (least === 'payment') {
        for (const operator of [first, ...Object.values(staff)]) assertProblem(await call(method, filled(path), operator.headers, body(name)), 401);
        return;
      }
      const before = await everything();
      const isRead = method === 'GET';
      for (const role of ROLES) {
        const { headers } = staff[role] as Operator;
        const mayCall = ROLES.indexOf(role) <= ROLES.indexOf(least ?? 'owner');
        if (!mayCall) {
          assertProblem(await call(method, filled(path), headers, body(name)), 403);
          assertProblem(await call(method, filled(path, randomUUID()), headers, body(name)), 403);
        } else if (isRead) {
          assert.equal((await call(method, filled(path), headers)).status, 200, role);
          const head = await call('HEAD', filled(path), headers);
          assert.deepEqual([head.status, head.text], [200, ''], role);
        }
      }
      assert.deepEqual(await everything(), before, 'and nothing was done');
      // What changes something is tried where there is nothing to change.
      const reaching = [first, ...ROLES.filter((role) => ROLES.indexOf(role) <= ROLES.indexOf(least ?? 'owner')).map((role) => staff[role] as Operator)];
      for (const operator of reaching) {
        const nowhere = path.replace('{uuid}', randomUUID()).replace('{id}', 'nobody');
        if (nowhere === path) continue;
        assertProblem(await call(method, `${nowhere}${path.endsWith('/counts') ? '?property=messages_read::hour' : ''}`, operator.headers, body(name)), 404);
      }
    });
  }

  test('is not there for other methods', async () => {
    for (const path of new Set(routes().map((route) => route.path))) {
      const known = routes().filter((route) => route.path === path).map((route) => route.method);
      for (const method of ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'].filter((word) => !known.includes(word))) {
        const answer = await call(method, filled(path), first.headers, method === 'GET' ? undefined : {});
        assertProblem(answer, 405);
        const allowed = String(answer.headers.allow).split(/, */);
        for (const word of known) assert.ok(allowed.includes(word), `${path}: ${answer.headers.allow}`);
      }
    }
    for (const path of ['', '/', '/nothing', '/servers/', `/servers/${server.uuid}/keys`]) {
      assertProblem(await call('GET', `/v1/push${path}`, first.headers), 404);
    }
  });

  test('stays shut while there is no ADMIN_SECRET', () =>
    withBouncer({}, async (own) => {
      for (const { method, path } of routes()) {
        for (const headers of [{}, { Authorization: 'Bearer ' }, { Authorization: 'Bearer undefined' }, first.headers]) {
          assertProblem(await own.service.ask(method, path.replace('{uuid}', randomUUID()).replace('{id}', 'x'), { headers }), 503);
        }
      }
    }));

  test('shuts for tokens from before, too, when ADMIN_SECRET is taken away', () =>
    withBouncer({ ADMIN_SECRET: SECRET }, async (own) => {
      const old = (await firstOperator(own).hire('owner')).operator;
      await own.service.crash();
      delete own.service.settings.ADMIN_SECRET;
      await own.service.boot();
      for (const path of ['metrics', 'servers', 'operators']) assertProblem(await old.get(path), 503);
    }));
});

describe('a token of an operator', () => {
  test('is shown once, and stands in the list without its secret', async () => {
    const made = await first.act('POST', 'operators', { name: 'Vera', role: 'viewer' });
    const { token, ...shown } = made;
    keep(token);
    assert.ok(token.length >= 40, 'long enough not to be guessed');
    assert.deepEqual([shown.name, shown.role, shown.revoked_at], ['Vera', 'viewer', null]);
    assert.ok(Math.abs(shown.created_at - seconds()) <= 2);
    assert.ok(Math.abs(shown.expires_at - shown.created_at - 90 * 86_400) < 2, 'for 90 days unless said otherwise');
    const tokens = await first.all('operators', 'tokens', 1);
    assert.deepEqual(tokens.filter((row) => row.id === shown.id), [shown]);
    const text = JSON.stringify(tokens);
    for (const secret of [token, token.split('_').at(-1), SECRET, createHash('sha256').update(token).digest('hex')]) assert.ok(!text.includes(secret));
    assert.equal(new Set(tokens.map((row) => row.id)).size, tokens.length, 'each once');
  });

  test('ends when it is revoked, at once, and stays in the list', async () => {
    const { operator, id } = await first.hire('admin');
    await operator.read('metrics');
    await first.act('DELETE', `operators/${id}`);
    assertProblem(await operator.get('metrics'), 401);
    const row = (await first.all('operators', 'tokens')).find((token) => token.id === id);
    assert.ok(Math.abs(row.revoked_at - seconds()) <= 2);
    await first.ask('DELETE', `operators/${id}`);
    assert.deepEqual((await first.all('operators', 'tokens')).find((token) => token.id === id), row, 'the first end counts');
    assertProblem(await first.ask('DELETE', 'operators/nobody'), 404);
  });

  test('ends when its time is over', async () => {
    const { operator } = await first.hire('viewer', { expires_in: 2 });
    await operator.read('metrics');
    await until('it has ended', async () => (await operator.get('metrics')).status === 401);
  });

  test('can be made by an owner, who can end the own one', async () => {
    const { operator: owner, id } = await first.hire('owner');
    const { operator: child } = await owner.hire('owner');
    await owner.act('DELETE', `operators/${id}`);
    assertProblem(await owner.get('operators'), 401);
    await child.read('operators');
  });

  test('has a name, a role and an end that make sense', async () => {
    const count = (await first.all('operators', 'tokens')).length;
    for (const wish of [
      {}, { name: 'a' }, { role: 'viewer' }, { name: '', role: 'viewer' }, { name: 'x'.repeat(65), role: 'viewer' }, { name: 7, role: 'viewer' },
      { name: 'a', role: 'king' }, { name: 'a', role: 'Viewer' }, { name: 'a', role: '' }, { name: 'a', role: null }, { name: 'a', role: ['owner'] },
      { name: 'a', role: 'viewer', expires_in: -1 }, { name: 'a', role: 'viewer', expires_in: 0 }, { name: 'a', role: 'viewer', expires_in: 1.5 },
      { name: 'a', role: 'viewer', expires_in: '60' }, { name: 'a', role: 'viewer', expires_in: 1e15 }, { name: 'a', role: 'viewer', id: 'mine' },
      { name: 'a', role: 'viewer', token: 'mine' }, [], 'text', '{"name":"a","role":"viewer","role":"owner"}',
    ]) {
      assertProblem(await first.ask('POST', 'operators', wish), 400);
    }
    assert.equal((await first.all('operators', 'tokens')).length, count);
  });

  test('has a name that is one line of text', async () => {
    for (const name of ['two\nlines', 'a\u0000b', '\u001b[31mred', '   ', '\u202eback']) {
      assertProblem(await first.ask('POST', 'operators', { name, role: 'viewer' }), 400);
    }
  });

  test('names who did what in the audit', async () => {
    const server = await bouncer.server();
    const { operator } = await first.hire('admin');
    await operator.act('POST', `${at(server)}/deactivate`);
    await first.act('POST', `${at(server)}/reactivate`);
    const [one, two] = ofType(await first.audit(at(server)), 10201, 10202);
    assert.notEqual(one.actor, two.actor);
    assert.ok(!JSON.stringify([one, two]).includes(operator.token));
  });
});

describe('the list of servers', () => {
  const mark = `${randomBytes(4).toString('hex')}`;
  const count = 205;
  const uuids: string[] = [];
  before(async () => {
    for (let i = 0; i < count; i += 15) {
      const some = await Promise.all(Array.from({ length: Math.min(15, count - i) }, (_, more) => more).map((more) => bouncer.server(`n${i + more}.${mark}.zulip.test`)));
      uuids.push(...some.map((server) => server.uuid));
    }
    await until('all are listed', async () => (await first.all(`servers?query=${mark}`, 'servers')).length === count, 20_000, 200);
  });

  test('comes page by page, each server once, for any size of page', async () => {
    for (const limit of [1, 7, 100, 200]) {
      const found = await first.all(`servers?query=${mark}`, 'servers', limit);
      assert.deepEqual(found.map((row) => row.uuid).sort(), [...uuids].sort(), `limit ${limit}`);
    }
    const order = (rows: any[]): string[] => rows.map((row) => row.uuid);
    assert.deepEqual(order(await first.all(`servers?query=${mark}`, 'servers', 7)), order(await first.all(`servers?query=${mark}`, 'servers', 200)));
    const everything = await first.all('servers', 'servers', 50);
    assert.equal(new Set(order(everything)).size, everything.length);
    assert.ok(uuids.every((uuid) => order(everything).includes(uuid)));
  });

  test('has at most 200 on a page', async () => {
    assert.equal((await first.read(`servers?query=${mark}&limit=200`)).servers.length, 200);
    const more = await first.get(`servers?query=${mark}&limit=201`);
    assert.ok(more.status === 400 || more.json.servers.length === 200, more.text.slice(0, 200));
    assert.ok((await first.read(`servers?query=${mark}`)).servers.length <= 200);
    for (const limit of ['0', '-1', '1.5', 'many', '1e2']) assertProblem(await first.get(`servers?limit=${limit}`), 400);
  });

  test('shows nobody twice and misses nobody while servers come', async () => {
    const found = await first.all(`servers?query=${mark}`, 'servers', 40, () => bouncer.server(`late-${randomBytes(4).toString('hex')}.${mark}.zulip.test`));
    const seen = found.map((row) => row.uuid);
    assert.equal(new Set(seen).size, seen.length);
    assert.ok(uuids.every((uuid) => seen.includes(uuid)));
  });
});

describe('a search', () => {
  test('finds a server by uuid, hostname, address and the names of its organizations', async () => {
    const word = randomBytes(5).toString('hex');
    const server = new RemoteServer(bouncer.service, `chat.${word}a.zulip.test`);
    server.email = `${word}b@zulip.test`;
    assert.equal((await server.register()).status, 200);
    const realm = newRealm(1, { name: `Über ${word}c & Söhne`, host: `${word}d.example.org` });
    await report(server, [realm, newRealm(2, { name: `Second ${word}e` })]);
    for (const query of [server.uuid, server.hostname, `${word}a`, server.email, `${word}b`, realm.name, `${word}c`, `${word}e`]) {
      const row = await only(query);
      assert.equal(row.uuid, server.uuid, query);
    }
    await listed(server.hostname.toUpperCase());
    for (const query of [`${word}x`, randomUUID(), '%%', '__', `${word}_`, `%${word}%`, "' OR 1=1 --", 'zulip.test%']) {
      assert.deepEqual(await first.read(`servers?query=${encodeURIComponent(query)}`), { servers: [], next: null }, query);
    }
    // Names that have changed are found, those from before are not.
    await report(server, [{ ...realm, name: `Renamed ${word}f` }, newRealm(3)]);
    await only(`${word}f`);
    await until('the old name is forgotten', async () => (await first.read(`servers?query=${word}c`)).servers.length === 0, 20_000, 100);
    const moved = `neu.${word}g.zulip.test`;
    assert.equal((await server.register({ hostname: moved })).status, 200);
    assert.equal((await only(moved)).hostname, moved);
    await until('the old host is forgotten', async () => (await first.read(`servers?query=${word}a`)).servers.length === 0, 20_000, 100);
  });

  test('with words too long is a bad request', async () => {
    const answer = await first.get(`servers?query=${'x'.repeat(4000)}`);
    assert.ok(answer.status === 400 || (answer.status === 200 && answer.json.servers.length === 0), `${answer.status}`);
  });
});

const LISTED = ['contact_email', 'deactivated', 'devices', 'hostname', 'last_request_datetime', 'last_version', 'plan_type', 'realms', 'uuid'];
const SERVER = [
  'uuid', 'hostname', 'contact_email', 'last_updated', 'last_request_datetime', 'last_version', 'last_merge_base', 'last_api_feature_level',
  'deactivated', 'plan_type', 'org_type', 'last_audit_log_update', 'realms', 'legacy_tokens', 'e2ee_devices',
];
const REALM = [
  'uuid', 'host', 'name', 'is_system_bot_realm', 'authentication_methods', 'org_type', 'last_updated', 'last_request_datetime',
  'registration_deactivated', 'realm_deactivated', 'realm_locally_deleted', 'realm_date_created', 'plan_type',
];

describe('a document', () => {
  let server: RemoteServer;
  let realm: Realm;
  let secrets: string[];
  const user = { user_uuid: randomUUID() };
  const tokens = { fcm: fcmToken(), apns: hexToken(), byId: fcmToken() };
  const phone = new Phone('apns');
  const begun = seconds();

  before(async () => {
    realm = newRealm(3);
    server = await bouncer.server();
    await server.upload({ realms: [{ ...realm, url: `https://${realm.host}`, org_type: 20, date_created: 1_600_000_000.5, deactivated: false, authentication_methods: { Email: true, GitHub: false } }], merge_base: '"abc123"', realmauditlog_rows: [] });
    assertSuccess(await server.addDevice('fcm', tokens.fcm, user, { realm_uuid: realm.uuid }), { ignored_parameters_unsupported: ['server_uuid'] });
    await server.addDevice('apns', tokens.apns, user);
    await server.addDevice('fcm', tokens.byId, { user_id: 7 });
    assertSuccess(await server.addSealedDevice(realm, phone, bouncer.keys.publicKey));
    secrets = [server.key, realm.uuid_owner_secret, ...Object.values(tokens), phone.token];
  });

  test('of a server has what is known of it, and counts', async () => {
    const found = await first.read(at(server));
    for (const name of SERVER) assert.ok(name in found, `${name} is missing`);
    assert.deepEqual(
      [found.uuid, found.hostname, found.contact_email, found.deactivated, found.plan_type, found.org_type],
      [server.uuid, server.hostname, server.email, false, 100, 0],
    );
    assert.deepEqual([found.last_version, found.last_merge_base, found.last_api_feature_level], ['12.0', 'abc123', 450]);
    assert.deepEqual([found.realms, found.legacy_tokens, found.e2ee_devices], [1, 3, 1]);
    for (const name of ['last_updated', 'last_request_datetime', 'last_audit_log_update']) {
      assert.ok(Number.isInteger(found[name]) && found[name] >= begun && found[name] <= seconds(), `${name} is ${found[name]}`);
    }
    assert.ok(!('api_key' in found) && !('key' in found));
  });

  test('in the list says the same', async () => {
    const row = await until('the counts have arrived', async () => {
      const found = await only(server.uuid);
      return found.devices === 4 && found.realms === 1 && found;
    }, 20_000, 100);
    assert.deepEqual(Object.keys(row).sort(), LISTED);
    const whole = await first.read(at(server));
    for (const name of LISTED.filter((word) => word !== 'devices' && word !== 'last_request_datetime')) assert.deepEqual(row[name], whole[name], name);
  });

  test('of an organization has what its server reports', async () => {
    const [listedRealm, ...rest] = await first.all(`${at(server)}/realms`, 'realms', 1);
    assert.deepEqual(rest, []);
    const found = await first.read(on(realm));
    for (const document of [listedRealm, found]) {
      for (const name of REALM) assert.ok(name in document, `${name} is missing`);
      assert.deepEqual(
        [document.uuid, document.host, document.name, document.org_type, document.plan_type, document.authentication_methods],
        [realm.uuid, realm.host, realm.name, 20, 100, { Email: true, GitHub: false }],
      );
      const flags = ['is_system_bot_realm', 'registration_deactivated', 'realm_deactivated', 'realm_locally_deleted'];
      assert.deepEqual(flags.map((name) => document[name]), [false, false, false, false]);
      assert.equal(Math.floor(document.realm_date_created), 1_600_000_000);
      assert.ok(!('uuid_owner_secret' in document));
    }
  });

  test('of devices has a hash that nobody else can make', async () => {
    const rows = await first.all(`${at(server)}/tokens`, 'tokens', 1);
    assert.equal(rows.length, 3);
    const words = ['token_hash', 'kind', 'ios_app_id', 'user_id', 'user_uuid', 'realm_uuid'];
    const said = rows.map((row) => words.slice(1).map((name) => row[name])).sort((a, b) => JSON.stringify(a).localeCompare(JSON.stringify(b)));
    assert.deepEqual(said, [
      [1, 'org.zulip.Zulip', null, user.user_uuid, null],
      [2, null, 7, null, null],
      [2, null, null, user.user_uuid, realm.uuid],
    ].sort((a, b) => JSON.stringify(a).localeCompare(JSON.stringify(b))));
    const plain = Object.values(tokens).flatMap((token) => ['sha256', 'sha1', 'md5', 'sha512'].flatMap((name) => [token, token.toUpperCase()].map((text) => createHash(name).update(text).digest('hex'))));
    for (const row of rows) {
      assert.match(row.token_hash, /^[0-9a-f]{16,}$/);
      assert.ok(!plain.some((hash) => hash.startsWith(row.token_hash) || row.token_hash.startsWith(hash)), 'a hash without a key');
    }
    assert.equal(new Set(rows.map((row) => row.token_hash)).size, 3);
  });

  test('never holds a key, a secret or a token', async () => {
    const paths = [
      'servers', `servers?query=${server.uuid}`, at(server), `${at(server)}/realms`, `${at(server)}/tokens`, `${at(server)}/audit`, `${at(server)}/export`,
      on(realm), `${on(realm)}/audit`, 'metrics', 'operators', `${at(server)}/invoices`, `${at(server)}/counts?property=messages_read::hour`,
    ];
    for (const path of paths) {
      const { text } = await first.get(path);
      for (const secret of secrets) {
        for (const spelling of [secret, Buffer.from(secret).toString('base64'), createHash('sha256').update(secret).digest('hex'), createHash('sha256').update(secret).digest('base64')]) {
          assert.ok(!text.includes(spelling), `${path} holds a secret`);
        }
      }
    }
  });

  test('of what is not there is not found', async () => {
    for (const path of [at({ uuid: randomUUID() }), on({ uuid: randomUUID() }), on(server), at(realm), at({ uuid: 'nonsense' }), at({ uuid: '%2e%2e' }), on({ uuid: "'" })]) {
      for (const more of ['', '/audit']) {
        const answer = await first.get(`${path}${more}`);
        assert.ok(answer.status === 404 || answer.status === 400, `${path}: ${answer.status}`);
        assertProblem(answer, answer.status);
      }
    }
  });

  test('with all of a server is one', async () => {
    const all = await first.read(`${at(server)}/export`);
    assert.equal(all.server.uuid, server.uuid);
    assert.deepEqual(all.realms.map((row: any) => row.uuid), [realm.uuid]);
    assert.ok(Math.abs(all.exported_at - seconds()) < 5);
  });
});

describe('an operation that is asked for wrongly', () => {
  let server: RemoteServer;
  let realm: Realm;
  before(async () => {
    ({ server, realm } = await bouncer.readyRealm());
  });

  test('is refused when the cursor or the size of a page means nothing, on every list', async () => {
    const counts = 'counts?property=messages_read::hour';
    const lists = ['servers', 'operators', ...['realms', 'audit', 'tokens', 'invoices', counts].map((name) => `${at(server)}/${name}`), ...['audit', 'invoices', counts].map((name) => `${on(realm)}/${name}`)];
    const wrong: string[] = [];
    for (const path of lists) {
      for (const query of ['limit=0', 'limit=-1', 'limit=x', 'limit=1.5', 'after=rubbish', 'after=-1', `after=${'x'.repeat(500)}`]) {
        const { status } = await first.get(`${path}${path.includes('?') ? '&' : '?'}${query}`);
        if (status !== 400) wrong.push(`${path} ${query.slice(0, 20)}: ${status}`);
      }
    }
    assert.deepEqual(wrong, []);
  });

  test('is refused when the body is a list and no object', async () => {
    const other = await bouncer.server();
    const wrong: string[] = [];
    for (const [method, path, body] of [
      ['POST', `${at(server)}/deactivate`, []], ['POST', `${at(server)}/deactivate`, ['a reason']], ['POST', `${at(server)}/reactivate`, []],
      ['PUT', `${at(server)}/plan`, [103, null, null]], ['PUT', `${on(realm)}/plan`, [103, null, null]], ['POST', 'operators', ['a', 'owner', 60]],
      ['POST', `${on(realm)}/move`, [other.uuid, realm.uuid_owner_secret]],
    ] as const) {
      const { status } = await first.ask(method, path, body);
      if (status !== 400) wrong.push(`${method} ${path} ${JSON.stringify(body)}: ${status}`);
    }
    assert.deepEqual(wrong, []);
  });

  test('is told where it is wrong, by a pointer, and not in the words of the program', async () => {
    for (const [wish, pointer] of [
      [{ plan: { tier: 'x' } }, '/plan/tier'], [{ plan: { status: 99 } }, '/plan/status'], [{ mystery: 1 }, '/mystery'], [{ plan_type: '103' }, '/plan_type'], [{ customer: { nope: 1 } }, '/customer/nope'],
    ] as const) {
      const answer = await first.plan(at(server), wish);
      assertProblem(answer, 400);
      assert.doesNotMatch(answer.json.detail, /\bu64\b|struct |at line \d/, answer.text);
      assert.equal(answer.json.errors?.[0]?.pointer, pointer, answer.text);
    }
  });

  test('is described with all that it takes', () => {
    const { paths } = JSON.parse(readFileSync(join(ROOT, 'openapi.json'), 'utf8'));
    const taken = (method: string, path: string): string[] => (paths[path][method].parameters ?? []).filter((one: any) => one.in === 'query').map((one: any) => one.name).sort();
    assert.deepEqual(taken('get', '/v1/push/servers'), ['after', 'limit', 'query']);
    assert.deepEqual(taken('get', '/v1/push/servers/{uuid}/audit'), ['after', 'limit', 'realm']);
    assert.deepEqual(taken('get', '/v1/push/realms/{uuid}/audit'), ['after', 'limit']);
    assert.deepEqual(taken('get', '/v1/push/servers/{uuid}/counts'), ['after', 'from', 'limit', 'property', 'to']);
    assert.deepEqual(taken('get', '/v1/push/realms/{uuid}/invoices'), ['after', 'format', 'limit']);
  });
});

describe('a document, as a whole,', () => {
  test('of an organization says on which server it is', async () => {
    const { server, realm } = await bouncer.readyRealm();
    assert.ok(JSON.stringify(await first.read(on(realm))).includes(server.uuid));
  });

  test('of an organization says when it was last heard of, whatever it asked for', async () => {
    const user = { user_uuid: randomUUID() };
    const asks: Record<string, (server: RemoteServer, realm: Realm) => Promise<Answer>> = {
      'push/register': (server, realm) => server.addDevice('fcm', fcmToken(), user, { realm_uuid: realm.uuid }),
      'push/unregister': (server, realm) => server.form('push/unregister', { ...user, token: fcmToken(), token_kind: '2', realm_uuid: realm.uuid }),
      'push/notify': (server, realm) => server.notify({ ...user, realm_uuid: realm.uuid }),
      'push/e2ee/register': (server, realm) => server.addSealedDevice(realm, new Phone('fcm'), bouncer.keys.publicKey),
      'push/e2ee/notify': (server, realm) => server.notifySealed(realm, []),
    };
    const silent: string[] = [];
    for (const [path, ask] of Object.entries(asks)) {
      const { server, realm } = await bouncer.readyRealm();
      const begun = seconds();
      await ask(server, realm);
      const last = (await first.read(on(realm))).last_request_datetime;
      if (last === null || last < begun) silent.push(path);
    }
    assert.deepEqual(silent, []);
  });

  test('with all of a server has its agreements and organizations, and says how much there is of what has lists of its own', async () => {
    const { server, realm } = await bouncer.readyRealm();
    await server.addDevice('fcm', fcmToken(), { user_id: 7001 });
    await first.changePlan(at(server), { plan: { tier: 103 }, customer: { payment_reference: 'cus_of_export' } });
    await first.changePlan(on(realm), { plan: { tier: 102 } });
    const all = await first.read(`${at(server)}/export`);
    assert.deepEqual([all.server.uuid, all.server.billing.customer.payment_reference, all.server.legacy_tokens], [server.uuid, 'cus_of_export', 1]);
    assert.deepEqual([all.realms_total, all.realms.map((row: any) => [row.uuid, row.billing.plan.tier])], [1, [[realm.uuid, 102]]]);
    assert.deepEqual(Object.keys(all.uploaded_rows).sort(), ['audit', 'installation_counts', 'realm_counts']);
    assert.ok(!JSON.stringify(all).includes(server.key));
  });
});
