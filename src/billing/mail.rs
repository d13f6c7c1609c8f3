//! Letters: how many may be asked for, and how often their delivery is tried.

use crate::kernel::network::ClientNetwork;
use crate::kernel::time::Timestamp;

/// Letters a day for one client's network.
pub const PER_NETWORK_MAX: usize = 5;

/// Letters a day for one server and its organizations.
pub const PER_SERVER_MAX: usize = 10;

/// The length of that day. Units: milliseconds.
pub const DAY_MS: u64 = 24 * 3_600_000;

/// How long one try may take before the next is made. Units: milliseconds.
pub const TRY_MS: u64 = 30_000;

/// The first pause after a failure; each is twice the one before. Units: milliseconds.
const PAUSE_MS: u64 = 10_000;

/// The longest pause. Units: milliseconds.
const PAUSE_MAX_MS: u64 = 30 * 60_000;

/// A letter that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// When.
    pub at: Timestamp,
    /// From where.
    pub network: ClientNetwork,
}

/// Too many letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MailLimit {
    /// From there.
    Network,
    /// For this server.
    Server,
}

/// What the counter of all servers' letters says of one more for a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Permit {
    /// It was not asked yet.
    #[default]
    Unasked,
    /// One more, and it is counted.
    Granted,
    /// Not today.
    Refused,
    /// It does not answer.
    Silent,
}

/// Whether one more may be asked for. Refused ones do not count.
///
/// Errors: [`MailLimit`].
pub fn decide_mail(sent: &[Sent], network: &ClientNetwork, now: Timestamp) -> Result<(), MailLimit> {
    let today = || sent.iter().filter(|sent| now.since(sent.at) < DAY_MS);
    if today().filter(|sent| sent.network == *network).count() >= PER_NETWORK_MAX {
        return Err(MailLimit::Network);
    }
    if today().count() >= PER_SERVER_MAX { Err(MailLimit::Server) } else { Ok(()) }
}

/// A letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// Its number, by which a receiver tells a repetition.
    pub mail_id: u64,
    /// To whom.
    pub to: String,
    /// One line.
    pub subject: String,
    /// Plain text.
    pub text: String,
    /// When it was written.
    pub written_at: Timestamp,
}

/// How long to wait after so many failed tries. Units: milliseconds.
#[must_use]
pub fn pause_ms(attempts: u64) -> u64 {
    let doublings = u32::try_from(attempts.saturating_sub(1)).unwrap_or(u32::MAX);
    PAUSE_MS
        .checked_shl(doublings)
        .filter(|pause| *pause >> doublings.min(63) == PAUSE_MS)
        .map_or(PAUSE_MAX_MS, |pause| pause.min(PAUSE_MAX_MS))
}

/// Whether a letter is given up: the link in it has ended.
#[must_use]
pub const fn is_stale(written_at: Timestamp, now: Timestamp) -> bool {
    now.since(written_at) >= DAY_MS
}

#[cfg(test)]
mod tests {
    use super::{DAY_MS, MailLimit, PAUSE_MAX_MS, Sent, decide_mail, pause_ms};
    use crate::kernel::network::ClientNetwork;
    use crate::kernel::time::Timestamp;

    #[test]
    fn five_a_day_from_one_place_and_ten_for_a_server() {
        let now = Timestamp::from_millis(1_800_000_000_000);
        let place = |n: u64| ClientNetwork::from_header(Some(&format!("203.0.113.{n}")));
        let sent = |n: u64, ago: u64| Sent { at: now.minus(ago), network: place(n) };
        let mut log: Vec<Sent> = (0..4).map(|_| sent(1, 1_000)).collect();
        assert_eq!(decide_mail(&log, &place(1), now), Ok(()));
        log.push(sent(1, DAY_MS - 1));
        assert_eq!(decide_mail(&log, &place(1), now), Err(MailLimit::Network));
        assert_eq!(decide_mail(&log, &place(1), now.plus(1)), Ok(()), "the oldest is a day old");
        assert_eq!(decide_mail(&log, &place(2), now), Ok(()));
        log.extend((0..5).map(|n| sent(10 + n, 5)));
        assert_eq!(decide_mail(&log, &place(2), now), Err(MailLimit::Server));
    }

    #[test]
    fn pauses_double_up_to_half_an_hour() {
        assert_eq!([1, 2, 3, 4].map(pause_ms), [10_000, 20_000, 40_000, 80_000]);
        for attempts in [20, 60, 64, 65, 1_000, u64::MAX] {
            assert_eq!(pause_ms(attempts), PAUSE_MAX_MS, "{attempts}");
        }
    }
}
