//! Why an operator's wish is refused.

use super::plan::PlanError;
use super::role::Role;

/// What is wrong with a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Where: a JSON Pointer (RFC 6901); empty for the whole body.
    pub pointer: String,
    /// What, as the caller reads it after the pointer.
    pub detail: String,
}

/// The reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OperationError {
    /// Whoever calls is no operator.
    NotOperator,
    /// The operator's role does not reach.
    Forbidden {
        /// The least that does.
        needed: Role,
    },
    /// The body is no JSON.
    NotJson,
    /// The body is not what it must be.
    Body(Mistake),
    /// A query parameter cannot be read.
    Query(&'static str),
    /// There is no such server.
    NoServer,
    /// There is no such organization.
    NoRealm,
    /// There is no such token.
    NoToken,
    /// There is no such billing user.
    NoUser,
    /// The plan cannot be so.
    Plan(PlanError),
    /// It is deactivated already.
    AlreadyDeactivated,
    /// It is active.
    AlreadyActive,
    /// The registration is removed, or being so.
    Removed,
    /// The organization's secret is another.
    WrongSecret,
    /// The organization is there already.
    SameServer,
    /// The organization has a live plan.
    LivePlan,
    /// The organization's registration is deactivated already.
    RealmDeactivated,
    /// The organization's registration is active.
    RealmActive,
    /// The organization is moving already.
    MoveUnderWay,
    /// The move is over; another may be under way.
    MoveOver,
    /// There are as many as there may be.
    Full,
    /// The signature is missing or wrong.
    Signature,
}

impl OperationError {
    /// What the caller reads.
    #[must_use]
    pub fn sentence(&self) -> String {
        match self {
            Self::NotOperator => String::from("Unauthorized"),
            Self::Forbidden { needed } => format!("This needs the role {}", needed.word()),
            Self::NotJson => String::from("The body is not valid JSON"),
            Self::Body(Mistake { pointer, detail }) if pointer.is_empty() => {
                format!("The body is not valid: it {detail}")
            }
            Self::Body(Mistake { pointer, detail }) => format!("The body is not valid: {pointer} {detail}"),
            Self::Query(name) => format!("The query parameter {name} is not valid"),
            Self::NoServer => String::from("There is no such server"),
            Self::NoRealm => String::from("There is no such organization"),
            Self::NoToken => String::from("There is no such token"),
            Self::NoUser => String::from("There is no such billing user"),
            Self::Plan(error) => error.sentence(),
            Self::AlreadyDeactivated => String::from("The server is deactivated already"),
            Self::AlreadyActive => String::from("The server is active"),
            Self::Removed => String::from("The registration was removed"),
            Self::WrongSecret => String::from("The organization's owner secret is another"),
            Self::SameServer => String::from("The organization is on that server already"),
            Self::LivePlan => String::from("The organization has a live plan; end it first"),
            Self::RealmDeactivated => String::from("The organization's registration is deactivated already"),
            Self::RealmActive => String::from("The organization's registration is active"),
            Self::MoveUnderWay => String::from("A move of the organization is under way"),
            Self::MoveOver => String::from("That move is over"),
            Self::Full => String::from("There are as many as there may be"),
            Self::Signature => String::from("The signature is missing, wrong or too old"),
        }
    }
}

impl From<PlanError> for OperationError {
    fn from(error: PlanError) -> Self {
        Self::Plan(error)
    }
}
