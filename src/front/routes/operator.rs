//! Rows for operators of the push bouncer: servers, organizations, plans, audits, tokens.
//!
//! Which role each needs stands in `push::role`, and is judged by the objects.

use super::super::head::Method;
use super::{Answer, INVALID, Room, Route, To, UNAUTHORIZED, Who, get, ok, problem};
use crate::kernel::operation::Operation as Op;

const ROOM: To = To::Room(Room::Push);

/// A wish of an operator. Units: bytes.
const BODY_MAX: usize = 16 * 1024;

const ROLE: Answer = problem(403, "The operator's role does not reach, or a secret is wrong.");
const NOTHING: Answer = problem(404, "There is no such server, organization or token.");
const STATE: Answer = problem(409, "The present state does not allow this.");

const fn row(method: Method, template: &'static str, operation: Op, summary: &'static str) -> Route {
    Route { method, ..get(template, operation, ROOM, Who::PushOperator, summary) }
}

const fn read(template: &'static str, operation: Op, summary: &'static str) -> Route {
    row(Method::Get, template, operation, summary)
}

const fn write(method: Method, template: &'static str, operation: Op, summary: &'static str) -> Route {
    Route { body_max: BODY_MAX, request: Some("OperatorReason"), ..row(method, template, operation, summary) }
}

const fn shows(schema: &'static str) -> [Answer; 5] {
    [ok(schema), INVALID, UNAUTHORIZED, ROLE, NOTHING]
}

const fn does(schema: &'static str) -> [Answer; 6] {
    [ok(schema), INVALID, UNAUTHORIZED, ROLE, NOTHING, STATE]
}

/// By pages.
const PAGES: &[&str] = &["after", "limit"];
/// By pages, of an organization too.
const OF_REALM: &[&str] = &["after", "limit", "realm"];
const SERIES: &[&str] = &["after", "from", "limit", "property", "to"];

