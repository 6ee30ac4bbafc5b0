//! Fault injection tests of hookbox's promises, one kind of fault per file, short here and longer in `make torture`.
//!
//! docs/evidence.md lists the promises and their tests.

mod clock;
mod full_disk;
mod killed;
mod overload;
mod pinned;
mod power;
mod sync;
mod upgrade;

#[test]
fn evidence_page_names_existing_tests() {
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
