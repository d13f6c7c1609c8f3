// Plans: what operators and the payment system change, what it does to those who push, and what is written down.
// push-bouncer.md 1.8, 2.6 to 2.9, 3.2, 3.8 and 9.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { assertRefused, assertSuccess, Bouncer, keep, OLD_PLAN, withBouncer } from './support/push/bouncer.ts';
import { newRealm, RemoteServer } from './support/push/client.ts';
import type { Realm } from './support/push/client.ts';
import { change, firstOperator, ofType, Operator, PAYMENT_KEY, PaymentSystem, reportPeople, SECRET, seconds, signature } from './support/push/operator.ts';
import { assertProblem, ROOT, until } from './support/service.ts';
import type { Answer } from './support/service.ts';

const at = (server: { uuid: string }): string => `servers/${server.uuid}`;
const on = (realm: { uuid: string }): string => `realms/${realm.uuid}`;
const NEEDS_PLAN = 'Push notifications access with 10+ users requires signing up for a plan. https://zulip.com/plans/';
const DAY = 86_400;

let bouncer: Bouncer;
let payment: PaymentSystem;
let first: Operator;
before(async () => {
  payment = await PaymentSystem.start();
  bouncer = await Bouncer.start({ ADMIN_SECRET: SECRET, ...payment.settings });
  keep(SECRET);
  keep(PAYMENT_KEY);
  first = firstOperator(bouncer);
});
after(async () => {
  try {
    await bouncer.finish();
  } finally {
    await payment.close();
  }
});

/** Both that may have a plan. */
const both = (server: RemoteServer, realm: Realm): string[] => [at(server), on(realm)];

type Home = { server: RemoteServer; realm: Realm };
/** A server with one organization of so many people. */
async function home(people = 12): Promise<Home> {
  const home = { server: await bouncer.server(), realm: newRealm(1) };
  await reportPeople(home.server, home.realm, people);
  return home;
}
const billing = async (whose: string): Promise<any> => (await first.read(whose)).billing;
const planOf = async (whose: string): Promise<any> => (await billing(whose)).plan;

/** What the real client is told: in answers to notifications of both kinds, and to uploads. */
async function told({ server, realm }: Home): Promise<[boolean, number | null]> {
  const uploaded = (await server.reportRealms([realm])).json.realms[realm.uuid];
  const [legacy, sealed] = [await server.notify({ user_id: 1, realm_uuid: realm.uuid }), await server.notifySealed(realm, [])];
  if (uploaded.can_push) {
    for (const status of [legacy.json.realm, sealed.json.realm_push_status]) assert.deepEqual(status, uploaded);
  } else {
    for (const answer of [legacy, sealed]) {
      assert.deepEqual([answer.status, answer.json.code], [400, 'PUSH_NOTIFICATIONS_DISALLOWED'], answer.text);
      assert.ok(answer.json.msg.startsWith(`${OLD_PLAN} Reason provided by the server: `), answer.json.msg);
    }
  }
  const document = await first.read(on(realm));
  assert.deepEqual([document.push.can_push, document.push.expected_end_timestamp], [uploaded.can_push, uploaded.expected_end_timestamp]);
  return [uploaded.can_push, uploaded.expected_end_timestamp];
}

