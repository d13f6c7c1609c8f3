// What the owners' pages are guarded by: cookies, forged forms, headers, hostile names, and how many letters they write.

import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { Bouncer, withBouncer } from './support/push/bouncer.ts';
import { Browser } from './support/push/browser.ts';
import type { Page } from './support/push/browser.ts';
import { assertGuarded, freshAddress, freshEmail, HOUR, OPERATOR, Operator, Owner, RealmOwner, ServerOwner } from './support/push/owners.ts';

let bouncer: Bouncer;
let operator: Operator;
before(async () => {
  bouncer = await Bouncer.start({ ADMIN_SECRET: OPERATOR }, 'ours');
  operator = new Operator(bouncer);
});
after(() => bouncer.finish());

const PAID = { plan_type: 103, plan: { tier: 103, status: 1, billing_schedule: 2 } };

describe('a cookie', () => {
  test('is out of reach of scripts and of other sites, and goes after two hours', async () => {
    const owner = await RealmOwner.signedIn(bouncer);
    assert.deepEqual([...owner.browser.cookies.keys()], ['billing']);
    for (const { attributes } of owner.browser.cookies.values()) {
      assert.ok(attributes.has('httponly'));
      assert.match(attributes.get('samesite') ?? '', /^(Lax|Strict)$/);
      assert.equal(attributes.get('path'), '/');
      assert.ok(!attributes.has('domain'), 'this host only');
      const age = Number(attributes.get('max-age'));
      assert.ok(age > 7100 && age <= 7200, `${age}`);
    }
  });

  test('is bound to the host by its name, and to TLS, where the service is not in development', () =>
    withBouncer({ DEV_MODE: '', FCM_BASE_URL: '', FCM_TOKEN_URL: '', APNS_BASE_URL: '' }, async (own) => {
      const browser = new Browser(own.service);
      const page = await browser.get('/serverlogin/');
      assert.equal(page.status, 200, page.answer.text);
      const [name = '', ...more] = browser.cookies.keys();
      assert.deepEqual([name, more.length], ['__Host-billing', 0]);
      const { attributes } = browser.cookies.get(name) ?? assert.fail();
      assert.ok(attributes.has('secure') && attributes.has('httponly') && !attributes.has('domain'));
      assert.equal(attributes.get('path'), '/');
      assert.equal((await browser.get('/dev/mail')).status, 404, 'letters are nobody else’s business');
    }));

  test('is another one after signing in, so that nobody can prepare it', async () => {
    const owner = await RealmOwner.fresh(bouncer);
    const page = await owner.confirm(await owner.browser.get(await owner.access()));
    const [before, token] = [owner.browser.cookieHeader.Cookie, page.form({ button: 'Continue' }).values.csrf];
    const inside = await owner.accept(page);
    assert.notEqual(owner.browser.cookieHeader.Cookie, before);
    assert.notEqual(Owner.token(inside), token);
    const old = new Browser(bouncer.service);
    assert.equal((await old.ask('GET', owner.path('plans'), { headers: { Cookie: before ?? '' } })).status, 401);
  });

  test('cannot be made up, and is nothing else that we sign', async () => {
    const owner = await RealmOwner.signedIn(bouncer);
    const other = await RealmOwner.signedIn(bouncer);
    const value = owner.browser.cookies.get('billing')?.value ?? '';
    const [said = '', seal = ''] = value.split('.');
    const identity = JSON.parse(Buffer.from(said, 'base64url').toString());
    const forged = Buffer.from(JSON.stringify(identity).replaceAll(owner.realm.uuid, other.realm.uuid)).toString('base64url');
    const access = (await owner.access()).split('/')[2] ?? '';
    const mixed = `${other.browser.cookies.get('billing')?.value.split('.')[0]}.${seal}`;
    for (const cookie of [`${forged}.${seal}`, mixed, `${said}.`, said, access, '', 'x', `${value}x`, `"${value}`]) {
      for (const who of [owner, other]) {
        const page = await new Browser(bouncer.service).ask('GET', who.path('plans'), { headers: { Cookie: `billing=${cookie}` } });
        assert.equal(page.status, 401, cookie);
      }
    }
    assert.equal((await owner.browser.get(`/remote-billing-login/${value}`)).status, 400, 'a session is no access token');
  });
});

