//! A reader of Rust source that separates code from comments, strings and tests, as far as the house rules need.

use std::fs;
use std::path::Path;

/// One file under `src/`.
#[derive(Debug, Clone)]
pub struct Source {
    /// Relative to `src/`, with slashes: `inbox/writer.rs`.
    pub path: String,
    /// The file as it is.
    pub text: String,
    /// The same length, with blanks in place of comments, strings and tests.
    pub code: String,
    /// The same length, with blanks in place of everything but string literals outside tests.
    pub strings: String,
    /// The same length, with blanks in place of everything but plain comments outside tests.
    pub comments: String,
}

/// A function with a body.
#[derive(Debug, PartialEq, Eq)]
pub struct Function {
    pub name: String,
    /// Byte offset of `fn`.
    pub place: usize,
    /// From 1.
    pub line: usize,
    pub lines: usize,
    /// From `fn` to the opening brace.
    pub signature: String,
}

/// Every file of `src/`, sorted by path.
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

    /// The top-level module: `inbox` of `inbox/writer.rs` and of `inbox.rs`.
    pub fn module(&self) -> &str {
        self.path.split('/').next().unwrap().trim_end_matches(".rs")
    }

    /// Whether the whole file is tests.
    pub fn is_tests(&self) -> bool {
        is_tests(&self.path)
    }

    /// Names of the structs, enums, traits and type aliases that the file declares. Associated types do not count.
    pub fn types_declared(&self) -> Vec<String> {
        let mut names = Vec::new();
        for keyword in ["struct", "enum", "trait", "union", "type"] {
            for place in self.places_of(keyword) {
                let line_start = self.code[..place].rfind('\n').map_or(0, |at| at + 1);
                let before = &self.code[line_start..place];
                let is_associated = keyword == "type" && before.starts_with(' ');
                let is_declared = before.trim().is_empty() || before.trim_start().starts_with("pub");
                let name = name_at(self.code[place + keyword.len()..].trim_start());
                if is_declared && !is_associated && name.starts_with(char::is_uppercase) {
                    names.push(name);
                }
            }
        }
        names
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

    /// The line, from 1, of a byte offset.
    pub fn line_of(&self, place: usize) -> usize {
        self.code[..place].matches('\n').count() + 1
    }

    /// Byte offsets of `words` in code, as whole words.
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

    /// Top-level modules named after `crate::`, in braces included, with their lines.
    pub fn modules_used(&self) -> Vec<(String, usize)> {
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
            let signature = self.code[place..body].to_owned();
            functions.push(Function { name, place, line, lines: self.line_of(end) - line + 1, signature });
        }
        functions
    }
}

impl Function {
    /// How many parameters it takes, without `self`.
    pub fn parameters(&self) -> usize {
        let generic = self.signature.find('<').filter(|at| *at < self.signature.find('(').unwrap_or(0));
        let list = match generic {
            Some(at) => {
                let end = end_of_generics(&self.signature[at..]) + at;
                &self.signature[end..]
            }
            None => &self.signature[..],
        };
        let Some(start) = list.find('(') else { return 0 };
        let (mut depth, mut parts, mut part) = (0_i32, Vec::new(), String::new());
        let mut before = ' ';
        for letter in list[start..].chars() {
            match letter {
                '(' | '<' | '[' => depth += 1,
                '>' if before == '-' => {}
                ')' | '>' | ']' => depth -= 1,
                ',' if depth == 1 => parts.push(std::mem::take(&mut part)),
                _ => {}
            }
            if depth == 0 {
                break;
            }
            part.push(letter);
            before = letter;
        }
        parts.push(part);
        let is_receiver = |part: &String| part.split(':').next().is_some_and(|name| name.trim_end().ends_with("self"));
        parts.iter().filter(|part| !part.trim_matches(['(', ',', ' ', '\n']).is_empty() && !is_receiver(part)).count()
    }
}

fn end_of_generics(text: &str) -> usize {
    let (mut depth, mut before) = (0, ' ');
    for (place, letter) in text.char_indices() {
        match letter {
            '<' => depth += 1,
            '>' if before == '-' => {}
            '>' if depth == 1 => return place + 1,
            '>' => depth -= 1,
            _ => {}
        }
        before = letter;
    }
    0
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

/// Byte ranges of `#[cfg(test)]` items.
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

/// The offset of the brace that closes the one at `opening`.
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

/// Code, strings and plain comments, each as long as the text, with blanks in place of the rest.
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

/// The kind of token that begins at this offset, and where it ends. Documentation has no kind.
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

/// The length of `'x'`; `None` for a lifetime.
fn letter_and_quote(rest: &[u8]) -> Option<usize> {
    let text = std::str::from_utf8(&rest[1..rest.len().min(8)])
        .unwrap_or_else(|error| std::str::from_utf8(&rest[1..=error.valid_up_to()]).unwrap_or_default());
    let letter = text.chars().next()?;
    (rest.get(1 + letter.len_utf8()) == Some(&b'\'')).then_some(letter.len_utf8() + 2)
}

fn find(bytes: &[u8], part: &[u8]) -> Option<usize> {
    bytes.windows(part.len()).position(|window| window == part)
}
