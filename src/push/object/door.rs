//! Who is an operator: what the front settles before it passes a call to one of this room's objects.

use crate::kernel::json::to_json;
use crate::kernel::object::{Call, Principal};
use crate::kernel::operation::{Class, Operation};
use crate::kernel::reply::Reply;
use crate::push::operate::OperationError;
use crate::push::refusal::Refusal;
use crate::push::role::{Operator, ShownToken, needed};
use crate::push::wire::index::{Admit, Admitted};
use crate::push::wire::operator::refused;

/// What is known of a caller without asking an object.
#[derive(Debug, Clone, PartialEq)]
pub enum Admission {
    /// Nothing is missing: the caller is known, or the call is no operator's.
    Settled,
    /// This object must be asked whose token it is.
    Ask {
        /// The token, to remember the answer by.
        token: String,
        /// The question, for the object [`OPERATORS`] of [`ASKED`].
        question: Box<Call>,
    },
    /// The caller is refused.
    Refused(Reply),
}

/// The class of the object that judges tokens.
pub const ASKED: Class = Class::PushDirectory;

/// The object that judges tokens.
pub const OPERATORS: &str = "operators";

fn stranger(call: &Call) -> Reply {
    refused(&Refusal::Operation(OperationError::NotOperator), &call.request_id)
        .with_header("WWW-Authenticate", "Bearer")
}

/// What is still to be asked about a caller. The holder of the service's secret is [`Principal::Operator`] already.
///
/// Errors, as [`Admission::Refused`]: 401.
#[must_use]
pub fn admission(call: &Call) -> Admission {
    if needed(call.operation).is_none() || call.principal == Principal::Operator {
        return Admission::Settled;
    }
    let bearer = call.authorization.as_deref().and_then(|header| {
        let (scheme, token) = header.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(token)
    });
    let token = call.bearer.as_deref().or(bearer).filter(|token| ShownToken::parse(token).is_some());
    let Some(token) = token else { return Admission::Refused(stranger(call)) };
    let Ok(body) = to_json(&Admit { token: token.to_owned() }) else { return Admission::Refused(stranger(call)) };
    let question = Call {
        operation: Operation::OperatorAdmit,
        principal: Principal::Service,
        params: Vec::new(),
        query: String::new(),
        bearer: None,
        authorization: None,
        caller: None,
        body: body.into_bytes(),
        ..call.clone()
    };
    Admission::Ask { token: token.to_owned(), question: Box::new(question) }
}

/// The operator whose token it is, from the answer to the question, if the role reaches for `call`.
///
/// Errors: the refusal for the caller.
pub fn admitted(reply: &Reply, call: &Call) -> Result<Operator, Reply> {
    if reply.status != 200 {
        return Err(stranger(call));
    }
    let admitted: Option<Admitted> = serde_json::from_str(&reply.body).ok();
    let operator = admitted.and_then(|admitted| Operator::parse(Some(&admitted.caller)));
    let operator = operator.ok_or_else(|| stranger(call))?;
    match needed(call.operation) {
        Some(needed) if operator.role < needed => {
            Err(refused(&Refusal::Operation(OperationError::Forbidden { needed }), &call.request_id))
        }
        _ => Ok(operator),
    }
}

/// The call of a known operator.
#[must_use]
pub fn of_operator(call: Call, operator: &Operator) -> Call {
    let caller = Some(operator.caller());
    Call { principal: Principal::Operator, caller, bearer: None, authorization: None, ..call }
}
