// What uploads leave behind: all or nothing, once, however many come at once or die on the way. push-bouncer.md 1.15, 3.3, 3.7 and 8.7.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { assertRefused, assertSuccess, Bouncer } from './support/push/bouncer.ts';
import { newKey, newRealm } from './support/push/client.ts';
import type { Fields, Realm, RemoteServer } from './support/push/client.ts';
import {
  ADMIN_SECRET, auditRow, hour, marks, Operator, OUT_OF_ORDER, realmCount, realmRow, reportOnly, ROWS_MAX, serverCount, Tables, UNKEPT, upload, uploaded,
} from './support/push/upload.ts';
import type { Answer } from './support/service.ts';
import { until } from './support/service.ts';

let bouncer: Bouncer;
let operator: Operator;
before(async () => {
  bouncer = await Bouncer.start({ ADMIN_SECRET });
  operator = new Operator(bouncer);
});
after(() => bouncer.finish());

const CAN_PUSH = { can_push: true, expected_end_timestamp: null };
const DUPLICATE = 'Duplicate registration detected.';
const bad = (answer: Answer, msg: string): void => assertRefused(answer, 400, 'BAD_REQUEST', msg);

/** A server with one realm, which it has reported. */
async function made(more: Fields = {}): Promise<{ server: RemoteServer; realm: Realm }> {
  const [server, realm] = [await bouncer.server(), newRealm()];
  await uploaded(server, { realms: [realmRow(realm, more)] });
  return { server, realm };
}

describe('an upload with an error', () => {
  const taken = newRealm(9);
  before(async () => {
    await uploaded(await bouncer.server(), { realms: [realmRow(taken)] });
  });

  const errors: [string, (realm: Realm) => Fields, string][] = [
    ['in a type', (realm) => ({ realmauditlog_rows: [auditRow(11, realm, {}, { event_time: 'now' as never })] }), 'realmauditlog_rows[0]["event_time"] is not a float'],
    ['in a realm', (realm) => ({ realms: [realmRow(realm, { name: 'New' }), realmRow(newRealm(2), { org_type: 3 })] }), 'Invalid realms[1]["org_type"]: Value error, Not a valid org_type value'],
    ['in the feature level', () => ({ api_feature_level: '451' }), 'api_feature_level is not an integer'],
    ['in a property of a realm', (realm) => ({ realm_counts: [realmCount(11, realm), realmCount(12, realm, { property: 'x' })] }), 'Invalid property x'],
    ['in a property of the server', () => ({ installation_counts: [serverCount(11), serverCount(12, { property: 'y' })] }), 'Invalid property y'],
    ['in an event', (realm) => ({ realmauditlog_rows: [auditRow(11, realm), auditRow(12, realm, {}, { event_type: 20001 })] }), 'Invalid event type.'],
    ['in the order', (realm) => ({ realmauditlog_rows: [auditRow(11, realm), auditRow(11, realm)] }), OUT_OF_ORDER],
    ['in data', (realm) => ({ realmauditlog_rows: [auditRow(11, realm), auditRow(12, realm, {}, { extra_data: '{' })] }), 'Malformed audit log data'],
    ['in who owns a realm', (realm) => ({ realms: [realmRow(newRealm(3)), realmRow(realm, { host: 'new.test' }), realmRow(taken)] }), DUPLICATE],
  ];
  for (const [what, fields, msg] of errors) {
    test(`${what} leaves nothing behind`, async () => {
      const { server, realm } = await made();
      await uploaded(server, { realm_counts: [realmCount(5, realm)], installation_counts: [serverCount(5)], realmauditlog_rows: [auditRow(5, realm)] });
      const before = await operator.everything(server, [realm]);
      const valid = {
        version: '99.0', merge_base: '99', api_feature_level: 999, realms: [realmRow(realm, { host: 'moved.test', name: 'Renamed' }), realmRow(newRealm(2))],
        realm_counts: [realmCount(6, realm)], installation_counts: [serverCount(6)], realmauditlog_rows: [auditRow(6, realm, { members: 500 })],
      };
      bad(await upload(server, { ...valid, ...fields(realm) }), msg);
      assert.deepEqual(await operator.everything(server, [realm]), before);
      assert.deepEqual((await reportOnly(server, [realmRow(realm)])).json.realms, { [realm.uuid]: CAN_PUSH });
      assertSuccess(await upload(server, { ...valid, realms: undefined }), { realms: {} });
    });
  }

  test('at its end is refused for what comes first', async () => {
    const { server, realm } = await made();
    const malformed = { realmauditlog_rows: [auditRow(1, realm, {}, { extra_data: '{' })] };
    bad(await upload(server, { ...malformed, realms: [realmRow(taken)] }), DUPLICATE);
    bad(await upload(server, { ...malformed, realms: [realmRow(taken)], realm_counts: [realmCount(0, realm)] }), OUT_OF_ORDER);
  });

  test('does not make a silent server fresh', async () => {
    const [server, realm] = [await bouncer.server(), newRealm()];
    bad(await upload(server, { realmauditlog_rows: [auditRow(1, realm, {}, { event_type: 7 })] }), 'Invalid event type.');
    assert.equal((await operator.server(server)).last_audit_log_update, null);
  });
});

