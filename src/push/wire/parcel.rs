//! What one device is sent, and how it waits in the queue.

use serde::{Deserialize, Serialize};

use crate::kernel::fault::Fault;
use crate::kernel::json::to_json;
use crate::kernel::time::Timestamp;
use crate::push::provider::apns::PushType;
use crate::push::provider::fcm::Priority;
use crate::push::provider::web::Urgency;
use crate::push::provider::{Kind, apns, fcm, web};

/// What one device is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Parcel {
    /// Through Google.
    Fcm(fcm::Notice),
    /// Through Apple.
    Apns(apns::Notice),
    /// Through a browser's push service.
    Web(web::Notice),
}

impl Parcel {
    /// Who carries it.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Fcm(_) => Kind::Fcm,
            Self::Apns(_) => Kind::Apns,
            Self::Web(_) => Kind::WebPush,
        }
    }

    /// Whether the provider takes so much.
    #[must_use]
    pub fn fits(&self) -> bool {
        match self {
            Self::Fcm(notice) => notice.fits(),
            Self::Apns(notice) => notice.fits(),
            // What RFC 8291 leaves of the 4096 bytes that every push service takes; `encrypt` refuses more.
            Self::Web(_) => true,
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Text {
    Fcm {
        data: Vec<(String, String)>,
        urgent: bool,
        ttl_ms: Option<u64>,
        collapse: Option<String>,
    },
    Apns {
        body: String,
        push_type: Option<String>,
        priority: Option<u8>,
        expires_ms: Option<u64>,
        collapse: Option<String>,
    },
    Web {
        plaintext: String,
        ttl_s: u32,
        urgency: Option<String>,
        topic: Option<String>,
    },
}

/// The parcel as it waits in the queue.
///
/// Errors: as [`to_json`].
pub fn encode_parcel(parcel: &Parcel) -> Result<String, Fault> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    to_json(&match parcel {
        Parcel::Fcm(notice) => Text::Fcm {
            data: notice.data.clone(),
            urgent: notice.priority == Priority::High,
            ttl_ms: notice.ttl_ms,
            collapse: notice.collapse_key.clone(),
        },
        Parcel::Apns(notice) => Text::Apns {
            body: text(&notice.body),
            push_type: notice.push_type.map(|kind| kind.word().to_owned()),
            priority: notice.priority,
            expires_ms: notice.expires.map(Timestamp::as_millis),
            collapse: notice.collapse_id.clone(),
        },
        Parcel::Web(notice) => Text::Web {
            plaintext: text(&notice.plaintext),
            ttl_s: notice.ttl_seconds,
            urgency: notice.urgency.map(|urgency| urgency.word().to_owned()),
            topic: notice.topic.clone(),
        },
    })
}

/// The parcel that waited in the queue.
///
/// Errors: [`Fault::Corrupt`].
pub fn parse_parcel(text: &str) -> Result<Parcel, Fault> {
    let text: Text =
        serde_json::from_str(text).map_err(|_| Fault::Corrupt(String::from("a parcel is not one of ours")))?;
    Ok(match text {
        Text::Fcm { data, urgent, ttl_ms, collapse } => Parcel::Fcm(fcm::Notice {
            data,
            priority: if urgent { Priority::High } else { Priority::Normal },
            ttl_ms,
            collapse_key: collapse,
        }),
        Text::Apns { body, push_type, priority, expires_ms, collapse } => Parcel::Apns(apns::Notice {
            body: body.into_bytes(),
            push_type: push_type.as_deref().and_then(PushType::parse),
            priority,
            expires: expires_ms.map(Timestamp::from_millis),
            collapse_id: collapse,
        }),
        Text::Web { plaintext, ttl_s, urgency, topic } => Parcel::Web(web::Notice {
            plaintext: plaintext.into_bytes(),
            ttl_seconds: ttl_s,
            urgency: urgency.as_deref().and_then(parse_urgency),
            topic,
        }),
    })
}

fn parse_urgency(word: &str) -> Option<Urgency> {
    [Urgency::VeryLow, Urgency::Low, Urgency::Normal, Urgency::High].into_iter().find(|urgency| urgency.word() == word)
}

#[cfg(test)]
mod tests {
    use super::{Parcel, encode_parcel, parse_parcel};
    use crate::kernel::time::Timestamp;
    use crate::push::provider::apns::PushType;
    use crate::push::provider::fcm::Priority;
    use crate::push::provider::web::Urgency;
    use crate::push::provider::{apns, fcm, web};

    #[test]
    fn a_parcel_comes_out_of_the_queue_as_it_went_in() {
        let parcels = [
            Parcel::Fcm(fcm::Notice {
                data: vec![(String::from("b"), String::from("\"ü\"")), (String::from("a"), String::new())],
                priority: Priority::High,
                ttl_ms: Some(5),
                collapse_key: Some(String::from("c")),
            }),
            Parcel::Apns(apns::Notice {
                body: br#"{"aps":{}}"#.to_vec(),
                push_type: Some(PushType::Background),
                priority: Some(5),
                expires: Some(Timestamp::from_millis(9)),
                collapse_id: None,
            }),
            Parcel::Web(web::Notice {
                plaintext: b"{}".to_vec(),
                ttl_seconds: 7,
                urgency: Some(Urgency::VeryLow),
                topic: None,
            }),
        ];
        for parcel in parcels {
            assert_eq!(parse_parcel(&encode_parcel(&parcel).unwrap()).unwrap(), parcel);
        }
        assert!(parse_parcel("{}").is_err());
    }
}