describe('an operator', () => {
  for (const [what, scope] of [['server', 10_000], ['organization', 0]] as const) {
    test(`sets the plan type of a ${what}, which is written down with old and new value`, async () => {
      const one = await home();
      const whose = what === 'server' ? at(one.server) : on(one.realm);
      assert.deepEqual(await told(one), [false, null]);
      const steps = [102, 100, 101, 103, 104, 105, 100];
      let old = 100;
      for (const type of steps) {
        assert.equal((await first.changePlan(whose, { plan_type: type })).plan_type, type);
        assert.equal((await first.read(whose)).plan_type, type);
        // Only the community type lets many people push without a plan.
        assert.deepEqual(await told(one), [type === 102, null], String(type));
        const row = ofType(await first.audit(whose), 204 + scope).at(-1);
        assert.deepEqual([row.extra_data.old_value, row.extra_data.new_value], [old, type]);
        old = type;
      }
      assert.equal(ofType(await first.audit(whose), 204 + scope).length, steps.length);
    });

    test(`gives a ${what} a plan of each tier, changes and ends it`, async () => {
      const one = await home();
      const whose = what === 'server' ? at(one.server) : on(one.realm);
      for (const tier of [101, 102, 103, 104]) {
        const made = await first.changePlan(whose, { plan: { tier } });
        assert.deepEqual([made.plan_type, made.plan.tier, made.plan.status], [tier, tier, 1]);
        assert.deepEqual(await told(one), [true, null], String(tier));
        assert.equal((await first.read(whose)).push.reason, tier === 102 ? 'Community plan' : 'Active plan');
        const ended = await first.changePlan(whose, { plan: { status: 11 } });
        assert.deepEqual([ended.plan_type, ended.plan], [100, null]);
        assert.deepEqual(await told(one), [false, null]);
        assert.equal((await first.read(whose)).push.reason, NEEDS_PLAN);
      }
      const rows = await first.audit(whose);
      assert.deepEqual(ofType(rows, 501 + scope, 501).length, 1, 'one customer');
      assert.deepEqual(ofType(rows, 502).map(change), [101, 102, 103, 104].map((tier) => ['tier', null, tier]));
      assert.deepEqual(ofType(rows, 506).map(change).filter(([name]) => name === 'status'), Array(4).fill(['status', 1, 11]));
      assert.deepEqual(ofType(rows, 204 + scope).map((row) => [row.extra_data.old_value, row.extra_data.new_value]), [101, 102, 103, 104].flatMap((tier) => [[100, tier], [tier, 100]]));
      assert.ok(rows.every((row: any) => JSON.stringify(row).includes(SECRET) === false));
    });

    test(`sponsors a ${what}, with each step written down`, async () => {
      const one = await home();
      const whose = what === 'server' ? at(one.server) : on(one.realm);
      assert.equal((await first.changePlan(whose, { customer: { sponsorship_pending: true } })).customer.sponsorship_pending, true);
      assert.deepEqual(await told(one), [false, null], 'a wish is no plan');
      const granted = await first.changePlan(whose, { plan: { tier: 102 } });
      assert.deepEqual([granted.plan_type, granted.plan.tier, granted.customer.sponsorship_pending], [102, 102, false]);
      assert.deepEqual(await told(one), [true, null]);
      assert.equal((await first.read(whose)).push.reason, 'Community plan');
      const rows = await first.audit(whose);
      assert.deepEqual(ofType(rows, 213 + scope).map((row) => [row.extra_data.old_value, row.extra_data.new_value]), [[false, true], [true, false]]);
      assert.equal(ofType(rows, 210 + scope).length, 1);
      const { invoices } = await first.read(`${whose}/invoices`);
      assert.deepEqual(invoices, [], 'and nobody pays');
    });
  }

  test('changes discounts and the way of paying, written down with old and new value', async () => {
    const { server } = await home();
    await first.changePlan(at(server), { plan: { tier: 103 } });
    await first.changePlan(at(server), { customer: { monthly_discounted_price: 300, flat_discount: 500 } });
    await first.changePlan(at(server), { plan: { charge_automatically: true } });
    const { customer, plan } = await billing(at(server));
    assert.deepEqual([customer.monthly_discounted_price, customer.flat_discount, plan.charge_automatically], [300, 500, true]);
    const rows = await first.audit(at(server));
    assert.deepEqual(ofType(rows, 10_209).map(change), [['monthly_discounted_price', 0, 300], ['flat_discount', 2000, 500]]);
    assert.deepEqual(ofType(rows, 10_211).map(change), [['charge_automatically', false, true]]);
  });

  test('cannot give anybody a second live plan', async () => {
    const { server, realm } = await home();
    for (const whose of both(server, realm)) {
      const answers = await Promise.all(Array.from({ length: 8 }, (_, i) => first.plan(whose, { plan: { tier: i % 2 === 0 ? 103 : 104 } })));
      for (const answer of answers) assert.ok([200, 400, 409].includes(answer.status), answer.text);
      assert.equal(ofType(await first.audit(whose), 502).length, 1, 'one plan was created');
      assert.ok((await planOf(whose)) !== null);
      await first.changePlan(whose, { plan: { status: 11 } });
      assert.equal(await planOf(whose), null, 'and nothing stood behind it');
    }
    const all = await first.read(`${at(server)}/export`);
    assert.deepEqual([all.server, ...all.realms].filter((row: any) => row.billing.plan !== null), []);
  });
  test('ends only what is there', async () => {
    const { server } = await home();
    for (const plan of [{ status: 11 }, { status: 2 }, { licenses: 5 }, { billing_schedule: 1 }, {}]) assertProblem(await first.plan(at(server), { plan }), 400);
    assert.deepEqual(await billing(at(server)), { customer: null, plan: null });
    assert.deepEqual(ofType(await first.audit(at(server)), 501, 502, 506), []);
  });

  test('is refused what makes no sense, and nothing is done', async () => {
    const { server, realm } = await home();
    await first.changePlan(at(server), { plan: { tier: 103 } });
    await until('the first invoice is there', async () => (await first.read(`${at(server)}/invoices`)).invoices.length === 1);
    const before = [await first.read(at(server)), await first.audit(at(server)), await first.audit(on(realm))];
    for (const wish of [
      {}, 'text', '{"plan_type":103,"plan_type":100}', { mystery: 1 }, { plan: 5 }, { plan: 'x' }, { customer: 5 },
      { plan_type: 0 }, { plan_type: 99 }, { plan_type: 106 }, { plan_type: '103' }, { plan_type: 103.5 }, { plan_type: true }, { plan_type: -1 },
      { plan: { tier: 0 } }, { plan: { tier: 1 } }, { plan: { tier: 99 } }, { plan: { tier: 106 } }, { plan: { tier: '103' } },
      { plan: { status: 0 } }, { plan: { status: 13 } }, { plan: { status: 'active' } }, { plan: { billing_schedule: 0 } }, { plan: { billing_schedule: 3 } },
      { plan: { licenses: -1 } }, { plan: { licenses: 1.5 } }, { plan: { licenses: '5' } }, { plan: { automanage_licenses: 1 } }, { plan: { automanage_licenses: 'yes' } },
      { plan: { price_per_license: -1 } }, { plan: { price_per_license: 1.5 } }, { plan: { price_per_license: 1, fixed_price: 2 } }, { plan: { fixed_price: -5 } },
      { plan: { next_invoice_date: 'soon' } }, { plan: { end_date: -1 } }, { plan: { billing_cycle_anchor: 1.5 } }, { plan: { id: 5 } }, { plan: { customer: 5 } },
      { customer: { sponsorship_pending: 'yes' } }, { customer: { flat_discount: -1 } }, { customer: { minimum_licenses: 'x' } }, { customer: { required_plan_tier: 7 } }, { customer: { nope: 1 } },
      { plan_type: 102, plan: { tier: 99 } }, { customer: { flat_discount: 7 }, plan: { status: 99 } },
    ]) {
      for (const whose of both(server, realm)) {
        const answer = await first.plan(whose, wish as object);
        assert.equal(answer.status, 400, `${JSON.stringify(wish)}: ${answer.text}`);
        assertProblem(answer, 400);
      }
    }
    assert.deepEqual([await first.read(at(server)), await first.audit(at(server)), await first.audit(on(realm))], before);
  });

  test('is refused a discount that is none', async () => {
    const { server } = await home();
    await first.changePlan(at(server), { plan: { tier: 103 } });
    const taken: string[] = [];
    for (const discount of ['half', '101', '-1', '', 'NaN', '1e400']) {
      if ((await first.plan(at(server), { plan: { discount } })).status !== 400) taken.push(discount);
    }
    assert.deepEqual(taken, []);
  });

  test('who changes tier or schedule changes the price with it', async () => {
    const { server } = await home();
    const prices: unknown[] = [];
    for (const plan of [{ tier: 103, billing_schedule: 2 }, { billing_schedule: 1 }, { tier: 104 }, { billing_schedule: 2 }]) {
      const made = (await first.changePlan(at(server), { plan })).plan;
      prices.push([made.tier, made.billing_schedule, made.price_per_license]);
    }
    assert.deepEqual(prices, [[103, 2, 350], [103, 1, 4200], [104, 1, 8000], [104, 2, 800]]);
  });

  test('who sponsors somebody that paid sends no more bills', async () => {
    const { server } = await home();
    await first.changePlan(at(server), { plan: { tier: 104, status: 3, next_invoice_date: seconds() + DAY } });
    const { plan } = await first.changePlan(at(server), { plan: { tier: 102, status: 1 } });
    assert.deepEqual([plan.tier, plan.price_per_license, plan.next_invoice_date], [102, null, null], 'as one that was sponsored from the beginning');
  });

  test('decides for an organization without touching its server, and for a server with all that have no plan of their own', async () => {
    const server = await bouncer.server();
    const [one, two] = [newRealm(1), newRealm(2)];
    const rows = [server.auditRow(1, one, 12), server.auditRow(2, two, 15)];
    assert.equal((await server.reportRealms([one, two], { realmauditlog_rows: rows })).status, 200);
    const said = async (): Promise<boolean[]> => {
      const { realms } = (await server.reportRealms([one, two])).json;
      return [realms[one.uuid].can_push, realms[two.uuid].can_push];
    };
    assert.deepEqual(await said(), [false, false]);
    await first.changePlan(on(one), { plan: { tier: 103 } });
    assert.deepEqual(await said(), [true, false]);
    assert.deepEqual([(await first.read(at(server))).plan_type, (await first.read(on(two))).plan_type], [100, 100]);
    await first.changePlan(at(server), { plan: { tier: 104 } });
    assert.deepEqual(await said(), [true, true]);
    await first.changePlan(on(one), { plan: { status: 11 } });
    assert.deepEqual(await said(), [true, true], "the server's plan is enough");
    await first.changePlan(at(server), { plan: { status: 11 } });
    assert.deepEqual(await said(), [false, false]);
  });
});