describe('a row', () => {
  test('that repeats a count under another number is dropped, and acknowledged', async () => {
    const { server, realm } = await made();
    const at = { end_time: hour(2) };
    await uploaded(server, { realm_counts: [realmCount(1, realm, { ...at, value: 10 })], installation_counts: [serverCount(1, { ...at, value: 20 })] });
    // As when a server has computed its statistics anew.
    const again = { realm_counts: [realmCount(8, realm, { ...at, value: 11 })], installation_counts: [serverCount(9, { ...at, value: 21 })] };
    assertSuccess(await upload(server, again), { realms: {} });
    assert.deepEqual(await marks(server), [8, 9, 0]);
    assert.deepEqual([await operator.realmCounts(realm), await operator.serverCounts(server)].map((rows) => rows.map((row) => row.value)), [[10], [20]]);
    bad(await upload(server, again), OUT_OF_ORDER);
  });

  test('that is dropped is told to the operator', async () => {
    const { server, realm } = await made();
    const at = { end_time: hour(2) };
    for (const first of [1, 3]) {
      await uploaded(server, { realm_counts: [realmCount(first, realm, at), realmCount(first + 1, realm, { end_time: hour(first + 5) })], installation_counts: [serverCount(first, at)] });
    }
    const said = (kept: string): boolean =>
      bouncer.service.lines.some((line) => line.includes(`Dropped 1 duplicated rows while saving ${kept} rows of`) && line.includes(`for server ${server.hostname}/${server.uuid}`));
    await until('a line for each table', () => said('2') && said('1'));
  });

  test('of another hour, subgroup, property or realm is another, also without a subgroup', async () => {
    const [server, one, two] = [await bouncer.server(), newRealm(1), newRealm(2)];
    await uploaded(server, { realms: [realmRow(one), realmRow(two)] });
    const at = { end_time: hour(2), subgroup: null };
    const shapes = [at, { ...at, end_time: hour(3) }, { ...at, subgroup: 'false' }, { ...at, subgroup: 'true' }, { ...at, property: '1day_actives::day' }];
    const twice = [...shapes, ...shapes];
    const counts = twice.map((shape, i) => realmCount(i + 1, one, { ...shape, value: i }));
    await uploaded(server, { realm_counts: [...counts, realmCount(50, two, { ...at, value: 77 })], installation_counts: twice.map((shape, i) => serverCount(i + 1, { ...shape, value: i })) });
    for (const rows of [await operator.realmCounts(one), await operator.serverCounts(server)]) {
      assert.deepEqual(rows.map((row) => [row.end_time, row.subgroup, row.value]).sort((a, b) => Number(a[2]) - Number(b[2])), [
        [hour(2), null, 0], [hour(3), null, 1], [hour(2), 'false', 2], [hour(2), 'true', 3],
      ]);
    }
    for (const rows of [await operator.realmCounts(one, '1day_actives::day'), await operator.serverCounts(server, '1day_actives::day')]) {
      assert.deepEqual(rows.map((row) => row.value), [4]);
    }
    assert.deepEqual((await operator.realmCounts(two)).map((row) => row.value), [77]);
    assert.deepEqual(await marks(server), [50, 10, 0]);
  });

  test('with an empty subgroup is not one without', async () => {
    const { server, realm } = await made();
    const rows = (['', null] as const).map((subgroup, i) => ({ subgroup, end_time: hour(1), value: i }));
    await uploaded(server, { realm_counts: rows.map((row, i) => realmCount(i + 1, realm, row)), installation_counts: rows.map((row, i) => serverCount(i + 1, row)) });
    for (const kept of [await operator.realmCounts(realm), await operator.serverCounts(server)]) {
      assert.deepEqual(kept.map((row) => [row.subgroup, row.value]).sort((a, b) => Number(a[1]) - Number(b[1])), [['', 0], [null, 1]]);
    }
  });

  test('of a realm that is not known yet is found when it is', async () => {
    const [server, realm] = [await bouncer.server(), newRealm(4)];
    const old = { version: '7.5', merge_base: undefined, api_feature_level: undefined };
    await uploaded(server, { ...old, realm_counts: [realmCount(1, realm)], realmauditlog_rows: [auditRow(1, realm, { owners: 1, members: 29 })] });
    // After an upgrade the same server tells its realms, and whose rows those were.
    const answer = await uploaded(server, { realms: [realmRow(realm)] });
    assert.deepEqual(answer.json.realms, { [realm.uuid]: { can_push: false, expected_end_timestamp: null } });
    assert.deepEqual((await operator.realmCounts(realm)).map((row) => row.value), [1]);
    assert.deepEqual((await operator.realmAudit(realm)).map((row) => row.remote_id), [1]);
  });
});

