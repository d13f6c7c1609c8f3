//! The committed OpenAPI document is the one the route table generates, and tells the truth about it.
#![allow(missing_docs, clippy::expect_used, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::HashSet;

use serde_json::Value;
use waystation::front::head::Wish;
use waystation::front::openapi::{document, schema_names};
use waystation::front::routes::{ROUTES, Who};

const COMMITTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");

/// `WAYSTATION_WRITE=1 cargo test --test openapi` writes the file anew.
#[test]
fn the_committed_document_is_the_generated_one() {
    if std::env::var_os("WAYSTATION_WRITE").is_some() {
        std::fs::write(COMMITTED, document()).unwrap();
    }
    let committed = std::fs::read_to_string(COMMITTED).unwrap();
    assert!(committed == document(), "openapi.json is stale: WAYSTATION_WRITE=1 cargo test --test openapi");
}

#[test]
fn every_route_is_in_the_document_with_answers() {
    let document: Value = serde_json::from_str(&document()).unwrap();
    assert_eq!(document["openapi"], "3.1.0");
    for route in ROUTES {
        let operation = &document["paths"][route.template][route.method.name().to_ascii_lowercase()];
        assert!(operation["summary"].as_str().unwrap().contains(route.summary), "{}", route.template);
        for answer in route.answers {
            assert!(
                operation["responses"][answer.status.to_string()].is_object(),
                "{} {}",
                route.template,
                answer.status
            );
        }
        if route.who != Who::Anyone {
            assert!(operation["security"].is_array(), "{} needs credentials in the document too", route.template);
        }
    }
}

#[test]
fn operation_ids_are_unique() {
    let document: Value = serde_json::from_str(&document()).unwrap();
    let mut seen = HashSet::new();
    for item in document["paths"].as_object().unwrap().values() {
        for operation in item.as_object().unwrap().values() {
            let id = operation["operationId"].as_str().unwrap();
            assert!(seen.insert(id.to_owned()), "{id}");
        }
    }
}

#[test]
fn every_schema_that_is_named_exists_and_every_reference_resolves() {
    let names = schema_names();
    let named =
        ROUTES.iter().flat_map(|route| route.request.into_iter().chain(route.answers.iter().filter_map(|a| a.schema)));
    for name in named {
        assert!(names.iter().any(|known| known == name), "{name}");
    }
    let text = document();
    for part in text.split("#/components/schemas/").skip(1) {
        let name: String = part.chars().take_while(char::is_ascii_alphanumeric).collect();
        assert!(names.contains(&name), "{name}");
    }
}

#[test]
fn a_path_has_one_row_per_method_and_wish() {
    let mut seen = HashSet::new();
    for route in ROUTES {
        assert!(seen.insert((route.template, route.method, route.wish == Wish::Socket)), "{}", route.template);
        assert!(route.template.starts_with('/'), "{}", route.template);
    }
}
