//! A model of a disk after a power failure: synced data is there, and any part of the rest, in any order, torn at sectors.
//!
//! It is built from a recording of hookbox's system calls. A file's name is durable once its folder was synced after the
//! file's creation. Data of a failed sync stays uncertain, even after later syncs, until it is written again: the kernel
//! considers it clean.

use std::collections::BTreeMap;
use std::path::Path;

use super::running::Running;
use super::strace::traced;

/// The system calls from which a [`Disk`] is built.
const CALLS: &str = "pwrite64,write,fsync,fdatasync,ftruncate,openat,unlink,rename";
/// The files of an inbox. The `-shm` file is not read after a reboot.
const FILES: [&str; 3] = ["hookbox.db", "hookbox.db-wal", "hookbox.db-journal"];

/// One system call on a file or the folder.
#[derive(Debug, Clone)]
pub struct Call {
    /// When it started, in microseconds since 1970.
    pub began_at: u64,
    pub what: What,
}

#[derive(Debug, Clone)]
pub enum What {
    Make(String),
    Remove(String),
    Write(String, usize, Vec<u8>),
    Cut(String, usize),
    Sync(String, bool),
    SyncFolder,
}

impl Call {
    pub fn is_sync(&self) -> bool {
        matches!(self.what, What::Sync(..))
    }
}

/// A recording command for [`Running::under`], with further options of strace.
pub fn recording(hookbox: &Running, more: &[&str]) -> Vec<String> {
    traced(hookbox.folder(), CALLS, &[&["--seccomp-bpf", "-ttt", "-xx", "-s", "65536"], more].concat())
}

/// System calls of the last, finished start on its inbox.
pub fn recorded(hookbox: &Running) -> Vec<Call> {
    let text = std::fs::read(hookbox.folder().join("strace")).unwrap();
    let folder = hookbox.folder().to_str().unwrap().as_bytes();
    let mut begun: BTreeMap<&[u8], &[u8]> = BTreeMap::new();
    let mut calls = Vec::new();
    for line in text.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
        let (process, rest) = split(line, b" ").unwrap();
        let rest = rest.trim_ascii_start();
        let whole;
        let (at, call) = split(rest, b" ").unwrap();
        let (at, call) = if call.starts_with(b"<... ") {
            let first = begun.remove(process).expect("it was begun");
            let (_, end) = split(call, b" resumed>").unwrap();
            let (at, first) = split(first, b" ").unwrap();
            whole = [first, end].concat();
            (at, &whole[..])
        } else if let Some((first, _)) = split(rest, b" <unfinished ...>") {
            begun.insert(process, first);
            continue;
        } else {
            (at, call)
        };
        if let Some(what) = what(call, folder) {
            calls.push(Call { began_at: moment(at), what });
        }
    }
    calls
}

fn what(call: &[u8], folder: &[u8]) -> Option<What> {
    let (name, rest) = split(call, b"(")?;
    let (arguments, result) = rsplit(rest, b") = ").or_else(|| rsplit(rest, b")     = ")).or_else(|| ending(rest))?;
    let has_failed = result.starts_with(b"-1");
    let file = |hex: &[u8]| {
        let path = bytes(hex);
        let name = path.strip_prefix(folder)?.strip_prefix(b"/")?;
        FILES.iter().find(|known| known.as_bytes() == name).map(|&known| known.to_owned())
    };
    let descriptor = || split(arguments, b"<").and_then(|(_, rest)| split(rest, b">")).map(|(path, _)| path);
    match name {
        b"openat" => {
            let mut parts = arguments.split(|&byte| byte == b'"');
            let path = parts.nth(1)?;
            let makes = parts.next()?.windows(7).any(|word| word == b"O_CREAT");
            (makes && !has_failed).then(|| file(path)).flatten().map(What::Make)
        }
        b"unlink" if !has_failed => file(arguments.split(|&byte| byte == b'"').nth(1)?).map(What::Remove),
        b"fsync" | b"fdatasync" if bytes(descriptor()?) == folder => Some(What::SyncFolder),
        b"fsync" | b"fdatasync" => file(descriptor()?).map(|file| What::Sync(file, !has_failed)),
        b"ftruncate" if !has_failed => {
            let length = rsplit(arguments, b", ")?.1;
            file(descriptor()?).map(|file| What::Cut(file, number(length)))
        }
        b"pwrite64" if !has_failed => {
            let file = file(descriptor()?)?;
            assert!(!arguments.windows(4).any(|word| word == b"\"..."), "a write was not recorded whole");
            let data = bytes(arguments.split(|&byte| byte == b'"').nth(1)?);
            assert_eq!(data.len(), number(result), "a short write");
            Some(What::Write(file, number(rsplit(arguments, b", ")?.1), data))
        }
        b"write" | b"rename" => {
            assert!(descriptor().and_then(file).is_none(), "the inbox is written by another call");
            None
        }
        _ => None,
    }
}

