// The floor's analytics: the form and its JSON texts parsed by the platform, a statement per row in one transaction, the
// newest headcount of each organization and three marks. It checks neither order nor shape.

export const TABLES = `
  CREATE TABLE IF NOT EXISTS realm_count (
    count_id INTEGER PRIMARY KEY AUTOINCREMENT, remote_id INTEGER NOT NULL, number INTEGER NOT NULL, property TEXT NOT NULL,
    end_time INTEGER NOT NULL, subgroup TEXT, value INTEGER NOT NULL) STRICT;
  CREATE UNIQUE INDEX IF NOT EXISTS realm_count_once ON realm_count (number, property, end_time, ifnull(subgroup, ''));
  CREATE TABLE IF NOT EXISTS installation_count (
    count_id INTEGER PRIMARY KEY AUTOINCREMENT, remote_id INTEGER NOT NULL, property TEXT NOT NULL,
    end_time INTEGER NOT NULL, subgroup TEXT, value INTEGER NOT NULL) STRICT;
  CREATE UNIQUE INDEX IF NOT EXISTS installation_count_once ON installation_count (property, end_time, ifnull(subgroup, ''));
  CREATE TABLE IF NOT EXISTS realm_audit (
    audit_id INTEGER PRIMARY KEY AUTOINCREMENT, number INTEGER NOT NULL, remote_id INTEGER UNIQUE, event_time INTEGER NOT NULL,
    backfilled INTEGER NOT NULL, event_type INTEGER NOT NULL, extra TEXT NOT NULL) STRICT;
  CREATE INDEX IF NOT EXISTS realm_audit_by_number ON realm_audit (number, audit_id);
  CREATE TABLE IF NOT EXISTS realm (uuid TEXT PRIMARY KEY, number INTEGER NOT NULL, entry TEXT NOT NULL) WITHOUT ROWID, STRICT;
  CREATE TABLE IF NOT EXISTS headcount (number INTEGER PRIMARY KEY, people INTEGER NOT NULL) STRICT;
  CREATE TABLE IF NOT EXISTS mark (name TEXT PRIMARY KEY, last INTEGER NOT NULL) WITHOUT ROWID, STRICT;`;

const REALM_COUNT = "INSERT OR IGNORE INTO realm_count VALUES (NULL, ?, ?, ?, ?, ?, ?)";
const INSTALLATION_COUNT = "INSERT OR IGNORE INTO installation_count VALUES (NULL, ?, ?, ?, ?, ?)";
const AUDIT = "INSERT OR IGNORE INTO realm_audit VALUES (NULL, ?, ?, ?, ?, ?, ?)";
const MARKS = ["last_realm_count_id", "last_installation_count_id", "last_realmauditlog_id"];

const ms = (seconds) => Math.round(seconds * 1000);

/** Keeps an upload; the answer's `realms`. */
export function upload(storage, form) {
  const { sql } = storage;
  const list = (name) => JSON.parse(form.get(name) ?? "[]");
  const [counts, totals, audit] = [list("realm_counts"), list("installation_counts"), list("realmauditlog_rows")];
  const realms = list("realms");
  storage.transactionSync(() => {
    for (const { id, realm, property, end_time, subgroup, value } of counts) {
      sql.exec(REALM_COUNT, id, realm, property, ms(end_time), subgroup, value);
    }
    for (const { id, property, end_time, subgroup, value } of totals) {
      sql.exec(INSTALLATION_COUNT, id, property, ms(end_time), subgroup, value);
    }
    const people = new Map();
    for (const { id, realm, event_time, backfilled, event_type, extra_data } of audit) {
      sql.exec(AUDIT, realm, id, ms(event_time), Number(backfilled), event_type, JSON.stringify(extra_data ?? {}));
      const humans = extra_data?.[10]?.[11];
      if (humans) people.set(realm, humans[100] + humans[200] + humans[300] + humans[400] + humans[600]);
    }
    for (const [number, count] of people) sql.exec("INSERT OR REPLACE INTO headcount VALUES (?, ?)", number, count);
    for (const { uuid, id, ...more } of realms) sql.exec("INSERT OR REPLACE INTO realm VALUES (?, ?, ?)", uuid, id, JSON.stringify(more));
    for (const [at, rows] of [counts, totals, audit].entries()) {
      if (rows.length > 0) sql.exec("INSERT OR REPLACE INTO mark VALUES (?, ?)", MARKS[at], rows.at(-1).id);
    }
  });
  return Object.fromEntries(realms.map(({ uuid }) => [uuid, mayPush(sql, uuid)]));
}

/** How far the three tables are. */
export function status(sql) {
  const known = Object.fromEntries(sql.exec("SELECT name, last FROM mark").raw());
  return Object.fromEntries(MARKS.map((name) => [name, known[name] ?? 0]));
}

/** The newest headcount against what is free. */
export function mayPush(sql, uuid) {
  const [counted] = sql.exec("SELECT people FROM headcount WHERE number = (SELECT number FROM realm WHERE uuid = ?)", uuid);
  return { can_push: (counted?.people ?? 0) <= 1_000_000, expected_end_timestamp: null };
}
