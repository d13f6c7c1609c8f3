// What operators do to servers and organizations, and what stays: deactivation, removal, moves, counts, audit.
// push-bouncer.md 2.6, 2.7, 3.7 and 9.

import assert from 'node:assert/strict';
import { randomBytes, randomUUID } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { assertRefused, assertStranger, assertSuccess, Bouncer, deviceCounts, fcmToken, hexToken, keep, report, withBouncer } from './support/push/bouncer.ts';
import { newKey, newRealm, Phone, RemoteServer } from './support/push/client.ts';
import type { Realm } from './support/push/client.ts';
import { firstOperator, ofType, Operator, PAYMENT_KEY, reportPeople, SECRET, seconds } from './support/push/operator.ts';
import { assertProblem, until } from './support/service.ts';
import type { Answer } from './support/service.ts';

const GONE = 'The mobile push notification service registration for your server has been deactivated';
const at = (server: { uuid: string }): string => `servers/${server.uuid}`;
const on = (realm: { uuid: string }): string => `realms/${realm.uuid}`;
const types = (rows: any[]): number[] => rows.map((row) => row.event_type);

let bouncer: Bouncer;
let first: Operator;
before(async () => {
  bouncer = await Bouncer.start({ ADMIN_SECRET: SECRET, PUSH_BILLING_KEY: PAYMENT_KEY });
  keep(SECRET);
  first = firstOperator(bouncer);
});
after(() => bouncer.finish());

const deactivate = (server: RemoteServer, body?: object): Promise<Answer> => first.ask('POST', `${at(server)}/deactivate`, body);
const reactivate = (server: RemoteServer): Promise<Answer> => first.ask('POST', `${at(server)}/reactivate`, {});

/** Every endpoint that the real client calls with credentials. */
function calls(server: RemoteServer, realm: Realm): Record<string, () => Promise<Answer>> {
  return {
    'push/register': () => server.addDevice('fcm', fcmToken(), { user_id: 1 }),
    'push/unregister': () => server.removeDevice('fcm', fcmToken(), { user_id: 1 }),
    'push/unregister/all': () => server.removeAllDevices({ user_id: 1 }),
    'push/notify': () => server.notify({ user_id: 1 }),
    'push/test_notification': () => server.json('push/test_notification', {}),
    'push/e2ee/register': () => server.addSealedDevice(realm, new Phone('fcm'), bouncer.keys.publicKey),
    'push/e2ee/notify': () => server.notifySealed(realm, []),
    'server/analytics': () => server.reportRealms([realm]),
    'server/analytics/status': () => server.status(),
    'server/billing': () => server.form('server/billing', {}),
    'server/deactivate': () => server.deactivate(),
  };
}

