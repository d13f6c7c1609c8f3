//! Pages of those who are signed in. They work without script.

use super::pages::{choice, form, hidden, line, own_page, submit, submit_at_last, submit_quietly, wrong};
use crate::billing::change::{ORG_TYPES, WantedStatus};
use crate::billing::customer::{Account, Licensing, Plan, Schedule, plan_name};
use crate::billing::identity::Subject;
use crate::billing::standing::{Asked, Kind, Standing, decide_standing};
use crate::kernel::html::Html;
use crate::kernel::reply::Reply;
use crate::kernel::time::Timestamp;
use crate::push::wire::form::Form;

/// The pages of an organization and of a server: the name in the path, and what people read.
const PAGES: [(&str, &str); 7] = [
    ("plans", "Plans"),
    ("billing", "Billing"),
    ("upgrade", "Upgrade"),
    ("sponsorship", "Sponsorship"),
    ("event_status", "Requests"),
    ("invoices", "Invoices"),
    ("customer_portal", "Account"),
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
    /// What was wrong with the form that was just sent, and the form.
    pub(crate) error: Option<Mistake<'a>>,
}

/// A form that was refused.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mistake<'a> {
    pub(crate) status: u16,
    pub(crate) sentence: &'a str,
    pub(crate) typed: &'a Form,
}

impl Frame<'_> {
    pub(super) fn open(&self, title: &'static str) -> Html {
        let main = Html::new().markup("<header><p><strong>").text(self.host).markup("</strong><br>").text(self.email);
        let main = form(main.markup("</p>"), "/billing/logout", self.token);
        let mut main = submit_quietly(main, "Log out").markup("</header><nav aria-label=\"Plan management\"><ul>");
        for (name, label) in PAGES {
            main = main.markup("<li><a").attribute("href", &self.subject.path(name));
            main = if label == title { main.markup(" aria-current=\"page\"") } else { main };
            main = main.markup(">").markup(label).markup("</a></li>");
        }
        let main = main.markup("</ul></nav><main><h1>").markup(title).markup("</h1>");
        match &self.error {
            Some(mistake) => wrong(main, mistake.sentence),
            None => main,
        }
    }

    pub(super) fn close(&self, title: &'static str, main: Html) -> Reply {
        own_page(self.error.as_ref().map_or(200, |mistake| mistake.status), title, &main.markup("</main>"))
    }

    pub(super) fn form(&self, main: Html, page: &str) -> Html {
        form(main, &self.subject.path(page), self.token)
    }

    /// What was typed into a field of the refused form, or else what stands there at first.
    pub(super) fn typed<'b>(&'b self, name: &str, first: &'b str) -> &'b str {
        self.error.as_ref().and_then(|mistake| mistake.typed.get(name)).unwrap_or(first)
    }
}

