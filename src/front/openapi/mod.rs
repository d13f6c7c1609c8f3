//! The OpenAPI 3.1 document, generated from the route table. Native only: the Worker serves the committed file.

mod attestation;
mod billing;
mod operator;
mod parties;
mod push;
mod schemas;

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::docs;
use super::head::Wish;
use super::routes::{Answer, Dialect, ROUTES, Room, Route, To, Who};

/// The document as it is committed in `openapi.json`: pretty-printed, with a line end.
#[must_use]
pub fn document() -> String {
    let document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Waystation",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "The meeting place at the edge for peer-to-peer apps and self-hosted fleets.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "paths": paths(),
        "components": {
            "schemas": schemas::all(),
            "securitySchemes": security_schemes(),
        },
    });
    let mut text = serde_json::to_string_pretty(&document).unwrap_or_default();
    text.push('\n');
    text
}

/// The names of all schemas that a route may refer to.
#[must_use]
pub fn schema_names() -> Vec<String> {
    schemas::all().keys().cloned().collect()
}

/// The schema of that name, for tests that compare it with real answers.
#[must_use]
pub fn schema(name: &str) -> Option<Value> {
    schemas::all().get(name).cloned()
}

fn paths() -> Value {
    let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for route in ROUTES {
        let item = paths.entry(route.template).or_default();
        let method = route.method.name().to_ascii_lowercase();
        match item.get_mut(&method) {
            // One path can be both a document and a socket: the socket's answers join the document's.
            Some(known) => join(known, route),
            None => {
                item.insert(method, operation(route));
            }
        }
    }
    json!(paths)
}

fn join(known: &mut Value, route: &Route) {
    let summary = known.get("summary").and_then(Value::as_str).unwrap_or_default();
    let both = format!("{summary} As a WebSocket: {}", route.summary);
    set(known, "summary", json!(both));
    let Some(responses) = known.get_mut("responses").and_then(Value::as_object_mut) else { return };
    for (status, answer) in answers(route) {
        responses.entry(status).or_insert(answer);
    }
}

/// Sets one member of a JSON object.
fn set(object: &mut Value, member: &str, value: Value) {
    if let Some(members) = object.as_object_mut() {
        members.insert(member.to_owned(), value);
    }
}

fn operation(route: &Route) -> Value {
    let mut operation = json!({
        "operationId": operation_id(route),
        "summary": route.summary,
        "description": docs::who(route.who),
        "responses": answers(route).into_iter().collect::<Map<String, Value>>(),
    });
    let path = route.template.split('/').filter_map(parameter);
    let token = (route.to == To::Room(Room::Billing)).then(|| route.request.map(|_| billing::form_token())).flatten();
    let queries = route.query.iter().map(|name| operator::parameter(name));
    let parameters: Vec<Value> = path.chain(queries).chain(token).collect();
    if !parameters.is_empty() {
        set(&mut operation, "parameters", json!(parameters));
    }
    if let Some(name) = route.request {
        // A reason may be left out, and the body with it.
        let required = route.method == super::head::Method::Post && name != "OperatorReason";
        let mut media = content(name, "application/json");
        if route.to == To::Room(Room::Billing) {
            let form = "application/x-www-form-urlencoded";
            set(&mut media, form, json!({ "schema": billing::reference(name) }));
        }
        set(&mut operation, "requestBody", json!({ "required": required, "content": media }));
    }
    if let Some(security) = security(route.who) {
        set(&mut operation, "security", security);
    }
    operation
}

/// The operation's name, told apart where one operation stands under several paths.
fn operation_id(route: &Route) -> String {
    let name = serde_json::to_value(route.operation).ok().and_then(|value| value.as_str().map(str::to_owned));
    let name = name.unwrap_or_default();
    let first = ROUTES.iter().find(|other| other.operation == route.operation);
    if first.is_some_and(|first| (first.template, first.method) == (route.template, route.method)) {
        return name;
    }
    if first.is_some_and(|first| first.template == route.template) {
        return format!("{name}_{}", route.method.name().to_ascii_lowercase());
    }
    let suffix: String = route.template.chars().filter(char::is_ascii_alphanumeric).collect();
    format!("{name}_{suffix}")
}

fn parameter(segment: &str) -> Option<Value> {
    let name = segment.strip_prefix('{')?.strip_suffix('}')?;
    let longest = if name == "token" { 3_500 } else { 128 };
    Some(
        json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string", "minLength": 1, "maxLength": longest } }),
    )
}

