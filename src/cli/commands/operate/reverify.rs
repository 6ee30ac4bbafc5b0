//! `reverify`: refused deliveries are judged again under today's configuration, as of the moment they came; those that
//! are genuine now are taken in.
//!
//! A provider's time window holds as it did then: what was signed too long before it came stays out, and so does what
//! was not kept whole. One line each says what became of it.

use std::io::{self, Write as _};
use std::sync::Arc;

use crate::cli::args::{Global, variable};
use crate::cli::commands::inspect::refusals::{find, id};
use crate::cli::commands::setup::learn;
use crate::cli::failure::Failure;
use crate::cli::output::terminal::{remark, shown};
use crate::config::{self, Source};
use crate::diagnose::{self, ReverifyResult};
use crate::inbox::operator::{self, InboxFile};
use crate::inbox::reader::StoredRefusal;
use crate::routing::Routes;
use crate::support::secret::DigestKey;
use crate::verify::VerifiedDelivery;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// From `hookbox refusals`
    #[arg(required = true, value_name = "ID", value_parser = id)]
    ids: Vec<i64>,
    /// Only tells what would be taken in
    #[arg(long)]
    dry_run: bool,
}

pub(crate) fn run(args: &Args, global: &Global) -> Result<(), Failure> {
    let config = config::read(&global.config, &variable)?;
    let routes = Routes::new(&config.handlers).map_err(|error| Failure::usage(error.to_string()))?;
    let mut file = InboxFile::open(&config.inbox.path)?;
    let key = file.reader().token_key()?;
    let taught = |source: &Arc<Source>| learn::taught(Arc::clone(source), &file);
    let sources = config.sources.iter().map(taught).collect::<Result<Vec<_>, _>>()?;
    let mut is_all = true;
    let mut is_any = false;
    for id in &args.ids {
        let kept = find(&file, *id)?;
        let told = match judge(&kept, &sources, key.as_ref()) {
            Err(why) => {
                is_all = false;
                why
            }
            Ok(None) => "was taken in before".to_owned(),
            Ok(Some(_)) if args.dry_run => "would be taken in".to_owned(),
            Ok(Some((verified, source))) => {
                is_any = true;
                take_in(&mut file, *id, verified, (&routes, &source))?
            }
        };
        writeln!(io::stdout(), "refusal {id}: {}", shown(&told))?;
    }
    if is_any && matches!(operator::served_by(&config.inbox.path), Ok(None)) {
        remark("hookbox is not serving this inbox; the jobs run when it does");
    }
    if is_all { Ok(()) } else { Err(Failure::silent()) }
}

/// What would be stored of it; nothing where it is stored already.
fn judge(
    kept: &StoredRefusal,
    sources: &[Arc<Source>],
    key: Option<&DigestKey>,
) -> Result<Option<(VerifiedDelivery, Arc<Source>)>, String> {
    if kept.row.taken_at.is_some() {
        return Ok(None);
    }
    let refused = &kept.refused;
    let Some(source) = sources.iter().find(|source| *source.name == *refused.source) else {
        return Err(format!("left: its source `{}` is no longer in the configuration", refused.source));
    };
    match diagnose::reverify(refused, source, key) {
        ReverifyResult::Verified(verified) => Ok(Some((*verified, Arc::clone(source)))),
        ReverifyResult::Unrecoverable(why) => Err(format!("left: {why}")),
        ReverifyResult::StillRefused(why) => {
            Err(format!("still refused: {why}; `hookbox explain {}` says more", kept.row.id))
        }
    }
}

fn take_in(
    file: &mut InboxFile,
    id: i64,
    verified: VerifiedDelivery,
    (routes, source): (&Routes, &Source),
) -> Result<String, Failure> {
    let names: Vec<_> = verified.items().iter().map(|item| item.event_id.clone()).collect();
    let Some(receipt) = file.accept_refusal(id, routes.route(verified), source.admission.replay_guard)? else {
        return Ok("was taken in meanwhile".to_owned());
    };
    let events = format!("{}/{}", source.name, names.join(", "));
    Ok(match (receipt.events(), receipt.duplicates()) {
        (events_in, duplicates) if events_in == duplicates => format!("genuine, and stored already as {events}"),
        (_, 0) => format!("genuine, taken in as {events}"),
        (_, duplicates) => format!("genuine, taken in as {events}; {duplicates} of them were stored already"),
    })
}
