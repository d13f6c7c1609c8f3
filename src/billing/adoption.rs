//! A server's plan becomes its organization's when the owner of the only organization signs in.
//!
//! Source: section 3.10 of the dialect.

use super::customer::{Customer, SWITCH_TIER_AT_PLAN_END};

/// What becomes of the server's customer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Adoption {
    /// Nothing.
    Nothing,
    /// It becomes the organization's, with all it has.
    Customer,
    /// Its plan, and what the payment system knows it by, go to the organization's customer.
    Plan,
}

/// Both have plans or payments, and nobody but a person can say which counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Irreconcilable;

/// What must be known.
#[derive(Debug, Clone, Copy)]
pub struct AdoptionFacts<'a> {
    /// The server's customer.
    pub server: Option<&'a Customer>,
    /// The organization's.
    pub realm: Option<&'a Customer>,
    /// Whether it is the only one of its server in which people are.
    pub company: Company,
}

/// How many organizations of people there are beside the one that signs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Company {
    /// It is the only one.
    Alone,
    /// There are others, or it is none itself.
    Others,
}

/// Decides.
///
/// Errors: [`Irreconcilable`].
pub fn decide_adoption(facts: &AdoptionFacts<'_>) -> Result<Adoption, Irreconcilable> {
    let Some(server) = facts.server.filter(|server| !server.sponsorship_pending) else { return Ok(Adoption::Nothing) };
    let Some(plan) = server.plan.as_ref().filter(|_| facts.company == Company::Alone) else {
        return Ok(Adoption::Nothing);
    };
    match facts.realm {
        None => Ok(Adoption::Customer),
        Some(realm) if realm.plan.is_none() && !realm.is_known_to_payment && plan.status != SWITCH_TIER_AT_PLAN_END => {
            Ok(Adoption::Plan)
        }
        Some(_) => Err(Irreconcilable),
    }
}

#[cfg(test)]
mod tests {
    use super::{Adoption, AdoptionFacts, Company, Irreconcilable, decide_adoption};
    use crate::billing::customer::{Customer, Licensing, Plan, Schedule};

    fn plan(status: u32) -> Plan {
        Plan {
            tier: 101,
            status,
            schedule: Schedule::Annual,
            licensing: Licensing::Automatic,
            licenses: 1,
            licenses_at_next_renewal: 1,
            renews_at: None,
        }
    }

    fn customer(plan: Option<Plan>) -> Customer {
        Customer { sponsorship_pending: false, is_known_to_payment: false, plan }
    }

    fn decide(server: Option<Customer>, realm: Option<Customer>, company: Company) -> Result<Adoption, Irreconcilable> {
        decide_adoption(&AdoptionFacts { server: server.as_ref(), realm: realm.as_ref(), company })
    }

    #[test]
    fn a_servers_plan_stays_when_there_is_none_it_waits_or_there_are_several_organizations() {
        let live = || Some(customer(Some(plan(1))));
        assert_eq!(decide(None, None, Company::Alone), Ok(Adoption::Nothing));
        assert_eq!(decide(Some(customer(None)), None, Company::Alone), Ok(Adoption::Nothing));
        assert_eq!(decide(live(), None, Company::Others), Ok(Adoption::Nothing));
        let waiting = live().map(|customer| Customer { sponsorship_pending: true, ..customer });
        assert_eq!(decide(waiting, None, Company::Alone), Ok(Adoption::Nothing));
    }

    #[test]
    fn an_only_organization_takes_the_customer_or_the_plan() {
        let live = |status| Some(customer(Some(plan(status))));
        assert_eq!(decide(live(1), None, Company::Alone), Ok(Adoption::Customer));
        assert_eq!(decide(live(8), None, Company::Alone), Ok(Adoption::Customer));
        assert_eq!(decide(live(1), Some(customer(None)), Company::Alone), Ok(Adoption::Plan));
    }

    #[test]
    fn two_plans_two_payments_or_a_planned_switch_are_for_a_person_to_reconcile() {
        let live = |status| Some(customer(Some(plan(status))));
        let paying = customer(None);
        let paying = Customer { is_known_to_payment: true, ..paying };
        assert_eq!(decide(live(1), live(1), Company::Alone), Err(Irreconcilable));
        assert_eq!(decide(live(1), Some(paying), Company::Alone), Err(Irreconcilable));
        assert_eq!(decide(live(8), Some(customer(None)), Company::Alone), Err(Irreconcilable));
    }
}
