//! What must not grow: the work of a registration with what is stored, of a relay list with the relays; and how evenly
//! a burst of askers is spread. Counted in rows and in steps of SQLite's machine, never in time.
#![allow(missing_docs, clippy::expect_used, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod relay_play;

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use rusqlite::StatementStatus;
use rusqlite::types::Value as Cell2;
use serde_json::json;
use waystation::kernel::entropy::{Entropy, SeededEntropy};
use waystation::kernel::fault::Fault;
use waystation::kernel::migration::migrate;
use waystation::kernel::object::{Action, Answer, Conn, Frame, Object, Opening, Turn};
use waystation::kernel::sql::{Row, Sql, Statement, Value};
use waystation::kernel::time::Timestamp;
use waystation::relay::peers::{Peer, Peers, Preference};
use waystation::relay::{MIGRATIONS, RelayRegistry};

/// A database that counts the steps of SQLite's machine, which a scan shows in.
struct Meter {
    connection: RefCell<rusqlite::Connection>,
    steps: Cell<u64>,
    statements: Cell<u64>,
}

impl Meter {
    fn run(&self, statement: &Statement) -> Vec<Row> {
        let connection = self.connection.borrow();
        let mut prepared = connection.prepare_cached(statement.sql).expect(statement.sql);
        prepared.reset_status(StatementStatus::VmStep);
        let columns = prepared.column_count();
        let params: Vec<Cell2> = statement.params.iter().map(to_sqlite).collect();
        let mut out = Vec::new();
        {
            let mut rows = prepared.query(rusqlite::params_from_iter(params)).unwrap();
            while let Some(row) = rows.next().unwrap() {
                out.push(Row((0..columns).map(|index| from_sqlite(row.get(index).unwrap())).collect()));
            }
        }
        let steps = u64::try_from(prepared.get_status(StatementStatus::VmStep)).unwrap();
        self.steps.set(self.steps.get() + steps);
        self.statements.set(self.statements.get() + 1);
        out
    }

    /// Steps, statements and rows written by `what`.
    fn measure(&self, what: impl FnOnce()) -> (u64, u64, u64) {
        let before = (self.steps.get(), self.statements.get(), self.connection.borrow().total_changes());
        what();
        let rows = self.connection.borrow().total_changes();
        (self.steps.get() - before.0, self.statements.get() - before.1, rows - before.2)
    }
}

fn to_sqlite(value: &Value) -> Cell2 {
    match value {
        Value::Null => Cell2::Null,
        Value::Integer(number) => Cell2::Integer(*number),
        Value::Real(number) => Cell2::Real(*number),
        Value::Text(text) => Cell2::Text(text.clone()),
        Value::Blob(bytes) => Cell2::Blob(bytes.clone()),
    }
}

fn from_sqlite(value: Cell2) -> Value {
    match value {
        Cell2::Null => Value::Null,
        Cell2::Integer(number) => Value::Integer(number),
        Cell2::Real(number) => Value::Real(number),
        Cell2::Text(text) => Value::Text(text),
        Cell2::Blob(bytes) => Value::Blob(bytes),
    }
}

impl Sql for Meter {
    fn read(&self, statement: Statement) -> Result<Vec<Row>, Fault> {
        Ok(self.run(&statement))
    }

    fn commit(&self, batch: Vec<Statement>) -> Result<(), Fault> {
        self.connection.borrow().execute_batch("BEGIN").unwrap();
        for statement in &batch {
            self.run(statement);
        }
        self.connection.borrow().execute_batch("COMMIT").unwrap();
        Ok(())
    }
}

struct Bench {
    meter: Meter,
    object: RelayRegistry,
    entropy: SeededEntropy,
    now: Timestamp,
    conns: u32,
}

impl Bench {
    fn new() -> Self {
        let meter = Meter {
            connection: RefCell::new(rusqlite::Connection::open_in_memory().unwrap()),
            steps: Cell::new(0),
            statements: Cell::new(0),
        };
        let now = Timestamp::from_millis(1_800_000_000_000);
        migrate(&meter, MIGRATIONS, now).unwrap();
        let settings = relay_play::support::settings(&[
            ("SIGNAL_MESSAGES_PER_MINUTE", "0"),
            ("SIGNAL_SOCKETS_PER_ADDRESS", "0"),
            ("SIGNAL_SOCKETS_MAX", "0"),
        ]);
        let object = RelayRegistry::load(Rc::clone(&settings), &meter, now, Vec::new()).unwrap();
        Self { meter, object, entropy: SeededEntropy::new(3), now, conns: 0 }
    }

