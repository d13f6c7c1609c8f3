// What a server may upload and in which form: fields, types, tables and marks. push-bouncer.md 1.3, 1.14, 1.15, 2.6, 2.7, 3.3 and 8.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { assertRefused, assertRefusedSomehow, assertSuccess, BASE, Bouncer, OLD_PLAN } from './support/push/bouncer.ts';
import { form, newRealm } from './support/push/client.ts';
import type { Fields, Realm, RemoteServer } from './support/push/client.ts';
import {
  ADMIN_SECRET, auditRow, EVENTS, FORWARDED, heads, hour, marks, MESSAGES, Operator, OUT_OF_ORDER, PROPERTIES, pythonJson, realmCount, realmRow, RECEIVED,
  reportOnly, serverCount, systemBotRealm, UNKEPT, upload, uploaded, uploadFields,
} from './support/push/upload.ts';
import type { Answer } from './support/service.ts';

let bouncer: Bouncer;
let operator: Operator;
before(async () => {
  bouncer = await Bouncer.start({ ADMIN_SECRET });
  operator = new Operator(bouncer);
});
after(() => bouncer.finish());

const CAN_PUSH = { can_push: true, expected_end_timestamp: null };
const TABLES = ['realm_counts', 'installation_counts', 'realmauditlog_rows'];
const bad = (answer: Answer, msg: string): void => assertRefused(answer, 400, 'BAD_REQUEST', msg);

/** A server with one realm, which it has reported. */
async function made(): Promise<{ server: RemoteServer; realm: Realm }> {
  const [server, realm] = [await bouncer.server(), newRealm()];
  await uploaded(server, { realms: [realmRow(realm)] });
  return { server, realm };
}

/** A server's upload with one field replaced by a text as it is. */
const raw = (server: RemoteServer, more: Fields): Promise<Answer> => server.form('server/analytics', { ...uploadFields(server), ...more });

describe('the status', () => {
  test('is zero before the first upload', async () => {
    const server = await bouncer.server();
    assertSuccess(await server.status(), { last_realm_count_id: 0, last_installation_count_id: 0, last_realmauditlog_id: 0 });
  });

  test('is the last id of each table, of this server alone', async () => {
    const [{ server, realm }, other] = [await made(), await made()];
    await uploaded(server, { realm_counts: [realmCount(3, realm), realmCount(7, realm)] });
    assertSuccess(await server.status(), { last_realm_count_id: 7, last_installation_count_id: 0, last_realmauditlog_id: 0 });
    await uploaded(server, { installation_counts: [serverCount(11)], realmauditlog_rows: [auditRow(13, realm)] });
    assertSuccess(await server.status(), { last_realm_count_id: 7, last_installation_count_id: 11, last_realmauditlog_id: 13 });
    assert.deepEqual(await marks(other.server), [0, 0, 0]);
    await uploaded(other.server, { realm_counts: [realmCount(3, other.realm)] });
    assert.deepEqual(await marks(server), [7, 11, 13]);
  });

  test('does not see what the bouncer wrote itself', async () => {
    const { server, realm } = await made();
    await uploaded(server, { realms: [realmRow(realm, { name: 'Another' })] });
    assert.equal((await operator.realmEvents(realm)).length, 1);
    assert.deepEqual(await marks(server), [0, 0, 0]);
  });

  test('is read only', async () => {
    const server = await bouncer.server();
    const answer = await server.form('server/analytics/status', {});
    assert.deepEqual([answer.status, answer.json], [405, { result: 'error', msg: 'Method Not Allowed', allowed_methods: answer.json.allowed_methods }]);
    assert.ok(answer.json.allowed_methods.includes('GET'));
    const read = await server.form('server/analytics', {}, 'GET');
    assert.deepEqual([read.status, read.json.allowed_methods], [405, ['POST']]);
  });
});

