// What owners do with a plan: ask for one, change it, end it. push-bouncer.md 2.6, 2.8, 2.9 and 3.9.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { assertRefused, assertRefusedSomehow, assertSuccess, Bouncer } from './support/push/bouncer.ts';
import type { Changes } from './support/push/browser.ts';
import { OPERATOR, Operator, Owner, rawApi, RealmOwner, ServerOwner } from './support/push/owners.ts';

const [ACTIVE, ENDS, TRIAL, TO_ANNUAL, TO_MONTHLY, TRIAL_ENDS, OVER] = [1, 2, 3, 4, 6, 7, 11] as const;
const [ANNUAL, MONTHLY] = [1, 2] as const;
const YEAR = 365 * 86_400;

let bouncer: Bouncer;
let operator: Operator;
before(async () => {
  bouncer = await Bouncer.start({ ADMIN_SECRET: OPERATOR });
  operator = new Operator(bouncer);
});
after(() => bouncer.finish());

/** The basic plan in a state, with nothing to invoice for a year. */
const body = (status: number, schedule: number): object =>
  ({ plan_type: 103, plan: { tier: 103, status, billing_schedule: schedule, next_invoice_date: Math.floor(Date.now() / 1000) + YEAR } });

/** An owner whose organization has the basic plan in this state. */
async function having(status: number, schedule: number): Promise<RealmOwner> {
  const owner = await RealmOwner.signedIn(bouncer);
  await operator.plan(owner.realm, body(status, schedule));
  return owner;
}

describe('the status of a plan', () => {
  // From, schedule, the statuses that an owner may ask for from there, and those that nobody has decided about.
  const ways: [number, number, number[], number[]][] = [
    [ACTIVE, MONTHLY, [ENDS, TO_ANNUAL], []],
    [ACTIVE, ANNUAL, [ENDS, TO_MONTHLY], []],
    [ENDS, MONTHLY, [ACTIVE], [TO_ANNUAL]],
    [TO_ANNUAL, MONTHLY, [ACTIVE], [ENDS]],
    [TO_MONTHLY, ANNUAL, [ACTIVE], [ENDS]],
    [TRIAL, MONTHLY, [TRIAL_ENDS, OVER], []],
    [TRIAL_ENDS, MONTHLY, [TRIAL], [OVER]],
  ];
  for (const [from, schedule, allowed, open] of ways) {
    test(`${from}, billed by ${schedule}, may become ${allowed.join(', ')}`, async () => {
      const owner = await having(from, schedule);
      let before = (await operator.realm(owner.realm)).billing.plan;
      for (const to of [ACTIVE, ENDS, TRIAL, TO_ANNUAL, TO_MONTHLY, TRIAL_ENDS, OVER]) {
        if (to === from || open.includes(to)) continue;
        const audited = (await operator.audit(owner.realm)).length;
        const answer = await owner.api('PATCH', 'plan', { status: String(to) });
        const state = await operator.realm(owner.realm);
        if (!allowed.includes(to)) {
          assertRefusedSomehow(answer, 400);
          assert.deepEqual(state.billing.plan, before, `to ${to}`);
          assert.equal((await operator.audit(owner.realm)).length, audited, 'nothing to audit');
          continue;
        }
        assertSuccess(answer);
        assert.deepEqual([state.billing.plan?.status ?? null, state.plan_type], to === OVER ? [null, 100] : [to, 103]);
        const rows = (await operator.audit(owner.realm)).slice(audited).filter((row) => row.extra_data.property === 'status');
        assert.deepEqual(rows.map((row) => [row.event_type, row.extra_data.old_value, row.extra_data.new_value]), [[506, from, to]]);
        // Back to where it was, by an operator.
        await operator.plan(owner.realm, body(from, schedule));
        before = (await operator.realm(owner.realm)).billing.plan;
        assert.equal(before.status, from);
      }
    });
  }

  test('is one of seven', async () => {
    const owner = await having(ACTIVE, MONTHLY);
    for (const status of ['0', '5', '8', '9', '10', '12', '-1', '1.5', 'x', 'null', '', '99999999999999999999']) {
      const answer = await owner.api('PATCH', 'plan', { status });
      assertRefusedSomehow(answer, 400);
    }
    assert.equal((await operator.realm(owner.realm)).billing.plan.status, ACTIVE);
  });

  test('is not changed where there is no plan', async () => {
    const owner = await RealmOwner.signedIn(bouncer);
    for (const fields of [{ status: '2' }, { licenses: '20' }, { schedule: '1' }, { toggle_license_management: 'true' }]) {
      assertRefusedSomehow(await owner.api('PATCH', 'plan', fields), 400);
    }
    assert.deepEqual(await operator.audit(owner.realm), []);
  });

  test('is not changed by asking for nothing', async () => {
    const owner = await having(ACTIVE, MONTHLY);
    assertRefusedSomehow(await owner.api('PATCH', 'plan'), 400);
    assertRefusedSomehow(await owner.api('PATCH', 'plan', { nothing: '1' }), 400);
  });

  test('ends a trial at once, and the free plan is what is left', async () => {
    const owner = await having(TRIAL, MONTHLY);
    assertSuccess(await owner.api('PATCH', 'plan', { status: String(OVER) }));
    const rows = (await operator.audit(owner.realm, 204, 10204)).slice(-1);
    assert.deepEqual(rows.map((row) => row.extra_data), [{ old_value: 103, new_value: 100 }]);
    const page = await owner.browser.get(owner.path('plans'));
    assert.match(page.text, /Your plan: Self-managed/);
    assert.ok(rows[0].actor.includes(owner.email), 'the audit says who did it');
  });
});

