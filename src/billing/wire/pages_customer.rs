//! Pages of those who are signed in about who they are to us: what they asked for, what they were billed, what they want
//! to hear. They work without script.

use super::pages::{choice, line, submit};
use super::pages_account::{Frame, day, table};
use crate::billing::customer::{Account, Invoice};
use crate::billing::identity::Subject;
use crate::billing::standing::{Asked, Kind, Standing, decide_standing};
use crate::billing::user::{BillingUser, FULL_NAME_MAX};
use crate::kernel::html::Html;
use crate::kernel::reply::Reply;

const _: () = assert!(FULL_NAME_MAX == 100, "the field says so");

const fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Change => "Change of the plan",
        Kind::Upgrade => "Paid plan",
        Kind::Sponsorship => "Sponsorship",
    }
}

const fn standing_name(standing: Standing) -> &'static str {
    match standing {
        Standing::Waiting => "Waits for the operator of this service",
        Standing::Done => "Done",
    }
}

/// What became of requests.
pub(crate) fn event_status(frame: &Frame<'_>, requests: &[Asked]) -> Reply {
    let main = frame.open("Requests");
    if requests.is_empty() {
        return frame.close("Requests", main.markup("<p>Nothing was asked for so far.</p>"));
    }
    let mut main = table(main, "Requests", &["Request", "State", "Asked on", "By"]);
    for asked in requests {
        let standing = decide_standing(asked, frame.account);
        main = main.markup("<tr><th scope=\"row\">").markup(kind_name(asked.kind)).markup("</th><td>");
        main = main.markup(standing_name(standing));
        main = match asked.answered_at.filter(|_| standing == Standing::Done) {
            Some(at) => main.markup("<br><small>").text(&day(at)).markup("</small>"),
            None => main,
        };
        main = main
            .markup("</td><td class=\"short\">")
            .text(&day(asked.at))
            .markup("</td><td class=\"address\">")
            .text(&asked.by);
        main = main.markup("</td></tr>");
    }
    let main = main.markup("</tbody></table></div><p>What was decided stands on the page <a");
    let main = main.attribute("href", &frame.subject.path("billing")).markup(">Billing</a>. <a");
    let main = main.attribute("href", &frame.subject.path("event_status")).markup(">Look again</a></p>");
    frame.close("Requests", main)
}

/// What was billed.
pub(crate) fn invoices(frame: &Frame<'_>, invoices: &[Invoice]) -> Reply {
    let main = frame.open("Invoices");
    if invoices.is_empty() {
        return frame.close("Invoices", main.markup("<p>There are no invoices.</p>"));
    }
    let columns = ["No.", "Date", "For", "Period", "Licenses", "Amount"];
    let mut main = table(main, "Invoices", &columns);
    for invoice in invoices {
        main = main.markup("<tr><td>").text(&invoice.number.to_string()).markup("</td><td class=\"short\">");
        main = main.text(&day(invoice.made_at)).markup("</td><td>").text(&invoice.what).markup("<br><small>");
        main = main.text(&invoice.kind).markup("</small></td><td class=\"short\">").text(&day(invoice.period_start));
        main = main.markup("<br>to ").text(&day(invoice.period_end)).markup("</td><td class=\"number\">");
        main = main.text(&invoice.licenses.to_string()).markup("</td><td class=\"number\">");
        main = main.text(&money(invoice.amount)).markup("</td></tr>");
    }
    let path = frame.subject.path("invoices");
    let main = main.markup("</tbody></table></div><p>Take them along as <a");
    let main = main.attribute("href", &format!("{path}?format=csv")).markup(" download>CSV</a> or <a");
    let main = main.attribute("href", &format!("{path}?format=json")).markup(" download>JSON</a>.</p>");
    frame.close("Invoices", main)
}

fn money(cents: u64) -> String {
    format!("${}.{:02}", cents / 100, cents % 100)
}

/// What stands on the page of the customer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Portal<'a> {
    /// Who looks.
    pub(crate) user: &'a BillingUser,
    /// Everybody who may look after the plan.
    pub(crate) users: &'a [BillingUser],
    /// Where customers pay.
    pub(crate) pays_at: Option<&'a str>,
    /// Whether the form was just kept.
    pub(crate) news: News,
}

/// What has just happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum News {
    /// Nothing.
    None,
    /// The preferences were kept.
    Kept,
}

/// Who the customer is in our books.
pub(crate) fn customer_portal(frame: &Frame<'_>, portal: &Portal<'_>) -> Reply {
    let mut main = frame.open("Account");
    if portal.news == News::Kept {
        main = main.markup("<p class=\"note\" role=\"status\">Your preferences were saved.</p>");
    }
    main = payment(main.markup("<h2>Payment</h2>"), frame.account, portal.pays_at);
    main = table(main.markup("<h2>Billing users</h2>"), "Billing users", &["E-mail", "Name", "Signed in last"]);
    for user in portal.users {
        main = main.markup("<tr><td class=\"address\">").text(&user.email).markup("</td><td>").text(&user.full_name);
        main = main.markup("</td><td class=\"short\">");
        let seen = user.last_login.map_or_else(|| String::from("Never"), day);
        main = main.text(&seen).markup("</td></tr>");
    }
    main = main.markup("</tbody></table></div><h2>Your preferences</h2>");
    main = frame.form(main, "customer_portal");
    let more = "autocomplete=\"name\" maxlength=\"100\"";
    main = line(main, "full_name", "Name", more, frame.typed("full_name", &portal.user.full_name));
    let preferences = portal.user.preferences;
    let ticked = |name: &str, is_on: bool| {
        let is_on = if frame.error.is_some() { frame.typed(name, "") == "true" } else { is_on };
        if is_on { "checked" } else { "" }
    };
    let more = ticked("enable_major_release_emails", preferences.major_releases);
    main = choice(main, "enable_major_release_emails", "Tell me about major releases", more);
    let more = ticked("enable_maintenance_release_emails", preferences.maintenance_releases);
    main = choice(main, "enable_maintenance_release_emails", "Tell me about maintenance releases", more);
    main = submit(main, "Save");
    if matches!(frame.subject, Subject::Server(_)) {
        main = main.markup("<h2>Registration</h2><p><a").attribute("href", &frame.subject.path("deactivate"));
        main = main.markup(">End this server's registration</a></p>");
    }
    frame.close("Account", main)
}

fn payment(main: Html, account: &Account, pays_at: Option<&str>) -> Html {
    let is_known = account.customer.as_ref().is_some_and(|customer| customer.is_known_to_payment);
    let main = match is_known {
        true => main.markup("<p>The payment system knows you as a customer. "),
        false => main.markup("<p>The payment system does not know you so far. "),
    };
    match pays_at {
        Some(url) => {
            let main = main.markup("Cards, addresses and payments are looked after <a rel=\"noreferrer\"");
            main.attribute("href", url).markup(">at the payment system</a>.</p>")
        }
        None => {
            main.markup("The operator of this service looks after payments; nothing is charged on these pages.</p>")
        }
    }
}
