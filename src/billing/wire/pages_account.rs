//! Pages of those who are signed in. They work without script.

use super::pages::{choice, form, hidden, line, own_page, submit};
use crate::billing::change::{ORG_TYPES, WantedStatus};
use crate::billing::customer::{Account, Invoice, Licensing, Plan, Schedule, plan_name};
use crate::billing::identity::Subject;
use crate::kernel::html::Html;
use crate::kernel::reply::Reply;

/// The pages of an organization, and those of a server in addition.
const PAGES: [(&str, &str); 5] = [
    ("plans", "Plans"),
    ("billing", "Billing"),
    ("upgrade", "Upgrade"),
    ("sponsorship", "Sponsorship"),
    ("invoices", "Invoices"),
];

/// What every page shows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frame<'a> {
    pub(crate) subject: &'a Subject,
    /// The subject's host.
    pub(crate) host: &'a str,
    pub(crate) email: &'a str,
    /// The forms' token.
    pub(crate) token: &'a str,
    pub(crate) account: &'a Account,
    /// What was wrong with the form that was just sent.
    pub(crate) error: Option<(u16, &'a str)>,
}

impl Frame<'_> {
    fn open(&self, title: &'static str) -> Html {
        let main = form(Html::new().markup("<header>"), "/billing/logout", self.token);
        let main = submit(main, "Log out").markup("<p>").text(self.host).markup(" · ").text(self.email);
        let mut main = main.markup("</p></header><nav aria-label=\"Plan management\"><ul>");
        for (name, label) in PAGES {
            main = main.markup("<li><a").attribute("href", &self.subject.path(name));
            main = if label == title { main.markup(" aria-current=\"page\"") } else { main };
            main = main.markup(">").markup(label).markup("</a></li>");
        }
        let main = main.markup("</ul></nav><main><h1>").markup(title).markup("</h1>");
        match self.error {
            Some((_, error)) => main.markup("<p class=\"error\" role=\"alert\">").text(error).markup("</p>"),
            None => main,
        }
    }

    fn close(&self, title: &'static str, main: Html) -> Reply {
        own_page(self.error.map_or(200, |(status, _)| status), title, &main.markup("</main>"))
    }

    fn form(&self, main: Html, page: &str) -> Html {
        form(main, &self.subject.path(page), self.token)
    }
}

/// What there is.
pub(crate) fn plans(frame: &Frame<'_>) -> Reply {
    let mut main = frame.open("Plans").markup(
        "<table><thead><tr><th scope=\"col\">Plan</th><th scope=\"col\">Price</th><th scope=\"col\">Yours</th></tr>\
         </thead><tbody>",
    );
    for (plan_type, price) in [
        (100, "Free for a few users"),
        (102, "Free for communities, on request"),
        (103, "$3.50 per user and month"),
        (104, "$8.00 per user and month, $80.00 per user and year"),
        (105, "On request"),
    ] {
        main = main.markup("<tr><th scope=\"row\">").markup(plan_name(plan_type)).markup("</th><td>").markup(price);
        let mine = if frame.account.plan_type == plan_type { "Yes" } else { "" };
        main = main.markup("</td><td>").markup(mine).markup("</td></tr>");
    }
    main = main.markup("</tbody></table><p>Your plan: <strong>").markup(plan_name(frame.account.plan_type));
    frame.close("Plans", main.markup("</strong></p>"))
}

const fn status_name(status: u32) -> &'static str {
    match status {
        1 => "Active",
        2 => "Ends with this billing period",
        3 => "Free trial",
        4 => "Becomes annual with the next period",
        5 => "Changes its tier",
        6 => "Becomes monthly with the next period",
        7 => "Ends with the free trial",
        8 => "Changes its tier when it ends",
        _ => "Ended",
    }
}

/// The live plan, and what can be done about it.
pub(crate) fn billing(frame: &Frame<'_>) -> Reply {
    let main = frame.open("Billing");
    let Some(plan) = frame.account.plan() else {
        let main = main.markup("<p>You have no plan that is paid for. <a");
        let main = main.attribute("href", &frame.subject.path("plans")).markup(">See the plans</a></p>");
        return frame.close("Billing", main);
    };
    let schedule = if plan.schedule == Schedule::Annual { "Annual" } else { "Monthly" };
    let main = main
        .markup("<dl><dt>Plan</dt><dd>")
        .markup(plan_name(plan.tier))
        .markup("</dd><dt>Status</dt><dd>")
        .markup(status_name(plan.status))
        .markup("</dd><dt>Billed</dt><dd>")
        .markup(schedule)
        .markup("</dd><dt>Licenses</dt><dd>")
        .text(&plan.licenses.to_string())
        .markup("</dd><dt>Licenses from the next period on</dt><dd>")
        .text(&plan.licenses_at_next_renewal.to_string())
        .markup("</dd>");
    let main = match plan.renews_at {
        Some(at) => main.markup("<dt>Next period</dt><dd>").text(&day(&at.to_iso())).markup("</dd>"),
        None => main,
    };
    frame.close("Billing", changes(frame, main.markup("</dl>"), plan))
}