    fn open(&mut self) -> Conn {
        self.conns += 1;
        let mut actions = Vec::new();
        let mut turn = Turn { now: self.now, entropy: &mut self.entropy, sql: &self.meter, actions: &mut actions };
        let opening = self.object.open(&mut turn, Conn(self.conns), &relay_play::upgrade()).unwrap();
        assert!(matches!(opening, Opening::Accept { .. }));
        Conn(self.conns)
    }

    fn say(&mut self, conn: Conn, frame: &str) -> Vec<Action> {
        let mut actions = Vec::new();
        let mut turn = Turn { now: self.now, entropy: &mut self.entropy, sql: &self.meter, actions: &mut actions };
        self.object.message(&mut turn, conn, Frame::Text(frame)).unwrap();
        actions
    }

    /// What one ordinary registration costs: 3 points and 6 tokens, of which one matches.
    fn registration(&mut self, round: usize) -> (u64, u64, u64) {
        let (one, two) = (self.open(), self.open());
        let frame = |who: &str| {
            let points: Vec<String> = (0..3).map(|index| format!("probe-{round}-{index}")).collect();
            let tokens: Vec<String> = (0..6).map(|index| format!("probe-{round}-{index}")).collect();
            json!({"type":"register_rendezvous","peerId":format!("{who}-{round}"),"daily_points":points,
                "hourly_tokens":tokens,"deadDrop":"x"})
            .to_string()
        };
        self.say(one, &frame("one"));
        let before = (self.meter.steps.get(), self.meter.statements.get());
        let rows = self.meter.connection.borrow().total_changes();
        self.say(two, &frame("two"));
        let after = self.meter.connection.borrow().total_changes();
        (self.meter.steps.get() - before.0, self.meter.statements.get() - before.1, after - rows)
    }

    fn fill(&mut self, from: usize, to: usize) {
        for peer in (from..to).step_by(1_000) {
            let conn = self.open();
            let tokens: Vec<String> = (peer..to.min(peer + 1_000)).map(|index| format!("hr_{index:040}")).collect();
            let (tokens, points) = tokens.split_at(tokens.len() / 2);
            let frame = json!({"type":"register_rendezvous","peerId":format!("filler-{peer}"),"deadDrop":"x",
                "hourlyTokens":tokens,"dailyPoints":points});
            let actions = self.say(conn, &frame.to_string());
            assert!(
                actions.iter().any(|action| matches!(action, Action::Send { text, .. } if text.contains("result")))
            );
        }
    }
}

#[test]
fn a_registration_costs_the_same_at_100_and_at_100_000_entries() {
    let mut bench = Bench::new();
    bench.fill(0, 100);
    let (steps, statements, rows) = bench.registration(1);
    assert_eq!((statements, rows), (4, 9), "two reads, two writes, a row for each entry");
    let mut stored = 100;
    for entries in [10_000, 100_000] {
        bench.fill(stored, entries);
        stored = entries;
        let (more_steps, more_statements, more_rows) = bench.registration(entries);
        assert_eq!((more_statements, more_rows), (statements, rows));
        assert!(more_steps * 10 <= steps * 12, "{more_steps} steps at {entries} entries, {steps} at 100");
    }
}

#[test]
fn leaving_and_sweeping_touch_only_what_they_end() {
    let mut bench = Bench::new();
    bench.fill(0, 20_000);
    let conn = bench.open();
    let frame = json!({"type":"register_rendezvous","peerId":"leaver","hourlyTokens":["a","b"],"dailyPoints":["c"]});
    bench.say(conn, &frame.to_string());
    let Bench { meter, object, entropy, now, .. } = &mut bench;
    let mut actions = Vec::new();
    let (steps, _, rows) = meter.measure(|| {
        let mut turn = Turn { now: *now, entropy, sql: meter, actions: &mut actions };
        object.closed(&mut turn, conn).unwrap();
    });
    assert_eq!(rows, 3);
    assert!(steps < 300, "{steps} steps to leave");
    let (_, _, rows) = meter.measure(|| {
        let mut turn = Turn { now: now.plus(10_800_000), entropy, sql: meter, actions: &mut actions };
        object.alarm(&mut turn).unwrap();
    });
    assert_eq!(rows, 1_000, "one bounded batch of the ten thousand expired tokens");
    assert_eq!(object.deadline(), Some(now.plus(10_800_000 + 1_000)), "and the next one soon");
}

