// Who may push, as every answer says it, and what is counted of it. push-bouncer.md 1.10, 1.13, 2.7, 3.1 and 3.2.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { apnsError, Apns } from './support/push/apple.ts';
import { assertRefused, assertSuccess, Bouncer, fcmToken, hexToken, keep, OLD_PLAN, withBouncer } from './support/push/bouncer.ts';
import { newRealm, Phone } from './support/push/client.ts';
import type { Fields, Realm, RemoteServer } from './support/push/client.ts';
import { fcmError } from './support/push/google.ts';
import {
  ADMIN_SECRET, auditRow, FORWARDED, heads, Operator, realmRow, RECEIVED, reportOnly, upload, uploaded,
} from './support/push/upload.ts';
import type { AuditRow, Count, Heads } from './support/push/upload.ts';
import { until } from './support/service.ts';
import type { Answer } from './support/service.ts';

let bouncer: Bouncer;
let operator: Operator;
before(async () => {
  bouncer = await Bouncer.start({ ADMIN_SECRET });
  operator = new Operator(bouncer);
});
after(() => bouncer.finish());

/** Yes or no, until when, and why. */
type Verdict = { can_push: boolean; expected_end_timestamp: number | null; reason: string };
const yes = (reason: string, end: number | null = null): Verdict => ({ can_push: true, expected_end_timestamp: end, reason });
const no = (reason: string): Verdict => ({ can_push: false, expected_end_timestamp: null, reason });
const COMMUNITY = yes('Community plan');
const ACTIVE = yes('Active plan');
const FEW = yes('No plan few users');
const EXPIRING = yes('Expiring plan few users');
const NO_DATA = no('Missing data');
const TOO_MANY = no('Push notifications access with 10+ users requires signing up for a plan. https://zulip.com/plans/');
const ends = (at: number): Verdict => yes('Scheduled end', at);

const TEN: Heads = { owners: 1, members: 9 };
const ELEVEN: Heads = { owners: 1, members: 10 };
const DAY = 86_400;
const now = (): number => Math.floor(Date.now() / 1000);

/** A server with two realms and their numbers of people; without numbers it has told none. */
type World = { server: RemoteServer; realm: Realm; other: Realm };
async function world(people?: Heads, others?: Heads, of = bouncer): Promise<World> {
  const [server, realm, other] = [await of.server(), newRealm(1), newRealm(2)];
  const rows = [...(people ? [auditRow(1, realm, people)] : []), ...(others ? [auditRow(2, other, others)] : [])];
  await uploaded(server, { realms: [realmRow(realm), realmRow(other)], realmauditlog_rows: rows.length > 0 ? rows : undefined });
  return { server, realm, other };
}
const rows = (server: RemoteServer, realmauditlog_rows: AuditRow[]): Promise<Answer> => uploaded(server, { realmauditlog_rows });

function assertDisallowed(answer: Answer, reason: string): void {
  assertRefused(answer, 400, 'PUSH_NOTIFICATIONS_DISALLOWED', `${OLD_PLAN} Reason provided by the server: ${reason}`);
}

/** What a realm's server is told, wherever it hears of it. */
async function assertRealm({ server, realm, other }: World, verdict: Verdict, of = operator): Promise<void> {
  const { reason, ...status } = verdict;
  const report = await reportOnly(server, [realmRow(realm), realmRow(other)]);
  assert.deepEqual(report.json.realms?.[realm.uuid], status, report.text);
  const [notified, sealed] = [await server.notify({ user_uuid: randomUUID() }, { realm_uuid: realm.uuid }), await server.notifySealed(realm, [])];
  if (status.can_push) {
    assert.deepEqual([notified.status, notified.json.realm, sealed.status, sealed.json.realm_push_status], [200, status, 200, status], `${notified.text}${sealed.text}`);
  } else {
    for (const answer of [notified, sealed]) assertDisallowed(answer, reason);
  }
  assert.deepEqual((await of.realm(realm)).push, verdict);
}

