//! An organization moves to another server: what servers make of a move's messages, and what the directory asks for next.
//!
//! A move has a number, and numbers of one organization only grow. First the new server takes the organization in, then the
//! old one lets it go, then the name changes hands; each step is asked for until it is answered. Whatever is lost, repeated or
//! late in between, a message of an older move than the newest that a server has heard of changes nothing there.

use crate::kernel::time::Timestamp;

/// How long the new server is asked to take an organization in; then the move is undone. Units: milliseconds; an hour.
pub const ASKED_FOR_MS: u64 = 3_600_000;

/// What is being asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The new server shall take the organization in.
    Adopt,
    /// The old server shall let it go.
    Drop,
    /// The new server shall let it go again.
    Undo,
}

impl Phase {
    /// The word in storage.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Adopt => "adopt",
            Self::Drop => "drop",
            Self::Undo => "undo",
        }
    }

    /// From the word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Adopt, Self::Drop, Self::Undo].into_iter().find(|phase| phase.word() == word)
    }
}

/// What came of asking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is done.
    Done,
    /// The server will not.
    Refused,
    /// Nothing that says whether it is done.
    Silence,
}

/// What follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Something else is asked for.
    Ask(Phase),
    /// The name changes hands.
    Finish,
    /// Everything is as it was.
    Forget,
    /// The same is asked for again, later.
    Wait,
}

/// Decides what follows an answer to the `attempts`th question of a phase.
#[must_use]
pub const fn decide_next(phase: Phase, verdict: Verdict, attempts: u32) -> Next {
    match (phase, verdict) {
        (Phase::Adopt, Verdict::Done) => Next::Ask(Phase::Drop),
        // It was asked once and refused: there is nothing to undo.
        (Phase::Adopt, Verdict::Refused) if attempts <= 1 => Next::Forget,
        (Phase::Adopt | Phase::Drop, Verdict::Refused) => Next::Ask(Phase::Undo),
        (Phase::Drop, Verdict::Done) => Next::Finish,
        (Phase::Undo, Verdict::Done) => Next::Forget,
        (Phase::Undo, Verdict::Refused) | (_, Verdict::Silence) => Next::Wait,
    }
}

/// The phase to ask for when the time has come again.
#[must_use]
pub const fn decide_again(phase: Phase, begun: Timestamp, now: Timestamp) -> Phase {
    match phase {
        Phase::Adopt if now.since(begun) >= ASKED_FOR_MS => Phase::Undo,
        phase => phase,
    }
}

/// What a server has heard of an organization's moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heard {
    /// The newest one's number.
    pub move_number: u64,
    /// What it did.
    pub effect: Effect,
}

/// What a move did here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It brought the organization.
    Came,
    /// It took it away, or was undone.
    Went,
}

/// Whether a server has an organization.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Held {
    Yes,
    No,
}

/// What a server does when an organization shall come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// It takes it in.
    TakeIn,
    /// It has it already, and notes the move.
    Note,
    /// It did so before.
    Repeated,
    /// The move is over.
    Stale,
}

/// Decides on an arrival.
#[must_use]
pub fn decide_arrival(heard: Option<&Heard>, move_number: u64, held: Held) -> Arrival {
    let known = heard.filter(|heard| heard.move_number >= move_number);
    match (known, held) {
        (None, Held::No) => Arrival::TakeIn,
        (None, Held::Yes) => Arrival::Note,
        (Some(Heard { move_number: newest, effect: Effect::Came }), Held::Yes) if *newest == move_number => {
            Arrival::Repeated
        }
        (Some(_), _) => Arrival::Stale,
    }
}

/// What a server does when an organization shall go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Departure {
    /// It lets it go.
    LetGo,
    /// It did so before, or has heard of a newer move since.
    Stale,
}

/// Decides on a departure.
#[must_use]
pub fn decide_departure(heard: Option<&Heard>, move_number: u64) -> Departure {
    match heard {
        Some(heard) if heard.move_number > move_number => Departure::Stale,
        Some(heard) if heard.move_number == move_number && heard.effect == Effect::Went => Departure::Stale,
        _ => Departure::LetGo,
    }
}

#[cfg(test)]
mod tests {
    use super::{
        ASKED_FOR_MS, Arrival, Departure, Effect, Heard, Held, Next, Phase, Verdict, decide_again, decide_arrival,
        decide_departure, decide_next,
    };
    use crate::kernel::time::Timestamp;

    #[test]
    fn every_step_of_a_move() {
        for (phase, verdict, attempts, next) in [
            (Phase::Adopt, Verdict::Done, 1, Next::Ask(Phase::Drop)),
            (Phase::Adopt, Verdict::Refused, 1, Next::Forget),
            (Phase::Adopt, Verdict::Refused, 2, Next::Ask(Phase::Undo)),
            (Phase::Adopt, Verdict::Silence, 1, Next::Wait),
            (Phase::Drop, Verdict::Done, 1, Next::Finish),
            (Phase::Drop, Verdict::Refused, 1, Next::Ask(Phase::Undo)),
            (Phase::Drop, Verdict::Silence, 9, Next::Wait),
            (Phase::Undo, Verdict::Done, 1, Next::Forget),
            (Phase::Undo, Verdict::Refused, 1, Next::Wait),
            (Phase::Undo, Verdict::Silence, 1, Next::Wait),
        ] {
            assert_eq!(decide_next(phase, verdict, attempts), next, "{phase:?} {verdict:?} {attempts}");
        }
    }

    #[test]
    fn only_the_question_that_changes_nothing_is_given_up() {
        let begun = Timestamp::from_millis(5);
        assert_eq!(decide_again(Phase::Adopt, begun, begun.plus(ASKED_FOR_MS - 1)), Phase::Adopt);
        assert_eq!(decide_again(Phase::Adopt, begun, begun.plus(ASKED_FOR_MS)), Phase::Undo);
        for phase in [Phase::Drop, Phase::Undo] {
            assert_eq!(decide_again(phase, begun, begun.plus(99 * ASKED_FOR_MS)), phase);
            assert_eq!(Phase::parse(phase.word()), Some(phase));
        }
    }

    #[test]
    fn older_messages_change_nothing_and_each_counts_once() {
        let heard = |effect| Some(Heard { move_number: 5, effect });
        for (known, number, held, arrival, departure) in [
            (None, 1, Held::No, Arrival::TakeIn, Departure::LetGo),
            (None, 1, Held::Yes, Arrival::Note, Departure::LetGo),
            (heard(Effect::Came), 4, Held::Yes, Arrival::Stale, Departure::Stale),
            (heard(Effect::Came), 5, Held::Yes, Arrival::Repeated, Departure::LetGo),
            (heard(Effect::Came), 5, Held::No, Arrival::Stale, Departure::LetGo),
            (heard(Effect::Came), 6, Held::Yes, Arrival::Note, Departure::LetGo),
            (heard(Effect::Went), 4, Held::No, Arrival::Stale, Departure::Stale),
            (heard(Effect::Went), 5, Held::No, Arrival::Stale, Departure::Stale),
            (heard(Effect::Went), 5, Held::Yes, Arrival::Stale, Departure::Stale),
            (heard(Effect::Went), 6, Held::No, Arrival::TakeIn, Departure::LetGo),
        ] {
            assert_eq!(decide_arrival(known.as_ref(), number, held), arrival, "{known:?} {number} {held:?}");
            assert_eq!(decide_departure(known.as_ref(), number), departure, "{known:?} {number}");
        }
    }
}
