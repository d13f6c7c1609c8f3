// Those who run the bouncer: operators with their tokens, and the payment system with its key.

import assert from 'node:assert/strict';
import { createHmac, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from '../service.ts';
import type { Answer, Service } from '../service.ts';
import { keep } from './bouncer.ts';
import type { Bouncer } from './bouncer.ts';
import type { RemoteServer } from './client.ts';
import { Fake } from './fake.ts';
import type { Seen } from './fake.ts';

export const SECRET = `the first operator's ${randomBytes(12).toString('hex')}`;
export const PAYMENT_KEY = `between us and who takes the money ${randomBytes(12).toString('hex')}`;

export type Role = 'owner' | 'admin' | 'viewer';
export const ROLES: Role[] = ['owner', 'admin', 'viewer'];

/** An operation under `/v1/push`, as the service's own description lists it. */
export type Route = { method: string; path: string };

export function routes(): Route[] {
  const { paths } = JSON.parse(readFileSync(join(ROOT, 'openapi.json'), 'utf8'));
  const own = Object.keys(paths).filter((path) => path === '/v1/push' || path.startsWith('/v1/push/'));
  return own.flatMap((path) => Object.keys(paths[path]).filter((word) => word !== 'parameters').map((method) => ({ method: method.toUpperCase(), path })));
}

export const seconds = (): number => Math.floor(Date.now() / 1000);

export class Operator {
  service: Service;
  token: string;

  constructor(service: Service, token = SECRET) {
    this.service = service;
    this.token = token;
  }

  get headers(): Record<string, string> {
    return { Authorization: `Bearer ${this.token}` };
  }

  ask(method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<Answer> {
    return this.service.ask(method, `/v1/push/${path}`, { headers: { ...this.headers, ...headers }, ...(body === undefined ? {} : { body }) });
  }

  get(path: string): Promise<Answer> {
    return this.ask('GET', path);
  }

  /** What is read; it must be there. */
  async read(path: string): Promise<any> {
    return done(await this.get(path));
  }

  /** What is done; it must succeed. */
  async act(method: string, path: string, body?: unknown): Promise<any> {
    return done(await this.ask(method, path, body));
  }

  /** All elements of a list, page by page; after each page something may happen. */
  async all(path: string, member: string, limit = 200, between: (page: number) => Promise<unknown> | unknown = () => undefined): Promise<any[]> {
    const found: any[] = [];
    let after: string | undefined;
    for (let page = 0; ; page += 1) {
      assert.ok(page < 1000, `${path} does not end`);
      const query = `limit=${limit}${after === undefined ? '' : `&after=${encodeURIComponent(after)}`}`;
      const { [member]: rows, next } = await this.read(`${path}${path.includes('?') ? '&' : '?'}${query}`);
      assert.ok(Array.isArray(rows) && rows.length <= limit, `${rows?.length} rows`);
      found.push(...rows);
      if (next === null) return found;
      assert.equal(rows.length, limit, 'only the last page is short');
      after = String(next);
      await between(page);
    }
  }

  audit(of: string, limit = 200): Promise<any[]> {
    return this.all(`${of}/audit`, 'rows', limit);
  }

  /** Another operator, with a token of its own. */
  async hire(role: Role, more: object = {}): Promise<{ operator: Operator; id: string }> {
    const { token, id } = await this.act('POST', 'operators', { name: `the ${role}`, role, ...more });
    return { operator: new Operator(this.service, keep(token)), id };
  }

  plan(of: string, change: object): Promise<Answer> {
    return this.ask('PUT', `${of}/plan`, change);
  }

  changePlan(of: string, change: object): Promise<any> {
    return this.act('PUT', `${of}/plan`, change);
  }

  move(realm: { uuid: string; uuid_owner_secret: string }, server: { uuid: string }, more: object = {}): Promise<Answer> {
    return this.ask('POST', `realms/${realm.uuid}/move`, { server: server.uuid, uuid_owner_secret: realm.uuid_owner_secret, ...more });
  }
}

function done(answer: Answer): any {
  assert.equal(answer.status, 200, answer.text);
  assert.equal(answer.headers['content-type'], 'application/json');
  assert.equal(answer.headers['cache-control'], 'no-store');
  return answer.json;
}

/** The first operator of a bouncer that was started with `SECRET`. */
export const firstOperator = (bouncer: Bouncer): Operator => new Operator(bouncer.service);

export const ofType = (rows: any[], ...types: number[]): any[] => rows.filter((row) => types.includes(row.event_type));
/** What changed, from what, to what. */
export const change = (row: any): [string, unknown, unknown] => [row.extra_data.property, row.extra_data.old_value, row.extra_data.new_value];

const mac = (key: string, time: number, body: string | Buffer): string => createHmac('sha256', key).update(`${time}.`).update(body).digest('hex');

/** The signature of a message between us and the payment system, both ways. */
export const signature = (body: string, time = seconds(), key = PAYMENT_KEY): string => `t=${time},v1=${mac(key, time, body)}`;

/** The payment system: hears of plans, and sets them. */
export class PaymentSystem extends Fake {
  static start(): Promise<PaymentSystem> {
    const system = new PaymentSystem();
    system.always({ status: 200 });
    return system.listen();
  }

  get settings(): Record<string, string> {
    return { PUSH_BILLING_KEY: PAYMENT_KEY, PUSH_BILLING_WEBHOOK_URL: `${this.url}/events` };
  }

  /** What it was told of a server, checked: signed by the key, now. */
  heard(server: { uuid: string }): any[] {
    return this.seen.map((seen) => genuine(seen)).filter((event) => event.server === server.uuid);
  }

  tell(service: Service, server: { uuid: string }, message: object, signed?: string): Promise<Answer> {
    const body = JSON.stringify(message);
    const headers = { 'Waystation-Signature': signed ?? signature(body) };
    return service.post(`/v1/push/servers/${server.uuid}/billing-events`, body, { headers });
  }
}

/** A message to the payment system; it must be what it says. */
export function genuine(seen: Seen): any {
  const [, time = '', given = ''] = /^t=(\d+),v1=([0-9a-f]{64})$/.exec(String(seen.headers['waystation-signature'])) ?? [];
  assert.equal(given, mac(PAYMENT_KEY, Number(time), seen.body), 'signed by the key, over the time and the body');
  assert.ok(Math.abs(Number(time) * 1000 - seen.at) < 5000, 'signed when it was sent');
  assert.equal(`${seen.method} ${seen.path}`, 'POST /events');
  assert.match(String(seen.headers['content-type']), /^application\/json/);
  return JSON.parse(seen.body.toString('utf8'));
}

/** Reports how many people an organization has; each call uses the next row. */
export async function reportPeople(server: RemoteServer, realm: any, people: number): Promise<void> {
  const { last_realmauditlog_id: last } = (await server.status()).json;
  const answer = await server.reportRealms([realm], { realmauditlog_rows: [server.auditRow(last + 1, realm, people)] });
  assert.equal(answer.status, 200, answer.text);
}
