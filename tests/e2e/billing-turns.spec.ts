// Turns that the owners' way can take: everything at once, twice, or after the ground has moved. push-bouncer.md 1.5, 2.5, 3.9 and 9.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { assertSuccess, Bouncer, report, withBouncer } from './support/push/bouncer.ts';
import { Browser } from './support/push/browser.ts';
import type { Page } from './support/push/browser.ts';
import { newRealm } from './support/push/client.ts';
import { freshAddress, freshEmail, lettersTo, linkIn, OPERATOR, Operator, RealmOwner, ServerOwner } from './support/push/owners.ts';
import { until } from './support/service.ts';

let bouncer: Bouncer;
let operator: Operator;
before(async () => {
  bouncer = await Bouncer.start({ ADMIN_SECRET: OPERATOR });
  operator = new Operator(bouncer);
});
after(() => bouncer.finish());

const refused = (page: Page): void => {
  assert.ok(page.status >= 400 && page.status < 500, `${page.status}: ${page.answer.text}`);
  assert.equal(page.alerts.length, 1);
};
const ask = async (owner: RealmOwner): Promise<string> => {
  const page = await owner.browser.submit((await owner.browser.get(await owner.access())).form({ to: '/confirm/' }), { email: owner.email });
  assert.equal(page.status, 200, page.answer.text);
  return owner.link();
};

describe('at once', () => {
  test('a link that works once lets in one of many', async () => {
    const owner = await RealmOwner.fresh(bouncer);
    const link = await ask(owner);
    const pages = await Promise.all(Array.from({ length: 8 }, () => new Browser(bouncer.service).get(link)));
    assert.equal(pages.filter((page) => page.status === 200).length, 1);
  });

  test('an address gets its five letters, and not one more', async () => {
    const address = freshAddress();
    const owners = await Promise.all(Array.from({ length: 4 }, () => RealmOwner.fresh(bouncer)));
    const tries = await Promise.all(Array.from({ length: 12 }, async (_, i) => {
      const owner = owners[i % owners.length] as RealmOwner;
      const browser = new Browser(bouncer.service, address);
      return { browser, email: freshEmail(), form: (await browser.get(await owner.access())).form({ to: '/confirm/' }) };
    }));
    const pages = await Promise.all(tries.map(({ browser, form, email }) => browser.submit(form, { email })));
    assert.deepEqual(pages.map((page) => page.status).sort(), [...Array(5).fill(200), ...Array(7).fill(429)]);
    const letters = await Promise.all(tries.map(({ email }) => lettersTo(bouncer, email)));
    assert.equal(letters.flat().length, 5);
  });

  test('a server gets its ten letters, and not one more', async () => {
    const owner = await RealmOwner.fresh(bouncer);
    const tries = await Promise.all(Array.from({ length: 16 }, async () => {
      const browser = new Browser(bouncer.service, freshAddress());
      return { browser, email: freshEmail(), form: (await browser.get(await owner.access())).form({ to: '/confirm/' }) };
    }));
    const pages = await Promise.all(tries.map(({ browser, form, email }) => browser.submit(form, { email })));
    assert.deepEqual(pages.map((page) => page.status).sort(), [...Array(10).fill(200), ...Array(6).fill(429)]);
    const letters = await Promise.all(tries.map(({ email }) => lettersTo(bouncer, email)));
    assert.equal(letters.flat().length, 10);
  });

  test('a change of a plan is made once', async () => {
    const owner = await RealmOwner.signedIn(bouncer);
    await operator.plan(owner.realm, { plan_type: 103, plan: { tier: 103, status: 1, billing_schedule: 2 } });
    const page = await owner.browser.get(owner.path('billing'));
    const form = page.forms.find((one) => one.has('status') && one.values.status === '2') ?? assert.fail(page.text);
    await Promise.all(Array.from({ length: 6 }, () => owner.browser.copy().submit(form)));
    const rows = (await operator.audit(owner.realm, 506)).filter((row) => row.extra_data.property === 'status');
    assert.deepEqual(rows.map((row) => row.extra_data.new_value), [2]);
  });
});

describe('twice', () => {
  test('two letters to one person make one account', async () => {
    const owner = await RealmOwner.fresh(bouncer);
    const links = [await ask(owner), await ask(owner)];
    assert.notEqual(links[0], links[1]);
    const first = await owner.browser.get(links[0] ?? '');
    await owner.accept(first);
    owner.browser = new Browser(bouncer.service);
    const second = await owner.browser.get(links[1] ?? '');
    assert.equal(second.form({ button: 'Continue' }).has('tos_consent'), false, 'the terms are accepted already');
    assert.equal((await owner.accept(second)).status, 200);
  });

  test('the confirm page may be sent twice', async () => {
    const owner = await RealmOwner.fresh(bouncer);
    const page = await owner.confirm(await owner.browser.get(await owner.access()));
    const twin = owner.browser.copy();
    await owner.accept(page);
    const again = await twin.submit(page.form({ button: 'Continue' }), { tos_consent: 'true' });
    assert.equal((await twin.follow(again)).status, 200);
  });

  test('a sponsorship that is asked for twice is still one', async () => {
    const owner = await RealmOwner.signedIn(bouncer);
    const form = (await owner.browser.get(owner.path('sponsorship'))).form({ to: owner.path('sponsorship') });
    const fields = { organization_type: '20', description: 'x', expected_total_users: '1', paid_users_count: '0' };
    for (let round = 0; round < 2; round += 1) assert.ok((await owner.browser.submit(form, fields)).status < 500);
    const changes = (await operator.audit(owner.realm, 213)).filter((row) => 'new_value' in row.extra_data);
    assert.deepEqual(changes.map((row) => [row.extra_data.old_value, row.extra_data.new_value]), [[false, true]]);
  });
});

