//! Rust source read just far enough to hold rules about it: comments, strings and tests told apart from code.

use std::fs;
use std::path::Path;

/// One file under `src/`.
#[derive(Debug, Clone)]
pub struct Source {
    /// Relative to `src/`, with slashes: `inbox/writer.rs`.
    pub path: String,
    /// Every line as it stands.
    pub text: String,
    /// The same length; comments, strings and tests are blanks.
    pub code: String,
    /// The same length; only what stands in strings, outside tests.
    pub strings: String,
    /// The same length; only comments that are not documentation, outside tests.
    pub comments: String,
}

/// A function with a body: name, first line, number of lines.
#[derive(Debug, PartialEq, Eq)]
pub struct Function {
    pub name: String,
    pub line: usize,
    pub lines: usize,
}

/// Every file of the program, in the order of their paths.
pub fn every_file() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut folders, mut files) = (vec![root.clone()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
                files.push(Source::new(&name, &fs::read_to_string(&path).unwrap()));
            }
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

impl Source {
    pub fn new(path: &str, text: &str) -> Self {
        let [mut code, mut strings, mut comments] = apart(text);
        let tests = if is_tests(path) { vec![(0, text.len())] } else { tests_in(&code) };
        for (start, end) in tests {
            for part in [&mut code, &mut strings, &mut comments] {
                blank(&mut part[start..end]);
            }
        }
        let [code, strings, comments] =
            [code, strings, comments].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        Self { path: path.to_owned(), text: text.to_owned(), code, strings, comments }
    }

    /// `inbox` of `inbox/writer.rs` and of `inbox.rs`.
    pub fn room(&self) -> &str {
        self.path.split('/').next().unwrap().trim_end_matches(".rs")
    }

    /// How many lines there are that are not tests.
    pub fn lines_without_tests(&self) -> usize {
        if is_tests(&self.path) {
            return 0;
        }
        let written = self.text.lines().count();
        let tests = tests_in(&apart(&self.text)[0]);
        written - tests.iter().map(|&(start, end)| self.text[start..end].lines().count()).sum::<usize>()
    }

    /// The line, from 1, of a place in the text.
    pub fn line_of(&self, place: usize) -> usize {
        self.code[..place].matches('\n').count() + 1
    }

    /// Places where this stands in code, and no letter before or behind it.
    pub fn places_of(&self, words: &str) -> Vec<usize> {
        let is_part = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
        let bytes = self.code.as_bytes();
        let is_word = |place: &usize| {
            let before = place.checked_sub(1).and_then(|before| bytes.get(before));
            let begins = !is_part(words.as_bytes().first()) || !is_part(before);
            let ends = !is_part(words.as_bytes().last()) || !is_part(bytes.get(place + words.len()));
            begins && ends
        };
        self.code.match_indices(words).map(|(place, _)| place).filter(is_word).collect()
    }

    /// Names behind every `crate::`, those in braces included.
    pub fn rooms_used(&self) -> Vec<(String, usize)> {
        let mut used = Vec::new();
        for place in self.places_of("crate::") {
            let rest = &self.code[place + "crate::".len()..];
            let names = match rest.strip_prefix('{') {
                Some(group) => first_names(group),
                None => vec![name_at(rest)],
            };
            used.extend(names.into_iter().map(|name| (name, self.line_of(place))));
        }
        used
    }

    /// Every function that has a body.
    pub fn functions(&self) -> Vec<Function> {
        let mut functions = Vec::new();
        for place in self.places_of("fn") {
            let rest = self.code[place + 2..].trim_start();
            let name = name_at(rest);
            let Some(body) = self.code[place..].find(['{', ';']).map(|at| place + at) else { continue };
            if name.is_empty() || self.code.as_bytes()[body] == b';' {
                continue;
            }
            let end = end_of_block(self.code.as_bytes(), body);
            let line = self.line_of(place);
            functions.push(Function { name, line, lines: self.line_of(end) - line + 1 });
        }
        functions
    }
}

/// Whether a whole file is tests, by its name.
fn is_tests(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.contains("/tests/")
}

fn name_at(text: &str) -> String {
    text.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect()
}

/// `a`, `b`, `c` of `a, b::{x, y}, c::z}`.
fn first_names(group: &str) -> Vec<String> {
    let (mut depth, mut names, mut at_start) = (0, Vec::new(), true);
    for (place, letter) in group.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => at_start = true,
            _ if at_start && !letter.is_whitespace() => {
                names.push(name_at(&group[place..]));
                at_start = false;
            }
            _ => {}
        }
    }
    names
}