describe('a plan that ends', () => {
  test('at the end of its cycle says when, to those who need it', async () => {
    const many = await home(12);
    await first.changePlan(on(many.realm), { plan: { tier: 103, billing_schedule: 2 } });
    await first.changePlan(on(many.realm), { plan: { status: 2 } });
    const [can, end] = await told(many);
    assert.ok(can && end !== null && end > seconds() + 27 * DAY && end <= seconds() + 31 * DAY + 3700, `${end}`);
    assert.equal((await first.read(on(many.realm))).push.reason, 'Scheduled end');
    const yearly = await home(12);
    await first.changePlan(on(yearly.realm), { plan: { tier: 104, billing_schedule: 1 } });
    await first.changePlan(on(yearly.realm), { plan: { status: 2 } });
    const [, far] = await told(yearly);
    assert.ok(far !== null && Math.abs(far - seconds() - 365.5 * DAY) < 2 * DAY, `${far}`);
    const few = await home(10);
    await first.changePlan(on(few.realm), { plan: { tier: 103 } });
    await first.changePlan(on(few.realm), { plan: { status: 2 } });
    assert.deepEqual(await told(few), [true, null]);
    assert.equal((await first.read(on(few.realm))).push.reason, 'Expiring plan few users');
    await first.changePlan(on(many.realm), { plan: { status: 1 } });
    assert.deepEqual(await told(many), [true, null], 'and the end can be taken back');
  });

  test('on a date does so by itself', async () => {
    const one = await home(12);
    const end = seconds() + 3;
    await first.changePlan(on(one.realm), { plan: { tier: 103 } });
    await first.changePlan(on(one.realm), { plan: { status: 2, end_date: end } });
    assert.deepEqual(await told(one), [true, end], 'never later than its date');
    await until('it has ended', async () => (await planOf(on(one.realm))) === null, 15_000, 100);
    assert.ok(seconds() >= end);
    assert.deepEqual(await told(one), [false, null]);
    assert.equal((await first.read(on(one.realm))).plan_type, 100);
    const row = ofType(await first.audit(on(one.realm)), 204).at(-1);
    assert.deepEqual([row.extra_data.old_value, row.extra_data.new_value], [103, 100]);
    assert.deepEqual(change(ofType(await first.audit(on(one.realm)), 506).at(-1)), ['status', 2, 11]);
  });

  test('ends while the service is down, too', () =>
    withBouncer({ ADMIN_SECRET: SECRET }, async (own) => {
      const operator = firstOperator(own);
      const [server, realm] = [await own.server(), newRealm(1)];
      await reportPeople(server, realm, 12);
      await operator.changePlan(at(server), { plan: { tier: 103 } });
      const end = seconds() + 2;
      await operator.changePlan(at(server), { plan: { status: 2, end_date: end } });
      await own.service.crash();
      await until('its time is over', () => seconds() > end);
      await own.service.boot();
      await until('it has ended', async () => (await operator.read(at(server))).billing.plan === null, 15_000, 100);
      assert.equal((await operator.read(at(server))).plan_type, 100);
    }));

  test('or is free lets its server go; a live one does not', async () => {
    const one = await home(3);
    const refused = async (): Promise<void> => {
      const answer = await one.server.deactivate();
      assertRefused(answer, 400, 'BAD_REQUEST', '', { error_description: 'server deactivation with existing plan' });
    };
    await first.changePlan(on(one.realm), { plan: { tier: 103 } });
    await refused();
    await first.changePlan(on(one.realm), { plan: { status: 2 } });
    await first.changePlan(at(one.server), { plan: { tier: 104 } });
    await refused();
    await first.changePlan(at(one.server), { plan: { status: 11 } });
    await first.changePlan(at(one.server), { plan: { tier: 102 } });
    assertSuccess(await one.server.deactivate());
  });
});

