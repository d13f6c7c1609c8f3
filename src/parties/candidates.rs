//! Which relays suit a pair of peers, best first.
//!
//! Source: the selector of parties 3.4. Its quality of a relay for a peer is not defined there; here it falls evenly
//! from 100 at 0 ms to 0 at 300 ms, the selector's own scale of latencies, and is 50 where the peer reported none.

use std::collections::BTreeMap;

/// Relays of which a peer may report a latency.
pub const LATENCIES_MAX: usize = 64;

/// The longest latency that is kept. Units: milliseconds.
pub const LATENCY_MS_MAX: u32 = 60_000;

/// Peers that relays are ordered for at once.
pub const PEERS_MAX: usize = 2;

/// Characters of a relay's id.
pub const RELAY_ID_CHARS_MAX: usize = 128;

/// What one peer measured. Units: milliseconds by relay id.
pub type Latencies = BTreeMap<String, u32>;

/// Where a latency gives no quality at all. Units: milliseconds.
const WORST_MS: f64 = 300.0;
const UNKNOWN_QUALITY: f64 = 50.0;
const FOREIGN_PENALTY_MS: f64 = 35.0;
const HOME_BONUS: f64 = 5.0;
const FULL_LOAD: f64 = 0.9;
const FULL_FACTOR: f64 = 0.4;

/// What the order depends on.
#[derive(Debug, Clone, PartialEq)]
pub struct Relay {
    /// Its id.
    pub relay_id: String,
    /// Where it is.
    pub region: String,
    /// 0 to 100.
    pub health: f64,
    /// 0 to 1.
    pub load: f64,
    /// Whether it takes no new peers.
    pub draining: Draining,
}

/// Whether a relay takes new peers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Draining {
    No,
    Yes,
}

/// A relay's place.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rank {
    /// Higher is better.
    pub score: f64,
    /// From peer to peer over the relay, if all of them measured it. Units: milliseconds.
    pub latency_ms: Option<u32>,
}

/// The place of a relay for peers who measured `latencies`, in a preferred region or none.
#[must_use]
pub fn rank(relay: &Relay, latencies: &[&Latencies], home: Option<&str>) -> Rank {
    let measured = || latencies.iter().map(|peer| peer.get(&relay.relay_id).copied());
    let quality =
        |ms: Option<u32>| ms.map_or(UNKNOWN_QUALITY, |ms| 100.0 * (1.0 - (f64::from(ms) / WORST_MS).min(1.0)));
    let product: f64 = measured().map(quality).product();
    let count = i32::try_from(latencies.len().max(1)).unwrap_or(1);
    let quality = if latencies.is_empty() { UNKNOWN_QUALITY } else { product.powf(1.0 / f64::from(count)) };
    let load = relay.load.clamp(0.0, 1.0);
    let mut score = (0.7 * quality + 0.3 * relay.health.clamp(0.0, 100.0)) * (1.0 - load);
    if load >= FULL_LOAD {
        score *= FULL_FACTOR;
    }
    match home {
        Some(home) if home == relay.region => score += HOME_BONUS,
        Some(_) => score *= (1.0 - FOREIGN_PENALTY_MS / WORST_MS).max(0.5),
        None => {}
    }
    let latency_ms = measured().try_fold(0_u32, |sum, ms| ms.map(|ms| sum.saturating_add(ms)));
    Rank { score, latency_ms: latency_ms.filter(|_| !latencies.is_empty()) }
}

/// All relays with their places, best first; those that take no new peers last.
#[must_use]
pub fn order<'a>(relays: &'a [Relay], latencies: &[&Latencies], home: Option<&str>) -> Vec<(&'a Relay, Rank)> {
    let mut ranked: Vec<_> = relays.iter().map(|relay| (relay, rank(relay, latencies, home))).collect();
    ranked.sort_by(|(left, left_rank), (right, right_rank)| {
        let drained = left.draining.cmp(&right.draining);
        let score = right_rank.score.total_cmp(&left_rank.score);
        drained.then(score).then_with(|| left.relay_id.cmp(&right.relay_id))
    });
    ranked
}

#[cfg(test)]
mod tests {
    use super::{Draining, Latencies, Relay, order, rank};

    fn relay(relay_id: &str) -> Relay {
        let region = String::from("eu");
        Relay { relay_id: relay_id.to_owned(), region, health: 100.0, load: 0.0, draining: Draining::No }
    }

    fn ms(pairs: &[(&str, u32)]) -> Latencies {
        pairs.iter().map(|(relay, ms)| ((*relay).to_owned(), *ms)).collect()
    }

    fn names(relays: &[Relay], latencies: &[&Latencies], home: Option<&str>) -> Vec<String> {
        order(relays, latencies, home).iter().map(|(relay, _)| relay.relay_id.clone()).collect()
    }

    #[test]
    fn the_score_is_the_selectors() {
        let (a, b) = (ms(&[("r", 30)]), ms(&[("r", 120)]));
        let found = rank(&Relay { load: 0.5, ..relay("r") }, &[&a, &b], None);
        // Qualities 90 and 60, mean 73.48; (0.7 * 73.48 + 30) * 0.5.
        assert!((found.score - 40.718).abs() < 0.01, "{found:?}");
        assert_eq!(found.latency_ms, Some(150));
        let full = rank(&Relay { load: 0.9, ..relay("r") }, &[&a, &b], None);
        assert!((full.score - 3.257).abs() < 0.01, "{full:?}");
    }

    #[test]
    fn what_is_near_to_both_beats_what_is_near_to_one() {
        let (a, b) = (ms(&[("one", 5), ("both", 60)]), ms(&[("one", 290), ("both", 70)]));
        assert_eq!(names(&[relay("one"), relay("both")], &[&a, &b], None), ["both", "one"]);
    }

    #[test]
    fn health_load_region_and_draining_count() {
        let sick = Relay { health: 10.0, ..relay("a") };
        let busy = Relay { load: 0.95, ..relay("b") };
        let far = Relay { region: String::from("us"), ..relay("c") };
        let closing = Relay { draining: Draining::Yes, ..relay("d") };
        let good = relay("e");
        let all = [sick, busy, far, closing, good];
        assert_eq!(names(&all, &[], Some("eu")), ["e", "c", "a", "b", "d"]);
        assert_eq!(names(&all, &[], Some("us")).first().map(String::as_str), Some("c"));
    }

    #[test]
    fn equals_stand_in_the_order_of_their_ids() {
        assert_eq!(names(&[relay("b"), relay("a"), relay("c")], &[], None), ["a", "b", "c"]);
    }

    #[test]
    fn nonsense_in_a_list_does_not_harm() {
        let nonsense = Relay { health: f64::NAN, load: f64::INFINITY, ..relay("x") };
        assert_eq!(order(&[nonsense, relay("y")], &[], None).len(), 2);
    }
}
