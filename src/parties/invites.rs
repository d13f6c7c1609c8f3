//! Invites: short codes that let in although a party has a password.

use std::collections::BTreeMap;

use super::refusal::Refusal;
use crate::kernel::entropy::Entropy;
use crate::kernel::time::Timestamp;

/// Invites that are open at a time.
pub const INVITES_MAX: usize = 64;

/// How long an invite is good unless said otherwise. Units: seconds; a day.
pub const EXPIRES_IN_S: u64 = 86_400;

/// The longest time an invite can be good for. Units: seconds; 30 days.
pub const EXPIRES_IN_S_MAX: u64 = 30 * 86_400;

/// The largest number of uses that can be asked for.
pub const USES_MAX: u32 = 10_000;

/// Letters of a code: 40 bits, and ten tries per network in ten minutes.
const CODE_LETTERS: usize = 8;

/// Crockford's base 32: no I, L, O, U.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// What a code is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Invite {
    /// Until when.
    pub expires_at: Timestamp,
    /// How often still; without a number as often as it is used.
    pub uses_left: Option<u32>,
}

/// All invites of a party.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Invites {
    by_code: BTreeMap<String, Invite>,
}

/// The code as it is kept: capitals, without what people read wrongly and without separators.
#[must_use]
pub fn normalize(code: &str) -> String {
    let letters = code.chars().filter(|letter| !matches!(letter, '-' | ' ')).take(CODE_LETTERS + 1);
    letters
        .map(|letter| match letter.to_ascii_uppercase() {
            'O' => '0',
            'I' | 'L' => '1',
            other => other,
        })
        .collect()
}

impl Invites {
    /// The invites as they were stored.
    #[must_use]
    pub fn restore(invites: Vec<(String, Invite)>) -> Self {
        Self { by_code: invites.into_iter().collect() }
    }

    /// An invite, whether or not it is still good.
    #[must_use]
    pub fn get(&self, code: &str) -> Option<Invite> {
        self.by_code.get(code).copied()
    }

    /// The invites that are good, by code.
    pub fn good(&self, now: Timestamp) -> impl Iterator<Item = (&str, Invite)> {
        self.by_code.iter().filter(move |(_, invite)| invite.expires_at > now).map(|(code, invite)| (&**code, *invite))
    }

    /// Adds an invite. Returns its code and the codes that were forgotten because they are no longer good.
    ///
    /// Errors: [`Refusal::TooManyInvites`].
    pub fn add(
        &mut self,
        now: Timestamp,
        invite: Invite,
        entropy: &mut dyn Entropy,
    ) -> Result<(String, Vec<String>), Refusal> {
        if self.good(now).count() >= INVITES_MAX {
            return Err(Refusal::TooManyInvites);
        }
        let old: Vec<String> =
            self.by_code.iter().filter(|(_, old)| old.expires_at <= now).map(|(code, _)| code.clone()).collect();
        self.by_code.retain(|_, old| old.expires_at > now);
        let mut code = random_code(entropy);
        while self.by_code.contains_key(&code) {
            code = random_code(entropy);
        }
        self.by_code.insert(code.clone(), invite);
        Ok((code, old))
    }

    /// Whether a code lets in.
    #[must_use]
    pub fn is_good(&self, now: Timestamp, code: &str) -> bool {
        self.by_code.get(code).is_some_and(|invite| invite.expires_at > now)
    }

    /// Counts one use of a good code. One that is used up is forgotten.
    pub fn redeem(&mut self, code: &str) {
        if let Some(invite) = self.by_code.get_mut(code)
            && let Some(left) = &mut invite.uses_left
        {
            *left = left.saturating_sub(1);
            if *left == 0 {
                self.by_code.remove(code);
            }
        }
    }

    /// Takes a code back.
    ///
    /// Errors: [`Refusal::InviteNotFound`].
    pub fn revoke(&mut self, code: &str) -> Result<(), Refusal> {
        match self.by_code.remove(code) {
            Some(_) => Ok(()),
            None => Err(Refusal::InviteNotFound(code.to_owned())),
        }
    }
}

fn random_code(entropy: &mut dyn Entropy) -> String {
    let letter = |_| {
        let index = entropy.below(32) as usize;
        char::from(ALPHABET.get(index).copied().unwrap_or(b'0'))
    };
    (0..CODE_LETTERS).map(letter).collect()
}

#[cfg(test)]
mod tests {
    use super::{INVITES_MAX, Invite, Invites, normalize};
    use crate::kernel::entropy::SeededEntropy;
    use crate::kernel::time::Timestamp;
    use crate::parties::refusal::Refusal;

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);

    #[test]
    fn a_code_is_read_as_people_write_it() {
        assert_eq!(normalize("abcd-efgh"), "ABCDEFGH");
        assert_eq!(normalize("oiL0 1111"), "01101111");
        assert!(normalize(&"x".repeat(5_000)).len() < 12);
    }

    #[test]
    fn an_invite_is_good_until_its_time_and_as_often_as_said() {
        let (mut invites, mut entropy) = (Invites::default(), SeededEntropy::new(1));
        let invite = Invite { expires_at: NOW.plus(10), uses_left: Some(2) };
        let (code, _) = invites.add(NOW, invite, &mut entropy).unwrap();
        assert_eq!(normalize(&code), code);
        assert!(invites.is_good(NOW.plus(9), &code) && !invites.is_good(NOW.plus(10), &code));
        invites.redeem(&code);
        assert!(invites.is_good(NOW, &code));
        invites.redeem(&code);
        assert!(!invites.is_good(NOW, &code));
    }

    #[test]
    fn open_invites_are_bounded_and_old_ones_make_room() {
        let (mut invites, mut entropy) = (Invites::default(), SeededEntropy::new(1));
        let invite = Invite { expires_at: NOW.plus(10), uses_left: None };
        for _ in 0..INVITES_MAX {
            invites.add(NOW, invite, &mut entropy).unwrap();
        }
        assert_eq!(invites.add(NOW, invite, &mut entropy), Err(Refusal::TooManyInvites));
        let (_, old) = invites.add(NOW.plus(10), invite, &mut entropy).unwrap();
        assert_eq!(old.len(), INVITES_MAX);
    }
}
