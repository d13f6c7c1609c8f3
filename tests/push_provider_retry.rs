//! When a send is tried again, and when a provider is left alone.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use proptest::prelude::*;
use waystation::kernel::entropy::{Entropy, SeededEntropy};
use waystation::kernel::errand::Failure;
use waystation::kernel::time::Timestamp;
use waystation::push::provider::breaker::{Admission, Breaker, Health, OPEN_MS, WINDOW};
use waystation::push::provider::retry::{ATTEMPTS_MAX, Course, Next, next, parse_retry_after};
use waystation::push::provider::{Refusal, RetryBase, Verdict};

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);
const HOUR: u64 = 3_600_000;

/// Always the largest value that may be drawn.
struct Largest;

impl Entropy for Largest {
    fn fill(&mut self, bytes: &mut [u8]) {
        bytes.fill(0);
    }

    fn below(&mut self, bound: u32) -> u32 {
        bound.saturating_sub(1)
    }
}

const fn tried(attempts: u32) -> Course {
    Course { begun: NOW, ttl_ms: HOUR, attempts }
}

#[test]
fn delays_double_up_to_five_minutes() {
    for (base, limits) in [
        (RetryBase::Network, [1_000, 2_000, 4_000, 8_000]),
        (RetryBase::Server, [10_000, 20_000, 40_000, 80_000]),
        (RetryBase::Quota, [60_000, 120_000, 240_000, 300_000]),
    ] {
        for (attempts, limit) in (1..).zip(limits) {
            assert_eq!(next(&tried(attempts), base, None, NOW, &mut Largest), Next::At(NOW.plus(limit)), "{base:?}");
        }
    }
}

#[test]
fn delays_are_drawn_from_all_of_their_range() {
    let mut entropy = SeededEntropy::new(3);
    let mut quarters = [0; 4];
    for _ in 0..4_000 {
        let Next::At(at) = next(&tried(1), RetryBase::Server, None, NOW, &mut entropy) else { panic!("gave up") };
        quarters[usize::try_from(at.since(NOW) / 2_501).unwrap()] += 1;
    }
    assert!(quarters.iter().all(|count| (850..1_150).contains(count)), "{quarters:?}");
}

#[test]
fn the_fifth_attempt_is_the_last() {
    let mut entropy = SeededEntropy::new(1);
    assert_ne!(next(&tried(ATTEMPTS_MAX - 1), RetryBase::Network, None, NOW, &mut entropy), Next::GiveUp);
    assert_eq!(next(&tried(ATTEMPTS_MAX), RetryBase::Network, None, NOW, &mut entropy), Next::GiveUp);
    assert_eq!(ATTEMPTS_MAX, 5);
}

#[test]
fn a_send_is_given_up_with_its_worth_or_after_an_hour() {
    let at = |ttl_ms, after_ms| {
        let course = Course { begun: NOW, ttl_ms, attempts: 1 };
        next(&course, RetryBase::Network, Some(after_ms), NOW, &mut Largest)
    };
    assert_eq!(at(60_000, 60_000), Next::At(NOW.plus(60_000)));
    assert_eq!(at(60_000, 60_001), Next::GiveUp);
    assert_eq!(at(u64::MAX, HOUR), Next::At(NOW.plus(HOUR)));
    assert_eq!(at(u64::MAX, HOUR + 1), Next::GiveUp);
}

#[test]
fn retry_after_is_seconds_or_a_date() {
    for (text, ms) in [
        ("0", Some(0)),
        ("120", Some(120_000)),
        (" 7 ", Some(7_000)),
        ("Tue, 14 Nov 2023 22:14:20 GMT", Some(60_000)),
        ("Tue, 14 Nov 2023 22:13:19 GMT", Some(0)),
        ("99999999999999999999999", Some(u64::MAX)),
        ("", None),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
    ] {
        assert_eq!(parse_retry_after(text, NOW), ms, "{text}");
    }
}

proptest! {
    #[test]
    fn nothing_is_tried_before_retry_after_nor_after_its_time(
        seed: u64, attempts in 1_u32..8, after in proptest::option::of(0_u64..2 * HOUR), ttl in 0_u64..2 * HOUR,
        late in 0_u64..HOUR, base in prop_oneof![Just(RetryBase::Network), Just(RetryBase::Server), Just(RetryBase::Quota)],
    ) {
        let course = Course { begun: NOW, ttl_ms: ttl, attempts };
        let now = NOW.plus(late);
        if let Next::At(at) = next(&course, base, after, now, &mut SeededEntropy::new(seed)) {
            prop_assert!(at >= now.plus(after.unwrap_or(0)));
            prop_assert!(at <= course.ends());
            prop_assert!(at.since(now) <= after.unwrap_or(0).max(300_000));
            prop_assert!(attempts < ATTEMPTS_MAX);
        }
    }

    #[test]
    fn no_header_breaks_the_parser(text in ".{0,60}") {
        let _ = parse_retry_after(&text, NOW);
    }
}

fn play(breaker: &mut Breaker, now: Timestamp, ends: &[Health]) {
    for health in ends {
        let admission = breaker.admit(now);
        assert_eq!(admission, Admission::Go);
        breaker.record(now, admission, *health);
    }
}

