//! Which file imports which: `use` declarations and inline paths, followed through re-exports to the declaring file.

use std::collections::{BTreeMap, BTreeSet};

use super::source::Source;

/// Files and the files that they import. `lib.rs` and `main.rs` are the map and the door: neither counts.
#[derive(Debug, Default)]
pub struct Imports(BTreeMap<String, BTreeSet<String>>);

/// A module path without `crate`: `["inbox", "writer"]`.
type ModulePath = Vec<String>;

/// Paths that a file names, and those that it re-exports by name.
#[derive(Debug, Default)]
struct Names {
    used: Vec<ModulePath>,
    reexported: BTreeMap<String, ModulePath>,
}

impl Imports {
    pub fn of(files: &[Source]) -> Self {
        let index = Index { names: files.iter().map(|file| (file.path.clone(), Names::default())).collect() };
        let names: BTreeMap<_, _> = files.iter().map(|file| (file.path.clone(), index.names_in(file))).collect();
        let index = Index { names };
        let mut imports = Self::default();
        for (path, names) in &index.names {
            let targets = names.used.iter().filter_map(|used| index.declaring_file(used, 0));
            let targets = targets.filter(|target| target != path && target != "lib.rs").collect();
            if !matches!(path.as_str(), "lib.rs" | "main.rs") {
                imports.0.insert(path.clone(), targets);
            }
        }
        imports
    }

    /// One line for each group of files that import each other, directly or in a circle.
    pub fn cycles(&self) -> Vec<String> {
        let reachable: BTreeMap<&str, BTreeSet<&str>> =
            self.0.keys().map(|file| (file.as_str(), self.reachable_from(file))).collect();
        let mut cycles = BTreeSet::new();
        for (file, targets) in &reachable {
            let group: Vec<&str> = targets
                .iter()
                .copied()
                .filter(|other| reachable.get(other).is_some_and(|r| r.contains(file)))
                .collect();
            if group.len() > 1 {
                cycles.insert(format!("these files import each other: {}", group.join(", ")));
            }
        }
        cycles.into_iter().collect()
    }

    fn reachable_from(&self, file: &str) -> BTreeSet<&str> {
        let (mut seen, mut open) = (BTreeSet::new(), vec![file]);
        while let Some(next) = open.pop() {
            for target in self.0.get(next).into_iter().flatten() {
                if seen.insert(target.as_str()) {
                    open.push(target);
                }
            }
        }
        seen
    }
}

struct Index {
    names: BTreeMap<String, Names>,
}

impl Index {
    fn names_in(&self, file: &Source) -> Names {
        let own = module_of(&file.path);
        let mut names = Names::default();
        let mut rest = file.code.clone();
        for place in file.places_of("use") {
            let Some(length) = file.code[place..].find(';') else { continue };
            let declaration = &file.code[place + "use".len()..place + length];
            let is_public = is_public(&file.code[..place]);
            for path in paths_of(declaration, &[]) {
                let Some(path) = self.resolve(&own, &path) else { continue };
                if is_public {
                    names.reexported.insert(path.last().cloned().unwrap_or_default(), path.clone());
                }
                names.used.push(path);
            }
            rest.replace_range(place..place + length, &" ".repeat(length));
        }
        for start in ["crate::", "self::", "super::"] {
            for (place, _) in rest.match_indices(start) {
                let before = &rest[..place];
                // Not the middle of a path, and not a visibility: `pub(in crate::inbox)`.
                let is_inner =
                    before.ends_with([':', '_']) || before.ends_with(char::is_alphanumeric) || before.ends_with("(in ");
                let path = rest[place..].split(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')).next();
                let path: Vec<_> = path.unwrap_or_default().split("::").map(str::to_owned).collect();
                if let (false, Some(path)) = (is_inner, self.resolve(&own, &path)) {
                    names.used.push(path);
                }
            }
        }
        names
    }

    /// A path as written in the module `own`, from the crate's root; `None` for another crate's.
    fn resolve(&self, own: &[String], written: &[String]) -> Option<ModulePath> {
        let (first, rest) = written.split_first()?;
        let path = match first.as_str() {
            "crate" => rest.to_vec(),
            "self" => [own, rest].concat(),
            "super" => {
                let up = written.iter().take_while(|segment| *segment == "super").count();
                [own.get(..own.len().checked_sub(up)?)?, &written[up..]].concat()
            }
            _ => {
                let inner = [own, std::slice::from_ref(first)].concat();
                self.file_of(&inner)?;
                [own, written].concat()
            }
        };
        Some(path.into_iter().filter(|segment| segment != "self").collect())
    }

    fn file_of(&self, module: &[String]) -> Option<String> {
        let stem = module.join("/");
        [format!("{stem}.rs"), format!("{stem}/mod.rs")].into_iter().find(|path| self.names.contains_key(path))
    }

    fn declaring_file(&self, path: &[String], depth: usize) -> Option<String> {
        let found = (1..=path.len()).rev().find_map(|length| Some((self.file_of(&path[..length])?, length)));
        let (file, length) = found?;
        let reexported = path.get(length).and_then(|name| self.names.get(&file)?.reexported.get(name));
        match reexported {
            Some(target) if depth < 8 => {
                self.declaring_file(&[target, &path[length + 1..]].concat(), depth + 1).or(Some(file))
            }
            _ => Some(file),
        }
    }
}

/// `["inbox", "writer"]` of `inbox/writer.rs` and `inbox/writer/mod.rs`.
fn module_of(path: &str) -> ModulePath {
    let stem = path.trim_end_matches(".rs").trim_end_matches("/mod");
    if matches!(path, "lib.rs" | "main.rs") { Vec::new() } else { stem.split('/').map(str::to_owned).collect() }
}

/// Whether the item that begins here is preceded by `pub` or `pub(...)`.
fn is_public(before: &str) -> bool {
    let before = before.trim_end();
    let before = before.strip_suffix(')').and_then(|text| Some(text[..text.rfind('(')?].trim_end())).unwrap_or(before);
    before.ends_with("pub")
}

/// `a::{b, c::D as E}` as `[a, b]` and `[a, c, D]`.
fn paths_of(declaration: &str, prefix: &[String]) -> Vec<ModulePath> {
    let declaration = declaration.trim();
    let Some((head, group)) = declaration.split_once('{') else {
        let path = declaration.split(" as ").next().unwrap_or_default();
        let segments = path.split("::").map(|segment| segment.trim().to_owned());
        return vec![prefix.iter().cloned().chain(segments.filter(|s| !s.is_empty() && s != "*")).collect()];
    };
    let head = head.split("::").map(|segment| segment.trim().to_owned()).filter(|segment| !segment.is_empty());
    let prefix: Vec<_> = prefix.iter().cloned().chain(head).collect();
    let group = group.trim_end().strip_suffix('}').unwrap_or(group);
    split_top_level(group).into_iter().flat_map(|part| paths_of(part, &prefix)).collect()
}

/// The parts between commas that are not within braces.
fn split_top_level(group: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut from) = (Vec::new(), 0, 0);
    for (place, letter) in group.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&group[from..place]);
                from = place + 1;
            }
            _ => {}
        }
    }
    parts.push(&group[from..]);
    parts.into_iter().filter(|part| !part.trim().is_empty()).collect()
}
