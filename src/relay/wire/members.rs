//! The members of a frame, each looked at only when a rule needs it.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::relay::refusal::Refusal;
use crate::relay::seats::is_peer_id;

/// Every member that any message has. JSON `null` is the same as absent.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Members<'a> {
    #[serde(borrow, rename = "type")]
    pub(super) kind: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) peer_id: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) max_connections: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) public_key: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) connected_count: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) source_id: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) count: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) prefer: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) relay_id: Option<&'a RawValue>,
    #[serde(borrow, rename = "relay_id")]
    pub(super) relay_id_snake: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) daily_points: Option<&'a RawValue>,
    #[serde(borrow, rename = "daily_points")]
    pub(super) daily_points_snake: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) hourly_tokens: Option<&'a RawValue>,
    #[serde(borrow, rename = "hourly_tokens")]
    pub(super) hourly_tokens_snake: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) dead_drop: Option<&'a RawValue>,
    #[serde(borrow, rename = "dead_drop")]
    pub(super) dead_drop_snake: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) dead_drops: Option<&'a RawValue>,
    #[serde(borrow, rename = "dead_drops")]
    pub(super) dead_drops_snake: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) channel_id: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) chunks: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) chunk_id: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) data: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) routing_hash: Option<&'a RawValue>,
    #[serde(borrow, rename = "routing_hash")]
    pub(super) routing_hash_snake: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) sequence: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) chunk_index: Option<&'a RawValue>,
    #[serde(borrow, rename = "chunk_index")]
    pub(super) chunk_index_snake: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) message: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) stream_id: Option<&'a RawValue>,
}

/// What a member is, as far as texts go.
pub(super) enum Text<'a> {
    /// Absent, `null`, or empty.
    None,
    /// A text.
    Some(Cow<'a, str>),
    /// Something else.
    Other,
}

/// Objects and arrays inside one another. Ours to bound, because what is passed on is parsed by its receiver.
const DEPTH_MAX: usize = 64;

/// Whether `json`, which is valid, is nested no deeper than receivers can be expected to follow.
pub(super) fn is_shallow(json: &str) -> bool {
    let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = in_text,
            b'"' => in_text = !in_text,
            b'{' | b'[' if !in_text => {
                depth += 1;
                if depth > DEPTH_MAX {
                    return false;
                }
            }
            b'}' | b']' if !in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    true
}

/// The text that `raw` is; borrowed unless it has escapes.
pub(super) fn text(raw: Option<&RawValue>) -> Text<'_> {
    let Some(json) = raw.map(RawValue::get) else { return Text::None };
    let inner = json.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let text = match inner {
        None => return Text::Other,
        Some(inner) if !inner.contains('\\') => Cow::Borrowed(inner),
        Some(_) => match serde_json::from_str::<String>(json) {
            Ok(text) => Cow::Owned(text),
            // A lone surrogate, which no text of ours can hold.
            Err(_) => return Text::Other,
        },
    };
    if text.is_empty() { Text::None } else { Text::Some(text) }
}

/// The text that `raw` is, nothing when it is absent or empty.
///
/// Errors: [`Refusal::Malformed`] with `sentence` when it is something else or longer than `chars_max`.
pub(super) fn bounded<'a>(
    raw: Option<&'a RawValue>,
    chars_max: usize,
    (kind, sentence): (&'static str, &'static str),
) -> Result<Option<Cow<'a, str>>, Refusal> {
    match text(raw) {
        Text::None => Ok(None),
        Text::Some(text) if is_within(&text, chars_max) => Ok(Some(text)),
        Text::Some(_) | Text::Other => Err(Refusal::Malformed(kind, sentence)),
    }
}

/// Whether `text` has at most `chars_max` characters.
pub(super) fn is_within(text: &str, chars_max: usize) -> bool {
    text.len() <= chars_max || text.chars().count() <= chars_max
}

/// A peer id, nothing when it is absent or empty.
///
/// Errors: [`Refusal::BadPeerId`].
pub(super) fn peer_id(raw: Option<&RawValue>) -> Result<Option<Cow<'_, str>>, Refusal> {
    match text(raw) {
        Text::None => Ok(None),
        Text::Some(id) if is_peer_id(&id) => Ok(Some(id)),
        Text::Some(_) | Text::Other => Err(Refusal::BadPeerId),
    }
}

/// The number that `raw` is.
pub(super) fn number(raw: Option<&RawValue>) -> Option<f64> {
    raw.and_then(|raw| serde_json::from_str::<f64>(raw.get()).ok()).filter(|number| number.is_finite())
}

/// The whole number that `raw` is.
pub(super) fn whole(raw: Option<&RawValue>) -> Option<u64> {
    raw.and_then(|raw| serde_json::from_str::<u64>(raw.get()).ok())
        .filter(|number| *number <= crate::kernel::time::SAFE_INTEGER_MAX)
}
