// Owners' pages in a real browser without script: an installed Chromium. Without one these tests are skipped, and say so.

import assert from 'node:assert/strict';
import { after, before, describe, test as always } from 'node:test';
import type { Page } from 'playwright-core';
import { assertSuccess, Bouncer } from './support/push/bouncer.ts';
import { Chromium, skip, tooFaint, visiting } from './support/push/chromium.ts';
import { Fake } from './support/push/fake.ts';
import type { Reply } from './support/push/fake.ts';
import { HOUR, OPERATOR, Operator, RealmOwner, ServerOwner } from './support/push/owners.ts';

/** The organization's own server, where owners come from and are sent back to; and pages that a test makes up. */
class Home extends Fake {
  pages = new Map<string, Reply>();

  override answer({ path }: { path: string }): Reply {
    const html = '<!doctype html><html lang="en"><title>Home</title><h1>Your own server</h1>';
    return this.pages.get(path) ?? { status: 200, headers: { 'content-type': 'text/html; charset=utf-8' }, body: html };
  }
}

/** A test that is skipped, and says why, where there is no browser. */
const test = (name: string, run: () => Promise<void>): void => void always(name, { skip }, run);

const PAID = { plan_type: 103, plan: { tier: 103, status: 1, billing_schedule: 2 } };
let bouncer: Bouncer;
let operator: Operator;
let chromium: Chromium;
let home: Home;
before(async () => {
  if (skip !== false) return;
  bouncer = await Bouncer.start({ ADMIN_SECRET: OPERATOR }, 'ours');
  operator = new Operator(bouncer);
  chromium = await Chromium.start();
  home = new Home();
  await home.listen();
});
after(async () => {
  if (skip !== false) return;
  await chromium.stop();
  await home.close();
  await bouncer.finish();
});

const url = (path: string): string => `http://127.0.0.1:${bouncer.service.port}${path}`;
const heading = (page: Page, name: string) => page.getByRole('heading', { level: 1, name }).waitFor();

/** Presses a button, and waits for the page that comes. */
async function press(page: Page, name: string): Promise<void> {
  await Promise.all([page.waitForEvent('load'), page.getByRole('button', { name }).click()]);
}

/** From the organization's server to the pages about its plan, as a person goes there. */
async function enterRealm(page: Page, owner: RealmOwner): Promise<void> {
  await page.goto(url(await owner.access()));
  if (await page.getByLabel('E-mail').isVisible()) {
    await page.getByLabel('E-mail').fill(owner.email);
    await page.getByRole('button', { name: 'Send link' }).click();
    await heading(page, 'Check your e-mail');
    await page.goto(url(await owner.link()));
  }
  const terms = page.getByLabel('I accept the Terms of Service');
  if (await terms.isVisible()) await terms.check();
  await page.getByRole('button', { name: 'Continue' }).click();
  await page.waitForURL(`**/realm/${owner.realm.uuid}/*/`);
}

async function enterServer(page: Page, owner: ServerOwner, at = '/serverlogin/'): Promise<void> {
  await page.goto(url(at));
  await page.getByLabel('zulip_org_id').fill(owner.server.uuid);
  await page.getByLabel('zulip_org_key').fill(owner.server.key);
  await page.getByRole('button', { name: 'Continue' }).click();
  await page.getByLabel('E-mail').fill(owner.email);
  await page.getByRole('button', { name: 'Send link' }).click();
  await heading(page, 'Check your e-mail');
  await page.goto(url(await owner.link()));
  await page.getByLabel('I accept the Terms of Service').check();
  await page.getByRole('button', { name: 'Continue' }).click();
  await page.waitForURL(`**/server/${owner.server.uuid}/*/`);
}

