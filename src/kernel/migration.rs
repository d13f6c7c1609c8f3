//! Schema versions of one object, embedded from `migrations/<object>/` and applied by the object itself at start.

use super::fault::Fault;
use super::sql::{Row, Sql, Statement};
use super::time::Timestamp;

/// One step of an object's schema. Never edited after release.
#[derive(Debug, Clone, Copy)]
pub struct Migration {
    /// 1, 2, 3, … without gaps: the number the file name begins with.
    pub version: u32,
    /// The file name without number and ending.
    pub name: &'static str,
    /// One or more statements, separated by `;` at the end of a line.
    pub sql: &'static str,
}

const HISTORY: &str = "CREATE TABLE IF NOT EXISTS schema_version \
    (version INTEGER PRIMARY KEY, name TEXT NOT NULL, applied_at INTEGER NOT NULL) STRICT";
const HISTORY_EXISTS: &str = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'schema_version'";
const NEWEST: &str = "SELECT coalesce(max(version), 0) FROM schema_version";
const RECORD: &str = "INSERT INTO schema_version (version, name, applied_at) VALUES (?1, ?2, ?3)";

/// The version the database is at; 0 before the first migration.
pub fn schema_version(sql: &dyn Sql) -> Result<u32, Fault> {
    let exists = single(&sql.read(Statement::plain(HISTORY_EXISTS))?)?;
    if exists == 0 {
        return Ok(0);
    }
    let newest = single(&sql.read(Statement::plain(NEWEST))?)?;
    u32::try_from(newest).map_err(|_| Fault::Corrupt(String::from("schema version out of range")))
}

fn single(rows: &[Row]) -> Result<u64, Fault> {
    rows.first().ok_or_else(|| Fault::Corrupt(String::from("no row where one is certain")))?.unsigned(0)
}

/// Brings the database from whatever version it is at to the newest of `migrations`, in one transaction. Without any
/// migrations it leaves the database alone: the object sees to its schema itself, by [`steps`].
///
/// Errors: [`Fault::Storage`] when a step fails (then nothing has changed); [`Fault::Corrupt`] when the database is
/// newer than this build, which therefore refuses to touch it.
pub fn migrate(sql: &dyn Sql, migrations: &'static [Migration], now: Timestamp) -> Result<(), Fault> {
    if migrations.is_empty() {
        return Ok(());
    }
    sql.commit(steps(sql, migrations, now)?)
}

/// The statements that bring the database to the newest of `migrations`, for an object that begins to exist with its first
/// commit.
///
/// Errors: [`Fault::Corrupt`] as [`migrate`].
pub fn steps(sql: &dyn Sql, migrations: &'static [Migration], now: Timestamp) -> Result<Vec<Statement>, Fault> {
    let current = schema_version(sql)?;
    let newest = migrations.last().map_or(0, |migration| migration.version);
    if current > newest {
        return Err(Fault::Corrupt(format!("schema version {current} is newer than this build's {newest}")));
    }
    let mut batch = Vec::new();
    for migration in migrations.iter().filter(|migration| migration.version > current) {
        if batch.is_empty() {
            batch.push(Statement::plain(HISTORY));
        }
        batch.extend(statements(migration.sql).map(Statement::plain));
        let record = vec![migration.version.into(), migration.name.into(), now.into()];
        batch.push(Statement::new(RECORD, record));
    }
    Ok(batch)
}

/// The statements of a migration file: pieces that end with `;` at the end of a line, comments kept inside.
fn statements(file: &'static str) -> impl Iterator<Item = &'static str> {
    file.split(";\n")
        .map(str::trim)
        .filter(|piece| piece.lines().any(|line| !line.trim_start().starts_with("--") && !line.trim().is_empty()))
}

#[cfg(test)]
mod tests {
    use super::statements;

    #[test]
    fn a_file_splits_at_line_ends_only() {
        let file = "-- a note\nCREATE TABLE a (b TEXT DEFAULT ';') STRICT;\n\nCREATE INDEX c ON a (b);\n-- the end\n";
        assert_eq!(statements(file).count(), 2);
    }
}
