//! Where somebody goes who has signed in.

use super::customer::{Account, SWITCH_TIER_AT_PLAN_END};
use super::identity::{NextPage, Subject};

/// The page they asked for, or the one that fits the plan.
///
/// Source: section 3.9 of the dialect.
#[must_use]
pub fn landing(subject: &Subject, wanted: Option<NextPage>, account: &Account) -> NextPage {
    let exists = |page: &NextPage| *page != NextPage::Deactivate || matches!(subject, Subject::Server(_));
    wanted.filter(exists).unwrap_or_else(|| {
        let is_upgrading = account.plan().is_some_and(|plan| plan.status == SWITCH_TIER_AT_PLAN_END);
        match account.plan_type {
            100 | 101 if !is_upgrading => NextPage::Plans,
            102 => NextPage::Sponsorship,
            _ => NextPage::Billing,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::landing;
    use crate::billing::customer::{Account, Customer, Licensing, Plan, Registration, Schedule};
    use crate::billing::identity::{NextPage, Subject};
    use crate::push::uuid::Uuid;

    fn account(plan_type: u32, status: Option<u32>) -> Account {
        let plan = status.map(|status| Plan {
            tier: 101,
            status,
            schedule: Schedule::Annual,
            licensing: Licensing::Automatic,
            licenses: 1,
            licenses_at_next_renewal: 1,
            renews_at: None,
        });
        let customer = Customer { sponsorship_pending: false, is_known_to_payment: false, plan };
        Account { plan_type, registration: Registration::Active, customer: Some(customer) }
    }

    #[test]
    fn the_page_that_was_asked_for_or_the_one_for_the_plan() {
        let uuid = Uuid::parse("6cde5f7a-1f7e-4978-9716-49f69ebfc9fe").unwrap();
        let (realm, server) = (Subject::Realm(uuid.clone()), Subject::Server(uuid));
        for (plan_type, status, page) in [
            (100, None, NextPage::Plans),
            (101, Some(1), NextPage::Plans),
            (101, Some(8), NextPage::Billing),
            (102, None, NextPage::Sponsorship),
            (103, Some(1), NextPage::Billing),
            (104, None, NextPage::Billing),
            (105, None, NextPage::Billing),
        ] {
            assert_eq!(landing(&realm, None, &account(plan_type, status)), page, "{plan_type} {status:?}");
            assert_eq!(landing(&server, None, &account(plan_type, status)), page, "{plan_type} {status:?}");
        }
        for page in NextPage::ALL {
            assert_eq!(landing(&server, Some(page), &account(100, None)), page);
        }
        assert_eq!(landing(&realm, Some(NextPage::Upgrade), &account(103, None)), NextPage::Upgrade);
        assert_eq!(landing(&realm, Some(NextPage::Deactivate), &account(100, None)), NextPage::Plans);
    }
}