const WAIT: Admission = Admission::Wait { until: Timestamp::from_millis(1_700_000_000_000 + OPEN_MS) };

#[test]
fn half_of_twenty_calls_open_the_breaker() {
    let mut breaker = Breaker::default();
    play(&mut breaker, NOW, &[Health::Well; 10]);
    play(&mut breaker, NOW, &[Health::Ill; 9]);
    assert_eq!(breaker.admit(NOW), Admission::Go, "9 of 19");
    play(&mut breaker, NOW, &[Health::Ill]);
    assert_eq!(breaker.admit(NOW), WAIT, "10 of 20");
}

#[test]
fn fewer_calls_or_fewer_failures_do_not() {
    let mut few = Breaker::default();
    play(&mut few, NOW, &[Health::Ill; 19]);
    assert_eq!(few.admit(NOW), Admission::Go, "19 calls say too little");

    let mut old = Breaker::default();
    play(&mut old, NOW, &[Health::Ill; 9]);
    for _ in 0..50 {
        play(&mut old, NOW, &[Health::Well; 11]);
        play(&mut old, NOW, &[Health::Ill; 9]);
    }
    assert_eq!(old.admit(NOW), Admission::Go, "45 % for ever");
    assert_eq!(WINDOW, 20);
}

fn opened() -> Breaker {
    let mut breaker = Breaker::default();
    play(&mut breaker, NOW, &[Health::Ill; 20]);
    breaker
}

#[test]
fn after_half_a_minute_one_probe_decides() {
    let later = NOW.plus(OPEN_MS);
    let mut healed = opened();
    assert_eq!(healed.admit(later.minus(1)), WAIT);
    assert_eq!(healed.admit(later), Admission::Probe);
    assert_eq!(healed.admit(later), Admission::Wait { until: later.plus(OPEN_MS) }, "one at a time");
    healed.record(later, Admission::Probe, Health::Well);
    assert_eq!(healed, Breaker::default(), "what was before counts no more");

    let mut ill = opened();
    assert_eq!(ill.admit(later), Admission::Probe);
    ill.record(later.plus(5), Admission::Probe, Health::Ill);
    assert_eq!(ill.admit(later.plus(6)), Admission::Wait { until: later.plus(5 + OPEN_MS) });
}

#[test]
fn calls_from_before_it_opened_do_not_close_it() {
    let mut breaker = opened();
    breaker.record(NOW, Admission::Go, Health::Well);
    assert_eq!(breaker.admit(NOW), WAIT);
    assert_eq!(breaker.admit(NOW.plus(OPEN_MS)), Admission::Probe);
    breaker.record(NOW.plus(OPEN_MS), Admission::Go, Health::Well);
    assert_ne!(breaker, Breaker::default());
}

#[test]
fn a_probe_that_never_ends_frees_the_next() {
    let mut breaker = opened();
    assert_eq!(breaker.admit(NOW.plus(OPEN_MS)), Admission::Probe);
    assert_eq!(breaker.admit(NOW.plus(2 * OPEN_MS)), Admission::Probe);
}

#[test]
fn only_outages_make_a_provider_ill() {
    let retry = |base| Verdict::Retry { after_ms: None, base };
    for verdict in [retry(RetryBase::Network), retry(RetryBase::Server)] {
        assert_eq!(Health::from(verdict), Health::Ill);
    }
    for verdict in [
        retry(RetryBase::Quota),
        Verdict::Delivered,
        Verdict::Dead { since: None },
        Verdict::Renew,
        Verdict::Refused(Refusal::Misconfigured),
    ] {
        assert_eq!(Health::from(verdict), Health::Well);
    }
}

#[test]
fn silence_is_tried_again_and_bad_certificates_are_not() {
    for failure in [Failure::TimedOut, Failure::Unreachable, Failure::Other] {
        assert_eq!(Verdict::unanswered(failure), Verdict::Retry { after_ms: None, base: RetryBase::Network });
    }
    assert_eq!(Verdict::unanswered(Failure::Untrusted), Verdict::Refused(Refusal::Misconfigured));
    assert_eq!(Verdict::unanswered(Failure::TooLarge), Verdict::Refused(Refusal::Unexpected));
}

#[test]
fn only_a_token_registered_before_it_died_is_dropped() {
    let dead = Verdict::Dead { since: Some(NOW) };
    assert!(dead.kills(NOW.minus(1)));
    assert!(dead.kills(NOW));
    assert!(!dead.kills(NOW.plus(1)));
    assert!(Verdict::Dead { since: None }.kills(NOW.plus(1)));
    assert!(!Verdict::Refused(Refusal::OtherSender).kills(NOW));
    assert!(!Verdict::Renew.kills(NOW));
}

#[test]
fn credentials_are_renewed_once() {
    assert_eq!(Verdict::Renew.once_renewed(), Verdict::Refused(Refusal::Misconfigured));
    for other in [Verdict::Delivered, Verdict::Dead { since: Some(NOW) }, Verdict::Refused(Refusal::TooLarge)] {
        assert_eq!(other.once_renewed(), other);
    }
}