/** What a server is told when no realm is known: it has no end to show. */
async function assertServer({ server }: World, verdict: Verdict, of = operator): Promise<void> {
  for (const more of [{}, { realm_uuid: randomUUID() }, { realm_uuid: null }]) {
    const answer = await server.notify({ user_uuid: randomUUID() }, more);
    if (verdict.can_push) assert.deepEqual([answer.status, answer.json.realm], [200, null], answer.text);
    else assertDisallowed(answer, verdict.reason);
  }
  assert.deepEqual((await of.server(server)).push, verdict);
}

/** The first boundary from an anchor that is still to come. */
function boundary(anchor: number, months: number): number {
  const at = new Date(anchor * 1000);
  for (let k = 1; ; k += 1) {
    const first = new Date(Date.UTC(at.getUTCFullYear(), at.getUTCMonth() + k * months, 1));
    const last = new Date(Date.UTC(first.getUTCFullYear(), first.getUTCMonth() + 1, 0)).getUTCDate();
    const time = first.getTime() / 1000 + (Math.min(at.getUTCDate(), last) - 1) * DAY + (anchor % DAY);
    if (time > now()) return time;
  }
}

const ANCHOR = now() - 5 * DAY;
const monthly = (status: number, more: object = {}): object => ({ plan: { tier: 103, status, billing_cycle_anchor: ANCHOR, billing_schedule: 2, ...more } });

describe('may push', () => {
  const END = boundary(ANCHOR, 1);
  const cases: [string, [Heads?, Heads?], { realm?: object[]; server?: object[] }, Verdict, Verdict][] = [
    ['nobody whose people are not known', [], {}, NO_DATA, NO_DATA],
    ['ten people', [TEN], {}, FEW, FEW],
    ['not eleven', [ELEVEN], {}, TOO_MANY, TOO_MANY],
    ['a realm with ten beside one with eleven, by itself', [TEN, ELEVEN], {}, FEW, TOO_MANY],
    ['not a realm with eleven beside one with ten', [ELEVEN, TEN], {}, TOO_MANY, TOO_MANY],
    ['eight and eight, but not sixteen', [{ owners: 8 }, { members: 8 }], {}, FEW, TOO_MANY],
    ['a realm that has not told beside one that has', [undefined, TEN], {}, FEW, FEW],
    ['nine guests and an owner', [{ owners: 1, guests: 9 }], {}, FEW, FEW],
    ['not ten guests and an owner', [{ owners: 1, guests: 10 }], {}, TOO_MANY, TOO_MANY],
    ['not eleven of all roles', [{ owners: 2, admins: 2, moderators: 2, members: 3, guests: 2 }], {}, TOO_MANY, TOO_MANY],
    ['ten people with five hundred bots', [{ ...TEN, bots: 500 }], {}, FEW, FEW],
    ['a community, however many', [{ members: 5000 }], { realm: [{ plan_type: 102 }] }, COMMUNITY, TOO_MANY],
    ['a community that says nothing', [], { realm: [{ plan_type: 102 }] }, COMMUNITY, NO_DATA],
    ['whoever is on a community server', [ELEVEN], { server: [{ plan_type: 102 }] }, COMMUNITY, COMMUNITY],
    ['who has a plan, however many', [ELEVEN], { realm: [monthly(1)] }, ACTIVE, TOO_MANY],
    ['who has a plan and says nothing', [], { realm: [monthly(1)] }, ACTIVE, NO_DATA],
    ['who has a plan on a community server', [ELEVEN], { realm: [monthly(1)], server: [{ plan_type: 102 }] }, ACTIVE, COMMUNITY],
    ['a community with a plan', [ELEVEN], { realm: [monthly(2), { plan_type: 102 }] }, COMMUNITY, TOO_MANY],
    ['who is on a server with a plan', [ELEVEN], { server: [monthly(1)] }, ACTIVE, ACTIVE],
    ['who is on a server with a plan and says nothing', [], { server: [monthly(1)] }, ACTIVE, ACTIVE],
    ['few, after the plan too', [TEN], { realm: [monthly(2)] }, EXPIRING, FEW],
    ['many, until the plan ends', [ELEVEN], { realm: [monthly(2)] }, ends(END), TOO_MANY],
    ['who says nothing, until the plan ends', [], { realm: [monthly(2)] }, ends(END), NO_DATA],
    ['each realm by its own number, when the server’s plan ends', [TEN, ELEVEN], { server: [monthly(2)] }, EXPIRING, ends(END)],
    ['many, until the server’s plan ends', [ELEVEN], { server: [monthly(2)] }, ends(END), ends(END)],
    ['a realm by its own plan, not the server’s', [ELEVEN], { realm: [monthly(2)], server: [monthly(1)] }, ends(END), ACTIVE],
    ['a realm by its own plan, not the community’s', [ELEVEN], { realm: [monthly(2)], server: [{ plan_type: 102 }] }, ends(END), COMMUNITY],
    ['nobody after the plan', [ELEVEN], { realm: [monthly(1), { plan: { status: 11 } }] }, TOO_MANY, TOO_MANY],
    ['few after the plan', [TEN], { realm: [monthly(1), { plan: { status: 11 } }] }, FEW, FEW],
    ['who has a server’s plan after their own', [ELEVEN], { realm: [monthly(1), { plan: { status: 11 } }], server: [monthly(1)] }, ACTIVE, ACTIVE],
    ['who is on a community server, after a plan', [ELEVEN], { realm: [monthly(1), { plan: { status: 11 } }], server: [{ plan_type: 102 }] }, COMMUNITY, COMMUNITY],
    ['nobody after the server’s plan', [ELEVEN], { server: [monthly(1), { plan: { status: 11 } }] }, TOO_MANY, TOO_MANY],
    ['nobody who is only called a customer', [ELEVEN], { realm: [{ plan_type: 103 }], server: [{ plan_type: 104 }] }, TOO_MANY, TOO_MANY],
    ['few, after the trial too', [TEN], { realm: [monthly(7, { next_invoice_date: ANCHOR + 30 * DAY })] }, EXPIRING, FEW],
    ['many, until the trial ends', [ELEVEN], { realm: [monthly(7, { next_invoice_date: ANCHOR + 30 * DAY })] }, ends(ANCHOR + 30 * DAY), TOO_MANY],
  ];
  for (const status of [3, 4, 5, 6, 8]) {
    // A switch of the tier needs a tier to switch to.
    const customer = status === 8 ? { customer: { required_plan_tier: 104 } } : {};
    const plan = { ...monthly(status, { next_invoice_date: ANCHOR + 30 * DAY, end_date: now() + 20 * DAY }), ...customer };
    cases.push([`who has a plan in status ${status}`, [ELEVEN], { realm: [plan] }, ACTIVE, TOO_MANY]);
  }
  for (const [what, people, plans, ofRealm, ofServer] of cases) {
    test(what, async () => {
      const made = await world(...people);
      for (const plan of plans.server ?? []) await operator.planServer(made.server, plan);
      for (const plan of plans.realm ?? []) await operator.planRealm(made.realm, plan);
      await assertRealm(made, ofRealm);
      await assertServer(made, ofServer);
    });
  }
});