pub(super) const TABLE: &[Route] = &[
    Route {
        query: &["after", "limit", "query"],
        answers: &shows("OperatorServers"),
        ..read(
            "/v1/push/servers",
            Op::OperatorServers,
            "Lists servers, or searches them by name, host, address: two characters at least.",
        )
    },
    Route {
        answers: &shows("OperatorServer"),
        ..read("/v1/push/servers/{uuid}", Op::OperatorServer, "A server with what is counted of it and its plan.")
    },
    Route {
        answers: &does("OperatorRemoved"),
        ..write(
            Method::Delete,
            "/v1/push/servers/{uuid}",
            Op::OperatorServerRemove,
            "Ends all plans of a server and removes what is personal of it; audit and invoices stay.",
        )
    },
    Route {
        answers: &does("OperatorDeactivated"),
        ..write(Method::Post, "/v1/push/servers/{uuid}/deactivate", Op::OperatorDeactivate, "Deactivates a server.")
    },
    Route {
        answers: &does("OperatorDeactivated"),
        ..write(Method::Post, "/v1/push/servers/{uuid}/reactivate", Op::OperatorReactivate, "Reactivates a server.")
    },
    Route {
        answers: &does("OperatorLink"),
        ..write(
            Method::Post,
            "/v1/push/servers/{uuid}/deactivation-link",
            Op::OperatorDeactivationLink,
            "Makes a link by which a server's contact ends its registration.",
        )
    },
    Route {
        request: None,
        answers: &does("OperatorKey"),
        ..write(
            Method::Post,
            "/v1/push/servers/{uuid}/rotate",
            Op::OperatorRotate,
            "Gives a server a new key, shown once.",
        )
    },
    Route {
        query: PAGES,
        answers: &shows("OperatorExport"),
        ..read(
            "/v1/push/servers/{uuid}/export",
            Op::OperatorExport,
            "A server with its organizations and their plans, by pages.",
        )
    },
    Route {
        request: Some("OperatorPlan"),
        answers: &does("OperatorPlanChanged"),
        ..write(
            Method::Put,
            "/v1/push/servers/{uuid}/plan",
            Op::OperatorServerPlan,
            "Changes a server's plan; price, licenses and dates that are not given follow tier and schedule.",
        )
    },
    Route {
        query: PAGES,
        answers: &shows("OperatorRealms"),
        ..read("/v1/push/servers/{uuid}/realms", Op::OperatorServerRealms, "A server's organizations.")
    },
    Route {
        query: OF_REALM,
        answers: &shows("OperatorAudit"),
        ..read(
            "/v1/push/servers/{uuid}/audit",
            Op::OperatorServerAudit,
            "What happened to a server, newest last; `realm=` for an organization that is or was there.",
        )
    },
    Route {
        query: SERIES,
        answers: &shows("OperatorCounts"),
        ..read("/v1/push/servers/{uuid}/counts", Op::OperatorServerCounts, "A series of counts of a server.")
    },
    Route {
        query: PAGES,
        answers: &shows("OperatorDeviceTokens"),
        ..read("/v1/push/servers/{uuid}/tokens", Op::OperatorServerTokens, "A server's device tokens, as hashes.")
    },
    Route {
        query: &["after", "format", "limit", "realm"],
        answers: &shows("OperatorInvoices"),
        ..read(
            "/v1/push/servers/{uuid}/invoices",
            Op::OperatorServerInvoices,
            "A server's invoices; `format=csv` too; `realm=` for an organization that is or was there.",
        )
    },
    Route {
        query: PAGES,
        answers: &shows("OperatorBillingUsers"),
        ..read(
            "/v1/push/servers/{uuid}/billing-users",
            Op::OperatorBillingUsers,
            "Who may look after the plans of a server and its organizations. Viewers see no names, and addresses in part.",
        )
    },
    Route {
        answers: &does("OperatorAccountClosed"),
        ..write(
            Method::Delete,
            "/v1/push/servers/{uuid}/billing-users/{id}",
            Op::OperatorBillingUserClose,
            "Closes a billing user's account: sessions and links end at once.",
        )
    },
    Route {
        who: Who::Signer,
        request: Some("BillingMessage"),
        answers: &does("BillingReceived"),
        ..write(
            Method::Post,
            "/v1/push/servers/{uuid}/billing-events",
            Op::PushBillingEvent,
            "A message of the payment system, signed by `PUSH_BILLING_KEY`.",
        )
    },
    Route {
        answers: &shows("OperatorRealm"),
        ..read("/v1/push/realms/{uuid}", Op::OperatorRealm, "An organization, wherever it is.")
    },
    Route {
        request: Some("OperatorPlan"),
        answers: &does("OperatorPlanChanged"),
        ..write(
            Method::Put,
            "/v1/push/realms/{uuid}/plan",
            Op::OperatorRealmPlan,
            "Changes an organization's plan; price, licenses and dates that are not given follow tier and schedule.",
        )
    },
    Route {
        answers: &does("OperatorRealmSwitched"),
        ..write(
            Method::Post,
            "/v1/push/realms/{uuid}/deactivate",
            Op::OperatorRealmDeactivate,
            "Shuts an organization's owners out of billing.",
        )
    },
    Route {
        answers: &does("OperatorRealmSwitched"),
        ..write(
            Method::Post,
            "/v1/push/realms/{uuid}/reactivate",
            Op::OperatorRealmReactivate,
            "Lets an organization's owners in again.",
        )
    },
    Route {
        request: Some("OperatorMove"),
        answers: &does("OperatorMoved"),
        ..write(
            Method::Post,
            "/v1/push/realms/{uuid}/move",
            Op::OperatorRealmMove,
            "Moves an organization to another server, by proof of its owner's secret.",
        )
    },
    Route {
        query: PAGES,
        answers: &shows("OperatorAudit"),
        ..read("/v1/push/realms/{uuid}/audit", Op::OperatorRealmAudit, "What happened to an organization, newest last.")
    },
    Route {
        query: SERIES,
        answers: &shows("OperatorCounts"),
        ..read("/v1/push/realms/{uuid}/counts", Op::OperatorRealmCounts, "A series of counts of an organization.")
    },
    Route {
        query: &["after", "format", "limit"],
        answers: &shows("OperatorInvoices"),
        ..read(
            "/v1/push/realms/{uuid}/invoices",
            Op::OperatorRealmInvoices,
            "An organization's invoices; `format=csv` too.",
        )
    },
    Route {
        answers: &shows("OperatorMetrics"),
        ..read("/v1/push/metrics", Op::OperatorMetrics, "How many servers, organizations and devices there are.")
    },
    Route {
        query: PAGES,
        answers: &shows("OperatorTokens"),
        ..read("/v1/push/operators", Op::OperatorTokens, "Operators' tokens, without their secrets.")
    },
    Route {
        request: Some("OperatorTokenWish"),
        answers: &does("OperatorTokenShown"),
        ..write(Method::Post, "/v1/push/operators", Op::OperatorTokenCreate, "Makes an operator's token, shown once.")
    },
    Route {
        request: None,
        answers: &does("OperatorRevoked"),
        ..write(Method::Delete, "/v1/push/operators/{id}", Op::OperatorTokenRevoke, "Ends an operator's token.")
    },
];
