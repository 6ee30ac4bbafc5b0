//! The house rules, checked by reading `src/`: levels, import cycles, boundaries, sizes, names, and nothing that panics.
//!
//! The table of levels is the one in the documentation of `src/lib.rs`, so that it cannot go stale.

mod imports;
mod source;

use std::collections::BTreeMap;

use imports::Imports;
use source::{Source, every_file};

/// A rule for one file: one line per violation.
type Rule = fn(&Source) -> Vec<String>;

const RULES: &[(&str, Rule)] = &[
    ("every file says what it is", opens_with_its_purpose),
    ("every tool has its module", keeps_to_its_tools),
    ("no connection leaves the inbox", keeps_connections_in_the_inbox),
    ("nothing panics, no result is dropped", neither_panics_nor_drops),
    ("files, functions and parameter lists are short", is_short),
    ("names mean something", has_meaningful_names),
];

const LONGEST_FILE: usize = 300;
const LONGEST_FUNCTION: usize = 60;
const MOST_PARAMETERS: usize = 5;
const MOST_FILES_IN_A_FOLDER: usize = 12;

#[test]
fn modules_use_lower_levels_only() {
    let files = every_file();
    let levels = levels(&files.iter().find(|file| file.path == "lib.rs").unwrap().text);
    assert_eq!(complaints(&files, |file| uses_lower_levels(file, &levels)), Vec::<String>::new());
}

#[test]
fn every_file_keeps_the_house_rules() {
    let files = every_file();
    for (rule, check) in RULES {
        assert_eq!(complaints(&files, check), Vec::<String>::new(), "{rule}");
    }
}

#[test]
fn no_two_files_import_each_other() {
    assert_eq!(Imports::of(&every_file()).cycles(), Vec::<String>::new());
}

#[test]
fn every_type_name_is_declared_once() {
    assert_eq!(names_declared_twice(&every_file()), Vec::<String>::new());
}

#[test]
fn folders_have_at_most_twelve_files() {
    assert_eq!(crowded_folders(&every_file()), Vec::<String>::new());
}

#[test]
fn comments_are_at_most_a_tenth_of_the_code() {
    let (mut comments, mut lines) = (0, 0);
    for file in every_file() {
        comments += file.comments.lines().filter(|line| !line.trim().is_empty()).count();
        lines += file.code.lines().filter(|line| !line.trim().is_empty()).count();
    }
    assert!(lines > 1000 && comments * 10 <= lines, "{comments} comments on {lines} lines of code");
}

#[test]
fn each_level_rule_can_be_broken() {
    let levels = levels("//! | 0 | [`low`] |\n//! | 1 | [`left`], [`right`] |\n//! | 2 | [`top`] |\n");
    let broken = [
        ("left/mod.rs", "use crate::right::Thing;", "`left` uses `right`"),
        ("left/deep.rs", "fn f() { crate::top::run(); }", "`left` uses `top`"),
        ("left.rs", "use crate::{low::A, top::{B, C}};", "`left` uses `top`"),
        ("left.rs", "use super::right::Thing;", "`super` leaves its module"),
        ("left/deep.rs", "use super::super::right::Thing;", "`super` leaves its module"),
        ("left.rs", "use crate::elsewhere::Thing;", "`elsewhere` has no level"),
        ("elsewhere.rs", "", "`elsewhere` has no level"),
    ];
    for (path, text, complaint) in broken {
        assert_complaint(&uses_lower_levels(&Source::new(path, text), &levels), complaint);
    }
    let fine = "use crate::low::A;\nuse super::near;\n// crate::top\n#[cfg(test)]\nmod tests { use crate::top; }";
    assert_eq!(uses_lower_levels(&Source::new("left/deep.rs", fine), &levels), Vec::<String>::new());
}

