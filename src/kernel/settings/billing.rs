//! Settings of billing users and of the mail they are sent.

use super::parse::Reader;
use crate::kernel::secret::Secret;

/// Billing users.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "the names are the settings' names")]
pub struct BillingSettings {
    /// The host in links. Absent: the request's while no letters leave the service; else there are no links.
    pub host: Option<String>,
    /// Where mail is handed to. Absent: nowhere, and in `DEV_MODE` to the console.
    pub mail: Option<MailWebhook>,
    /// Who accepted an older major version is asked again.
    pub terms_version: String,
    /// Where the terms can be read.
    pub terms_url: Option<String>,
    /// Where customers pay, at the payment system.
    pub portal_url: Option<String>,
}

/// A service that sends mail for us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailWebhook {
    /// Where letters are posted to.
    pub url: String,
    /// What they are signed with.
    pub secret: Secret,
}

impl Reader<'_> {
    pub(super) fn billing(&mut self) -> BillingSettings {
        BillingSettings {
            host: self.billing_host("BILLING_HOST"),
            mail: self.mail(),
            terms_version: self.value("BILLING_TERMS_VERSION", "a version such as 1.0", String::from("1.0"), |text| {
                is_version(text).then(|| text.to_owned())
            }),
            terms_url: self.link("BILLING_TERMS_URL"),
            portal_url: self.link("BILLING_PORTAL_URL"),
        }
    }

    fn link(&mut self, name: &'static str) -> Option<String> {
        self.value(name, "an https URL", None, |text| {
            let url = url::Url::parse(text).ok().filter(|url| url.scheme() == "https")?;
            Some(Some(String::from(url)))
        })
    }

    fn billing_host(&mut self, name: &'static str) -> Option<String> {
        self.value(name, "a host name, with a port where it has one", None, |text| {
            let url = url::Url::parse(&format!("https://{text}")).ok()?;
            let is_host = !text.contains(['/', '?', '#', '@', '\\']) && url.host_str().is_some();
            is_host.then(|| Some(text.to_ascii_lowercase()))
        })
    }

    /// Both or none: unsigned letters are not sent.
    fn mail(&mut self) -> Option<MailWebhook> {
        let url = self.value("MAIL_WEBHOOK_URL", "an http or https URL", None, |text| {
            let url = url::Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"))?;
            Some(Some(String::from(url)))
        });
        let secret = self.secret("MAIL_WEBHOOK_SECRET");
        if url.is_some() && secret.is_none() {
            self.refuse("MAIL_WEBHOOK_SECRET", "set, whenever MAIL_WEBHOOK_URL is");
        }
        Some(MailWebhook { url: url?, secret: secret? })
    }
}

fn is_version(text: &str) -> bool {
    let is_number = |part: &str| (1..=4).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
    text.split('.').all(is_number) && text.split('.').count() <= 3
}

#[cfg(test)]
mod tests {
    use crate::kernel::settings::{SettingProblem, Settings, parse};

    fn read(pairs: &[(&str, &str)]) -> Result<Settings, Vec<SettingProblem>> {
        parse(&|name| pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn letters_are_handed_over_signed_or_not_at_all() {
        assert!(read(&[]).unwrap().billing.mail.is_none());
        assert!(read(&[("MAIL_WEBHOOK_SECRET", "s")]).unwrap().billing.mail.is_none());
        let problems = read(&[("MAIL_WEBHOOK_URL", "https://mail.example/send")]).unwrap_err();
        assert_eq!(problems[0].name, "MAIL_WEBHOOK_SECRET");
        let mail = read(&[("MAIL_WEBHOOK_URL", "https://mail.example/send"), ("MAIL_WEBHOOK_SECRET", "s")]);
        assert_eq!(mail.unwrap().billing.mail.unwrap().url, "https://mail.example/send");
    }

    #[test]
    fn bad_values_are_named() {
        for (name, value) in [
            ("BILLING_HOST", "https://a.example"),
            ("BILLING_HOST", "a.example/x"),
            ("BILLING_HOST", "user@a.example"),
            ("BILLING_TERMS_VERSION", "new"),
            ("BILLING_TERMS_URL", "javascript:alert(1)"),
            ("BILLING_PORTAL_URL", "http://pay.example"),
            ("MAIL_WEBHOOK_URL", "ftp://mail.example"),
        ] {
            assert_eq!(read(&[(name, value)]).unwrap_err()[0].name, name, "{value}");
        }
    }
}
