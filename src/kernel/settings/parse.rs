//! From text to [`Settings`]: every value is checked, every bad one is named.

use super::{
    AttestFamily, AttestSettings, BootstrapSettings, Environment, Key32, LogLevel, Origins, PartySettings,
    RelaySettings, SettingProblem, Settings, SignalSettings, Switch,
};
use crate::kernel::keys::{SigningPair, parse_32_bytes};
use crate::kernel::secret::Secret;

/// Where values come from: the Worker's environment, or a map in tests. Absent and empty are the same unless a setting
/// says otherwise.
pub type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

const MS: &str = "a whole number of milliseconds between 1 and 31536000000";
const COUNT: &str = "a whole number between 0 and 1000000000";
const SWITCH: &str = "true or false";
const SEEDS: &str = "Ed25519 seeds of 64 hex digits or 44 base64 characters, separated by commas";
const YEAR_MS: u64 = 365 * 24 * 3_600_000;

/// Reads every setting.
///
/// Errors: all that are malformed, in the order of the table.
pub fn parse(lookup: Lookup<'_>) -> Result<Settings, Vec<SettingProblem>> {
    let mut reader = Reader { lookup, problems: Vec::new(), missing: Vec::new() };
    let environment = reader.environment();
    let settings = Settings {
        environment,
        dev_mode: reader.dev_mode(environment),
        log_level: reader.log_level(environment),
        origins: reader.origins(),
        rate_limit_per_minute: reader.count("RATE_LIMIT_PER_MINUTE", 600),
        client_address_header: reader.header("CLIENT_ADDRESS_HEADER", "CF-Connecting-IP"),
        admin_secret: reader.secret("ADMIN_SECRET"),
        sweep_interval_ms: reader.ms("SWEEP_INTERVAL_MS", 300_000),
        signal: reader.signal(),
        relay: reader.relay(),
        bootstrap: reader.bootstrap(),
        attest: reader.attest(),
        party: reader.party(),
        push: reader.push(),
        billing: reader.billing(),
        data_key: reader.key32("DATA_KEY"),
        missing_secrets: std::mem::take(&mut reader.missing),
    };
    if reader.problems.is_empty() { Ok(settings) } else { Err(reader.problems) }
}

pub(super) struct Reader<'a> {
    lookup: Lookup<'a>,
    problems: Vec<SettingProblem>,
    missing: Vec<&'static str>,
}