/** Every page that an owner of an organization sees, one after the other. */
async function everyPage(page: Page, see: (name: string) => Promise<void>, host = 'chat.example.org', name = ''): Promise<void> {
  const owner = await RealmOwner.fresh(bouncer, { host });
  owner.email = `${name}${owner.email}`;
  await operator.plan(owner.realm, PAID);
  await page.goto(url(await owner.access()));
  await see('e-mail');
  await page.getByLabel('E-mail').fill(owner.email);
  await page.getByRole('button', { name: 'Send link' }).click();
  await heading(page, 'Check your e-mail');
  await see('sent');
  await page.goto(url(await owner.link()));
  await see('terms');
  await page.getByLabel('I accept the Terms of Service').check();
  await page.getByRole('button', { name: 'Continue' }).click();
  await page.waitForURL(`**${owner.path('billing')}`);
  for (const name of ['plans', 'billing', 'upgrade', 'sponsorship', 'invoices', 'nothing']) {
    await page.goto(url(owner.path(name)));
    await see(name);
  }
  const server = new ServerOwner(bouncer, await bouncer.server());
  await page.goto(url('/serverlogin/'));
  await see('server login');
  await enterServer(page, server, '/serverlogin/deactivate');
  await see('deactivate');
}

describe('the watch over the browser', () => {
  test('sees a style that the policy forbids, and that script is off', async () => {
    const body = '<!doctype html><title>x</title><style>b{color:red}</style><body onload="document.title=\'y\'"><b>x</b><script>document.title="y"</script>';
    home.pages.set('/forbidden', { status: 200, headers: { 'content-type': 'text/html', 'content-security-policy': "default-src 'none'" }, body });
    const visit = await chromium.visit();
    await visit.page.goto(`${home.url}/forbidden`);
    assert.equal(await visit.page.title(), 'x');
    await assert.rejects(() => visit.end(), /Content Security Policy/);
  });

  test('sees faint text', () =>
    visiting(chromium, {}, async (page) => {
      const body = '<!doctype html><title>x</title><body><p style="color:#aaa">faint</p><p style="color:#333">clear</p><p style="color:#333;background:#222">on dark</p>';
      home.pages.set('/faint', { status: 200, headers: { 'content-type': 'text/html' }, body });
      await page.goto(`${home.url}/faint`);
      assert.deepEqual((await tooFaint(page)).map((line) => line.replace(/:.*/, '')), ['P faint', 'P on dark']);
    }));
});

