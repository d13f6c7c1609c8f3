//! What became of what owners asked for. Nobody is charged here: an operator or the payment system answers, and what they
//! do to the plan is the answer.

use super::customer::Account;
use crate::kernel::time::Timestamp;

/// What an owner asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A change of the live plan, which is done at once or refused at once.
    Change,
    /// A paid plan.
    Upgrade,
    /// A plan as a gift.
    Sponsorship,
}

impl Kind {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Change, Self::Upgrade, Self::Sponsorship];

    /// The name in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Change => "change",
            Self::Upgrade => "upgrade",
            Self::Sponsorship => "sponsorship",
        }
    }
}

/// The newest request of its kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// What for.
    pub kind: Kind,
    /// When.
    pub at: Timestamp,
    /// The billing user's address.
    pub by: String,
    /// When an operator or the payment system first changed what was asked for.
    pub answered_at: Option<Timestamp>,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It waits for an operator or the payment system.
    Waiting,
    /// It was done, or answered otherwise: the plan says how.
    Done,
}

impl Standing {
    /// The name in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Done => "done",
        }
    }
}

/// What became of a request.
#[must_use]
pub fn decide_standing(asked: &Asked, account: &Account) -> Standing {
    let is_waiting = match asked.kind {
        Kind::Change => false,
        Kind::Upgrade => asked.answered_at.is_none() && account.plan().is_none_or(|plan| plan.tier < 103),
        Kind::Sponsorship => account.customer.as_ref().is_some_and(|customer| customer.sponsorship_pending),
    };
    if is_waiting { Standing::Waiting } else { Standing::Done }
}

#[cfg(test)]
mod tests {
    use super::{Asked, Kind, Standing, decide_standing};
    use crate::billing::customer::{Account, Customer, Licensing, Plan, Registration, Schedule};
    use crate::kernel::time::Timestamp;

    fn account((pending, tier): (bool, Option<u32>)) -> Account {
        let plan = tier.map(|tier| Plan {
            tier,
            status: 1,
            schedule: Schedule::Annual,
            licensing: Licensing::Automatic,
            licenses: 1,
            licenses_at_next_renewal: 1,
            renews_at: None,
        });
        let customer = Customer { sponsorship_pending: pending, is_known_to_payment: false, plan };
        Account { plan_type: 100, registration: Registration::Active, customer: Some(customer) }
    }

    #[test]
    fn requests_wait_until_the_plan_answers_them() {
        use Standing::{Done, Waiting};
        for (kind, is_answered, pending, tier, standing) in [
            (Kind::Change, false, false, Some(103), Done),
            (Kind::Change, false, true, None, Done),
            (Kind::Upgrade, false, false, None, Waiting),
            (Kind::Upgrade, false, false, Some(101), Waiting),
            (Kind::Upgrade, false, false, Some(102), Waiting),
            (Kind::Upgrade, false, false, Some(103), Done),
            (Kind::Upgrade, false, false, Some(105), Done),
            (Kind::Upgrade, true, false, None, Done),
            (Kind::Sponsorship, false, true, None, Waiting),
            (Kind::Sponsorship, true, true, Some(103), Waiting),
            (Kind::Sponsorship, false, false, None, Done),
            (Kind::Sponsorship, true, false, Some(102), Done),
        ] {
            let at = Timestamp::from_millis(1_800_000_000_000);
            let asked = Asked { kind, at, by: String::from("a@b.org"), answered_at: is_answered.then_some(at) };
            assert_eq!(decide_standing(&asked, &account((pending, tier))), standing, "{asked:?} {pending} {tier:?}");
        }
        let nobody = Account { customer: None, ..account((false, None)) };
        let asked = |kind| Asked { kind, at: Timestamp::from_millis(1), by: String::new(), answered_at: None };
        assert_eq!(decide_standing(&asked(Kind::Upgrade), &nobody), Waiting);
        assert_eq!(decide_standing(&asked(Kind::Sponsorship), &nobody), Done);
    }
}
