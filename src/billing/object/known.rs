//! What a call learns while it waits, from question to question.

use crate::billing::mail::Permit;
use crate::kernel::errand::Outcome;
use crate::push::contact::{Lookup, RecordType};
use crate::push::wire::resolver;

/// What has been asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Question {
    /// May the network have one more letter?
    Permit,
    /// Does the domain name system have this record for the address's domain?
    Domain(RecordType),
}

/// What a call has learned so far, and what it has asked. The host keeps it while the call waits.
#[derive(Debug, Clone, Default)]
pub struct Known {
    pub(super) permit: Permit,
    pub(super) lookups: Vec<Lookup>,
    asked: Option<Question>,
}

impl Known {
    /// The same, with a question under way.
    pub(super) fn asking(&self, question: Question) -> Self {
        Self { asked: Some(question), ..self.clone() }
    }

    /// The same, with the answer. A resolver's silence is an answer.
    #[must_use]
    pub fn told(mut self, outcome: &Outcome) -> Self {
        match self.asked.take() {
            Some(Question::Permit) => self.permit = super::counter::permit(outcome),
            Some(Question::Domain(record)) => self.lookups.push(resolver::parse_answer(outcome, record)),
            None => {}
        }
        self
    }
}
