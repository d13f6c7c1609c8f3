//! What is kept with a visiting socket over hibernation, as ASCII text without spaces.
//!
//! Limits: at most [`PART_CHARS_MAX`] characters: a device id of 128, a ticket of 10, three times of 16, and marks.

use std::rc::Rc;

use crate::attestation::visitor::{Asked, Pass, Step, Visitor};
use crate::kernel::errand::Ticket;
use crate::kernel::fault::Fault;
use crate::kernel::time::Timestamp;

/// The longest part. Units: characters.
pub const PART_CHARS_MAX: usize = 200;

/// Members separated by commas, which no device id holds; none at the end that say nothing.
pub(in crate::attestation) fn encode_part(visitor: &Visitor) -> String {
    let Visitor { came_at, device_id, pass, asked } = visitor;
    let pass = pass.map_or_else(|| String::from(","), |pass| format!("{},{}", pass.tier, pass.expires_at.as_millis()));
    let asked = asked.map_or_else(String::new, |Asked { ticket, step, at }| {
        let step = match step {
            Step::Challenge => 'c',
            Step::Verdict => 'v',
        };
        format!("{step},{},{}", ticket.0, at.as_millis())
    });
    let text = format!("{},{},{pass},{asked}", came_at.as_millis(), device_id.as_deref().unwrap_or_default());
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
    visitor.device_id = members.next().filter(|id| !id.is_empty()).map(Rc::from);
    let tier = members.next().filter(|tier| !tier.is_empty());
    let expires_at = members.next().filter(|time| !time.is_empty());
    visitor.pass = match (tier, expires_at) {
        (None, None) => None,
        (tier, expires_at) => Some(Pass { tier: tier?.parse().ok()?, expires_at: time(expires_at?)? }),
    };
    visitor.asked = match members.next() {
        None => None,
        Some(step) => Some(Asked {
            step: match step {
                "c" => Step::Challenge,
                "v" => Step::Verdict,
                _ => return None,
            },
            ticket: Ticket(members.next()?.parse().ok()?),
            at: time(members.next()?)?,
        }),
    };
    members.next().is_none().then_some(visitor)
}

#[cfg(test)]
mod tests {
    use super::{PART_CHARS_MAX, decode_part, encode_part};
    use crate::attestation::visitor::{Asked, Pass, Step, Visitor};
    use crate::kernel::errand::Ticket;
    use crate::kernel::time::{SAFE_INTEGER_MAX, Timestamp};
    use std::rc::Rc;

    #[test]
    fn every_visitor_comes_back_as_it_was_and_the_largest_is_bounded() {
        let late = Timestamp::from_millis(SAFE_INTEGER_MAX);
        let mut longest = 0;
        for device_id in [None, Some(Rc::from("d".repeat(128)))] {
            for pass in [None, Some(Pass { tier: 2, expires_at: late })] {
                for step in [None, Some(Step::Challenge), Some(Step::Verdict)] {
                    let asked = step.map(|step| Asked { ticket: Ticket(u32::MAX), step, at: late });
                    let visitor = Visitor { came_at: late, device_id: device_id.clone(), pass, asked };
                    let part = encode_part(&visitor);
                    longest = longest.max(part.len());
                    assert_eq!(decode_part(&part), Ok(visitor), "{part}");
                }
            }
        }
        assert!(longest <= PART_CHARS_MAX && longest > PART_CHARS_MAX - 10, "{longest}");
        assert_eq!(decode_part(""), Ok(Visitor::new(Timestamp::EPOCH)));
    }

    #[test]
    fn a_damaged_part_is_a_fault_and_not_a_guess() {
        for text in ["x", ",d", "5,d,1", "5,d,,6", "5,d,x,6", "5,,,,q,1,2", "5,,,,c,1", "5,,,,c,-1,2", "5,,,,c,1,2,3"] {
            assert!(decode_part(text).is_err(), "{text}");
        }
    }
}