describe('a plan that ends', () => {
  const year = new Date().getUTCFullYear();
  const cases: [string, object, number][] = [];
  for (const [what, anchor] of [['today', now() - 60], ['on the 31st', Date.UTC(year - 1, 11, 31, 13, 14, 15) / 1000], ['on a leap day', Date.UTC(2024, 1, 29) / 1000]] as const) {
    for (const [schedule, months] of [[2, 1], [1, 12]] as const) {
      const ofMonths = months === 1 ? 'a month' : 'a year';
      cases.push([`begun ${what} ends when ${ofMonths} is over`, { billing_cycle_anchor: anchor, billing_schedule: schedule }, boundary(anchor, months)]);
    }
  }
  const end = now() + 86_399;
  cases.push(['earlier than its cycle ends then', { billing_cycle_anchor: now() - 60, billing_schedule: 1, end_date: end }, end]);
  cases.push(['later than its cycle ends with the cycle', { billing_cycle_anchor: ANCHOR, billing_schedule: 2, end_date: now() + 90 * DAY }, boundary(ANCHOR, 1)]);
  for (const [what, plan, at] of cases) {
    test(what, async () => {
      const made = await world(ELEVEN);
      await operator.planRealm(made.realm, { plan: { tier: 104, status: 2, ...plan } });
      await assertRealm(made, ends(at));
    });
  }
});

