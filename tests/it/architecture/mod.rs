//! The rules of the house, held by reading `src/`: levels, who may use what, sizes, and nothing that can panic.
//!
//! The table of levels is the one in the documentation of `src/lib.rs`, so that it cannot go stale.

mod source;

use std::collections::BTreeMap;

use source::{Source, every_file};

/// A rule: what is wrong with a file, one line each.
type Rule = fn(&Source) -> Vec<String>;

const RULES: &[(&str, Rule)] = &[
    ("it says what it is", opens_with_its_purpose),
    ("each tool has its room", keeps_to_its_tools),
    ("nothing panics, nothing is dropped", neither_panics_nor_drops),
    ("it is short", is_short),
    ("names say something", has_names_that_say_something),
];

const LONGEST_FILE: usize = 300;
const LONGEST_FUNCTION: usize = 60;

#[test]
fn a_room_uses_rooms_of_lower_levels_only() {
    let files = every_file();
    let levels = levels(&files.iter().find(|file| file.path == "lib.rs").unwrap().text);
    assert_eq!(complaints(&files, |file| uses_lower_levels(file, &levels)), Vec::<String>::new());
}

#[test]
fn every_file_keeps_the_rules_of_the_house() {
    let files = every_file();
    for (rule, check) in RULES {
        assert_eq!(complaints(&files, check), Vec::<String>::new(), "{rule}");
    }
}

#[test]
fn comments_are_one_line_in_ten_or_fewer() {
    let (mut comments, mut lines) = (0, 0);
    for file in every_file() {
        comments += file.comments.lines().filter(|line| !line.trim().is_empty()).count();
        lines += file.code.lines().filter(|line| !line.trim().is_empty()).count();
    }
    assert!(lines > 1000 && comments * 10 <= lines, "{comments} comments on {lines} lines of code");
}

#[test]
fn each_rule_can_be_broken() {
    let levels = levels("//! | 0 | [`low`] |\n//! | 1 | [`left`], [`right`] |\n//! | 2 | [`top`] |\n");
    let broken_levels = [
        ("left/mod.rs", "use crate::right::Thing;", "`left` uses `right`"),
        ("left/deep.rs", "fn f() { crate::top::run(); }", "`left` uses `top`"),
        ("left.rs", "use crate::{low::A, top::{B, C}};", "`left` uses `top`"),
        ("left.rs", "use super::right::Thing;", "leaves its room"),
        ("left/deep.rs", "use super::super::right::Thing;", "leaves its room"),
        ("left.rs", "use crate::elsewhere::Thing;", "`elsewhere` has no level"),
        ("elsewhere.rs", "", "`elsewhere` has no level"),
    ];
    for (path, text, complaint) in broken_levels {
        assert_complaint(&uses_lower_levels(&Source::new(path, text), &levels), complaint);
    }
    let fine = "use crate::low::A;\nuse super::near;\n// crate::top\n#[cfg(test)]\nmod tests { use crate::top; }";
    assert_eq!(uses_lower_levels(&Source::new("left/deep.rs", fine), &levels), Vec::<String>::new());

    let long_file = format!("//! A\n//! B\n//! C\n{}", "const A: u8 = 0;\n".repeat(298));
    let long_function = format!("fn long() {{\n{}}}\n", "    step();\n".repeat(59));
    let broken: &[(&str, &str, &str)] = &[
        ("inbox/a.rs", "use std::io;", "opens with 0 lines of `//!`"),
        ("inbox/a.rs", "//! Only one.\nuse std::io;", "opens with 1 lines of `//!`"),
        ("route.rs", "use actix_web::web;", "`actix_web` belongs to listener/ and admin/"),
        ("dispatch/mod.rs", "fn f(c: &rusqlite::Connection) {}", "`rusqlite` belongs to inbox/"),
        ("dispatch/mod.rs", "const Q: &str = \"SELECT 1\";", "SQL belongs to inbox/"),
        ("dispatch/mod.rs", "const Q: &str = r#\"delete\nDELETE FROM jobs\"#;", "SQL belongs to inbox/"),
        ("handler/mod.rs", "use std::process::Command;", "processes are started in handler/command.rs"),
        ("dispatch/mod.rs", "fn f() { posix_spawn(path); }", "processes are started in handler/command.rs"),
        ("cli/demo.rs", "use std::process::{Command, Stdio};", "processes are started in handler/command.rs"),
        ("config/mod.rs", "use clap::Parser;", "`clap` belongs to cli/"),
        ("app.rs", "fn f() { g().unwrap(); }", "`.unwrap()`"),
        ("app.rs", "fn f() { g().expect(\"so\"); }", "`.expect(`"),
        ("app.rs", "fn f() { panic!(\"no\"); }", "`panic!`"),
        ("app.rs", "fn f() { let _ = g(); }", "`let _ =`"),
        ("app.rs", &long_file, "301 lines"),
        ("app.rs", &long_function, "`long` has 61 lines"),
        ("inbox/util.rs", "", "`util` says nothing"),
        ("app.rs", "fn get_name() {}", "`get_name`"),
    ];
    for (path, text, complaint) in broken {
        let file = Source::new(path, text);
        let all: Vec<String> = RULES.iter().flat_map(|(_, check)| check(&file)).collect();
        assert_complaint(&all, complaint);
    }
}