describe('twenty uploads at once', () => {
  const accepted = (answers: Answer[]): number[] => answers.flatMap((answer, i) => (answer.status === 200 ? [i] : []));
  function othersLate(answers: Answer[]): void {
    for (const answer of answers) if (answer.status !== 200) bad(answer, OUT_OF_ORDER);
  }

  test('that are the same count once', async () => {
    const { server, realm } = await made();
    const tables = new Tables(server, realm);
    tables.grow(60);
    const same = { realm_counts: tables.realmCounts, installation_counts: tables.serverCounts, realmauditlog_rows: tables.audit, realms: [realmRow(realm)] };
    const answers = await Promise.all(Array.from({ length: 20 }, () => upload(server, same)));
    assert.equal(accepted(answers).length, 1);
    othersLate(answers);
    await tables.assertKept(operator);
  });

  test('that follow each other, each twice, count once and in order', async () => {
    const { server, realm } = await made();
    const tables = new Tables(server, realm);
    tables.grow(200);
    const part = (n: number): Fields => {
      const of = <T>(rows: T[]): T[] => rows.slice(n * 20, n * 20 + 20);
      return { realm_counts: of(tables.realmCounts), installation_counts: of(tables.serverCounts), realmauditlog_rows: of(tables.audit), realms: [realmRow(realm)] };
    };
    const answers = await Promise.all(Array.from({ length: 20 }, (_, i) => upload(server, part(Math.floor(i / 2)))));
    othersLate(answers);
    const parts = accepted(answers).map((i) => Math.floor(i / 2));
    assert.ok(parts.length >= 1 && new Set(parts).size === parts.length, `accepted ${parts}`);
    const rows = <T extends { id: number }>(all: T[]): T[] => all.filter((row) => parts.includes(Math.floor((row.id - 1) / 20)));
    const last = Math.max(...parts) * 20 + 20;
    assert.deepEqual(await marks(server), [last, last, last]);
    assert.deepEqual((await operator.realmAudit(realm)).map((row) => row.remote_id), rows(tables.audit).map((row) => row.id));
    for (const [kept, sent] of [[await operator.realmCounts(realm), tables.realmCounts], [await operator.serverCounts(server), tables.serverCounts]] as const) {
      assert.deepEqual(kept.map((row) => row.value).sort((a, b) => a - b), rows([...sent]).map((row) => row.value));
    }
  });

  test('of a busy server, as its jobs send them, lose and double nothing', async () => {
    const { server, realm } = await made();
    const tables = new Tables(server, realm);
    let refusals = 0;
    const job = async (): Promise<void> => {
      tables.grow(25);
      const mine = tables.audit.length;
      await until('everything of this job is acknowledged', async () => {
        const answer = await tables.send();
        othersLate([answer]);
        if (answer.status !== 200) refusals += 1;
        return (await marks(server)).every((mark) => mark >= mine);
      }, 30_000, 1);
    };
    await Promise.all(Array.from({ length: 20 }, job));
    assert.ok(refusals > 0, 'they must get into each other’s way');
    await tables.assertKept(operator);
    assert.deepEqual(await operator.realmEvents(realm), []);
  });

  test('of twenty servers make a realm the realm of one', async () => {
    const realm = newRealm();
    const servers = await Promise.all(Array.from({ length: 20 }, () => bouncer.server()));
    const answers = await Promise.all(servers.map((server, i) => upload(server, { realms: [realmRow(newRealm(2)), realmRow(realm, { name: `of ${i}` })], version: `${i}` })));
    const [winner = -1, ...others] = accepted(answers);
    assert.ok(winner >= 0 && others.length === 0, `${winner} and ${others}`);
    for (const [i, answer] of answers.entries()) {
      if (i === winner) continue;
      bad(answer, DUPLICATE);
      const { last_version, realms } = await operator.server(servers[i] as RemoteServer);
      assert.deepEqual([last_version, realms], [null, 0]);
    }
    assert.equal((await operator.realm(realm)).name, `of ${winner}`);
  });

  test('that rename a realm are one change', async () => {
    const { server, realm } = await made();
    const answers = await Promise.all(Array.from({ length: 20 }, () => upload(server, { realms: [realmRow(realm, { name: 'Anew' })] })));
    for (const answer of answers) assertSuccess(answer, { realms: { [realm.uuid]: CAN_PUSH } });
    assert.deepEqual(await operator.realmEvents(realm), [[20001, { attr_name: 'name', old_value: realm.name, new_value: 'Anew' }, realm.id]]);
  });
});

