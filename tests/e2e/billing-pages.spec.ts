// An owner's way from the organization's own server to its plan: push-bouncer.md 1.16, 2.5, 2.8 and 3.9.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { assertRefused, assertRefusedSomehow, assertStranger, assertSuccess, BASE, Bouncer, FOREIGN_REALM, report, withBouncer } from './support/push/bouncer.ts';
import { Browser } from './support/push/browser.ts';
import { newRealm, reported } from './support/push/client.ts';
import type { Fields } from './support/push/client.ts';
import { HOUR, linkIn, OPERATOR, Operator, Owner, RealmOwner } from './support/push/owners.ts';

let bouncer: Bouncer;
let operator: Operator;
before(async () => {
  bouncer = await Bouncer.start({ ADMIN_SECRET: OPERATOR }, 'ours');
  operator = new Operator(bouncer);
});
after(() => bouncer.finish());

/** Runs with the service's clock ahead, and puts it back. */
async function later(ms: number, run: () => Promise<void>): Promise<void> {
  await bouncer.ahead(ms);
  try {
    await run();
  } finally {
    await bouncer.ahead(0);
  }
}

describe('a link for an owner', () => {
  test('is given to the server of the organization', async () => {
    const owner = await RealmOwner.fresh(bouncer);
    const answer = await owner.askAccess({ next_page: 'sponsorship' });
    assertSuccess(answer, { billing_access_url: answer.json.billing_access_url });
    const prefix = `${owner.browser.origin}/remote-billing-login/`;
    assert.ok(answer.json.billing_access_url.startsWith(prefix), answer.text);
    const [said = ''] = answer.json.billing_access_url.slice(prefix.length).split('.');
    const identity = JSON.parse(Buffer.from(said, 'base64url').toString('utf8'));
    assert.ok(typeof identity.authenticated_at === 'number');
    assert.deepEqual(identity, {
      user: { user_email: owner.email, user_uuid: owner.uuid, user_full_name: 'Iago' },
      remote_server_uuid: owner.server.uuid, remote_realm_uuid: owner.realm.uuid, remote_billing_user_id: null,
      authenticated_at: identity.authenticated_at, uri_scheme: 'https://', next_page: 'sponsorship',
    });
  });

  test('is given to nobody else, and to no other method', async () => {
    const owner = await RealmOwner.fresh(bouncer);
    const path = `${BASE}/server/billing`;
    assertStranger(await bouncer.service.post(path, ''), 'Missing authorization header for basic auth');
    const get = await bouncer.service.get(path, { headers: owner.server.headers });
    assert.deepEqual([get.status, get.json], [405, { result: 'error', msg: 'Method Not Allowed', allowed_methods: ['POST'] }]);
    const answer = await owner.askAccess({ extra: '1', server_uuid: owner.server.uuid });
    assert.deepEqual(answer.json.ignored_parameters_unsupported, ['extra', 'server_uuid'], answer.text);
    assert.match(String(answer.headers['cache-control']), /no-store/);
  });

  test('waits for the organization to be reported', async () => {
    const server = await bouncer.server();
    const owner = new RealmOwner(bouncer, server, newRealm());
    const refused = await owner.askAccess();
    assertRefusedSomehow(refused, 403);
    assert.equal(refused.json.code, 'MISSING_REMOTE_REALM');
    await report(server, [owner.realm]);
    assert.equal((await owner.browser.get(await owner.access())).status, 200);
  });

  test("is not given to another server's organization", async () => {
    const owner = await RealmOwner.fresh(bouncer);
    owner.server = await bouncer.server();
    assertRefused(await owner.askAccess(), 403, 'REMOTE_REALM_SERVER_MISMATCH_ERROR', FOREIGN_REALM);
  });

  const bad: [string, Fields, string][] = [
    ['another next page', { next_page: 'admin' }, 'Invalid next_page'],
    ['an empty next page', { next_page: '' }, 'Invalid next_page'],
    ['another scheme', { uri_scheme: 'ftp://' }, 'Invalid uri_scheme'],
    ['a scheme that is a script', { uri_scheme: 'javascript:' }, 'Invalid uri_scheme'],
    ['a user that is no JSON', { user: '{' }, 'user is not valid JSON'],
    ['a user that is a list', { user: '[]' }, 'user is not a dict'],
    ['a user without address', { user: { uuid: randomUUID(), full_name: 'X' } }, 'user["email"] field is missing: Field required'],
    ['a user whose name is a number', { user: { uuid: randomUUID(), email: 'a@zulip.test', full_name: 7 } }, 'user["full_name"] is not a string'],
    ['a realm that is no JSON', { realm: 'realm' }, 'realm is not valid JSON'],
  ];
  for (const [what, fields, msg] of bad) {
    test(`is not given for ${what}`, async () => {
      assertRefused(await (await RealmOwner.fresh(bouncer)).askAccess(fields), 400, 'BAD_REQUEST', msg);
    });
  }

  test('is not given without user or realm, nor to a user without a UUID', async () => {
    const owner = await RealmOwner.fresh(bouncer);
    for (const name of ['user', 'realm']) {
      assertRefused(await owner.askAccess({ [name]: undefined }), 400, 'REQUEST_VARIABLE_MISSING', `Missing '${name}' argument`, { var_name: name });
    }
    assertRefusedSomehow(await owner.askAccess({ user: { uuid: 'nobody', email: 'a@zulip.test', full_name: 'A' } }), 400);
  });

  test('is not given to a user whose UUID is not of version 4', async () => {
    const owner = await RealmOwner.fresh(bouncer);
    for (const uuid of ['00000000-0000-0000-0000-000000000000', '9c858901-8a57-1791-81fe-4c455b099bc9']) {
      assertRefusedSomehow(await owner.askAccess({ user: { uuid, email: owner.email, full_name: 'A' } }), 400);
    }
  });

  test('is given for a whole realm, as an upload has it', async () => {
    const owner = await RealmOwner.fresh(bouncer);
    const wrong: [Fields, string][] = [
      [{ host: undefined }, 'realm["host"] field is missing: Field required'],
      [{ id: 'one' }, 'realm["id"] is not an integer'],
      [{ name: 7 }, 'realm["name"] is not a string'],
      [{ org_type: 7 }, 'Invalid realm["org_type"]: Value error, Not a valid org_type value'],
    ];
    for (const [change, msg] of wrong) {
      assertRefused(await owner.askAccess({ realm: { ...reported(owner.realm), ...change } }), 400, 'BAD_REQUEST', msg);
    }
  });

  test('works for two hours', async () => {
    const owner = await RealmOwner.fresh(bouncer);
    const path = await owner.access();
    await later(2 * HOUR - 60_000, async () => assert.equal((await owner.browser.get(path)).status, 200));
    await later(2 * HOUR + 60_000, async () => {
      const late = await owner.browser.get(path);
      assert.equal(late.status, 400);
      assert.deepEqual(late.alerts, ['Billing access token expired.']);
    });
  });

  test('cannot be made up or changed', async () => {
    const [owner, other] = [await RealmOwner.fresh(bouncer), await RealmOwner.fresh(bouncer)];
    const [mine, theirs] = [await owner.access(), await other.access()].map((path) => path.split('/')[2] ?? '');
    assert.ok(mine !== undefined && theirs !== undefined);
    const [said = '', seal = ''] = mine.split('.');
    const identity = JSON.parse(Buffer.from(said, 'base64url').toString());
    const forged = Buffer.from(JSON.stringify({ ...identity, remote_realm_uuid: other.realm.uuid })).toString('base64url');
    const flipped = seal.startsWith('A') ? `B${seal.slice(1)}` : `A${seal.slice(1)}`;
    const tokens = [`${forged}.${seal}`, `${said}.${flipped}`, `${said}.`, said, `${said}.${theirs.split('.')[1]}`, `${mine}.x`, 'x', '.', `${mine}=`];
    for (const token of tokens) {
      const page = await owner.browser.get(`/remote-billing-login/${token}`);
      assert.equal(page.status, 400, token);
      assert.deepEqual(page.alerts, ['Invalid billing access token.'], token);
    }
  });
});