describe('licenses', () => {
  const licenses = async (whose: string): Promise<[number, number]> => {
    const plan = await planOf(whose);
    return [plan.licenses, plan.licenses_at_next_renewal];
  };

  test('follow the people: up at once, down at the next renewal', async () => {
    const { server, realm } = await home(12);
    for (const whose of both(server, realm)) await first.changePlan(whose, { plan: { tier: 103 } });
    assert.deepEqual(await licenses(at(server)), [12, 12]);
    for (const [people, now, next] of [[15, 15, 15], [11, 15, 11], [13, 15, 13], [20, 20, 20]] as const) {
      await reportPeople(server, realm, people);
      for (const whose of both(server, realm)) assert.deepEqual(await licenses(whose), [now, next], `${people} people`);
    }
  });
  test('are never fewer than the tier wants', async () => {
    const { server } = await home(3);
    assert.equal((await first.changePlan(at(server), { plan: { tier: 104 } })).plan.licenses, 25);
    await first.changePlan(at(server), { plan: { status: 11 } });
    assert.equal((await first.changePlan(at(server), { plan: { tier: 103 } })).plan.licenses, 6, 'the smallest that the discount leaves something of');
    for (const few of [5, 1, 0]) {
      const answer = await first.plan(at(server), { plan: { licenses: few, automanage_licenses: false } });
      assert.ok(answer.status === 400 || answer.status === 409, answer.text);
    }
  });

  test('stay as they are where nobody follows the people', async () => {
    const { server, realm } = await home(12);
    await first.changePlan(on(realm), { plan: { tier: 103, automanage_licenses: false, licenses: 30 } });
    await reportPeople(server, realm, 18);
    assert.deepEqual(await licenses(on(realm)), [30, 30]);
  });
});

