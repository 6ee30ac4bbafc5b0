//! Checks between sections: distinct paths and addresses, limits that fit, handlers that can be reached.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use bytesize::ByteSize;
use rustix::fs::Access;
use toml::de::DeTable;

use super::handler::{Handler, HandlerFilter};
use super::problem::{FilePosition, Problem};
use super::reader::{TomlTable, TomlValue};
use super::settings::{AdminConfig, InboxConfig, ServerConfig};
use super::source::{Source, default_path};
use crate::support::net::socket::Listen;

/// There is a source, and each has its own path.
pub(super) fn sources(root: &TomlTable<'_>, sources: &[(&str, TomlTable<'_>)]) {
    let has_no_source = |value: &TomlValue<'_>| value.value.as_table().is_some_and(DeTable::is_empty);
    if sources.is_empty() && root.get("sources").is_none_or(|value| has_no_source(&value)) {
        let hint = "add a section [sources.NAME] with a provider and a secret; `hookbox init` shows one";
        let problem = Problem::at(&FilePosition::default(), "there is no source, so no delivery can be accepted");
        root.context.problems.add(problem.hint(hint));
    }
    let mut first_of_path = HashMap::new();
    for (name, table) in sources {
        let path = table.get("path").and_then(|value| value.value.as_str());
        let path = path.map_or_else(|| default_path(name), ToOwned::to_owned);
        if let Some(first) = first_of_path.get(&path) {
            let message = format!("{path:?} is also the path of source `{first}`");
            table.report("path", message, "give each source a different path");
        } else {
            first_of_path.insert(path, name);
        }
    }
}

/// `[server]` and `[admin]` listen on different addresses.
pub(super) fn addresses(server: &ServerConfig, admin: &AdminConfig, admin_table: &TomlTable<'_>) {
    let is_free_port = matches!(admin.listen, Listen::Tcp(address) if address.port() == 0);
    if admin.listen == server.listen && !is_free_port {
        let hint = "providers use [server], you use [admin]: give them different ports";
        admin_table.report("listen", "is also the address of [server]", hint);
    }
}

pub(super) fn body_limits(server: &ServerConfig, sources: &[Arc<Source>], server_table: &TomlTable<'_>) {
    let largest = sources.iter().map(|source| source.max_body).max().unwrap_or(server.max_body);
    if largest > server.max_in_flight {
        let [in_flight, largest] = [server.max_in_flight, largest].map(ByteSize);
        let message = format!("{in_flight} is less than the largest body that a source allows ({largest})");
        server_table.report("max_in_flight", message, "raise it, or lower `max_body`");
    }
}

/// The inbox's folder can be written: `serve` creates files in it, but no folder.
pub(super) fn inbox_folder(inbox: &InboxConfig, table: &TomlTable<'_>) {
    let Some(folder) = inbox.path.parent() else { return };
    let fault = match std::fs::metadata(folder) {
        Ok(found) if !found.is_dir() => "is not a folder".to_owned(),
        Ok(_) => match rustix::fs::access(folder, Access::WRITE_OK | Access::EXEC_OK) {
            Ok(()) => return,
            Err(error) => format!("cannot be written: {error}"),
        },
        Err(error) if error.kind() == ErrorKind::NotFound => "does not exist".to_owned(),
        Err(error) => format!("cannot be used: {error}"),
    };
    let hint = permission_hint(folder);
    table.report("path", format!("the inbox's folder, {}, {fault}", folder.display()), hint);
}

/// The next step when the folder of the inbox cannot be written.
#[must_use]
pub fn permission_hint(folder: &Path) -> String {
    let is_container = ["/.dockerenv", "/run/.containerenv"].iter().any(|file| Path::new(file).exists())
        || std::env::var_os("KUBERNETES_SERVICE_HOST").is_some();
    let user = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let owner = std::fs::metadata(folder).ok().map(|folder| (folder.uid(), folder.gid()));
    permission_hint_for(folder, user, owner, is_container)
}

fn permission_hint_for(folder: &Path, user: (u32, u32), owner: Option<(u32, u32)>, is_container: bool) -> String {
    let shown = folder.display();
    let (uid, gid) = user;
    let Some((owner, group)) = owner.filter(|owner| *owner != user) else {
        return format!("create it, owned by user {uid}, as which hookbox runs, or set `inbox.path` to another one");
    };
    if is_container {
        format!(
            "hookbox runs as user {uid}:{gid} in this container, and the folder belongs to {owner}:{group}: start it with \
             `docker run --user {owner}:{group}`, or run `chown -R {uid}:{gid}` on the volume's folder"
        )
    } else {
        format!("hookbox runs as user {uid}, and the folder belongs to user {owner}: `chown -R {uid}:{gid} {shown}`")
    }
}

/// A handler and the table it was read from.
type ReadHandler<'a, 't> = (&'a TomlTable<'t>, Arc<Handler>);

/// A source without event types sends the empty one, which few globs match.
pub(super) fn reachable(handlers: &[ReadHandler<'_, '_>], sources: &[Arc<Source>]) {
    let index = SourceIndex::new(sources);
    for (table, handler) in handlers {
        let mut sources = index.of(&handler.filter).peekable();
        let is_untyped =
            sources.peek().is_some() && sources.all(|source| source.scheme.event_type.alternatives.is_empty());
        let mut globs = handler.filter.events.iter().filter(|glob| !glob.starts_with('!')).peekable();
        let matches_empty = |glob: &String| glob.bytes().all(|byte| byte == b'*');
        if is_untyped && globs.peek().is_some() && !globs.any(matches_empty) {
            let message = "no source can reach this handler: none of its sources has event types";
            table.report("events", message, "give the source an `event_type`, or remove `events`");
        }
    }
}