describe('a form', () => {
  /** Every form there is: who may send it, where, and what it would do. */
  type Sent = { browser: Browser; page: Page; path: string; fields: Record<string, string>; untouched: () => Promise<boolean> };
  const forms: [string, () => Promise<Sent>][] = [
    ['that asks for a letter as an organization', async () => {
      const owner = await RealmOwner.fresh(bouncer);
      const page = await owner.browser.get(await owner.access());
      return { browser: owner.browser, page, path: `${page.path}/confirm/`, fields: { email: owner.email }, untouched: async () => (await owner.letters()).length === 0 };
    }],
    ['that signs in as an organization', async () => {
      const owner = await RealmOwner.fresh(bouncer);
      const page = await owner.confirm(await owner.browser.get(await owner.access()));
      const { action } = page.form({ button: 'Continue' });
      return { browser: owner.browser, page, path: action, fields: { tos_consent: 'true' }, untouched: async () => (await owner.browser.get(owner.path('plans'))).status === 401 };
    }],
    ['that takes id and key', async () => {
      const owner = await ServerOwner.fresh(bouncer);
      const page = await owner.browser.get('/serverlogin/');
      const fields = { zulip_org_id: owner.server.uuid, zulip_org_key: owner.server.key };
      const before = owner.browser.cookieHeader.Cookie;
      return { browser: owner.browser, page, path: '/serverlogin/', fields, untouched: async () => owner.browser.cookieHeader.Cookie === before };
    }],
    ['that asks for a letter as a server', async () => {
      const owner = await ServerOwner.fresh(bouncer);
      const page = await owner.identify();
      const { action } = page.form({ field: 'email' });
      return { browser: owner.browser, page, path: action, fields: { email: owner.email }, untouched: async () => (await owner.letters()).length === 0 };
    }],
    ['that signs in as a server', async () => {
      const owner = await ServerOwner.fresh(bouncer);
      await owner.askLetter();
      const page = await owner.browser.get(await owner.link());
      return { browser: owner.browser, page, path: page.path, fields: { tos_consent: 'true' }, untouched: async () => (await owner.browser.get(owner.path('plans'))).status === 401 };
    }],
    ['that ends a registration', async () => {
      const owner = await ServerOwner.fresh(bouncer);
      const page = await owner.signIn('/serverlogin/deactivate');
      return { browser: owner.browser, page, path: page.path, fields: { confirmed: 'true' }, untouched: async () => !(await operator.server(owner.server)).deactivated };
    }],
    ['that changes a plan', async () => {
      const owner = await RealmOwner.signedIn(bouncer);
      await operator.plan(owner.realm, PAID);
      const page = await owner.browser.get(owner.path('billing'));
      return { browser: owner.browser, page, path: page.path, fields: { status: '2' }, untouched: async () => (await operator.realm(owner.realm)).billing.plan.status === 1 };
    }],
    ['that asks for a sponsorship', async () => {
      const owner = await RealmOwner.signedIn(bouncer);
      const page = await owner.browser.get(owner.path('sponsorship'));
      const fields = { organization_type: '20', description: 'x', expected_total_users: '1', paid_users_count: '0' };
      return { browser: owner.browser, page, path: page.path, fields, untouched: async () => (await operator.audit(owner.realm)).length === 0 };
    }],
    ['that asks for a plan', async () => {
      const owner = await RealmOwner.signedIn(bouncer);
      const page = await owner.browser.get(owner.path('upgrade'));
      const fields = { tier: '103', schedule: '1', license_management: 'automatic' };
      return { browser: owner.browser, page, path: page.path, fields, untouched: async () => (await operator.audit(owner.realm)).length === 0 };
    }],
    ['that ends a session', async () => {
      const owner = await RealmOwner.signedIn(bouncer);
      const page = await owner.browser.get(owner.path('plans'));
      return { browser: owner.browser, page, path: '/billing/logout', fields: {}, untouched: async () => (await owner.browser.get(owner.path('plans'))).status === 200 };
    }],
  ];
  for (const [what, make] of forms) {
    test(`${what} is sent from our own page only`, async () => {
      const { browser, page, path, fields, untouched } = await make();
      const csrf = page.forms[0]?.values.csrf ?? '';
      assert.ok(csrf.length >= 32);
      const foreign = (await new Browser(bouncer.service).get('/serverlogin/')).form({ field: 'csrf' }).values.csrf;
      const attempts: [string, Record<string, string | undefined>, Record<string, string>][] = [
        ['no token', fields, {}],
        ['an empty token', { ...fields, csrf: '' }, {}],
        ['the token of another browser', { ...fields, csrf: foreign }, {}],
        ['half a token', { ...fields, csrf: csrf.slice(0, 32) }, {}],
        ['a page of another site', { ...fields, csrf }, { Origin: 'https://evil.example', 'Sec-Fetch-Site': 'cross-site' }],
        ['a page of a host that is named alike', { ...fields, csrf }, { Origin: `${browser.origin}.evil.example`, 'Sec-Fetch-Site': 'cross-site' }],
        ['a page of another port', { ...fields, csrf }, { Origin: 'http://127.0.0.1:1', 'Sec-Fetch-Site': 'same-site' }],
        ['a frame without origin', { ...fields, csrf }, { Origin: 'null', 'Sec-Fetch-Site': 'cross-site' }],
      ];
      for (const [how, sent, headers] of attempts) {
        const refused = await browser.post(path, sent, headers);
        assert.equal(refused.status, 403, `${how}: ${refused.answer.text}`);
        assert.equal(refused.alerts.length, 1, how);
        assertGuarded(refused);
        assert.ok(await untouched(), how);
      }
      // Looking is not sending.
      const query = new URLSearchParams({ ...fields, csrf }).toString();
      for (const method of ['GET', 'HEAD']) {
        await browser.ask(method, `${path}?${query}`);
        assert.ok(await untouched(), `${method} changes something`);
      }
      // An honest browser is let through, an old one too that says no origin.
      const good = await browser.ask('POST', path, { headers: { 'Content-Type': 'application/x-www-form-urlencoded' }, body: query });
      assert.ok([200, 302, 303].includes(good.status), `${good.status}: ${good.answer.text}`);
      assert.equal(await untouched(), false);
    });
  }

  test('of the JSON kind is sent from our own page only', async () => {
    const owner = await RealmOwner.signedIn(bouncer);
    await operator.plan(owner.realm, PAID);
    const other = await RealmOwner.signedIn(bouncer);
    const csrf = Owner.token(await owner.browser.get(owner.path('plans')));
    const foreign = Owner.token(await other.browser.get(other.path('plans')));
    for (const answer of [
      await owner.rawApi('PATCH', 'plan', { status: '2' }),
      await owner.rawApi('PATCH', 'plan', { status: '2', csrf: foreign }),
      await owner.rawApi('PATCH', 'plan', { status: '2', csrf }, { headers: { Origin: 'https://evil.example', 'Sec-Fetch-Site': 'cross-site' } }),
      await owner.rawApi('POST', 'sponsorship', { description: 'x' }),
      await owner.rawApi('POST', 'upgrade', { tier: '103' }),
    ]) {
      assert.equal(answer.status, 403, answer.text);
      assert.equal(answer.json.result, 'error');
    }
    assert.equal((await operator.realm(owner.realm)).billing.plan.status, 1);
    assert.equal((await owner.rawApi('PATCH', 'plan', { status: '2', csrf })).status, 200);
  });

  test('is not without end', async () => {
    const owner = await ServerOwner.fresh(bouncer);
    const form = (await owner.browser.get('/serverlogin/')).form({ field: 'zulip_org_id' });
    const page = await owner.browser.post('/serverlogin/', { ...form.values, filler: 'x'.repeat(2_000_000) });
    assert.equal(page.status, 413);
  });
});

