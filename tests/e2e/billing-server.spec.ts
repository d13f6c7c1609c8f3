// The way of who has a server's key, to the plan of the server and out: push-bouncer.md 3.9 and 3.10.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { assertStranger, assertSuccess, Bouncer, report } from './support/push/bouncer.ts';
import { Browser } from './support/push/browser.ts';
import type { Page } from './support/push/browser.ts';
import { newKey, newRealm, reported } from './support/push/client.ts';
import type { Realm, RemoteServer } from './support/push/client.ts';
import { HOUR, linkIn, OPERATOR, Operator, Owner, RealmOwner, ServerOwner } from './support/push/owners.ts';

let bouncer: Bouncer;
let operator: Operator;
before(async () => {
  bouncer = await Bouncer.start({ ADMIN_SECRET: OPERATOR }, 'ours');
  operator = new Operator(bouncer);
});
after(() => bouncer.finish());

const PAID = { plan_type: 104, plan: { tier: 104, status: 1 } };
const DEACTIVATED = 'The mobile push notification service registration for your server has been deactivated';
const refused = (page: Page, status: number, alert?: string): void => {
  assert.equal(page.status, status, page.answer.text);
  assert.equal(page.alerts.length, 1, page.answer.text);
  if (alert !== undefined) assert.deepEqual(page.alerts, [alert]);
};

describe('an id and a key', () => {
  test('are those of a registration', async () => {
    const owner = await ServerOwner.fresh(bouncer);
    const unknown = await owner.identify('/serverlogin/', { zulip_org_id: randomUUID() });
    const wrong = await owner.identify('/serverlogin/', { zulip_org_key: newKey() });
    const other = await owner.identify('/serverlogin/', { zulip_org_key: (await bouncer.server()).key });
    for (const page of [unknown, wrong, other]) {
      assert.ok([400, 401, 403].includes(page.status));
      assert.equal(page.alerts.length, 1);
      const form = page.form({ field: 'zulip_org_key' });
      assert.equal(form.values.zulip_org_key, '', 'a key is never written back');
    }
    assert.notDeepEqual(unknown.alerts, wrong.alerts);
    assert.deepEqual(wrong.alerts, other.alerts);
    for (const zulip_org_id of ['', 'x', '00000000-0000-0000-0000-000000000000', `${owner.server.uuid}x`, "' or 1=1 --"]) {
      const page = await owner.identify('/serverlogin/', { zulip_org_id });
      assert.ok([400, 401].includes(page.status), zulip_org_id);
      assert.equal(page.alerts.length, 1);
    }
    assert.deepEqual(await owner.letters(), []);
  });

  test('are not those of a registration that has ended', async () => {
    const owner = await ServerOwner.fresh(bouncer);
    assertSuccess(await owner.server.deactivate());
    const page = await owner.identify();
    assert.ok([400, 401, 403].includes(page.status));
    assert.match(page.alerts[0] ?? '', /deactivated/);
    const wrong = await owner.identify('/serverlogin/', { zulip_org_key: newKey() });
    assert.doesNotMatch(wrong.alerts[0] ?? '', /deactivated/, 'only who has the key is told');
  });

  test('open nothing before the letter is answered', async () => {
    const owner = await ServerOwner.fresh(bouncer);
    assert.ok((await owner.identify()).form({ to: '/confirm/' }).has('email'));
    for (const name of ['plans', 'billing', 'upgrade', 'sponsorship', 'invoices', 'deactivate']) {
      const page = await owner.browser.get(owner.path(name));
      assert.equal(page.status, 401, name);
    }
  });

  test('have to be given before a letter is sent', async () => {
    const owner = await ServerOwner.fresh(bouncer);
    const page = await owner.browser.get('/serverlogin/');
    const { csrf } = page.form({ field: 'zulip_org_id' }).values;
    const path = `/serverlogin/${owner.server.uuid}/confirm/`;
    const without = await owner.browser.post(path, { csrf, email: owner.email });
    assert.equal(without.status, 401);
    // Those of another server do not count either.
    const other = await ServerOwner.fresh(bouncer);
    const form = (await other.identify()).form({ to: '/confirm/' });
    const foreign = await other.browser.post(path, { ...form.values, email: owner.email });
    assert.equal(foreign.status, 401);
    assert.deepEqual(await owner.letters(), []);
  });
});