describe('a first login', () => {
  test('asks for an address, writes there, and lets in who follows the link', async () => {
    const owner = await RealmOwner.fresh(bouncer);
    let page = await owner.browser.get(await owner.access());
    const form = page.form({ to: '/confirm/' });
    assert.equal(form.values.email, owner.email, 'the address that the server said is proposed');
    owner.email = `chosen-${owner.email}`;
    page = await owner.browser.submit(form, { email: owner.email });
    assert.equal(page.status, 200);
    assert.ok(page.text.includes(owner.email));
    const [letter, ...more] = await owner.letters();
    assert.equal(more.length, 0);
    const link = linkIn(letter, owner.browser.origin);
    assert.match(link, /^\/remote-billing-login\/do_confirm\/[A-Za-z0-9_-]{22,}$/);
    page = await owner.browser.get(link);
    assert.equal(page.status, 200);
    assert.ok(page.text.includes(owner.realm.host) && page.text.includes(owner.email));
    page = await owner.accept(page);
    assert.equal(page.path, owner.path('plans'));
    assert.equal(page.status, 200);
    assert.ok(page.text.includes(owner.realm.host) && page.text.includes(owner.email));
  });

  test('is not over before the letter is answered', async () => {
    const owner = await RealmOwner.fresh(bouncer);
    const path = await owner.access();
    const page = await owner.browser.get(path);
    const { csrf } = page.form({ to: '/confirm/' }).values;
    for (let round = 0; round < 2; round += 1) {
      const early = await owner.browser.post(path, { csrf, tos_consent: 'true' });
      assert.equal(early.status, 400);
      assert.deepEqual(early.alerts, ["User account doesn't exist yet."]);
      assert.equal((await owner.browser.get(owner.path('plans'))).status, 401);
      await owner.browser.submit(page.form({ to: '/confirm/' }));
    }
  });

  test('writes to nobody whose address is none', async () => {
    const owner = await RealmOwner.fresh(bouncer);
    const page = await owner.browser.get(await owner.access());
    for (const email of ['', 'nobody', '@zulip.test', 'a b@zulip.test', 'a@zulip.test\r\nBcc: b@zulip.test', `${'a'.repeat(300)}@zulip.test`]) {
      const refused = await owner.browser.submit(page.form({ to: '/confirm/' }), { email });
      assert.equal(refused.status, 400, email);
      assert.equal(refused.alerts.length, 1);
      const again = refused.form({ to: '/confirm/' });
      assert.ok(again.has('email'), 'the form is there again');
    }
  });

  test('has a link that works once, for anybody', async () => {
    const owner = await RealmOwner.fresh(bouncer);
    await owner.confirm(await owner.browser.get(await owner.access()));
    const link = await owner.link();
    for (const browser of [owner.browser, new Browser(bouncer.service)]) {
      const again = await browser.get(link);
      assert.ok(again.status >= 400 && again.status < 500, `${again.status}`);
      assert.equal(again.alerts.length, 1);
      assert.equal(again.forms.length, 0);
    }
  });

  test('has a link that works for a day, in any browser', async () => {
    const owner = await RealmOwner.fresh(bouncer);
    const ask = async (): Promise<string> => {
      await owner.browser.submit((await owner.browser.get(await owner.access())).form({ to: '/confirm/' }), { email: owner.email });
      return owner.link();
    };
    const [late, good] = [await ask(), await ask()];
    await later(24 * HOUR + 60_000, async () => {
      const page = await owner.browser.get(late);
      assert.ok(page.status >= 400 && page.status < 500);
      assert.equal(page.alerts.length, 1);
    });
    owner.browser = new Browser(bouncer.service);
    await later(24 * HOUR - 60_000, async () => {
      const into = await owner.accept(await owner.browser.get(good));
      assert.equal(into.path, owner.path('plans'));
    });
  });

  test('needs no letter the second time', async () => {
    const owner = await RealmOwner.signedIn(bouncer);
    owner.browser = new Browser(bouncer.service);
    const page = await owner.browser.get(await owner.access());
    assert.equal(page.form({ button: 'Continue' }).has('email'), false);
    assert.equal((await owner.accept(page)).path, owner.path('plans'));
    assert.equal((await owner.letters()).length, 1);
  });

  test('is one for each person and each organization', async () => {
    const owner = await RealmOwner.signedIn(bouncer);
    const colleague = new RealmOwner(bouncer, owner.server, owner.realm);
    assert.ok((await colleague.browser.get(await colleague.access())).form({ to: '/confirm/' }).has('email'));
    const elsewhere = new RealmOwner(bouncer, owner.server, newRealm(2));
    await report(owner.server, [owner.realm, elsewhere.realm]);
    elsewhere.uuid = owner.uuid;
    assert.ok((await elsewhere.browser.get(await elsewhere.access())).form({ to: '/confirm/' }).has('email'));
  });

  test('leads nowhere by a link that nobody wrote', async () => {
    for (const key of ['x', 'A'.repeat(64), '%00', '..%2f..%2fhealth']) {
      const page = await new Browser(bouncer.service).get(`/remote-billing-login/do_confirm/${key}`);
      assert.ok([400, 404].includes(page.status), `${page.status}`);
      assert.equal(page.alerts.length, 1);
    }
  });
});