impl Reader<'_> {
    fn text(&self, name: &str) -> Option<String> {
        (self.lookup)(name).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
    }

    /// Whether the setting is there and empty, which for some means "off".
    pub(super) fn is_emptied(&self, name: &str) -> bool {
        (self.lookup)(name).is_some_and(|text| text.trim().is_empty())
    }

    pub(super) fn refuse(&mut self, name: &'static str, expected: &'static str) {
        self.problems.push(SettingProblem { name, expected });
    }

    /// The parsed value, the default when absent, and a problem when `parse` finds none.
    pub(super) fn value<T>(
        &mut self,
        name: &'static str,
        expected: &'static str,
        default: T,
        parse: impl Fn(&str) -> Option<T>,
    ) -> T {
        let Some(text) = self.text(name) else { return default };
        parse(&text).unwrap_or_else(|| {
            self.refuse(name, expected);
            default
        })
    }

    pub(super) fn ms(&mut self, name: &'static str, default: u64) -> u64 {
        self.value(name, MS, default, |text| text.parse().ok().filter(|ms| (1..=YEAR_MS).contains(ms)))
    }

    pub(super) fn count(&mut self, name: &'static str, default: u64) -> u64 {
        self.value(name, COUNT, default, |text| text.parse().ok().filter(|count| *count <= 1_000_000_000))
    }

    fn switch(&mut self, name: &'static str, default: Switch) -> Switch {
        self.value(name, SWITCH, default, |text| match text {
            "true" => Some(Switch::On),
            "false" => Some(Switch::Off),
            _ => None,
        })
    }

    fn header(&mut self, name: &'static str, default: &str) -> String {
        let expected = "a header name, never X-Forwarded-For, which clients can forge";
        self.value(name, expected, default.to_owned(), |text| {
            let token = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
            (token && !text.eq_ignore_ascii_case("x-forwarded-for")).then(|| text.to_owned())
        })
    }

    pub(super) fn secret(&mut self, name: &'static str) -> Option<Secret> {
        let found = self.text(name);
        if found.is_none() {
            self.missing.push(name);
        }
        found.map(Secret::new)
    }

    pub(super) fn key32(&mut self, name: &'static str) -> Option<Key32> {
        let secret = self.secret(name)?;
        let key = parse_32_bytes(secret.reveal());
        if key.is_none() {
            self.refuse(name, "32 bytes as 64 hex digits or 44 base64 characters");
        }
        key.map(Key32)
    }

    fn keys<T>(&mut self, name: &'static str, expected: &'static str, parse: impl Fn(&str) -> Option<T>) -> Vec<T> {
        let Some(secret) = self.secret(name) else { return Vec::new() };
        let parts = secret.reveal().split(',').map(str::trim).filter(|part| !part.is_empty());
        let keys: Option<Vec<T>> = parts.map(parse).collect();
        keys.unwrap_or_else(|| {
            self.refuse(name, expected);
            Vec::new()
        })
    }

    fn environment(&mut self) -> Environment {
        let expected = "production, qa or development";
        self.value("ENVIRONMENT", expected, Environment::Development, |text| match text {
            "production" => Some(Environment::Production),
            "qa" => Some(Environment::Qa),
            "development" => Some(Environment::Development),
            _ => None,
        })
    }

    fn dev_mode(&mut self, environment: Environment) -> Switch {
        let dev_mode = self.switch("DEV_MODE", Switch::Off);
        if dev_mode.is_on() && environment == Environment::Production {
            self.refuse("DEV_MODE", "false, or absent, when ENVIRONMENT is production");
        }
        dev_mode
    }

    fn log_level(&mut self, environment: Environment) -> LogLevel {
        let default = if environment == Environment::Production { LogLevel::Info } else { LogLevel::Debug };
        self.value("LOG_LEVEL", "debug, info, warning or error", default, |text| match text {
            "debug" => Some(LogLevel::Debug),
            "info" => Some(LogLevel::Info),
            "warning" | "warn" => Some(LogLevel::Warning),
            "error" => Some(LogLevel::Error),
            _ => None,
        })
    }

    fn origins(&mut self) -> Origins {
        let expected = "origins such as https://app.example, separated by commas; a port may be *; or * alone";
        self.value("ALLOWED_ORIGINS", expected, Origins::default(), Origins::parse)
    }

    fn signal(&mut self) -> SignalSettings {
        SignalSettings {
            messages_per_minute: self.count("SIGNAL_MESSAGES_PER_MINUTE", 100),
            pair_requests_per_minute: self.count("SIGNAL_PAIR_REQUESTS_PER_MINUTE", 10),
            unknown_codes_per_minute: self.count("SIGNAL_UNKNOWN_CODES_PER_MINUTE", 600),
            sockets_per_address: self.count("SIGNAL_SOCKETS_PER_ADDRESS", 50),
            sockets_max: self.count("SIGNAL_SOCKETS_MAX", 10_000),
            // 64 frames of the largest size; see kernel::backlog.
            unread_bytes_max: self.count("SIGNAL_UNREAD_BYTES_MAX", 16 * 1024 * 1024),
            pair_warning_ms: self.ms("PAIR_WARNING_MS", 90_000),
            pair_timeout_ms: self.ms("PAIR_TIMEOUT_MS", 120_000),
        }
    }

    fn relay(&mut self) -> RelaySettings {
        RelaySettings {
            peer_ttl_ms: self.ms("RELAY_PEER_TTL_MS", 300_000),
            rendezvous_daily_ttl_ms: self.ms("RENDEZVOUS_DAILY_TTL_MS", 172_800_000),
            rendezvous_hourly_ttl_ms: self.ms("RENDEZVOUS_HOURLY_TTL_MS", 10_800_000),
            keep_dead_drops: self.switch("RENDEZVOUS_KEEP_DEAD_DROPS", Switch::On),
            chunk_source_ttl_ms: self.ms("CHUNK_SOURCE_TTL_MS", 3_600_000),
            chunk_cache_ttl_ms: self.ms("CHUNK_CACHE_TTL_MS", 1_800_000),
            chunk_pending_ttl_ms: self.ms("CHUNK_PENDING_TTL_MS", 300_000),
            chunk_cache_max: self.count("CHUNK_CACHE_MAX", 1_000),
        }
    }

    fn bootstrap(&mut self) -> BootstrapSettings {
        BootstrapSettings {
            signing_keys: self.keys("BOOTSTRAP_SIGNING_KEY", SEEDS, SigningPair::parse),
            registry_secret: self.secret("SERVER_REGISTRY_SECRET"),
            server_ttl_ms: self.ms("SERVER_TTL_MS", 300_000),
            require_registration_auth: self.switch("REQUIRE_REGISTRATION_AUTH", Switch::Off),
        }
    }

    fn attest(&mut self) -> AttestSettings {
        let public = "Ed25519 public keys of 44 base64 characters, separated by commas";
        AttestSettings {
            signing_keys: self.keys("ATTESTATION_SIGNING_KEY", SEEDS, SigningPair::parse),
            build_token_keys: self.keys("BUILD_TOKEN_VERIFY_KEY", public, parse_32_bytes),
            ci_upload_secret: self.secret("CI_UPLOAD_SECRET"),
            nonce_ttl_ms: self.ms("ATTEST_NONCE_TTL_MS", 300_000),
            session_ttl_ms: self.ms("ATTEST_SESSION_TTL_MS", 3_600_000),
            build_token_max_age_ms: self.ms("ATTEST_BUILD_TOKEN_MAX_AGE_MS", 2_592_000_000),
            required: self.families("ATTEST_REQUIRED"),
            grace_ms: self.ms("ATTEST_GRACE_MS", 30_000),
        }
    }

    fn party(&mut self) -> PartySettings {
        PartySettings {
            token_key: self.key32("PARTY_TOKEN_KEY"),
            peer_ttl_ms: self.ms("PARTY_PEER_TTL_MS", 300_000),
            token_ttl_ms: self.ms("PARTY_TOKEN_TTL_MS", 86_400_000),
            relay_ttl_ms: self.ms("PARTY_RELAY_TTL_MS", 600_000),
            open_identities: self.switch("PARTY_OPEN_IDENTITIES", Switch::Off),
            anonymous_sockets: self.switch("PARTY_ANONYMOUS_SOCKETS", Switch::On),
        }
    }

    fn families(&mut self, name: &'static str) -> Vec<AttestFamily> {
        let family = |text: &str| match text {
            "chunks" => Some(AttestFamily::Chunks),
            "relays" | "relay" => Some(AttestFamily::Relays),
            _ => None,
        };
        let parse = |text: &str| text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(family).collect();
        self.value(name, "chunks and relays, separated by a comma", Vec::new(), parse)
    }
}

