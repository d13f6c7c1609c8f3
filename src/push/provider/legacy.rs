//! What the legacy path changes in a notification before it is sent.

/// So many messages are removed by one notification: the payload must stay below the providers' 4 KiB.
pub const REMOVED_IDS_MAX: usize = 200;

/// What is wrong with a notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LegacyError {
    /// A priority that there is not, as it stands in the request.
    Priority(String),
    /// Options that there are not, as JSON.
    Options(String),
    /// Message ids that are no numbers.
    MessageIds,
}

impl LegacyError {
    /// The sentence that the caller reads.
    #[must_use]
    pub fn sentence(&self) -> String {
        match self {
            Self::Priority(given) => format!("Invalid GCM option to bouncer: priority {given}"),
            Self::Options(json) => format!("Invalid GCM options to bouncer: {json}"),
            Self::MessageIds => String::from("Invalid zulip_message_ids"),
        }
    }
}

/// The numerically largest [`REMOVED_IDS_MAX`] of the ids in `text`, which commas separate, in ascending order.
///
/// Errors: [`LegacyError::MessageIds`].
pub fn truncate_ids(text: &str) -> Result<String, LegacyError> {
    let parse = |id: &str| id.trim().parse::<u64>().map_err(|_| LegacyError::MessageIds);
    let mut ids: Vec<u64> = text.split(',').map(parse).collect::<Result<_, _>>()?;
    ids.sort_unstable();
    let kept: Vec<String> = ids.iter().rev().take(REMOVED_IDS_MAX).rev().map(u64::to_string).collect();
    Ok(kept.join(","))
}
