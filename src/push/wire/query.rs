//! The query parameters of operators' lists.

use crate::kernel::object::Call;
use crate::kernel::time::{SAFE_INTEGER_MAX, Timestamp};
use crate::push::operate::OperationError;
use crate::push::uuid::Uuid;
use crate::push::wire::wish::WORDS_CHARS_MAX;

/// Entries of a page.
pub const PAGE_MAX: u64 = 200;

const PAGE: u64 = 50;

/// The shortest search. Units: characters.
pub const SEARCH_CHARS_MIN: usize = 2;

/// What a parameter must be, as the caller reads it.
pub(super) fn must(name: &str) -> &'static str {
    match name {
        "limit" => "must be from 1 to 200",
        "after" => "must be the `next` of the page before",
        "from" | "to" => "must be a time in Unix seconds",
        "query" => "must have 2 to 500 characters",
        "property" => "must be the name of a series",
        "format" => "must be json or csv",
        "realm" => "must be a UUID",
        _ => "is not valid",
    }
}

/// Query parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// The parameters of a call.
    #[must_use]
    pub fn of(call: &Call) -> Self {
        let pairs = url::form_urlencoded::parse(call.query.as_bytes());
        Self(pairs.map(|(name, value)| (name.into_owned(), value.into_owned())).collect())
    }

    /// A parameter that is given and not empty.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.as_str()).filter(|v| !v.is_empty())
    }

    /// A number.
    ///
    /// Errors: [`OperationError::Query`].
    pub fn number(&self, name: &'static str) -> Result<Option<u64>, OperationError> {
        let parse = |text: &str| text.parse().ok().filter(|number| *number <= SAFE_INTEGER_MAX);
        self.get(name).map(|text| parse(text).ok_or(OperationError::Query(name))).transpose()
    }

    /// How many entries are wanted.
    ///
    /// Errors: [`OperationError::Query`].
    pub fn limit(&self) -> Result<u64, OperationError> {
        self.limit_or(PAGE)
    }

    /// How many entries are wanted, where it is `usual` unless said.
    ///
    /// Errors: [`OperationError::Query`].
    pub fn limit_or(&self, usual: u64) -> Result<u64, OperationError> {
        let limit = self.number("limit")?.unwrap_or(usual);
        if (1..=PAGE_MAX).contains(&limit) { Ok(limit) } else { Err(OperationError::Query("limit")) }
    }

    /// The row after which a page begins.
    ///
    /// Errors: [`OperationError::Query`].
    pub fn after(&self) -> Result<i64, OperationError> {
        let after = self.number("after")?.unwrap_or(0);
        i64::try_from(after).map_err(|_| OperationError::Query("after"))
    }

    /// The name after which a page begins; empty at the first.
    ///
    /// Errors: [`OperationError::Query`] for what is no such name.
    pub fn after_name(&self, is_name: impl Fn(&str) -> bool) -> Result<&str, OperationError> {
        match self.get("after") {
            Some(name) if !is_name(name) => Err(OperationError::Query("after")),
            name => Ok(name.unwrap_or_default()),
        }
    }

    /// The organization that is meant, if one is.
    ///
    /// Errors: [`OperationError::Query`].
    pub fn realm(&self) -> Result<Option<Uuid>, OperationError> {
        self.get("realm").map(|text| Uuid::parse(text).ok_or(OperationError::Query("realm"))).transpose()
    }

    /// A time in seconds.
    ///
    /// Errors: [`OperationError::Query`].
    pub fn time(&self, name: &'static str) -> Result<Option<Timestamp>, OperationError> {
        Ok(self.number(name)?.map(|seconds| Timestamp::from_millis(seconds.saturating_mul(1_000))))
    }

    /// What is searched for, in lower case; empty for everything.
    ///
    /// Errors: [`OperationError::Query`], also for one character, which would be found nearly everywhere.
    pub fn search(&self) -> Result<String, OperationError> {
        let text = self.get("query").unwrap_or_default().trim().to_lowercase();
        let fits = text.is_empty() || (SEARCH_CHARS_MIN..=WORDS_CHARS_MAX).contains(&text.chars().count());
        if fits { Ok(text) } else { Err(OperationError::Query("query")) }
    }
}

#[cfg(test)]
mod tests {
    use super::{PAGE_MAX, SEARCH_CHARS_MIN, WORDS_CHARS_MAX, must};

    #[test]
    fn sentences_name_the_limits_that_hold() {
        assert_eq!(must("limit"), format!("must be from 1 to {PAGE_MAX}"));
        assert_eq!(must("query"), format!("must have {SEARCH_CHARS_MIN} to {WORDS_CHARS_MAX} characters"));
    }
}