describe('many rows', () => {
  for (const table of ['realm_counts', 'installation_counts', 'realmauditlog_rows', 'all tables']) {
    test(`of ${table} are taken in one upload`, async () => {
      const { server, realm } = await made();
      const tables = new Tables(server, realm);
      tables.grow(ROWS_MAX);
      const all: Fields = { realm_counts: tables.realmCounts, installation_counts: tables.serverCounts, realmauditlog_rows: tables.audit };
      const sent: Fields = table === 'all tables' ? all : { [table]: all[table] };
      assertSuccess(await upload(server, { ...sent, realms: [realmRow(realm)] }), { realms: { [realm.uuid]: CAN_PUSH } });
      if (table === 'all tables') await tables.assertKept(operator);
      else assert.deepEqual(await marks(server), ['realm_counts', 'installation_counts', 'realmauditlog_rows'].map((name) => (name === table ? ROWS_MAX : 0)));
      bad(await upload(server, sent), OUT_OF_ORDER);
    });
  }

  test('of people are followed by the licenses of a plan', async () => {
    const { server, realm } = await made();
    await operator.planServer(server, { plan: { tier: 104, status: 1 } });
    await operator.planRealm(realm, { plan: { tier: 104, status: 1 } });
    const audit = Array.from({ length: ROWS_MAX }, (_, i) => auditRow(i + 1, realm, { members: 30 + (i % 1000) }));
    assertSuccess(await upload(server, { realmauditlog_rows: audit }), { realms: {} });
    for (const { billing } of [await operator.server(server), await operator.realm(realm)]) {
      assert.deepEqual([billing.plan.licenses, billing.plan.licenses_at_next_renewal], [1029, 1029]);
    }
  });

  test('of realms are taken in one upload, and changed in another', async () => {
    const server = await bouncer.server();
    const realms = Array.from({ length: 250 }, (_, i) => newRealm(i + 1));
    const audit = realms.map((realm, i) => auditRow(i + 1, realm, { members: (i % 20) + 1 }));
    const answer = await uploaded(server, { realms: realms.map((realm) => realmRow(realm)), realmauditlog_rows: audit });
    assert.deepEqual(answer.json.realms, Object.fromEntries(realms.map((realm, i) => [realm.uuid, { can_push: i % 20 < 10, expected_end_timestamp: null }])));
    await uploaded(server, { realms: realms.map((realm) => realmRow(realm, { name: 'All', host: `new${realm.id}.test` })) });
    assert.deepEqual((await operator.realms(server)).map((realm) => realm.host).sort(), realms.map((realm) => `new${realm.id}.test`).sort());
    await uploaded(server, { realms: [realmRow(realms[0] as Realm, { name: 'All', host: 'new1.test' })] });
    assert.equal((await operator.realms(server)).filter((realm) => realm.realm_locally_deleted).length, 249);
    assert.deepEqual((await operator.realmEvents(realms[249] as Realm)).map(([event]) => event), [20001, 20001, 20003]);
  });

  test('with an error in the last leave nothing behind', async () => {
    const { server, realm } = await made();
    const tables = new Tables(server, realm);
    tables.grow(ROWS_MAX);
    const rows = [...tables.audit.slice(0, -1), auditRow(ROWS_MAX, realm, {}, { extra_data: '{' })];
    bad(await upload(server, { realm_counts: tables.realmCounts, installation_counts: tables.serverCounts, realmauditlog_rows: rows }), 'Malformed audit log data');
    await tables.assertKept(operator, 0);
  });

  test('of which all are dropped or not kept are acknowledged', async () => {
    const { server, realm } = await made();
    const again = (first: number): object[] => Array.from({ length: 5000 }, (_, i) => realmCount(first + i, realm, { end_time: hour(1), subgroup: null, value: first }));
    await uploaded(server, { realm_counts: again(1) });
    await uploaded(server, { realm_counts: again(5001).map((row) => ({ ...row, property: UNKEPT[2] })) });
    assert.deepEqual(await marks(server), [10_000, 0, 0]);
    assert.deepEqual((await operator.realmCounts(realm)).map((row) => row.value), [1]);
  });
});

