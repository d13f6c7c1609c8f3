//! How an event ends early: with a refusal that the caller reads, or with a fault that nobody outside hears of.

use super::fault::Fault;
use super::reply::{Problem, Reply};

/// Why an event ends early. Both kinds travel through `?`.
#[derive(Debug, Clone, PartialEq)]
pub enum Stop {
    /// The caller is told.
    Refused(Problem),
    /// The shell is told, and the object is rebuilt.
    Fault(Fault),
}

impl<E: Into<Problem>> From<E> for Stop {
    fn from(refusal: E) -> Self {
        Self::Refused(refusal.into())
    }
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// The answer to a call: as it is, or a refusal in the service's own envelope.
///
/// Errors: the fault itself.
pub fn settle(outcome: Result<Reply, Stop>, request_id: &str) -> Result<Reply, Fault> {
    match outcome {
        Ok(reply) => Ok(reply),
        Err(Stop::Refused(problem)) => Ok(problem.into_reply(request_id)),
        Err(Stop::Fault(fault)) => Err(fault),
    }
}
