//! A server's plan becomes its only organization's.
//!
//! Source: section 3.10 of the dialect.

use super::plan::Customer;
use super::tier::Status;

/// What the decision rests on: the server has a customer with a live plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MoveFacts {
    /// Whether the server has asked for sponsorship.
    pub sponsorship_pending: bool,
    /// Where the server's plan stands.
    pub server_status: Status,
    /// Organizations that people use.
    pub realms_for_people: usize,
    /// The organization's own customer.
    pub realm_customer: Option<Customer>,
    /// Whether the organization has a live plan of its own.
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
    if facts.sponsorship_pending || facts.realms_for_people != 1 {
        return Ok(MovePlan::Nothing);
    }
    match &facts.realm_customer {
        None => Ok(MovePlan::Customer),
        Some(customer) => {
            let is_free = !facts.realm_has_plan && customer.payment_reference.is_none();
            if is_free && facts.server_status != Status::SwitchTierAtPlanEnd {
                Ok(MovePlan::Plan)
            } else {
                Err(Irreconcilable)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Irreconcilable, MoveFacts, MovePlan, decide_move};
    use crate::push::plan::Customer;
    use crate::push::tier::Status;

    #[test]
    fn every_branch_of_a_move() {
        let facts = MoveFacts {
            sponsorship_pending: false,
            server_status: Status::Active,
            realms_for_people: 1,
            realm_customer: None,
            realm_has_plan: false,
        };
        assert_eq!(decide_move(&facts), Ok(MovePlan::Customer));
        assert_eq!(decide_move(&MoveFacts { sponsorship_pending: true, ..facts.clone() }), Ok(MovePlan::Nothing));
        for realms_for_people in [0, 2] {
            assert_eq!(decide_move(&MoveFacts { realms_for_people, ..facts.clone() }), Ok(MovePlan::Nothing));
        }
        let own = MoveFacts { realm_customer: Some(Customer::default()), ..facts };
        assert_eq!(decide_move(&own), Ok(MovePlan::Plan));
        assert_eq!(decide_move(&MoveFacts { realm_has_plan: true, ..own.clone() }), Err(Irreconcilable));
        assert_eq!(
            decide_move(&MoveFacts { server_status: Status::SwitchTierAtPlanEnd, ..own.clone() }),
            Err(Irreconcilable)
        );
        let paid = Customer { payment_reference: Some(String::from("cus_1")), ..Customer::default() };
        assert_eq!(decide_move(&MoveFacts { realm_customer: Some(paid), ..own }), Err(Irreconcilable));
    }
}
