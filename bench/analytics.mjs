// Analytics: uploads of up to 10,000 rows per table in the shapes and the encoding of the real client, how far the tables
// are, and the decision whether a server may push, with ever more audit rows.
import { randomBytes, randomUUID } from "node:crypto";
import { Connection, request } from "./client/http.mjs";
import { bursts } from "./measure.mjs";
import { drive, form, good, registered } from "./push.mjs";

/** What the real client sends of one table at most. */
export const ROWS = 10_000;
/** Rows that one server uploads before another takes its place; we take a million a day. */
const ROWS_PER_SERVER = 900_000;
const REALMS = 10;
export const ALL_TABLES = ["realm_counts", "installation_counts", "realmauditlog_rows"];

/** Nothing is asked of FCM or the domain name system. */
export const SETTINGS = {
  PUSH_TRANSFER_KEY: "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
  PUSH_RATE_LIMIT: "10000/1",
  PUSH_FREE_USERS_MAX: "1000000",
  DNS_QUERY_URL: "",
};

/** What a server counts, by property and subgroup. */
const SERIES = [
  ...["true", "false"].map((isBot) => ["messages_sent:is_bot:hour", isBot]),
  ...["public_stream", "private_stream", "private_message", "huddle_message"].map((type) => ["messages_sent:message_type:day", type]),
  ...Array.from({ length: 40 }, (_, client) => ["messages_sent:client:day", String(client + 1)]),
  ...["true", "false"].map((isBot) => ["active_users_audit:is_bot:day", isBot]),
  ...["messages_read::hour", "messages_read_interactions::hour", "upload_quota_used_bytes::day"].map((property) => [property, null]),
  ...["1day_actives::day", "7day_actives::day", "15day_actives::day", "realm_active_humans::day"].map((property) => [property, null]),
].map(([property, subgroup]) => ({ property, subgroup: JSON.stringify(subgroup) }));

const HOUR_S = 3_600;
/** Counts begin two hundred days ago, so that the age of none is a reason to remove it. */
const BEGAN_S = HOUR_S * Math.floor(Date.now() / 3_600_000 - 200 * 24);

/** Rows as the client writes them: no spaces, and times as floats. No two are of the same series and time. */
const ROW_OF = {
  realm_counts: (id) => {
    const { property, subgroup } = SERIES[id % SERIES.length];
    const realm = 2 + (Math.floor(id / SERIES.length) % REALMS);
    const end = BEGAN_S + HOUR_S * Math.floor(id / SERIES.length / REALMS);
    return `{"property":"${property}","realm":${realm},"id":${id},"end_time":${end}.0,"subgroup":${subgroup},"value":${id % 977}}`;
  },
  installation_counts: (id) => {
    const { property, subgroup } = SERIES[id % SERIES.length];
    const end = BEGAN_S + HOUR_S * Math.floor(id / SERIES.length);
    return `{"property":"${property}","id":${id},"end_time":${end}.0,"subgroup":${subgroup},"value":${id % 977}}`;
  },
  realmauditlog_rows: (id) => {
    const time = `${BEGAN_S + 10 * id}.${String(id % 1e6).padStart(6, "0")}`;
    const humans = `{"11":{"100":1,"200":2,"300":0,"400":${10 + (id % 90)},"600":${id % 7}},"12":3}`;
    // A role in five changes, which says which; otherwise somebody comes, or goes and returns.
    const [type, extra] = id % 5 === 0 ? [105, `{"1":400,"2":600,"10":${humans}}`] : [101 + (id % 4), `{"10":${humans}}`];
    const realm = 2 + (id % REALMS);
    return `{"id":${id},"realm":${realm},"event_time":${time},"backfilled":false,"extra_data":${extra},"event_type":${type}}`;
  },
};

/** A server with organizations that are known. */
class Reporter {
  #next = Object.fromEntries(ALL_TABLES.map((table) => [table, 1]));
  #server;
  sent = 0;