describe('a field', () => {
  const good: Fields = {
    realm_counts: '[]', installation_counts: '[]', realmauditlog_rows: '[]', realms: '[]', version: '"12.0"', merge_base: '"12.0"', api_feature_level: '450',
  };

  test('that is needed is named, the first one', async () => {
    const server = await bouncer.server();
    for (const name of ['realm_counts', 'installation_counts']) {
      assertRefused(await raw(server, { [name]: undefined }), 400, 'REQUEST_VARIABLE_MISSING', `Missing '${name}' argument`, { var_name: name });
    }
    const none = await server.form('server/analytics', {});
    assertRefused(none, 400, 'REQUEST_VARIABLE_MISSING', "Missing 'realm_counts' argument", { var_name: 'realm_counts' });
  });

  for (const name of Object.keys(good)) {
    test(`is JSON: ${name}`, async () => {
      const server = await bouncer.server();
      for (const text of ['', 'x', '[', "{'a': 1}", '[1,]', '12.0.1']) bad(await raw(server, { [name]: text }), `${name} is not valid JSON`);
    });
  }

  test('has its type', async () => {
    const server = await bouncer.server();
    for (const name of [...TABLES, 'realms']) for (const text of ['{}', '"[]"', '7', 'true']) bad(await raw(server, { [name]: text }), `${name} is not a list`);
    for (const name of ['version', 'merge_base']) for (const text of ['12', '[]', '{}', 'true']) bad(await raw(server, { [name]: text }), `${name} is not a string`);
    for (const text of ['"450"', '4.5', 'true', '[450]']) bad(await raw(server, { api_feature_level: text }), 'api_feature_level is not an integer');
    for (const name of ['realm_counts', 'installation_counts']) bad(await raw(server, { [name]: 'null' }), `${name} is not a list`);
  });

  test('is found in the query too', async () => {
    const server = await bouncer.server();
    const answer = await bouncer.service.ask('POST', `${BASE}/server/analytics?${form({ installation_counts: '[]', version: '"11.4"' })}`, {
      headers: { ...server.headers, 'Content-Type': 'application/x-www-form-urlencoded' }, body: form({ realm_counts: '[]' }),
    });
    assertSuccess(answer, { realms: {} });
    assert.equal((await operator.server(server)).last_version, '11.4');
  });

  test('that nobody knows is named, and hinders nothing', async () => {
    const { server } = await made();
    const answer = await upload(server, { realm_counts: [], teapots: [1], coffee: 2 });
    assertSuccess(answer, { realms: {}, ignored_parameters_unsupported: ['coffee', 'teapots'] });
  });

  test('says which version the server has, and forgets what is no longer said', async () => {
    const server = await bouncer.server();
    const said = async (): Promise<unknown[]> => {
      const { last_version, last_merge_base, last_api_feature_level } = await operator.server(server);
      return [last_version, last_merge_base, last_api_feature_level];
    };
    assert.deepEqual(await said(), [null, null, null]);
    await uploaded(server, { version: '12.0-rc1+git', merge_base: '11.5', api_feature_level: 470 });
    assert.deepEqual(await said(), ['12.0-rc1+git', '11.5', 470]);
    await uploaded(server, { version: 'v'.repeat(128), merge_base: 'm'.repeat(128) });
    assert.deepEqual(await said(), ['v'.repeat(128), 'm'.repeat(128), 450]);
    await uploaded(server, { version: `${'w'.repeat(128)}cut`, merge_base: 'b' });
    assert.deepEqual(await said(), ['w'.repeat(128), 'b', 450]);
    bad(await upload(server, { version: 'x', merge_base: 'm'.repeat(129) }), 'merge_base is too long (limit: 128 characters)');
    assert.deepEqual(await said(), ['w'.repeat(128), 'b', 450]);
    await uploaded(server, { version: undefined, merge_base: undefined, api_feature_level: undefined });
    assert.deepEqual(await said(), [null, null, null]);
  });
});

/** Values that are not of a type, and what is said of them. */
const WRONG: Record<string, [string, unknown[]]> = {
  string: ['a string', [7, true, null, [], {}]],
  integer: ['an integer', ['7', 1.5, true, null, []]],
  float: ['a float', ['7', true, null, []]],
  boolean: ['a boolean', ['true', 1, 0, null]],
  dict: ['a dict', ['{}', 7, null, []]],
};
const without = (row: object, key: string): object => Object.fromEntries(Object.entries(row).filter(([name]) => name !== key));