describe('the number of people', () => {
  const people = (...counted: [Heads, Partial<AuditRow>?][]): ((realm: Realm) => AuditRow[]) => (realm) => counted.map(([of, more], i) => auditRow(i + 1, realm, of, more));
  const humans = (map: object): Partial<AuditRow> => ({ extra_data: { 10: { 11: map, 12: 9 } } });
  const cases: [string, (realm: Realm) => AuditRow[], Verdict][] = [
    ['is the newest', people([ELEVEN], [TEN]), FEW],
    ['is the newest by number, not by time', people([ELEVEN], [TEN, { event_time: now() - 900_000 }]), FEW],
    ['is not one of the future', people([TEN], [ELEVEN, { event_time: now() + DAY }]), FEW],
    ['is kept when the future is told before', people([TEN, { event_time: now() + DAY }], [ELEVEN]), TOO_MANY],
    ['is that of the past when the future comes after', people([ELEVEN], [TEN, { event_time: now() + DAY }]), TOO_MANY],
    ['is not in rows without data', people([ELEVEN], [{}, { extra_data: {} }], [{}, { extra_data: null }], [{}, { extra_data: '{}' }]), TOO_MANY],
    ['may be text', people([TEN], [{}, { extra_data: JSON.stringify(heads(ELEVEN)) }]), TOO_MANY],
    ['may be told with any event', people([TEN], [ELEVEN, { event_type: 201 }]), TOO_MANY],
    ['may miss roles', people([{}, humans({ 400: 10 })]), FEW],
    ['may miss all roles but one', people([{}, humans({ 600: 11 })]), TOO_MANY],
    ['is not that of workplaces', people([{}, humans({ 100: 1, 400: 9, workplace_users: 9, non_workplace_users: 1 })]), FEW],
    ['is zero when nobody is told', () => [], FEW],
  ];
  for (const [what, audit, verdict] of cases) {
    test(what, async () => {
      const made = await world();
      await rows(made.server, audit(made.realm));
      await assertRealm(made, verdict);
      await assertServer(made, verdict);
    });
  }

  test('counts as soon as it is told, in the same answer', async () => {
    const { server, realm, other } = await world(TEN, TEN);
    const realms = [realmRow(realm), realmRow(other)];
    const answer = await uploaded(server, { realms, realmauditlog_rows: [auditRow(3, realm, ELEVEN)] });
    assert.deepEqual([answer.json.realms[realm.uuid].can_push, answer.json.realms[other.uuid].can_push], [false, true]);
    const back = await uploaded(server, { realms, realmauditlog_rows: [auditRow(4, realm, TEN), auditRow(5, other, ELEVEN)] });
    assert.deepEqual([back.json.realms[realm.uuid].can_push, back.json.realms[other.uuid].can_push], [true, false]);
  });

  test('is that of the future when the future has come', async () => {
    const made = await world(TEN);
    await rows(made.server, [auditRow(2, made.realm, ELEVEN, { event_time: Date.now() / 1000 + 1.5 }), auditRow(3, made.other, ELEVEN, { event_time: now() + DAY })]);
    await assertRealm(made, FEW);
    await assertServer(made, FEW);
    await until('the time of the row', async () => (await operator.realm(made.realm)).push.reason === TOO_MANY.reason, 5000);
    await assertRealm(made, TOO_MANY);
    await assertServer(made, TOO_MANY);
  });

  test('is that of each future that has come, whatever else is to come', async () => {
    // A server whose clock is ahead tells of the future every time.
    const made = await world(TEN);
    const soon = Date.now() / 1000 + 1.5;
    await rows(made.server, [auditRow(2, made.realm, ELEVEN, { event_time: soon })]);
    await rows(made.server, [auditRow(3, made.realm, TEN, { event_time: soon + 3600 })]);
    await assertRealm(made, FEW);
    await until('the time of the first row', () => Date.now() / 1000 > soon, 5000);
    await assertRealm(made, TOO_MANY);
  });

  test('of a realm that nobody has reported counts for the server', async () => {
    const made = await world(TEN);
    await rows(made.server, [auditRow(2, newRealm(99), { owners: 1 })]);
    await assertRealm(made, FEW);
    await assertServer(made, TOO_MANY);
  });

  test('of a realm with a new number is the newer, and both count for the server', async () => {
    const made = await world(TEN);
    made.realm.id = 77;
    await reportOnly(made.server, [realmRow(made.realm), realmRow(made.other)]);
    await assertRealm(made, FEW);
    await rows(made.server, [auditRow(3, made.realm, { owners: 1 })]);
    await assertRealm(made, FEW);
    await assertServer(made, TOO_MANY);
    await rows(made.server, [auditRow(4, made.realm, ELEVEN)]);
    await assertRealm(made, TOO_MANY);
  });

  test('stays with a realm that gets a new number', async () => {
    const made = await world(ELEVEN);
    made.realm.id = 77;
    await assertRealm(made, TOO_MANY);
  });

  test('does not go over to a realm that gets an old number', async () => {
    const made = await world(ELEVEN);
    const successor = { ...made, realm: newRealm(made.realm.id) };
    await reportOnly(made.server, [realmRow(successor.realm), realmRow(made.other)]);
    await assertRealm(successor, FEW);
    await assertServer(made, TOO_MANY);
  });

  test('is not made anew by what the bouncer writes down', async () => {
    const made = await world(ELEVEN);
    await reportOnly(made.server, [realmRow(made.realm, { name: 'Renamed', host: 'renamed.test' })]);
    assert.equal((await operator.realmEvents(made.realm)).length, 2);
    await assertRealm(made, TOO_MANY);
  });

  test('is that of realms that are closed, too', async () => {
    const made = await world({ members: 6 }, { members: 6 });
    await reportOnly(made.server, [realmRow(made.realm), realmRow(made.other, { deactivated: true })]);
    await assertServer(made, TOO_MANY);
    await reportOnly(made.server, [realmRow(made.realm)]);
    await assertServer(made, TOO_MANY);
  });

  test('that is free can be set', () =>
    withBouncer({ ADMIN_SECRET, PUSH_FREE_USERS_MAX: '2' }, async (own) => {
      const desk = new Operator(own);
      await assertRealm(await world({ owners: 1, guests: 1 }, undefined, own), FEW, desk);
      const { server, realm } = await world({ owners: 2, guests: 1 }, undefined, own);
      assert.equal((await server.notify({ user_id: 1 }, { realm_uuid: realm.uuid })).json.code, 'PUSH_NOTIFICATIONS_DISALLOWED');
    }));
});

