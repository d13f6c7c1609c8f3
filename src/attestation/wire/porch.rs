//! What is kept with a visiting socket over hibernation, as ASCII text without spaces.
//!
//! Limits: at most [`PART_CHARS_MAX`] characters: a device id of 128, two tickets of 10, five times of 16, and marks.

use std::rc::Rc;

use crate::attestation::visitor::{Asked, Doubt, Pass, Step, Visitor};
use crate::kernel::errand::Ticket;
use crate::kernel::fault::Fault;
use crate::kernel::time::Timestamp;

/// The longest part. Units: characters.
pub const PART_CHARS_MAX: usize = 245;

/// Members separated by commas, which no device id holds; none at the end that say nothing.
pub(in crate::attestation) fn encode_part(visitor: &Visitor) -> String {
    let Visitor { came_at, device_id, pass, asked, doubt } = visitor;
    let pass = pass.map_or_else(
        || String::from(",,"),
        |Pass { tier, expires_at, checked_at }| format!("{tier},{},{}", expires_at.as_millis(), checked_at.as_millis()),
    );
    let asked = asked.map_or_else(
        || String::from(",,"),
        |Asked { ticket, step, at }| {
            let step = match step {
                Step::Challenge => 'c',
                Step::Verdict => 'v',
            };
            format!("{step},{},{}", ticket.0, at.as_millis())
        },
    );
    let doubt = doubt.map_or_else(String::new, |Doubt { ticket, at }| format!("{},{}", ticket.0, at.as_millis()));
    let text = format!("{},{},{pass},{asked},{doubt}", came_at.as_millis(), device_id.as_deref().unwrap_or_default());
    text.trim_end_matches(',').to_owned()
}

/// What [`encode_part`] wrote. An empty part, as sockets have that came before attestation did, is one of long ago.
///
/// Errors: [`Fault::Corrupt`] when this code did not write it.
pub(in crate::attestation) fn decode_part(text: &str) -> Result<Visitor, Fault> {
    parse_part(text).ok_or_else(|| Fault::Corrupt(String::from("a visiting socket's attachment")))
}

fn parse_part(text: &str) -> Option<Visitor> {
    if text.is_empty() {
        return Some(Visitor::new(Timestamp::EPOCH));
    }
    let time = |text: &str| text.parse().ok().map(Timestamp::from_millis);
    let mut members = text.split(',');
    let mut visitor = Visitor::new(time(members.next()?)?);
    let mut next = || members.next().filter(|text| !text.is_empty());
    visitor.device_id = next().map(Rc::from);
    visitor.pass = match (next(), next(), next()) {
        (None, None, None) => None,
        (tier, expires_at, checked_at) => {
            let (expires_at, checked_at) = (time(expires_at?)?, time(checked_at?)?);
            Some(Pass { tier: tier?.parse().ok()?, expires_at, checked_at })
        }
    };
    let ticket = |text: &str| text.parse().ok().map(Ticket);
    visitor.asked = match (next(), next(), next()) {
        (None, None, None) => None,
        (step, number, at) => Some(Asked {
            step: match step? {
                "c" => Step::Challenge,
                "v" => Step::Verdict,
                _ => return None,
            },
            ticket: ticket(number?)?,
            at: time(at?)?,
        }),
    };
    visitor.doubt = match (next(), next()) {
        (None, None) => None,
        (number, at) => Some(Doubt { ticket: ticket(number?)?, at: time(at?)? }),
    };
    members.next().is_none().then_some(visitor)
}

#[cfg(test)]
mod tests {
    use super::{PART_CHARS_MAX, decode_part, encode_part};
    use crate::attestation::visitor::{Asked, Doubt, Pass, Step, Visitor};
    use crate::kernel::errand::Ticket;
    use crate::kernel::time::{SAFE_INTEGER_MAX, Timestamp};
    use std::rc::Rc;

    #[test]
    fn every_visitor_comes_back_as_it_was_and_the_largest_is_bounded() {
        let late = Timestamp::from_millis(SAFE_INTEGER_MAX);
        let mut longest = 0;
        for device_id in [None, Some(Rc::from("d".repeat(128)))] {
            for pass in [None, Some(Pass { tier: 2, expires_at: late, checked_at: late })] {
                for step in [None, Some(Step::Challenge), Some(Step::Verdict)] {
                    for doubt in [None, Some(Doubt { ticket: Ticket(u32::MAX), at: late })] {
                        let asked = step.map(|step| Asked { ticket: Ticket(u32::MAX), step, at: late });
                        let visitor = Visitor { came_at: late, device_id: device_id.clone(), pass, asked, doubt };
                        let part = encode_part(&visitor);
                        longest = longest.max(part.len());
                        assert_eq!(decode_part(&part), Ok(visitor), "{part}");
                    }
                }
            }
        }
        assert!(longest <= PART_CHARS_MAX && longest > PART_CHARS_MAX - 10, "{longest}");
        assert_eq!(decode_part(""), Ok(Visitor::new(Timestamp::EPOCH)));
    }

    #[test]
    fn a_damaged_part_is_a_fault_and_not_a_guess() {
        let damaged_asked =
            ["5,,,,,q,1,2", "5,,,,,c,1", "5,,,,,c,-1,2", "5,,,,,c,1,2,3", "5,,,,,,,,x,2", "5,,,,,,,,1,2,3"];
        let damaged_pass = ["5,d,1", "5,d,,6", "5,d,x,6,7", "5,d,1,6", "5,d,1,,7"];
        for text in ["x", ",d"].into_iter().chain(damaged_pass).chain(damaged_asked) {
            assert!(decode_part(text).is_err(), "{text}");
        }
    }
}
