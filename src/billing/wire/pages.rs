//! Pages on the way in. They work without script.

use super::request::FORM_TOKEN;
use crate::billing::identity::NextPage;
use crate::billing::user::Preferences;
use crate::kernel::html::{Html, page};
use crate::kernel::reply::Reply;

/// A page that belongs to one browser.
pub(super) fn own_page(status: u16, title: &str, main: &Html) -> Reply {
    page(status, title, Html::new().html(main)).with_header("Vary", "Origin, Cookie")
}

/// The beginning of a page without navigation.
fn opening(title: &str, error: Option<&str>) -> Html {
    let main = Html::new().markup("<main><h1>").text(title).markup("</h1>");
    match error {
        Some(error) => wrong(main, error),
        None => main,
    }
}

/// What was wrong, announced to whoever does not see it.
pub(super) fn wrong(main: Html, sentence: &str) -> Html {
    main.markup("<p class=\"error\" id=\"error\" role=\"alert\">").text(sentence).markup("</p>")
}

/// The beginning of a form that is sent to `action`.
pub(super) fn form(main: Html, action: &str, token: &str) -> Html {
    hidden(main.markup("<form method=\"post\"").attribute("action", action).markup(">"), FORM_TOKEN, token)
}

pub(super) fn hidden(main: Html, name: &'static str, value: &str) -> Html {
    main.markup("<input type=\"hidden\" name=\"").markup(name).markup("\"").attribute("value", value).markup(">")
}

/// A labelled line of text. `kind` and `more` are markup of ours.
pub(super) fn line(main: Html, name: &'static str, label: &'static str, more: &'static str, value: &str) -> Html {
    main.markup("<label for=\"")
        .markup(name)
        .markup("\">")
        .markup(label)
        .markup("</label><input id=\"")
        .markup(name)
        .markup("\" name=\"")
        .markup(name)
        .markup("\" ")
        .markup(more)
        .attribute("value", value)
        .markup(">")
}

/// A labelled box that sends `true`.
pub(super) fn choice(main: Html, name: &'static str, label: &'static str, more: &'static str) -> Html {
    main.markup("<label class=\"choice\"><input type=\"checkbox\" name=\"")
        .markup(name)
        .markup("\" value=\"true\" ")
        .markup(more)
        .markup("><span>")
        .markup(label)
        .markup("</span></label>")
}

pub(super) fn submit(main: Html, label: &'static str) -> Html {
    main.markup("<button type=\"submit\">").markup(label).markup("</button></form>")
}

/// A button beside the one that counts.
pub(super) fn submit_quietly(main: Html, label: &'static str) -> Html {
    main.markup("<button type=\"submit\" class=\"quiet\">").markup(label).markup("</button></form>")
}

/// A button that ends something.
pub(super) fn submit_at_last(main: Html, label: &'static str) -> Html {
    main.markup("<button type=\"submit\" class=\"danger\">").markup(label).markup("</button></form>")
}

/// Asks for the address to which a link is to be mailed.
pub(crate) fn ask_email(status: u16, action: &str, token: &str, host: &str, email: &str, error: Option<&str>) -> Reply {
    let main = opening("Confirm your e-mail", error)
        .markup("<p>To manage the plan of <strong>")
        .text(host)
        .markup("</strong>, follow the link that we send to your e-mail address.</p>");
    let main = form(main, action, token);
    let more = match error {
        None => "type=\"email\" autocomplete=\"email\" maxlength=\"254\" required",
        Some(_) => {
            "type=\"email\" autocomplete=\"email\" maxlength=\"254\" required aria-invalid=\"true\" \
             aria-describedby=\"error\""
        }
    };
    let main = submit(line(main, "email", "E-mail", more, email), "Send link").markup("</main>");
    own_page(status, "Confirm your e-mail", &main)
}

/// Says that a link was mailed.
pub(crate) fn email_sent(email: &str) -> Reply {
    let main = opening("Check your e-mail", None)
        .markup("<p>We have sent a link to <strong>")
        .text(email)
        .markup("</strong>. It works for 24 hours. You may close this page.</p></main>");
    own_page(200, "Check your e-mail", &main)
}

/// What the page at the door shows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Door<'a> {
    pub(crate) action: &'a str,
    pub(crate) token: &'a str,
    /// Whose plan.
    pub(crate) host: &'a str,
    pub(crate) email: &'a str,
    pub(crate) full_name: &'a str,
    pub(crate) preferences: Preferences,
    /// Whether name and preferences are asked for.
    pub(crate) guest: Guest,
    /// Whether the terms are to be accepted, and where they can be read.
    pub(crate) terms: Terms<'a>,
    pub(crate) error: Option<&'a str>,
}

/// Whether somebody was here before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Guest {
    New,
    Known,
}

/// What of the terms is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Terms<'a> {
    Accepted,
    Asked { url: Option<&'a str> },
}

/// The page at the door: who comes, and what they agree to.
pub(crate) fn door(status: u16, door: &Door<'_>) -> Reply {
    let main = opening("Log in to plan management", door.error)
        .markup("<dl><dt>For</dt><dd>")
        .text(door.host)
        .markup("</dd><dt>E-mail</dt><dd>")
        .text(door.email)
        .markup("</dd></dl>");
    let mut main = form(main, door.action, door.token);
    if door.guest == Guest::New {
        main = line(main, "full_name", "Name", "autocomplete=\"name\" maxlength=\"100\"", door.full_name);
        let ticked = |is_on: bool| if is_on { "checked" } else { "" };
        let more = ticked(door.preferences.major_releases);
        main = choice(main, "enable_major_release_emails", "Tell me about major releases", more);
        let more = ticked(door.preferences.maintenance_releases);
        main = choice(main, "enable_maintenance_release_emails", "Tell me about maintenance releases", more);
    }
    if let Terms::Asked { url } = door.terms {
        main = choice(main, "tos_consent", "I accept the Terms of Service", "required");
        if let Some(url) = url {
            main = main.markup("<p><a rel=\"noreferrer\"").attribute("href", url).markup(">Terms of Service</a></p>");
        }
    }
    let main = submit(main, "Continue").markup("</main>");
    own_page(status, "Log in to plan management", &main)
}

/// Asks for a server's id and key.
pub(crate) fn server_login(status: u16, token: &str, next: Option<NextPage>, id: &str, error: Option<&str>) -> Reply {
    let main = opening("Log in as a server", error).markup(
        "<p>Both values stand in <code>/etc/zulip/zulip-secrets.conf</code> on your server. Whoever knows them manages \
         the server's plan: show them to nobody.</p>",
    );
    let main = form(main, "/serverlogin/", token);
    let main = match next {
        Some(next) => hidden(main, "next_page", next.name()),
        None => main,
    };
    let main = line(main, "zulip_org_id", "zulip_org_id", "required maxlength=\"36\" autocomplete=\"off\"", id);
    let more = "type=\"password\" required maxlength=\"64\" autocomplete=\"off\"";
    let main = submit(line(main, "zulip_org_key", "zulip_org_key", more, ""), "Continue").markup("</main>");
    own_page(status, "Log in as a server", &main)
}

/// Says that something is done, and nothing follows.
pub(crate) fn finished(title: &str, sentence: &str) -> Reply {
    own_page(200, title, &opening(title, None).markup("<p>").text(sentence).markup("</p></main>"))
}
