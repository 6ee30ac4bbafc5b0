//! What the command line needs of a configuration to find the inbox and the server, however the rest stands.
//!
//! A person who looks into the inbox may have none of the secrets, and a mistake in one section must not keep them
//! from it. Only what is handed out here is checked; [`super::read()`] judges the whole file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::problem::ConfigErrors;
use super::read::{Named, Surroundings, named, read_as};
use super::section::Section;
use super::{AdminConfig, Handler, Retention, Source, admin, handler, keys, settings};
use crate::support::net::socket::Listen;

/// Problems with these keep an outline from being drawn.
const INBOX: [&str; 2] = ["inbox", "inbox.path"];
/// Problems with these keep addresses from being told.
const ADDRESSES: [&str; 4] = ["server", "server.listen", "admin", "admin.listen"];

/// A configuration's addresses and names.
#[derive(Debug, Clone)]
pub struct ConfigSummary {
    /// The database file, absolute.
    pub inbox: PathBuf,
    /// How long things are kept; `None` where that is not written as it should be.
    pub keep: Option<Retention>,
    /// Where providers deliver.
    pub server: Listen,
    /// Whether hookbox itself speaks HTTPS there.
    pub speaks_tls: bool,
    /// Where probes are answered; its tokens are those that can be read here.
    pub admin: AdminConfig,
    /// Names of all sources, in the order of the file.
    pub sources: Vec<String>,
    /// Names of all handlers, in the order of the file.
    pub handlers: Vec<String>,
    /// Those handlers that have nothing wrong with them.
    pub sound_handlers: Vec<Arc<Handler>>,
}

/// Reads no secret but the operator's own. `environment` looks up variables, for the programs of handlers. Its
/// addresses may be wrong: [`read_summary_with_addresses`] vouches for them.
///
/// # Errors
/// The file cannot be read or is not TOML, or what is wrong with its inbox.
pub fn read_summary(file: &Path, environment: &dyn Fn(&str) -> Option<String>) -> Result<ConfigSummary, ConfigErrors> {
    read_as(file, environment, draw, |problem| problem.is_one_of(&INBOX))
}

