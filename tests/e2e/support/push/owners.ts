// Owners of organizations and of servers, on their way to the pages about their plans: push-bouncer.md 3.9.

import assert from 'node:assert/strict';
import { randomBytes, randomUUID } from 'node:crypto';
import type { Answer } from '../service.ts';
import { keep, report } from './bouncer.ts';
import type { Bouncer } from './bouncer.ts';
import { Browser } from './browser.ts';
import type { Changes, Extra, Page } from './browser.ts';
import { newRealm, reported } from './client.ts';
import type { Fields, Realm, RemoteServer } from './client.ts';

export const OPERATOR = randomBytes(16).toString('hex');
const MINUTE = 60_000;
export const HOUR = 60 * MINUTE;

export type Letter = { id: number; to: string; subject: string; text: string; written_at: number };

/** The letters to an address, newest first. */
export async function lettersTo(bouncer: Bouncer, address: string): Promise<Letter[]> {
  const answer = await bouncer.service.get('/dev/mail');
  assert.equal(answer.status, 200, answer.text);
  return answer.json.mails.filter((letter: Letter) => letter.to === address);
}

/** The one link in a letter, without the origin. */
export function linkIn(letter: Letter | undefined, origin: string): string {
  assert.ok(letter, 'no letter');
  const [link, ...more] = letter.text.match(/https?:\/\/\S+/g) ?? [];
  assert.ok(link !== undefined && more.length === 0, letter.text);
  assert.ok(link.startsWith(`${origin}/`), `${link} does not lead to ${origin}`);
  return link.slice(origin.length);
}

// Every browser is somewhere else, so that the limits of one do not count for the next.
let nextAddress = 0;
export function freshAddress(): string {
  nextAddress += 1;
  return `198.18.${nextAddress >> 8}.${nextAddress & 255}`;
}
export const freshEmail = (): string => `${randomBytes(5).toString('hex')}@zulip.test`;

/** The operator of the service. */
export class Operator {
  bouncer: Bouncer;

  constructor(bouncer: Bouncer) {
    this.bouncer = bouncer;
  }

  async ask(method: string, path: string, body?: unknown): Promise<any> {
    const answer = await this.bouncer.service.ask(method, `/v1/push/${path}`, { headers: { Authorization: `Bearer ${OPERATOR}` }, body });
    assert.equal(answer.status, 200, answer.text);
    return answer.json;
  }

  realm(realm: Realm): Promise<any> {
    return this.ask('GET', `realms/${realm.uuid}`);
  }

  server(server: RemoteServer): Promise<any> {
    return this.ask('GET', `servers/${server.uuid}`);
  }

  /** The rows that say so, oldest first. */
  async audit(of: Realm | RemoteServer, ...types: number[]): Promise<any[]> {
    const { rows, next } = await this.ask('GET', `${'key' in of ? 'servers' : 'realms'}/${of.uuid}/audit?limit=200`);
    assert.equal(next, null);
    return rows.filter((row: any) => types.length === 0 || types.includes(row.event_type));
  }

  plan(of: Realm | RemoteServer, body: object): Promise<any> {
    return this.ask('PUT', `${'key' in of ? 'servers' : 'realms'}/${of.uuid}/plan`, body);
  }
}

/** A person with a browser. */
export class Owner {
  bouncer: Bouncer;
  server: RemoteServer;
  browser: Browser;
  email = freshEmail();

  constructor(bouncer: Bouncer, server: RemoteServer) {
    this.bouncer = bouncer;
    this.server = server;
    this.browser = new Browser(bouncer.service, freshAddress());
  }

  async letters(): Promise<Letter[]> {
    return lettersTo(this.bouncer, this.email);
  }

  /** The link in the newest letter. */
  async link(): Promise<string> {
    return linkIn((await this.letters())[0], this.browser.origin);
  }

  /** Accepts the terms on the confirm page, and follows to where that leads. */
  async accept(page: Page, changes: Changes = {}): Promise<Page> {
    const form = page.form({ button: 'Continue' });
    const into = await this.browser.submit(form, { ...(form.has('tos_consent') ? { tos_consent: 'true' } : {}), ...changes });
    for (const { value } of this.browser.cookies.values()) keep(value);
    return this.browser.follow(into);
  }

  /** The token against forged forms, from any page. */
  static token(page: Page): string {
    const { csrf } = page.form({ to: '/logout' }).values;
    assert.ok(csrf !== undefined && csrf.length >= 32, 'no token');
    return csrf;
  }
}

/** An owner of an organization, who comes from the organization's own server. */
export class RealmOwner extends Owner {
  realm: Realm;
  uuid: string = randomUUID();
  name = 'Iago';

  constructor(bouncer: Bouncer, server: RemoteServer, realm: Realm) {
    super(bouncer, server);
    this.realm = realm;
  }

  /** The owner of a new realm on a new server. */
  static async fresh(bouncer: Bouncer, more: Partial<Realm> = {}): Promise<RealmOwner> {
    const [server, realm] = [await bouncer.server(), newRealm(1, more)];
    await report(server, [realm]);
    return new RealmOwner(bouncer, server, realm);
  }

