//! Parts of a configuration for the command line: readable even if the rest of the file is wrong.
//!
//! An operator who looks into the inbox may not have the secrets, and a mistake in one section must not block them. Only
//! what is returned is checked; [`super::read()`] checks the whole file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::handler::{Handler, read_handler};
use super::problem::{ConfigErrors, EnvLookup, Problem};
use super::read::{named_tables, names, read_with};
use super::reader::TomlTable;
use super::settings::{AdminConfig, Retention, read_admin, read_inbox, read_server};
use super::source::unsigned::is_unsigned;
use super::source::{self, Source};
use crate::support::net::socket::Listen;

const INBOX: [&str; 2] = ["inbox", "inbox.path"];
const ADDRESSES: [&str; 4] = ["server", "server.listen", "admin", "admin.listen"];

/// Addresses and names of a configuration.
#[derive(Debug, Clone)]
pub struct ConfigSummary {
    /// The database file, absolute.
    pub inbox: PathBuf,
    /// `None` if a section of the inbox is wrong.
    pub keep: Option<Retention>,
    /// The address of `[server]`.
    pub server: Listen,
    /// Whether hookbox itself terminates TLS on that address.
    pub speaks_tls: bool,
    /// With the tokens that could be read.
    pub admin: AdminConfig,
    /// Names of all sources, in the order of the file.
    pub sources: Vec<String>,
    /// Names of the sources with `verify = "none"`.
    pub unsigned_sources: Vec<String>,
    /// Names of all handlers, in the order of the file.
    pub handlers: Vec<String>,
    /// The handlers without problems.
    pub sound_handlers: Vec<Arc<Handler>>,
}

/// Reads a summary if the inbox is configured correctly. Its addresses may be defaults for wrong ones; use
/// [`read_summary_with_addresses`] to rely on them.
pub fn read_summary(file: &Path, environment: EnvLookup<'_>) -> Result<ConfigSummary, ConfigErrors> {
    read_with(file, environment, summary, |problem| problem.is_at(&INBOX))
}

/// Reads a summary if inbox and addresses are configured correctly.
pub fn read_summary_with_addresses(file: &Path, environment: EnvLookup<'_>) -> Result<ConfigSummary, ConfigErrors> {
    read_with(file, environment, summary, |problem| problem.is_at(&INBOX) || problem.is_at(&ADDRESSES))
}

/// Reads one source; `None` if there is no source of that name.
pub fn read_source(file: &Path, environment: EnvLookup<'_>, name: &str) -> Result<Option<Arc<Source>>, ConfigErrors> {
    let key = format!("sources.{name}");
    let is_relevant = |problem: &Problem| problem.is_within(&key) || problem.is_within("server.max_body");
    read_with(file, environment, |root| source_named(root, name).map(Arc::new), is_relevant)
}

/// Lower-case names of the headers that handlers must not see. Empty if the source is missing or wrong.
#[must_use]
pub fn read_private_headers(file: &Path, environment: EnvLookup<'_>, name: &str) -> Vec<String> {
    let source = read_with(file, environment, |root| source_named(root, name), |_| false).ok().flatten();
    source.map(|source| source.scheme.private_headers()).unwrap_or_default()
}

fn source_named(root: &TomlTable<'_>, name: &str) -> Option<Source> {
    let server = read_server(&root.table("server"));
    let sources = named_tables(root, "sources");
    let (name, table) = sources.iter().find(|(known, _)| *known == name)?;
    source::read_source(name, table, &server)
}