describe('a page', () => {
  /** Every page there is, errors too. */
  async function pages(): Promise<Page[]> {
    const realm = await RealmOwner.fresh(bouncer);
    await operator.plan(realm.realm, PAID);
    const first = await realm.browser.get(await realm.access());
    const sent = await realm.browser.submit(first.form({ to: '/confirm/' }), { email: realm.email });
    const confirm = await realm.browser.get(await realm.link());
    const terms = await realm.browser.submit(confirm.form({ button: 'Continue' }));
    await realm.accept(confirm);
    const own = await Promise.all(['plans', 'billing', 'upgrade', 'sponsorship', 'invoices', 'nothing'].map((name) => realm.browser.get(realm.path(name))));
    const server = await ServerOwner.fresh(bouncer);
    const wrong = await server.identify('/serverlogin/', { zulip_org_key: randomBytes(32).toString('hex') });
    const address = await server.identify();
    await server.signIn();
    const theirs = await Promise.all(['plans', 'billing', 'upgrade', 'sponsorship', 'invoices', 'deactivate'].map((name) => server.browser.get(server.path(name))));
    const stranger = new Browser(bouncer.service);
    const others = await Promise.all(
      [realm.path('plans'), server.path('deactivate'), '/serverlogin/', '/serverlogin/deactivate', '/remote-billing-login/x', '/remote-billing-login/do_confirm/x', '/serverlogin/do_confirm/x']
        .map((path) => stranger.get(path)),
    );
    return [first, sent, confirm, terms, ...own, wrong, address, ...theirs, ...others];
  }

  test('is guarded, is well formed, and says what it is', async () => {
    for (const page of await pages()) {
      const where = `${page.path.slice(0, 60)}: ${page.status}`;
      assertGuarded(page);
      assert.notEqual(page.heading, '', where);
      assert.equal(page.root.all('title')[0]?.text.trim(), page.heading, where);
      assert.equal(page.root.all('html')[0]?.get('lang'), 'en');
      assert.ok(page.root.all('main').length === 1, where);
      assert.equal(page.status >= 400, page.alerts.length > 0, `${where}: ${page.alerts}`);
      for (const form of page.forms) {
        assert.ok(form.has('csrf') && form.buttons.length > 0, where);
        // Whatever can be filled in has a label.
        const labels = page.root.all('label');
        for (const control of form.controls.filter((one) => one.get('type') !== 'hidden')) {
          const bound = labels.some((label) => (control.get('id') !== undefined && label.get('for') === control.get('id')) || label.elements.includes(control));
          assert.ok(bound, `${control.get('name')} on ${where}`);
        }
      }
    }
  });

  test('has the style that its policy knows, and no other', async () => {
    for (const page of await pages()) {
      const policy = String(page.answer.headers['content-security-policy']);
      for (const style of page.root.all('style')) {
        const hash = createHash('sha256').update(style.text).digest('base64');
        assert.ok(policy.includes(`'sha256-${hash}'`), page.path);
      }
    }
  });

  test('is a page for HEAD too, without its body', async () => {
    const page = await new Browser(bouncer.service).ask('HEAD', '/serverlogin/');
    assert.deepEqual([page.status, page.answer.text], [200, '']);
  });

  test('does not tell other methods anything', async () => {
    for (const method of ['PUT', 'DELETE', 'PATCH']) {
      const page = await new Browser(bouncer.service).ask(method, '/serverlogin/');
      assert.equal(page.status, 405, method);
    }
  });
});