describe('the terms', () => {
  test('must be accepted', async () => {
    const owner = await RealmOwner.fresh(bouncer);
    const page = await owner.confirm(await owner.browser.get(await owner.access()));
    for (const tos_consent of [undefined, 'false', '']) {
      const refused = await owner.browser.submit(page.form({ field: 'tos_consent' }), { tos_consent });
      assert.equal(refused.status, 400);
      assert.deepEqual(refused.alerts, ['You must accept the Terms of Service to proceed.']);
      assert.equal((await owner.browser.get(owner.path('plans'))).status, 401);
    }
    assert.equal((await owner.accept(page)).path, owner.path('plans'));
  });

  test('must be accepted again when they are others, not when they are only put better', () =>
    withBouncer({ BILLING_TERMS_VERSION: '1.0', BILLING_TERMS_URL: 'https://terms.example/?a=1&b="2"' }, async (own) => {
      const owner = await RealmOwner.fresh(own);
      const first = await owner.confirm(await owner.browser.get(await owner.access()));
      assert.deepEqual(first.links().filter((link) => link.startsWith('https://terms.example/')).length, 1);
      await owner.accept(first);
      const next = async (version: string): Promise<boolean> => {
        await own.service.crash();
        own.service.settings.BILLING_TERMS_VERSION = version;
        await own.service.boot();
        owner.browser = new Browser(own.service);
        const page = await owner.browser.get(await owner.access());
        const due = page.form({ button: 'Continue' }).has('tos_consent');
        if (due) {
          const refused = await owner.browser.submit(page.form({ button: 'Continue' }));
          assert.deepEqual([refused.status, refused.alerts], [400, ['You must accept the Terms of Service to proceed.']]);
        }
        assert.equal((await owner.accept(page)).status, 200);
        return due;
      };
      assert.deepEqual([await next('1.1'), await next('2.0'), await next('2.3'), await next('10.0')], [false, true, false, true]);
    }));
});