  /** One who has signed in. */
  static async signedIn(bouncer: Bouncer, more: Partial<Realm> = {}): Promise<RealmOwner> {
    const owner = await RealmOwner.fresh(bouncer, more);
    await owner.signIn();
    return owner;
  }

  askAccess(fields: Fields = {}): Promise<Answer> {
    const user = { uuid: this.uuid, email: this.email, full_name: this.name };
    return this.server.form('server/billing', { user, realm: reported(this.realm), uri_scheme: 'https://', ...fields });
  }

  /** The path of a fresh link. */
  async access(fields: Fields = {}): Promise<string> {
    const answer = await this.askAccess(fields);
    assert.equal(answer.status, 200, answer.text);
    const url = new URL(answer.json.billing_access_url);
    assert.equal(url.origin, this.browser.origin);
    keep(url.pathname.split('/')[2] ?? '');
    return url.pathname;
  }

  /** All the way, for the first time or again, to the page that the service chooses. */
  async signIn(fields: Fields = {}): Promise<Page> {
    const page = await this.browser.get(await this.access(fields));
    if (page.forms.some((form) => form.has('email'))) return this.accept(await this.confirm(page));
    return this.accept(page);
  }

  /** From the form that asks for an address to the confirm page. */
  async confirm(page: Page): Promise<Page> {
    const sent = await this.browser.submit(page.form({ to: '/confirm/' }), { email: this.email });
    assert.equal(sent.status, 200, sent.answer.text);
    return this.browser.get(await this.link());
  }

  path(page: string): string {
    return `/realm/${this.realm.uuid}/${page}/`;
  }

  /** A request of the JSON API, as a form with its token. */
  async api(method: string, what: string, fields: Changes = {}, extra: Extra = {}): Promise<Answer> {
    const csrf = Owner.token(await this.browser.get(this.path('plans')));
    return this.rawApi(method, what, { csrf, ...fields }, extra);
  }

  async rawApi(method: string, what: string, fields: Changes = {}, extra: Extra = {}): Promise<Answer> {
    return rawApi(this.browser, method, `/json/realm/${this.realm.uuid}/billing/${what}`, fields, extra);
  }
}

export async function rawApi(browser: Browser, method: string, path: string, fields: Changes = {}, extra: Extra = {}): Promise<Answer> {
  const pairs = Object.entries(fields).filter((pair): pair is [string, string] => pair[1] !== undefined);
  const headers = {
    Accept: 'application/json', Origin: browser.origin, 'Sec-Fetch-Site': 'same-origin', 'Content-Type': 'application/x-www-form-urlencoded', ...extra.headers,
  };
  return (await browser.ask(method, path, { body: new URLSearchParams(pairs).toString(), ...extra, headers })).answer;
}

/** An administrator of a server, who knows its key. */
export class ServerOwner extends Owner {
  static async fresh(bouncer: Bouncer): Promise<ServerOwner> {
    return new ServerOwner(bouncer, await bouncer.server());
  }

  static async signedIn(bouncer: Bouncer): Promise<ServerOwner> {
    const owner = await ServerOwner.fresh(bouncer);
    await owner.signIn();
    return owner;
  }

  /** Sends id and key; the answer is a form that asks for an address, or a refusal. */
  async identify(at = '/serverlogin/', changes: Changes = {}): Promise<Page> {
    const page = await this.browser.get(at);
    return this.browser.submit(page.form({ field: 'zulip_org_id' }), { zulip_org_id: this.server.uuid, zulip_org_key: this.server.key, ...changes });
  }

  /** Asks for a letter. */
  async askLetter(at?: string): Promise<Page> {
    return this.browser.submit((await this.identify(at)).form({ field: 'email' }), { email: this.email });
  }

  async signIn(at?: string): Promise<Page> {
    const sent = await this.askLetter(at);
    assert.equal(sent.status, 200, sent.answer.text);
    return this.accept(await this.browser.get(await this.link()));
  }

  path(page: string): string {
    return `/server/${this.server.uuid}/${page}/`;
  }
}

/** What no page may be without: it is not kept, not framed, not guessed at, and runs no script. */
export function assertGuarded(page: Page): void {
  const { headers } = page.answer;
  assert.equal(headers['cache-control'], 'no-store');
  assert.equal(headers['x-content-type-options'], 'nosniff');
  assert.equal(headers['x-frame-options'], 'DENY');
  assert.ok(['no-referrer', 'same-origin'].includes(String(headers['referrer-policy'])), `referrer ${headers['referrer-policy']}`);
  const policy = new Map(String(headers['content-security-policy']).split(';').map((part): [string, string] => {
    const [name = '', ...values] = part.trim().split(/\s+/);
    return [name, values.join(' ')];
  }));
  assert.equal(policy.get('default-src'), "'none'");
  assert.equal(policy.get('frame-ancestors'), "'none'");
  assert.equal(policy.get('base-uri'), "'none'");
  assert.ok(policy.has('form-action'));
  assert.ok(policy.get('script-src') === undefined || policy.get('script-src') === "'none'", 'scripts');
  assert.doesNotMatch(String(headers['content-security-policy']), /unsafe|\*|data:/);
}

