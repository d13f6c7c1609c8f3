//! Why a request is refused, in this dialect's terms. The sentences and codes are in `wire::envelope`.

use super::operate::OperationError;
use super::provider::legacy::LegacyError;
use super::upload::UploadError;

/// Where in a request a value stands.
///
/// Shape: `realms[0]["org_type"]`: the variable's name, then keys and indices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place(pub String);

impl Place {
    /// The variable itself.
    #[must_use]
    pub fn of(name: &str) -> Self {
        Self(name.to_owned())
    }

    /// A member of the object at this place.
    #[must_use]
    pub fn key(&self, key: &str) -> Self {
        Self(format!("{}[\"{key}\"]", self.0))
    }

    /// An element of the list at this place.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        Self(format!("{}[{index}]", self.0))
    }
}

/// What a value must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Expected {
    Integer,
    Text,
    List,
    Object,
    Boolean,
    Float,
}

/// What is wrong with a parameter. Source: section 1.3 of the dialect.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the sentences in wire::envelope say it")]
pub enum ParameterError {
    Missing(String),
    NotJson(String),
    MalformedJson,
    MalformedPayload,
    Type(Place, Expected),
    MissingKey(Place),
    ExtraKey { key: String, at: Place },
    TooLong { name: String, max: usize },
    NotLength { name: String, length: usize },
    Format(String),
    NotAllowed(String),
    Value { at: Place, reason: String },
}

/// What is wrong with a contact address.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the sentences in wire::envelope say it")]
pub enum EmailError {
    Syntax,
    Disposable,
    Example,
    NoMail { domain: String },
    NoDomain { domain: String },
}

/// What went wrong when a host was asked for its verification secret.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the sentences in wire::envelope say it")]
pub enum TransferError {
    NothingPrepared,
    Status(u16),
    Tls,
    Connection,
    TimedOut,
    Other,
    Unreadable,
    SecretMalformed,
    SecretForged,
    SecretExpired,
    SecretForOther,
}

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the sentences in wire::envelope say it")]
pub enum Refusal {
    Parameter(ParameterError),
    // Credentials.
    NoAuthorization,
    BadAuthorization,
    NotBasic,
    UserKey,
    NotRegistered {
        username: String,
    },
    WrongKey {
        uuid: String,
    },
    Deactivated,
    /// Units: milliseconds.
    RateLimited {
        retry_after_ms: u64,
    },
    // Registration.
    HostnameParts {
        hostname: String,
    },
    HostnameInvalid {
        hostname: String,
    },
    Email(EmailError),
    InvalidUuid,
    RegisterWrongKey {
        uuid: String,
    },
    RegisterDeactivated,
    HostnameTaken {
        hostname: String,
    },
    NotYetRegistered {
        hostname: String,
    },
    RegistrationNotFound,
    TransferLimit,
    Transfer(TransferError),
    // Devices.
    TokenType,
    TokenLength,
    ApnsToken,
    MissingAppId,
    MissingUser,
    RealmWithoutUser,
    TooManyDevices,
    WebSubscription,
    NoSuchToken,
    UnknownDevice,
    ForeignRealm,
    UnknownRealm,
    DuplicateRealm,
    // Uploads.
    Upload(UploadError),
    // Plans.
    LivePlan,
    // Operators.
    Operation(OperationError),
    // Sending.
    Legacy(LegacyError),
    BasePayload,
    KindMismatch {
        place: Place,
    },
    NotAllowedOld,
    NotAllowed {
        message: String,
    },
    QueueFull,
    // Sealed registrations.
    SealedKey,
    Sealed,
    SealedExpired,
    // Ourselves.
    NotConfigured {
        setting: &'static str,
    },
    Busy,
    NotFound,
}

impl From<ParameterError> for Refusal {
    fn from(error: ParameterError) -> Self {
        Self::Parameter(error)
    }
}

impl From<UploadError> for Refusal {
    fn from(error: UploadError) -> Self {
        match error {
            UploadError::TooManyRows { retry_after_ms } => Self::RateLimited { retry_after_ms },
            error => Self::Upload(error),
        }
    }
}

impl From<OperationError> for Refusal {
    fn from(error: OperationError) -> Self {
        Self::Operation(error)
    }
}

impl From<TransferError> for Refusal {
    fn from(error: TransferError) -> Self {
        Self::Transfer(error)
    }
}
