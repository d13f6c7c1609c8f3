// Letters on their way to a mail service: README.md, "Letters". Signed, sent until they are taken, and never lost.

import assert from 'node:assert/strict';
import { createHmac, randomBytes } from 'node:crypto';
import { after, describe, test } from 'node:test';
import { keep, withBouncer } from './support/push/bouncer.ts';
import type { Bouncer } from './support/push/bouncer.ts';
import { Browser } from './support/push/browser.ts';
import { Fake, json } from './support/push/fake.ts';
import type { Reply, Seen } from './support/push/fake.ts';
import { linkIn, OPERATOR, Operator, RealmOwner, ServerOwner } from './support/push/owners.ts';
import { until } from './support/service.ts';
import type { Settings } from './support/service.ts';

const SECRET = keep(randomBytes(20).toString('hex'));

/** A mail service: takes signed letters, once each. */
class Post extends Fake {
  taken = new Map<number, any>();

  override answer(seen: Seen): Reply {
    const given = String(seen.headers['waystation-signature']);
    const [, timestamp = ''] = /^t=(\d{10}),v1=[0-9a-f]{64}$/.exec(given) ?? [];
    const expected = `t=${timestamp},v1=${createHmac('sha256', SECRET).update(`${timestamp}.`).update(seen.body).digest('hex')}`;
    if (given !== expected) this.complain(`signed ${given}, not ${expected}`);
    if (Math.abs(Number(timestamp) - seen.at / 1000) > 10) this.complain(`stamped ${timestamp}`);
    if (seen.method !== 'POST' || seen.path !== '/letters') this.complain(`${seen.method} ${seen.path}`);
    if (!/^application\/json\b/.test(String(seen.headers['content-type']))) this.complain(`type ${seen.headers['content-type']}`);
    const letter = json(seen);
    const names = Object.keys(letter).sort().join();
    if (names !== 'id,subject,text,to,written_at') this.complain(`a letter of ${names}`);
    this.taken.set(letter.id, letter);
    return { status: 204 };
  }

  to(address: string): any[] {
    return [...this.taken.values()].filter((letter) => letter.to === address);
  }
}

const posts: Post[] = [];
after(async () => {
  await Promise.all(posts.map((post) => post.close()));
});

/** A bouncer whose letters go to a mail service. */
async function withPost(run: (bouncer: Bouncer, post: Post) => Promise<void>, more: Settings = {}): Promise<void> {
  const post = new Post();
  await post.listen();
  posts.push(post);
  await withBouncer({ MAIL_WEBHOOK_URL: `${post.url}/letters`, MAIL_WEBHOOK_SECRET: SECRET, ...more }, (bouncer) => run(bouncer, post));
  post.assertContent();
}

async function askFor(owner: RealmOwner): Promise<void> {
  const page = await owner.browser.get(await owner.access());
  const sent = await owner.browser.submit(page.form({ to: '/confirm/' }), { email: owner.email });
  assert.equal(sent.status, 200, sent.answer.text);
}

const arrived = (post: Post, owner: RealmOwner | ServerOwner, deadlineMs = 30_000): Promise<any> =>
  until(`a letter to ${owner.email}`, () => post.to(owner.email)[0], deadlineMs);

