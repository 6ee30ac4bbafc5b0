//! From a file to a [`Config`]: parses, lets every section read itself, and checks what they mean together.
//!
//! A path and the environment go in; the configuration comes out, or everything that is wrong with it, at once.
//! Files beside the configuration are looked at (secrets, programs, folders); nothing is run or written.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytesize::ByteSize;
use rustix::fs::Access;
use toml::de::{DeTable, Error};

use super::item::{Item, Lines};
use super::keys::{self, Keys};
use super::problem::{ConfigErrors, Place, Problem, Problems};
use super::section::{Section, Sheet};
use super::{Config, Source, admin, alerts, handler, respond, settings, source};
use crate::support::net::socket::Listen;

const LONGEST_NAME: usize = 64;

/// What a configuration refers to beside itself.
pub(super) struct Surroundings<'a> {
    /// The file's folder, absolute.
    pub(super) folder: &'a Path,
    /// Looks up a variable.
    pub(super) environment: &'a dyn Fn(&str) -> Option<String>,
}

impl Surroundings<'_> {
    /// A path of the file made absolute, without its `.` parts.
    pub(super) fn locate(&self, path: &str) -> PathBuf {
        self.folder.join(path).components().collect()
    }
}

/// Reads a configuration; `environment` looks up variables.
///
/// # Errors
/// Everything that is wrong with the file, at once.
pub fn read(file: &Path, environment: &dyn Fn(&str) -> Option<String>) -> Result<Config, ConfigErrors> {
    read_as(file, environment, |root, around| assemble(file, root, around), |_| true)
}

/// Reads a file as whatever `assemble` makes of it; only problems that are `relevant` keep it from being handed out.
pub(super) fn read_as<T>(
    file: &Path,
    environment: &dyn Fn(&str) -> Option<String>,
    assemble: impl FnOnce(&Section<'_>, &Surroundings<'_>) -> T,
    relevant: impl Fn(&Problem) -> bool,
) -> Result<T, ConfigErrors> {
    let unreadable = |error: std::io::Error| {
        let problem = Problem::at(&Place::default(), format!("cannot be read: {error}"))
            .hint("`hookbox init` writes one; --config FILE or HOOKBOX_CONFIG names another");
        ConfigErrors::new(file, vec![problem])
    };
    let absolute = std::path::absolute(file).map_err(unreadable)?;
    let bytes = std::fs::read(file).map_err(unreadable)?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = valid.iter().filter(|byte| **byte == b'\n').count() + 1;
        let place = Place { line: Some(line), key: String::new() };
        ConfigErrors::new(file, vec![Problem::at(&place, "is not UTF-8 text")])
    })?;
    let sheet = Sheet { lines: Lines::new(&text), problems: Problems::default() };
    let (table, errors) = DeTable::parse_recoverable(&text);
    if !errors.is_empty() {
        return Err(ConfigErrors::new(file, syntax_problems(&errors, &sheet.lines)));
    }
    let around = Surroundings { folder: absolute.parent().unwrap_or(Path::new("/")), environment };
    let assembled = assemble(&Section::root(table.get_ref(), &keys::ROOT, &sheet), &around);
    sheet.problems.settle(file, Some(assembled), relevant)
}

/// One problem a line; the line after a problem is left alone, since most errors there are echoes.
fn syntax_problems(errors: &[Error], lines: &Lines) -> Vec<Problem> {
    let line = |error: &Error| error.span().map_or(0, |span| lines.at(span.start));
    let mut errors: Vec<_> = errors.iter().map(|error| (line(error), error)).collect();
    errors.sort_by_key(|(line, _)| *line);
    let mut problems = Vec::new();
    let mut last_line = None;
    for (line, error) in errors {
        let is_echo = last_line.is_some_and(|last| line <= last + 1);
        last_line = Some(line);
        if !is_echo {
            problems.push(Problem::at(&Place { line: Some(line), key: String::new() }, error.message()));
        }
    }
    problems
}

fn assemble(file: &Path, root: &Section<'_>, around: &Surroundings<'_>) -> Config {
    let server = settings::server(&root.section("server", &keys::SERVER), around);
    let admin = admin::read(&root.section("admin", &keys::ADMIN), around);
    let sources = named(root, "sources", &keys::SOURCE);
    let handlers = named(root, "handlers", &keys::HANDLER);
    check_paths(root, &sources);
    let config = Config {
        file: file.to_owned(),
        folder: around.folder.to_owned(),
        inbox: settings::inbox(&root.section("inbox", &keys::INBOX), around),
        dispatch: settings::dispatch(&root.section("dispatch", &keys::DISPATCH)),
        alerts: alerts::read(&root.section("alerts", &keys::ALERTS), around, &sources),
        sources: sources
            .iter()
            .filter_map(|(name, section)| source::read(name, section, around, &server).map(Arc::new))
            .collect(),
        handlers: handlers
            .iter()
            .filter_map(|(name, section)| handler::read(name, section, around, &sources).map(Arc::new))
            .collect(),
        server,
        admin,
    };
    check_server(&config, root);
    check_inbox(&config, root);
    check_reach(&config, &handlers);
    respond::check(&config, &handlers);
    config
}