#[test]
fn what_stands_in_tests_comments_and_strings_is_not_code() {
    let text = concat!(
        "//! One.\n//! Two.\n//! Three.\n// .unwrap()\nfn f<'a>(x: &'a str) -> char { let s = \"panic!(\"; '{' }\n",
        "fn g() -> u8 { b'\"'; h(r#\"todo!(\"#) }\n#[cfg(test)]\nmod tests {\n    fn t() { g().unwrap(); }\n}\n",
    );
    let file = Source::new("app.rs", text);
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
    assert!(all.iter().any(|text| text.contains(part)), "nobody noticed {part:?}: {all:?}");
}

/// The table in the documentation of `lib.rs`: `//! | 0 | [`event`], [`secret`] |`.
fn levels(documentation: &str) -> BTreeMap<String, usize> {
    let rows = documentation.lines().filter_map(|line| line.strip_prefix("//! | ")?.split_once(" | "));
    let numbered = rows.filter_map(|(level, rooms)| Some((level.parse().ok()?, rooms)));
    let rooms = numbered.flat_map(|(level, rooms): (usize, &str)| {
        rooms.split("[`").skip(1).filter_map(move |rest| Some((rest.split_once("`]")?.0.to_owned(), level)))
    });
    rooms.collect()
}

fn uses_lower_levels(file: &Source, levels: &BTreeMap<String, usize>) -> Vec<String> {
    let room = file.room();
    if matches!(room, "lib" | "main") {
        return Vec::new();
    }
    let Some(level) = levels.get(room) else { return vec![format!("`{room}` has no level in src/lib.rs")] };
    let mut wrong = Vec::new();
    for (used, line) in file.rooms_used().into_iter().filter(|(used, _)| used != room) {
        match levels.get(&used) {
            Some(lower) if lower < level => {}
            Some(_) => wrong.push(format!("line {line}: `{room}` uses `{used}`")),
            None => wrong.push(format!("line {line}: `{used}` has no level in src/lib.rs")),
        }
    }
    let steps = file.path.trim_end_matches("/mod.rs").split('/').count();
    for place in file.places_of(&"super::".repeat(steps)) {
        wrong.push(format!("line {}: `super` leaves its room", file.line_of(place)));
    }
    wrong
}

fn opens_with_its_purpose(file: &Source) -> Vec<String> {
    let lines = file.text.lines().take_while(|line| line.starts_with("//!")).count();
    let is_map = matches!(file.path.as_str(), "lib.rs" | "main.rs") && lines > 0;
    if is_map || (3..=8).contains(&lines) || file.lines_without_tests() == 0 && lines > 0 {
        return Vec::new();
    }
    vec![format!("opens with {lines} lines of `//!`, not three to eight")]
}

fn keeps_to_its_tools(file: &Source) -> Vec<String> {
    let room = file.room();
    let mut wrong = Vec::new();
    let tools = [("actix_web", &["listener", "admin"][..]), ("rusqlite", &["inbox"]), ("clap", &["cli"])];
    for (tool, rooms) in tools {
        if !file.places_of(tool).is_empty() && !rooms.contains(&room) {
            wrong.push(format!("`{tool}` belongs to {}/", rooms.join("/ and ")));
        }
    }
    let sql = ["SELECT ", "INSERT INTO ", "DELETE FROM ", "UPDATE jobs", "PRAGMA ", "BEGIN IMMEDIATE", "CREATE TABLE"];
    // What a person is told to type into sqlite3 is not run by hookbox.
    let mut strings = file.strings.lines().filter(|line| !line.contains("sqlite3 "));
    if room != "inbox" && strings.any(|line| sql.iter().any(|words| line.contains(words))) {
        wrong.push("SQL belongs to inbox/".to_owned());
    }
    let grouped = file.places_of("process::").into_iter().any(|place| {
        let rest = &file.code[place + "process::".len()..];
        rest.strip_prefix('{').is_some_and(|group| group.split('}').next().unwrap().contains("Command"))
    });
    let starts = grouped || ["process::Command", "posix_spawn("].iter().any(|word| !file.places_of(word).is_empty());
    // The launcher and the allocator's settings start nothing: hookbox becomes another program, or itself once more.
    if starts && !["handler/command.rs", "handler/launcher.rs", "handler/allocator.rs"].contains(&file.path.as_str()) {
        wrong.push("processes are started in handler/command.rs alone".to_owned());
    }
    wrong
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
    for function in file.functions().iter().filter(|function| function.lines > LONGEST_FUNCTION) {
        wrong.push(format!("line {}: `{}` has {} lines", function.line, function.name, function.lines));
    }
    wrong
}

fn has_names_that_say_something(file: &Source) -> Vec<String> {
    let empty = ["util", "utils", "common", "helpers", "manager", "service", "data", "info", "misc"];
    let names = file.path.trim_end_matches(".rs").split('/');
    let mut wrong: Vec<String> =
        names.filter(|name| empty.contains(name)).map(|name| format!("`{name}` says nothing")).collect();
    let getters = file.functions().into_iter().filter(|function| function.name.starts_with("get_"));
    wrong.extend(getters.map(|function| format!("line {}: `{}`", function.line, function.name)));
    wrong
}
