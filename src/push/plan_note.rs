//! What is noted when a customer or a plan is not what it was: the one place for it, whoever changed it.

use super::audit::{Change, Entry, Event, Note, Scope};
use super::ledger::LedgerEntry;
use super::plan::{Customer, Plan};
use super::tier::{PlanType, Schedule};

/// What has changed of a customer, with old and new values.
pub fn note_customer(entries: &mut Vec<Entry>, scope: &Scope, before: &Customer, after: &Customer) {
    for ((name, old), (_, new)) in before.properties().into_iter().zip(after.properties()) {
        if old == new {
            continue;
        }
        let (event, change) = match name {
            "sponsorship_pending" => (Event::SponsorshipPendingChanged, Change::Value { old, new }),
            "monthly_discounted_price" | "annual_discounted_price" | "flat_discount" => {
                (Event::DiscountChanged, Change::Property { name, old, new })
            }
            _ => (Event::CustomerChanged, Change::Property { name, old, new }),
        };
        entries.push(Entry { scope: scope.clone(), event, change });
    }
}

/// That there is a plan which was not there.
pub fn note_new_plan(entries: &mut Vec<Entry>, scope: &Scope, plan: &Plan) {
    let change = Change::Property { name: "tier", old: Note::Nothing, new: Note::from(plan.tier.number()) };
    entries.push(Entry { scope: scope.clone(), event: Event::PlanCreated, change });
}

/// What has changed of a plan, with old and new values.
pub fn note_plan(entries: &mut Vec<Entry>, scope: &Scope, before: &Plan, after: &Plan) {
    for ((name, old), (_, new)) in before.properties().into_iter().zip(after.properties()) {
        if old == new {
            continue;
        }
        let event = match (name, after.billing_schedule) {
            ("billing_schedule", Schedule::Annual) => Event::SwitchedToAnnual,
            ("billing_schedule", Schedule::Monthly) => Event::SwitchedToMonthly,
            ("charge_automatically", _) => Event::BillingModalityChanged,
            _ => Event::PlanChanged,
        };
        entries.push(Entry { scope: scope.clone(), event, change: Change::Property { name, old, new } });
    }
}

/// What has changed of a plan's licenses. Those that follow the people are told by the ledger alone.
pub fn note_licenses(entries: &mut Vec<Entry>, scope: &Scope, before: &LedgerEntry, after: &LedgerEntry) {
    for (name, old, new) in [
        ("licenses", before.licenses, after.licenses),
        ("licenses_at_next_renewal", before.licenses_at_next_renewal, after.licenses_at_next_renewal),
    ] {
        if old != new {
            let change = Change::Property { name, old: Note::from(old), new: Note::from(new) };
            entries.push(Entry { scope: scope.clone(), event: Event::PlanChanged, change });
        }
    }
}

/// That an account may use something else.
pub fn note_type(entries: &mut Vec<Entry>, scope: &Scope, old: PlanType, new: PlanType) {
    if old != new {
        entries.push(Entry::changed(scope.clone(), Event::PlanTypeChanged, old.number(), new.number()));
    }
}
