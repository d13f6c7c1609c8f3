//! Providers: who carries a notification the last mile, and what their answers mean.
//!
//! | file | rules |
//! | --- | --- |
//! | `fcm` | Firebase Cloud Messaging, HTTP v1 |
//! | `apns` | Apple Push Notification service, provider tokens |
//! | `web` | Web Push: RFC 8030 and 8292 |
//! | `encryption` | Web Push: RFC 8188 and 8291 |
//! | `key` | P-256 keys of ours |
//! | `legacy` | what the legacy path changes in a notification |
//! | `retry` | when a send is tried again, and when no more |
//! | `breaker` | when a provider is left alone for a while |
//!
//! Every answer becomes a [`Verdict`]. A token is dropped only where the answer says that this very token is dead; all
//! other trouble is ours or the provider's, and keeps it. Delivery is at least once: an answer that is lost leaves open
//! whether the notification was sent, so that whoever wants one copy gives a collapse key.

pub mod apns;
pub mod breaker;
pub mod encryption;
pub mod fcm;
pub mod key;
pub mod legacy;
pub mod retry;
pub mod web;

use crate::kernel::errand::Failure;
use crate::kernel::time::Timestamp;

/// Who carries a notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Apple Push Notification service.
    Apns,
    /// Firebase Cloud Messaging.
    Fcm,
    /// A browser's or distributor's push service.
    WebPush,
}

/// What an answer means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The provider has taken it.
    Delivered,
    /// The token is dead. With a time, only a token that was registered before it is: see [`Verdict::kills`].
    Dead {
        /// Since when, where the provider says so.
        since: Option<Timestamp>,
    },
    /// Our credentials have expired: get new ones and try once more.
    Renew,
    /// Later, perhaps: see [`retry`].
    Retry {
        /// Not before so long from now, where the provider says so. Units: milliseconds.
        after_ms: Option<u64>,
        /// Which delay to begin with.
        base: RetryBase,
    },
    /// Never, as it is. The token is kept.
    Refused(Refusal),
}

impl Verdict {
    /// The verdict on a request that nobody answered.
    #[must_use]
    pub const fn unanswered(failure: Failure) -> Self {
        match failure {
            Failure::TimedOut | Failure::Unreachable | Failure::Other => {
                Self::Retry { after_ms: None, base: RetryBase::Network }
            }
            Failure::Untrusted => Self::Refused(Refusal::Misconfigured),
            Failure::TooLarge => Self::Refused(Refusal::Unexpected),
        }
    }

    /// The verdict of a second try, with new credentials: that they have expired too means that they are wrong.
    #[must_use]
    pub const fn once_renewed(self) -> Self {
        match self {
            Self::Renew => Self::Refused(Refusal::Misconfigured),
            Self::Delivered | Self::Dead { .. } | Self::Retry { .. } | Self::Refused(_) => self,
        }
    }

    /// Whether a token that was registered at `registered` is to be dropped.
    #[must_use]
    pub fn kills(self, registered: Timestamp) -> bool {
        match self {
            Self::Dead { since } => since.is_none_or(|since| registered <= since),
            Self::Delivered | Self::Renew | Self::Retry { .. } | Self::Refused(_) => false,
        }
    }
}

/// What stood in the way of a send that may be tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryBase {
    /// No answer.
    Network,
    /// The provider's own trouble, 5xx.
    Server,
    /// Too many requests, 429.
    Quota,
}

/// Why a send is not tried again although the token lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Our keys, project, topic or URL are wrong: an operator must act.
    Misconfigured,
    /// The token belongs to another sender's app.
    OtherSender,
    /// The notification is too long.
    TooLarge,
    /// The notification, or the way we ask, is malformed.
    Malformed,
    /// An answer that we do not know.
    Unexpected,
}

impl Refusal {
    /// A word for logs and metrics.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Misconfigured => "misconfigured",
            Self::OtherSender => "other_sender",
            Self::TooLarge => "too_large",
            Self::Malformed => "malformed",
            Self::Unexpected => "unexpected",
        }
    }
}
