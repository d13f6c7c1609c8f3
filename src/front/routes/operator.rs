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

const fn read(template: &'static str, operation: Op, answers: &'static [Answer], summary: &'static str) -> Route {
    Route { answers, ..get(template, operation, ROOM, Who::PushOperator, summary) }
}

const fn write(method: Method, template: &'static str, operation: Op, summary: &'static str) -> Route {
    Route { method, body_max: BODY_MAX, answers: DONE, ..get(template, operation, ROOM, Who::PushOperator, summary) }
}

const DONE: &[Answer] = &[ok("OperatorAnswer"), INVALID, UNAUTHORIZED, ROLE, NOTHING, STATE];
const ONE: &[Answer] = &[ok("OperatorAnswer"), INVALID, UNAUTHORIZED, ROLE, NOTHING];
const PAGE: &[Answer] = &[ok("OperatorPage"), INVALID, UNAUTHORIZED, ROLE, NOTHING];

pub(super) const TABLE: &[Route] = &[
    read("/v1/push/servers", Op::OperatorServers, PAGE, "Lists servers, or searches them by name, host, address."),
    read("/v1/push/servers/{uuid}", Op::OperatorServer, ONE, "A server with what is counted of it and its plan."),
    write(
        Method::Delete,
        "/v1/push/servers/{uuid}",
        Op::OperatorServerRemove,
        "Removes what is personal of a server; the audit stays.",
    ),
    write(Method::Post, "/v1/push/servers/{uuid}/deactivate", Op::OperatorDeactivate, "Deactivates a server."),
    write(Method::Post, "/v1/push/servers/{uuid}/reactivate", Op::OperatorReactivate, "Reactivates a server."),
    write(
        Method::Post,
        "/v1/push/servers/{uuid}/deactivation-link",
        Op::OperatorDeactivationLink,
        "Makes a link by which a server's contact ends its registration.",
    ),
    write(Method::Post, "/v1/push/servers/{uuid}/rotate", Op::OperatorRotate, "Gives a server a new key, shown once."),
    read(
        "/v1/push/servers/{uuid}/export",
        Op::OperatorExport,
        PAGE,
        "A server with its organizations and their plans, by pages.",
    ),
    Route {
        request: Some("OperatorPlan"),
        ..write(Method::Put, "/v1/push/servers/{uuid}/plan", Op::OperatorServerPlan, "Changes a server's plan.")
    },
    read("/v1/push/servers/{uuid}/realms", Op::OperatorServerRealms, PAGE, "A server's organizations."),
    read(
        "/v1/push/servers/{uuid}/audit",
        Op::OperatorServerAudit,
        PAGE,
        "What happened to a server, newest last; `realm=` for an organization that is or was there.",
    ),
    read("/v1/push/servers/{uuid}/counts", Op::OperatorServerCounts, PAGE, "A series of counts of a server."),
    read("/v1/push/servers/{uuid}/tokens", Op::OperatorServerTokens, PAGE, "A server's device tokens, as hashes."),
    read(
        "/v1/push/servers/{uuid}/invoices",
        Op::OperatorServerInvoices,
        PAGE,
        "A server's invoices; `format=csv` too; `realm=` for an organization that is or was there.",
    ),
    read(
        "/v1/push/servers/{uuid}/billing-users",
        Op::OperatorBillingUsers,
        PAGE,
        "Who may look after the plans of a server and its organizations. Viewers see no names, and addresses in part.",
    ),
    write(
        Method::Delete,
        "/v1/push/servers/{uuid}/billing-users/{id}",
        Op::OperatorBillingUserClose,
        "Closes a billing user's account: sessions and links end at once.",
    ),
    Route {
        who: Who::Signer,
        request: Some("BillingMessage"),
        ..write(
            Method::Post,
            "/v1/push/servers/{uuid}/billing-events",
            Op::PushBillingEvent,
            "A message of the payment system, signed by `PUSH_BILLING_KEY`.",
        )
    },
    read("/v1/push/realms/{uuid}", Op::OperatorRealm, ONE, "An organization, wherever it is."),
    Route {
        request: Some("OperatorPlan"),
        ..write(Method::Put, "/v1/push/realms/{uuid}/plan", Op::OperatorRealmPlan, "Changes an organization's plan.")
    },
    write(
        Method::Post,
        "/v1/push/realms/{uuid}/deactivate",
        Op::OperatorRealmDeactivate,
        "Shuts an organization's owners out of billing.",
    ),
    write(
        Method::Post,
        "/v1/push/realms/{uuid}/reactivate",
        Op::OperatorRealmReactivate,
        "Lets an organization's owners in again.",
    ),
    Route {
        request: Some("OperatorMove"),
        ..write(
            Method::Post,
            "/v1/push/realms/{uuid}/move",
            Op::OperatorRealmMove,
            "Moves an organization to another server, by proof of its owner's secret.",
        )
    },
    read(
        "/v1/push/realms/{uuid}/audit",
        Op::OperatorRealmAudit,
        PAGE,
        "What happened to an organization, newest last.",
    ),
    read("/v1/push/realms/{uuid}/counts", Op::OperatorRealmCounts, PAGE, "A series of counts of an organization."),
    read(
        "/v1/push/realms/{uuid}/invoices",
        Op::OperatorRealmInvoices,
        PAGE,
        "An organization's invoices; `format=csv` too.",
    ),
    read("/v1/push/metrics", Op::OperatorMetrics, ONE, "How many servers, organizations and devices there are."),
    read("/v1/push/operators", Op::OperatorTokens, PAGE, "Operators' tokens, without their secrets."),
    Route {
        request: Some("OperatorTokenWish"),
        ..write(Method::Post, "/v1/push/operators", Op::OperatorTokenCreate, "Makes an operator's token, shown once.")
    },
    write(Method::Delete, "/v1/push/operators/{id}", Op::OperatorTokenRevoke, "Ends an operator's token."),
];
