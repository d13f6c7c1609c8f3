// The bouncer under test, with everything on the Internet that it talks to standing on this machine.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { assertCalm, assertNoLeak, ROOT, Service, until } from '../service.ts';
import type { Answer, Settings } from '../service.ts';
import { Apns } from './apple.ts';
import { newRealm, RemoteServer } from './client.ts';
import type { Fields, Realm } from './client.ts';
import { Fcm } from './google.ts';
import { Dns, RemoteHost } from './internet.ts';
import { registrationKeys } from './sodium.ts';

export const BASE = '/api/v1/remotes';
export const OLD_PLAN = "Your plan doesn't allow sending push notifications.";
export const FOREIGN_REALM =
  'Your organization is registered to a different Zulip server. Please contact Zulip support for assistance in resolving this issue.';

/** The service's own configuration, except that it may reach this machine: the fakes are here. A clock of ours goes in front. */
function nearbyConfig(clock: 'real' | 'ours'): string {
  const text = readFileSync(join(ROOT, 'workerd.capnp'), 'utf8');
  const plain = text.replace('allow = ["public"]', 'allow = ["public", "private"]').replaceAll('embed "build/', 'embed "');
  assert.ok(plain.includes('"private"') && !plain.includes('embed "build/'), 'workerd.capnp is not as it was');
  const first = '(name = "worker.mjs",';
  const near = clock === 'real' ? plain : plain.replace(first, `(name = "clock.mjs", esModule = embed "../tests/e2e/support/push/clock.mjs"),\n    ${first}`);
  assert.ok(clock === 'real' || near.includes('clock.mjs'), 'workerd.capnp is not as it was');
  mkdirSync(join(ROOT, 'build'), { recursive: true });
  // Test files run side by side: the file appears whole or not at all.
  const own = join(ROOT, 'build', `near-${process.pid}.capnp.new`);
  writeFileSync(own, near);
  const name = clock === 'real' ? 'near.capnp' : 'near-clock.capnp';
  renameSync(own, join(ROOT, 'build', name));
  return `build/${name}`;
}

export class Bouncer {
  service: Service;
  fcm: Fcm;
  apns: Apns;
  dns: Dns;
  keys: { publicKey: string; privateKey: string };
  private hosts: RemoteHost[] = [];

  private constructor(service: Service, fcm: Fcm, apns: Apns, dns: Dns, keys: { publicKey: string; privateKey: string }) {
    this.service = service;
    this.fcm = fcm;
    this.apns = apns;
    this.dns = dns;
    this.keys = keys;
  }

  /** A setting of '' is left out, so that the service is without it; of the resolver it means that nobody is asked. */
  static async start(more: Settings = {}, clock: 'real' | 'ours' = 'real'): Promise<Bouncer> {
    const [fcm, apns, dns, keys] = [await Fcm.start(), await Apns.start(), await Dns.start(), registrationKeys()];
    dns.set('MX', 'zulip.test', '10 mail.zulip.test.');
    const settings: Settings = {
      DEV_MODE: 'true',
      // Scripts send faster than servers do; the limit has its own tests.
      PUSH_RATE_LIMIT: '10000/60',
      PUSH_TRANSFER_DAILY_MAX: '10000',
      PUSH_REGISTRATION_KEYS: JSON.stringify({ [keys.publicKey]: keys.privateKey }),
      PUSH_TRANSFER_KEY: randomBytes(32).toString('hex'),
      DNS_QUERY_URL: dns.queryUrl,
      ...fcm.settings,
      ...apns.settings,
      ...more,
    };
    const given = Object.fromEntries(Object.entries(settings).filter(([name, value]) => value !== '' || name === 'DNS_QUERY_URL'));
    const service = await Service.start(given, nearbyConfig(clock));
    return new Bouncer(service, fcm, apns, dns, keys);
  }

  /** Nothing failed inside, nobody was addressed wrongly, and no secret was printed; then everything ends. */
  async finish(): Promise<void> {
    try {
      assertCalm(this.service);
      this.fcm.assertContent();
      this.apns.assertContent();
      this.dns.assertContent();
      const { PUSH_TRANSFER_KEY: transferKey = '' } = this.service.settings;
      assertNoLeak(this.service, [this.keys.privateKey, ...(transferKey === '' ? [] : [transferKey]), ...issued]);
    } finally {
      await this.stop();
    }
  }

