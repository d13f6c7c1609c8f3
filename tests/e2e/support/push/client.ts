// A self-hosted server as the field's are: forms and JSON with its credentials, and the phones of its users.

import assert from 'node:assert/strict';
import { randomBytes, randomUUID } from 'node:crypto';
import type { Answer, Service } from '../service.ts';
import type { RemoteHost } from './internet.ts';
import { seal, secretbox, tokenId } from './sodium.ts';

const BASE = '/api/v1/remotes';

/** Fields of a form. What is not text is sent as JSON text, as the real client does; undefined is left out. */
export type Fields = Record<string, unknown>;

export function form(fields: Fields): string {
  const pairs = Object.entries(fields).filter(([, value]) => value !== undefined);
  return new URLSearchParams(pairs.map(([name, value]) => [name, typeof value === 'string' ? value : JSON.stringify(value)])).toString();
}

export const newKey = (): string => randomBytes(32).toString('hex');

export type Realm = { uuid: string; uuid_owner_secret: string; id: number; host: string; name: string };

/** A realm as a server reports it. */
export function newRealm(id = 1, more: Partial<Realm> = {}): Realm {
  return { uuid: randomUUID(), uuid_owner_secret: newKey(), id, host: `realm${id}.example.org`, name: `Realm ${id}`, ...more };
}

export class RemoteServer {
  service: Service;
  uuid: string = randomUUID();
  key: string = newKey();
  hostname: string;
  email = 'admin@zulip.test';
  version = '12.0';

  constructor(service: Service, hostname = `${randomBytes(4).toString('hex')}.zulip.test`) {
    this.service = service;
    this.hostname = hostname;
  }

  /** A server that has registered. */
  static async registered(service: Service, hostname?: string): Promise<RemoteServer> {
    const server = new RemoteServer(service, hostname);
    const answer = await server.register();
    assert.equal(answer.json?.created, true, answer.text);
    return server;
  }

  get headers(): Record<string, string> {
    return { Authorization: `Basic ${Buffer.from(`${this.uuid}:${this.key}`).toString('base64')}`, 'User-Agent': `ZulipServer/${this.version}` };
  }

  /** A form, with credentials. */
  form(path: string, fields: Fields = {}, method = 'POST'): Promise<Answer> {
    return this.service.ask(method, `${BASE}/${path}`, {
      headers: { ...this.headers, 'Content-Type': 'application/x-www-form-urlencoded' }, body: form(fields),
    });
  }

  /** JSON, with credentials. */
  json(path: string, body: unknown): Promise<Answer> {
    return this.service.post(`${BASE}/${path}`, body, { headers: this.headers });
  }

  /** A form without credentials. */
  anonymous(path: string, fields: Fields): Promise<Answer> {
    return this.service.ask('POST', `${BASE}/${path}`, {
      headers: { 'Content-Type': 'application/x-www-form-urlencoded' }, body: form(fields),
    });
  }

  register(more: Fields = {}): Promise<Answer> {
    return this.anonymous('server/register', {
      zulip_org_id: this.uuid, zulip_org_key: this.key, hostname: this.hostname, contact_email: this.email, ...more,
    });
  }

  async rotateKey(): Promise<Answer> {
    const fresh = newKey();
    const answer = await this.register({ new_org_key: fresh });
    if (answer.status === 200) this.key = fresh;
    return answer;
  }

  deactivate(): Promise<Answer> {
    return this.json('server/deactivate', {});
  }

  /** Proves the host name and takes over its registration. */
  async transfer(host: RemoteHost): Promise<Answer> {
    const asked = await this.anonymous('server/register/transfer', { hostname: this.hostname });
    if (asked.status !== 200) return asked;
    const accessToken = randomBytes(32).toString('base64url');
    host.prepared.set(accessToken, asked.json.verification_secret);
    const answer = await this.anonymous('server/register/verify_challenge', { hostname: this.hostname, access_token: accessToken });
    if (answer.status === 200) {
      this.uuid = answer.json.zulip_org_id;
      this.key = answer.json.zulip_org_key;
    }
    return answer;
  }

  /** What the real client sends for a device of the legacy path. */
  addDevice(kind: 'apns' | 'fcm', token: string, user: Fields, more: Fields = {}): Promise<Answer> {
    return this.form('push/register', {
      server_uuid: this.uuid, ...user, token, token_kind: kind === 'apns' ? '1' : '2',
      ...(kind === 'apns' ? { ios_app_id: 'org.zulip.Zulip' } : {}), ...more,
    });
  }

  removeDevice(kind: 'apns' | 'fcm', token: string, user: Fields): Promise<Answer> {
    return this.form('push/unregister', { server_uuid: this.uuid, ...user, token, token_kind: kind === 'apns' ? '1' : '2' });
  }