describe('a row', () => {
  const realm = newRealm();
  const rows: Record<string, [object, Record<string, string>]> = {
    realm_counts: [realmCount(1, realm), { property: 'string', realm: 'integer', id: 'integer', end_time: 'float', value: 'integer' }],
    installation_counts: [serverCount(1), { property: 'string', id: 'integer', end_time: 'float', value: 'integer' }],
    realmauditlog_rows: [auditRow(1, realm), { id: 'integer', realm: 'integer', event_time: 'float', backfilled: 'boolean', event_type: 'integer' }],
  };
  for (const [table, [row, types]] of Object.entries(rows)) {
    test(`of ${table} is a dict of members with their types`, async () => {
      const server = await bouncer.server();
      for (const wrong of [7, 'x', null, [], true]) bad(await upload(server, { [table]: [wrong] }), `${table}[0] is not a dict`);
      for (const [member, type] of Object.entries(types)) {
        const [words = '', wrongs = []] = WRONG[type] ?? [];
        for (const wrong of wrongs) bad(await upload(server, { [table]: [{ ...row, [member]: wrong }] }), `${table}[0]["${member}"] is not ${words}`);
      }
      assert.deepEqual(await marks(server), [0, 0, 0]);
    });

    test(`of ${table} misses nothing`, async () => {
      const server = await bouncer.server();
      for (const member of Object.keys(row)) {
        bad(await upload(server, { [table]: [row, without({ ...row, id: 2 }, member)] }), `${table}[1]["${member}"] field is missing: Field required`);
      }
    });

    test(`of ${table} may have members that nobody knows`, async () => {
      const { server } = await made();
      assertSuccess(await upload(server, { [table]: [{ ...row, colour: { of: ['its', null] } }] }), { realms: {} });
      assert.equal((await marks(server)).reduce((sum, mark) => sum + mark, 0), 1);
    });
  }

  test('has a subgroup or null, and data or null', async () => {
    const server = await bouncer.server();
    for (const wrong of [7, true, []]) {
      for (const [table, row] of [['realm_counts', realmCount(1, realm)], ['installation_counts', serverCount(1)]] as const) {
        bad(await upload(server, { [table]: [{ ...row, subgroup: wrong }] }), `${table}[0]["subgroup"] is not a string`);
      }
      const data = await upload(server, { realmauditlog_rows: [auditRow(1, realm, {}, { extra_data: wrong })] });
      assertRefusedSomehow(data, 400);
      assert.match(data.json.msg, /^realmauditlog_rows\[0\]\["extra_data"\].* is not a (string|dict)$/);
    }
  });

  test('is the first that is wrong, wherever the others are', async () => {
    const server = await bouncer.server();
    const [wrong, worse] = [{ ...realmCount(1, realm), value: '1' }, { ...realmCount(2, realm), id: null }];
    bad(await upload(server, { realm_counts: [realmCount(1, realm), wrong, worse] }), 'realm_counts[1]["value"] is not an integer');
    bad(await upload(server, { realm_counts: [worse, wrong] }), 'realm_counts[0]["id"] is not an integer');
    const both = { realm_counts: [wrong], realmauditlog_rows: [7] };
    bad(await upload(server, both), 'realm_counts[0]["value"] is not an integer');
    // What is no table at all is found before what stands in one.
    bad(await upload(server, { realm_counts: [{ ...realmCount(1, realm), property: 'x' }], realmauditlog_rows: [7] }), 'realmauditlog_rows[0] is not a dict');
  });

  test('may have a whole number or a fraction as its time', async () => {
    const { server, realm: own } = await made();
    const time = hour(1);
    const texts = [1, 2, 3].map((id) => pythonJson(realmCount(id, own, { end_time: time, subgroup: `s${id}` })));
    assert.ok(texts[0]?.includes(`"end_time":${time}.0`));
    const [, whole = '', fraction = ''] = texts;
    const list = [texts[0], whole.replace('.0,', ','), fraction.replace('.0,', '.25,')];
    assert.equal((await raw(server, { realm_counts: `[${list.join(', ')}]` })).status, 200);
    const kept = await operator.realmCounts(own);
    assert.deepEqual(kept.map((row) => [row.subgroup, row.end_time]).slice(0, 2), [['s1', time], ['s2', time]]);
    assert.equal(kept.length, 3);
  });

  test('has no number that could not be kept exactly', async () => {
    const { server, realm: own } = await made();
    for (const [member, text] of [['id', '9223372036854775807'], ['value', '9223372036854775807'], ['id', '1e300'], ['value', '99999999999999999999999']]) {
      const row = pythonJson(realmCount(1, own, { value: 5 })).replace(new RegExp(`"${member}":\\d+`), `"${member}":${text}`);
      assertRefusedSomehow(await raw(server, { realm_counts: `[${row}]` }), 400);
    }
    assert.deepEqual([await marks(server), await operator.realmCounts(own)], [[0, 0, 0], []]);
  });
});