#[test]
fn each_file_rule_can_be_broken() {
    let long_file = format!("//! A\n{}", "const A: u8 = 0;\n".repeat(300));
    let long_function = format!("fn long() {{\n{}}}\n", "    step();\n".repeat(59));
    let broken: &[(&str, &str, &str)] = &[
        ("inbox/a.rs", "use std::io;", "opens with 0 lines of `//!`"),
        ("routing/mod.rs", "use actix_web::web;", "`actix_web` belongs to receiver/ and web/"),
        ("dispatcher/mod.rs", "fn f(c: &rusqlite::Connection) {}", "`rusqlite` belongs to inbox/"),
        ("dispatcher/mod.rs", "const Q: &str = \"SELECT 1\";", "SQL belongs to inbox/"),
        ("dispatcher/mod.rs", "const Q: &str = r#\"delete\nDELETE FROM jobs\"#;", "SQL belongs to inbox/"),
        ("inbox/a.rs", "pub fn read(connection: &Connection) {}", "`read` hands a connection out of the inbox"),
        ("inbox/a.rs", "pub(crate) fn f(\n) -> rusqlite::Result<()> {}", "`f` hands a connection out of the inbox"),
        ("runner/mod.rs", "use std::process::Command;", "processes are started in runner/process/"),
        ("dispatcher/mod.rs", "fn f() { posix_spawn(path); }", "processes are started in runner/process/"),
        ("cli/demo.rs", "use std::process::{Command, Stdio};", "processes are started in runner/process/"),
        ("config/mod.rs", "use clap::Parser;", "`clap` belongs to cli/"),
        ("server.rs", "fn f() { g().unwrap(); }", "`.unwrap()`"),
        ("server.rs", "fn f() { g().expect(\"so\"); }", "`.expect(`"),
        ("server.rs", "fn f() { panic!(\"no\"); }", "`panic!`"),
        ("server.rs", "fn f() { let _ = g(); }", "`let _ =`"),
        ("server.rs", &long_file, "301 lines"),
        ("server.rs", &long_function, "`long` has 61 lines"),
        ("server.rs", "fn f(a: A<B, C>, b: B, c: (D, E), d: D, e: E, f: F) {}", "`f` takes 6 parameters"),
        ("inbox/util.rs", "", "`util` means nothing"),
        ("server.rs", "fn get_name() {}", "`get_name`"),
    ];
    for (path, text, complaint) in broken {
        let file = Source::new(path, text);
        let all: Vec<String> = RULES.iter().flat_map(|(_, check)| check(&file)).collect();
        assert_complaint(&all, complaint);
    }
    let fine = "//! A\nimpl A { pub(super) fn f<T>(&self, a: A<B, C>, b: fn(A, B), c: C, d: D, e: &Connection) {} }";
    let fine = Source::new("inbox/a.rs", fine);
    for (rule, check) in RULES {
        assert_eq!(check(&fine), Vec::<String>::new(), "{rule}");
    }
}

#[test]
fn each_tree_rule_can_be_broken() {
    let tree = |files: &[(&str, &str)]| files.iter().map(|(path, text)| Source::new(path, text)).collect::<Vec<_>>();
    let circles: &[&[(&str, &str)]] = &[
        &[("a.rs", "use crate::b::B;"), ("b.rs", "fn f() { crate::a::g(); }")],
        &[("a/mod.rs", "mod b;\nuse b::B;"), ("a/b.rs", "use super::A;")],
        &[("a.rs", "use crate::{b::{B, C as D}};"), ("b.rs", "use crate::c::C;"), ("c.rs", "use crate::a::A;")],
        // Through a re-export, the file that declares the name counts.
        &[("a/mod.rs", "mod b;\npub use b::B;"), ("a/b.rs", "use crate::c::C;"), ("c.rs", "use crate::a::B;")],
    ];
    for files in circles {
        assert_complaint(&Imports::of(&tree(files)).cycles(), "import each other");
    }
    let fine =
        tree(&[("a/mod.rs", "mod b;\npub use b::B;"), ("a/b.rs", "pub struct B;"), ("c.rs", "use crate::a::B;")]);
    assert_eq!(Imports::of(&fine).cycles(), Vec::<String>::new());

    let twice = tree(&[("a.rs", "pub struct Answer;"), ("b.rs", "enum Answer { No }")]);
    assert_complaint(&names_declared_twice(&twice), "`Answer` is declared in a.rs, b.rs");
    let fine = tree(&[("a.rs", "impl T for A { type Error = E; }"), ("b.rs", "impl T for B { type Error = E; }")]);
    assert_eq!(names_declared_twice(&fine), Vec::<String>::new());

    let many: Vec<_> = (0..13).map(|number| Source::new(&format!("a/f{number}.rs"), "")).collect();
    assert_complaint(&crowded_folders(&many), "a: 13 files");
}

