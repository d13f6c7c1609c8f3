//! Settings of the push bouncer.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use curve25519_dalek::montgomery::MontgomeryPoint;
use p256::pkcs8::DecodePrivateKey as _;

use super::Key32;
use super::parse::Reader;
use crate::kernel::keys::parse_base64;
use crate::kernel::secret::Secret;

const FCM_BASE: &str = "https://fcm.googleapis.com";
const APNS_BASE: &str = "https://api.push.apple.com";
const DNS_QUERY: &str = "https://cloudflare-dns.com/dns-query";

/// Push services that browsers use. A subscription that names another host is refused, because its URL is a client's.
const WEB_HOSTS: &str = "fcm.googleapis.com,push.services.mozilla.com,notify.windows.com,push.apple.com";

/// Push bouncer.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "the names are the settings' names")]
pub struct PushSettings {
    /// Empty when the secret is missing.
    pub registration_keys: Vec<RegistrationKey>,
    pub transfer_key: Option<Key32>,
    pub fcm: Option<FcmAccount>,
    pub apns: Option<ApnsKey>,
    pub vapid: Option<VapidKey>,
    /// Hosts of push services; each stands for those below it too.
    pub web_hosts: Vec<String>,
    pub rate_limit: PushRate,
    pub transfer_daily_max: u64,
    /// People who need no plan.
    pub free_users_max: u64,
    /// Older uploads count as none. Units: milliseconds.
    pub server_data_max_age_ms: u64,
    pub fcm_base_url: String,
    /// Instead of the service account's own.
    pub fcm_token_url: Option<String>,
    pub apns_base_url: String,
    /// Absent: the e-mail domain is not looked up.
    pub dns_query_url: Option<String>,
    /// Signs messages to the payment system, and judges its own.
    pub billing_key: Option<Secret>,
    /// Where the payment system is told.
    pub billing_webhook_url: Option<String>,
}

/// A key pair for sealed registrations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistrationKey {
    /// As apps carry it: 32 bytes, padded base64.
    pub public: String,
    /// X25519.
    pub private: Key32,
}

/// A Google service account.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the members' names")]
pub struct FcmAccount {
    pub project_id: String,
    pub client_email: String,
    /// PKCS#8 in PEM.
    pub private_key: Secret,
    pub private_key_id: Option<String>,
    pub token_uri: Option<String>,
}

/// An Apple provider key.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the settings' names")]
pub struct ApnsKey {
    /// PKCS#8 in PEM.
    pub p8: Secret,
    pub key_id: String,
    pub team_id: String,
}

/// How Web Push services know us (RFC 8292).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VapidKey {
    /// P-256.
    pub private: Key32,
    /// `mailto:` or `https:`.
    pub subject: String,
}

/// So many requests in so long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PushRate {
    /// Requests; 0 switches the limit off.
    pub requests: u64,
    /// Units: seconds.
    pub window_s: u64,
}