describe('a realm', () => {
  const types = {
    id: 'integer', host: 'string', url: 'string', name: 'string', org_type: 'integer', date_created: 'float', deactivated: 'boolean',
    is_system_bot_realm: 'boolean', authentication_methods: 'dict', uuid_owner_secret: 'string',
  };

  test('is a dict of members with their types', async () => {
    const server = await bouncer.server();
    for (const wrong of [7, 'x', null, []]) bad(await upload(server, { realms: [realmRow(newRealm()), wrong] }), 'realms[1] is not a dict');
    for (const [member, type] of Object.entries(types)) {
      const [words = '', wrongs = []] = WRONG[type] ?? [];
      for (const wrong of wrongs) {
        bad(await upload(server, { realms: [realmRow(newRealm(), { [member]: wrong })] }), `realms[0]["${member}"] is not ${words}`);
      }
    }
    for (const wrong of ['yes', 1, null]) {
      const row = realmRow(newRealm(), { authentication_methods: { Email: true, Google: wrong } });
      bad(await upload(server, { realms: [row] }), 'realms[0]["authentication_methods"]["Google"] is not a boolean');
    }
    assert.deepEqual(await operator.realms(server), []);
  });

  test('has a UUID', async () => {
    const server = await bouncer.server();
    for (const uuid of ['', 'nobody', 7, null, randomUUID().slice(1), `${randomUUID()}0`, `${randomUUID().slice(0, -1)}g`]) {
      assertRefusedSomehow(await upload(server, { realms: [realmRow(newRealm(), { uuid })] }), 400);
    }
    assert.deepEqual(await operator.realms(server), []);
  });

  test('has a UUID of version 4', async () => {
    const server = await bouncer.server();
    const others = ['c232ab00-9414-11ec-b3c8-9f6bdeced846', '00000000-0000-0000-0000-000000000000', '017f22e2-79b0-7cc3-98c4-dc0c0c07398f'];
    for (const uuid of others) assertRefusedSomehow(await upload(server, { realms: [realmRow(newRealm(), { uuid })] }), 400);
    assert.deepEqual(await operator.realms(server), []);
  });

  test('misses nothing that is needed', async () => {
    const server = await bouncer.server();
    for (const member of ['id', 'host', 'url', 'date_created', 'deactivated', 'uuid', 'uuid_owner_secret']) {
      const realms = [realmRow(newRealm(1)), without(realmRow(newRealm(2)), member)];
      bad(await upload(server, { realms }), `realms[1]["${member}"] field is missing: Field required`);
    }
  });

  test('of a server of 8.0 says less', async () => {
    const [server, realm] = [await bouncer.server(), newRealm()];
    const { name: _1, org_type: _2, is_system_bot_realm: _3, authentication_methods: _4, ...row } = realmRow(realm);
    assertSuccess(await upload(server, { realms: [row], api_feature_level: 237 }), { realms: { [realm.uuid]: CAN_PUSH } });
    const { name, org_type, is_system_bot_realm, authentication_methods } = await operator.realm(realm);
    assert.deepEqual([name, org_type, is_system_bot_realm, authentication_methods], ['', 0, false, {}]);
  });

  test('is of a kind of organizations that there is', async () => {
    const server = await bouncer.server();
    for (const org_type of [1, 5, 15, 110, -1, 999, 1001]) {
      bad(await upload(server, { realms: [realmRow(newRealm(), { org_type })] }), 'Invalid realms[0]["org_type"]: Value error, Not a valid org_type value');
    }
    const row = realmRow(newRealm(2), { org_type: 7 });
    bad(await upload(server, { realms: [realmRow(newRealm()), row] }), 'Invalid realms[1]["org_type"]: Value error, Not a valid org_type value');
    const realms = [0, 10, 20, 30, 35, 40, 50, 60, 70, 80, 90, 100, 1000].map((org_type, i) => realmRow(newRealm(i + 1), { org_type }));
    await uploaded(server, { realms });
    assert.deepEqual((await operator.realms(server)).map((realm) => realm.org_type).sort((a, b) => a - b), realms.map((realm) => realm.org_type));
  });

  test('may say what nobody knows, and may wish to be found', async () => {
    const server = await bouncer.server();
    const advertise = {
      description: 'Everyone', icon_url: 'https://x.test/i.png', invite_required: false, emails_restricted_to_domains: false, has_web_public_streams: true,
      is_demo_organization: false,
    };
    const realms = [newRealm(1), newRealm(2), newRealm(3), newRealm(4)];
    const says = [{ advertise_realm_data: advertise }, { advertise_realm_data: null }, { advertise_realm_data: { ...advertise, description: null, extra: 1 } }, { zz: [{}] }];
    const answer = await upload(server, { realms: realms.map((realm, i) => realmRow(realm, says[i])) });
    assertSuccess(answer, { realms: Object.fromEntries(realms.map((realm) => [realm.uuid, CAN_PUSH])) });
    const wish = async (realm?: Realm): Promise<boolean> => (await operator.realm(realm ?? newRealm())).asks_to_advertise_in_communities_directory;
    assert.deepEqual([await wish(realms[0]), await wish(realms[1]), await wish(realms[3])], [true, false, false]);
  });
});