describe('a schedule', () => {
  test('that an operator changes has a line of its own, each way', async () => {
    const { server } = await home(12);
    await first.changePlan(at(server), { plan: { tier: 103, billing_schedule: 2 } });
    for (const [status, schedule] of [[4, 1], [6, 2]] as const) {
      assert.equal((await first.changePlan(at(server), { plan: { status } })).plan.status, status, 'at the end of the cycle');
      assert.equal((await first.changePlan(at(server), { plan: { status: 1, billing_schedule: schedule } })).plan.billing_schedule, schedule, 'now');
    }
    const rows = await first.audit(at(server));
    assert.deepEqual(ofType(rows, 503, 504).map((row) => [row.event_type, ...change(row)]), [[503, 'billing_schedule', 2, 1], [504, 'billing_schedule', 1, 2]]);
    const of = (name: string): unknown[] => ofType(rows, 506).map(change).filter(([property]) => property === name);
    assert.deepEqual(of('status'), [['status', 1, 4], ['status', 4, 1], ['status', 1, 6], ['status', 6, 1]]);
    assert.deepEqual(of('price_per_license'), [['price_per_license', 350, 4200], ['price_per_license', 4200, 350]], 'and the price goes with it');
  });

  test('begins with a trial that ends on its date: in a plan, or in none', async () => {
    for (const [status, tier] of [[3, 103], [7, null]] as const) {
      const one = await home(12);
      const end = seconds() + 3;
      await first.changePlan(on(one.realm), { plan: { tier: 103, status: 3, next_invoice_date: end } });
      if (status !== 3) await first.changePlan(on(one.realm), { plan: { status } });
      assert.deepEqual(await told(one), [true, status === 7 ? end : null]);
      assert.deepEqual((await first.read(`${on(one.realm)}/invoices`)).invoices, [], 'nothing is owed yet');
      // A run waits for numbers from after its date; the end of a trial that is not wanted does not.
      await until('its date', () => seconds() > end, 10_000);
      if (status === 3) await reportPeople(one.server, one.realm, 12);
      const plan = await until('the trial is over', async () => {
        const found = (await billing(on(one.realm))).plan;
        return found?.status !== status && { found };
      }, 15_000, 100);
      assert.ok(seconds() >= end);
      assert.equal(plan.found?.tier ?? null, tier);
      if (status === 3) {
        assert.equal(plan.found.status, 1);
        await until('the first invoice is there', async () => (await first.read(`${on(one.realm)}/invoices`)).invoices.length === 1);
      } else {
        assert.deepEqual((await first.read(`${on(one.realm)}/invoices`)).invoices, []);
      }
      assert.deepEqual(await told(one), [tier !== null, null]);
    }
  });
});