describe('the licenses of a plan', () => {
  const licenses = (billing: any): [number, number] => [billing.plan.licenses, billing.plan.licenses_at_next_renewal];

  test('follow the people up at once, and down at the next renewal', async () => {
    const { server, realm, other } = await world({ members: 10 }, { members: 30 });
    await operator.planRealm(realm, monthly(1, { automanage_licenses: true }));
    const said = async (): Promise<[number, number]> => licenses((await operator.realm(realm)).billing);
    assert.deepEqual(await said(), [10, 10]);
    await rows(server, [auditRow(3, realm, { members: 14, guests: 1, bots: 7 }), auditRow(4, other, { members: 50 })]);
    assert.deepEqual(await said(), [15, 15]);
    await rows(server, [auditRow(5, realm, { members: 12 })]);
    assert.deepEqual(await said(), [15, 12]);
    await rows(server, [auditRow(6, realm, { members: 20 }), auditRow(7, realm, { members: 9 })]);
    assert.deepEqual(await said(), [20, 9]);
  });

  test('of a server follow the people of all its realms', async () => {
    const { server, realm, other } = await world({ members: 10 }, { members: 30 });
    await operator.planServer(server, monthly(1, { automanage_licenses: true }));
    const said = async (): Promise<[number, number]> => licenses((await operator.server(server)).billing);
    assert.deepEqual(await said(), [40, 40]);
    await rows(server, [auditRow(3, realm, { members: 15 })]);
    assert.deepEqual(await said(), [45, 45]);
    await rows(server, [auditRow(4, other, { members: 5 })]);
    assert.deepEqual(await said(), [45, 20]);
  });

  test('that are managed by hand stay', async () => {
    const { server, realm } = await world({ members: 10 });
    await operator.planRealm(realm, monthly(1, { automanage_licenses: false, licenses: 12 }));
    await rows(server, [auditRow(3, realm, { members: 15 })]);
    assert.deepEqual(licenses((await operator.realm(realm)).billing), [12, 12]);
  });
});