#[cfg(test)]
mod tests {
    use super::{LogLevel, Switch, parse};
    use crate::kernel::settings::{Environment, SettingProblem, Settings};

    fn read(pairs: &[(&str, &str)]) -> Result<Settings, Vec<SettingProblem>> {
        parse(&|name| pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn nothing_set_means_the_documented_defaults_and_every_secret_missing() {
        let settings = read(&[]).unwrap();
        assert_eq!(settings.environment, Environment::Development);
        assert_eq!(settings.dev_mode, Switch::Off);
        assert_eq!(settings.log_level, LogLevel::Debug);
        assert_eq!(settings.rate_limit_per_minute, 600);
        assert_eq!(settings.client_address_header, "CF-Connecting-IP");
        assert_eq!(settings.bootstrap.server_ttl_ms, 300_000);
        assert_eq!(settings.signal.pair_requests_per_minute, 10);
        for name in ["ADMIN_SECRET", "BOOTSTRAP_SIGNING_KEY", "SERVER_REGISTRY_SECRET", "CI_UPLOAD_SECRET", "DATA_KEY"]
        {
            assert!(settings.missing_secrets.contains(&name), "{name}");
        }
    }

    #[test]
    fn each_bad_value_is_named_and_never_shown() {
        for (name, value) in [
            ("ENVIRONMENT", "prod"),
            ("DEV_MODE", "yes"),
            ("LOG_LEVEL", "loud"),
            ("ALLOWED_ORIGINS", "app.example"),
            ("RATE_LIMIT_PER_MINUTE", "-1"),
            ("RATE_LIMIT_PER_MINUTE", "1e3"),
            ("SERVER_TTL_MS", "0"),
            ("CLIENT_ADDRESS_HEADER", "X-Forwarded-For"),
            ("CLIENT_ADDRESS_HEADER", "a b"),
            ("BOOTSTRAP_SIGNING_KEY", "zz"),
            ("BUILD_TOKEN_VERIFY_KEY", "zz"),
            ("DATA_KEY", "short"),
            ("ATTEST_REQUIRED", "everything"),
            ("RENDEZVOUS_KEEP_DEAD_DROPS", "1"),
            ("PUSH_REGISTRATION_KEYS", "{\"zz\":\"zz\"}"),
            ("PUSH_TRANSFER_KEY", "zz"),
            ("FCM_SERVICE_ACCOUNT", "{}"),
            ("FCM_SERVICE_ACCOUNT", r#"{"project_id":"p","client_email":"e","private_key":"zz"}"#),
            ("APNS_KEY_ID", "zz"),
            ("APNS_TEAM_ID", "0123456789A"),
            ("PUSH_RATE_LIMIT", "1000"),
            ("PUSH_RATE_LIMIT", "10/0"),
            ("PUSH_WEB_HOSTS", "https://push.example"),
            ("PUSH_VAPID_SUBJECT", "zz"),
            ("FCM_BASE_URL", "zz"),
            ("APNS_BASE_URL", "ftp://relay.example"),
            ("DNS_QUERY_URL", "zz"),
        ] {
            let problems = read(&[(name, value)]).unwrap_err();
            assert_eq!(problems.len(), 1, "{name}");
            assert_eq!(problems[0].name, name);
            assert!(!problems[0].expected.contains("zz"), "{name}");
        }
    }

    #[test]
    fn keys_that_do_not_belong_together_are_refused() {
        // The last letter of the public key is another.
        let wrong =
            r#"{"B6N8vBQgk8i3VdwbEOhstCY3StFqqFPtC9/AsrhtHHx=":"AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA="}"#;
        assert_eq!(read(&[("PUSH_REGISTRATION_KEYS", wrong)]).unwrap_err()[0].name, "PUSH_REGISTRATION_KEYS");
        let right = wrong.replace("HHx=", "HHw=");
        assert_eq!(read(&[("PUSH_REGISTRATION_KEYS", &right)]).unwrap().push.registration_keys.len(), 1);
        let pem = "-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----";
        let apns = [("APNS_KEY_P8", pem), ("APNS_KEY_ID", "KEY4567890"), ("APNS_TEAM_ID", "TEAM567890")];
        assert_eq!(read(&apns).unwrap_err()[0].name, "APNS_KEY_P8");
        // Two of three cannot sign, and are no mistake: the third may come.
        assert!(read(&apns[1..]).unwrap().push.apns.is_none());
        let vapid = [("PUSH_VAPID_KEY", "00".repeat(32))];
        let vapid = [(vapid[0].0, vapid[0].1.as_str()), ("PUSH_VAPID_SUBJECT", "mailto:a@example.org")];
        assert_eq!(read(&vapid).unwrap_err()[0].name, "PUSH_VAPID_KEY");
        assert_eq!(read(&[("PUSH_VAPID_KEY", &"09".repeat(32))]).unwrap_err()[0].name, "PUSH_VAPID_SUBJECT");
    }

    #[test]
    fn an_empty_resolver_switches_the_lookup_off_and_an_absent_one_does_not() {
        assert_eq!(read(&[("DNS_QUERY_URL", "")]).unwrap().push.dns_query_url, None);
        let resolver = read(&[]).unwrap().push.dns_query_url.unwrap();
        assert_eq!(resolver, "https://cloudflare-dns.com/dns-query");
    }

    #[test]
    fn development_mode_is_refused_in_production() {
        let problems = read(&[("ENVIRONMENT", "production"), ("DEV_MODE", "true")]).unwrap_err();
        assert_eq!(problems[0].name, "DEV_MODE");
        assert!(read(&[("ENVIRONMENT", "production")]).is_ok());
        assert_eq!(read(&[("ENVIRONMENT", "production")]).unwrap().log_level, LogLevel::Info);
    }

    #[test]
    fn several_signing_keys_keep_their_order() {
        let first = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
        let second = "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb";
        let both = format!("{first}, {second}");
        let settings = read(&[("BOOTSTRAP_SIGNING_KEY", &both)]).unwrap();
        let publics: Vec<String> = settings.bootstrap.signing_keys.iter().map(|key| key.public_base64()).collect();
        assert_eq!(
            publics,
            ["11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=", "PUAXw+hDiVqStwqnTRt+vJyYLM8uxJaMwM1V8Sr0Zgw="]
        );
    }
}
