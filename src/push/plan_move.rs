//! A server's plan becomes its only organization's.
//!
//! The one rule for it: the desk of [`crate::billing`] asks the books when an owner comes, and the books ask this.
//!
//! Source: section 3.10 of the dialect.

use super::plan::Customer;
use super::tier::Status;
use super::uuid::Uuid;

/// What the decision rests on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MoveFacts {
    /// The server's customer.
    pub server_customer: Option<Customer>,
    /// Where the server's live plan stands.
    pub server_status: Option<Status>,
    /// Organizations that people use: neither deactivated nor deleted on the server, their registrations active.
    pub for_people: Vec<Uuid>,
    /// The organization whose owner has come.
    pub realm: Uuid,
    /// That organization's own customer.
    pub realm_customer: Option<Customer>,
    /// Whether it has a live plan of its own.
    pub realm_has_plan: bool,
}

/// What moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MovePlan {
    /// Nothing.
    Nothing,
    /// The customer with everything.
    Customer,
    /// The plan, and the customer's name at the payment system.
    Plan,
}

/// Both have what cannot be put together; somebody must look at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Irreconcilable;

/// Decides.
///
/// Errors: [`Irreconcilable`].
pub fn decide_move(facts: &MoveFacts) -> Result<MovePlan, Irreconcilable> {
    let waits = facts.server_customer.as_ref().is_none_or(|customer| customer.sponsorship_pending);
    let is_only = facts.for_people == [facts.realm.clone()];
    let Some(status) = facts.server_status.filter(|_| !waits && is_only) else { return Ok(MovePlan::Nothing) };
    match &facts.realm_customer {
        None => Ok(MovePlan::Customer),
        Some(customer) => {
            let is_free = !facts.realm_has_plan && customer.payment_reference.is_none();
            if is_free && status != Status::SwitchTierAtPlanEnd { Ok(MovePlan::Plan) } else { Err(Irreconcilable) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Irreconcilable, MoveFacts, MovePlan, decide_move};
    use crate::push::plan::Customer;
    use crate::push::tier::Status;
    use crate::push::uuid::Uuid;

    fn uuid(letter: char) -> Uuid {
        Uuid::parse(&format!("{letter}cde5f7a-1f7e-4978-9716-49f69ebfc9fe")).unwrap()
    }

    fn facts() -> MoveFacts {
        MoveFacts {
            server_customer: Some(Customer::default()),
            server_status: Some(Status::Active),
            for_people: vec![uuid('a')],
            realm: uuid('a'),
            realm_customer: None,
            realm_has_plan: false,
        }
    }

    #[test]
    fn a_servers_plan_stays_when_there_is_none_it_waits_or_there_are_several_organizations() {
        assert_eq!(decide_move(&MoveFacts { server_customer: None, ..facts() }), Ok(MovePlan::Nothing));
        assert_eq!(decide_move(&MoveFacts { server_status: None, ..facts() }), Ok(MovePlan::Nothing));
        let waiting = Some(Customer { sponsorship_pending: true, ..Customer::default() });
        assert_eq!(decide_move(&MoveFacts { server_customer: waiting, ..facts() }), Ok(MovePlan::Nothing));
        for for_people in [vec![], vec![uuid('b')], vec![uuid('a'), uuid('b')], vec![uuid('b'), uuid('a')]] {
            let several = MoveFacts { for_people, realm_customer: Some(Customer::default()), ..facts() };
            assert_eq!(decide_move(&several), Ok(MovePlan::Nothing), "{:?}", several.for_people);
        }
    }

    #[test]
    fn an_only_organization_takes_the_customer_or_the_plan() {
        for status in [Status::Active, Status::SwitchTierAtPlanEnd] {
            let live = MoveFacts { server_status: Some(status), ..facts() };
            assert_eq!(decide_move(&live), Ok(MovePlan::Customer));
        }
        let own = MoveFacts { realm_customer: Some(Customer::default()), ..facts() };
        assert_eq!(decide_move(&own), Ok(MovePlan::Plan));
    }

    #[test]
    fn two_plans_two_payments_or_a_planned_switch_are_for_a_person_to_reconcile() {
        let own = MoveFacts { realm_customer: Some(Customer::default()), ..facts() };
        assert_eq!(decide_move(&MoveFacts { realm_has_plan: true, ..own.clone() }), Err(Irreconcilable));
        let switching = Some(Status::SwitchTierAtPlanEnd);
        assert_eq!(decide_move(&MoveFacts { server_status: switching, ..own.clone() }), Err(Irreconcilable));
        let paid = Customer { payment_reference: Some(String::from("cus_1")), ..Customer::default() };
        assert_eq!(decide_move(&MoveFacts { realm_customer: Some(paid), ..own }), Err(Irreconcilable));
    }
}