describe('a server that an operator deactivates', () => {
  test('is refused everywhere until it is reactivated; then all is as before', async () => {
    const { server, realm } = await bouncer.readyRealm();
    const [user, token] = [{ user_uuid: randomUUID() }, fcmToken()];
    await server.addDevice('fcm', token, user, { realm_uuid: realm.uuid });
    const begun = seconds();
    assert.deepEqual((await deactivate(server, { reason: 'tos_violation' })).json, { deactivated: true });
    for (const [path, call] of Object.entries(calls(server, realm))) {
      const answer = await call();
      assert.equal(answer.status, 401, path);
      assertStranger(answer, GONE);
    }
    assertRefused(await server.register(), 401, 'REALM_DEACTIVATED', GONE);
    assert.equal((await first.read(at(server))).deactivated, true);
    assert.equal((await reactivate(server)).json.deactivated, false);
    assert.deepEqual(await deviceCounts(server, user), [1, 0], 'its devices are still there');
    assert.equal((await server.register()).json.created, false);
    assertSuccess(await server.notifySealed(realm, []), {
      android_successfully_sent_count: 0, apple_successfully_sent_count: 0, delete_token_ids: [], realm_push_status: { can_push: true, expected_end_timestamp: null },
    });
    const rows = await first.audit(at(server));
    assert.deepEqual(types(rows), [10215, 10201, 10202]);
    const [, off, back] = rows;
    assert.equal(off.extra_data.reason, 'tos_violation');
    for (const row of [off, back]) {
      assert.ok(row.event_time >= begun && row.event_time <= seconds() && row.backfilled === false, JSON.stringify(row));
    }
  });

  test('is so once, however often and at once it is said', async () => {
    const server = await bouncer.server();
    const answers = await Promise.all(Array.from({ length: 10 }, () => deactivate(server)));
    assert.deepEqual(answers.map((answer) => answer.status).sort(), [200, ...Array(9).fill(409)]);
    for (const answer of answers.filter(({ status }) => status === 409)) assertProblem(answer, 409);
    const back = await Promise.all(Array.from({ length: 10 }, () => reactivate(server)));
    assert.deepEqual(back.map((answer) => answer.status).sort(), [200, ...Array(9).fill(409)]);
    assert.deepEqual(types(await first.audit(at(server))), [10215, 10201, 10202]);
  });

  test('loses its hostname to whoever comes first, and cannot come back while that one is there', async () => {
    const server = await bouncer.server();
    await deactivate(server);
    const heir = await bouncer.server(server.hostname);
    const refused = await reactivate(server);
    assertProblem(refused, 409);
    assert.ok(refused.json.detail.includes(server.hostname));
    assertStranger(await server.status(), GONE);
    assert.equal((await heir.status()).status, 200);
    await deactivate(heir);
    assert.equal((await reactivate(server)).status, 200);
    assert.equal((await server.status()).status, 200);
    assertProblem(await reactivate(heir), 409);
    assert.deepEqual(types(await first.audit(at(server))), [10215, 10201, 10202], 'refusals leave nothing');
    assert.deepEqual(types(await first.audit(at(heir))), [10215, 10201]);
  });

  test('and its heir never both stand, whoever is faster', async () => {
    for (let round = 0; round < 8; round += 1) {
      const server = await bouncer.server();
      await deactivate(server);
      const heir = new RemoteServer(bouncer.service, server.hostname.toUpperCase());
      keep(heir.key);
      const [came, taken] = await Promise.all([reactivate(server), heir.register()]);
      const both = [came.status, taken.status];
      assert.ok(String(both) === '200,400' || String(both) === '409,200', `${both}: ${came.text} ${taken.text}`);
    }
  });

  test('by itself can come back, too', async () => {
    const server = await bouncer.server();
    assertSuccess(await server.deactivate());
    assertProblem(await deactivate(server), 409);
    assert.equal((await reactivate(server)).status, 200);
    assert.equal((await server.status()).status, 200);
  });

  test('has a reason that is text, short, or none', async () => {
    const server = await bouncer.server();
    for (const body of [{ reason: 5 }, { reason: 'x'.repeat(10_000) }, { reason: 'a', more: 1 }, 'text']) assertProblem(await deactivate(server, body as object), 400);
    assert.equal((await server.status()).status, 200);
    assert.equal((await deactivate(server, {})).status, 200);
  });
});

describe('a key that an operator rotates', () => {
  test('is shown once, and the old one dies at once', async () => {
    const { server, realm } = await bouncer.readyRealm();
    const old = server.key;
    const answer = await first.ask('POST', `${at(server)}/rotate`);
    assert.equal(answer.status, 200, answer.text);
    const fresh = keep(answer.json.zulip_org_key);
    assert.equal(answer.json.zulip_org_id, server.uuid);
    assert.equal(fresh.length, 64);
    assert.notEqual(fresh, old);
    for (const [path, call] of Object.entries(calls(server, realm))) {
      if (path === 'server/deactivate') continue;
      assertStranger(await call(), `Zulip server auth failure: key does not match role ${server.uuid}`);
    }
    assert.equal((await server.register()).json.code, 'INVALID_ZULIP_SERVER');
    server.key = fresh;
    assert.equal((await server.status()).status, 200);
    for (const path of [at(server), `${at(server)}/audit`, `${at(server)}/export`]) assert.ok(!(await first.get(path)).text.includes(fresh));
    const [, ...rows] = await first.audit(at(server));
    assert.equal(rows.length, 1, 'one line in the audit');
    assert.ok(Math.abs(rows[0].event_time - seconds()) < 5);
  });

  test('is no way around a key that the server has just changed itself', async () => {
    const server = await bouncer.server();
    const [oldest, previous] = [server.key, keep(newKey())];
    assert.equal((await server.register({ new_org_key: previous })).status, 200);
    const fresh = keep((await first.act('POST', `${at(server)}/rotate`)).zulip_org_key);
    for (const key of [oldest, previous]) {
      server.key = key;
      assert.equal((await server.status()).status, 401);
    }
    server.key = fresh;
    assert.equal((await server.status()).status, 200);
  });
});

