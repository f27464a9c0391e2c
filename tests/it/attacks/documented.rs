//! Is each test that `docs/security.md` names there, and each defence that it quotes?

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The rows of the tables whose last column names tests.
fn rows() -> Vec<(String, String)> {
    let text = fs::read_to_string(root().join("docs/security.md")).unwrap();
    let mut rows = Vec::new();
    let mut tests_last = false;
    for line in text.lines() {
        let Some(cells) = line.strip_prefix("| ").and_then(|l| l.strip_suffix(" |")) else {
            tests_last &= line.starts_with("|--");
            continue;
        };
        let (first, last) = (cells.split(" | ").next(), cells.rsplit(" | ").next());
        let (first, last) = (first.unwrap_or_default(), last.unwrap_or_default());
        match last {
            "test" => tests_last = true,
            _ if tests_last => rows.push((first.to_owned(), last.to_owned())),
            _ => {}
        }
    }
    rows
}

/// `` `path::of::name` `` as the file that has the test, and the test.
fn find(name: &str) -> Option<()> {
    let (module, test) = name.rsplit_once("::")?;
    let file = module.replace("::", "/");
    let places = [
        format!("tests/it/{file}.rs"),
        format!("rust-core/src/{file}.rs"),
        format!("sidecar/src/{file}.rs"),
        format!("tests/python/{file}.py"),
        format!("frappe_app/memora/tests/{file}.py"),
    ];
    places.iter().find_map(|place| {
        let text = fs::read_to_string(root().join(place)).ok()?;
        let is_there = [format!("fn {test}("), format!("def {test}(")]
            .iter()
            .any(|head| text.contains(head));
        is_there.then_some(())
    })
}

#[test]
fn every_attack_names_a_test_that_exists() {
    let rows = rows();
    assert!(rows.len() > 40, "only {} rows found", rows.len());
    for (attack, tests) in rows {
        let names: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty(), "{attack}: no test");
        for name in names {
            find(name).unwrap_or_else(|| panic!("{attack}: there is no test {name}"));
        }
    }
}

/// Time tells nothing about a secret; that is not measured, so it is read.
#[test]
fn secrets_are_compared_in_constant_time() {
    for (file, function) in [
        ("rust-core/src/frappe/session.rs", "fn csrf_token_is("),
        ("rust-core/src/frappe/accounts.rs", "fn has_secret("),
    ] {
        let text = fs::read_to_string(root().join(file)).unwrap();
        let at = text.find(function).unwrap_or_else(|| panic!("{file}"));
        let body = &text[at..];
        let body = &body[..body.find("\n    }\n").unwrap()];
        assert!(body.contains(".ct_eq("), "{file}: {body}");
        assert!(!body.contains(" == "), "{file}: {body}");
    }
}