describe('when the ground has moved', () => {
  test('the old server lets nobody in to an organization that has left', async () => {
    const owner = await RealmOwner.signedIn(bouncer);
    const [link, home] = [await owner.access(), await bouncer.server()];
    await operator.ask('POST', `realms/${owner.realm.uuid}/move`, { server: home.uuid, uuid_owner_secret: owner.realm.uuid_owner_secret });
    await until('the old server lets go', async () => (await owner.browser.get(owner.path('plans'))).status !== 200);
    refused(await owner.browser.get(owner.path('plans')));
    refused(await owner.browser.get(link));
    assert.equal((await owner.askAccess()).status, 403);
    owner.server = home;
    owner.browser = new Browser(bouncer.service, freshAddress());
    assert.equal((await owner.signIn()).path, owner.path('plans'), 'the new one does');
  });

  test('nobody is in any more when the server is forgotten', async () => {
    const [realm, server] = [newRealm(), await ServerOwner.fresh(bouncer)];
    await report(server.server, [realm]);
    await server.signIn();
    const inside = new RealmOwner(bouncer, server.server, realm);
    await inside.signIn();
    const [access, link] = [await inside.access(), await server.link()];
    await operator.ask('DELETE', `servers/${server.server.uuid}`);
    for (const [browser, path] of [
      [server.browser, server.path('plans')], [server.browser, link], [inside.browser, inside.path('plans')], [inside.browser, access],
    ] as const) refused(await browser.get(path));
    refused(await server.identify());
  });

  test('a registration that an operator revives can be entered again', async () => {
    const owner = await ServerOwner.signedIn(bouncer);
    await operator.ask('POST', `servers/${owner.server.uuid}/deactivate`, { reason: 'test' });
    refused(await owner.browser.get(owner.path('plans')));
    refused(await owner.browser.get(await owner.link()));
    await operator.ask('POST', `servers/${owner.server.uuid}/reactivate`, { reason: 'test' });
    assert.equal((await owner.browser.get(owner.path('plans'))).status, 200);
    assert.equal((await owner.accept(await owner.browser.get(await owner.link()))).status, 200);
  });

  test('a new key of the server ends no session, and the old one opens none', async () => {
    const owner = await ServerOwner.signedIn(bouncer);
    const old = owner.server.key;
    assertSuccess(await owner.server.rotateKey(), { created: false });
    assert.equal((await owner.browser.get(owner.path('plans'))).status, 200);
    const page = await owner.identify('/serverlogin/', { zulip_org_key: old });
    refused(page);
    assert.equal((await owner.identify()).status, 200);
  });
});

describe('a detail', () => {
  test('the page of an organization that is none for it leads to one that is', async () => {
    const owner = await RealmOwner.fresh(bouncer);
    const into = await owner.signIn({ next_page: 'deactivate' });
    assert.equal(into.status, 200, `${into.path} leads nowhere`);
  });

  test('addresses may hold what addresses may hold', async () => {
    for (const local of ["o'brien+zulip", 'a.b_c-d', 'x"y'.replace('"', '%'), 'UPPER']) {
      const owner = await RealmOwner.fresh(bouncer);
      owner.email = `${local}.${owner.email}`;
      assert.equal((await owner.signIn()).status, 200);
      assert.ok((await owner.browser.get(owner.path('plans'))).text.includes(owner.email));
    }
  });

  test('the longest name and address still make a link that works', async () => {
    const owner = await RealmOwner.fresh(bouncer);
    owner.name = '\u0001'.repeat(100);
    owner.email = `${'\u{1f600}'.repeat(40)}@zulip.test`;
    const path = await owner.access();
    assert.equal((await owner.browser.get(path)).status, 200, `${path.length} characters`);
  });

  test('links lead to the host that the operator names, whatever host is asked', () =>
    withBouncer({ BILLING_HOST: 'billing.example.org' }, async (own) => {
      const owner = await RealmOwner.fresh(own);
      const answer = await owner.askAccess();
      const url = new URL(answer.json.billing_access_url);
      assert.equal(url.host, 'billing.example.org');
      // As a proxy in front would hand it on.
      const headers = { Host: url.host, Origin: url.origin, 'Sec-Fetch-Site': 'same-origin' };
      const page = await owner.browser.ask('GET', url.pathname, { headers });
      const sent = await owner.browser.submit(page.form({ to: '/confirm/' }), { email: owner.email }, headers);
      assert.equal(sent.status, 200, sent.answer.text);
      const link = linkIn((await owner.letters())[0], url.origin);
      assert.ok(link.startsWith('/remote-billing-login/do_confirm/'));
      // Who lies about the host gets no letter that leads to the lie.
      const liar = await RealmOwner.fresh(own);
      const path = new URL((await liar.askAccess()).json.billing_access_url).pathname;
      const lies = { Host: 'evil.example', Origin: 'http://evil.example' };
      const form = (await liar.browser.ask('GET', path, { headers: lies })).form({ to: '/confirm/' });
      await liar.browser.submit(form, { email: liar.email }, lies);
      for (const letter of await liar.letters()) assert.ok(!letter.text.includes('evil.example'));
    }));
});
