//! The tidy test: what the house forbids and no compiler checks.
#![allow(missing_docs, clippy::expect_used, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Files that git tracks or would track, relative to the root.
fn tracked() -> Vec<PathBuf> {
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .expect("git");
    let text = String::from_utf8(output.stdout).expect("utf-8");
    text.lines().map(PathBuf::from).filter(|path| root().join(path).is_file()).collect()
}

fn sources() -> Vec<(String, String)> {
    let rust = |path: &PathBuf| path.starts_with("src") && path.extension().is_some_and(|end| end == "rs");
    let files: Vec<_> = tracked().into_iter().filter(rust).collect();
    assert!(files.len() > 20, "the walk finds the sources");
    files
        .into_iter()
        .map(|path| (path.to_string_lossy().into_owned(), fs::read_to_string(root().join(&path)).expect("source")))
        .collect()
}

/// The file without its test module and its comments.
fn code(text: &str) -> String {
    let before_tests = text.split("#[cfg(test)]").next().unwrap_or_default();
    before_tests.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

const ROOMS: [&str; 7] = ["signaling", "relay", "bootstrap", "attestation", "parties", "push", "billing"];

fn room_of(path: &str) -> Option<&'static str> {
    ROOMS.into_iter().find(|room| path.starts_with(&format!("src/{room}/")))
}

/// What a file is by its name: `wire`, `store`, `object`, `mod`, or a rule.
fn kind_of(path: &str) -> &str {
    let within = path.split('/').nth(2).unwrap_or_default();
    match within.trim_end_matches(".rs") {
        "wire" => "wire",
        "store" => "store",
        "object" => "object",
        "mod" => "mod",
        _ => "rule",
    }
}

#[test]
fn only_the_shell_names_the_platform() {
    for (path, text) in sources().iter().filter(|(path, _)| !path.starts_with("src/shell/")) {
        for word in ["worker::", "wasm_bindgen", "js_sys", "web_sys", "getrandom::"] {
            assert!(!code(text).contains(word), "{path} names {word}");
        }
    }
}

#[test]
fn rules_know_neither_serde_nor_sql_nor_the_shell() {
    for (path, text) in sources() {
        let Some(room) = room_of(&path) else { continue };
        if kind_of(&path) != "rule" {
            continue;
        }
        for word in ["serde", "kernel::sql", "kernel::reply", "async ", ".await", "crate::shell", "crate::front"] {
            assert!(!code(&text).contains(word), "{path}, a rule of {room}, names {word}");
        }
        for word in ["super::wire", "super::store", "super::object"] {
            assert!(!code(&text).contains(word), "{path}, a rule of {room}, names {word}");
        }
    }
}

#[test]
fn wire_and_store_never_see_each_other() {
    for (path, text) in sources() {
        let other = match (room_of(&path), kind_of(&path)) {
            (Some(_), "wire") => ["super::store", "::store::", "kernel::sql"],
            (Some(_), "store") => ["super::wire", "::wire::", "serde_json::Value"],
            _ => continue,
        };
        for word in other {
            assert!(!code(&text).contains(word), "{path} names {word}");
        }
    }
}

#[test]
fn the_kernel_knows_no_room_and_no_room_knows_the_front() {
    for (path, text) in sources() {
        let forbidden: &[&str] = if path.starts_with("src/kernel/") {
            &[
                "crate::front",
                "crate::signaling",
                "crate::relay",
                "crate::bootstrap",
                "crate::attestation",
                "crate::parties",
                "crate::push",
                "crate::billing",
                "crate::shell",
            ]
        } else if room_of(&path).is_some() {
            &["crate::front", "crate::shell"]
        } else {
            &[]
        };
        for word in forbidden {
            assert!(!code(&text).contains(word), "{path} names {word}");
        }
    }
}

#[test]
fn files_stay_below_600_lines_and_begin_with_what_they_are() {
    for (path, text) in sources() {
        let lines = text.lines().count();
        assert!(lines <= 600, "{path} has {lines} lines");
        assert!(text.starts_with("//! "), "{path} does not say what it is");
    }
}

