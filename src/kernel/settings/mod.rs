//! Settings and secrets, parsed once into types. Names, forms and defaults are a contract with operators.
//!
//! Source: the configuration table in `README.md`. An absent secret is [`None`] and closes what needs it; a malformed
//! value of any setting is a [`SettingProblem`] and closes everything but `/health`, because guessing is worse.

mod billing;
mod parse;
mod push;

use std::fmt;

use super::keys::SigningPair;
use super::secret::Secret;
pub use billing::{BillingSettings, MailWebhook};
pub use parse::{Lookup, parse};
pub use push::{ApnsKey, FcmAccount, PushRate, PushSettings, RegistrationKey, VapidKey};

/// Where the service runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Environment {
    /// Real users. Development conveniences are refused.
    Production,
    /// A rehearsal with production's rules.
    Qa,
    /// One developer's machine.
    Development,
}

/// What is logged: everything at least as grave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the names say it")]
pub enum LogLevel {
    Debug,
    Info,
    Warning,
    Error,
}

/// Browser origins that may call us.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Origins {
    any: bool,
    exact: Vec<String>,
    any_port: Vec<String>,
}

impl Origins {
    /// The list as written in `ALLOWED_ORIGINS`: origins separated by commas; `*` alone for any; `:*` for any port.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut origins = Self::default();
        for entry in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
            if entry == "*" {
                origins.any = true;
            } else if let Some(host) = entry.strip_suffix(":*") {
                origins.any_port.push(host.to_ascii_lowercase());
            } else if entry.contains("://") && !entry.ends_with('/') {
                origins.exact.push(entry.to_ascii_lowercase());
            } else {
                return None;
            }
        }
        Some(origins)
    }

    /// Whether a page of `origin` may call us.
    #[must_use]
    pub fn allows(&self, origin: &str) -> bool {
        if self.any {
            return true;
        }
        let origin = origin.to_ascii_lowercase();
        self.exact.contains(&origin) || self.any_port.iter().any(|host| has_any_port(&origin, host))
    }
}

/// Whether `origin` is `host` with or without a port.
fn has_any_port(origin: &str, host: &str) -> bool {
    origin
        .strip_prefix(host)
        .is_some_and(|rest| rest.is_empty() || rest.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok()))
}

/// A 32-byte symmetric key.
#[derive(Clone, PartialEq, Eq)]
pub struct Key32(pub [u8; 32]);

impl fmt::Debug for Key32 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[key]")
    }
}

/// Limits and times of signaling rooms. Units: messages per minute, sockets, bytes, milliseconds; 0 switches a limit off.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the settings' names")]
pub struct SignalSettings {
    pub messages_per_minute: u64,
    pub pair_requests_per_minute: u64,
    pub unknown_codes_per_minute: u64,
    pub sockets_per_address: u64,
    pub sockets_max: u64,
    pub unread_bytes_max: u64,
    pub pair_warning_ms: u64,
    pub pair_timeout_ms: u64,
}

/// Limits and times of relay registries. Units: milliseconds, entries.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the settings' names")]
pub struct RelaySettings {
    pub peer_ttl_ms: u64,
    pub rendezvous_daily_ttl_ms: u64,
    pub rendezvous_hourly_ttl_ms: u64,
    pub keep_dead_drops: Switch,
    pub chunk_source_ttl_ms: u64,
    pub chunk_cache_ttl_ms: u64,
    pub chunk_pending_ttl_ms: u64,
    pub chunk_cache_max: u64,
}

/// Bootstrap registry.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "the names are the settings' names")]
pub struct BootstrapSettings {
    /// The first is current; all sign. Empty when the secret is missing.
    pub signing_keys: Vec<SigningPair>,
    pub registry_secret: Option<Secret>,
    pub server_ttl_ms: u64,
    pub require_registration_auth: Switch,
}

/// Attestation.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "the names are the settings' names")]
pub struct AttestSettings {
    pub signing_keys: Vec<SigningPair>,
    pub build_token_keys: Vec<[u8; 32]>,
    pub ci_upload_secret: Option<Secret>,
    pub nonce_ttl_ms: u64,
    pub session_ttl_ms: u64,
    pub build_token_max_age_ms: u64,
    pub required: Vec<AttestFamily>,
    pub grace_ms: u64,
}

/// Parties. Units: milliseconds.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "the names are the settings' names")]
pub struct PartySettings {
    pub token_key: Option<Key32>,
    pub peer_ttl_ms: u64,
    pub token_ttl_ms: u64,
    pub relay_ttl_ms: u64,
    /// Whether anybody gets a token for any peer id, as in closed networks.
    pub open_identities: Switch,
    /// Whether a socket without a token may speak for a peer id that nobody has proven to be theirs.
    pub anonymous_sockets: Switch,
}

/// A family of operations that can be made to need a session token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum AttestFamily {
    Chunks,
    Relays,
}

/// A setting that is on or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Switch {
    On,
    Off,
}

impl Switch {
    /// Whether it is on.
    #[must_use]
    pub const fn is_on(self) -> bool {
        matches!(self, Self::On)
    }
}

/// A setting that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingProblem {
    /// The setting's name.
    pub name: &'static str,
    /// What it must look like. Never contains the value.
    pub expected: &'static str,
}

/// Everything an operator can say, in types.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "the names are the settings' names")]
pub struct Settings {
    pub environment: Environment,
    pub dev_mode: Switch,
    pub log_level: LogLevel,
    pub origins: Origins,
    pub rate_limit_per_minute: u64,
    pub client_address_header: String,
    pub admin_secret: Option<Secret>,
    pub sweep_interval_ms: u64,
    pub signal: SignalSettings,
    pub relay: RelaySettings,
    pub bootstrap: BootstrapSettings,
    pub attest: AttestSettings,
    pub party: PartySettings,
    pub push: PushSettings,
    pub billing: BillingSettings,
    pub data_key: Option<Key32>,
    /// Names of known secrets that are absent, for readiness.
    pub missing_secrets: Vec<&'static str>,
}

#[cfg(test)]
mod tests {
    use super::Origins;

    #[test]
    fn origins_match_exactly_or_by_any_port() {
        let origins = Origins::parse("https://app.example, http://localhost:*").unwrap();
        for good in ["https://app.example", "HTTPS://APP.EXAMPLE", "http://localhost", "http://localhost:5173"] {
            assert!(origins.allows(good), "{good}");
        }
        for bad in [
            "https://app.example.evil",
            "http://app.example",
            "http://localhost.evil",
            "http://localhost:99999",
            "http://localhost:80@evil",
            "null",
            "",
        ] {
            assert!(!origins.allows(bad), "{bad}");
        }
    }

    #[test]
    fn an_empty_list_allows_nobody_and_a_star_anybody() {
        assert!(!Origins::parse("").unwrap().allows("https://a.example"));
        assert!(Origins::parse("*").unwrap().allows("https://a.example"));
        assert!(Origins::parse("app.example").is_none());
    }
}
