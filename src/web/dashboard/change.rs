//! What the buttons do: retry, replay and skip, of one event's jobs or of all that pass a filter.
//!
//! A form comes in, after the page that tells how many or for one retry at once; jobs change in the inbox's file as they
//! do by the command line, and the way to a page goes out that says how many, or how far it is where they are many. Who
//! serves the inbox notices within a second.

use std::sync::Arc;

use actix_web::HttpResponse;
use actix_web::web::{self, Data, Form, Path, Query, ServiceConfig};
use serde::Deserialize;

use super::query::Asked;
use super::{Look, Shared, Trouble, Visitor, confirm, progress};
use crate::inbox::operator::{BulkAction, BulkPlan, BulkRequest, MissingJobs};
use crate::model::event::JobState;
use crate::model::filter::JobFilter;
use crate::web::changes::Begun;

/// Something that can be done to jobs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Verb {
    /// As it stands in addresses.
    pub(super) word: &'static str,
    pub(super) label: &'static str,
    /// What it does, to be said before it is done.
    pub(super) means: &'static str,
    pub(super) change: BulkAction,
    states: &'static [JobState],
}

impl Verb {
    /// Whether it can do something to jobs in this state.
    pub(super) fn takes(self, state: JobState) -> bool {
        self.states.contains(&state)
    }

    fn find(word: &str) -> Result<Self, Trouble> {
        let known = VERBS.iter().copied().find(|verb| verb.word == word);
        known.ok_or_else(|| Trouble::Missing(format!("Nothing here is called {word}.")))
    }
}

/// Everything that can be done to jobs.
pub(super) const VERBS: [Verb; 3] = [
    Verb {
        word: "retry",
        label: "Retry",
        means: "They run again now; failures start again at 0, attempt numbers go on.",
        change: BulkAction::Retry,
        states: &[JobState::Dead, JobState::Skipped, JobState::Pending],
    },
    Verb {
        word: "replay",
        label: "Replay",
        means: "They have succeeded and run once more, under a new idempotency key: what they did is done again.",
        change: BulkAction::Replay,
        states: &[JobState::Succeeded],
    },
    Verb {
        word: "skip",
        label: "Skip",
        means: "They will not run; a running attempt is ended. A retry brings them back.",
        change: BulkAction::Skip,
        states: &[JobState::Pending, JobState::Running, JobState::Dead],
    },
];

/// Which of an event's jobs, and the list that the button stood in, if it was one.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Which {
    handler: String,
    list: String,
}

pub(super) fn routes(config: &mut ServiceConfig) {
    config
        .route("/events/{seq:[0-9]{1,18}}/retry", web::post().to(retry_one))
        .route("/jobs/run", web::get().to(ask_run))
        .route("/jobs/run", web::post().to(run))
        .route("/jobs/selection", web::get().to(pick))
        .route("/jobs/{verb}", web::get().to(ask))
        .route("/jobs/{verb}", web::post().to(many))
        .route("/jobs/{verb}/{id:[0-9]{1,18}}", web::get().to(look_at))
        .route("/jobs/{verb}/{id:[0-9]{1,18}}/stop", web::post().to(stop));
}

async fn ask(shared: Data<Shared>, visitor: Visitor, verb: Path<String>, asked: Query<Asked>) -> HttpResponse {
    super::show(shared, visitor, move |look| confirm::page(look, Verb::find(&verb)?, &asked)).await
}

async fn ask_run(shared: Data<Shared>, visitor: Visitor, asked: Query<Asked>) -> HttpResponse {
    super::show(shared, visitor, move |look| confirm::run(look, &asked)).await
}

/// What was ticked in a list, as the filter that asks about just that.
async fn pick(shared: Data<Shared>, visitor: Visitor, picked: Query<Vec<(String, String)>>) -> HttpResponse {
    super::act(shared, visitor, move |_| {
        let of =
            |wanted: &str| picked.iter().filter(|(name, _)| name == wanted).map(|(_, value)| value.as_str()).collect();
        let (verbs, jobs): (Vec<_>, Vec<_>) = (of("verb"), of("job"));
        let verb = verbs.first().filter(|verb| !verb.is_empty());
        let verb = verb.ok_or_else(|| Trouble::Asked("What to do with the ticked jobs is not said.".to_owned()))?;
        let verb = Verb::find(verb)?;
        if jobs.is_empty() {
            return Err(Trouble::Asked(format!("No job was ticked: which to {} is not said.", verb.word)));
        }
        Ok(Asked { jobs: jobs.join(","), ..Asked::default() }.link(&format!("/jobs/{}", verb.word)))
    })
    .await
}

async fn look_at(
    shared: Data<Shared>,
    visitor: Visitor,
    which: Path<(String, i64)>,
    asked: Query<Asked>,
) -> HttpResponse {
    let (verb, id) = which.into_inner();
    super::show(shared, visitor, move |look| progress::page(look, Verb::find(&verb)?, id, &asked)).await
}

/// Ends a change of many after its present step.
async fn stop(shared: Data<Shared>, visitor: Visitor, which: Path<(String, i64)>, asked: Form<Asked>) -> HttpResponse {
    super::act(shared, visitor, move |look| {
        let (verb, id) = which.into_inner();
        let page = format!("/jobs/{}/{id}", Verb::find(&verb)?.word);
        let known = look.changes.stop(id).map(|_| asked.filter().link(&page));
        known.ok_or_else(|| Trouble::Missing("hookbox knows nothing of this change any more.".to_owned()))
    })
    .await
}