fn summary(root: &TomlTable<'_>) -> ConfigSummary {
    let (sources, handlers) = (named_tables(root, "sources"), named_tables(root, "handlers"));
    let source_names = names(&sources);
    let problems = &root.context.problems;
    let sound = |(name, table): &(&str, TomlTable<'_>)| {
        let handler = read_handler(name, table, &source_names)?;
        (!problems.any_within(&format!("handlers.{name}"))).then(|| Arc::new(handler))
    };
    let owned = |names: Vec<&str>| names.into_iter().map(ToOwned::to_owned).collect();
    let unsigned = sources.iter().filter(|(_, table)| is_unsigned(table));
    let server = read_server(&root.table("server"));
    let inbox = read_inbox(&root.table("inbox"));
    ConfigSummary {
        inbox: inbox.path,
        keep: (!problems.any_within("inbox")).then_some(inbox.keep),
        server: server.listen,
        speaks_tls: server.tls.is_some(),
        admin: read_admin(&root.table("admin")),
        sound_handlers: handlers.iter().filter_map(sound).collect(),
        unsigned_sources: unsigned.map(|(name, _)| (*name).to_owned()).collect(),
        handlers: owned(names(&handlers)),
        sources: owned(source_names),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn source_is_read_although_others_are_wrong() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("hookbox.toml");
        let toml = "[dispatch]\nworkers = 0\n[sources.a]\nprovider = 'github'\nsecret = 's'\n\
                    [sources.b]\nprovider = 'github'\nsecret = { env = 'NOT_SET' }\n";
        std::fs::write(&file, toml).unwrap();
        let read = |name| read_source(&file, &|_| None, name);
        assert_eq!(read("a").unwrap().unwrap().path, "/hooks/a");
        assert!(read("b").unwrap_err().to_string().contains("NOT_SET"));
        assert!(read("c").unwrap().is_none());
        assert!(read_source(&file, &|_| Some("set".into()), "b").unwrap().is_some());
    }

    #[test]
    fn wrong_addresses_fail_only_where_they_are_needed() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("hookbox.toml");
        let read = |toml| {
            std::fs::write(&file, toml).unwrap();
            read_summary_with_addresses(&file, &|_| None)
        };
        assert!(read("[admin]\nlisten = 'here'").unwrap_err().to_string().contains("`admin.listen`"));
        let exposed = read("[admin]\nlisten = '0.0.0.0:9000'").unwrap();
        assert_eq!(exposed.admin.listen.to_string(), "0.0.0.0:9000", "a missing token does not matter");
    }

    fn summary_of(toml: &str) -> Result<ConfigSummary, String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("hookbox.toml");
        std::fs::write(&file, toml).unwrap();
        read_summary(&file, &|_| None).map_err(|errors| errors.to_string().replace(folder.path().to_str().unwrap(), ""))
    }

    #[test]
    fn inbox_is_found_although_other_sections_are_wrong() {
        let summary = summary_of(
            "[inbox]\npath = 'a.db'\nmax_pending = 'many'\n[sources.github]\nprovider = 'github'\n\
             secret = { env = 'NOT_SET' }\n[sources.x]\nprovider = 'nobody'\n\
             [handlers.broken]\ncommand = ['./not-there']\n[handlers.typo]\ncommand = ['/bin/sh']\nwher = 1\n\
             [handlers.sound]\ncommand = ['/bin/sh']\n",
        )
        .unwrap();
        assert!(summary.inbox.is_absolute() && summary.inbox.ends_with("a.db"));
        assert_eq!(summary.server.to_string(), "127.0.0.1:8080");
        assert_eq!(summary.sources, ["github", "x"]);
        assert_eq!(summary.handlers, ["broken", "typo", "sound"]);
        assert_eq!(summary.sound_handlers.iter().map(|handler| &*handler.name).collect::<Vec<_>>(), ["sound"]);
    }

    #[test]
    fn wrong_inbox_is_an_error() {
        assert!(
            summary_of("[inbox]\npath = 7\n[dispatch]\nworkers = 0")
                .unwrap_err()
                .starts_with("error: /hookbox.toml:2: `inbox.path`")
        );
        assert!(summary_of("inbox = 7").unwrap_err().contains("`inbox`"));
        assert!(summary_of("[admin]\nlisten = 'here'").unwrap().inbox.ends_with("hookbox.db"));
        assert!(summary_of("[").is_err());
        assert!(
            read_summary(Path::new("/not/there.toml"), &|_| None).unwrap_err().to_string().contains("hookbox init")
        );
    }
}
