//! Rows of the push bouncer. Paths, methods and envelope are those that self-hosted chat servers know.

use super::super::head::Method;
use super::{Answer, Dialect, Room, Route, To, Who, get};
use crate::kernel::operation::Operation;

const ROOM: To = To::Room(Room::Push);

/// Forms of one thing. Units: bytes.
const FORM_MAX: usize = 64 * 1024;
/// Notifications for many devices.
const NOTIFY_MAX: usize = 2 * 1024 * 1024;
/// Three tables of 10,000 rows each, as a form.
const ANALYTICS_MAX: usize = 16 * 1024 * 1024;

const fn said(schema: &'static str) -> Answer {
    Answer { status: 200, when: "Done.", schema: Some(schema) }
}
const fn refusal(status: u16, when: &'static str) -> Answer {
    Answer { status, when, schema: Some("PushRefusal") }
}
const INVALID: Answer = refusal(400, "The request is not valid; `code` and `msg` say why.");
const STRANGER: Answer = refusal(401, "The credentials are missing or wrong, or the registration is deactivated.");
const FOREIGN: Answer = refusal(403, "The organization is unknown, or registered by another server.");

const DONE: &[Answer] = &[said("PushSuccess"), INVALID, STRANGER];

/// Who calls is judged by the server's object: its id and key are Basic credentials, or stand in the form.
const fn row(template: &'static str, operation: Operation, body_max: usize, summary: &'static str) -> Route {
    Route {
        method: Method::Post,
        dialect: Dialect::Push,
        body_max,
        answers: DONE,
        ..get(template, operation, ROOM, Who::RemoteServer, summary)
    }
}

pub(super) const TABLE: &[Route] = &[
    Route {
        who: Who::Anyone,
        request: Some("PushServerRegistration"),
        answers: &[said("PushServerRegistered"), INVALID, STRANGER],
        ..row(
            "/api/v1/remotes/server/register",
            Operation::PushServerRegister,
            FORM_MAX,
            "Registers a self-hosted server, changes its entry or its key.",
        )
    },
    Route {
        who: Who::Anyone,
        answers: &[said("PushTransferSecret"), INVALID],
        ..row(
            "/api/v1/remotes/server/register/transfer",
            Operation::PushTransferBegin,
            FORM_MAX,
            "Begins to take a registration over whose key is lost.",
        )
    },
    Route {
        who: Who::Anyone,
        answers: &[said("PushTransferred"), INVALID],
        ..row(
            "/api/v1/remotes/server/register/verify_challenge",
            Operation::PushTransferVerify,
            FORM_MAX,
            "Fetches the proof from the host, and gives out a new key.",
        )
    },
    Route {
        method: Method::Get,
        who: Who::Anyone,
        body_max: 0,
        answers: &[said("PushTransferred"), INVALID],
        ..row(
            "/api/v1/remotes/server/register/verify_challenge",
            Operation::PushTransferVerify,
            0,
            "The same with the parameters in the query.",
        )
    },
    row(
        "/api/v1/remotes/server/deactivate",
        Operation::PushServerDeactivate,
        FORM_MAX,
        "Ends a registration; its hostname becomes free.",
    ),
    row(
        "/api/v1/remotes/push/register",
        Operation::PushDeviceRegister,
        FORM_MAX,
        "Registers a device token for a user.",
    ),
    row(
        "/api/v1/remotes/push/unregister",
        Operation::PushDeviceUnregister,
        FORM_MAX,
        "Removes a device token of a user.",
    ),
    row(
        "/api/v1/remotes/push/unregister/all",
        Operation::PushDeviceUnregisterAll,
        FORM_MAX,
        "Removes all device tokens of a user.",
    ),
    Route {
        request: Some("PushNotification"),
        answers: &[said("PushNotified"), INVALID, STRANGER, FOREIGN],
        ..row("/api/v1/remotes/push/notify", Operation::PushNotify, NOTIFY_MAX, "Notifies all devices of a user.")
    },
    Route {
        request: Some("PushTest"),
        ..row(
            "/api/v1/remotes/push/test_notification",
            Operation::PushTestNotification,
            FORM_MAX,
            "Sends a test to one device.",
        )
    },
    Route {
        answers: &[said("PushSuccess"), INVALID, STRANGER, FOREIGN],
        ..row(
            "/api/v1/remotes/push/e2ee/register",
            Operation::PushSealedRegister,
            FORM_MAX,
            "Registers a device whose token only the bouncer can read.",
        )
    },
    Route {
        answers: &[said("PushSuccess"), INVALID, STRANGER, FOREIGN],
        ..row(
            "/api/v1/remotes/push/e2ee/unregister",
            Operation::PushSealedUnregister,
            FORM_MAX,
            "Removes such a device.",
        )
    },
    Route {
        request: Some("PushSealedNotification"),
        answers: &[said("PushSealedNotified"), INVALID, STRANGER, FOREIGN],
        ..row(
            "/api/v1/remotes/push/e2ee/notify",
            Operation::PushSealedNotify,
            NOTIFY_MAX,
            "Delivers encrypted notifications, each to one device.",
        )
    },
    Route {
        method: Method::Get,
        who: Who::Anyone,
        answers: &[said("PushPublicKeys")],
        ..row(
            "/api/v1/remotes/push/e2ee/public_keys",
            Operation::PushPublicKeys,
            0,
            "The public keys that registrations are sealed for, the current one first.",
        )
    },
    Route {
        answers: &[said("PushAnalytics"), INVALID, STRANGER],
        ..row(
            "/api/v1/remotes/server/analytics",
            Operation::PushAnalytics,
            ANALYTICS_MAX,
            "Uploads organizations, counts and audit rows.",
        )
    },
    Route {
        method: Method::Get,
        answers: &[said("PushAnalyticsStatus"), INVALID, STRANGER],
        ..row(
            "/api/v1/remotes/server/analytics/status",
            Operation::PushAnalyticsStatus,
            FORM_MAX,
            "How far the uploaded tables are.",
        )
    },
    Route {
        method: Method::Get,
        query: &["after", "from", "limit", "property", "realm_uuid", "to"],
        answers: &[said("PushCounts"), INVALID, STRANGER, FOREIGN],
        ..row(
            "/api/v1/remotes/server/counts",
            Operation::PushCounts,
            0,
            "A series of the server's own counts, by `property`, `from`, `to` and `realm_uuid`.",
        )
    },
    Route {
        answers: &[said("PushBillingAccess"), INVALID, STRANGER, FOREIGN],
        ..row(
            "/api/v1/remotes/server/billing",
            Operation::PushBilling,
            FORM_MAX,
            "A link with which an owner signs in.",
        )
    },
];
