// What owners read of their requests, their account and their invoices, and what operators do with their accounts.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { assertSuccess, Bouncer, report } from './support/push/bouncer.ts';
import { assertGuarded, OPERATOR, Operator, Owner, RealmOwner, ServerOwner } from './support/push/owners.ts';
import { until } from './support/service.ts';

let bouncer: Bouncer;
let operator: Operator;
before(async () => {
  bouncer = await Bouncer.start({ ADMIN_SECRET: OPERATOR, BILLING_PORTAL_URL: 'https://pay.example.org/' });
  operator = new Operator(bouncer);
});
after(() => bouncer.finish());

const UPGRADE = { tier: '103', schedule: '2', license_management: 'automatic' };

describe('event_status', () => {
  test('is empty where nothing was asked for', async () => {
    const owner = await RealmOwner.signedIn(bouncer);
    const page = await owner.browser.get(owner.path('event_status'));
    assert.equal(page.status, 200);
    assertGuarded(page);
    assert.match(page.text, /Nothing was asked for so far\./);
    const told = await owner.rawApi('GET', 'event/status', {}, { body: undefined });
    assertSuccess(told, { status: 'none', events: [] });
  });

  test('says that a request waits, and that it is done once an operator has answered', async () => {
    const owner = await RealmOwner.signedIn(bouncer);
    assertSuccess(await owner.api('POST', 'upgrade', UPGRADE));
    const status = async (): Promise<any> => (await owner.rawApi('GET', 'event/status', {}, { body: undefined })).json;
    const waiting = await status();
    assert.equal(waiting.status, 'waiting');
    assert.deepEqual(waiting.events.map((event: any) => [event.type, event.status, event.asked_by, event.answered_at]), [['upgrade', 'waiting', owner.email, null]]);
    assert.match((await owner.browser.get(owner.path('event_status'))).text, /Waits for the operator of this service/);
    await operator.plan(owner.realm, { plan: { tier: 103 } });
    const done = await status();
    assert.equal(done.status, 'done');
    assert.equal(done.events[0].status, 'done');
    assert.ok(Number.isSafeInteger(done.events[0].answered_at));
    const page = await owner.browser.get(owner.path('event_status'));
    assert.ok(!page.text.includes('Waits for the operator') && page.text.includes('Done'), page.text);
  });

  test('is nobody else’s to read', async () => {
    const [owner, other] = [await RealmOwner.signedIn(bouncer), await RealmOwner.signedIn(bouncer)];
    assert.equal((await other.browser.get(owner.path('event_status'))).status, 401);
    const told = await other.browser.ask('GET', `/json/realm/${owner.realm.uuid}/billing/event/status`);
    assert.equal(told.status, 401);
  });
});

describe('customer_portal', () => {
  test('shows who looks after the plan, where to pay, and keeps preferences', async () => {
    const owner = await RealmOwner.signedIn(bouncer);
    const page = await owner.browser.get(owner.path('customer_portal'));
    assert.equal(page.status, 200);
    assertGuarded(page);
    assert.ok(page.text.includes(owner.email) && page.text.includes('The payment system does not know you so far'));
    assert.ok(page.answer.text.includes('href="https://pay.example.org/"'));
    const form = page.form({ field: 'full_name' });
    const saved = await owner.browser.follow(await owner.browser.submit(form, { full_name: 'Iago <the> "Second"' }));
    assert.match(saved.text, /Your preferences were saved\./);
    assert.equal(saved.form({ field: 'full_name' }).values.full_name, 'Iago <the> "Second"');
    await operator.plan(owner.realm, { customer: { payment_reference: 'cus_1' } });
    const known = await owner.browser.get(owner.path('customer_portal'));
    assert.ok(known.text.includes('The payment system knows you as a customer') && !known.text.includes('cus_1'));
  });

  test('of a server leads to the end of its registration', async () => {
    const owner = await ServerOwner.signedIn(bouncer);
    const page = await owner.browser.get(owner.path('customer_portal'));
    assert.ok(page.answer.text.includes(`href="${owner.path('deactivate')}"`));
  });
});

