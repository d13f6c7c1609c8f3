// Uploads of usage as a Zulip server makes them, and what an operator sees of them afterwards.

import assert from 'node:assert/strict';
import type { Answer } from '../service.ts';
import type { Bouncer } from './bouncer.ts';
import type { Fields, Realm, RemoteServer } from './client.ts';

export const ADMIN_SECRET = 'operator-secret-0123456789abcdef0';
export const OUT_OF_ORDER = 'Data is out of order.';
/** A real server sends no more of a table at once. */
export const ROWS_MAX = 10_000;

/** One of the properties that are kept. */
export const MESSAGES = 'messages_sent:is_bot:hour';
export const PROPERTIES = [
  MESSAGES, 'messages_sent:message_type:day', 'messages_sent:client:day', 'messages_in_stream:is_bot:day', 'ai_credit_usage::day',
  'active_users_audit:is_bot:day', 'upload_quota_used_bytes::day', 'messages_read::hour', 'messages_read_interactions::hour', '1day_actives::day',
  '7day_actives::day', '15day_actives::day', 'minutes_active::day', 'realm_active_humans::day',
];
/** Accepted, and not kept. */
export const UNKEPT = ['invites_sent::day', 'mobile_pushes_sent::day', 'active_users_log:is_bot:day', 'active_users:is_bot:day'];
export const RECEIVED = 'mobile_pushes_received::day';
export const FORWARDED = 'mobile_pushes_forwarded::day';
export const EVENTS = [101, 102, 103, 104, 105, 201, 202, 229, 725];

const HOUR = 3600;
/** The same for a whole run, also when the hour ends meanwhile. */
const THIS_HOUR = Math.floor(Date.now() / 1000 / HOUR) * HOUR;
/** A full hour before now; every number another. Units: seconds since 1970. */
export const hour = (n: number): number => THIS_HOUR - n * HOUR;

/** Members that are floats to a real server: they keep their point. */
const FLOATS = ['end_time', 'event_time', 'date_created'];

/** JSON as a real server writes it: without blanks, whole floats with `.0`. */
export function pythonJson(value: unknown): string {
  const text = JSON.stringify(value);
  assert.ok(text !== undefined, 'nothing to write');
  return text.replace(new RegExp(`"(${FLOATS.join('|')})":(-?\\d+)(?=[,}])`, 'g'), '"$1":$2.0');
}

export type CountRow = { property: string; realm?: number; id: number; end_time: number; subgroup: string | null; value: number };
export type AuditRow = { id: number; realm: number; event_time: number; backfilled: boolean; extra_data: unknown; event_type: number };

export function realmCount(id: number, realm: Realm, more: Partial<CountRow> = {}): CountRow {
  return { property: MESSAGES, realm: realm.id, id, end_time: hour(id), subgroup: 'false', value: id, ...more };
}

export function serverCount(id: number, more: Partial<CountRow> = {}): CountRow {
  return { property: MESSAGES, id, end_time: hour(id), subgroup: 'false', value: id, ...more };
}

/** How many people of each role, and bots. */
export type Heads = { owners?: number; admins?: number; moderators?: number; members?: number; guests?: number; bots?: number };

export function heads(of: Heads): object {
  const humans = { 100: of.owners ?? 0, 200: of.admins ?? 0, 300: of.moderators ?? 0, 400: of.members ?? 0, 600: of.guests ?? 0 };
  return { 10: { 11: humans, 12: of.bots ?? 0 } };
}

export function auditRow(id: number, realm: Realm, of: Heads = { owners: 1 }, more: Partial<AuditRow> = {}): AuditRow {
  return { id, realm: realm.id, event_time: Date.now() / 1000, backfilled: false, extra_data: heads(of), event_type: 101, ...more };
}

/** A realm as version 11 and later reports it. */
export function realmRow(realm: Realm, more: Fields = {}): Fields {
  return {
    id: realm.id, uuid: realm.uuid, uuid_owner_secret: realm.uuid_owner_secret, host: realm.host, url: `https://${realm.host}`, name: realm.name,
    org_type: 10, date_created: 1_600_000_000.25, deactivated: false, is_system_bot_realm: false,
    authentication_methods: { Google: true, Email: true, GitHub: false, LDAP: false }, ...more,
  };
}