describe('the page about a plan', () => {
  test('has a form for what may be done, and does it', async () => {
    const owner = await having(ACTIVE, MONTHLY);
    const status = async (): Promise<number> => (await operator.realm(owner.realm)).billing.plan.status;
    for (const to of [ENDS, ACTIVE, TO_ANNUAL, ACTIVE]) {
      const page = await owner.browser.get(owner.path('billing'));
      const form = page.forms.find((one) => one.has('status') && one.values.status === String(to));
      assert.ok(form, `a form to ${to} among ${page.text}`);
      const done = await owner.browser.submit(form);
      assert.ok([200, 302, 303].includes(done.status));
      assert.equal(await status(), to);
    }
  });

  test('says no where the plan does not allow it', async () => {
    const owner = await having(ACTIVE, MONTHLY);
    const page = await owner.browser.get(owner.path('billing'));
    const csrf = Owner.token(page);
    for (const fields of [{ status: '3' }, { status: '11' }, { status: 'x' }, {}]) {
      const refused = await owner.browser.post(owner.path('billing'), { csrf, ...fields });
      assert.deepEqual([refused.status, refused.alerts.length], [400, 1], JSON.stringify(fields));
    }
    assert.equal((await operator.realm(owner.realm)).billing.plan.status, ACTIVE);
  });

  test('shows what the plan is', async () => {
    const owner = await having(ENDS, ANNUAL);
    const page = await owner.browser.get(owner.path('billing'));
    for (const word of ['Basic', 'Annual', 'Licenses']) assert.ok(page.text.includes(word), `${word} in ${page.text}`);
  });
});