describe('invoices', () => {
  test('are taken along as CSV and as JSON, by their owner and nobody else', async () => {
    const [owner, other] = [await RealmOwner.signedIn(bouncer), await RealmOwner.signedIn(bouncer)];
    await report(owner.server, [owner.realm]);
    await operator.plan(owner.realm, { plan: { tier: 103, fixed_price: 4_200 } });
    const path = owner.path('invoices');
    const json = await until('an invoice', async () => {
      const { answer } = await owner.browser.get(`${path}?format=json`);
      assert.equal(answer.status, 200, answer.text);
      return answer.json.invoices.length > 0 && answer;
    }, 20_000);
    assert.match(String(json.headers['content-type']), /^application\/json\b/);
    assert.equal(json.headers['content-disposition'], 'attachment; filename="invoices.json"');
    const [invoice] = json.json.invoices;
    assert.deepEqual([invoice.amount_cents + invoice.discount_cents, invoice.currency], [4_200, 'usd']);
    const { answer: csv } = await owner.browser.get(`${path}?format=csv`);
    assert.match(String(csv.headers['content-type']), /^text\/csv\b/);
    assert.equal(csv.headers['content-disposition'], 'attachment; filename="invoices.csv"');
    assert.equal(csv.headers['cache-control'], 'no-store');
    const [head = '', ...lines] = csv.text.trimEnd().split('\r\n');
    assert.deepEqual(head.split(','), Object.keys(invoice).sort((a, b) => head.split(',').indexOf(a) - head.split(',').indexOf(b)));
    assert.equal(lines.length, json.json.invoices.length);
    const page = await owner.browser.get(path);
    for (const format of ['csv', 'json']) assert.ok(page.answer.text.includes(`href="${path}?format=${format}"`), format);
    assert.equal((await owner.browser.get(`${path}?format=pdf`)).status, 400);
    for (const format of ['csv', 'json']) {
      const theirs = await other.browser.get(`${path}?format=${format}`);
      assert.ok(theirs.status === 401 && !theirs.answer.text.includes('usd'), theirs.answer.text);
    }
  });
});

describe('a script', () => {
  test('sends JSON, and the token in a header', async () => {
    const owner = await RealmOwner.signedIn(bouncer);
    const token = Owner.token(await owner.browser.get(owner.path('plans')));
    const send = (wish: unknown, headers: Record<string, string>): Promise<any> =>
      owner.rawApi('POST', 'upgrade', {}, { body: JSON.stringify(wish), headers: { 'Content-Type': 'application/json', ...headers } });
    const wish = { tier: 103, schedule: 2, license_management: 'automatic' };
    assert.equal((await send(wish, {})).status, 403);
    assert.equal((await send(wish, { 'X-CSRFToken': `${token}x` })).status, 403);
    assert.equal((await send(wish, { 'X-CSRFToken': token, Origin: 'https://evil.example' })).status, 403);
    assert.equal((await send([103], { 'X-CSRFToken': token })).status, 400);
    assert.equal((await send({ tier: [103] }, { 'X-CSRFToken': token })).status, 400);
    assertSuccess(await send(wish, { 'X-CSRFToken': token }));
    assert.equal((await owner.rawApi('GET', 'event/status', {}, { body: undefined })).json.status, 'waiting');
  });
});

describe('an account that an operator closes', () => {
  test('is shut out at once, session and link, and the audit says so', async () => {
    const owner = await RealmOwner.signedIn(bouncer);
    const users = `servers/${owner.server.uuid}/billing-users`;
    const { billing_users: [user, ...more], next } = await operator.ask('GET', users);
    assert.deepEqual([user.email, user.realm_uuid, user.is_active, more, next], [owner.email, owner.realm.uuid, true, [], null]);
    const link = await owner.access();
    assert.equal((await owner.browser.get(owner.path('billing'))).status, 200);
    assert.deepEqual(await operator.ask('DELETE', `${users}/${user.id}`, { reason: 'left' }), { is_active: false });
    assert.equal((await owner.browser.get(owner.path('billing'))).status, 403);
    assert.equal((await owner.browser.get(link)).status, 403);
    assert.equal((await operator.ask('GET', users)).billing_users[0].is_active, false);
    const [row] = await operator.audit(owner.realm, 20_007);
    assert.deepEqual(row.extra_data, { billing_user: user.id, reason: 'left' });
  });
});