/// strace pads short calls with spaces.
fn ending(rest: &[u8]) -> Option<(&[u8], &[u8])> {
    let (before, result) = rsplit(rest, b"= ")?;
    Some((before.trim_ascii_end().strip_suffix(b")")?, result))
}

fn split<'a>(text: &'a [u8], at: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let place = memchr::memmem::find(text, at)?;
    Some((&text[..place], &text[place + at.len()..]))
}

fn rsplit<'a>(text: &'a [u8], at: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let place = memchr::memmem::rfind(text, at)?;
    Some((&text[..place], &text[place + at.len()..]))
}

/// `\x61\x62` as bytes.
fn bytes(hex: &[u8]) -> Vec<u8> {
    let digit = |digit: u8| if digit < b'a' { digit - b'0' } else { digit - b'a' + 10 };
    hex.as_chunks::<4>().0.iter().map(|&[_, _, high, low]| digit(high) << 4 | digit(low)).collect()
}

fn number(text: &[u8]) -> usize {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0, |number, &digit| number * 10 + usize::from(digit - b'0'))
}

fn moment(text: &[u8]) -> u64 {
    let digits: Vec<u8> = text.iter().copied().filter(u8::is_ascii_digit).collect();
    u64::try_from(number(&digits)).unwrap()
}

/// The durability of a change to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// Durable.
    Synced,
    /// Not synced.
    Waits,
    /// Its sync failed.
    InDoubt,
}

#[derive(Debug, Clone)]
enum Change {
    Write(usize, Vec<u8>),
    Cut(usize),
}

#[derive(Debug, Clone, Default)]
struct Content {
    base: Vec<u8>,
    changes: Vec<(Change, Fate)>,
}

/// The state of an inbox's folder after the calls applied so far.
#[derive(Debug, Clone, Default)]
pub struct Disk {
    contents: Vec<Content>,
    names: BTreeMap<String, usize>,
    /// States of the directory since its last sync; the first is durable.
    earlier: Vec<BTreeMap<String, usize>>,
}

impl Disk {
    pub fn take_in(&mut self, what: &What) {
        match what {
            What::Make(name) if self.names.contains_key(name) => {}
            What::Make(name) => {
                self.earlier.push(self.names.clone());
                self.contents.push(Content::default());
                self.names.insert(name.clone(), self.contents.len() - 1);
            }
            What::Remove(name) => {
                self.earlier.push(self.names.clone());
                self.names.remove(name);
            }
            What::SyncFolder => self.earlier.clear(),
            What::Write(name, at, data) => self.change(name, Change::Write(*at, data.clone())),
            What::Cut(name, length) => self.change(name, Change::Cut(*length)),
            What::Sync(name, has_worked) => {
                let content = self.content(name);
                let fate = if *has_worked { Fate::Synced } else { Fate::InDoubt };
                content.changes.iter_mut().filter(|(_, was)| *was == Fate::Waits).for_each(|(_, was)| *was = fate);
                let settled = content.changes.iter().take_while(|(_, fate)| *fate == Fate::Synced).count();
                for (change, _) in content.changes.drain(..settled) {
                    change.apply(&mut content.base, |_| true, 512);
                }
            }
        }
    }

    fn content(&mut self, name: &str) -> &mut Content {
        &mut self.contents[self.names[name]]
    }

    fn change(&mut self, name: &str, change: Change) {
        self.content(name).changes.push((change, Fate::Waits));
    }