/// Forms for what the plan's status allows.
fn changes(frame: &Frame<'_>, mut main: Html, plan: &Plan) -> Html {
    use WantedStatus as S;
    let other = if plan.schedule == Schedule::Annual { S::SwitchToMonthly } else { S::SwitchToAnnual };
    let wanted: &[(S, &'static str)] = match (plan.status, other) {
        (1, S::SwitchToMonthly) => {
            &[(S::SwitchToMonthly, "Switch to monthly"), (S::DowngradeAtCycleEnd, "End with this period")]
        }
        (1, _) => &[(S::SwitchToAnnual, "Switch to annual"), (S::DowngradeAtCycleEnd, "End with this period")],
        (2 | 4 | 6, _) => &[(S::Active, "Keep the plan as it is")],
        (3, _) => &[(S::DowngradeAtTrialEnd, "End with the free trial"), (S::Ended, "End now")],
        (7, _) => &[(S::FreeTrial, "Keep the plan")],
        _ => &[],
    };
    for (status, label) in wanted {
        main = hidden(frame.form(main, "billing"), "status", &status.number().to_string());
        main = submit(main, label);
    }
    if plan.status == 1 {
        if plan.licensing == Licensing::Manual {
            let more = "type=\"number\" min=\"1\" required";
            let now = plan.licenses_at_next_renewal.to_string();
            main = frame.form(main, "billing");
            main = line(main, "licenses_at_next_renewal", "Licenses from the next period on", more, &now);
            main = submit(main, "Change licenses");
            main = frame.form(main, "billing");
            main = line(main, "licenses", "Licenses from now on", more, &plan.licenses.to_string());
            main = submit(main, "Buy licenses");
        }
        main = hidden(frame.form(main, "billing"), "toggle_license_management", "true");
        let label = match plan.licensing {
            Licensing::Manual => "Let licenses follow the number of users",
            Licensing::Automatic => "Choose the number of licenses myself",
        };
        main = submit(main, label);
    }
    main
}

/// Asks for a paid plan.
pub(crate) fn upgrade(frame: &Frame<'_>) -> Reply {
    let main = frame.form(frame.open("Upgrade"), "upgrade").markup(
        "<label for=\"tier\">Plan</label><select id=\"tier\" name=\"tier\"><option value=\"103\">Basic</option>\
         <option value=\"104\">Business</option></select><label for=\"schedule\">Billed</label><select id=\"schedule\" \
         name=\"schedule\"><option value=\"1\">Annually</option><option value=\"2\">Monthly</option></select>\
         <label for=\"license_management\">Licenses</label><select id=\"license_management\" \
         name=\"license_management\"><option value=\"automatic\">Follow the number of users</option>\
         <option value=\"manual\">A fixed number</option></select>",
    );
    let main = line(main, "licenses", "Fixed number of licenses", "type=\"number\" min=\"1\"", "");
    frame.close("Upgrade", submit(main, "Ask for this plan"))
}

/// Asks for a sponsored plan.
pub(crate) fn sponsorship(frame: &Frame<'_>) -> Reply {
    let main = frame.open("Sponsorship");
    if frame.account.plan_type == 102 {
        let main = main.markup("<p>You are on the Community plan.</p>");
        return frame.close("Sponsorship", main);
    }
    if frame.account.customer.as_ref().is_some_and(|customer| customer.sponsorship_pending) {
        let main = main.markup("<p>Your request has been received and waits for an answer.</p>");
        return frame.close("Sponsorship", main);
    }
    let mut main = frame.form(main, "sponsorship").markup(
        "<label for=\"organization_type\">Kind of organization</label><select id=\"organization_type\" \
         name=\"organization_type\" required>",
    );
    for (number, label) in ORG_TYPES {
        main = main.markup("<option").attribute("value", &number.to_string()).markup(">").markup(label);
        main = main.markup("</option>");
    }
    main = main.markup("</select>");
    main = line(main, "website", "Website", "maxlength=\"200\"", "");
    main = main.markup(
        "<label for=\"description\">What your organization does</label><textarea id=\"description\" \
         name=\"description\" maxlength=\"4000\" rows=\"4\" required></textarea>",
    );
    main = line(main, "expected_total_users", "Expected number of users", "maxlength=\"200\" required", "");
    main = line(main, "paid_users_count", "Number of paid staff", "maxlength=\"200\" required", "");
    main = line(main, "paid_users_description", "Who the paid staff are", "maxlength=\"4000\"", "");
    frame.close("Sponsorship", submit(main, "Ask for sponsorship"))
}

/// What was billed.
pub(crate) fn invoices(frame: &Frame<'_>, invoices: &[Invoice]) -> Reply {
    let main = frame.open("Invoices");
    if invoices.is_empty() {
        return frame.close("Invoices", main.markup("<p>There are no invoices.</p>"));
    }
    let mut main = main.markup(
        "<table><thead><tr><th scope=\"col\">Date</th><th scope=\"col\">For</th><th scope=\"col\">Amount</th></tr>\
         </thead><tbody>",
    );
    for invoice in invoices {
        let amount = format!("${}.{:02}", invoice.amount / 100, invoice.amount % 100);
        main = main.markup("<tr><td>").text(&day(&invoice.made_at.to_iso())).markup("</td><td>").text(&invoice.what);
        main = main.markup("</td><td>").text(&amount).markup("</td></tr>");
    }
    frame.close("Invoices", main.markup("</tbody></table>"))
}

/// Asks whether a registration is really to end.
pub(crate) fn deactivate(frame: &Frame<'_>) -> Reply {
    let main = frame.open("Deactivate registration").markup("<p>Push notifications for <strong>").text(frame.host);
    let main = main.markup("</strong> will stop, and its hostname becomes free.</p>");
    let main = choice(frame.form(main, "deactivate"), "confirmed", "Deactivate this registration", "required");
    frame.close("Deactivate registration", submit(main, "Deactivate"))
}

/// The day of a time in ISO 8601.
fn day(iso: &str) -> String {
    iso.chars().take(10).collect()
}