  removeAllDevices(user: Fields): Promise<Answer> {
    return this.form('push/unregister/all', { server_uuid: this.uuid, ...user });
  }

  /** A message that arrived, on the legacy path. */
  notify(user: Fields, more: Fields = {}): Promise<Answer> {
    const message = { event: 'message', zulip_message_id: 17, content: 'hello', sender_full_name: 'Iago', server: this.hostname };
    return this.json('push/notify', {
      ...user,
      gcm_payload: message,
      apns_payload: {
        alert: { title: '#general > news', subtitle: 'Iago:', body: 'hello' }, sound: 'default', badge: 0,
        custom: { zulip: { message_ids: [17], server: this.hostname } },
      },
      gcm_options: { priority: 'high' },
      android_devices: [],
      apple_devices: [],
      ...more,
    });
  }

  /** Reports realms, counts and audit rows. */
  upload(fields: Fields = {}): Promise<Answer> {
    return this.form('server/analytics', {
      realm_counts: [], installation_counts: [], realmauditlog_rows: [], version: JSON.stringify(this.version), api_feature_level: 450,
      ...fields,
    });
  }

  status(): Promise<Answer> {
    return this.form('server/analytics/status', {}, 'GET');
  }

  /** Reports realms only. */
  reportRealms(realms: Realm[], more: Fields = {}): Promise<Answer> {
    return this.upload({ realms: realms.map(reported), ...more });
  }

  /** One audit row that says how many users a realm has, so that it may push without a plan. */
  auditRow(id: number, realm: Realm, members: number): object {
    const humans = { 100: 1, 200: 0, 300: 0, 400: members - 1, 600: 0 };
    return { id, realm: realm.id, event_time: Date.now() / 1000, backfilled: false, event_type: 101, extra_data: { 10: { 11: humans, 12: 0 } } };
  }

  /** A registration that a phone has sealed, in the 12.x dialect. */
  addSealedDevice(realm: Realm, phone: Phone, bouncerKey: string, more: Fields = {}): Promise<Answer> {
    return this.form('push/e2ee/register', {
      realm_uuid: realm.uuid, token_id: phone.tokenId, encrypted_push_registration: phone.sealed(bouncerKey), bouncer_public_key: bouncerKey, ...more,
    });
  }

  notifySealed(realm: Realm, requests: object[]): Promise<Answer> {
    return this.json('push/e2ee/notify', { realm_uuid: realm.uuid, push_requests: requests });
  }
}

/** A realm as an upload writes it. */
export function reported(realm: Realm): object {
  return {
    ...realm, url: `https://${realm.host}`, org_type: 0, date_created: 1_600_000_000, deactivated: false, is_system_bot_realm: false, authentication_methods: { Email: true },
  };
}

/** A phone with an app of the newer kind: it seals its token, and only it can read what it gets. */
export class Phone {
  kind: 'apns' | 'fcm';
  token: string;
  appId = 'org.zulip.Zulip';
  pushKeyId: number = randomBytes(4).readUInt32BE();
  pushKey: Buffer = randomBytes(32);

  constructor(kind: 'apns' | 'fcm', token?: string) {
    this.kind = kind;
    this.token = token ?? (kind === 'apns' ? randomBytes(32).toString('hex') : `fcm:${randomBytes(24).toString('base64url')}`);
  }

  get tokenId(): string {
    return tokenId(this.token);
  }

  /** The registration, sealed for the bouncer's key. */
  sealed(bouncerKey: string, more: Fields = {}): string {
    const text = JSON.stringify({
      token: this.token, token_kind: this.kind, ios_app_id: this.kind === 'apns' ? this.appId : null, timestamp: Math.floor(Date.now() / 1000), ...more,
    });
    return seal(Buffer.from(bouncerKey, 'base64'), Buffer.from(text)).toString('base64');
  }

  /** An element of `push_requests`, as the user's server makes it. */
  request(message: object = { type: 'test' }): object {
    const nonce = randomBytes(24);
    const encrypted = Buffer.concat([nonce, secretbox(this.pushKey, nonce, Buffer.from(JSON.stringify(message)))]).toString('base64');
    const payload = { push_key_id: this.pushKeyId, encrypted_data: encrypted };
    if (this.kind === 'fcm') return { token_id: this.tokenId, fcm_priority: 'high', payload };
    return {
      token_id: this.tokenId,
      http_headers: { apns_priority: 10, apns_push_type: 'alert' },
      payload: { ...payload, aps: { 'mutable-content': 1, alert: { title: 'New notification' } } },
    };
  }
}