#[test]
fn tests_comments_and_strings_are_not_code() {
    let text = concat!(
        "//! One.\n//! Two.\n//! Three.\n// .unwrap()\nfn f<'a>(x: &'a str) -> char { let s = \"panic!(\"; '{' }\n",
        "fn g() -> u8 { b'\"'; h(r#\"todo!(\"#) }\n#[cfg(test)]\nmod tests {\n    fn t() { g().unwrap(); }\n}\n",
    );
    let file = Source::new("server.rs", text);
    assert_eq!(neither_panics_nor_drops(&file), Vec::<String>::new());
    assert_eq!(file.lines_without_tests(), 6);
    let names: Vec<(String, usize)> = file.functions().into_iter().map(|f| (f.name, f.lines)).collect();
    assert_eq!(names, [("f".to_owned(), 1), ("g".to_owned(), 1)]);
}

fn complaints(files: &[Source], check: impl Fn(&Source) -> Vec<String>) -> Vec<String> {
    assert!(files.len() > 20, "src/ was not found");
    files.iter().flat_map(|file| check(file).into_iter().map(|text| format!("src/{}: {text}", file.path))).collect()
}

fn assert_complaint(all: &[String], part: &str) {
    assert!(all.iter().any(|text| text.contains(part)), "no rule complained about {part:?}: {all:?}");
}

/// The table in the documentation of `lib.rs`: `//! | 0 | [`event`], [`secret`] |`.
fn levels(documentation: &str) -> BTreeMap<String, usize> {
    let rows = documentation.lines().filter_map(|line| line.strip_prefix("//! | ")?.split_once(" | "));
    let numbered = rows.filter_map(|(level, modules)| Some((level.parse().ok()?, modules)));
    let modules = numbered.flat_map(|(level, modules): (usize, &str)| {
        modules.split("[`").skip(1).filter_map(move |rest| Some((rest.split_once("`]")?.0.to_owned(), level)))
    });
    modules.collect()
}

fn uses_lower_levels(file: &Source, levels: &BTreeMap<String, usize>) -> Vec<String> {
    let module = file.module();
    if matches!(module, "lib" | "main") {
        return Vec::new();
    }
    let Some(level) = levels.get(module) else { return vec![format!("`{module}` has no level in src/lib.rs")] };
    let mut wrong = Vec::new();
    for (used, line) in file.modules_used().into_iter().filter(|(used, _)| used != module) {
        match levels.get(&used) {
            Some(lower) if lower < level => {}
            Some(_) => wrong.push(format!("line {line}: `{module}` uses `{used}`")),
            None => wrong.push(format!("line {line}: `{used}` has no level in src/lib.rs")),
        }
    }
    let steps = file.path.trim_end_matches("/mod.rs").split('/').count();
    for place in file.places_of(&"super::".repeat(steps)) {
        wrong.push(format!("line {}: `super` leaves its module", file.line_of(place)));
    }
    wrong
}

fn opens_with_its_purpose(file: &Source) -> Vec<String> {
    let lines = file.text.lines().take_while(|line| line.starts_with("//!")).count();
    let is_map = file.path == "lib.rs";
    if is_map || (1..=8).contains(&lines) {
        return Vec::new();
    }
    vec![format!("opens with {lines} lines of `//!`, not one to eight")]
}

