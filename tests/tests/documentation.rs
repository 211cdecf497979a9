//! `docs/rfc6455.md` names the tests that prove each statement: they have to exist, and no statement may be missing.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// How many statements each section has.
const ROWS: [(char, usize); 16] = [
    ('A', 4),
    ('B', 14),
    ('C', 16),
    ('D', 8),
    ('E', 12),
    ('F', 10),
    ('G', 7),
    ('H', 8),
    ('I', 7),
    ('J', 5),
    ('K', 14),
    ('L', 2),
    ('M', 7),
    ('N', 5),
    ('O', 8),
    ('P', 5),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The names of all functions in the sources of this folder.
fn functions(folder: &Path, names: &mut HashSet<String>) {
    let Ok(entries) = folder.read_dir() else { return };
    for entry in entries {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && name != "target" && name != "node_modules" {
            functions(&path, names);
        } else if name.ends_with(".rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            for part in text.split("fn ").skip(1) {
                let end = part.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(part.len());
                names.insert(part[..end].to_owned());
            }
        }
    }
}

#[test]
fn every_statement_of_the_rfc_has_its_tests_and_they_exist() {
    let mut known = HashSet::new();
    for folder in ["ws-proto", "ws-tokio", "tests/src", "tests/tests"] {
        functions(&root().join(folder), &mut known);
    }
    let page = std::fs::read_to_string(root().join("docs/rfc6455.md")).unwrap();
    let mut rows = HashSet::new();
    for line in page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| #")) {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let (row, proof) = (cells[0], cells[cells.len() - 1]);
        assert!(rows.insert(row.to_owned()), "{row} occurs twice");
        let tests: Vec<&str> = proof.split('`').skip(1).step_by(2).collect();
        let reason = proof.starts_with("not yet: ") || proof.starts_with("the application's: ");
        assert_eq!(reason, tests.is_empty(), "{row}: {proof:?} is neither tests nor a reason");
        for test in tests {
            assert!(known.contains(test), "{row}: there is no {test}");
        }
    }
    for (letter, count) in ROWS {
        for number in 1..=count {
            assert!(rows.remove(&format!("{letter}{number}")), "{letter}{number} is missing");
        }
    }
    assert!(rows.is_empty(), "unknown statements: {rows:?}");
}

/// A row of the threats whose test is named after it, for what the core promises.
#[test]
fn every_threat_of_the_core_has_a_test_of_its_name() {
    let mut known = HashSet::new();
    for folder in ["ws-proto", "tests/tests"] {
        functions(&root().join(folder), &mut known);
    }
    let core = (1..=29)
        .chain([33, 34, 52, 54, 55, 56, 57, 58, 59, 60, 61, 62, 63, 64, 66, 67, 68, 73, 74, 75, 76, 77])
        .chain([78, 79, 80, 81, 90, 91, 92, 96])
        .chain(97..=102)
        .chain([104, 106, 107, 114, 138]);
    for number in core {
        let prefix = format!("threat_{number:03}_");
        assert!(known.iter().any(|name| name.starts_with(&prefix)), "no test is named {prefix}...");
    }
}