/** The realm that every server has for its own bots. */
export function systemBotRealm(realm: Realm): Fields {
  return realmRow(realm, { host: `zulipinternal.${realm.host}`, name: 'System bot realm', org_type: 0, is_system_bot_realm: true });
}

/** The fields of an upload, in the order of a real one; what is undefined is left out. */
export function uploadFields(server: RemoteServer, more: Fields = {}): Fields {
  const fields: Fields = {
    realm_counts: [], installation_counts: [], realmauditlog_rows: [], realms: undefined,
    version: server.version, merge_base: server.version, api_feature_level: 450, ...more,
  };
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined).map(([name, value]) => [name, pythonJson(value)]));
}

/** An upload of a server of today. */
export function upload(server: RemoteServer, more: Fields = {}): Promise<Answer> {
  return server.form('server/analytics', uploadFields(server, more));
}

/** The realms that are reported, and nothing else: usage is not told anew. */
export function reportOnly(server: RemoteServer, realms: Fields[], more: Fields = {}): Promise<Answer> {
  return upload(server, { realms, realmauditlog_rows: undefined, ...more });
}

/** An upload that must be taken. */
export async function uploaded(server: RemoteServer, more: Fields = {}): Promise<Answer> {
  const answer = await upload(server, more);
  assert.equal(answer.status, 200, answer.text);
  return answer;
}

/** How far the tables are: counts of realms, counts of the server, audit rows. */
export async function marks(server: RemoteServer): Promise<[number, number, number]> {
  const { status, json, text } = await server.status();
  assert.equal(status, 200, text);
  return [json.last_realm_count_id, json.last_installation_count_id, json.last_realmauditlog_id];
}

/** A server's own tables, which grow, and what its hourly job does with them. */
export class Tables {
  server: RemoteServer;
  realm: Realm;
  realmCounts: CountRow[] = [];
  serverCounts: CountRow[] = [];
  audit: AuditRow[] = [];

  constructor(server: RemoteServer, realm: Realm) {
    this.server = server;
    this.realm = realm;
  }

  /** So many more rows in each table. */
  grow(rows: number): void {
    for (let i = 0; i < rows; i += 1) {
      const id = this.audit.length + 1;
      // Many subgroups of few hours: what is too old would not be kept.
      const of = { end_time: hour(id % 240), subgroup: String(Math.floor(id / 240)) };
      this.realmCounts.push(realmCount(id, this.realm, of));
      this.serverCounts.push(serverCount(id, { ...of, value: 2 * id }));
      this.audit.push(auditRow(id, this.realm, { owners: 1, members: id % 5 }));
    }
  }

  /** One run: what the bouncer has not acknowledged yet, of what there is up to a row. */
  async send(upTo = this.audit.length): Promise<Answer> {
    const [counts, own, audit] = await marks(this.server);
    const fresh = <T extends { id: number }>(rows: T[], mark: number): T[] => rows.slice(0, upTo).filter((row) => row.id > mark).slice(0, ROWS_MAX);
    return upload(this.server, {
      realm_counts: fresh(this.realmCounts, counts), installation_counts: fresh(this.serverCounts, own), realmauditlog_rows: fresh(this.audit, audit),
      realms: [realmRow(this.realm)],
    });
  }

  /** Everything up to a row stands there, once; rows after it do not. */
  async assertKept(operator: Operator, upTo = this.audit.length): Promise<void> {
    assert.deepEqual(await marks(this.server), [upTo, upTo, upTo]);
    assert.deepEqual(sorted(await operator.realmCounts(this.realm)), sorted(this.realmCounts.slice(0, upTo)));
    assert.deepEqual(sorted(await operator.serverCounts(this.server)), sorted(this.serverCounts.slice(0, upTo)));
    const rows = await operator.realmAudit(this.realm);
    assert.deepEqual(
      rows.filter((row) => row.remote_id !== null).map((row) => [row.remote_id, row.extra_data]),
      this.audit.slice(0, upTo).map((row) => [row.id, JSON.parse(JSON.stringify(row.extra_data))]),
    );
  }
}