/// At most one handler responds to an event, and each delivery to it carries a single event.
pub(super) fn responders(handlers: &[ReadHandler<'_, '_>], sources: &[Arc<Source>]) {
    let index = SourceIndex::new(sources);
    let mut earlier_of_source: HashMap<&str, Vec<&Handler>> = HashMap::new();
    for (table, handler) in handlers.iter().filter(|(_, handler)| handler.respond.is_some()) {
        if let Some(batching) = index.of(&handler.filter).find(|source| source.scheme.batch.is_some()) {
            let message =
                format!("source `{}` sends several events in one request, which gets one response", batching.name);
            table.report("respond", message, "list the other sources in `sources`");
        }
        let mut other = None;
        for source in index.of(&handler.filter) {
            let earlier = earlier_of_source.entry(&source.name).or_default();
            let shares_an_event = |other: &&&Handler| may_share_an_event(&handler.filter, &other.filter);
            other = other.or(earlier.iter().find(shares_an_event).copied());
            earlier.push(handler);
        }
        if let Some(other) = other {
            let message = format!("`{}` responds to the same events", other.name);
            let hint =
                "one handler responds: separate them by `sources`, `events` or `where`, or remove `respond` from one";
            table.report("respond", message, hint);
        }
    }
}

/// Finds the sources of a handler in linear time.
struct SourceIndex<'a> {
    all: &'a [Arc<Source>],
    by_name: HashMap<&'a str, &'a Arc<Source>>,
}

impl<'a> SourceIndex<'a> {
    fn new(all: &'a [Arc<Source>]) -> Self {
        Self { all, by_name: all.iter().map(|source| (&*source.name, source)).collect() }
    }

    fn of(&self, filter: &HandlerFilter) -> impl Iterator<Item = &'a Arc<Source>> {
        let named = filter.sources.as_ref().map(|names| names.iter().filter_map(|name| self.by_name.get(&**name)));
        let all = if named.is_none() { self.all } else { &[] };
        named.into_iter().flatten().copied().chain(all)
    }
}

/// Whether there may be an event that both take; if in doubt, yes.
fn may_share_an_event(one: &HandlerFilter, other: &HandlerFilter) -> bool {
    let are_disjoint = one.conditions.iter().any(|(pointer, values)| {
        let same_pointer = other.conditions.iter().filter(|(other, _)| other == pointer);
        same_pointer.into_iter().any(|(_, others)| !others.iter().any(|value| values.contains(value)))
    });
    !are_disjoint && may_share_a_type(&one.events, &other.events)
}

fn may_share_a_type(one: &[String], other: &[String]) -> bool {
    let included = |globs: &[String]| {
        let included: Vec<_> = globs.iter().filter(|glob| !glob.starts_with('!')).cloned().collect();
        if included.is_empty() { vec!["*".to_owned()] } else { included }
    };
    let excludes = |globs: &[String], glob: &str| globs.iter().any(|not| not.strip_prefix('!') == Some(glob));
    let overlap = |a: &str, b: &str| !excludes(one, b) && !excludes(other, a) && globs_may_overlap(a, b);
    let others = included(other);
    included(one).iter().any(|a| others.iter().any(|b| overlap(a, b)))
}

/// Compares the text before the first wildcard. A glob without wildcards also matches types that continue with a dot.
fn globs_may_overlap(one: &str, other: &str) -> bool {
    let fixed = |glob: &str| glob.find(['*', '?', '[', '{', '\\']).unwrap_or(glob.len());
    let (a, b) = (&one[..fixed(one)], &other[..fixed(other)]);
    if a == one && b == other {
        let is_below = |name: &str, above: &str| name.strip_prefix(above).is_some_and(|rest| rest.starts_with('.'));
        return a == b || is_below(a, b) || is_below(b, a);
    }
    a.starts_with(b) || b.starts_with(a)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permission_hint_names_the_user_and_the_flag() {
        let folder = Path::new("/data");
        let hint = |owner, is_container| permission_hint_for(folder, (65532, 65532), owner, is_container);
        assert!(hint(Some((1000, 100)), true).contains("runs as user 65532:65532"));
        assert!(hint(Some((1000, 100)), true).contains("`docker run --user 1000:100`"));
        assert!(hint(Some((1000, 100)), true).contains("`chown -R 65532:65532`"));
        assert!(hint(Some((0, 0)), false).contains("`chown -R 65532:65532 /data`"));
        assert!(hint(None, true).starts_with("create it, owned by user 65532"));
    }

    #[test]
    fn globs_that_may_match_the_same_type_are_found() {
        for (one, other, expected) in [
            (&["*"][..], &["push"][..], true),
            (&["/deploy"], &["/weather"], false),
            (&["/deploy"], &["/deploy"], true),
            (&["pull_request"], &["pull_request.opened"], true),
            (&["pull"], &["pull_request"], false),
            (&["invoice.*"], &["invoice.paid"], true),
            (&["invoice.*"], &["charge.*"], false),
            (&["*.paid"], &["charge.*"], true),
            (&["!/deploy"], &["/deploy"], false),
            (&["!/deploy"], &["/weather"], true),
            (&["a", "b"], &["c", "b"], true),
        ] {
            let globs = |written: &[&str]| written.iter().map(|&glob| glob.to_owned()).collect::<Vec<_>>();
            let (one, other) = (globs(one), globs(other));
            assert_eq!(may_share_a_type(&one, &other), expected, "{one:?} {other:?}");
            assert_eq!(may_share_a_type(&other, &one), expected, "{other:?} {one:?}");
        }
    }
}