describe('a server that is removed', () => {
  const word = randomBytes(5).toString('hex');
  let server: RemoteServer;
  let realm: Realm;
  const tokens = [fcmToken(), hexToken()];

  before(async () => {
    server = new RemoteServer(bouncer.service, `chat.${word}.zulip.test`);
    keep(server.key);
    server.email = `someone-${word}@zulip.test`;
    assert.equal((await server.register()).status, 200);
    realm = newRealm(1, { name: `Home of ${word}`, host: `${word}.example.org` });
    await reportPeople(server, realm, 4);
    await server.addDevice('fcm', tokens[0] ?? '', { user_uuid: randomUUID() }, { realm_uuid: realm.uuid });
    await server.addDevice('apns', tokens[1] ?? '', { user_id: 8 });
    assertSuccess(await server.addSealedDevice(realm, new Phone('fcm'), bouncer.keys.publicKey));
    await until('it is listed', async () => (await first.read(`servers?query=${word}`)).servers.length === 1, 20_000, 100);
  });

  test('leaves no personal data, and its audit', async () => {
    const rows = await first.audit(at(server));
    const realmRows = await first.audit(on(realm));
    assert.ok(realmRows.length > 0);
    await first.act('DELETE', at(server));

    await until('it is listed no more', async () => (await first.read(`servers?query=${word}`)).servers.length === 0, 20_000, 100);
    assert.equal((await first.read(`servers?query=${server.uuid}`)).servers.length, 0);
    await until('no name is left', async () => {
      const texts = await Promise.all(['', '/realms', '/tokens', '/audit', '/export'].map(async (path) => (await first.get(`${at(server)}${path}`)).text));
      return !texts.join().includes(word);
    }, 20_000, 100);
    assert.deepEqual(await first.all(`${at(server)}/tokens`, 'tokens'), []);
    const kept = await first.audit(at(server));
    assert.deepEqual(kept.slice(0, rows.length), rows, 'what was written stays as it was');
    assert.equal(kept.length, rows.length + 1, 'and one line more');
    assert.ok(!String(types(kept)).endsWith(String(types(rows).at(-1))));
  });

  test('is a stranger', async () => {
    for (const [path, call] of Object.entries(calls(server, realm))) {
      const answer = await call();
      assert.equal(answer.status, 401, `${path}: ${answer.text}`);
      assert.equal(answer.json.code, 'UNAUTHORIZED');
    }
    assert.equal((await first.ask('POST', `${at(server)}/reactivate`)).status, 409);
    for (const act of ['rotate', 'deactivate']) {
      const answer = await first.ask('POST', `${at(server)}/${act}`);
      assert.ok(answer.status === 404 || answer.status === 409, `${act}: ${answer.text}`);
    }
    const again = await first.ask('DELETE', at(server));
    assert.ok([200, 404, 409].includes(again.status), again.text);
    assert.equal(ofType(await first.audit(at(server)), 10201, 10202).length, 0);
  });

  test('has left its hostname and its organizations to others', async () => {
    const heir = await bouncer.server(server.hostname);
    await until('the organization is free', async () => (await heir.reportRealms([realm])).status === 200, 10_000);
    assert.deepEqual((await first.all(`${at(heir)}/realms`, 'realms')).map((row) => row.uuid), [realm.uuid]);
    assert.equal((await first.read(on(realm))).name, realm.name);
    const user = { user_uuid: randomUUID() };
    await heir.addDevice('fcm', fcmToken(), user, { realm_uuid: realm.uuid });
    assert.deepEqual((await heir.notify({ ...user, realm_uuid: realm.uuid })).json.realm, { can_push: true, expected_end_timestamp: null });
  });

  test('is not billed any more', async () => {
    const victim = await bouncer.ready([newRealm(1)]);
    const due = seconds() + 2;
    await first.changePlan(at(victim), { plan: { tier: 103, status: 3, next_invoice_date: due } });
    await first.act('DELETE', at(victim));
    const kept = newRealm(1);
    const other = await bouncer.ready([kept]);
    await first.changePlan(at(other), { plan: { tier: 103, status: 3, next_invoice_date: due } });
    await until('its date', () => seconds() > due, 10_000);
    await reportPeople(other, kept, 3);
    await until('one that is still there is billed', async () => (await first.read(`${at(other)}/invoices`)).invoices.length === 1, 15_000, 100);
    await until('all that is due is done', () => seconds() > due + 2, 10_000);
    assert.deepEqual((await first.read(`${at(victim)}/invoices`)).invoices, []);
    const { push, billing } = await first.read(at(victim));
    assert.deepEqual([push?.can_push ?? false, billing.plan], [false, null]);
  });

  test('is removed whole also in the middle of an upload', async () => {
    for (let round = 0; round < 4; round += 1) {
      const victim = await bouncer.server();
      const sign = randomBytes(5).toString('hex');
      const realms = Array.from({ length: 30 }, (_, id) => newRealm(id + 1, { name: `Part of ${sign}` }));
      const uploads = [victim.reportRealms(realms), victim.addDevice('fcm', fcmToken(), { user_id: 1 }), victim.reportRealms(realms)];
      const [, ...answers] = await Promise.all([first.act('DELETE', at(victim)), ...uploads]);
      // The directory had to be asked meanwhile: the answer may be any refusal, but no server error.
      for (const answer of answers) assert.ok([200, 400, 401].includes(answer.status), answer.text);
      await until('no name is left', async () => !(await first.get(`${at(victim)}/realms`)).text.includes(sign), 20_000, 100);
      assert.deepEqual(await first.all(`${at(victim)}/tokens`, 'tokens'), []);
      const heir = await bouncer.server(victim.hostname);
      await until('its organizations are free', async () => (await heir.reportRealms(realms)).status === 200, 20_000, 100);
    }
  });
});