#[test]
fn clock_and_randomness_are_arguments() {
    for (path, text) in sources().iter().filter(|(path, _)| !path.starts_with("src/shell/")) {
        for word in ["SystemTime", "Instant::now", "Timestamp::now", "thread_rng", "use rand::", " rand::", "(rand::"] {
            assert!(!code(text).contains(word), "{path} names {word}");
        }
    }
}

#[test]
fn names_say_what_a_thing_is() {
    for (path, text) in sources() {
        for line in code(&text).lines() {
            let mut words = line.split(|c: char| !c.is_alphanumeric() && c != '_');
            let is_definition = words.any(|word| matches!(word, "struct" | "enum" | "trait"));
            let Some(name) = words.next().filter(|_| is_definition) else { continue };
            for empty in ["Manager", "Helper", "Util", "Handler", "Data", "Info"] {
                assert!(!name.ends_with(empty), "{path}: {name} says nothing");
            }
        }
    }
}

#[test]
fn nothing_is_left_for_later_and_nothing_is_skipped() {
    // Written in halves, so that this file does not find itself.
    let words = [["TO", "DO"], ["FIX", "ME"], ["XX", "X "], ["#[ig", "nore"], [".sk", "ip("], ["it.on", "ly"]]
        .map(|halves| halves.concat());
    for path in tracked() {
        let Ok(text) = fs::read_to_string(root().join(&path)) else { continue };
        let is_code =
            path.extension().is_some_and(|end| ["rs", "ts", "mjs", "md", "toml"].contains(&&*end.to_string_lossy()));
        for word in words.iter().filter(|_| is_code) {
            // `.skip(1)` of iterators is code; `test.skip(` is a skipped test.
            let found = text.lines().any(|line| {
                line.contains(word.as_str())
                    && !(word.contains("ip(") && path.extension().is_some_and(|end| end == "rs"))
            });
            assert!(!found, "{} holds {word}", path.display());
        }
    }
}

#[test]
fn no_file_tells_where_it_was_written() {
    let places = [
        ["/wo", "rk/"],
        ["/ro", "ot/"],
        ["/ho", "me/"],
        ["crates", ".io/api"],
        ["registry.npm", "js.org"],
        ["index.crates", ".io"],
    ]
    .map(|halves| halves.concat());
    for path in tracked() {
        let Ok(text) = fs::read_to_string(root().join(&path)) else { continue };
        for place in &places {
            assert!(!text.contains(place.as_str()), "{} names {place}", path.display());
        }
    }
}

#[test]
fn migrations_are_numbered_without_gaps_and_strict() {
    let folders: BTreeSet<PathBuf> = tracked()
        .into_iter()
        .filter(|path| path.starts_with("migrations") && path.extension().is_some_and(|end| end == "sql"))
        .filter_map(|path| path.parent().map(Path::to_path_buf))
        .collect();
    assert!(!folders.is_empty());
    for folder in folders {
        let mut names: Vec<String> = fs::read_dir(root().join(&folder))
            .expect("folder")
            .map(|entry| entry.expect("entry").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        for (index, name) in names.iter().enumerate() {
            let path = folder.join(name);
            assert!(name.starts_with(&format!("{:04}_", index + 1)), "{} is out of order", path.display());
            let text = fs::read_to_string(root().join(&path)).expect("sql");
            let tables = text.matches("CREATE TABLE").count();
            assert_eq!(tables, text.matches("STRICT").count(), "{}: every table is STRICT", path.display());
            let used = sources().iter().any(|(_, source)| source.contains(name.as_str()));
            assert!(used, "{} is applied by nobody", path.display());
        }
    }
}

#[test]
fn every_class_is_bound_wherever_the_service_runs() {
    use waystation::kernel::operation::Class;
    let capnp = fs::read_to_string(root().join("workerd.capnp")).expect("workerd.capnp");
    let shim = fs::read_to_string(root().join("src/shell/shim.mjs")).expect("shim");
    for class in Class::ALL {
        assert!(capnp.contains(&format!("className = \"{}\"", class.name())), "{}", class.name());
        assert!(capnp.contains(&format!("name = \"{}\"", class.binding())), "{}", class.binding());
        assert!(shim.contains(&format!("export const {} = ", class.name())), "{}", class.name());
    }
}