  static async registered(server, connection) {
    const reporter = new Reporter();
    reporter.#server = server;
    reporter.connection = connection;
    reporter.headers = await registered(server, connection);
    reporter.uuids = Array.from({ length: REALMS }, () => randomUUID());
    reporter.realms = JSON.stringify(reporter.uuids.map(realm));
    await good(server, connection, reporter.upload({}));
    return reporter;
  }

  /** The bytes of the next upload, with so many rows of each table that is named. */
  upload(rows) {
    const table = (name) => {
      const first = this.#next[name];
      const count = rows[name] ?? 0;
      this.#next[name] += count;
      this.sent += count;
      return `[${Array.from({ length: count }, (_, index) => ROW_OF[name](first + index)).join(",")}]`;
    };
    const tables = Object.fromEntries(ALL_TABLES.map((name) => [name, table(name)]));
    const about = { realms: this.realms, version: '"12.0"', merge_base: '"12.0"', api_feature_level: "477" };
    return form("server/analytics", { ...tables, ...about }, this.headers);
  }

  /** That the server has got as far as it was sent. */
  async check() {
    await good(this.#server, this.connection, this.status());
    const [, body] = this.connection.answer.split("\r\n\r\n");
    const { last_realm_count_id, last_installation_count_id, last_realmauditlog_id } = JSON.parse(body);
    const got = [last_realm_count_id, last_installation_count_id, last_realmauditlog_id];
    const sent = ALL_TABLES.map((name) => this.#next[name] - 1);
    if (String(got) !== String(sent)) throw new Error(`${this.#server.name} has rows up to ${got}, not ${sent}`);
  }

  status() {
    return request("GET", "/api/v1/remotes/server/analytics/status", { headers: this.headers });
  }
}

const realm = (uuid, index) => ({
  id: 2 + index,
  host: `realm${index}.zulip.test`,
  url: `https://realm${index}.zulip.test`,
  name: `Organization ${index}`,
  org_type: 10,
  date_created: 1_600_000_000.5,
  deactivated: false,
  is_system_bot_realm: false,
  authentication_methods: { Email: true, LDAP: false, Google: true, GitHub: true, SAML: false, "OpenID Connect": false },
  uuid,
  uuid_owner_secret: randomBytes(32).toString("hex"),
});

/** Uploads of `ROWS` rows of each of `tables`, one after the other; writing them is not measured. */
export async function uploads(server, tables) {
  const connection = await Connection.open(server.port);
  const rows = Object.fromEntries(tables.map((name) => [name, ROWS]));
  let reporter = await Reporter.registered(server, connection);
  const prepare = async () => {
    if (reporter.sent >= ROWS_PER_SERVER) reporter = await Reporter.registered(server, connection);
    const upload = reporter.upload(rows);
    run.bytes = upload.length;
    return async (done) => {
      const began = performance.now();
      await good(server, connection, upload);
      done(performance.now() - began);
    };
  };
  const run = async (ms) => {
    const result = await bursts(server.pid, ms, prepare);
    await reporter.check();
    return result;
  };
  return run;
}

/** `GET server/analytics/status` of a server that has uploaded rows of every table. */
export async function statuses(server) {
  const connection = await Connection.open(server.port);
  const reporter = await Reporter.registered(server, connection);
  await good(server, connection, reporter.upload(Object.fromEntries(ALL_TABLES.map((name) => [name, 100]))));
  await reporter.check();
  connection.close();
  const bytes = reporter.status();
  return drive({ status: () => bytes }, "status");
}

/** Notifications to somebody without devices, in an organization of a server that has uploaded `count` audit rows. */
export async function permissions(server, count) {
  const connection = await Connection.open(server.port);
  const reporter = await Reporter.registered(server, connection);
  for (let left = count; left > 0; left -= ROWS) {
    await good(server, connection, reporter.upload({ realmauditlog_rows: Math.min(left, ROWS) }));
  }
  await reporter.check();
  connection.close();
  const body = { user_id: 1, realm_uuid: reporter.uuids[0], gcm_payload: { event: "message", content: "Hello" }, gcm_options: { priority: "high" } };
  const bytes = request("POST", "/api/v1/remotes/push/notify", { headers: reporter.headers, body });
  const run = drive({ notify: () => bytes }, "notify");
  return (ms) => run(server, ms);
}