/// Where `#[cfg(test)]` items begin and end.
fn tests_in(code: &[u8]) -> Vec<(usize, usize)> {
    let (marker, mut found, mut from) = (b"#[cfg(test)]", Vec::new(), 0);
    while let Some(at) = code[from..].windows(marker.len()).position(|window| window == marker) {
        let start = from + at;
        let opening =
            code[start..].iter().position(|byte| matches!(byte, b'{' | b';')).map_or(code.len(), |at| start + at);
        let end = match code.get(opening) {
            Some(b'{') => end_of_block(code, opening) + 1,
            _ => (opening + 1).min(code.len()),
        };
        found.push((start, end));
        from = end;
    }
    found
}

/// The place of the brace that closes the one at `opening`.
fn end_of_block(code: &[u8], opening: usize) -> usize {
    let mut depth = 0;
    for (place, byte) in code.iter().enumerate().skip(opening) {
        match byte {
            b'{' => depth += 1,
            b'}' if depth == 1 => return place,
            b'}' => depth -= 1,
            _ => {}
        }
    }
    code.len() - 1
}

fn blank(bytes: &mut [u8]) {
    bytes.iter_mut().filter(|byte| **byte != b'\n').for_each(|byte| *byte = b' ');
}

/// Code, strings and plain comments, each as long as the text, with blanks for the rest.
fn apart(text: &str) -> [Vec<u8>; 3] {
    let bytes = text.as_bytes();
    let mut parts = [(); 3].map(|()| {
        let mut part = bytes.to_vec();
        blank(&mut part);
        part
    });
    let mut place = 0;
    while place < bytes.len() {
        let (kind, end) = piece(bytes, place);
        if let Some(kind) = kind {
            parts[kind][place..end].copy_from_slice(&bytes[place..end]);
        }
        place = end;
    }
    parts
}

const CODE: Option<usize> = Some(0);
const STRING: Option<usize> = Some(1);
const COMMENT: Option<usize> = Some(2);

/// What begins at this place, and where it ends.
fn piece(bytes: &[u8], place: usize) -> (Option<usize>, usize) {
    let rest = &bytes[place..];
    let before = place.checked_sub(1).map_or(b' ', |before| bytes[before]);
    let in_name = before.is_ascii_alphanumeric() || before == b'_';
    let to_line_end = || rest.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |at| place + at);
    match rest {
        [b'/', b'/', b'/' | b'!', ..] => (None, to_line_end()),
        [b'/', b'/', ..] => (COMMENT, to_line_end()),
        [b'/', b'*', ..] => (COMMENT, place + find(rest, b"*/").map_or(rest.len(), |at| at + 2)),
        [b'r', b'"' | b'#', ..] if !in_name && is_raw_string(rest) => (STRING, place + raw_string(rest)),
        [b'"', ..] => (STRING, place + quoted(rest, b'"')),
        [b'\'', b'\\', ..] => (STRING, place + quoted(rest, b'\'')),
        [b'\'', ..] => match letter_and_quote(rest) {
            Some(length) => (STRING, place + length),
            None => (CODE, place + 1),
        },
        _ => (CODE, place + 1),
    }
}

fn is_raw_string(rest: &[u8]) -> bool {
    rest[1..].iter().find(|byte| **byte != b'#') == Some(&b'"')
}

fn raw_string(rest: &[u8]) -> usize {
    let hashes = rest[1..].iter().take_while(|byte| **byte == b'#').count();
    let closing = [b"\"".as_slice(), &vec![b'#'; hashes]].concat();
    let body = 2 + hashes;
    find(&rest[body..], &closing).map_or(rest.len(), |at| body + at + closing.len())
}

fn quoted(rest: &[u8], quote: u8) -> usize {
    let mut place = 1;
    while place < rest.len() && rest[place] != quote {
        place += if rest[place] == b'\\' { 2 } else { 1 };
    }
    (place + 1).min(rest.len())
}

/// The length of `'x'`; nothing for a lifetime.
fn letter_and_quote(rest: &[u8]) -> Option<usize> {
    let text = std::str::from_utf8(&rest[1..rest.len().min(8)])
        .unwrap_or_else(|error| std::str::from_utf8(&rest[1..=error.valid_up_to()]).unwrap_or_default());
    let letter = text.chars().next()?;
    (rest.get(1 + letter.len_utf8()) == Some(&b'\'')).then_some(letter.len_utf8() + 2)
}

fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}
