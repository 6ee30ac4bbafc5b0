//! What hookbox promises, proven by faults: each file holds a fault, in its short form and for `make torture`.
//!
//! The table of promises and where each is proven is docs/evidence.md.

mod clock;
mod full_disk;
mod killed;
mod overload;
mod pinned;
mod power;
mod sync;
mod upgrade;

/// The page names tests that there are, a row for each promise.
#[test]
fn the_page_of_evidence_names_tests_that_run() {
    let page = include_str!("../../../docs/evidence.md");
    let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| ")).skip(2).collect();
    for (number, row) in (1..).zip(&rows) {
        assert!(row.starts_with(&format!("| {number} |")), "{row}");
    }
    assert_eq!(rows.len(), 19);
    let mut tests = String::new();
    for folder in ["tests/it", "src"] {
        gather(&std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), &mut tests);
    }
    for row in rows {
        let named: Vec<&str> = row.rsplit(" | ").next().unwrap().split('`').skip(1).step_by(2).collect();
        assert!(!named.is_empty(), "{row}");
        for name in named {
            assert!(tests.contains(&format!("#[test]\nfn {name}()")), "{name} is named, and no such test is there");
        }
    }
}

fn gather(folder: &std::path::Path, text: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        if entry.path().is_dir() {
            gather(&entry.path(), text);
        } else if entry.path().extension().is_some_and(|end| end == "rs") {
            for line in std::fs::read_to_string(entry.path()).unwrap().lines() {
                text.push_str(line.trim());
                text.push('\n');
            }
        }
    }
}
