//! How an event of parties ends early: with an answer in the original's words, or with a fault.

use crate::kernel::fault::Fault;
use crate::kernel::object::{Answer, Call, Principal};
use crate::kernel::operation::Operation;
use crate::kernel::reply::Reply;
use crate::parties::wire::problem::{Invalid, invalid};

/// Why an event ends early. All kinds travel through `?`.
#[derive(Debug)]
pub(super) enum Stop {
    /// The caller is told.
    Refused(Reply),
    /// The shell is told, and the object is rebuilt.
    Fault(Fault),
}

impl From<Reply> for Stop {
    fn from(reply: Reply) -> Self {
        Self::Refused(reply)
    }
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<Vec<Invalid>> for Stop {
    fn from(wrong: Vec<Invalid>) -> Self {
        Self::Refused(invalid(&wrong))
    }
}

/// Whether a call is one that only objects of ours make, and was made by somebody else.
pub(super) const fn is_intruding(call: &Call) -> bool {
    use Operation as O;
    let is_internal = matches!(
        call.operation,
        O::PartyAdmit
            | O::PartyClaim
            | O::PartyRelease
            | O::PartyHolds
            | O::PartyMembership
            | O::PartyDeliver
            | O::PartyCensus
    );
    is_internal && !matches!(call.principal, Principal::Service)
}

/// The answer to a call.
///
/// Errors: the fault itself.
pub(super) fn settle<T: Into<Answer>>(outcome: Result<T, Stop>) -> Result<Answer, Fault> {
    match outcome {
        Ok(answer) => Ok(answer.into()),
        Err(Stop::Refused(reply)) => Ok(Answer::Now(reply)),
        Err(Stop::Fault(fault)) => Err(fault),
    }
}