describe('a crash', () => {
  test('after the answer loses nothing', async () => {
    const { server, realm } = await made();
    const tables = new Tables(server, realm);
    for (let i = 0; i < 3; i += 1) {
      tables.grow(300);
      assert.equal((await tables.send()).status, 200);
      await bouncer.service.crashAndRestart();
      await tables.assertKept(operator);
    }
    assert.equal((await operator.realm(realm)).name, realm.name);
    bad(await upload(server, { realmauditlog_rows: [auditRow(900, realm)] }), OUT_OF_ORDER);
  });

  test('in the middle leaves whole uploads, and what is missing comes again', async () => {
    const { server, realm } = await made();
    const tables = new Tables(server, realm);
    tables.grow(4000);
    let [acknowledged, uploads] = [0, 0];
    const job = async (): Promise<void> => {
      while (acknowledged < 4000) {
        // Who hears nothing, or is late, asks how far it is and goes on.
        const upTo = Math.min(acknowledged + 50, 4000);
        const answer = await tables.send(upTo).catch(() => undefined);
        if (answer?.status === 200) acknowledged = Math.max(acknowledged, upTo);
        else if (answer !== undefined) bad(answer, OUT_OF_ORDER);
        else await until('the service is back', () => server.status().then(() => true, () => false), 15_000);
        uploads += 1;
      }
    };
    const jobs = Promise.all([job(), job(), job()]);
    for (const at of [800, 1600, 2400, 3200]) {
      await until(`${at} rows`, () => acknowledged >= at, 60_000, 1);
      const known = acknowledged;
      await bouncer.service.crashAndRestart();
      const [counts, own, audit] = await until('the marks', () => marks(server).catch(() => undefined as never), 15_000);
      assert.ok(counts === own && own === audit, `${counts}, ${own}, ${audit}`);
      assert.ok(counts >= known, `${counts} of ${known} acknowledged`);
    }
    await jobs;
    assert.ok(uploads >= 80);
    await tables.assertKept(operator);
  });
});

