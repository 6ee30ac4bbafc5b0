//! Reads a configuration file: syntax first, then every section, then what must fit together between sections.
//!
//! Looks at the files that the configuration names (secrets, programs, folders); runs and writes nothing.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::de::{DeTable, Error};

use super::alerts::{AlertsConfig, read_alerts};
use super::checks;
use super::handler::{Handler, read_handler};
use super::problem::{ConfigErrors, EnvLookup, FilePosition, LineIndex, Problem, Problems, ReadContext};
use super::reader::{TomlTable, TomlValue};
use super::settings::{
    AdminConfig, DispatchConfig, InboxConfig, ServerConfig, read_admin, read_dispatch, read_inbox, read_server,
};
use super::source::{Source, read_source};

const MAX_NAME_BYTES: usize = 64;

/// A whole configuration file, valid and with all defaults.
#[derive(Debug, Clone)]
pub struct Config {
    /// The file as it was named.
    pub file: PathBuf,
    /// The file's folder, absolute. Relative paths start here, and handlers run here.
    pub folder: PathBuf,
    pub server: ServerConfig,
    pub admin: AdminConfig,
    pub inbox: InboxConfig,
    pub dispatch: DispatchConfig,
    /// `None` without a command or URL.
    pub alerts: Option<AlertsConfig>,
    /// In the order of the file.
    pub sources: Vec<Arc<Source>>,
    /// In the order of the file.
    pub handlers: Vec<Arc<Handler>>,
}

/// Reads a configuration, or returns everything that is wrong with it.
pub fn read(file: &Path, environment: EnvLookup<'_>) -> Result<Config, ConfigErrors> {
    read_with(file, environment, |root| read_config(file, root), |_| true)
}

/// Reads a file with `read`. Problems that are not `relevant` are dropped.
pub(super) fn read_with<T>(
    file: &Path,
    environment: EnvLookup<'_>,
    read: impl FnOnce(&TomlTable<'_>) -> T,
    relevant: impl Fn(&Problem) -> bool,
) -> Result<T, ConfigErrors> {
    let unreadable = |error: std::io::Error| {
        let problem = Problem::at(&FilePosition::default(), format!("cannot be read: {error}"))
            .hint("`hookbox init` writes one; --config FILE or HOOKBOX_CONFIG names another");
        ConfigErrors::new(file, vec![problem])
    };
    let absolute = std::path::absolute(file).map_err(unreadable)?;
    let bytes = std::fs::read(file).map_err(unreadable)?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = valid.iter().filter(|byte| **byte == b'\n').count() + 1;
        ConfigErrors::new(file, vec![Problem::at(&line_only(line), "is not UTF-8 text")])
    })?;
    let lines = LineIndex::new(&text);
    let (table, errors) = DeTable::parse_recoverable(&text);
    if !errors.is_empty() {
        return Err(ConfigErrors::new(file, syntax_problems(&errors, &lines)));
    }
    let folder = absolute.parent().unwrap_or(Path::new("/"));
    let context = ReadContext { lines, problems: Problems::default(), folder, environment };
    let value = read(&TomlTable::new(FilePosition::default(), Some(table.get_ref()), &context));
    context.problems.settle(file, value, relevant)
}

fn line_only(line: usize) -> FilePosition {
    FilePosition { line: Some(line), key: String::new() }
}

/// One problem per line. Errors on the same or the next line are dropped, since most only follow from the first.
fn syntax_problems(errors: &[Error], lines: &LineIndex) -> Vec<Problem> {
    let line = |error: &Error| error.span().map_or(0, |span| lines.line_at(span.start));
    let mut errors: Vec<_> = errors.iter().map(|error| (line(error), error)).collect();
    errors.sort_by_key(|(line, _)| *line);
    let mut problems = Vec::new();
    let mut last_line = None;
    for (line, error) in errors {
        let is_consequence = last_line.is_some_and(|last| line <= last + 1);
        last_line = Some(line);
        if !is_consequence {
            problems.push(Problem::at(&line_only(line), error.message()));
        }
    }
    problems
}

fn read_config(file: &Path, root: &TomlTable<'_>) -> Config {
    let [server_table, admin_table, inbox_table, dispatch_table, alerts_table] =
        ["server", "admin", "inbox", "dispatch", "alerts"].map(|key| root.table(key));
    let (sources, handlers) = (named_tables(root, "sources"), named_tables(root, "handlers"));
    root.report_unknown_keys();
    let server = read_server(&server_table);
    let source_names = names(&sources);
    let handlers_read: Vec<_> = handlers
        .iter()
        .filter_map(|(name, table)| Some((table, Arc::new(read_handler(name, table, &source_names)?))))
        .collect();
    let config = Config {
        file: file.to_owned(),
        folder: root.context.folder.to_owned(),
        admin: read_admin(&admin_table),
        inbox: read_inbox(&inbox_table),
        dispatch: read_dispatch(&dispatch_table),
        alerts: read_alerts(&alerts_table, &sources),
        sources: sources.iter().filter_map(|(name, table)| read_source(name, table, &server).map(Arc::new)).collect(),
        handlers: handlers_read.iter().map(|(_, handler)| Arc::clone(handler)).collect(),
        server,
    };
    checks::sources(root, &sources);
    checks::addresses(&config.server, &config.admin, &admin_table);
    checks::body_limits(&config.server, &config.sources, &server_table);
    checks::inbox_folder(&config.inbox, &inbox_table);
    checks::reachable(&handlers_read, &config.sources);
    checks::responders(&handlers_read, &config.sources);
    config
}

/// Tables with the names that the user gave them, in the order of the file.
pub(super) type NamedTables<'a> = Vec<(&'a str, TomlTable<'a>)>;

pub(super) fn names<'a>(tables: &NamedTables<'a>) -> Vec<&'a str> {
    tables.iter().map(|(name, _)| *name).collect()
}

/// The tables under `sources` or `handlers`.
pub(super) fn named_tables<'a>(root: &TomlTable<'a>, key: &'static str) -> NamedTables<'a> {
    let named = |(name, value): (&'a str, TomlValue<'a>)| {
        let table = value.context.problems.ok(value.table())?;
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if !name.bytes().all(is_allowed) || name.is_empty() || name.len() > MAX_NAME_BYTES {
            let hint = format!("names have 1 to {MAX_NAME_BYTES} letters (a to z), digits, `-` and `_`");
            value.report(value.problem("is not a valid name").hint(hint));
        }
        Some((name, table))
    };
    root.table(key).entries().into_iter().filter_map(named).collect()
}