describe('invoices', () => {
  const settled = (whose: string, count: number): Promise<any[]> =>
    until(`${count} invoices of ${whose}`, async () => {
      const rows = await first.all(`${whose}/invoices`, 'invoices');
      return rows.length === count && rows;
    }, 15_000, 50);

  test('say what was agreed, as JSON and as CSV', async () => {
    const { server, realm } = await home(12);
    await first.changePlan(on(realm), { plan: { tier: 103, billing_schedule: 2 } });
    await first.changePlan(at(server), { plan: { tier: 104, billing_schedule: 1 }, customer: { flat_discount: 0, flat_discounted_months: 0 } });
    const [small] = await settled(on(realm), 1);
    assert.deepEqual(
      [small.realm_uuid, small.tier, small.licenses, small.discount, small.amount],
      [realm.uuid, 103, 12, 2000, 12 * 350 - 2000],
    );
    assert.ok(Math.abs(small.created_at - seconds()) < 10 && small.period_start <= small.created_at && small.period_end > small.period_start + 27 * DAY);
    const [large] = await settled(at(server), 1);
    assert.deepEqual([large.tier, large.licenses, large.discount, large.amount], [104, 25, 0, 25 * 8000]);
    for (const [whose, row] of [[on(realm), small], [at(server), large]] as const) {
      const csv = await first.get(`${whose}/invoices?format=csv`);
      assert.equal(csv.status, 200);
      assert.match(String(csv.headers['content-type']), /^text\/csv\b/);
      const [head = '', ...lines] = csv.text.trimEnd().split(/\r?\n/);
      const names = head.split(',');
      assert.deepEqual([...names].sort(), Object.keys(row).sort(), 'the same columns');
      assert.deepEqual(lines.map((line) => line.split(',')), [names.map((name) => String(row[name] ?? ''))]);
    }
    assertProblem(await first.get(`${at(server)}/invoices?format=pdf`), 400);
  });

  test('are written once for each plan that begins, with a fixed price too, and read in pages', async () => {
    const { server } = await home(12);
    for (let count = 1; count <= 4; count += 1) {
      await first.changePlan(at(server), { customer: { flat_discount: 0, flat_discounted_months: 0 }, plan: { tier: 103, fixed_price: 10_000 + count, billing_schedule: 2 } });
      await settled(at(server), count);
      await first.changePlan(at(server), { plan: { status: 11 } });
    }
    const rows = await first.all(`${at(server)}/invoices`, 'invoices', 1);
    assert.equal(new Set(rows.map((row) => row.id)).size, 4);
    assert.deepEqual(rows.map((row) => row.amount), [10_001, 10_002, 10_003, 10_004]);
    assert.deepEqual(rows, await first.all(`${at(server)}/invoices`, 'invoices'));
    assert.equal((await first.get(`${at(server)}/invoices?format=csv`)).text.trimEnd().split(/\r?\n/).length, 5);
  });

  test('remain when the server is removed', async () => {
    const { server, realm } = await home(12);
    await first.changePlan(at(server), { plan: { tier: 103 } });
    const rows = await settled(at(server), 1);
    await first.act('DELETE', at(server));
    assert.deepEqual(await first.all(`${at(server)}/invoices`, 'invoices'), rows);
    const text = (await first.get(`${at(server)}/invoices?format=csv`)).text;
    for (const word of [server.hostname, server.email, realm.name, realm.host]) assert.ok(!text.includes(word));
  });
});