test('what is known of a server ages, and its plans do not', () =>
  withBouncer({ ADMIN_SECRET, PUSH_SERVER_DATA_MAX_AGE_MS: '2500' }, async (own) => {
    const desk = new Operator(own);
    const [free, paid, ending, community] = [await world(TEN, undefined, own), await world(TEN, undefined, own), await world(TEN, undefined, own), await world(TEN, undefined, own)];
    await desk.planRealm(paid.realm, monthly(1));
    await desk.planRealm(ending.realm, monthly(2));
    await desk.planRealm(community.realm, { plan_type: 102 });
    const worlds = [free, paid, ending, community];
    const pushes = async ({ server, realm }: World): Promise<Answer> => server.notify({ user_id: 1 }, { realm_uuid: realm.uuid });
    for (const one of worlds) {
      await rows(one.server, []);
      assert.deepEqual((await pushes(one)).json.realm, { can_push: true, expected_end_timestamp: null });
    }
    await until('all of it is old', async () => (await Promise.all(worlds.map(({ server }) => desk.server(server)))).every(({ push }) => push.reason === 'Missing data'), 10_000, 50);
    await assertRealm(free, NO_DATA, desk);
    await assertServer(free, NO_DATA, desk);
    await assertRealm(paid, ACTIVE, desk);
    await assertRealm(ending, ends(boundary(ANCHOR, 1)), desk);
    await assertRealm(community, COMMUNITY, desk);
    // A sign of life that says nothing of people, then one that says that nothing has changed.
    await upload(free.server, { realms: [realmRow(free.realm)], realmauditlog_rows: undefined });
    await assertRealm(free, NO_DATA, desk);
    const fresh = await uploaded(free.server, { realms: [realmRow(free.realm)], realmauditlog_rows: [] });
    assert.deepEqual(fresh.json.realms[free.realm.uuid], { can_push: true, expected_end_timestamp: null });
    assert.equal((await pushes(free)).status, 200);
  }));

test('a decision survives a crash', async () => {
  const [many, paid, ending, community] = [await world(ELEVEN), await world(ELEVEN), await world(ELEVEN), await world(ELEVEN)];
  await operator.planServer(paid.server, monthly(1));
  await operator.planRealm(ending.realm, monthly(2));
  await operator.planRealm(community.realm, { plan_type: 102 });
  await bouncer.service.crashAndRestart();
  await assertRealm(many, TOO_MANY);
  await assertServer(paid, ACTIVE);
  await assertRealm(ending, ends(boundary(ANCHOR, 1)));
  await assertRealm(community, COMMUNITY);
});

describe('a refusal', () => {
  test('to a server of before 8.0 is another, except for what is sealed', async () => {
    const [server, realm] = [await bouncer.server(), newRealm()];
    const old = { version: '7.5', merge_base: undefined, api_feature_level: undefined };
    assert.equal((await upload(server, { ...old, realms: [realmRow(realm)], realmauditlog_rows: [auditRow(1, realm, ELEVEN)] })).status, 200);
    for (const more of [{}, { realm_uuid: realm.uuid }]) {
      assertRefused(await server.notify({ user_id: 1 }, more), 400, 'INVALID_ZULIP_SERVER', OLD_PLAN);
    }
    assertDisallowed(await server.notifySealed(realm, []), TOO_MANY.reason);
    await uploaded(server, { api_feature_level: 237 });
    assertDisallowed(await server.notify({ user_id: 1 }), TOO_MANY.reason);
    await uploaded(server, { ...old });
    assertRefused(await server.notify({ user_id: 1 }), 400, 'INVALID_ZULIP_SERVER', OLD_PLAN);
  });

  test('sends nothing and counts nothing', async () => {
    const { server, realm } = await world(ELEVEN);
    const [user, token, phone] = [{ user_uuid: randomUUID() }, fcmToken(), new Phone('fcm')];
    keep(phone.token);
    assert.equal((await server.addDevice('fcm', token, user)).status, 200);
    assert.equal((await server.addSealedDevice(realm, phone, bouncer.keys.publicKey)).status, 200);
    assertDisallowed(await server.notify(user, { realm_uuid: realm.uuid }), TOO_MANY.reason);
    assertDisallowed(await server.notifySealed(realm, [phone.request()]), TOO_MANY.reason);
    assert.deepEqual([...bouncer.fcm.to(token), ...bouncer.fcm.to(phone.token)], []);
    assert.deepEqual(await tallies({ server, realm }), [[0, 0], [0, 0]]);
  });
});