describe('a series of counts', () => {
  const HOUR = 3600;
  const end = Math.floor(seconds() / HOUR) * HOUR;
  let server: RemoteServer;
  let realm: Realm;

  before(async () => {
    realm = newRealm(1);
    server = await bouncer.server();
    const hours = Array.from({ length: 48 }, (_, i) => i);
    await report(server, [realm]);
    const answer = await server.upload({
      realms: undefined,
      installation_counts: hours.map((i) => ({ property: 'messages_read::hour', id: i + 1, end_time: end - (48 - i) * HOUR, subgroup: null, value: 100 + i })),
      realm_counts: [
        ...hours.map((i) => ({ property: 'messages_sent:is_bot:hour', realm: 1, id: i + 1, end_time: end - (48 - i) * HOUR, subgroup: i % 2 === 0 ? 'false' : 'true', value: i })),
        ...[3, 2, 1].map((days, i) => ({ property: 'realm_active_humans::day', realm: 1, id: 100 + i, end_time: end - days * 86_400, subgroup: null, value: days })),
      ],
    });
    assert.equal(answer.status, 200, answer.text);
  });

  const series = (of: string, query: string, limit = 200): Promise<any[]> => first.all(`${of}/counts?${query}`, 'rows', limit);
  const values = (rows: any[]): number[] => rows.map((row) => row.value);

  test('has what the server reported, in order of time', async () => {
    const rows = await series(at(server), 'property=messages_read::hour');
    assert.deepEqual(rows, Array.from({ length: 48 }, (_, i) => ({ property: 'messages_read::hour', subgroup: null, end_time: end - (48 - i) * HOUR, value: 100 + i })));
    const own = await series(on(realm), 'property=messages_sent:is_bot:hour');
    assert.deepEqual(own.map((row) => [row.end_time, row.subgroup, row.value]), Array.from({ length: 48 }, (_, i) => [end - (48 - i) * HOUR, i % 2 === 0 ? 'false' : 'true', i]));
    assert.deepEqual(values(await series(on(realm), 'property=realm_active_humans::day')), [3, 2, 1]);
  });

  test('can be cut by time', async () => {
    const half = HOUR / 2;
    const cut = async (from?: number, to?: number): Promise<number[]> =>
      values(await series(at(server), `property=messages_read::hour${from === undefined ? '' : `&from=${from}`}${to === undefined ? '' : `&to=${to}`}`));
    assert.deepEqual(await cut(end - 5 * HOUR - half, end - 3 * HOUR + half), [143, 144, 145]);
    assert.deepEqual(await cut(end - 2 * HOUR - half), [146, 147]);
    assert.deepEqual(await cut(undefined, end - 47 * HOUR + half), [100, 101]);
    assert.deepEqual(await cut(end + HOUR), []);
    assert.ok((await cut(end - 5 * HOUR, end - 3 * HOUR)).length >= 2);
  });

  test('comes in pages, each row once', async () => {
    for (const limit of [1, 7, 48]) {
      assert.deepEqual(values(await series(at(server), 'property=messages_read::hour', limit)), Array.from({ length: 48 }, (_, i) => 100 + i), `limit ${limit}`);
      assert.equal((await series(on(realm), 'property=messages_sent:is_bot:hour', limit)).length, 48);
    }
  });

  test('has at most 200 rows on a page', async () => {
    const [busy, count] = [await bouncer.server(), 250];
    const rows = Array.from({ length: count }, (_, i) => ({ property: 'messages_read::hour', id: i + 1, end_time: end - (count - i) * HOUR, subgroup: null, value: i }));
    assert.equal((await busy.upload({ installation_counts: rows })).status, 200);
    assert.deepEqual(values(await series(at(busy), 'property=messages_read::hour')), rows.map((row) => row.value));
    for (const more of ['', '&limit=200']) assert.equal((await first.read(`${at(busy)}/counts?property=messages_read::hour${more}`)).rows.length, 200, `a page${more}`);
    for (const limit of ['0', '201', '1000', '-1', 'all']) assertProblem(await first.get(`${at(busy)}/counts?property=messages_read::hour&limit=${limit}`), 400);
  });

  test('has what the bouncer counts itself, by day', async () => {
    const user = { user_uuid: randomUUID() };
    await reportPeople(server, realm, 3);
    await server.addDevice('fcm', fcmToken(), user, { realm_uuid: realm.uuid });
    for (let i = 0; i < 3; i += 1) assert.equal((await server.notify({ ...user, realm_uuid: realm.uuid })).status, 200);
    for (const whose of [at(server), on(realm)]) {
      for (const property of ['mobile_pushes_received::day', 'mobile_pushes_forwarded::day']) {
        const rows = await until(`${property} of ${whose}`, async () => {
          const found = await series(whose, `property=${property}`);
          // Around midnight there may be two days.
          return values(found).reduce((sum, value) => sum + value, 0) === 3 && found;
        }, 10_000);
        for (const row of rows) assert.deepEqual([row.subgroup, row.end_time % 86_400, row.end_time > seconds() - 86_400], [null, 0, true]);
      }
    }
  });

  test('has a property and times that make sense', async () => {
    for (const query of ['', 'property=', 'property=nothing', "property='", 'property=messages_read::hour&from=soon', 'property=messages_read::hour&to=1.5', 'property=messages_read::hour&from=-1']) {
      assertProblem(await first.get(`${at(server)}/counts?${query}`), 400);
      assertProblem(await first.get(`${on(realm)}/counts?${query}`), 400);
    }
    assert.deepEqual(await series(at(server), 'property=minutes_active::day'), []);
  });
});