    /// Writes one random outcome of a power failure at this point.
    pub fn fail(&self, to: &Path, random: &mut fastrand::Rng) {
        let cut = random.usize(..=self.earlier.len());
        let names = self.earlier.get(cut).unwrap_or(&self.names);
        for (name, &content) in names {
            std::fs::write(to.join(name), self.contents[content].found(random)).unwrap();
        }
    }
}

impl Content {
    /// Synced changes are there. Of unsynced ones, every sector has one of its states.
    fn found(&self, random: &mut fastrand::Rng) -> Vec<u8> {
        let mut found = self.base.clone();
        for run in self.changes.chunk_by(|(_, a), (_, b)| (*a == Fate::Synced) == (*b == Fate::Synced)) {
            if run[0].1 == Fate::Synced {
                run.iter().for_each(|(change, _)| change.apply(&mut found, |_| true, 512));
                continue;
            }
            let (mut length, length_until) = (found.len(), random.usize(..=run.len()));
            let sector = random.choice([512, 4096]).unwrap();
            let (kind, until, seed) = (random.u8(..4), random.usize(..=run.len()), random.u64(..));
            for (at, (change, _)) in run.iter().enumerate() {
                let reached = |number: usize| {
                    at < match kind {
                        0 => 0,
                        1 => until,
                        _ => fastrand::Rng::with_seed(seed ^ (number as u64)).usize(..=run.len()),
                    }
                };
                change.apply(&mut found, reached, sector);
                if at < length_until {
                    length = change.length_after(length);
                }
            }
            if kind != 0 {
                found.resize(length, 0);
            }
        }
        found
    }
}

impl Change {
    fn length_after(&self, length: usize) -> usize {
        match self {
            Self::Write(at, data) => length.max(at + data.len()),
            Self::Cut(to) => *to,
        }
    }

    /// Applies the sectors that reached the disk.
    fn apply(&self, to: &mut Vec<u8>, has_reached: impl Fn(usize) -> bool, sector: usize) {
        let (from, until) = match self {
            Self::Write(at, data) => (*at, at + data.len()),
            Self::Cut(length) => (*length, to.len().max(*length)),
        };
        let mut at = from;
        while at < until {
            let end = until.min((at / sector + 1) * sector);
            if has_reached(at / sector) {
                to.resize(to.len().max(end), 0);
                match self {
                    Self::Write(start, data) => to[at..end].copy_from_slice(&data[at - start..end - start]),
                    Self::Cut(_) => to[at..end].fill(0),
                }
            }
            at = end;
        }
        if let Self::Cut(length) = self
            && has_reached(length / sector)
        {
            to.truncate(*length);
        }
    }
}

#[test]
fn synced_data_survives_and_unsynced_data_may_be_torn() {
    let mut disk = Disk::default();
    let write = |letter: u8| What::Write("f".to_owned(), 0, vec![letter; 2048]);
    for what in [What::Make("f".to_owned()), write(b'a'), What::Sync("f".to_owned(), true), write(b'b')] {
        disk.take_in(&what);
    }
    let folder = tempfile::tempdir().unwrap();
    let mut random = fastrand::Rng::with_seed(1);
    let mut found = |disk: &Disk| {
        let file = folder.path().join("f");
        std::fs::remove_file(&file).ok();
        disk.fail(folder.path(), &mut random);
        std::fs::read(&file).ok()
    };
    let unsynced: Vec<_> = (0..100).map(|_| found(&disk)).collect();
    assert!(unsynced.contains(&None), "its name may be missing");
    disk.take_in(&What::SyncFolder);
    let torn: Vec<Vec<u8>> = (0..100).map(|_| found(&disk).unwrap()).collect();
    let is =
        |letters: &[u8]| torn.iter().any(|found| found.chunks(512).map(|part| part[0]).eq(letters.iter().copied()));
    assert!(is(b"aaaa") && is(b"bbbb") && is(b"abab"), "one sector and the other");
    disk.take_in(&What::Sync("f".to_owned(), false));
    disk.take_in(&What::Sync("f".to_owned(), true));
    assert!((0..100).any(|_| found(&disk).unwrap()[0] == b'a'), "a failed sync leaves doubt");
    disk.take_in(&write(b'c'));
    disk.take_in(&What::Sync("f".to_owned(), true));
    assert!((0..100).all(|_| found(&disk) == Some(vec![b'c'; 2048])));
}