pub(super) type Named<'a> = Vec<(&'a str, Section<'a>)>;

/// The sections under `sources` or `handlers`, with the names that the user gave them.
pub(super) fn named<'a>(root: &Section<'a>, key: &str, keys: &Keys) -> Named<'a> {
    let Some(all) = root.take(key, |item| Section::open(item, root.sheet())) else { return Vec::new() };
    let section = |(name, item): (&'a str, Item<'a>)| {
        let section = root.problems().keep(Section::open(&item, root.sheet()))?.checked(keys);
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if !name.bytes().all(is_plain) || name.is_empty() || name.len() > LONGEST_NAME {
            let hint = format!("names have 1 to {LONGEST_NAME} letters (a to z), digits, `-` and `_`");
            root.problems().add(item.problem("cannot be a name").hint(hint));
        }
        Some((name, section))
    };
    all.entries().into_iter().filter_map(section).collect()
}

fn check_paths(root: &Section<'_>, sources: &[(&str, Section<'_>)]) {
    if sources.is_empty()
        && root.item("sources").is_none_or(|item| item.value.as_table().is_some_and(DeTable::is_empty))
    {
        let hint = "add a section [sources.NAME] with a provider and a secret; `hookbox init` shows one";
        root.problems().add(Problem::at(&Place::default(), "there is no source, so nothing can arrive").hint(hint));
    }
    let path = |(name, section): &(&str, Section<'_>)| match section.item("path").and_then(|item| item.value.as_str()) {
        Some(path) => path.to_owned(),
        None => source::default_path(name),
    };
    for (index, source) in sources.iter().enumerate() {
        let Some((first, _)) = sources[..index].iter().find(|earlier| path(earlier) == path(source)) else { continue };
        let message = format!("{:?} is also the path of source `{first}`", path(source));
        root.problems().add(source.1.problem("path", message).hint("give each source a path of its own"));
    }
}

/// A source without event types sends the empty one, which few globs match.
fn check_reach(config: &Config, handlers: &[(&str, Section<'_>)]) {
    for handler in &config.handlers {
        let takes_from = |source: &&Arc<Source>| match &handler.filter.sources {
            Some(names) => names.iter().any(|name| **name == *source.name),
            None => true,
        };
        let mut sources = config.sources.iter().filter(takes_from).peekable();
        let is_untyped =
            sources.peek().is_some() && sources.all(|source| source.scheme.event_type.alternatives.is_empty());
        let mut wanted = handler.filter.events.iter().filter(|glob| !glob.starts_with('!')).peekable();
        let matches_empty = |glob: &String| glob.bytes().all(|byte| byte == b'*');
        if !is_untyped || wanted.peek().is_none() || wanted.any(matches_empty) {
            continue;
        }
        if let Some((_, section)) = handlers.iter().find(|(name, _)| **name == *handler.name) {
            let message = "no source can reach this handler: none of its sources has event types";
            let hint = "give the source an `event_type`, or leave `events` out";
            section.problems().add(section.problem("events", message).hint(hint));
        }
    }
}

/// The problem of a key, whether or not its section is there.
fn problem_of(root: &Section<'_>, section: &str, key: &str, message: String) -> Problem {
    match root.item(section).map(|item| Section::open(&item, root.sheet())) {
        Some(Ok(section)) => section.problem(key, message),
        _ => root.problem(section, message),
    }
}

/// `serve` makes files in it, and no folder.
fn check_inbox(config: &Config, root: &Section<'_>) {
    let Some(folder) = config.inbox.path.parent() else { return };
    let wrong = match std::fs::metadata(folder) {
        Ok(found) if !found.is_dir() => "is not a folder".to_owned(),
        Ok(_) => match rustix::fs::access(folder, Access::WRITE_OK | Access::EXEC_OK) {
            Ok(()) => return,
            Err(error) => format!("cannot be written: {error}"),
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => "does not exist".to_owned(),
        Err(error) => format!("cannot be used: {error}"),
    };
    let problem = problem_of(root, "inbox", "path", format!("the inbox's folder, {}, {wrong}", folder.display()));
    let hint = "make it, owned by whoever runs hookbox, or name another with `inbox.path`";
    root.problems().add(problem.hint(hint));
}

fn check_server(config: &Config, root: &Section<'_>) {
    let of = |section: &str, key: &str, message: String| problem_of(root, section, key, message);
    let is_free_port = |listen: &Listen| matches!(listen, Listen::Tcp(address) if address.port() == 0);
    if config.admin.listen == config.server.listen && !is_free_port(&config.admin.listen) {
        let problem = of("admin", "listen", "is the address of [server] too".to_owned());
        root.problems().add(problem.hint("providers reach [server], you reach [admin]: give them different ports"));
    }
    let longest = config.sources.iter().map(|source| source.max_body).max().unwrap_or(config.server.max_body);
    if longest > config.server.max_in_flight {
        let [in_flight, longest] = [config.server.max_in_flight, longest].map(ByteSize);
        let message = format!("{in_flight} is less than the longest body that a source allows ({longest})");
        root.problems().add(of("server", "max_in_flight", message).hint("raise it, or lower `max_body`"));
    }
}