  async stop(): Promise<void> {
    await this.service.stop();
    await Promise.all([this.fcm, this.apns, this.dns, ...this.hosts].map((fake) => fake.close()));
  }

  /** Puts the service's clock so far ahead of ours; only where it was started so. */
  async ahead(ms: number): Promise<void> {
    assert.equal((await this.service.get(`/clock?ahead=${ms}`)).text, String(ms));
  }

  /** A self-hosted server's own web server, on a hostname of its own. */
  async host(): Promise<RemoteHost> {
    const host = await RemoteHost.start();
    this.hosts.push(host);
    return host;
  }

  /** A registered server. */
  async server(hostname?: string): Promise<RemoteServer> {
    const server = await RemoteServer.registered(this.service, hostname);
    keep(server.key);
    return server;
  }

  /** A registered server that has reported its few users, and so may push. */
  async ready(realms: Realm[] = []): Promise<RemoteServer> {
    const server = await this.server();
    await report(server, realms);
    return server;
  }

  /** A server with one realm, and both ready to push. */
  async readyRealm(): Promise<{ server: RemoteServer; realm: Realm }> {
    const realm = newRealm();
    return { server: await this.ready([realm]), realm };
  }
}

export async function report(server: RemoteServer, realms: Realm[]): Promise<void> {
  const answer = await server.reportRealms(realms);
  assert.equal(answer.status, 200, answer.text);
}

export async function withBouncer(settings: Settings, run: (bouncer: Bouncer) => Promise<void>, clock: 'real' | 'ours' = 'real'): Promise<void> {
  const bouncer = await Bouncer.start(settings, clock);
  try {
    await run(bouncer);
  } catch (error) {
    await bouncer.stop();
    throw error;
  }
  await bouncer.finish();
}

/** A success of exactly these members. */
export function assertSuccess(answer: Answer, members: object = {}): void {
  assert.equal(answer.status, 200, answer.text);
  assert.match(String(answer.headers['content-type']), /^application\/json\b/);
  assert.ok(answer.text.endsWith('}\n'), `no line end: ${JSON.stringify(answer.text)}`);
  assert.deepEqual(answer.json, { result: 'success', msg: '', ...members });
}

/** A refusal of exactly these members. */
export function assertRefused(answer: Answer, status: number, code: string, msg: string, members: object = {}): void {
  assert.deepEqual({ status: answer.status, ...answer.json }, { status, result: 'error', msg, code, ...members });
  assert.match(String(answer.headers['content-type']), /^application\/json\b/);
  assert.ok(answer.text.endsWith('}\n'), `no line end: ${JSON.stringify(answer.text)}`);
}

/** A refusal whose words are not fixed. */
export function assertRefusedSomehow(answer: Answer, status: number): void {
  assert.equal(answer.status, status, answer.text);
  assert.match(String(answer.headers['content-type']), /^application\/json\b/);
  assert.deepEqual([answer.json?.result, typeof answer.json?.msg, typeof answer.json?.code], ['error', 'string', 'string'], answer.text);
}

/** A failed authentication, as all of them are wrapped. */
export function assertStranger(answer: Answer, msg: string): void {
  assertRefused(answer, 401, 'UNAUTHORIZED', msg);
  assert.equal(answer.headers['www-authenticate'], 'Basic realm="zulip"');
}

/** How many devices of a user the bouncer holds: Google's, Apple's. */
export async function deviceCounts(server: RemoteServer, user: Fields): Promise<[number, number]> {
  const answer = await server.notify(user);
  assert.equal(answer.status, 200, answer.text);
  return [answer.json.total_android_devices, answer.json.total_apple_devices];
}

/** Keys and device tokens so far; none of them may stand in a log. */
const issued: string[] = [];

export function keep(secret: string): string {
  issued.push(secret);
  return secret;
}

export const hexToken = (): string => keep(randomBytes(32).toString('hex'));
export const fcmToken = (): string => keep(`fcm:${randomBytes(24).toString('base64url')}`);

/** Waits until the user has no devices left on the server. */
export async function untilForgotten(server: RemoteServer, user: Fields): Promise<void> {
  await until('the dead devices are forgotten', async () => (await deviceCounts(server, user)).every((count) => count === 0), 10_000, 100);
}