/** Received and forwarded today: of the server, of the realm. */
async function tallies({ server, realm }: { server: RemoteServer; realm: Realm }): Promise<[[number, number], [number, number]]> {
  const total = (counts: Count[]): number => {
    const midnight = Math.ceil(Date.now() / 1000 / DAY) * DAY;
    // At midnight the count may have begun yesterday.
    assert.ok(counts.every((row) => row.subgroup === null && [midnight, midnight - DAY].includes(row.end_time)), JSON.stringify(counts));
    assert.equal(new Set(counts.map((row) => row.end_time)).size, counts.length, 'one row a day');
    assert.ok(counts.every((row) => row.value > 0), 'no row without a push');
    return counts.reduce((sum, row) => sum + row.value, 0);
  };
  return [
    [total(await operator.serverCounts(server, RECEIVED)), total(await operator.serverCounts(server, FORWARDED))],
    [total(await operator.realmCounts(realm, RECEIVED)), total(await operator.realmCounts(realm, FORWARDED))],
  ];
}

describe('a push is counted', () => {
  async function equipped(google: number, apple: number): Promise<World & { user: Fields; google: string[]; apple: string[] }> {
    const made = { ...(await world(TEN)), user: { user_uuid: randomUUID() }, google: Array.from({ length: google }, fcmToken), apple: Array.from({ length: apple }, hexToken) };
    for (const token of made.google) assert.equal((await made.server.addDevice('fcm', token, made.user)).status, 200);
    for (const token of made.apple) assert.equal((await made.server.addDevice('apns', token, made.user)).status, 200);
    return made;
  }
  async function sealed(made: World, ...kinds: ('apns' | 'fcm')[]): Promise<Phone[]> {
    const phones = kinds.map((kind) => new Phone(kind));
    for (const phone of phones) assertSuccess(await made.server.addSealedDevice(made.realm, phone, bouncer.keys.publicKey));
    return phones;
  }

  test('for the server and the realm, by device', async () => {
    const made = await equipped(2, 1);
    for (let i = 0; i < 3; i += 1) assert.equal((await made.server.notify(made.user, { realm_uuid: made.realm.uuid })).status, 200);
    assert.deepEqual(await tallies(made), [[9, 9], [9, 9]]);
  });

  test('for the server alone when the realm is not known', async () => {
    const made = await equipped(1, 2);
    for (const more of [{}, { realm_uuid: randomUUID() }, { realm_uuid: null }]) assert.equal((await made.server.notify(made.user, more)).status, 200);
    assert.deepEqual(await tallies(made), [[9, 9], [0, 0]]);
  });

  test('as forwarded only when a provider has taken it', async () => {
    const made = await equipped(2, 2);
    const [google = '', apple = ''] = [made.google[0], made.apple[0]];
    bouncer.fcm.always((seen) => (seen.body.includes(google) ? fcmError(400, 'INVALID_ARGUMENT') : undefined));
    bouncer.apns.always((seen) => (seen.path.endsWith(apple) ? apnsError(400, 'TopicDisallowed') : undefined));
    try {
      assert.equal((await made.server.notify(made.user, { realm_uuid: made.realm.uuid })).json.total_android_devices, 2);
      assert.deepEqual(await tallies(made), [[4, 2], [4, 2]]);
    } finally {
      bouncer.fcm.calm();
      bouncer.apns.calm();
    }
    bouncer.fcm.dead.add(google);
    bouncer.apns.dead.set(apple, Apns.unregistered(Date.now()));
    assert.equal((await made.server.notify(made.user, { realm_uuid: made.realm.uuid })).status, 200);
    assert.deepEqual(await tallies(made), [[8, 4], [8, 4]]);
  });

  test('not when it goes to nobody, nor when it is a test', async () => {
    const made = await equipped(1, 0);
    assert.equal((await made.server.notify({ user_uuid: randomUUID() }, { realm_uuid: made.realm.uuid })).status, 200);
    assertSuccess(await made.server.json('push/test_notification', {
      token: made.google[0], token_kind: 2, user_id: 1, ...made.user, realm_uuid: made.realm.uuid, base_payload: { realm_name: 'R', realm_url: 'https://r.test' },
    }));
    assert.deepEqual(await tallies(made), [[0, 0], [0, 0]]);
  });

  test('for the realm alone when it is sealed, whether its device is known or not', async () => {
    const made = await world(TEN);
    const [google, apple] = await sealed(made, 'fcm', 'apns');
    const [unknown, dead] = [new Phone('fcm'), (await sealed(made, 'fcm'))[0]];
    for (const phone of [google, apple, unknown, dead]) keep(phone?.token ?? '');
    bouncer.fcm.dead.add(dead?.token ?? '');
    const requests = [google, apple, unknown, dead].map((phone) => (phone as Phone).request());
    const answer = await made.server.notifySealed(made.realm, requests);
    assert.deepEqual([answer.json.android_successfully_sent_count, answer.json.apple_successfully_sent_count], [1, 1], answer.text);
    assert.deepEqual(await tallies(made), [[0, 0], [4, 2]]);
    assertSuccess(await made.server.notifySealed(made.realm, []), {
      android_successfully_sent_count: 0, apple_successfully_sent_count: 0, delete_token_ids: [], realm_push_status: { can_push: true, expected_end_timestamp: null },
    });
    assert.deepEqual(await tallies(made), [[0, 0], [4, 2]]);
  });

  test('once, of twenty at a time, and after a crash', async () => {
    const made = await equipped(1, 1);
    const [phone] = await sealed(made, 'fcm');
    keep(phone?.token ?? '');
    const burst = async (): Promise<void> => {
      const answers = await Promise.all(Array.from({ length: 20 }, (_, i) =>
        i % 2 === 0 ? made.server.notify(made.user, { realm_uuid: made.realm.uuid }) : made.server.notifySealed(made.realm, [(phone as Phone).request()])));
      assert.deepEqual(answers.map((answer) => answer.status), answers.map(() => 200));
    };
    await burst();
    assert.deepEqual(await tallies(made), [[20, 20], [30, 30]]);
    await bouncer.service.crashAndRestart();
    assert.deepEqual(await tallies(made), [[20, 20], [30, 30]]);
    await burst();
    assert.deepEqual(await tallies(made), [[40, 40], [60, 60]]);
  });

  test('for each server and realm by itself', async () => {
    const [one, two] = [await equipped(1, 0), await equipped(2, 0)];
    assert.equal((await one.server.notify(one.user, { realm_uuid: one.realm.uuid })).status, 200);
    assert.equal((await two.server.notify(two.user, { realm_uuid: two.realm.uuid })).status, 200);
    assert.deepEqual([await tallies(one), await tallies({ server: one.server, realm: one.other })], [[[1, 1], [1, 1]], [[1, 1], [0, 0]]]);
    assert.deepEqual(await tallies(two), [[2, 2], [2, 2]]);
  });

  test('for the realm of the request, wherever its device came from', async () => {
    const made = await equipped(1, 0);
    const elsewhere = { server: made.server, realm: made.other };
    assert.equal((await made.server.addDevice('fcm', fcmToken(), made.user, { realm_uuid: made.realm.uuid })).status, 200);
    assert.equal((await made.server.notify(made.user)).json.total_android_devices, 2);
    assert.deepEqual(await tallies(made), [[2, 2], [0, 0]]);
    assert.equal((await made.server.notify(made.user, { realm_uuid: made.other.uuid })).status, 200);
    assert.deepEqual([await tallies(made), await tallies(elsewhere)], [[[4, 4], [0, 0]], [[4, 4], [2, 2]]]);
  });
});
