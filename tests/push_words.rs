//! Every sentence of uploads, permissions, plans and operators, letter by letter.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::fmt::Write as _;

use waystation::push::operate::{Mistake, OperationError};
use waystation::push::permission::Reason;
use waystation::push::plan::PlanError;
use waystation::push::refusal::Refusal;
use waystation::push::role::Role;
use waystation::push::upload::UploadError;
use waystation::push::wire::{envelope, operator};

fn operators() -> Vec<OperationError> {
    use OperationError as E;
    let plans = [
        PlanError::Nothing,
        PlanError::NoTier,
        PlanError::NoPlan,
        PlanError::NotLive,
        PlanError::TwoPrices,
        PlanError::NoPrice,
        PlanError::TooFewLicenses { least: 25 },
        PlanError::StatusNotAllowed,
        PlanError::AutomaticLicenses,
        PlanError::FewerLicenses,
        PlanError::OneThing,
        PlanError::MissingCounts,
    ];
    let mut all = vec![
        E::NotOperator,
        E::Forbidden { needed: Role::Owner },
        E::NotJson,
        E::Body(Mistake { pointer: String::new(), detail: String::from("must be an object") }),
        E::Body(Mistake { pointer: String::from("/plan/tier"), detail: String::from("must be a text") }),
        E::Query("limit"),
        E::NoServer,
        E::NoRealm,
        E::NoToken,
        E::AlreadyDeactivated,
        E::AlreadyActive,
        E::Removed,
        E::WrongSecret,
        E::SameServer,
        E::LivePlan,
        E::Full,
        E::Signature,
    ];
    all.extend(plans.map(E::Plan));
    all
}

#[test]
fn every_sentence_is_the_golden_one() {
    let mut lines = String::new();
    for error in operators() {
        let reply = operator::refused(&Refusal::Operation(error), "r-1");
        let body: serde_json::Value = serde_json::from_str(&reply.body).unwrap();
        writeln!(lines, "operator\t{}\t{}\t{}", reply.status, body["code"], body["detail"]).unwrap();
    }
    let dialect = [
        Refusal::from(UploadError::Property(String::from("x"))),
        Refusal::from(UploadError::EventType),
        Refusal::from(UploadError::OutOfOrder),
        Refusal::from(UploadError::Extra),
        Refusal::from(UploadError::TooManyRows { retry_after_ms: 1_500 }),
        Refusal::from(UploadError::LogFull),
        Refusal::DuplicateRealm,
        Refusal::UnknownRealm,
        Refusal::ForeignRealm,
        Refusal::NotAllowedOld,
        Refusal::NotAllowed { message: Reason::MissingCounts.sentence().to_owned() },
        Refusal::LivePlan,
        Refusal::NotConfigured { setting: "PUSH_TRANSFER_KEY" },
    ];
    for refusal in dialect {
        let reply = envelope::refused(&refusal);
        writeln!(lines, "dialect\t{}\t{}", reply.status, reply.body.trim_end()).unwrap();
    }
    for reason in [
        Reason::Community,
        Reason::MissingCounts,
        Reason::TooManyPeople,
        Reason::FewPeople,
        Reason::ActivePlan,
        Reason::EndingPlanFewPeople,
        Reason::ScheduledEnd,
    ] {
        writeln!(lines, "permission\t{}", reason.sentence()).unwrap();
    }
    assert_eq!(lines, include_str!("golden/push/words.tsv"), "\n{lines}");
}