describe('a hostile name', () => {
  const NAMES = [
    '<script>alert(1)</script>', '"><img src=x onerror=alert(1)>', "' onmouseover='alert(1)", '</title></head><script>alert(1)</script>', '</textarea><b>', '&lt;b&gt; &amp;amp;',
    '{{7*7}} ${7*7}', '<!-- ', '\u202e\u0000evil', ']]>',
  ];
  for (const name of NAMES) {
    test(`is only text: ${JSON.stringify(name)}`, async () => {
      const owner = await RealmOwner.fresh(bouncer, { host: `${name}.example`, name });
      owner.name = name;
      const seen: Page[] = [];
      const first = await owner.browser.get(await owner.access());
      seen.push(first);
      const bad = await owner.browser.submit(first.form({ to: '/confirm/' }), { email: name });
      seen.push(bad);
      const page = await owner.confirm(await owner.browser.get(await owner.access()));
      seen.push(page);
      const [letter] = await owner.letters();
      assert.doesNotMatch(letter?.subject ?? '', /[\r\n]/);
      seen.push(await owner.accept(page, { full_name: name }));
      for (const what of ['plans', 'billing', 'upgrade', 'sponsorship', 'invoices']) seen.push(await owner.browser.get(owner.path(what)));
      const form = (await owner.browser.get(owner.path('sponsorship'))).form({ to: owner.path('sponsorship') });
      const wrong = Object.fromEntries(form.controls.map((control) => [control.get('name') ?? '', name]).filter(([key]) => key !== 'csrf'));
      seen.push(await owner.browser.submit(form, wrong));
      // The reader refuses what is not a plain page; what is left is whether the name is there, and is itself.
      for (const one of seen) {
        assertGuarded(one);
        assert.ok(one.root.all('main').length === 1);
      }
      const plain = (text: string): string => text.replace(/[\s\u0000-\u001f\ufffd]+/g, ' ');
      assert.ok(plain(seen[3]?.text ?? '').includes(plain(name).trim()), `${seen[3]?.text}`);
    });
  }

  test('in the fields of a server is only text', async () => {
    const owner = await ServerOwner.fresh(bouncer);
    for (const name of NAMES) {
      const page = await owner.identify('/serverlogin/', { zulip_org_id: name, zulip_org_key: name });
      assert.ok([400, 401].includes(page.status));
      assertGuarded(page);
      assert.ok(page.forms.length === 1);
    }
  });

  test('does not end a header', async () => {
    for (const host of ['a.example\r\nX-Evil: 1', 'a.example\nSet-Cookie: billing=evil', 'a.example/%0d%0aX-Evil: 1']) {
      const owner = await RealmOwner.fresh(bouncer, { host });
      await owner.signIn();
      const [letter] = await owner.letters();
      assert.doesNotMatch(letter?.subject ?? '', /[\r\n]/);
      await bouncer.ahead(2 * HOUR + 60_000);
      const late = await owner.browser.get(owner.path('plans'));
      await bouncer.ahead(0);
      assert.ok(late.status < 500, `${late.status}`);
      assert.equal(late.answer.headers['x-evil'], undefined);
      assert.equal(late.answer.headers['set-cookie'], undefined);
    }
  });

  test('does not lead an expired session anywhere but to its own host', async () => {
    for (const host of ['evil.example/path?a=', 'evil.example@other.example', 'evil.example#', 'a b.example']) {
      const owner = await RealmOwner.fresh(bouncer, { host });
      await owner.signIn();
      await bouncer.ahead(2 * HOUR + 60_000);
      const late = await owner.browser.get(owner.path('plans'));
      await bouncer.ahead(0);
      assert.equal(late.status, 302);
      const leads = new URL(late.location ?? '', owner.browser.origin);
      if (leads.origin === owner.browser.origin) {
        assert.match(leads.pathname, /^\/serverlogin\//);
        continue;
      }
      assert.deepEqual([leads.pathname + leads.search, leads.username], ['/self-hosted-billing/?next_page=plans', '']);
    }
  });
});

describe('letters', () => {
  const ask = async (owner: RealmOwner, address: string): Promise<Page> => {
    owner.browser = new Browser(bouncer.service, address);
    owner.email = freshEmail();
    return owner.browser.submit((await owner.browser.get(await owner.access())).form({ to: '/confirm/' }), { email: owner.email });
  };
  const assertLimited = async (page: Page, owner: Owner): Promise<void> => {
    assert.equal(page.status, 429, page.answer.text);
    assert.equal(page.alerts.length, 1);
    assertGuarded(page);
    assert.deepEqual(await owner.letters(), []);
  };

  test('are five a day for one address, whichever way', async () => {
    const address = freshAddress();
    const servers = await Promise.all(Array.from({ length: 3 }, () => RealmOwner.fresh(bouncer)));
    const owners = [...servers, ...servers];
    for (const owner of owners.slice(0, 4)) assert.equal((await ask(owner, address)).status, 200);
    const server = await ServerOwner.fresh(bouncer);
    server.browser = new Browser(bouncer.service, address);
    assert.equal((await server.askLetter()).status, 200);
    for (const owner of owners.slice(0, 2)) await assertLimited(await ask(owner, address), owner);
    server.email = freshEmail();
    await assertLimited(await server.askLetter(), server);
    const [owner] = owners as [RealmOwner];
    assert.equal((await ask(owner, freshAddress())).status, 200, 'another address may');
    await bouncer.service.crashAndRestart();
    await assertLimited(await ask(owner, address), owner);
    await bouncer.ahead(24 * HOUR + 60_000);
    const next = await ask(owner, address);
    await bouncer.ahead(0);
    assert.equal(next.status, 200, 'the next day');
  });

  test('are five a day for one network of the newer kind', async () => {
    const owner = await RealmOwner.fresh(bouncer);
    const other = await RealmOwner.fresh(bouncer);
    const net = `2001:db8:${randomBytes(2).toString('hex')}:7`;
    for (let i = 1; i <= 5; i += 1) assert.equal((await ask(i % 2 ? owner : other, `${net}::${i}`)).status, 200);
    await assertLimited(await ask(owner, `${net}:ffff::1`), owner);
    assert.equal((await ask(owner, `${net}7::1`)).status, 200);
  });

  test('are ten a day for one server, whichever way', async () => {
    const owner = await RealmOwner.fresh(bouncer);
    for (let i = 0; i < 9; i += 1) assert.equal((await ask(owner, freshAddress())).status, 200);
    const server = new ServerOwner(bouncer, owner.server);
    assert.equal((await server.askLetter()).status, 200);
    await assertLimited(await ask(owner, freshAddress()), owner);
    server.browser = new Browser(bouncer.service, freshAddress());
    server.email = freshEmail();
    await assertLimited(await server.askLetter(), server);
    const other = await RealmOwner.fresh(bouncer);
    assert.equal((await ask(other, freshAddress())).status, 200, 'another server may');
    await bouncer.ahead(24 * HOUR + 60_000);
    const next = await ask(owner, freshAddress());
    await bouncer.ahead(0);
    assert.equal(next.status, 200, 'the next day');
  });

  test('that are refused do not count', async () => {
    const owner = await RealmOwner.fresh(bouncer);
    const address = freshAddress();
    for (let i = 0; i < 8; i += 1) {
      const page = await (owner.browser = new Browser(bouncer.service, address)).get(await owner.access());
      assert.equal((await owner.browser.submit(page.form({ to: '/confirm/' }), { email: 'nobody' })).status, 400);
    }
    for (let i = 0; i < 5; i += 1) assert.equal((await ask(owner, address)).status, 200);
    await assertLimited(await ask(owner, address), owner);
  });
});