/// The outline, with addresses that are right.
///
/// # Errors
/// Those of [`read_summary`], and what is wrong with the addresses.
pub fn read_summary_with_addresses(
    file: &Path,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<ConfigSummary, ConfigErrors> {
    read_as(file, environment, draw, |problem| problem.is_one_of(&INBOX) || problem.is_one_of(&ADDRESSES))
}

/// One source as it is configured, however the rest of the file stands; `None` when there is none of that name.
///
/// # Errors
/// The file cannot be read or is not TOML, or what is wrong with that source.
pub fn read_source(
    file: &Path,
    environment: &dyn Fn(&str) -> Option<String>,
    name: &str,
) -> Result<Option<Arc<Source>>, ConfigErrors> {
    let section = format!("sources.{name}");
    let take = |root: &Section<'_>, around: &Surroundings<'_>| {
        let server = settings::server(&root.section("server", &keys::SERVER), around);
        let sources = named(root, "sources", &keys::SOURCE);
        let (name, section) = sources.iter().find(|(known, _)| *known == name)?;
        super::source::read(name, section, around, &server).map(Arc::new)
    };
    read_as(file, environment, take, |problem| problem.concerns(&section) || problem.concerns("server.max_body"))
}

/// Lower-case names of headers that handlers must not see of a source, however the file stands; none where there is no
/// such source.
#[must_use]
pub fn read_private_headers(file: &Path, environment: &dyn Fn(&str) -> Option<String>, name: &str) -> Vec<String> {
    let take = |root: &Section<'_>, around: &Surroundings<'_>| {
        let server = settings::server(&root.section("server", &keys::SERVER), around);
        let sources = named(root, "sources", &keys::SOURCE);
        let (name, section) = sources.iter().find(|(known, _)| *known == name)?;
        let source = super::source::read(name, section, around, &server)?;
        Some(source.scheme.private_headers())
    };
    read_as(file, environment, take, |_| false).ok().flatten().unwrap_or_default()
}

fn draw(root: &Section<'_>, around: &Surroundings<'_>) -> ConfigSummary {
    let sources = named(root, "sources", &keys::SOURCE);
    let handlers = named(root, "handlers", &keys::HANDLER);
    let sound = |(name, section): &(&str, Section<'_>)| {
        let handler = handler::read(name, section, around, &sources)?;
        (!root.problems().concern(&format!("handlers.{name}"))).then(|| Arc::new(handler))
    };
    let server = settings::server(&root.section("server", &keys::SERVER), around);
    let names = |sections: &Named<'_>| sections.iter().map(|(name, _)| (*name).to_owned()).collect();
    let inbox = settings::inbox(&root.section("inbox", &keys::INBOX), around);
    ConfigSummary {
        inbox: inbox.path,
        keep: (!root.problems().concern("inbox")).then_some(inbox.keep),
        server: server.listen,
        speaks_tls: server.tls.is_some(),
        admin: admin::read(&root.section("admin", &keys::ADMIN), around),
        sound_handlers: handlers.iter().filter_map(sound).collect(),
        sources: names(&sources),
        handlers: names(&handlers),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_source_is_read_however_the_others_stand() {
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
    fn addresses_must_be_right_for_those_who_ask_there() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("hookbox.toml");
        let read = |toml| {
            std::fs::write(&file, toml).unwrap();
            read_summary_with_addresses(&file, &|_| None)
        };
        assert!(read("[admin]\nlisten = 'here'").unwrap_err().to_string().contains("`admin.listen`"));
        let exposed = read("[admin]\nlisten = '0.0.0.0:9000'").unwrap();
        assert_eq!(exposed.admin.listen.to_string(), "0.0.0.0:9000", "without a token it is still where it is");
    }

    fn drawn(toml: &str) -> Result<ConfigSummary, String> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("hookbox.toml");
        std::fs::write(&file, toml).unwrap();
        read_summary(&file, &|_| None).map_err(|errors| errors.to_string().replace(folder.path().to_str().unwrap(), ""))
    }

    #[test]
    fn the_inbox_is_found_however_the_rest_stands() {
        let outline = drawn(
            "[inbox]\npath = 'a.db'\nmax_pending = 'many'\n[sources.github]\nprovider = 'github'\n\
             secret = { env = 'NOT_SET' }\n[sources.x]\nprovider = 'nobody'\n\
             [handlers.broken]\ncommand = ['./not-there']\n[handlers.typo]\ncommand = ['/bin/sh']\nwher = 1\n\
             [handlers.sound]\ncommand = ['/bin/sh']\n",
        )
        .unwrap();
        assert!(outline.inbox.is_absolute() && outline.inbox.ends_with("a.db"));
        assert_eq!(outline.server.to_string(), "127.0.0.1:8080");
        assert_eq!(outline.sources, ["github", "x"]);
        assert_eq!(outline.handlers, ["broken", "typo", "sound"]);
        assert_eq!(outline.sound_handlers.iter().map(|handler| &*handler.name).collect::<Vec<_>>(), ["sound"]);
    }

    #[test]
    fn what_it_vouches_for_must_be_right() {
        assert!(
            drawn("[inbox]\npath = 7\n[dispatch]\nworkers = 0")
                .unwrap_err()
                .starts_with("error: /hookbox.toml:2: `inbox.path`")
        );
        assert!(drawn("inbox = 7").unwrap_err().contains("`inbox`"));
        assert!(drawn("[admin]\nlisten = 'here'").unwrap().inbox.ends_with("hookbox.db"));
        assert!(drawn("[").is_err());
        assert!(
            read_summary(Path::new("/not/there.toml"), &|_| None).unwrap_err().to_string().contains("hookbox init")
        );
    }
}