describe('a table', () => {
  const counted = (table: string, id: number, realm: Realm, more: object): object =>
    table === 'realm_counts' ? realmCount(id, realm, more) : serverCount(id, more);

  test('holds properties that are known, and not the bouncer’s own', async () => {
    const { server, realm } = await made();
    for (const property of [RECEIVED, FORWARDED, 'messages_sent:is_bot:day', 'anything', '', 'x'.repeat(200), 'Messages_sent:is_bot:hour', 'ünï "quoted"']) {
      for (const table of ['realm_counts', 'installation_counts']) {
        bad(await upload(server, { [table]: [counted(table, 1, realm, {}), counted(table, 2, realm, { property })] }), `Invalid property ${property}`);
      }
    }
    assert.deepEqual(await marks(server), [0, 0, 0]);
  });

  test('of counts keeps what is to be kept, and passes over the rest', async () => {
    const { server, realm } = await made();
    const all = [...PROPERTIES, ...UNKEPT];
    const rows = (table: string): object[] => all.map((property, i) => counted(table, i + 1, realm, { property, end_time: hour(3), value: i + 100 }));
    await uploaded(server, { realm_counts: rows('realm_counts'), installation_counts: rows('installation_counts') });
    assert.deepEqual(await marks(server), [all.length, all.length, 0]);
    for (const [i, property] of PROPERTIES.entries()) {
      const kept = [{ property, subgroup: 'false', end_time: hour(3), value: i + 100 }];
      assert.deepEqual([await operator.realmCounts(realm, property), await operator.serverCounts(server, property)], [kept, kept]);
    }
    for (const property of UNKEPT) {
      for (const counts of [`servers/${server.uuid}`, `realms/${realm.uuid}`]) {
        const answer = await operator.ask('GET', `${counts}/counts?property=${encodeURIComponent(property)}`);
        assert.deepEqual(answer.json?.rows ?? [], [], answer.text);
      }
    }
  });

  test('of what was only passed over still moves its mark', async () => {
    const { server, realm } = await made();
    await uploaded(server, { realm_counts: [realmCount(41, realm, { property: UNKEPT[0] ?? '' })], installation_counts: [serverCount(42, { property: UNKEPT[1] ?? '' })] });
    assert.deepEqual(await marks(server), [41, 42, 0]);
    bad(await upload(server, { realm_counts: [realmCount(41, realm)] }), OUT_OF_ORDER);
  });

  test('of audit rows holds events that are known', async () => {
    const { server, realm } = await made();
    for (const event_type of [0, -1, 1, 100, 106, 203, 204, 215, 401, 501, 502, 724, 10201, 10215, 20001, 20003, 20004]) {
      bad(await upload(server, { realmauditlog_rows: [auditRow(1, realm), auditRow(2, realm, {}, { event_type })] }), 'Invalid event type.');
    }
    assert.deepEqual(await marks(server), [0, 0, 0]);
    const rows = EVENTS.map((event_type, i) => auditRow(i + 1, realm, { owners: 1 }, { event_type, backfilled: i % 2 === 0 }));
    await uploaded(server, { realmauditlog_rows: rows });
    const kept = (await operator.realmAudit(realm)).map((row) => [row.remote_id, row.event_type, row.realm_id, row.backfilled]);
    assert.deepEqual(kept, EVENTS.map((event, i) => [i + 1, event, realm.id, i % 2 === 0]));
  });

  for (const table of TABLES) {
    test(`has ids that only grow: ${table}`, async () => {
      const { server, realm } = await made();
      const row = (id: number): object => (table === 'realmauditlog_rows' ? auditRow(id, realm) : counted(table, id, realm, {}));
      const send = (...ids: number[]): Promise<Answer> => upload(server, { [table]: ids.map(row) });
      for (const ids of [[0], [-1], [2, 1], [1, 2, 2], [5, 6, 4], [1, 1]]) bad(await send(...ids), OUT_OF_ORDER);
      assert.deepEqual(await marks(server), [0, 0, 0]);
      assertSuccess(await send(3, 5, 100), { realms: {} });
      for (const ids of [[100], [99, 101], [1], [4], [101, 100], [3, 5, 100]]) bad(await send(...ids), OUT_OF_ORDER);
      assertSuccess(await send(101), { realms: {} });
      assert.equal((await marks(server)).at(TABLES.indexOf(table)), 101);
    });
  }

  test('is walked in order, and the tables in theirs', async () => {
    const { server, realm } = await made();
    const wrong = realmCount(1, realm, { property: 'x' });
    bad(await upload(server, { realm_counts: [wrong, realmCount(0, realm)] }), 'Invalid property x');
    bad(await upload(server, { realm_counts: [realmCount(2, realm), realmCount(1, realm), realmCount(3, realm, { property: 'x' })] }), OUT_OF_ORDER);
    bad(await upload(server, { realm_counts: [realmCount(2, realm), wrong] }), 'Invalid property x');
    bad(await upload(server, { realm_counts: [wrong], installation_counts: [serverCount(0)] }), 'Invalid property x');
    bad(await upload(server, { installation_counts: [serverCount(0)], realmauditlog_rows: [auditRow(1, realm, {}, { event_type: 7 })] }), OUT_OF_ORDER);
    bad(await upload(server, { realmauditlog_rows: [auditRow(0, realm, {}, { event_type: 7 })] }), 'Invalid event type.');
  });

  test('of audit rows has data that is JSON, whatever wraps it', async () => {
    const { server, realm } = await made();
    for (const extra_data of ['', 'x', "{'10': {}}", '{"10":']) {
      bad(await upload(server, { realmauditlog_rows: [auditRow(1, realm), auditRow(2, realm, {}, { extra_data })] }), 'Malformed audit log data');
    }
    const data = heads({ owners: 2, guests: 1 });
    const rows = [data, JSON.stringify(data), null, '{}', {}].map((extra_data, i) => auditRow(i + 1, realm, {}, { extra_data }));
    await uploaded(server, { realmauditlog_rows: rows });
    assert.deepEqual((await operator.realmAudit(realm)).map((row) => row.extra_data), [data, data, {}, {}, {}].map((value) => JSON.parse(JSON.stringify(value))));
  });
});