fn answers(route: &Route) -> Vec<(String, Value)> {
    let schema = match route.dialect {
        Dialect::Ours => Some("Problem"),
        Dialect::Detail => Some("Refusal"),
        Dialect::Push => Some("PushRefusal"),
        Dialect::Page => None,
    };
    let everywhere = [
        Answer { status: 429, when: "Too many requests from this client; see `Retry-After`.", schema },
        Answer { status: 500, when: "Trouble of the service's own.", schema },
        Answer { status: 503, when: "Not configured, misconfigured or at capacity.", schema },
    ];
    let too_large = Answer { status: 413, when: "The body is too large.", schema };
    let sized = (route.body_max > 0).then_some(too_large);
    let mut seen = Vec::new();
    let mut all = Vec::new();
    let unauthorised = Answer { status: 401, when: "Credentials are missing or wrong.", schema };
    let guarded = (route.who != Who::Anyone).then_some(unauthorised);
    for answer in route.answers.iter().copied().chain(sized).chain(guarded).chain(everywhere) {
        if !seen.contains(&answer.status) {
            seen.push(answer.status);
            all.push((answer.status.to_string(), answer_object(route, answer)));
        }
    }
    all
}

fn answer_object(route: &Route, answer: Answer) -> Value {
    let mut object = json!({ "description": answer.when });
    let media = if answer.schema == Some("Problem") { "application/problem+json" } else { "application/json" };
    if let Some(name) = answer.schema {
        set(&mut object, "content", content(name, media));
    }
    let is_sheet = answer.status == 200 && route.query.contains(&"format");
    if let Some(media) = object.get_mut("content").filter(|_| is_sheet) {
        set(media, "text/csv", json!({ "schema": { "type": "string" } }));
    }
    if answer.status == 200 && route.operation == crate::kernel::operation::Operation::ServersList {
        set(&mut object, "headers", schemas::signed_list_headers());
    }
    if answer.status == 101 || route.wish == Wish::Socket {
        set(&mut object, "description", json!(format!("{} Messages are JSON text frames.", answer.when)));
    }
    object
}

fn content(name: &str, media: &str) -> Value {
    json!({ media: { "schema": { "$ref": format!("#/components/schemas/{name}") } } })
}

fn security(who: Who) -> Option<Value> {
    match who {
        Who::Anyone => None,
        Who::RegistryWriter => Some(json!([{ "registry": [] }, { "operator": [] }])),
        Who::RegistryWriterOrOwner => Some(json!([{ "registry": [] }, { "operator": [] }, {}])),
        Who::Ci => Some(json!([{ "ci": [] }])),
        Who::PushOperator => Some(json!([{ "operator": [] }, { "operatorToken": [] }])),
        Who::Operator => Some(json!([{ "operator": [] }])),
        Who::Peer => Some(json!([{ "peer": [] }])),
        Who::PeerOrRegistryWriter => Some(json!([{ "peer": [] }, { "registry": [] }, { "operator": [] }])),
        Who::RemoteServer => Some(json!([{ "remoteServer": [] }])),
        Who::Signer => Some(json!([{ "signature": [] }])),
        Who::BillingUser => Some(json!([{ "billing": [] }])),
        Who::PeerOrLater => Some(json!([{ "peer": [] }, {}])),
    }
}

fn security_schemes() -> Value {
    let bearer =
        |secret: &str| json!({ "type": "http", "scheme": "bearer", "description": format!("The value of {secret}.") });
    json!({
        "registry": bearer("SERVER_REGISTRY_SECRET"),
        "ci": bearer("CI_UPLOAD_SECRET"),
        "operator": bearer("ADMIN_SECRET"),
        "operatorToken": {
            "type": "http",
            "scheme": "bearer",
            "description": "A token that `POST /v1/push/operators` answered with.",
        },
        "remoteServer": {
            "type": "http",
            "scheme": "basic",
            "description": "The registration's uuid, and its key.",
        },
        "billing": {
            "type": "apiKey",
            "in": "cookie",
            "name": "__Host-billing",
            "description": "The session of a billing user, two hours long.",
        },
        "signature": {
            "type": "apiKey",
            "in": "header",
            "name": "Waystation-Signature",
            "description": "`t=<Unix seconds>,v1=<hex>`: HMAC-SHA-256 of `<t>.<body>` with `PUSH_BILLING_KEY`.",
        },
        "peer": {
            "type": "http",
            "scheme": "bearer",
            "description": "The token that `/auth/register` answered with.",
        },
    })
}