describe('a sign-in', () => {
  test('goes over a letter and the terms, and works again for a day', async () => {
    const owner = await ServerOwner.fresh(bouncer);
    const sent = await owner.askLetter();
    assert.equal(sent.status, 200);
    assert.ok(sent.text.includes(owner.email));
    const link = linkIn((await owner.letters())[0], owner.browser.origin);
    assert.match(link, /^\/serverlogin\/do_confirm\/[A-Za-z0-9_-]{22,}$/);
    let page = await owner.browser.get(link);
    assert.ok(page.text.includes(owner.server.hostname) && page.text.includes(owner.email));
    refused(await owner.browser.submit(page.form({ field: 'tos_consent' })), 400, 'You must accept the Terms of Service to proceed.');
    assert.equal((await owner.browser.get(owner.path('plans'))).status, 401);
    page = await owner.accept(page);
    assert.deepEqual([page.path, page.status], [owner.path('plans'), 200]);
    assert.ok(page.text.includes(owner.server.hostname));

    for (const browser of [owner.browser, new Browser(bouncer.service)]) {
      owner.browser = browser;
      const again = await browser.get(link);
      assert.equal(again.form({ button: 'Continue' }).has('tos_consent'), false, 'the terms are accepted once');
      assert.equal((await owner.accept(again)).path, owner.path('plans'));
    }
    await bouncer.ahead(24 * HOUR - 60_000);
    assert.equal((await new Browser(bouncer.service).get(link)).status, 200);
    await bouncer.ahead(24 * HOUR + 60_000);
    const late = await new Browser(bouncer.service).get(link);
    await bouncer.ahead(0);
    assert.ok(late.status >= 400 && late.status < 500);
    assert.equal(late.alerts.length, 1);
    assert.equal(late.forms.length, 0);
  });

  test('lasts two hours', async () => {
    const owner = await ServerOwner.signedIn(bouncer);
    await bouncer.ahead(2 * HOUR - 60_000);
    const good = await owner.browser.get(owner.path('billing'));
    await bouncer.ahead(2 * HOUR + 60_000);
    const late = await owner.browser.get(owner.path('billing'));
    await bouncer.ahead(0);
    assert.deepEqual([good.status, late.status], [200, 302]);
    assert.match(String(late.location), /^\/serverlogin\//);
  });

  test('leads where it was wanted, or where the plan says', async () => {
    const owner = await ServerOwner.fresh(bouncer);
    for (const page of ['upgrade', 'sponsorship', 'billing', 'plans', 'deactivate']) {
      if (page === 'billing') owner.browser = new Browser(bouncer.service, '198.51.100.7');
      assert.equal((await owner.signIn(`/serverlogin/?next_page=${page}`)).path, owner.path(page));
    }
    for (const [plan, page] of [[PAID, 'billing'], [{ plan_type: 102, plan: { tier: 102, status: 1 } }, 'sponsorship']] as const) {
      const other = await ServerOwner.fresh(bouncer);
      await operator.plan(other.server, plan);
      assert.equal((await other.signIn()).path, other.path(page));
    }
  });

  test('leads to no page that is none', async () => {
    const owner = await ServerOwner.fresh(bouncer);
    for (const next of ['nothing', '//evil.example', 'https://evil.example/', '../../health', '"><script>']) {
      const page = await owner.browser.get(`/serverlogin/?next_page=${encodeURIComponent(next)}`);
      assert.ok([200, 400].includes(page.status));
      for (const form of page.forms) assert.ok(![next].includes(form.values.next_page ?? ''), next);
    }
    const form = (await owner.browser.get('/serverlogin/deactivate')).form({ field: 'next_page' });
    const sent = await owner.browser.submit(form, { next_page: '//evil.example', zulip_org_id: owner.server.uuid, zulip_org_key: owner.server.key });
    if (sent.status === 200) {
      await owner.browser.submit(sent.form({ field: 'email' }), { email: owner.email });
      assert.equal((await owner.accept(await owner.browser.get(await owner.link()))).path, owner.path('plans'));
    } else assert.equal(sent.status, 400);
  });

  test('does not open another server', async () => {
    const [owner, other] = [await ServerOwner.signedIn(bouncer), await ServerOwner.signedIn(bouncer)];
    for (const name of ['plans', 'billing', 'deactivate']) assert.equal((await owner.browser.get(other.path(name))).status, 401);
    const { csrf } = (await owner.browser.get(owner.path('deactivate'))).form({ field: 'confirmed' }).values;
    assert.equal((await owner.browser.post(other.path('deactivate'), { csrf, confirmed: 'true' })).status, 401);
    assertSuccess(await other.server.removeAllDevices({ server_uuid: undefined, user_id: 1 }));
  });

  test('and that of an organization do not stand in for one another', async () => {
    const realm = newRealm();
    const owner = await ServerOwner.fresh(bouncer);
    await report(owner.server, [realm]);
    await owner.signIn();
    const inside = new RealmOwner(bouncer, owner.server, realm);
    assert.equal((await owner.browser.get(inside.path('plans'))).status, 401);
    const key = (await owner.link()).split('/').pop() ?? '';
    refused(await owner.browser.get(`/remote-billing-login/do_confirm/${key}`), 404);
    await inside.browser.submit((await inside.browser.get(await inside.access())).form({ to: '/confirm/' }), { email: inside.email });
    const theirs = (await inside.link()).split('/').pop() ?? '';
    refused(await owner.browser.get(`/serverlogin/do_confirm/${theirs}`), 404);
    assert.equal((await inside.browser.get(`/remote-billing-login/do_confirm/${theirs}`)).status, 200, 'the wrong door did not use it up');
  });

  test('is not for a server whose organizations have plans of their own', async () => {
    const owner = await ServerOwner.fresh(bouncer);
    const realm = newRealm();
    await report(owner.server, [realm]);
    await owner.askLetter();
    const link = await owner.link();
    await operator.plan(realm, PAID);
    refused(await owner.identify(), 403);
    refused(await owner.browser.get(link), 403);
    const into = await owner.signIn('/serverlogin/deactivate');
    assert.deepEqual([into.path, into.status], [owner.path('deactivate'), 200], 'the way out is open');
    for (const name of ['plans', 'billing', 'upgrade', 'sponsorship']) refused(await owner.browser.get(owner.path(name)), 403);
  });
});

describe('the way out', () => {
  test('is a box to tick, and then for good', async () => {
    const owner = await ServerOwner.fresh(bouncer);
    const page = await owner.signIn('/serverlogin/deactivate');
    assert.ok(page.text.includes(owner.server.hostname));
    const form = page.form({ field: 'confirmed' });
    for (const confirmed of [undefined, 'false', '', 'True ']) {
      const again = await owner.browser.submit(form, { confirmed });
      refused(again, 400);
      assert.ok(again.form({ field: 'confirmed' }));
    }
    assertSuccess(await owner.server.removeAllDevices({ server_uuid: undefined, user_id: 1 }));
    const elsewhere = owner.browser.copy();
    const done = await owner.browser.submit(form, { confirmed: 'true' });
    assert.ok([200, 302, 303].includes(done.status), done.answer.text);
    const last = done.status === 200 ? done : await owner.browser.follow(done);
    assert.equal(last.status, 200);
    assert.match(last.text, /deactivated/i);

    assertStranger(await owner.server.removeAllDevices({ user_id: 1 }), DEACTIVATED);
    const rows = await operator.audit(owner.server, 10201);
    assert.equal(rows.length, 1);
    assert.equal(rows[0].actor, `owner:${owner.email}`, 'the audit says who it was');
    assertSuccess(await (await bouncer.server(owner.server.hostname)).removeAllDevices({ server_uuid: undefined, user_id: 1 }));
    for (const path of [owner.path('plans'), owner.path('deactivate')]) {
      refused(await owner.browser.get(path), 401);
      const gone = await elsewhere.get(path);
      assert.ok(gone.status >= 400 && gone.status < 500, `${gone.status}`);
      assert.deepEqual(gone.alerts, ['Registration is deactivated']);
    }
    assert.ok((await owner.browser.get(await owner.link())).status >= 400);
  });

  test('is not taken by looking', async () => {
    const owner = await ServerOwner.signedIn(bouncer);
    for (const method of ['GET', 'HEAD']) {
      await owner.browser.ask(method, `${owner.path('deactivate')}?confirmed=true`);
    }
    assertSuccess(await owner.server.removeAllDevices({ server_uuid: undefined, user_id: 1 }));
  });

  test('is closed while there is a plan', async () => {
    const owner = await ServerOwner.fresh(bouncer);
    await operator.plan(owner.server, PAID);
    const page = await owner.signIn('/serverlogin/deactivate');
    refused(await owner.browser.submit(page.form({ field: 'confirmed' }), { confirmed: 'true' }), 400);
    assertSuccess(await owner.server.removeAllDevices({ server_uuid: undefined, user_id: 1 }));
  });

  test('is not open to an organization', async () => {
    const owner = await RealmOwner.signedIn(bouncer);
    const csrf = Owner.token(await owner.browser.get(owner.path('plans')));
    assert.ok([401, 404].includes((await owner.browser.post(owner.path('deactivate'), { csrf, confirmed: 'true' })).status));
    assert.equal((await owner.browser.post(`/server/${owner.server.uuid}/deactivate/`, { csrf, confirmed: 'true' })).status, 401);
    assertSuccess(await owner.server.removeAllDevices({ server_uuid: undefined, user_id: 1 }));
  });
});

describe("a server's plan", () => {
  /** An owner of the first of these realms, on a server that has a plan. */
  async function planned(realms: object[], first: Realm, plan: object = PAID): Promise<RealmOwner> {
    const server = await bouncer.server();
    assert.equal((await server.upload({ realms })).status, 200);
    await operator.plan(server, plan);
    return new RealmOwner(bouncer, server, first);
  }
  const plans = async (server: RemoteServer, realm: Realm): Promise<unknown[]> => {
    const [one, other] = [await operator.server(server), await operator.realm(realm)];
    return [one.plan_type, one.billing?.plan?.status ?? null, other.plan_type, other.billing?.plan?.status ?? null];
  };

  test('moves to its only organization, which then signs in', async () => {
    const realm = newRealm();
    const owner = await planned([reported(realm)], realm);
    await operator.plan(owner.server, { customer: { minimum_licenses: 30 } });
    const into = await owner.signIn();
    assert.equal(into.path, owner.path('billing'));
    assert.deepEqual(await plans(owner.server, realm), [100, null, 104, 1]);
    const state = await operator.realm(realm);
    assert.equal(state.billing.customer.minimum_licenses, 30, 'the customer moves with it');
    assert.equal((await operator.server(owner.server)).billing.customer, null);
    assert.equal((await operator.audit(realm, 20002)).length, 1);
    assert.match(into.text, /Business/);
  });

  test('moves past organizations that have no people', async () => {
    const [realm, bots, ended, internal, gone] = [1, 2, 3, 4, 5].map((id) => newRealm(id)) as [Realm, Realm, Realm, Realm, Realm];
    internal.host = 'zulipinternal.example.org';
    const now = [reported(realm), { ...reported(bots), is_system_bot_realm: true }, { ...reported(ended), deactivated: true }, reported(internal)];
    const owner = await planned([...now, reported(gone)], realm);
    assert.equal((await owner.browser.get(await owner.access())).status, 403, 'one more has people');
    assert.equal((await owner.server.upload({ realms: now })).status, 200);
    assert.equal((await owner.signIn()).path, owner.path('billing'));
    assert.deepEqual(await plans(owner.server, realm), [100, null, 104, 1]);
  });

  test('stays where several organizations share it, and they are told', async () => {
    const [one, two] = [newRealm(1), newRealm(2)];
    const owner = await planned([reported(one), reported(two)], one);
    const page = await owner.browser.get(await owner.access());
    assert.equal(page.heading, 'Plan management not available');
    refused(page, 403);
    assert.equal(page.forms.length, 0);
    assert.deepEqual(await plans(owner.server, one), [104, 1, 100, null]);
  });

  test('stays while a sponsorship is asked for', async () => {
    const realm = newRealm();
    const owner = await planned([reported(realm)], realm, { ...PAID, customer: { sponsorship_pending: true } });
    assert.equal((await owner.browser.get(await owner.access())).heading, 'Plan management not available');
    assert.deepEqual(await plans(owner.server, realm), [104, 1, 100, null]);
  });

  test('does not stop anybody when it is over', async () => {
    const [one, two] = [newRealm(1), newRealm(2)];
    const owner = await planned([reported(one), reported(two)], one);
    await operator.plan(owner.server, { plan_type: 100, plan: { status: 11 } });
    assert.equal((await owner.signIn()).path, owner.path('plans'));
  });

  test('replaces what an organization had before', async () => {
    const realm = newRealm();
    const server = await bouncer.server();
    await report(server, [realm]);
    await operator.plan(realm, { plan_type: 103, plan: { tier: 103, status: 1 } });
    await operator.plan(realm, { plan_type: 100, plan: { status: 11 } });
    await operator.plan(server, PAID);
    const owner = new RealmOwner(bouncer, server, realm);
    assert.equal((await owner.signIn()).path, owner.path('billing'));
    assert.deepEqual(await plans(server, realm), [100, null, 104, 1]);
  });

  for (const [what, theirs, ours] of [
    ['another live plan', { plan_type: 103, plan: { tier: 103, status: 1 } }, PAID],
    ['a past and the server a tier to come', { plan_type: 100, plan: { tier: 103, status: 11 } }, { plan_type: 101, plan: { tier: 101, status: 8 }, customer: { required_plan_tier: 103 } }],
  ] as const) {
    test(`does not move to an organization that has ${what}`, async () => {
      const realm = newRealm();
      const server = await bouncer.server();
      await report(server, [realm]);
      await operator.plan(realm, { plan_type: 103, plan: { tier: 103, status: 1 } });
      if (theirs.plan.status === 11) await operator.plan(realm, { plan_type: 100, plan: { status: 11 } });
      await operator.plan(server, ours);
      const before = await plans(server, realm);
      const owner = new RealmOwner(bouncer, server, realm);
      for (let round = 0; round < 2; round += 1) {
        const page = await owner.browser.get(await owner.access());
        refused(page, 400);
        assert.match(page.alerts[0] ?? '', /^Couldn't reconcile billing data between server and realm\. Please contact \S/);
      }
      assert.deepEqual(await plans(server, realm), before);
      assert.deepEqual(await operator.audit(realm, 20002), []);
    });
  }

  test('moves once, however many come at once', async () => {
    const realm = newRealm();
    const owner = await planned([reported(realm)], realm);
    const path = await owner.access();
    const all = await Promise.all(Array.from({ length: 8 }, () => new Browser(bouncer.service).get(path)));
    assert.deepEqual(all.map((page) => page.status), all.map(() => 200));
    assert.equal((await operator.audit(realm, 20002)).length, 1);
    assert.deepEqual(await plans(owner.server, realm), [100, null, 104, 1]);
  });

  test('that moves counts the users that there are', async () => {
    const realm = newRealm();
    const server = await bouncer.server();
    await report(server, [realm]);
    await operator.plan(server, PAID);
    assert.equal((await server.upload({ realms: [reported(realm)], realmauditlog_rows: [server.auditRow(1, realm, 40)] })).status, 200);
    const owner = new RealmOwner(bouncer, server, realm);
    await owner.signIn();
    const { plan } = (await operator.realm(realm)).billing;
    assert.deepEqual([plan.licenses, plan.licenses_at_next_renewal], [40, 40]);
  });

  test('comes with a link that was given before it moved', async () => {
    const realm = newRealm();
    const server = await bouncer.server();
    await report(server, [realm]);
    const owner = new RealmOwner(bouncer, server, realm);
    const path = await owner.access();
    await operator.plan(server, PAID);
    assert.equal((await owner.browser.get(path)).status, 200);
    assert.deepEqual(await plans(server, realm), [100, null, 104, 1]);
  });
});