describe('the licenses', () => {
  test('are chosen by hand only where they are managed so', async () => {
    const owner = await having(ACTIVE, ANNUAL);
    const plan = async (): Promise<any> => (await operator.realm(owner.realm)).billing.plan;
    const refused = async (fields: Changes): Promise<void> => {
      const before = await plan();
      assertRefusedSomehow(await owner.api('PATCH', 'plan', fields), 400);
      assert.deepEqual(await plan(), before);
    };
    await refused({ licenses: '20' });
    await refused({ licenses_at_next_renewal: '20' });
    assertSuccess(await owner.api('PATCH', 'plan', { toggle_license_management: 'true' }));
    assert.equal((await plan()).automanage_licenses, false);
    assertSuccess(await owner.api('PATCH', 'plan', { licenses: '20' }));
    assert.deepEqual([(await plan()).licenses, (await plan()).licenses_at_next_renewal], [20, 20]);
    // What is paid for is not given back within the period, but for the next one.
    await refused({ licenses: '19' });
    assertSuccess(await owner.api('PATCH', 'plan', { licenses_at_next_renewal: '7' }));
    assert.deepEqual([(await plan()).licenses, (await plan()).licenses_at_next_renewal], [20, 7]);
    // Six at least, by the discount that everybody has.
    await refused({ licenses_at_next_renewal: '5' });
    for (const licenses of ['x', '-1', '0', '1.5', '', '9007199254740993']) await refused({ licenses });
    assertSuccess(await owner.api('PATCH', 'plan', { toggle_license_management: 'true' }));
    assert.equal((await plan()).automanage_licenses, true);
    const changed = (await operator.audit(owner.realm, 506)).map((row) => [row.extra_data.property, row.extra_data.old_value, row.extra_data.new_value]);
    for (const row of [['automanage_licenses', true, false], ['licenses', 6, 20], ['licenses_at_next_renewal', 20, 7], ['automanage_licenses', false, true]]) {
      assert.ok(changed.some((one) => JSON.stringify(one) === JSON.stringify(row)), `${row} in ${JSON.stringify(changed)}`);
    }
  });

  test('are billed by month or by year, from the next period on', async () => {
    const owner = await having(ACTIVE, ANNUAL);
    assertRefusedSomehow(await owner.api('PATCH', 'plan', { schedule: '3' }), 400);
    assertSuccess(await owner.api('PATCH', 'plan', { schedule: '2' }));
    const { plan } = (await operator.realm(owner.realm)).billing;
    assert.deepEqual([plan.status, plan.billing_schedule], [TO_MONTHLY, ANNUAL]);
  });
});

describe('a JSON request', () => {
  test('needs a session', async () => {
    const owner = await having(ACTIVE, MONTHLY);
    owner.browser.cookies.clear();
    for (const [method, what] of [['PATCH', 'plan'], ['POST', 'sponsorship'], ['POST', 'upgrade']] as const) {
      const answer = await owner.rawApi(method, what, { status: '2' });
      assertRefused(answer, 401, 'REMOTE_BILLING_UNAUTHENTICATED_USER', 'User not authenticated');
    }
  });

  test('is of its method only', async () => {
    const owner = await having(ACTIVE, MONTHLY);
    for (const [method, what] of [['POST', 'plan'], ['PUT', 'plan'], ['GET', 'plan'], ['PATCH', 'upgrade'], ['GET', 'sponsorship']] as const) {
      const { answer } = await owner.browser.ask(method, `/json/realm/${owner.realm.uuid}/billing/${what}`);
      assert.ok([404, 405].includes(answer.status), `${method} ${what}: ${answer.status}`);
    }
  });

  test('works for a server as for an organization', async () => {
    const owner = await ServerOwner.signedIn(bouncer);
    await operator.plan(owner.server, { plan_type: 104, plan: { tier: 104, status: ACTIVE, billing_schedule: MONTHLY } });
    const csrf = Owner.token(await owner.browser.get(owner.path('billing')));
    const path = `/json/server/${owner.server.uuid}/billing/plan`;
    assertSuccess(await rawApi(owner.browser, 'PATCH', path, { csrf, status: '2' }));
    assert.equal((await operator.server(owner.server)).billing.plan.status, ENDS);
    assertRefused(await rawApi(owner.browser, 'PATCH', path, { csrf, status: '8' }), 400, 'BAD_REQUEST', 'Invalid status');
  });
});

const REQUEST: Changes = {
  organization_type: '20', website: 'https://example.org', description: 'We make free software.', expected_total_users: '40', paid_users_count: '2',
  paid_users_description: 'Two people.',
};