describe('an owner of an organization', () => {
  test('comes from the own server, confirms the address, and changes the plan', () =>
    visiting(chromium, {}, async (page, visit) => {
      const owner = await RealmOwner.fresh(bouncer, { host: home.host });
      await operator.plan(owner.realm, PAID);
      // As a link on another site, which is how everybody comes.
      const link = `<!doctype html><title>Home</title><a href="${url(await owner.access())}">Plan</a>`;
      home.pages.set('/settings', { status: 200, headers: { 'content-type': 'text/html' }, body: link });
      await page.goto(`${home.url}/settings`);
      await page.getByRole('link', { name: 'Plan' }).click();
      await page.getByLabel('E-mail').fill(owner.email);
      await page.getByRole('button', { name: 'Send link' }).click();
      await heading(page, 'Check your e-mail');
      await page.goto(url(await owner.link()));
      await page.getByLabel('Name').fill('Iago <b>');
      await page.getByLabel('Tell me about major releases').uncheck();
      await page.getByLabel('I accept the Terms of Service').check();
      await page.getByRole('button', { name: 'Continue' }).click();
      await page.waitForURL(url(owner.path('billing')));
      assert.ok((await page.textContent('body'))?.includes('Basic'));

      await page.getByRole('button', { name: 'End with this period' }).click();
      await page.getByRole('button', { name: 'Keep the plan as it is' }).waitFor();
      assert.equal((await operator.realm(owner.realm)).billing.plan.status, 2);
      await page.getByRole('button', { name: 'Keep the plan as it is' }).click();
      await page.getByRole('button', { name: 'Switch to annual' }).click();
      await page.getByRole('button', { name: 'Keep the plan as it is' }).waitFor();
      assert.equal((await operator.realm(owner.realm)).billing.plan.status, 4);

      await page.getByRole('navigation').getByRole('link', { name: 'Plans' }).click();
      await heading(page, 'Plans');
      const strangers = visit.asked.filter((address) => !address.startsWith(url('/')) && !address.startsWith(home.url));
      assert.deepEqual(strangers, [], 'nobody else is told of the visit');
      const cookies = await visit.context.cookies();
      assert.deepEqual(cookies.map(({ name, httpOnly, sameSite }) => [name, httpOnly, sameSite]), [['billing', true, 'Lax']]);
    }));

  test('asks for a plan and for a sponsorship', () =>
    visiting(chromium, {}, async (page) => {
      const owner = await RealmOwner.fresh(bouncer);
      await enterRealm(page, owner);
      await page.getByRole('link', { name: 'Upgrade' }).click();
      await page.getByLabel('Plan', { exact: true }).selectOption('Business');
      await page.getByLabel('Billed').selectOption('Monthly');
      await press(page, 'Ask for this plan');
      assert.ok(JSON.stringify(await operator.audit(owner.realm)).includes('Business'));

      await page.getByRole('link', { name: 'Sponsorship' }).click();
      await page.getByLabel('Kind of organization').selectOption('Open-source project');
      await page.getByLabel('Website').fill('https://example.org');
      await page.getByLabel('What your organization does').fill('Free software,\nfor everybody.');
      await page.getByLabel('Expected number of users').fill('40');
      await page.getByLabel('Number of paid staff').fill('2');
      await press(page, 'Ask for sponsorship');
      assert.equal((await operator.realm(owner.realm)).billing.customer.sponsorship_pending, true);
    }));

  test('sees what is wrong, said to everybody', () =>
    visiting(chromium, {}, async (page) => {
      const owner = await RealmOwner.fresh(bouncer);
      await enterRealm(page, owner);
      await page.goto(url(owner.path('upgrade')));
      await page.getByLabel('Licenses', { exact: true }).selectOption('A fixed number');
      await page.getByRole('button', { name: 'Ask for this plan' }).click();
      const alert = page.getByRole('alert');
      await alert.waitFor();
      assert.notEqual((await alert.textContent())?.trim(), '');
      await heading(page, 'Upgrade');
    }));

  test('is gone after logging out, back button or not', () =>
    visiting(chromium, {}, async (page, visit) => {
      const owner = await RealmOwner.fresh(bouncer);
      await enterRealm(page, owner);
      await page.getByRole('link', { name: 'Billing' }).click();
      await heading(page, 'Billing');
      assert.ok((await page.textContent('body'))?.includes(owner.email));
      await press(page, 'Log out');
      assert.deepEqual((await visit.context.cookies()).filter(({ value }) => value.length > 200), []);
      for (let steps = 0; steps < 3; steps += 1) {
        await page.goBack();
        const text = (await page.textContent('body')) ?? '';
        assert.ok(!text.includes(owner.email) && !text.includes(owner.realm.host), `${page.url()}: ${text.slice(0, 200)}`);
      }
    }));

  test('whose time is over is sent back to where the way began, by a link', () =>
    visiting(chromium, {}, async (page) => {
      const owner = await RealmOwner.fresh(bouncer, { host: home.host });
      await page.goto(url(await owner.access({ uri_scheme: 'http://' })));
      await page.getByLabel('E-mail').fill(owner.email);
      await page.getByRole('button', { name: 'Send link' }).click();
      await page.goto(url(await owner.link()));
      await page.getByLabel('I accept the Terms of Service').check();
      await page.getByRole('button', { name: 'Continue' }).click();
      await page.waitForURL(url(owner.path('plans')));
      await bouncer.ahead(2 * HOUR + 60_000);
      try {
        await page.getByRole('link', { name: 'Sponsorship' }).click();
        await page.waitForURL(`${home.url}/self-hosted-billing/?next_page=sponsorship`);
      } finally {
        await bouncer.ahead(0);
      }
    }));

  test('whose time is over is sent back to where the way began, by a form', () =>
    visiting(chromium, {}, async (page) => {
      const owner = await RealmOwner.fresh(bouncer, { host: home.host });
      await operator.plan(owner.realm, PAID);
      await page.goto(url(await owner.access({ uri_scheme: 'http://' })));
      await page.getByLabel('E-mail').fill(owner.email);
      await page.getByRole('button', { name: 'Send link' }).click();
      await page.goto(url(await owner.link()));
      await page.getByLabel('I accept the Terms of Service').check();
      await page.getByRole('button', { name: 'Continue' }).click();
      await page.waitForURL(url(owner.path('billing')));
      await bouncer.ahead(2 * HOUR + 60_000);
      try {
        // At once, or by one link: a policy on forms must not be in the way.
        const back = `${home.url}/self-hosted-billing/?next_page=billing`;
        await press(page, 'End with this period');
        if (page.url() !== back) await page.locator(`a[href="${back}"]`).click();
        await page.waitForURL(back);
      } finally {
        await bouncer.ahead(0);
      }
    }));

  test('is not framed by another site', async () => {
    const visit = await chromium.visit();
    home.pages.set('/frame', { status: 200, headers: { 'content-type': 'text/html' }, body: `<!doctype html><title>x</title><iframe src="${url('/serverlogin/')}"></iframe>` });
    await visit.page.goto(`${home.url}/frame`);
    const frame = visit.page.frames().find((one) => one !== visit.page.mainFrame());
    assert.ok(frame, 'there is a frame');
    assert.equal(await frame.getByLabel('zulip_org_id').count(), 0);
    await visit.context.close();
  });

  test('is not made to act by a form of another site', () =>
    visiting(chromium, {}, async (page) => {
      const owner = await RealmOwner.fresh(bouncer);
      await operator.plan(owner.realm, PAID);
      await enterRealm(page, owner);
      const body = `<!doctype html><title>x</title><form method="post" action="${url(owner.path('billing'))}"><input name="status" value="2"><button>Win</button></form>`;
      home.pages.set('/win', { status: 200, headers: { 'content-type': 'text/html' }, body });
      await page.goto(`${home.url}/win`);
      await page.getByRole('button', { name: 'Win' }).click();
      await page.getByRole('alert').waitFor();
      assert.equal((await operator.realm(owner.realm)).billing.plan.status, 1);
    }));
});