/// The one change that is made without asking: to retry one job is what a person came for, and repeats nothing.
async fn retry_one(shared: Data<Shared>, visitor: Visitor, seq: Path<i64>, which: Form<Which>) -> HttpResponse {
    super::act(shared, visitor, move |look| {
        let Which { handler, list } = which.into_inner();
        let event = seq.to_string();
        let asked = Asked { event, handler, ..Asked::default() };
        let verb = Verb::find("retry")?;
        let plan = plan(look, &wish(verb, &asked)?)?;
        if plan.len() > 1 {
            return Ok(asked.link("/jobs/retry"));
        }
        let changed = look.inbox.bulk_update(&Arc::new(plan), look.now, |_| true)?.changed;
        // Read and written anew, so that it leads nowhere else.
        let list = list.strip_prefix(super::jobs::PATH).map(|query| query.trim_start_matches('?'));
        let list = list.and_then(|query| Query::<Asked>::from_query(query).ok());
        Ok(match list {
            Some(list) => look.told(list.into_inner(), verb.word, changed).link(super::jobs::PATH),
            None => look.told(Asked::default(), verb.word, changed).link(&format!("/events/{seq}")),
        })
    })
    .await
}

/// Changes no more than a person was asked about: what is newer stays, and where more pass the filter he is asked again.
async fn many(shared: Data<Shared>, visitor: Visitor, verb: Path<String>, asked: Form<Asked>) -> HttpResponse {
    super::act(shared, visitor, move |look| {
        let verb = Verb::find(&verb)?;
        let mut plan = plan(look, &wish(verb, &asked)?)?;
        let confirmed = asked.confirmed()?;
        plan.jobs.retain(|id| confirmed.is_some_and(|(newest, _)| *id <= newest));
        let Some((_, most)) = confirmed else { return Ok(asked.filter().link(&format!("/jobs/{}", verb.word))) };
        if plan.len() > most {
            return Ok(look.told(asked.filter(), "ask", plan.len()).link(&format!("/jobs/{}", verb.word)));
        }
        let changed = match look.changes.begin(&look.inbox, plan, look.now)? {
            Begun::Made(tally) => tally.changed,
            Begun::UnderWay(progress) => {
                return Ok(asked.filter().link(&format!("/jobs/{}/{}", verb.word, progress.id)));
            }
            Begun::TooMany => return Err(Trouble::Busy),
        };
        Ok(match asked.seq()? {
            Some(seq) => look.told(Asked::default(), verb.word, changed).link(&format!("/events/{seq}")),
            None => look.told(asked.filter(), verb.word, changed).link(super::jobs::PATH),
        })
    })
    .await
}

async fn run(shared: Data<Shared>, visitor: Visitor, asked: Form<Asked>) -> HttpResponse {
    super::act(shared, visitor, move |look| {
        let (seq, handler) = event_and_handler(look, &asked)?;
        let made = make_job(look, seq, handler)?;
        Ok(look.told(Asked::default(), "run", made).link(&format!("/events/{seq}")))
    })
    .await
}

/// All jobs that pass the filter. Without a state or an event it would be more than is on any screen.
pub(super) fn wish(verb: Verb, asked: &Asked) -> Result<BulkRequest, Trouble> {
    let filter = asked.jobs()?;
    if filter.states.is_empty() && filter.events.is_none() && filter.jobs.is_none() {
        return Err(Trouble::Asked(format!("Choose a state first: which jobs to {} is not said.", verb.word)));
    }
    let revives = filter.states.contains(&JobState::Skipped) || filter.events.is_some() || filter.jobs.is_some();
    Ok(BulkRequest { change: verb.change, filter, revives })
}

/// Which event is to be given to which handler; both are there.
pub(super) fn event_and_handler<'a>(look: &Look, asked: &'a Asked) -> Result<(i64, &'a str), Trouble> {
    let seq = asked.seq()?.ok_or_else(|| Trouble::Asked("Which event to run it on is not said.".to_owned()))?;
    if asked.handler.is_empty() {
        return Err(Trouble::Asked("Which handler to run is not said.".to_owned()));
    }
    if !look.setup.handler_names().contains(&asked.handler) {
        return Err(Trouble::Missing(format!("There is no handler {}.", asked.handler)));
    }
    let event = look.inbox.reader()?.event(seq)?;
    event.map(|_| (seq, &*asked.handler)).ok_or_else(|| Trouble::Missing(format!("There is no event #{seq}.")))
}

/// Gives an event to a handler that has no job for it, whatever the handler's own conditions.
fn make_job(look: &Look, seq: i64, handler: &str) -> Result<usize, Trouble> {
    let filter = JobFilter { handler: Some(handler.to_owned()), events: Some(vec![seq]), ..JobFilter::default() };
    let key = |headers: &str, body: &[u8]| look.inbox.key_for(handler, headers, body);
    let missing = MissingJobs { handler, reads_payload: true, takes: &|_, _, _| true, key: &key };
    let reader = look.inbox.reader()?;
    let wish = BulkRequest { change: BulkAction::Replay, filter, revives: false };
    let mut plan = reader.plan_bulk_update(&wish, look.now, None)?;
    plan.jobs.clear();
    reader.add_missing_jobs(&mut plan, &wish.filter, &missing)?;
    Ok(look.inbox.bulk_update(&Arc::new(plan), look.now, |_| true)?.made)
}

fn plan(look: &Look, wish: &BulkRequest) -> Result<BulkPlan, Trouble> {
    Ok(look.inbox.reader()?.plan_bulk_update(wish, look.now, None)?)
}