describe('the metrics', () => {
  test('count what there is', () =>
    withBouncer({ ADMIN_SECRET: SECRET }, async (own) => {
      const operator = firstOperator(own);
      assert.deepEqual(await operator.read('metrics'), {
        servers: 0, servers_deactivated: 0, servers_by_plan_type: {}, realms: 0, legacy_tokens: 0, e2ee_devices: 0,
      });
      const { server, realm } = await own.readyRealm();
      const [other, off, gone] = [await own.server(), await own.server(), await own.server()];
      await server.addDevice('fcm', fcmToken(), { user_id: 1 });
      await server.addDevice('apns', hexToken(), { user_id: 1 });
      assertSuccess(await server.addSealedDevice(realm, new Phone('fcm'), own.keys.publicKey));
      await operator.changePlan(at(other), { plan_type: 102 });
      await operator.act('POST', `${at(off)}/deactivate`, {});
      await operator.act('DELETE', at(gone));
      const expected = { servers: 3, servers_deactivated: 1, servers_by_plan_type: { 100: 2, 102: 1 }, realms: 1, legacy_tokens: 2, e2ee_devices: 1 };
      await until('all is counted', async () => JSON.stringify(sorted(await operator.read('metrics'))) === JSON.stringify(sorted(expected)), 20_000, 200);
    }));
  const sorted = (object: object): unknown => Object.entries(object).map(([name, value]) => [name, typeof value === 'object' ? Object.entries(value) : value]).sort();
});

