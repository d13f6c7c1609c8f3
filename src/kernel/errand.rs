//! What an object asks of somebody else: another object of this service, or a server on the Internet.
//!
//! An object never waits inside an event. It names an errand with a [`Ticket`]; the shell runs it after the event's
//! commit, and what came of it arrives as an event of its own. Whatever must survive a crash in between is a row that an
//! alarm finds, because the errand itself is only in memory.

use std::borrow::Cow;

use super::object::Call;
use super::operation::Class;
use super::reply::Reply;
use super::secret::Secret;

/// One errand, or one deferred answer, among those that an object has under way. The object chooses the number, and
/// may use it again when it is done with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u32);

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Errand {
    /// A call of another object. Notes for further objects are followed, as at the front.
    Call {
        /// Its class.
        class: Class,
        /// Its name.
        name: String,
        /// The call.
        call: Box<Call>,
    },
    /// An HTTP request to the outside. Redirects are not followed.
    Fetch(Box<Fetch>),
    /// A signature by the platform's own cryptography: RSASSA-PKCS1-v1_5 with SHA-256.
    SignRs256 {
        /// The private key, PKCS#8 in PEM.
        key: Secret,
        /// What is signed.
        message: Vec<u8>,
    },
}

/// An HTTP request to the outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetch {
    /// The method, in capitals.
    pub method: &'static str,
    /// The absolute URL. Who takes it from a client must have checked it.
    pub url: String,
    /// Headers; values without line breaks.
    pub headers: Vec<(Cow<'static, str>, String)>,
    /// The body; empty for none.
    pub body: Vec<u8>,
    /// How long to wait for the whole answer. Units: milliseconds.
    pub timeout_ms: u32,
    /// The longest body that is read; a longer one is [`Failure::TooLarge`]. Units: bytes.
    pub answer_bytes_max: u32,
}

/// What came of an errand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The other object's answer.
    Replied(Reply),
    /// The other server's answer, whatever its status.
    Fetched(Fetched),
    /// The signature.
    Signed(Vec<u8>),
    /// There is no answer, or the key is none.
    Failed(Failure),
}

/// The answer of a server on the Internet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// The status; 3xx too, because redirects are not followed.
    pub status: u16,
    /// Headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Fetched {
    /// The value of a header, named in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// Why there is no answer. Whether the request arrived is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// Nobody answered in time.
    TimedOut,
    /// No such host, no connection, or it broke.
    Unreachable,
    /// The TLS certificate is not to be trusted.
    Untrusted,
    /// The answer is longer than asked for.
    TooLarge,
    /// The other object failed, or something else.
    Other,
}

impl Failure {
    /// From the word by which the shell's JavaScript names it.
    #[must_use]
    pub fn parse(word: &str) -> Self {
        match word {
            "timed_out" => Self::TimedOut,
            "unreachable" => Self::Unreachable,
            "untrusted" => Self::Untrusted,
            "too_large" => Self::TooLarge,
            _ => Self::Other,
        }
    }
}
