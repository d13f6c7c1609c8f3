//! Rows of billing users. Paths are those that self-hosted chat servers and their owners know, slashes at the end included.

use super::super::head::Method;
use super::{Answer, Dialect, Room, Route, To, Who, get};
use crate::kernel::operation::Operation;

const ROOM: To = To::Room(Room::Billing);

/// Forms. Units: bytes.
const FORM_MAX: usize = 16 * 1024;

const fn shown(status: u16, when: &'static str) -> Answer {
    Answer { status, when, schema: None }
}
const PAGE: Answer = shown(200, "A page.");
const MOVED: Answer = shown(302, "Further to the next page.");
const INVALID: Answer = shown(400, "A page that says what was wrong.");
const STRANGER: Answer = shown(401, "Nobody is signed in, or credentials are wrong.");
const REFUSED: Answer = shown(403, "The form or the plan does not allow this.");
const UNKNOWN: Answer = shown(404, "The link or the page does not exist.");

const fn said(status: u16, when: &'static str, schema: &'static str) -> Answer {
    Answer { status, when, schema: Some(schema) }
}
const STATUS: &[Answer] = &[
    said(200, "The newest request of each kind, newest first.", "PushBillingEvents"),
    said(400, "The registration is deactivated.", "PushRefusal"),
    shown(401, "Nobody is signed in; `error_message` and `login_url` say where to."),
];
const DONE: &[Answer] = &[
    said(200, "Done.", "PushSuccess"),
    said(400, "The request is not valid; `msg` says why.", "PushRefusal"),
    shown(401, "Nobody is signed in; `error_message` and `login_url` say where to."),
    said(403, "The CSRF token or the origin is wrong.", "PushRefusal"),
];

const fn page(template: &'static str, operation: Operation, who: Who, summary: &'static str) -> Route {
    Route {
        dialect: Dialect::Page,
        answers: &[PAGE, MOVED, INVALID, STRANGER, REFUSED, UNKNOWN],
        ..get(template, operation, ROOM, who, summary)
    }
}

const fn form(template: &'static str, operation: Operation, who: Who, summary: &'static str) -> Route {
    Route { method: Method::Post, body_max: FORM_MAX, ..page(template, operation, who, summary) }
}

const fn api(method: Method, template: &'static str, operation: Operation, summary: &'static str) -> Route {
    Route {
        method,
        dialect: Dialect::Push,
        body_max: if matches!(method, Method::Get) { 0 } else { FORM_MAX },
        request: match operation {
            Operation::BillingRealmPlan | Operation::BillingServerPlan => Some("BillingPlanChange"),
            Operation::BillingRealmUpgrade | Operation::BillingServerUpgrade => Some("BillingUpgrade"),
            Operation::BillingRealmSponsorship | Operation::BillingServerSponsorship => Some("BillingSponsorship"),
            _ => None,
        },
        answers: DONE,
        ..get(template, operation, ROOM, Who::BillingUser, summary)
    }
}

pub(super) const TABLE: &[Route] = &[
    page(
        "/remote-billing-login/{token}",
        Operation::BillingRealmLogin,
        Who::Anyone,
        "Where an owner arrives from the organization's own server.",
    ),
    form(
        "/remote-billing-login/{token}",
        Operation::BillingRealmEnter,
        Who::Anyone,
        "Accepts the terms and begins the session.",
    ),
    form(
        "/remote-billing-login/{token}/confirm/",
        Operation::BillingRealmMail,
        Who::Anyone,
        "Mails a confirmation link to a new billing user.",
    ),
    page(
        "/remote-billing-login/do_confirm/{key}",
        Operation::BillingRealmConfirm,
        Who::Anyone,
        "The confirmation link; works once.",
    ),
    page("/serverlogin/", Operation::BillingServerLogin, Who::Anyone, "Sign-in by a registration's id and key."),
    form("/serverlogin/", Operation::BillingServerEnter, Who::Anyone, "Checks a registration's id and key."),
    page(
        "/serverlogin/deactivate",
        Operation::BillingServerLeave,
        Who::Anyone,
        "Sign-in on the way to ending a registration.",
    ),
    form(
        "/serverlogin/{uuid}/confirm/",
        Operation::BillingServerMail,
        Who::BillingUser,
        "Mails a sign-in link to an administrator.",
    ),
    page(
        "/serverlogin/do_confirm/{key}",
        Operation::BillingServerConfirm,
        Who::Anyone,
        "The sign-in link; works for a day.",
    ),
    form(
        "/serverlogin/do_confirm/{key}",
        Operation::BillingServerAccept,
        Who::Anyone,
        "Accepts the terms and begins the session.",
    ),
    page(
        "/realm/{uuid}/{page}/",
        Operation::BillingRealmPage,
        Who::BillingUser,
        "An organization's `plans`, `billing`, `upgrade`, `sponsorship`, `event_status`, `invoices` (also as \
         `?format=csv` and `?format=json`) or `customer_portal`.",
    ),
    form(
        "/realm/{uuid}/{page}/",
        Operation::BillingRealmAct,
        Who::BillingUser,
        "Does what the form on that page says.",
    ),
    page(
        "/server/{uuid}/{page}/",
        Operation::BillingServerPage,
        Who::BillingUser,
        "A server's `plans`, `billing`, `upgrade`, `sponsorship`, `event_status`, `invoices` (also as `?format=csv` \
         and `?format=json`), `customer_portal` or `deactivate`.",
    ),
    form(
        "/server/{uuid}/{page}/",
        Operation::BillingServerAct,
        Who::BillingUser,
        "Does what the form on that page says.",
    ),
    api(
        Method::Patch,
        "/json/realm/{uuid}/billing/plan",
        Operation::BillingRealmPlan,
        "Changes an organization's plan.",
    ),
    api(
        Method::Post,
        "/json/realm/{uuid}/billing/sponsorship",
        Operation::BillingRealmSponsorship,
        "Asks for a sponsored plan for an organization.",
    ),
    api(
        Method::Post,
        "/json/realm/{uuid}/billing/upgrade",
        Operation::BillingRealmUpgrade,
        "Asks for a paid plan for an organization.",
    ),
    api(Method::Patch, "/json/server/{uuid}/billing/plan", Operation::BillingServerPlan, "Changes a server's plan."),
    api(
        Method::Post,
        "/json/server/{uuid}/billing/sponsorship",
        Operation::BillingServerSponsorship,
        "Asks for a sponsored plan for a server.",
    ),
    api(
        Method::Post,
        "/json/server/{uuid}/billing/upgrade",
        Operation::BillingServerUpgrade,
        "Asks for a paid plan for a server.",
    ),
    Route {
        answers: STATUS,
        ..api(
            Method::Get,
            "/json/realm/{uuid}/billing/event/status",
            Operation::BillingRealmEventStatus,
            "What became of requests for an organization's plan.",
        )
    },
    Route {
        answers: STATUS,
        ..api(
            Method::Get,
            "/json/server/{uuid}/billing/event/status",
            Operation::BillingServerEventStatus,
            "What became of requests for a server's plan.",
        )
    },
    form("/billing/logout", Operation::BillingLogout, Who::BillingUser, "Ends the session."),
    Route {
        answers: &[shown(200, "The last letters, newest first."), UNKNOWN],
        ..get("/dev/mail", Operation::BillingDevMail, ROOM, Who::Anyone, "Letters of a development service.")
    },
];