describe('an audit log', () => {
  test('is read page by page while it grows: each line once, in order, and none is missed', async () => {
    const server = await bouncer.server();
    for (const type of [102, 100, 102, 100, 102]) await first.changePlan(at(server), { plan_type: type });
    const before = await first.audit(at(server));
    let next = 100;
    const seen = await first.all(`${at(server)}/audit`, 'rows', 1, async (page) => {
      if (page >= 12) return;
      await first.changePlan(at(server), { plan_type: next });
      next = next === 100 ? 102 : 100;
    });
    assert.deepEqual(seen.slice(0, before.length), before);
    assert.deepEqual(seen, await first.audit(at(server)));
    const ids = seen.map((row) => row.id);
    assert.deepEqual(ids, [...new Set(ids)].sort((a, b) => a - b), 'newest last');
    assert.ok(seen.every((row, i) => i === 0 || row.event_time >= seen[i - 1].event_time));
    // Old and new value are a chain without a gap.
    const plans = ofType(seen, 10204).map((row) => [row.extra_data.old_value, row.extra_data.new_value]);
    assert.ok(plans.every(([from], i) => from === (i === 0 ? 100 : plans[i - 1]?.[1])), JSON.stringify(plans));
    assert.ok(plans.length >= 5);
  });

  test('has columns of its own for who and when', async () => {
    const { server, realm } = await bouncer.readyRealm();
    await report(server, [{ ...realm, name: 'Another name' }]);
    for (const row of [...await first.audit(at(server)), ...await first.audit(on(realm))]) {
      for (const name of ['event_time', 'backfilled', 'extra_data', 'event_type']) assert.ok(name in row, name);
      assert.ok(Number.isInteger(row.event_time) && Math.abs(row.event_time - seconds()) < 10);
    }
    const [renamed] = ofType(await first.audit(on(realm)), 20001);
    assert.deepEqual([renamed.extra_data, renamed.remote_id, renamed.realm_id], [{ attr_name: 'name', old_value: realm.name, new_value: 'Another name' }, null, realm.id]);
  });

  test('takes what a server uploads once, however many do it at once', async () => {
    const realm = newRealm(4);
    const server = await bouncer.server();
    await report(server, [realm]);
    const rows = Array.from({ length: 50 }, (_, i) => server.auditRow(i + 1, realm, i + 2));
    const answers = await Promise.all(Array.from({ length: 20 }, () => server.upload({ realmauditlog_rows: rows })));
    assert.deepEqual(answers.map((answer) => answer.status).sort(), [200, ...Array(19).fill(400)]);
    for (const answer of answers.filter(({ status }) => status === 400)) assertRefused(answer, 400, 'BAD_REQUEST', 'Data is out of order.');
    const stored = await first.all(`${on(realm)}/audit`, 'rows', 7);
    assert.deepEqual(stored.filter((row) => row.remote_id !== null).map((row) => row.remote_id), rows.map((_, i) => i + 1));
    assert.deepEqual(stored.filter((row) => row.remote_id !== null).map((row) => row.extra_data['10']['11']['400']), rows.map((_, i) => i + 1));
  });

  test('cannot be changed by anybody', async () => {
    const { server, realm } = await bouncer.readyRealm();
    const before = [await first.audit(at(server)), await first.audit(on(realm))];
    for (const whose of [at(server), on(realm)]) {
      for (const method of ['POST', 'PUT', 'PATCH', 'DELETE']) assertProblem(await first.ask(method, `${whose}/audit`, { rows: [] }), 405);
    }
    assert.deepEqual([await first.audit(at(server)), await first.audit(on(realm))], before);
  });
});