describe('who has signed in', () => {
  const cases: [string, object | undefined, Fields, string][] = [
    ['no plan sees the plans', undefined, {}, 'plans'],
    ['the complimentary plan sees the plans', { plan_type: 101, plan: { tier: 101, status: 1 } }, {}, 'plans'],
    ['an upgrade to come sees the billing', { plan_type: 101, plan: { tier: 101, status: 8 }, customer: { required_plan_tier: 103 } }, {}, 'billing'],
    ['a community plan sees the sponsorship', { plan_type: 102, plan: { tier: 102, status: 1 } }, {}, 'sponsorship'],
    ['the basic plan sees the billing', { plan_type: 103, plan: { tier: 103, status: 1 } }, {}, 'billing'],
    ['the business plan sees the billing', { plan_type: 104, plan: { tier: 104, status: 1 } }, {}, 'billing'],
    ['the enterprise plan sees the billing', { plan_type: 105, plan: { tier: 105, status: 1, fixed_price: 100 } }, {}, 'billing'],
    ['a wish sees what was wished', { plan_type: 104, plan: { tier: 104, status: 1 } }, { next_page: 'sponsorship' }, 'sponsorship'],
    ['another wish sees that', undefined, { next_page: 'upgrade' }, 'upgrade'],
  ];
  for (const [what, plan, fields, page] of cases) {
    test(`with ${what}`, async () => {
      const owner = await RealmOwner.fresh(bouncer);
      if (plan !== undefined) await operator.plan(owner.realm, plan);
      const into = await owner.signIn(fields);
      assert.deepEqual([into.path, into.status], [owner.path(page), 200]);
    });
  }

  test('sees no organization but that one, and nobody else sees it', async () => {
    const owner = await RealmOwner.signedIn(bouncer);
    const sibling = new RealmOwner(bouncer, owner.server, newRealm(2, { host: 'sibling.example.org' }));
    await report(owner.server, [owner.realm, sibling.realm]);
    const stranger = await RealmOwner.signedIn(bouncer);
    const fields = { csrf: Owner.token(await owner.browser.get(owner.path('plans'))), status: '2' };
    for (const other of [sibling, stranger]) {
      await operator.plan(other.realm, { plan_type: 103, plan: { tier: 103, status: 1 } });
      for (const name of ['plans', 'billing', 'upgrade', 'sponsorship', 'invoices']) {
        const page = await owner.browser.get(other.path(name));
        assert.equal(page.status, 401, name);
        assert.deepEqual(page.alerts, ['User not authenticated']);
        assert.ok(!page.text.includes(other.realm.host));
      }
      assert.equal((await owner.browser.post(other.path('billing'), fields)).status, 401);
      const path = `/json/realm/${other.realm.uuid}/billing/plan`;
      const answer = await owner.browser.ask('PATCH', path, {
        headers: { Origin: owner.browser.origin, 'Content-Type': 'application/x-www-form-urlencoded' }, body: new URLSearchParams(fields).toString(),
      });
      assert.equal(answer.status, 401);
      assert.equal((await operator.realm(other.realm)).billing.plan.status, 1);
    }
    assert.equal((await owner.browser.get(`/server/${owner.server.uuid}/plans/`)).status, 401, "nor the server's own");
  });

  test('is one organization at a time', async () => {
    const owner = await RealmOwner.signedIn(bouncer);
    const other = await RealmOwner.fresh(bouncer);
    other.browser = owner.browser;
    await other.signIn();
    assert.equal((await owner.browser.get(other.path('plans'))).status, 200);
    assert.equal((await owner.browser.get(owner.path('plans'))).status, 401);
  });

  test('has two hours, and is then sent back to where the way began', async () => {
    const owner = await RealmOwner.fresh(bouncer);
    await owner.signIn({ uri_scheme: 'http://' });
    await later(2 * HOUR - 60_000, async () => assert.equal((await owner.browser.get(owner.path('billing'))).status, 200));
    await later(2 * HOUR + 60_000, async () => {
      for (const page of ['billing', 'sponsorship', 'upgrade', 'plans']) {
        const late = await owner.browser.get(owner.path(page));
        assert.equal(late.status, 302);
        assert.equal(late.location, `http://${owner.realm.host}/self-hosted-billing/?next_page=${page}`);
      }
    });
  });

  test('whose time is over is sent back by a form as by a link', async () => {
    const owner = await RealmOwner.signedIn(bouncer);
    const form = (await owner.browser.get(owner.path('upgrade'))).form({ to: owner.path('upgrade') });
    await later(2 * HOUR + 60_000, async () => {
      const late = await owner.browser.submit(form);
      const back = `https://${owner.realm.host}/self-hosted-billing/?next_page=upgrade`;
      // A page with that link will do: a form's policy would keep a browser from following it elsewhere.
      if (late.status === 302) assert.equal(late.location, back);
      else assert.deepEqual([late.status, late.links()], [401, [back]]);
    });
  });

  test('has two hours from the link on, not from the last form', async () => {
    const owner = await RealmOwner.signedIn(bouncer);
    const path = await owner.access();
    let form = (await owner.browser.get(path)).form({ button: 'Continue' });
    await later(1.5 * HOUR, async () => {
      form = (await owner.browser.get(path)).form({ button: 'Continue' });
      assert.equal((await owner.browser.submit(form)).status, 302);
      assert.equal((await owner.browser.get(owner.path('plans'))).status, 200);
    });
    await later(2 * HOUR + 60_000, async () => assert.equal((await owner.browser.get(owner.path('plans'))).status, 302));
  });

  test('is told of the end in JSON where JSON is spoken', async () => {
    const owner = await RealmOwner.signedIn(bouncer);
    const csrf = Owner.token(await owner.browser.get(owner.path('plans')));
    const ask = (browser: Browser) => browser.ask('PATCH', `/json/realm/${owner.realm.uuid}/billing/plan`, {
      headers: { Origin: browser.origin, 'Content-Type': 'application/x-www-form-urlencoded' }, body: new URLSearchParams({ csrf, status: '2' }).toString(),
    });
    await later(2 * HOUR + 60_000, async () => {
      const { answer } = await ask(owner.browser);
      assert.equal(answer.status, 401);
      assert.equal(answer.json.error_message, 'Remote billing authentication expired');
      const login = new URL(answer.json.login_url);
      assert.equal(login.origin + login.pathname, `https://${owner.realm.host}/self-hosted-billing/`);
    });
  });

  test('is let go', async () => {
    const owner = await RealmOwner.signedIn(bouncer);
    const page = await owner.browser.get(owner.path('plans'));
    const out = await owner.browser.submit(page.form({ to: '/logout' }));
    assert.ok([200, 302, 303].includes(out.status));
    const gone = await owner.browser.get(owner.path('plans'));
    assert.deepEqual([gone.status, gone.alerts], [401, ['User not authenticated']]);
    assert.ok(!gone.text.includes(owner.realm.host) && !gone.text.includes(owner.email));
    // The way back in is the one that everybody goes.
    assert.equal((await owner.signIn()).status, 200);
  });

  test('stays so when the service crashes', async () => {
    const owner = await RealmOwner.signedIn(bouncer);
    await bouncer.service.crashAndRestart();
    assert.equal((await owner.browser.get(owner.path('plans'))).status, 200);
  });

  test('is nobody any more when the registration ends', async () => {
    const owner = await RealmOwner.signedIn(bouncer);
    const path = await owner.access();
    const fields = { csrf: Owner.token(await owner.browser.get(owner.path('plans'))) };
    assertSuccess(await owner.server.deactivate());
    for (const page of [await owner.browser.get(owner.path('plans')), await owner.browser.get(path), await owner.browser.post(owner.path('billing'), fields)]) {
      assert.ok(page.status >= 400 && page.status < 500, `${page.status}`);
      assert.deepEqual(page.alerts, ['Registration is deactivated']);
    }
  });

  test('is nobody any more when the organization ends', async () => {
    const owner = await RealmOwner.signedIn(bouncer);
    const path = await owner.access();
    assert.equal((await owner.server.upload({ realms: [{ ...reported(owner.realm), deactivated: true }] })).status, 200);
    for (const page of [await owner.browser.get(owner.path('plans')), await owner.browser.get(path)]) {
      assert.ok(page.status >= 400 && page.status < 500, `${page.status}`);
      assert.deepEqual(page.alerts, ['Registration is deactivated']);
    }
  });

  test('finds no page that is none', async () => {
    const owner = await RealmOwner.signedIn(bouncer);
    for (const path of [owner.path('nothing'), owner.path('deactivate'), `/realm/${owner.realm.uuid}/`, '/realm/nobody/plans/', `/realm/${randomUUID()}/plans/`]) {
      const page = await owner.browser.get(path);
      assert.ok([401, 404].includes(page.status), `${path}: ${page.status}`);
    }
  });
});