describe('a realm that is reported', () => {
  const changes: [string, unknown, unknown, string?][] = [
    ['host', 'realm1.example.org', 'chat.moved.test'],
    ['org_type', 10, 1000],
    ['name', 'Realm 1', 'Grüße "quoted" \u{1f44b}'],
    ['authentication_methods', { Google: true, Email: true, GitHub: false, LDAP: false }, { Email: true, SAML: true }],
    ['deactivated', false, true, 'realm_deactivated'],
    ['is_system_bot_realm', false, true],
  ];

  for (const [field, old_value, new_value, attr_name = field] of changes) {
    test(`with another ${field} is changed, and that is written down`, async () => {
      const { server, realm } = await made();
      await uploaded(server, { realms: [realmRow(realm, { [field]: new_value })] });
      assert.deepEqual(await operator.realmEvents(realm), [[20001, { attr_name, old_value, new_value }, realm.id]]);
      assert.deepEqual((await operator.realm(realm))[attr_name], new_value);
      await uploaded(server, { realms: [realmRow(realm, { [field]: new_value })] });
      assert.equal((await operator.realmEvents(realm)).length, 1, 'it is written down once');
      await uploaded(server, { realms: [realmRow(realm)] });
      assert.deepEqual((await operator.realmEvents(realm)).at(1), [20001, { attr_name, old_value: new_value, new_value: old_value }, realm.id]);
    });
  }

  test('with everything new is written down in order, with its new number', async () => {
    const { server, realm } = await made();
    const row = realmRow(realm, { id: 77, ...Object.fromEntries(changes.map(([field, , value]) => [field, value])) });
    await uploaded(server, { realms: [row] });
    assert.deepEqual(
      await operator.realmEvents(realm),
      changes.map(([field, old_value, new_value, attr_name = field]) => [20001, { attr_name, old_value, new_value }, 77]),
    );
  });

  test('with the same, another address or another birthday is not written down', async () => {
    const { server, realm } = await made();
    const { authentication_methods } = realmRow(realm) as { authentication_methods: object };
    const reordered = Object.fromEntries(Object.entries(authentication_methods).reverse());
    await uploaded(server, { realms: [realmRow(realm)] });
    await uploaded(server, { realms: [realmRow(realm, { url: 'https://elsewhere.test', date_created: 1_500_000_000, authentication_methods: reordered })] });
    assert.deepEqual(await operator.realmEvents(realm), []);
    assert.equal(Math.floor((await operator.realm(realm)).realm_date_created), 1_600_000_000);
  });

  test('keeps its counts and its log when its number is another', async () => {
    const { server, realm } = await made();
    await uploaded(server, { realm_counts: [realmCount(1, realm)], realmauditlog_rows: [auditRow(1, realm)] });
    const renumbered = { ...realm, id: 77 };
    await uploaded(server, { realms: [realmRow(renumbered)] });
    await uploaded(server, { realm_counts: [realmCount(2, renumbered)], realmauditlog_rows: [auditRow(2, renumbered)] });
    assert.deepEqual((await operator.realmCounts(realm)).map((row) => row.value).sort(), [1, 2]);
    assert.deepEqual((await operator.realmAudit(realm)).map((row) => row.remote_id), [1, 2]);
  });

  test('with the number of another does not take over its counts and its log', async () => {
    const { server, realm } = await made();
    await uploaded(server, { realm_counts: [realmCount(1, realm)], realmauditlog_rows: [auditRow(1, realm)] });
    const successor = newRealm(realm.id);
    await uploaded(server, { realms: [realmRow(successor)] });
    assert.deepEqual([await operator.realmCounts(successor), await operator.realmAudit(successor)], [[], []]);
    assert.deepEqual([(await operator.realmCounts(realm)).length, (await operator.realmAudit(realm)).map((row) => row.remote_id)], [1, [1, null]]);
  });

  test('and wishes to be found is changed, and that is written down after all else', async () => {
    const { server, realm } = await made();
    // As a directory takes it when nothing is said: by invitation.
    const advertise = {
      description: 'Everyone', icon_url: 'https://x.test/i.png', invite_required: true, emails_restricted_to_domains: false, has_web_public_streams: true,
      is_demo_organization: false,
    };
    await uploaded(server, { realms: [realmRow(realm, { name: 'Open', advertise_realm_data: advertise })] });
    const told = (await operator.realmEvents(realm)).map(([event, data]) => [event, data.attr_name, data.old_value, data.new_value]);
    assert.deepEqual(told, [
      [20001, 'name', realm.name, 'Open'], [20001, 'asks_to_advertise_in_communities_directory', false, true], [20001, 'description', '', 'Everyone'],
      [20001, 'icon_url', '', 'https://x.test/i.png'], [20001, 'has_web_public_streams', false, true],
    ]);
  });

  test('keeps the secret that it came with', async () => {
    const [{ server, realm }, other] = [await made(), await bouncer.server()];
    const secret = newKey();
    await uploaded(server, { realms: [realmRow(realm, { uuid_owner_secret: secret })] });
    assert.deepEqual(await operator.realmEvents(realm), []);
    const move = (uuid_owner_secret: string): Promise<Answer> => operator.ask('POST', `realms/${realm.uuid}/move`, { server: other.uuid, uuid_owner_secret });
    assert.equal((await move(secret)).status, 403);
    assert.equal((await move(realm.uuid_owner_secret)).status, 200);
  });

  test('and belongs to another server is refused, and stays', async () => {
    const [{ server, realm }, other] = [await made(), await made()];
    for (const again of [1, 2]) bad(await upload(other.server, { realms: [realmRow(other.realm), realmRow(realm, { name: `Stolen ${again}` })] }), DUPLICATE);
    assert.equal((await operator.realm(realm)).name, realm.name);
    assert.deepEqual([(await operator.realms(other.server)).length, await operator.realmEvents(realm)], [1, []]);
    assert.deepEqual((await reportOnly(server, [realmRow(realm)])).json.realms, { [realm.uuid]: CAN_PUSH });
  });
});