describe('a crash', () => {
  test('loses nothing of what was answered', () =>
    withBouncer({ ADMIN_SECRET: SECRET }, async (own) => {
      const operator = firstOperator(own);
      const { server, realm } = await own.readyRealm();
      const [off, gone, fresh] = [await own.server(), await own.server(), await own.ready()];
      const moving = newRealm(9);
      await report(server, [realm, moving]);
      const viewer = (await operator.hire('viewer')).operator;
      const ended = await operator.hire('admin');
      await operator.act('DELETE', `operators/${ended.id}`);
      await operator.changePlan(at(server), { plan: { tier: 104, licenses: 30, automanage_licenses: false } });
      await operator.act('POST', `${at(off)}/deactivate`, { reason: 'owner_request' });
      const key = keep((await operator.act('POST', `${at(fresh)}/rotate`)).zulip_org_key);
      assert.equal((await operator.move(moving, fresh)).status, 200);
      await operator.act('DELETE', at(gone));
      await own.service.crashAndRestart();

      assert.equal((await viewer.get('metrics')).status, 200);
      assertProblem(await ended.operator.get('metrics'), 401);
      const found = await operator.read(at(server));
      assert.deepEqual([found.plan_type, found.billing.plan.licenses, found.billing.plan.tier], [104, 30, 104]);
      assert.deepEqual(types(await operator.audit(at(off))), [10215, 10201]);
      assertStranger(await off.status(), GONE);
      assert.equal((await fresh.status()).status, 401);
      fresh.key = key;
      assert.equal((await fresh.reportRealms([moving])).status, 200);
      await until('the old server knows', async () => (await server.notifySealed(moving, [])).status === 403, 60_000);
      assert.equal((await gone.status()).status, 401);
      await own.server(gone.hostname);
      const all = await until('the list is right', async () => {
        const rows = await operator.all('servers', 'servers', 1);
        return rows.length === 4 && rows;
      }, 20_000, 200);
      assert.ok(!all.some((row: any) => row.uuid === gone.uuid));
      assert.equal((await operator.all('operators', 'tokens')).length, 2);
    }));

  test('in the middle leaves nothing half done', () =>
    withBouncer({ ADMIN_SECRET: SECRET }, async (own) => {
      const operator = firstOperator(own);
      for (let round = 0; round < 4; round += 1) {
        const { server, realm } = await own.readyRealm();
        const [fresh, off] = [await own.ready(), await own.server()];
        const pending = [operator.move(realm, fresh), operator.ask('POST', `${at(off)}/deactivate`), operator.plan(at(server), { plan: { tier: 103 } })];
        const settled = Promise.allSettled(pending);
        await Promise.race(pending);
        await own.service.crashAndRestart();
        const [moved, ended] = await settled;
        // What was answered holds; what was not may hold or not, but whole.
        const isOff = (await operator.read(at(off))).deactivated;
        if (ended?.status === 'fulfilled') assert.equal(isOff, true);
        assert.deepEqual(types(await operator.audit(at(off))), isOff ? [10215, 10201] : [10215]);
        assert.equal((await off.status()).status, isOff ? 401 : 200);
        if (moved?.status === 'fulfilled') assert.equal(moved.value.status, 200);
        const plan = (await operator.read(at(server))).billing.plan;
        assert.equal(ofType(await operator.audit(at(server)), 502).length, plan === null ? 0 : 1);
        // Asking again finishes it.
        await until('the organization has moved', async () => {
          const again = await operator.move(realm, fresh);
          return again.status === 200 || (again.status === 409 && /already/.test(again.text));
        }, 10_000);
        // What the old server was being told when all ended is told again after twenty seconds.
        await until('the new server has it, the old has not', async () =>
          (await fresh.notifySealed(realm, [])).status === 200 && (await server.notifySealed(realm, [])).status === 403, 60_000);
      }
    }));
});