impl Reader<'_> {
    pub(super) fn push(&mut self) -> PushSettings {
        PushSettings {
            registration_keys: self.registration_keys("PUSH_REGISTRATION_KEYS"),
            transfer_key: self.key32("PUSH_TRANSFER_KEY"),
            fcm: self.fcm("FCM_SERVICE_ACCOUNT"),
            apns: self.apns(),
            vapid: self.vapid(),
            web_hosts: self.hosts("PUSH_WEB_HOSTS"),
            rate_limit: self.rate("PUSH_RATE_LIMIT"),
            transfer_daily_max: self.count("PUSH_TRANSFER_DAILY_MAX", 30),
            free_users_max: self.count("PUSH_FREE_USERS_MAX", 10),
            server_data_max_age_ms: self.ms("PUSH_SERVER_DATA_MAX_AGE_MS", 172_800_000),
            fcm_base_url: self.url("FCM_BASE_URL").unwrap_or_else(|| String::from(FCM_BASE)),
            fcm_token_url: self.url("FCM_TOKEN_URL"),
            apns_base_url: self.url("APNS_BASE_URL").unwrap_or_else(|| String::from(APNS_BASE)),
            billing_key: self.secret("PUSH_BILLING_KEY"),
            billing_webhook_url: self.url("PUSH_BILLING_WEBHOOK_URL"),
            dns_query_url: if self.is_emptied("DNS_QUERY_URL") {
                None
            } else {
                Some(self.url("DNS_QUERY_URL").unwrap_or_else(|| String::from(DNS_QUERY)))
            },
        }
    }

    /// A base URL without a slash at its end. Plain HTTP is for a relay in the operator's own network.
    fn url(&mut self, name: &'static str) -> Option<String> {
        let expected = "an http or https URL without query and fragment";
        self.value(name, expected, None, |text| {
            let url = url::Url::parse(text).ok()?;
            let is_plain =
                matches!(url.scheme(), "http" | "https") && url.query().is_none() && url.fragment().is_none();
            is_plain.then(|| Some(text.trim_end_matches('/').to_owned()))
        })
    }

    fn rate(&mut self, name: &'static str) -> PushRate {
        let default = PushRate { requests: 1_000, window_s: 60 };
        self.value(
            name,
            "requests per seconds, such as 1000/60; at most 10000 requests and 86400 seconds",
            default,
            |text| {
                let (requests, window_s) = text.split_once('/')?;
                let (requests, window_s) = (requests.trim().parse().ok()?, window_s.trim().parse().ok()?);
                (requests <= 10_000 && (1..=86_400).contains(&window_s)).then_some(PushRate { requests, window_s })
            },
        )
    }

    fn hosts(&mut self, name: &'static str) -> Vec<String> {
        let split = |text: &str| -> Vec<String> {
            text.split(',').map(|host| host.trim().to_ascii_lowercase()).filter(|host| !host.is_empty()).collect()
        };
        let is_host = |host: &str| host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'));
        self.value(
            name,
            "host names separated by commas; each stands for those below it too",
            split(WEB_HOSTS),
            |text| {
                let hosts = split(text);
                hosts.iter().all(|host| is_host(host)).then_some(hosts)
            },
        )
    }

    fn registration_keys(&mut self, name: &'static str) -> Vec<RegistrationKey> {
        let Some(secret) = self.secret(name) else { return Vec::new() };
        let keys = parse_registration_keys(secret.reveal());
        if keys.is_none() {
            self.refuse(name, "a JSON object: base64 X25519 public key to the base64 private key that belongs to it");
        }
        keys.unwrap_or_default()
    }

    fn fcm(&mut self, name: &'static str) -> Option<FcmAccount> {
        let secret = self.secret(name)?;
        let account = parse_account(secret.reveal());
        if account.is_none() {
            self.refuse(name, "the JSON text of a service account with project_id, client_email and private_key");
        }
        account
    }

    /// All three or none: two of them cannot sign.
    fn apns(&mut self) -> Option<ApnsKey> {
        let p8 = self.secret("APNS_KEY_P8");
        let key_id = self.secret("APNS_KEY_ID");
        let team_id = self.secret("APNS_TEAM_ID");
        let mut ten = |name: &'static str, value: &Secret| {
            let fits = value.reveal().len() == 10 && value.reveal().bytes().all(|byte| byte.is_ascii_alphanumeric());
            if !fits {
                self.refuse(name, "10 letters and digits");
            }
        };
        key_id.iter().for_each(|value| ten("APNS_KEY_ID", value));
        team_id.iter().for_each(|value| ten("APNS_TEAM_ID", value));
        let (p8, key_id, team_id) = (p8?, key_id?, team_id?);
        if !is_p256_pem(p8.reveal()) {
            self.refuse("APNS_KEY_P8", "the PEM text of a P-256 private key in PKCS#8");
        }
        Some(ApnsKey { p8, key_id: key_id.reveal().to_owned(), team_id: team_id.reveal().to_owned() })
    }

    fn vapid(&mut self) -> Option<VapidKey> {
        let expected = "a P-256 private key, 32 bytes in hex, base64 or base64url";
        let is_key = |key: &[u8; 32]| p256::SecretKey::from_slice(key).is_ok();
        let subject = self.value("PUSH_VAPID_SUBJECT", "a mailto: or https: URL", String::new(), |text| {
            (text.starts_with("mailto:") || text.starts_with("https://")).then(|| text.to_owned())
        });
        let private = self.secret("PUSH_VAPID_KEY").and_then(|secret| {
            let text = secret.reveal();
            let bytes = if text.len() == 64 { hex::decode(text).ok() } else { parse_base64(text) };
            let key: Option<[u8; 32]> = bytes.and_then(|bytes| bytes.try_into().ok()).filter(is_key);
            if key.is_none() {
                self.refuse("PUSH_VAPID_KEY", expected);
            }
            key.map(Key32)
        })?;
        if subject.is_empty() {
            self.refuse("PUSH_VAPID_SUBJECT", "a mailto: or https: URL, whenever PUSH_VAPID_KEY is set");
        }
        Some(VapidKey { private, subject })
    }
}

fn parse_registration_keys(text: &str) -> Option<Vec<RegistrationKey>> {
    let Pairs(pairs) = serde_json::from_str(text).ok()?;
    let key = |(public, private): (String, String)| {
        let private = crate::kernel::keys::parse_32_bytes(&private)?;
        let own = STANDARD.encode(MontgomeryPoint::mul_base_clamped(private).to_bytes());
        (own == public).then_some(RegistrationKey { public, private: Key32(private) })
    };
    pairs.into_iter().map(key).collect()
}

/// The members of a JSON object in the order in which they stand: the first key is the current one.
struct Pairs(Vec<(String, String)>);

impl<'de> serde::Deserialize<'de> for Pairs {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> serde::de::Visitor<'de> for InOrder {
            type Value = Pairs;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object of texts")
            }

            fn visit_map<M: serde::de::MapAccess<'de>>(self, mut members: M) -> Result<Pairs, M::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = members.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

/// Whether this is a private key as Apple hands it out. A line break may be written as `\n`, as variable files need it.
fn is_p256_pem(text: &str) -> bool {
    let inner = text.split_once("-----BEGIN PRIVATE KEY-----").and_then(|(_, rest)| {
        rest.split_once("-----END PRIVATE KEY-----").map(|(inner, _)| inner.replace("\\n", "").replace("\\r", ""))
    });
    let letters = inner.map(|inner| inner.split_whitespace().collect::<String>()).unwrap_or_default();
    STANDARD.decode(letters).is_ok_and(|der| p256::SecretKey::from_pkcs8_der(&der).is_ok())
}

fn parse_account(text: &str) -> Option<FcmAccount> {
    let account: serde_json::Value = serde_json::from_str(text).ok()?;
    let member = |name: &str| account.get(name)?.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    Some(FcmAccount {
        project_id: member("project_id")?,
        client_email: member("client_email")?,
        private_key: Secret::new(member("private_key").filter(|key| key.contains("-----BEGIN PRIVATE KEY-----"))?),
        private_key_id: member("private_key_id"),
        token_uri: member("token_uri"),
    })
}