// Who waits for a second try waits for ten seconds and more: side by side, then.
describe('a letter', { concurrency: 3 }, () => {
  test('is handed to the mail service, signed, and its link works', () =>
    withPost(async (bouncer, post) => {
      const [realm, server] = [await RealmOwner.fresh(bouncer), await ServerOwner.fresh(bouncer)];
      await askFor(realm);
      await server.askLetter();
      const [first, second] = [await arrived(post, realm), await arrived(post, server)];
      assert.notEqual(first.id, second.id);
      for (const letter of [first, second]) {
        assert.ok(Number.isSafeInteger(letter.id) && letter.id > 0);
        assert.ok(Number.isSafeInteger(letter.written_at));
        assert.notEqual(letter.subject, '');
      }
      assert.ok(first.subject.includes(realm.realm.host) && second.subject.includes(server.server.hostname));
      await realm.accept(await realm.browser.get(linkIn(first, realm.browser.origin)));
      assert.equal((await realm.browser.get(realm.path('plans'))).status, 200);
      await server.accept(await server.browser.get(linkIn(second, server.browser.origin)));
      assert.equal((await server.browser.get(server.path('plans'))).status, 200);
      assert.equal(post.seen.length, 2, 'and each of them once');
    }));

  test('comes again until the mail service takes it, as the same letter, whatever went wrong', () =>
    withPost(async (bouncer, post) => {
      const troubles: Reply[] = [
        { status: 500 }, { status: 429, headers: { 'retry-after': '1' } }, { status: 400 }, { status: 302, headers: { location: 'http://127.0.0.1:1/' } }, 'hang_up',
      ];
      const owners = await Promise.all(troubles.map(() => RealmOwner.fresh(bouncer)));
      const refused = new Map<string, any>();
      post.always((seen) => {
        const letter = json(seen);
        if (refused.has(letter.to)) return undefined;
        refused.set(letter.to, letter);
        return troubles[owners.findIndex((owner) => owner.email === letter.to)];
      });
      await Promise.all(owners.map(askFor));
      for (const owner of owners) {
        assert.deepEqual(await arrived(post, owner, 90_000), refused.get(owner.email));
        await owner.accept(await owner.browser.get(linkIn(post.to(owner.email)[0], owner.browser.origin)));
      }
      assert.equal(post.seen.length, 2 * owners.length, 'and no more often than it must');
    }));

  test('does not keep its owner waiting for the mail service', () =>
    withPost(async (bouncer, post) => {
      post.always('silence');
      const owner = await RealmOwner.fresh(bouncer);
      await askFor(owner);
      await post.until(1);
      // Whoever asks next is served, too.
      const other = await RealmOwner.fresh(bouncer);
      await askFor(other);
      post.calm();
      await arrived(post, owner, 90_000);
      await arrived(post, other, 90_000);
    }));

  test('outlives the process', () =>
    withPost(async (bouncer, post) => {
      post.always({ status: 503 });
      const owners = [await RealmOwner.fresh(bouncer), await RealmOwner.fresh(bouncer), await RealmOwner.fresh(bouncer)];
      await Promise.all(owners.map(askFor));
      await bouncer.service.crash();
      post.calm();
      await bouncer.service.boot();
      for (const owner of owners) {
        const letter = await arrived(post, owner, 90_000);
        owner.browser = new Browser(bouncer.service);
        await owner.accept(await owner.browser.get(linkIn(letter, owner.browser.origin)));
        assert.equal((await owner.browser.get(owner.path('plans'))).status, 200);
      }
    }));

  test('is not sent any more for a server that was forgotten', () =>
    withPost(async (bouncer, post) => {
      post.always({ status: 503 });
      const [gone, kept] = [await ServerOwner.fresh(bouncer), await ServerOwner.fresh(bouncer)];
      await gone.askLetter();
      await post.until(1);
      await new Operator(bouncer).ask('DELETE', `servers/${gone.server.uuid}`);
      await kept.askLetter();
      await post.until(2);
      post.calm();
      // It was tried after the other for the first time, and so for the second.
      await arrived(post, kept, 90_000);
      assert.deepEqual(post.to(gone.email), []);
      assert.equal(post.seen.filter((seen) => json(seen).to === gone.email).length, 1);
    }, { ADMIN_SECRET: OPERATOR }));

  test('outlives the process in development, too', () =>
    withBouncer({}, async (bouncer) => {
      const owner = await RealmOwner.fresh(bouncer);
      await askFor(owner);
      await bouncer.service.crashAndRestart();
      const link = await owner.link();
      owner.browser = new Browser(bouncer.service);
      await owner.accept(await owner.browser.get(link));
    }));

  test('stays secret until it is sent: neither its link nor a session stands in a log', () =>
    withPost(async (bouncer, post) => {
      // Without a host of its own, the service leads nobody anywhere by letter.
      const stranded = await ServerOwner.fresh(bouncer);
      const refused = await stranded.askLetter();
      assert.equal(refused.status, 503);
      assert.match(refused.answer.text, /BILLING_HOST/);
      bouncer.service.settings.BILLING_HOST = new URL(new Browser(bouncer.service).origin).host;
      await bouncer.service.crashAndRestart();
      post.queue({ status: 500 });
      const owner = await RealmOwner.fresh(bouncer);
      await askFor(owner);
      const link = linkIn(await arrived(post, owner, 90_000), owner.browser.origin);
      keep(link.split('/').pop() ?? '');
      await owner.accept(await owner.browser.get(link));
      assert.equal((await owner.browser.get('/dev/mail')).status, 404);
    }, { DEV_MODE: '', FCM_BASE_URL: '', FCM_TOKEN_URL: '', APNS_BASE_URL: '' }));
});