/// A labelled list of choices, each with the value that is sent. `more` is markup of ours.
fn select(main: Html, name: &'static str, label: &'static str, chosen: &str, options: &[(&str, &'static str)]) -> Html {
    let mut main =
        main.markup("<label for=\"").markup(name).markup("\">").markup(label).markup("</label><select id=\"");
    main = main.markup(name).markup("\" name=\"").markup(name).markup("\">");
    for (value, label) in options {
        main = main.markup("<option").attribute("value", value);
        main = if *value == chosen { main.markup(" selected>") } else { main.markup(">") };
        main = main.markup(label).markup("</option>");
    }
    main.markup("</select>")
}

/// The beginning of a table that scrolls by itself where the screen is narrow.
pub(super) fn table(main: Html, label: &'static str, columns: &[&'static str]) -> Html {
    let main = main.markup("<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-label=\"").markup(label);
    let mut main = main.markup("\"><table><thead><tr>");
    for column in columns {
        main = main.markup("<th scope=\"col\">").markup(column).markup("</th>");
    }
    main.markup("</tr></thead><tbody>")
}

/// What there is.
pub(crate) fn plans(frame: &Frame<'_>) -> Reply {
    let mut main = frame.open("Plans").markup("<p>Your plan: <strong>").markup(plan_name(frame.account.plan_type));
    main = table(main.markup("</strong></p>"), "Plans", &["Plan", "Price", "Yours"]);
    for (plan_type, price) in [
        (100, "Free for a few users"),
        (102, "Free for communities, on request"),
        (103, "$3.50 per user and month, $42.00 per user and year"),
        (104, "$8.00 per user and month, $80.00 per user and year"),
        (105, "On request"),
    ] {
        main = main.markup("<tr><th scope=\"row\">").markup(plan_name(plan_type)).markup("</th><td>").markup(price);
        let mine = if frame.account.plan_type == plan_type { "Yes" } else { "" };
        main = main.markup("</td><td>").markup(mine).markup("</td></tr>");
    }
    let main = main.markup("</tbody></table></div><p><a").attribute("href", &frame.subject.path("upgrade"));
    let main = main.markup(">Ask for a paid plan</a>, or <a").attribute("href", &frame.subject.path("sponsorship"));
    frame.close("Plans", main.markup(">for one as a gift</a>.</p>"))
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
        Some(at) => main.markup("<dt>Next period</dt><dd>").text(&day(at)).markup("</dd>"),
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
    if !wanted.is_empty() {
        main = main.markup("<h2>Change the plan</h2>");
    }
    for (status, label) in wanted {
        main = hidden(frame.form(main, "billing"), "status", &status.number().to_string());
        main = if *status == S::Ended { submit_at_last(main, label) } else { submit_quietly(main, label) };
    }
    if plan.status == 1 {
        main = main.markup("<h2>Licenses</h2>");
        if plan.licensing == Licensing::Manual {
            let more = "type=\"number\" min=\"1\" required";
            let (now, next) = (plan.licenses.to_string(), plan.licenses_at_next_renewal.to_string());
            let typed = frame.typed("licenses_at_next_renewal", &next);
            main = frame.form(main, "billing");
            main = line(main, "licenses_at_next_renewal", "Licenses from the next period on", more, typed);
            main = submit_quietly(main, "Change licenses");
            main = frame.form(main, "billing");
            main = line(main, "licenses", "Licenses from now on", more, frame.typed("licenses", &now));
            main = submit_quietly(main, "Buy licenses");
        }
        main = hidden(frame.form(main, "billing"), "toggle_license_management", "true");
        let label = match plan.licensing {
            Licensing::Manual => "Let licenses follow the number of users",
            Licensing::Automatic => "Choose the number of licenses myself",
        };
        main = submit_quietly(main, label);
    }
    main
}

/// Asks for a paid plan. `waiting` says whether one was asked for already.
pub(crate) fn upgrade(frame: &Frame<'_>, requests: &[Asked]) -> Reply {
    let mut main = frame.open("Upgrade");
    if let Some(plan) = frame.account.plan().filter(|plan| plan.tier >= 103) {
        let main = main.markup("<p>You have the <strong>").markup(plan_name(plan.tier)).markup("</strong> plan. <a");
        let main = main.attribute("href", &frame.subject.path("billing")).markup(">See what can be changed</a></p>");
        return frame.close("Upgrade", main);
    }
    let is_waiting =
        |asked: &Asked| asked.kind == Kind::Upgrade && decide_standing(asked, frame.account) == Standing::Waiting;
    if requests.iter().any(is_waiting) {
        main = main.markup("<p class=\"note\" role=\"status\">You have asked for a plan already. <a");
        main = main.attribute("href", &frame.subject.path("event_status"));
        main = main.markup(">See what became of it</a>. Who asks again asks for something else instead.</p>");
    }
    main = main.markup("<p>Nothing is charged by this form: the operator of this service answers it.</p>");
    main = frame.form(main, "upgrade");
    main = select(main, "tier", "Plan", frame.typed("tier", "103"), &[("103", "Basic"), ("104", "Business")]);
    let often = frame.typed("schedule", "1");
    main = select(main, "schedule", "Billed", often, &[("1", "Annually"), ("2", "Monthly")]);
    let counted = [("automatic", "Follow the number of users"), ("manual", "A fixed number")];
    let chosen = frame.typed("license_management", "automatic");
    main = select(main, "license_management", "Licenses", chosen, &counted);
    let more = "type=\"number\" min=\"1\" max=\"1000000\" inputmode=\"numeric\"";
    main = line(main, "licenses", "Number of licenses, if it is fixed", more, frame.typed("licenses", ""));
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
        let main = main.markup("<p class=\"note\">Your request has been received and waits for an answer.</p>");
        return frame.close("Sponsorship", main);
    }
    let numbers = ORG_TYPES.map(|(number, label)| (number.to_string(), label));
    let options: Vec<(&str, &'static str)> = numbers.iter().map(|(number, label)| (number.as_str(), *label)).collect();
    let chosen = frame.typed("organization_type", "0");
    let mut main = frame.form(main, "sponsorship");
    main = select(main, "organization_type", "Kind of organization", chosen, &options);
    let more = "maxlength=\"200\" inputmode=\"url\" autocomplete=\"url\"";
    main = line(main, "website", "Website (optional)", more, frame.typed("website", ""));
    main = main.markup(
        "<label for=\"description\">What your organization does</label><textarea id=\"description\" \
         name=\"description\" maxlength=\"4000\" rows=\"4\" required>",
    );
    // A parser drops the first line break of a text area.
    main = main.markup("\n").text(frame.typed("description", "")).markup("</textarea>");
    let more = "maxlength=\"200\" required";
    let typed = frame.typed("expected_total_users", "");
    main = line(main, "expected_total_users", "Expected number of users", more, typed);
    main = line(main, "paid_users_count", "Number of paid staff", more, frame.typed("paid_users_count", ""));
    let (label, typed) = ("Who the paid staff are (optional)", frame.typed("paid_users_description", ""));
    main = line(main, "paid_users_description", label, "maxlength=\"4000\"", typed);
    frame.close("Sponsorship", submit(main, "Ask for sponsorship"))
}

/// Asks whether a registration is really to end.
pub(crate) fn deactivate(frame: &Frame<'_>) -> Reply {
    let main = frame.open("Deactivate registration").markup("<p>Push notifications for <strong>").text(frame.host);
    let main = main.markup("</strong> will stop, and its hostname becomes free.</p>");
    let main = choice(frame.form(main, "deactivate"), "confirmed", "Deactivate this registration", "required");
    frame.close("Deactivate registration", submit_at_last(main, "Deactivate"))
}

/// The day of a time, in ISO 8601.
pub(super) fn day(at: Timestamp) -> String {
    at.to_iso().chars().take(10).collect()
}