/** Counts without their ids, by time and subgroup. */
export function sorted(rows: Count[]): Count[] {
  const bare = rows.map(({ property, subgroup, end_time, value }) => ({ property, subgroup, end_time, value }));
  return bare.sort((a, b) => a.end_time - b.end_time || (String(a.subgroup) < String(b.subgroup) ? -1 : 1));
}

export type Count = { property: string; subgroup: string | null; end_time: number; value: number };

/** An operator with the first secret. */
export class Operator {
  bouncer: Bouncer;

  constructor(bouncer: Bouncer) {
    this.bouncer = bouncer;
  }

  ask(method: string, path: string, body?: unknown): Promise<Answer> {
    return this.bouncer.service.ask(method, `/v1/push/${path}`, { headers: { Authorization: `Bearer ${ADMIN_SECRET}` }, body });
  }

  async done(method: string, path: string, body?: unknown): Promise<any> {
    const answer = await this.ask(method, path, body);
    assert.equal(answer.status, 200, `${method} ${path}: ${answer.text}`);
    return answer.json;
  }

  server(server: RemoteServer): Promise<any> {
    return this.done('GET', `servers/${server.uuid}`);
  }

  realm(realm: Realm): Promise<any> {
    return this.done('GET', `realms/${realm.uuid}`);
  }

  /** All pages of a list. */
  async all(path: string, member: string): Promise<any[]> {
    const rows: any[] = [];
    let after = '';
    for (;;) {
      const page = await this.done('GET', `${path}${path.includes('?') ? '&' : '?'}limit=200${after}`);
      rows.push(...page[member]);
      if (page.next === null) return rows;
      assert.ok(page[member].length > 0, 'a page without rows has no next');
      after = `&after=${encodeURIComponent(page.next)}`;
    }
  }

  realms(server: RemoteServer): Promise<any[]> {
    return this.all(`servers/${server.uuid}/realms`, 'realms');
  }

  serverCounts(server: RemoteServer, property = MESSAGES): Promise<Count[]> {
    return this.all(`servers/${server.uuid}/counts?property=${encodeURIComponent(property)}`, 'rows');
  }

  realmCounts(realm: Realm, property = MESSAGES): Promise<Count[]> {
    return this.all(`realms/${realm.uuid}/counts?property=${encodeURIComponent(property)}`, 'rows');
  }

  serverAudit(server: RemoteServer): Promise<any[]> {
    return this.all(`servers/${server.uuid}/audit`, 'rows');
  }

  realmAudit(realm: Realm): Promise<any[]> {
    return this.all(`realms/${realm.uuid}/audit`, 'rows');
  }

  /** What the bouncer itself wrote about a realm: event, data, the realm's id. */
  async realmEvents(realm: Realm): Promise<[number, any, number | null][]> {
    const rows = await this.realmAudit(realm);
    return rows.filter((row) => row.remote_id === null).map((row) => [row.event_type, row.extra_data, row.realm_id]);
  }

  planServer(server: RemoteServer, body: object): Promise<any> {
    return this.done('PUT', `servers/${server.uuid}/plan`, body);
  }

  planRealm(realm: Realm, body: object): Promise<any> {
    return this.done('PUT', `realms/${realm.uuid}/plan`, body);
  }

  /** Everything that an upload can change, to compare before and after. */
  async everything(server: RemoteServer, realms: Realm[]): Promise<object> {
    const { last_version, last_merge_base, last_api_feature_level, last_audit_log_update } = await this.server(server);
    const perRealm: object[] = [];
    for (const realm of realms) perRealm.push([await this.realmAudit(realm), await this.realmCounts(realm)]);
    const reported = (await this.realms(server)).map(({ last_request_datetime: _at, ...rest }) => rest);
    return {
      last_version, last_merge_base, last_api_feature_level, last_audit_log_update, marks: await marks(server), realms: reported, perRealm,
      counts: await this.serverCounts(server), audit: await this.serverAudit(server),
    };
  }
}