describe('a realm that is not reported', () => {
  /** A server with two realms. */
  async function pair(): Promise<{ server: RemoteServer; one: Realm; two: Realm; rows: [Fields, Fields] }> {
    const [server, one, two] = [await bouncer.server(), newRealm(1), newRealm(2)];
    await uploaded(server, { realms: [realmRow(one), realmRow(two)] });
    return { server, one, two, rows: [realmRow(one), realmRow(two)] };
  }
  const gone = async (realm: Realm): Promise<boolean> => (await operator.realm(realm)).realm_locally_deleted;
  const events = async (realm: Realm): Promise<[number, number | null][]> => (await operator.realmEvents(realm)).map(([event, , id]) => [event, id]);

  test('counts as deleted, which is written down once, until it comes back', async () => {
    const { server, one, two, rows: [row, other] } = await pair();
    for (let i = 0; i < 3; i += 1) await uploaded(server, { realms: [other] });
    assert.deepEqual([await gone(one), await events(one), await gone(two), await events(two)], [true, [[20003, null]], false, []]);
    assert.equal((await operator.realm(one)).registration_deactivated, false);
    await uploaded(server, { realms: [row, other] });
    assert.deepEqual([await gone(one), (await events(one)).map(([event]) => event)], [false, [20003, 20004]]);
    await uploaded(server, { realms: [row, other] });
    await uploaded(server, { realms: [other] });
    assert.deepEqual([await gone(one), (await events(one)).map(([event]) => event)], [true, [20003, 20004, 20003]]);
  });

  test('counts as deleted once when twenty uploads are without it', async () => {
    const { server, one, rows: [, other] } = await pair();
    const answers = await Promise.all(Array.from({ length: 20 }, () => upload(server, { realms: [other] })));
    assert.deepEqual(answers.map((answer) => answer.status), answers.map(() => 200));
    assert.deepEqual(await events(one), [[20003, null]]);
  });

  test('is not touched when no realms are reported at all', async () => {
    const { server, one, two } = await pair();
    for (let i = 0; i < 3; i += 1) await uploaded(server);
    assert.deepEqual([await gone(one), await gone(two), await events(one), await events(two)], [false, false, [], []]);
  });

  test('is not deleted by a list that is empty', async () => {
    const { server, one, two, rows } = await pair();
    // Several times within an hour, as a burst of jobs sends them.
    for (let i = 0; i < 3; i += 1) assertSuccess(await upload(server, { realms: [] }), { realms: {} });
    assert.deepEqual([await gone(one), await gone(two), await events(one), await events(two)], [false, false, [], []]);
    assertSuccess(await upload(server, { realms: rows }), { realms: { [one.uuid]: CAN_PUSH, [two.uuid]: CAN_PUSH } });
    assert.deepEqual([await events(one), await events(two)], [[], []]);
  });

  test('may still push, and its users still count', async () => {
    const { server, one, two, rows: [, other] } = await pair();
    await uploaded(server, { realms: [other], realmauditlog_rows: [auditRow(1, one, { owners: 1, members: 7 }), auditRow(2, two, { owners: 1, members: 7 })] });
    assert.equal(await gone(one), true);
    const user = { user_id: 7 };
    assert.equal((await server.notify(user, { realm_uuid: one.uuid })).status, 200);
    assert.equal((await server.notify(user)).json.code, 'PUSH_NOTIFICATIONS_DISALLOWED', 'sixteen users of the whole server');
  });
});