#[test]
fn statistics_of_much_are_counted_twice_a_minute_however_often_they_are_asked_for() {
    let mut bench = Bench::new();
    bench.fill(0, 11_000);
    let call = relay_play::support::call(waystation::kernel::operation::Operation::RelayStats);
    let mut statements = Vec::new();
    for ms in [0, 1, 29_999, 30_000] {
        let now = bench.now.plus(ms);
        let Bench { meter, object, entropy, .. } = &mut bench;
        let mut actions = Vec::new();
        let (_, count, _) = meter.measure(|| {
            let mut turn = Turn { now, entropy, sql: meter, actions: &mut actions };
            let Answer::Now(reply) = object.call(&mut turn, &call).unwrap() else { panic!("put off") };
            assert_eq!(relay_play::support::body(&reply)["rendezvous"]["totalEntries"], 11_000);
        });
        statements.push(count);
    }
    assert_eq!(statements, [5, 0, 0, 5]);
}

/// Counts what is drawn: a shuffle of everybody would draw for everybody.
struct Counted(SeededEntropy, u64);

impl Entropy for Counted {
    fn fill(&mut self, bytes: &mut [u8]) {
        self.1 += 1;
        self.0.fill(bytes);
    }
}

fn relays(count: u32) -> Peers {
    let mut peers = Peers::default();
    for index in 0..count {
        let peer = Peer {
            peer_id: format!("relay-{index}").into(),
            public_key: None,
            connections_max: 1_000,
            connected: 0,
            last_seen: Timestamp::EPOCH,
        };
        peers.register(Conn(index), peer);
    }
    peers
}

#[test]
fn ten_relays_of_five_thousand_cost_what_ten_of_a_hundred_cost() {
    for count in [100, 5_000] {
        let mut peers = relays(count);
        let mut entropy = Counted(SeededEntropy::new(1), 0);
        let chosen = peers.choose((Timestamp::EPOCH, &mut entropy), None, 10, Preference::Shuffled).len();
        assert_eq!(chosen, 10);
        assert!(entropy.1 <= 12, "{} draws at {count} relays", entropy.1);
    }
}

#[test]
fn every_relay_is_named_equally_often() {
    let mut peers = relays(20);
    let mut entropy = SeededEntropy::new(5);
    let mut named = [0_u32; 20];
    for _ in 0..20_000 {
        for peer in peers.choose((Timestamp::EPOCH, &mut entropy), None, 5, Preference::Shuffled) {
            let index: usize = peer.peer_id.trim_start_matches("relay-").parse().unwrap();
            named[index] += 1;
        }
    }
    // 5,000 each; five standard deviations of a binomial are 306.
    assert!(named.iter().all(|count| (4_694..=5_306).contains(count)), "{named:?}");
}

/// Lets 100,000 askers go to one of 1,000 relays each within a minute, relays reporting every 30 s; max / mean of loads.
fn spread(preference: Preference) -> f64 {
    const RELAYS: u32 = 1_000;
    const ASKERS: u32 = 100_000;
    let mut peers = relays(RELAYS);
    let mut entropy = SeededEntropy::new(11);
    let mut loads = vec![0_u32; RELAYS as usize];
    for asker in 0..ASKERS {
        // A relay reports every 50,000 askers, which is every 30 s; who reports when is spread evenly.
        if asker % 50 == 0 {
            let reporter = asker / 50 % RELAYS;
            peers.load(Conn(reporter), loads[reporter as usize]);
        }
        let now = Timestamp::from_millis(u64::from(asker) * 60_000 / u64::from(ASKERS));
        let chosen = peers.choose((now, &mut entropy), None, 1, preference);
        let index: usize = chosen[0].peer_id.trim_start_matches("relay-").parse().unwrap();
        loads[index] += 1;
    }
    assert_eq!(loads.iter().sum::<u32>(), ASKERS);
    f64::from(loads.iter().copied().max().unwrap()) / (f64::from(ASKERS) / f64::from(RELAYS))
}

#[test]
fn a_burst_of_askers_is_spread_to_within_15_percent_of_the_mean() {
    let (balanced, seed) = (spread(Preference::Balanced), spread(Preference::Shuffled));
    println!("max/mean load of 1,000 relays after 100,000 askers: balanced {balanced:.3}, shuffled {seed:.3}");
    assert!(balanced <= 1.15, "balanced {balanced}");
    assert!(seed > balanced, "shuffled {seed}");
}