describe('a server', () => {
  test('of 2.0 sends two tables and nothing else', async () => {
    const [server, realm] = [await bouncer.server(), newRealm()];
    const old = (id: number): Fields => ({ realm_counts: JSON.stringify([realmCount(id, realm)]), installation_counts: JSON.stringify([serverCount(id)]) });
    assertSuccess(await server.form('server/analytics', old(1)), { realms: {} });
    assertSuccess(await server.form('server/analytics', old(2)), { realms: {} });
    assert.deepEqual(await marks(server), [2, 2, 0]);
    assert.deepEqual((await operator.serverCounts(server)).map((row) => row.value).sort(), [1, 2]);
    assert.deepEqual((({ last_version: a, last_audit_log_update: b, realms: c }) => [a, b, c])(await operator.server(server)), [null, null, 0]);
    // It has not told its users, and is too old to be told why that matters.
    assertRefused(await server.notify({ user_id: 10 }), 400, 'INVALID_ZULIP_SERVER', OLD_PLAN);
  });

  test('of 7 sends three tables, its data as text, and may push', async () => {
    const [server, realm] = [await bouncer.server(), newRealm()];
    const rows = [auditRow(1, realm, {}, { extra_data: JSON.stringify(heads({ owners: 1, members: 9 })) })];
    const sent = { realm_counts: [realmCount(1, realm)], realmauditlog_rows: rows, version: '7.5', merge_base: undefined, api_feature_level: undefined };
    assertSuccess(await upload(server, sent), { realms: {} });
    assert.equal((await server.notify({ user_id: 10 })).status, 200);
    const more = [auditRow(2, realm, {}, { extra_data: JSON.stringify(heads({ owners: 1, members: 10 })) })];
    assertSuccess(await upload(server, { ...sent, realm_counts: [], realmauditlog_rows: more }), { realms: {} });
    assertRefused(await server.notify({ user_id: 10 }), 400, 'INVALID_ZULIP_SERVER', OLD_PLAN);
  });

  test('that tells nothing of its users sends its realms', async () => {
    const [server, realm] = [await bouncer.server(), newRealm()];
    const answer = await reportOnly(server, [realmRow(realm), systemBotRealm(newRealm(2))]);
    assert.equal(answer.status, 200, answer.text);
    assert.equal((await operator.server(server)).last_audit_log_update, null);
    assert.deepEqual(answer.json.realms[realm.uuid], { can_push: false, expected_end_timestamp: null });
  });

  test('of today is answered with the realms that it reports now, its bots’ too, and no others', async () => {
    const server = await bouncer.server();
    const [one, two, bots] = [newRealm(1), newRealm(2), newRealm(3)];
    const reply = (...realms: Realm[]): object => ({ realms: Object.fromEntries(realms.map((realm) => [realm.uuid, CAN_PUSH])) });
    assertSuccess(await upload(server, { realms: [realmRow(one), realmRow(two), systemBotRealm(bots)] }), reply(one, two, bots));
    assertSuccess(await upload(server, { realms: [realmRow(two)] }), reply(two));
    assertSuccess(await upload(server), { realms: {} });
    assertSuccess(await upload(server, { realms: [] }), { realms: {} });
  });

  test('is kept from uploading for another', async () => {
    const [{ server, realm }, { server: thief }] = [await made(), await made()];
    const before = await operator.everything(server, [realm]);
    await uploaded(thief, { realm_counts: [realmCount(1, realm, { value: 666 })], realmauditlog_rows: [auditRow(1, realm, { members: 999 })] });
    assert.deepEqual(await operator.everything(server, [realm]), before, 'numbers of realms mean something on their own server only');
    assert.deepEqual((await reportOnly(server, [realmRow(realm)])).json.realms, { [realm.uuid]: CAN_PUSH });
  });

  test('reads what it has sent, of itself and of its realms, by time', async () => {
    const [{ server, realm }, other] = [await made(), await made()];
    const counts = [6, 5, 4, 3, 2, 1];
    await uploaded(server, {
      realm_counts: counts.map((n, i) => realmCount(i + 1, realm, { end_time: hour(n), value: n })),
      installation_counts: counts.map((n, i) => serverCount(i + 1, { end_time: hour(n), value: 10 * n })),
    });
    const range = `from=${hour(5) - 1}&to=${hour(2) + 1}`;
    const read = async (who: RemoteServer, more: string): Promise<Answer> => who.form(`server/counts?property=${MESSAGES}&${range}${more}`, {}, 'GET');
    const values = (answer: Answer): number[] => answer.json.rows.map((row: { value: number }) => row.value);
    assert.deepEqual(values(await read(server, '')), [50, 40, 30, 20]);
    assert.deepEqual(values(await read(server, `&realm_uuid=${realm.uuid}`)), [5, 4, 3, 2]);
    assert.deepEqual(values(await read(other.server, '')), []);
    assert.equal((await read(other.server, `&realm_uuid=${realm.uuid}`)).status, 403);
    for (const [path, expected] of [[`servers/${server.uuid}`, [50, 40, 30, 20]], [`realms/${realm.uuid}`, [5, 4, 3, 2]]] as const) {
      assert.deepEqual(values(await operator.ask('GET', `${path}/counts?property=${MESSAGES}&${range}`)), expected);
    }
  });
});
