//! `respond` and `respond_timeout`: one handler of a source that answers the provider in its own words.
//!
//! A handler's section goes in, how long the provider waits comes out. That no event has two such handlers, and that each
//! delivery to one carries a single event, is checked once all sections are read.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use super::section::Section;
use super::{Config, Handler, HandlerFilter, Source};

/// Unless configured: Slack and Discord wait for three seconds.
const TIMEOUT: Duration = Duration::from_millis(2500);
const TIMEOUTS: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(60);

/// What runs a job at another time, or not at all, cannot answer at once.
const NOT_WITH: [&str; 3] = ["order_by", "coalesce", "rate_limit"];

/// How long the provider waits; `None` for a handler that does not respond.
pub(super) fn read(section: &Section<'_>) -> Option<Duration> {
    let responds = section.take("respond", |item| item.truth()).unwrap_or(false);
    let timeout = section.duration("respond_timeout", TIMEOUTS);
    let problems = section.problems();
    if !responds {
        if section.has("respond_timeout") && !section.has("respond") {
            let problem = section.problem("respond_timeout", "is only read with `respond = true`");
            problems.add(problem.hint("add `respond = true`, or leave it out"));
        }
        return None;
    }
    for key in NOT_WITH.into_iter().filter(|key| section.has(key)) {
        let problem = section.problem("respond", format!("cannot stand beside `{key}`: the provider waits"));
        problems.add(problem.hint(format!("leave out `{key}`, or do that work in a handler of its own")));
    }
    Some(timeout.unwrap_or(TIMEOUT))
}

/// Notes what is wrong with handlers that respond, taken together.
pub(super) fn check(config: &Config, handlers: &[(&str, Section<'_>)]) {
    let responders: Vec<_> = config.handlers.iter().filter(|handler| handler.respond.is_some()).collect();
    for (index, handler) in responders.iter().enumerate() {
        let Some((_, section)) = handlers.iter().find(|(name, _)| **name == *handler.name) else { continue };
        let mut reached = config.sources.iter().filter(|source| takes_from(handler, source));
        if let Some(batching) = reached.find(|source| source.scheme.batch.is_some()) {
            let message =
                format!("source `{}` sends several events at once, which cannot have one answer", batching.name);
            section.problems().add(section.problem("respond", message).hint("name the others in `sources`"));
        }
        let shared = |other: &&&Arc<Handler>| {
            let share = |source: &Arc<Source>| takes_from(handler, source) && takes_from(other, source);
            config.sources.iter().any(share) && may_share_an_event(&handler.filter, &other.filter)
        };
        if let Some(other) = responders[..index].iter().find(shared) {
            let message = format!("`{}` answers the provider too, for the same events", other.name);
            let hint =
                "one handler answers: tell them apart by `sources`, `events` or `where`, or leave `respond` to one";
            section.problems().add(section.problem("respond", message).hint(hint));
        }
    }
}

fn takes_from(handler: &Handler, source: &Source) -> bool {
    handler.filter.sources.as_ref().is_none_or(|names| names.iter().any(|name| **name == *source.name))
}

/// Whether there may be an event that both take; in doubt, yes.
fn may_share_an_event(one: &HandlerFilter, other: &HandlerFilter) -> bool {
    let told_apart = one.conditions.iter().any(|(pointer, values)| {
        let theirs = other.conditions.iter().filter(|(theirs, _)| theirs == pointer);
        theirs.into_iter().any(|(_, theirs)| !theirs.iter().any(|value| values.contains(value)))
    });
    !told_apart && may_share_a_type(&one.events, &other.events)
}

fn may_share_a_type(one: &[String], other: &[String]) -> bool {
    let [mine, theirs] =
        [one, other].map(|globs| globs.iter().filter(|glob| !glob.starts_with('!')).collect::<Vec<_>>());
    let excludes = |globs: &[String], glob: &str| globs.iter().any(|not| not.strip_prefix('!') == Some(glob));
    let meet =
        |mine: &str, theirs: &str| !excludes(one, theirs) && !excludes(other, mine) && may_match_the_same(mine, theirs);
    let any = ["*".to_owned()];
    let mine = if mine.is_empty() { any.iter().collect() } else { mine };
    let theirs = if theirs.is_empty() { any.iter().collect() } else { theirs };
    mine.iter().any(|mine| theirs.iter().any(|theirs| meet(mine, theirs)))
}

/// By what stands before the first wildcard. A name without one also takes what follows it after a dot.
fn may_match_the_same(one: &str, other: &str) -> bool {
    let fixed = |glob: &str| glob.find(['*', '?', '[', '{', '\\']).map_or(glob.len(), |end| end);
    let (mine, theirs) = (&one[..fixed(one)], &other[..fixed(other)]);
    if mine == one && theirs == other {
        let below = |name: &str, above: &str| name.strip_prefix(above).is_some_and(|rest| rest.starts_with('.'));
        return mine == theirs || below(mine, theirs) || below(theirs, mine);
    }
    mine.starts_with(theirs) || theirs.starts_with(mine)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_that_may_take_the_same_type_are_told_from_those_that_cannot() {
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
