//! Which handlers an event would run, for each source and type.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use serde::Serialize;
use serde_json::Value;

use crate::config::{Config, Handler, Source};
use crate::routing::Routes;

#[derive(Debug, Serialize)]
pub(crate) struct RunRow<'a> {
    pub(crate) source: &'a str,
    /// `None` means every type without a row of its own.
    #[serde(rename = "type")]
    pub(crate) event_type: Option<&'a str>,
    pub(crate) handlers: Vec<String>,
}

/// Returns a row per source for the requested type, or a row for each type that a handler names.
///
/// `data` is the file with the event's body; without it, conditions on the body are ignored.
pub(crate) fn runs<'a>(
    event_type: Option<&'a str>,
    source: Option<&str>,
    data: Option<&Path>,
    config: &'a Config,
) -> anyhow::Result<Vec<RunRow<'a>>> {
    let sources = config.sources.iter().filter(|known| source.is_none_or(|name| *known.name == *name));
    let Some(event_type) = event_type else {
        let routes = Routes::new(&unconditional(config))?;
        return Ok(sources.flat_map(|source| runs_of(source, config, &routes)).collect());
    };
    let (routes, body) = match data {
        Some(file) => {
            let body = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
            (Routes::new(&config.handlers)?, body)
        }
        None => (Routes::new(&unconditional(config))?, Vec::new()),
    };
    let run = |source: &'a Arc<Source>| RunRow {
        source: &source.name,
        event_type: Some(event_type),
        handlers: matching(&routes, source, event_type, &body),
    };
    Ok(sources.map(run).collect())
}

fn matching(routes: &Routes, source: &Source, event_type: &str, body: &[u8]) -> Vec<String> {
    routes.matching(&source.name, event_type, body).iter().map(ToString::to_string).collect()
}

/// Returns the handlers without their conditions on the body.
fn unconditional(config: &Config) -> Vec<Arc<Handler>> {
    let strip = |handler: &Arc<Handler>| {
        let mut handler = Handler::clone(handler);
        handler.filter.conditions.clear();
        Arc::new(handler)
    };
    config.handlers.iter().map(strip).collect()
}

/// Returns one row for each type that a handler of this source names, and one for all others.
fn runs_of<'a>(source: &'a Source, config: &'a Config, routes: &Routes) -> Vec<RunRow<'a>> {
    let mut types: Vec<&str> = Vec::new();
    let matches_source = |handler: &&Arc<Handler>| match &handler.filter.sources {
        Some(names) => names.iter().any(|name| **name == *source.name),
        None => true,
    };
    for glob in config.handlers.iter().filter(matches_source).flat_map(|handler| &handler.filter.events) {
        let name = glob.strip_prefix('!').unwrap_or(glob);
        if !name.contains(['[', '{', '\\']) && name != "*" && !types.contains(&name) {
            types.push(name);
        }
    }
    let row = |event_type, sample: &str| RunRow {
        source: &source.name,
        event_type,
        handlers: matching(routes, source, sample, b""),
    };
    // \u{1} is matched by wildcards and never part of a real type.
    let sample = |name: &str| name.replace(['*', '?'], "\u{1}");
    let named = types.iter().map(|name| row(Some(name), &sample(name)));
    named.chain([row(None, "\u{1}")]).collect()
}

/// `deploy (where /ref is "refs/heads/main")`
pub(crate) fn with_conditions(name: &str, config: &Config) -> String {
    let handler = config.handlers.iter().find(|handler| *handler.name == *name);
    let condition = |(pointer, values): &(String, Vec<Value>)| {
        let values: Vec<_> = values.iter().map(ToString::to_string).collect();
        format!("{pointer} is {}", values.join(" or "))
    };
    let conditions: Vec<_> =
        handler.into_iter().flat_map(|handler| &handler.filter.conditions).map(condition).collect();
    if conditions.is_empty() { name.to_owned() } else { format!("{name} (where {})", conditions.join(" and ")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    fn config(handlers: &str) -> Config {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("hookbox.toml");
        let sources = "[sources.github]\nprovider = 'github'\nsecret = 'x'\n\
                       [sources.shop]\nprovider = 'shopify'\nsecret = 'x'\n";
        std::fs::write(&file, format!("{sources}{handlers}")).unwrap();
        config::read(&file, &|_| None).unwrap()
    }

    #[test]
    fn every_named_type_is_listed_with_its_handlers() {
        let config = config(
            "[handlers.deploy]\ncommand = ['sh']\nsources = ['github']\nevents = ['push']\n\
             where = { '/ref' = ['a', 'b'] }\n\
             [handlers.log]\ncommand = ['sh']\nevents = ['!ping', 'pu*', 'orders/create']\n",
        );
        let lines = |event_type: Option<&str>, source: Option<&str>| {
            let runs = runs(event_type, source, None, &config).unwrap();
            let row = |run: &RunRow<'_>| {
                let handlers: Vec<_> = run.handlers.iter().map(|name| with_conditions(name, &config)).collect();
                format!("{} {}: {}", run.source, run.event_type.unwrap_or("*"), handlers.join(", "))
            };
            runs.iter().map(row).collect::<Vec<_>>()
        };
        assert_eq!(
            lines(None, None),
            [
                "github push: deploy (where /ref is \"a\" or \"b\"), log",
                "github ping: ",
                "github pu*: log",
                "github orders/create: log",
                "github *: ",
                "shop ping: ",
                "shop pu*: log",
                "shop orders/create: log",
                "shop *: ",
            ]
        );
        assert_eq!(lines(Some("pull_request.opened"), Some("shop")), ["shop pull_request.opened: log"]);
    }
}