describe('who has the key of a server', () => {
  test('signs in, and ends the registration', () =>
    visiting(chromium, {}, async (page) => {
      const owner = await ServerOwner.fresh(bouncer);
      await enterServer(page, owner, '/serverlogin/deactivate');
      await heading(page, 'Deactivate registration');
      // The browser itself does not send what is not confirmed.
      await page.getByRole('button', { name: 'Deactivate' }).click();
      assertSuccess(await owner.server.removeAllDevices({ server_uuid: undefined, user_id: 1 }));
      await page.getByLabel('Deactivate this registration').check();
      await page.getByRole('button', { name: 'Deactivate' }).click();
      await page.getByText(/deactivated/i).first().waitFor();
      assert.equal((await owner.server.removeAllDevices({ user_id: 1 })).status, 401);
    }));

  test('is told that the key is wrong', () =>
    visiting(chromium, {}, async (page) => {
      const owner = await ServerOwner.fresh(bouncer);
      await page.goto(url('/serverlogin/'));
      await page.getByLabel('zulip_org_id').fill(owner.server.uuid);
      await page.getByLabel('zulip_org_key').fill('0'.repeat(64));
      await page.getByRole('button', { name: 'Continue' }).click();
      await page.getByRole('alert').waitFor();
      assert.equal(await page.getByRole('alert').count(), 1);
      assert.equal(await page.getByLabel('zulip_org_key').inputValue(), '');
      assert.equal(await page.getByLabel('zulip_org_key').getAttribute('type'), 'password');
    }));

  test('needs no mouse', () =>
    visiting(chromium, {}, async (page) => {
      const owner = await ServerOwner.fresh(bouncer);
      await page.goto(url('/serverlogin/'));
      await page.keyboard.press('Tab');
      assert.equal(await page.evaluate(() => document.activeElement?.id), 'zulip_org_id');
      const ring = await page.evaluate(() => document.activeElement && getComputedStyle(document.activeElement).outlineStyle);
      assert.notEqual(ring, 'none', 'what has the focus is seen to have it');
      await page.keyboard.type(owner.server.uuid);
      await page.keyboard.press('Tab');
      await page.keyboard.type(owner.server.key);
      await page.keyboard.press('Enter');
      await page.getByLabel('E-mail').waitFor();
      await page.keyboard.press('Tab');
      await page.keyboard.type(owner.email);
      await page.keyboard.press('Tab');
      assert.equal(await page.evaluate(() => document.activeElement?.textContent), 'Send link');
      await page.keyboard.press('Enter');
      await heading(page, 'Check your e-mail');
      await page.goto(url(await owner.link()));
      for (let steps = 0; steps < 10; steps += 1) {
        await page.keyboard.press('Tab');
        const name = await page.evaluate(() => document.activeElement?.getAttribute('name') ?? document.activeElement?.textContent);
        if (name === 'tos_consent') await page.keyboard.press('Space');
        if (name === 'Continue') break;
      }
      await page.keyboard.press('Enter');
      await page.waitForURL(url(owner.path('plans')));
    }));
});