describe('the payment system', () => {
  test('finds in the documents how messages are signed, both ways', () => {
    const text = readFileSync(join(ROOT, 'docs/push.md'), 'utf8');
    for (const word of ['Waystation-Signature', 'HMAC-SHA256', 'billing-events']) assert.ok(text.includes(word), word);
  });

  test('hears of every change, signed, in words that lead back to it', async () => {
    const { server, realm } = await home(12);
    await first.changePlan(at(server), { plan_type: 102 });
    const [event] = await until('it has heard', () => payment.heard(server).length === 1 && payment.heard(server));
    assert.deepEqual([event.type, event.server, event.realm, event.plan_type], ['plan.changed', server.uuid, null, 102]);
    assert.ok(Math.abs(event.created - seconds()) < 10);
    await first.changePlan(on(realm), { plan: { tier: 103 } });
    const ofRealm = await until('it has heard of the organization', () => payment.heard(server).find((one) => one.realm === realm.uuid));
    assert.deepEqual([ofRealm.plan_type, ofRealm.billing.plan.tier], [103, 103]);
    await first.act('POST', `${at(server)}/deactivate`, {});
    await until('it has heard of the end', () => payment.heard(server).some((one) => one.type === 'server.deactivated'));
    const ids = payment.heard(server).map((one) => one.id);
    assert.equal(new Set(ids).size, ids.length, 'each once');
    for (const { body } of payment.seen) for (const secret of [server.key, realm.uuid_owner_secret, SECRET]) assert.ok(!body.toString().includes(secret));
    // A refusal is no event.
    const count = payment.heard(server).length;
    assertProblem(await first.plan(on(realm), { plan: { status: 99 } }), 400);
    await first.act('POST', `${at(server)}/reactivate`, {});
    await until('it has heard of the return', () => payment.heard(server).length > count);
    assert.deepEqual(payment.heard(server).slice(count).map((one) => one.type), ['server.reactivated']);
  });

  test('is told again until it has heard, with the same name, over a crash of ours', async () => {
    const own = await PaymentSystem.start();
    try {
      await withBouncer({ ADMIN_SECRET: SECRET, ...own.settings }, async (near) => {
        const operator = firstOperator(near);
        const [one, two] = [await near.server(), await near.server()];
        own.queue({ status: 500 }, { status: 302, headers: { Location: `${own.url}/elsewhere` } });
        await operator.changePlan(at(one), { plan_type: 102 });
        await own.until(1);
        await operator.changePlan(at(two), { plan_type: 102 });
        await own.until(2);
        await near.service.crashAndRestart();
        // What has changed meanwhile is another message.
        await operator.changePlan(at(one), { plan_type: 101 });
        await own.until(5, 90_000);
        for (const server of [one, two]) {
          const heard = own.heard(server);
          const [first, second, ...more] = heard.filter((event) => event.id === heard[0].id);
          assert.deepEqual(second, first, 'in the same words');
          assert.deepEqual(more, []);
        }
      });
    } finally {
      await own.close();
    }
  });

  const answered = (answer: Answer, status: number): void => {
    assert.equal(answer.status, status, answer.text);
    if (status !== 200) assertProblem(answer, status);
  };
  const event = (server: { uuid: string }, more: object): object => ({ event: randomUUID(), server: server.uuid, ...more });

  test('sets plans by signed messages, written down as its own', async () => {
    const one = await home(12);
    const { server, realm } = one;
    answered(await payment.tell(bouncer.service, server, event(server, { change: { plan: { tier: 104 } } })), 200);
    assert.deepEqual([(await planOf(at(server))).tier, (await first.read(at(server))).plan_type], [104, 104]);
    assert.deepEqual(await told(one), [true, null]);
    answered(await payment.tell(bouncer.service, server, event(server, { realm: realm.uuid, change: { plan_type: 102 } })), 200);
    assert.equal((await first.read(on(realm))).plan_type, 102);
    answered(await payment.tell(bouncer.service, server, event(server, { change: { plan: { status: 2 } } })), 200);
    assert.equal((await planOf(at(server))).status, 2);
    const rows = [...ofType(await first.audit(at(server)), 502, 10_204, 506), ...ofType(await first.audit(on(realm)), 204)];
    assert.ok(rows.length >= 4);
    const [byOperator] = ofType(await (async () => {
      await first.changePlan(at(server), { plan_type: 105 });
      return first.audit(at(server));
    })(), 10_204).slice(-1);
    for (const row of rows) assert.notEqual(row.actor, byOperator.actor);
  });

  test('is believed only with the right key, at the right time, for those very bytes', async () => {
    const { server } = await home(12);
    const message = { event: 'a gift', server: server.uuid, change: { plan_type: 102 } };
    const body = JSON.stringify(message);
    const good = signature(body);
    const [, , hex = ''] = /t=(\d+),v1=(.*)/.exec(good) ?? [];
    const bad: (string | undefined)[] = [
      '', 'nonsense', hex, `v1=${hex}`, `t=${seconds()}`, good.slice(0, -1), `${good}0`, good.replace(/v1=./, 'v1=g'),
      signature(body, seconds(), 'another key'), signature(body, seconds(), SECRET), signature(body, seconds(), ''),
      signature(body, seconds() - 310), signature(body, seconds() + 310), signature(body, 0), signature(body, -1),
      good.replace(/t=\d+/, `t=${seconds() + 1}`), signature(`${body} `), signature(JSON.stringify({ ...message, change: { plan_type: 105 } })),
    ];
    for (const signed of bad) answered(await payment.tell(bouncer.service, server, message, signed), 401);
    answered(await first.ask('POST', `${at(server)}/billing-events`, message), 401);
    answered(await bouncer.service.post(`/v1/push/${at(server)}/billing-events`, body, { headers: server.headers }), 401);
    assert.equal((await first.read(at(server))).plan_type, 100);
    // Clocks may differ a little.
    for (const [i, skew] of [-240, 240].entries()) {
      const later = { event: `skewed ${server.uuid} ${i}`, server: server.uuid, change: { plan_type: i === 0 ? 102 : 100 } };
      answered(await payment.tell(bouncer.service, server, later, signature(JSON.stringify(later), seconds() + skew)), 200);
    }
  });

  test('counts once, however often the same message comes', async () => {
    const { server } = await home(12);
    const message = event(server, { change: { plan_type: 102 } });
    const signed = signature(JSON.stringify(message));
    const answers = await Promise.all(Array.from({ length: 10 }, () => payment.tell(bouncer.service, server, message, signed)));
    for (const answer of answers) assert.ok(answer.status === 200 || answer.status === 409, answer.text);
    assert.ok(answers.some((answer) => answer.status === 200));
    assert.equal(ofType(await first.audit(at(server)), 10_204).length, 1);
    await first.changePlan(at(server), { plan_type: 100 });
    const replayed = await payment.tell(bouncer.service, server, message, signed);
    assert.ok(replayed.status === 200 || replayed.status === 409, replayed.text);
    assert.equal((await first.read(at(server))).plan_type, 100, 'a replay changes nothing');
    // Signed anew it is still the same message.
    await payment.tell(bouncer.service, server, message, signature(JSON.stringify(message), seconds() - 5));
    assert.equal((await first.read(at(server))).plan_type, 100);
    // A captured message is worth nothing for another server.
    const other = (await home(12)).server;
    const one = event(server, { change: { plan_type: 102 } });
    const captured = signature(JSON.stringify(one));
    answered(await payment.tell(bouncer.service, server, one, captured), 200);
    await bouncer.service.crashAndRestart();
    await first.changePlan(at(server), { plan_type: 100 });
    await payment.tell(bouncer.service, server, one, captured);
    answered(await payment.tell(bouncer.service, other, one, captured), 404);
    assert.equal((await first.read(at(server))).plan_type, 100, 'not even after a crash');
    assert.equal((await first.read(at(other))).plan_type, 100);
  });

  test('is refused what makes no sense', async () => {
    const { server, realm } = await home(12);
    for (const message of [
      {}, [], { event: 'x' }, { change: { plan_type: 102 } }, { event: 'x', change: { plan_type: 102 } }, event(server, { server: 'nobody', change: { plan_type: 102 } }), event(server, { change: { plan_type: 7 } }), event(server, { change: { plan: { tier: 5 } } }),
      event(server, { event: '', change: { plan_type: 102 } }), event(server, { event: 'x'.repeat(200), change: { plan_type: 102 } }), event(server, { event: 7, change: { plan_type: 102 } }),
      event(server, { change: { plan_type: 102 }, more: 1 }), event(server, { realm: 'nowhere', change: { plan_type: 102 } }),
    ]) answered(await payment.tell(bouncer.service, server, message), 400);
    answered(await payment.tell(bouncer.service, server, event(server, { realm: randomUUID(), change: { plan_type: 102 } })), 404);
    const stranger = { uuid: randomUUID() };
    answered(await payment.tell(bouncer.service, stranger, event(stranger, { change: { plan_type: 102 } })), 404);
    // What is so already is no mistake, and is not told again for days.
    answered(await payment.tell(bouncer.service, server, event(server, { change: {} })), 200);
    assert.deepEqual([(await first.read(at(server))).plan_type, (await first.read(on(realm))).plan_type], [100, 100]);
    // A refused message may come again when it makes sense.
    const name = randomUUID();
    answered(await payment.tell(bouncer.service, server, { event: name, server: server.uuid, change: { plan_type: 7 } }), 400);
    answered(await payment.tell(bouncer.service, server, { event: name, server: server.uuid, change: { plan_type: 102 } }), 200);
    assert.equal((await first.read(at(server))).plan_type, 102);
  });

  test('has no say while there is no key', () =>
    withBouncer({ ADMIN_SECRET: SECRET }, async (own) => {
      const server = await own.server();
      const message = event(server, { change: { plan_type: 102 } });
      for (const key of ['', 'undefined', SECRET]) {
        assertProblem(await payment.tell(own.service, server, message, signature(JSON.stringify(message), seconds(), key)), 503);
      }
      assert.equal((await firstOperator(own).read(at(server))).plan_type, 100);
    }));
});

test('plans and their story survive a crash', () =>
  withBouncer({ ADMIN_SECRET: SECRET }, async (own) => {
    const operator = firstOperator(own);
    const [server, realm] = [await own.server(), newRealm(1)];
    await reportPeople(server, realm, 12);
    await operator.changePlan(at(server), { plan: { tier: 103 } });
    await operator.changePlan(on(realm), { plan: { tier: 104, automanage_licenses: false, licenses: 40 }, customer: { payment_reference: 'cus_17' } });
    await until('the invoices are there', async () => (await Promise.all([at(server), on(realm)].map(async (whose) => (await operator.read(`${whose}/invoices`)).invoices.length))).join() === '1,1');
    const all = async (): Promise<unknown> => Promise.all(['', '/audit', '/invoices'].flatMap((path) => [at(server), on(realm)].map((whose) => operator.read(`${whose}${path}`))));
    const before = await all();
    await own.service.crashAndRestart();
    assert.deepEqual(await all(), before);
  }));