fn keeps_to_its_tools(file: &Source) -> Vec<String> {
    let module = file.module();
    let mut wrong = Vec::new();
    let tools = [("actix_web", &["receiver", "web"][..]), ("rusqlite", &["inbox"]), ("clap", &["cli"])];
    for (tool, modules) in tools {
        if !file.places_of(tool).is_empty() && !modules.contains(&module) {
            wrong.push(format!("`{tool}` belongs to {}/", modules.join("/ and ")));
        }
    }
    let sql = ["SELECT ", "INSERT INTO ", "DELETE FROM ", "UPDATE jobs", "PRAGMA ", "BEGIN IMMEDIATE", "CREATE TABLE"];
    // Commands that a hint suggests typing into sqlite3 are not run by hookbox.
    let mut strings = file.strings.lines().filter(|line| !line.contains("sqlite3 "));
    if module != "inbox" && strings.any(|line| sql.iter().any(|words| line.contains(words))) {
        wrong.push("SQL belongs to inbox/".to_owned());
    }
    let grouped = file.places_of("process::").into_iter().any(|place| {
        let rest = &file.code[place + "process::".len()..];
        rest.strip_prefix('{').is_some_and(|group| group.split('}').next().unwrap().contains("Command"))
    });
    let starts = grouped || ["process::Command", "posix_spawn("].iter().any(|word| !file.places_of(word).is_empty());
    // The second file executes hookbox itself once more.
    if starts && !file.path.starts_with("runner/process/") && file.path != "support/malloc_tuning.rs" {
        wrong.push("processes are started in runner/process/ alone".to_owned());
    }
    wrong
}

/// Functions that the modules above can call neither take nor return what only SQLite has.
fn keeps_connections_in_the_inbox(file: &Source) -> Vec<String> {
    if file.module() != "inbox" {
        return Vec::new();
    }
    let visible = file.functions().into_iter().filter(|function| {
        let before = file.code[..function.place].trim_end();
        let before = before.strip_suffix("async").unwrap_or(before).trim_end();
        before.ends_with("pub") || before.ends_with("pub(crate)")
    });
    let leaks = visible.filter(|function| {
        ["Connection", "rusqlite", "Transaction", "Row<"].iter().any(|word| function.signature.contains(word))
    });
    leaks
        .map(|function| format!("line {}: `{}` hands a connection out of the inbox", function.line, function.name))
        .collect()
}

fn neither_panics_nor_drops(file: &Source) -> Vec<String> {
    let words = [".unwrap()", ".expect(", "panic!", "todo!", "unimplemented!", "unreachable!", "let _ =", "dbg!"];
    let found = words.iter().flat_map(|word| file.places_of(word).into_iter().map(move |place| (word, place)));
    found.map(|(word, place)| format!("line {}: `{word}`", file.line_of(place))).collect()
}

fn is_short(file: &Source) -> Vec<String> {
    let mut wrong = Vec::new();
    let lines = file.lines_without_tests();
    if lines > LONGEST_FILE {
        wrong.push(format!("{lines} lines without its tests"));
    }
    for function in file.functions() {
        if function.lines > LONGEST_FUNCTION {
            wrong.push(format!("line {}: `{}` has {} lines", function.line, function.name, function.lines));
        }
        let parameters = function.parameters();
        if parameters > MOST_PARAMETERS {
            wrong.push(format!("line {}: `{}` takes {parameters} parameters", function.line, function.name));
        }
    }
    wrong
}

fn has_meaningful_names(file: &Source) -> Vec<String> {
    let empty = ["util", "utils", "common", "helpers", "manager", "service", "data", "info", "misc"];
    let names = file.path.trim_end_matches(".rs").split('/');
    let mut wrong: Vec<String> =
        names.filter(|name| empty.contains(name)).map(|name| format!("`{name}` means nothing")).collect();
    let getters = file.functions().into_iter().filter(|function| function.name.starts_with("get_"));
    wrong.extend(getters.map(|function| format!("line {}: `{}`", function.line, function.name)));
    wrong
}

fn names_declared_twice(files: &[Source]) -> Vec<String> {
    let mut places: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for file in files {
        for name in file.types_declared() {
            places.entry(name).or_default().push(&file.path);
        }
    }
    let twice = places.into_iter().filter(|(_, files)| files.len() > 1);
    twice.map(|(name, files)| format!("`{name}` is declared in {}", files.join(", "))).collect()
}

fn crowded_folders(files: &[Source]) -> Vec<String> {
    let mut folders: BTreeMap<&str, usize> = BTreeMap::new();
    for file in files.iter().filter(|file| file.lines_without_tests() > 0 || !file.is_tests()) {
        *folders.entry(file.path.rsplit_once('/').map_or("", |(folder, _)| folder)).or_default() += 1;
    }
    let crowded = folders.into_iter().filter(|(_, files)| *files > MOST_FILES_IN_A_FOLDER);
    crowded.map(|(folder, files)| format!("{folder}: {files} files")).collect()
}
