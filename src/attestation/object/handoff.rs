//! One request that two objects answer, one after the other.
//!
//! An object handles an event without asking another one. Where the answer needs a second object, the first commits its
//! part and answers with a note for the second; the front takes the note there. A client never sees one, and no route
//! leads to the operations that take them.

use crate::kernel::object::Call;
use crate::kernel::operation::{Class, Operation};
use crate::kernel::reply::Reply;

/// The header that makes an answer a note. Its value is an operation and the name of an object.
const NEXT: &str = "Waystation-Next";

/// Most notes for one request: registry, reference store, registry.
pub const HOPS_MAX: usize = 2;

/// The name of the one registry.
pub const REGISTRY: &str = "global";

/// What objects of [`Class::ReferenceStore`] are called before the reference's id; as in the route table.
pub const BUILD_PREFIX: &str = "build/";

/// Where a note goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// To the object with this build's file, to judge an answer.
    Judge(String),
    /// To the object of this build, to begin an upload.
    Begin(String),
    /// To the registry, to issue a session.
    Grant,
    /// To the registry, to count a complete file as a reference.
    Count,
}

/// An answer that is a note.
pub(super) fn hand_on(next: &Next, note: String) -> Reply {
    let value = match next {
        Next::Judge(id) => format!("judge {id}"),
        Next::Begin(id) => format!("begin {id}"),
        Next::Grant => String::from("grant"),
        Next::Count => String::from("count"),
    };
    Reply::json_text(note).with_header(NEXT, value)
}

/// The name of the object of a build.
pub(super) fn build_name(reference_id: &str) -> String {
    format!("{BUILD_PREFIX}{reference_id}")
}

/// The call that follows on `reply`, with the class and name of the object that it goes to; nothing when `reply` is the
/// answer. `call` is what `reply` answers.
#[must_use]
pub fn next_call(reply: &Reply, call: &Call) -> Option<(Class, String, Call)> {
    let (what, id) = reply.header(NEXT).map(|value| value.split_once(' ').unwrap_or((value, "")))?;
    let build = || (Class::ReferenceStore, build_name(id));
    let registry = || (Class::AttestationRegistry, REGISTRY.to_owned());
    let ((class, name), operation) = match what {
        "judge" => (build(), Operation::AttestJudge),
        "begin" => (build(), Operation::AttestBegin),
        "grant" => (registry(), Operation::AttestGrant),
        "count" => (registry(), Operation::AttestCount),
        _ => return None,
    };
    let body = reply.body.clone().into_bytes();
    Some((class, name, Call { operation, params: Vec::new(), query: String::new(), body, ..call.clone() }))
}