describe('a page', () => {
  test('fits on a small phone', () =>
    visiting(chromium, { viewport: { width: 320, height: 640 } }, async (page) => {
      const wide: string[] = [];
      await everyPage(page, async (name) => {
        const [needs, has] = await page.evaluate(() => [document.documentElement.scrollWidth, document.documentElement.clientWidth] as const);
        if (needs > has) wide.push(`${name}: ${needs} > ${has}`);
      });
      assert.deepEqual(wide, []);
    }));

  test('fits on a small phone with the longest names, too', () =>
    visiting(chromium, { viewport: { width: 320, height: 640 } }, async (page) => {
      const wide: string[] = [];
      const see = async (name: string): Promise<void> => {
        const [needs, has] = await page.evaluate(() => [document.documentElement.scrollWidth, document.documentElement.clientWidth] as const);
        if (needs > has) wide.push(`${name}: ${needs} > ${has}`);
      };
      await everyPage(page, see, 'a-community-with-a-long-name.chat.faculty-of-sciences.university.example', 'a.person.with.a.rather.long.name.');
      assert.deepEqual(wide, []);
    }));

  for (const colorScheme of ['light', 'dark'] as const) {
    test(`is legible in the ${colorScheme} scheme`, () =>
      visiting(chromium, { colorScheme }, async (page) => {
        const faint: string[] = [];
        const canvas = async (): Promise<string> => page.evaluate(() => {
          const probe = document.body.appendChild(document.createElement('i'));
          probe.style.backgroundColor = 'Canvas';
          const colour = getComputedStyle(probe).backgroundColor;
          probe.remove();
          return colour;
        });
        await everyPage(page, async (name) => {
          assert.equal((await canvas()) === 'rgb(255, 255, 255)', colorScheme === 'light', `${name} follows the scheme`);
          faint.push(...(await tooFaint(page)).map((line) => `${name}: ${line}`));
        });
        assert.deepEqual(faint, []);
      }));
  }

  test('has a name for whatever can be pressed or filled in', () =>
    visiting(chromium, {}, (page) =>
      everyPage(page, async (name) => {
        const nameless = await page.evaluate(() =>
          [...document.querySelectorAll<HTMLInputElement>('input:not([type=hidden]),select,textarea,button,a')]
            .filter((element) => (element.labels?.length ? element.labels[0]?.textContent : element.textContent)?.trim() === '' || (element.labels?.length === 0 && element.tagName !== 'BUTTON'))
            .map((element) => element.outerHTML),
        );
        assert.deepEqual(nameless, [], name);
      })));
});