describe('a sponsorship', () => {
  test('is asked for by a form, and pending from then on', async () => {
    const owner = await RealmOwner.signedIn(bouncer);
    const page = await owner.browser.get(owner.path('sponsorship'));
    const asked = await owner.browser.submit(page.form({ to: owner.path('sponsorship') }), REQUEST);
    assert.ok([200, 302, 303].includes(asked.status), asked.answer.text);
    const state = await operator.realm(owner.realm);
    assert.deepEqual([state.billing.customer.sponsorship_pending, state.plan_type], [true, 100]);
    assert.equal((await operator.audit(owner.realm, 213, 10213)).length > 0, true);
    const after = await owner.browser.get(owner.path('sponsorship'));
    assert.equal(after.forms.some((form) => form.has('description')), false, 'it is not asked for twice');
  });

  test('is asked for in JSON', async () => {
    const owner = await RealmOwner.signedIn(bouncer);
    assertSuccess(await owner.api('POST', 'sponsorship', REQUEST));
    assert.equal((await operator.realm(owner.realm)).billing.customer.sponsorship_pending, true);
  });

  test('is not asked for with a form that lacks something', async () => {
    const owner = await RealmOwner.signedIn(bouncer);
    const form = (await owner.browser.get(owner.path('sponsorship'))).form({ to: owner.path('sponsorship') });
    for (const change of [{ description: '' }, { organization_type: '7' }, { organization_type: 'x' }, { expected_total_users: '' }]) {
      const refused = await owner.browser.submit(form, { ...REQUEST, ...change });
      assert.equal(refused.status, 400, JSON.stringify(change));
      assert.equal(refused.alerts.length, 1);
      assert.ok(refused.form({ to: owner.path('sponsorship') }).has('website'), 'the form is there again');
      assertRefusedSomehow(await owner.api('POST', 'sponsorship', { ...REQUEST, ...change }), 400);
    }
    assert.equal((await operator.realm(owner.realm)).billing?.customer?.sponsorship_pending ?? false, false);
  });

  test('that is granted is a community plan', async () => {
    const owner = await RealmOwner.signedIn(bouncer);
    assertSuccess(await owner.api('POST', 'sponsorship', REQUEST));
    await operator.plan(owner.realm, { plan_type: 102, plan: { tier: 102, status: 1 }, customer: { sponsorship_pending: false } });
    const page = await owner.browser.get(owner.path('sponsorship'));
    assert.equal(page.status, 200);
    assert.match(page.text, /Community/);
  });
});

describe('an upgrade', () => {
  const WISH: Changes = { tier: '104', schedule: '1', license_management: 'manual', licenses: '30' };

  test('is asked for by a form or in JSON, and is decided by others', async () => {
    const owner = await RealmOwner.signedIn(bouncer);
    const page = await owner.browser.get(owner.path('upgrade'));
    const asked = await owner.browser.submit(page.form({ to: owner.path('upgrade') }), WISH);
    assert.ok([200, 302, 303].includes(asked.status), asked.answer.text);
    assertSuccess(await owner.api('POST', 'upgrade', { tier: '103', schedule: '2', license_management: 'automatic' }));
    const state = await operator.realm(owner.realm);
    assert.deepEqual([state.plan_type, state.billing.plan], [100, null]);
    assert.ok(JSON.stringify(await operator.audit(owner.realm)).includes('Business'), 'the wish is kept for the operator');
  });

  test('is not asked for with what does not exist', async () => {
    const owner = await RealmOwner.signedIn(bouncer);
    const form = (await owner.browser.get(owner.path('upgrade'))).form({ to: owner.path('upgrade') });
    const changes = [{ tier: '105' }, { tier: '102' }, { tier: '' }, { tier: '1e3' }, { schedule: '3' }, { license_management: 'x' }, { licenses: 'x' }, { licenses: '-1' }];
    for (const change of changes) {
      const refused = await owner.browser.submit(form, { ...WISH, ...change });
      assert.equal(refused.status, 400, JSON.stringify(change));
      assert.equal(refused.alerts.length, 1);
      assertRefusedSomehow(await owner.api('POST', 'upgrade', { ...WISH, ...change }), 400);
    }
    assert.deepEqual(await operator.audit(owner.realm), []);
  });

  test('is for as many licenses as its tier has at least', async () => {
    const owner = await RealmOwner.signedIn(bouncer);
    const form = (await owner.browser.get(owner.path('upgrade'))).form({ to: owner.path('upgrade') });
    for (const [tier, few, enough] of [['104', '24', '25'], ['103', '5', '6']] as const) {
      const wish = { tier, schedule: '1', license_management: 'manual' };
      const refused = await owner.browser.submit(form, { ...wish, licenses: few });
      assert.deepEqual([refused.status, refused.alerts.length], [400, 1]);
      assertRefusedSomehow(await owner.api('POST', 'upgrade', { ...wish, licenses: few }), 400);
      assertSuccess(await owner.api('POST', 'upgrade', { ...wish, licenses: enough }));
    }
  });
});
