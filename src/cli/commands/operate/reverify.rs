//! `reverify`: verifies refused deliveries again under the current configuration, as of their arrival, and accepts
//! those that are genuine now.
//!
//! The provider's time window applies as of then: a delivery that was too old on arrival stays refused. So does one
//! whose body was not stored completely.

use std::sync::Arc;

use crate::cli::args::{Global, remark_if_not_served, variable};
use crate::cli::commands::inspect::refusals::{find_refusal, parse_id};
use crate::cli::commands::setup::learn;
use crate::cli::failure::Failure;
use crate::cli::output::terminal::{print_line, shown};
use crate::config::{self, Source};
use crate::diagnose::{self, ReverifyResult};
use crate::inbox::operator::InboxFile;
use crate::inbox::reader::StoredRefusal;
use crate::metrics::NO_SOURCE;
use crate::routing::Routes;
use crate::support::secret::DigestKey;
use crate::verify::VerifiedDelivery;

#[derive(Debug, clap::Args)]
pub(crate) struct ReverifyArgs {
    /// Refusal id, from `hookbox refusals`
    #[arg(required = true, value_name = "ID", value_parser = parse_id)]
    ids: Vec<i64>,
    /// Only print what would be accepted
    #[arg(long)]
    dry_run: bool,
}

/// What `reverify` found about one refusal.
enum Reverified {
    AlreadyAccepted,
    Genuine(Box<VerifiedDelivery>, Arc<Source>),
    Rejected(String),
}

pub(crate) fn run(args: &ReverifyArgs, global: &Global) -> Result<(), Failure> {
    let config = config::read(&global.config, &variable)?;
    let routes = Routes::new(&config.handlers).map_err(|error| Failure::usage(error.to_string()))?;
    let mut file = InboxFile::open(&config.inbox.path)?;
    let key = file.reader().token_key()?;
    let with_secret = |source: &Arc<Source>| learn::with_learned_secret(Arc::clone(source), &file);
    let sources = config.sources.iter().map(with_secret).collect::<Result<Vec<_>, _>>()?;
    let (mut all_genuine, mut any_accepted) = (true, false);
    for id in &args.ids {
        let result = match reverify(&find_refusal(&file, *id)?, &sources, key.as_ref()) {
            Reverified::Rejected(reason) => {
                all_genuine = false;
                reason
            }
            Reverified::AlreadyAccepted => "already accepted".to_owned(),
            Reverified::Genuine(..) if args.dry_run => "would be accepted".to_owned(),
            Reverified::Genuine(verified, source) => {
                any_accepted = true;
                accept(&mut file, *id, *verified, &routes, &source)?
            }
        };
        print_line(format!("refusal {id}: {}", shown(&result)))?;
    }
    if any_accepted {
        remark_if_not_served(&config.inbox.path, "the jobs run when it is");
    }
    if all_genuine { Ok(()) } else { Err(Failure::silent()) }
}

fn reverify(refusal: &StoredRefusal, sources: &[Arc<Source>], key: Option<&DigestKey>) -> Reverified {
    if refusal.row.taken_at.is_some() {
        return Reverified::AlreadyAccepted;
    }
    let refused = &refusal.refused;
    if refused.source == NO_SOURCE {
        return Reverified::Rejected("cannot be accepted: no source had its path; have it sent again".to_owned());
    }
    let Some(source) = sources.iter().find(|source| *source.name == *refused.source) else {
        return Reverified::Rejected(format!("source `{}` is no longer in the configuration", refused.source));
    };
    match diagnose::reverify(refused, source, key) {
        ReverifyResult::Verified(verified) => Reverified::Genuine(verified, Arc::clone(source)),
        ReverifyResult::Unrecoverable(reason) => Reverified::Rejected(format!("cannot be accepted: {reason}")),
        ReverifyResult::StillRefused(reason) => {
            Reverified::Rejected(format!("still refused: {reason}; `hookbox explain {}` shows details", refusal.row.id))
        }
    }
}

fn accept(
    file: &mut InboxFile,
    id: i64,
    verified: VerifiedDelivery,
    routes: &Routes,
    source: &Source,
) -> Result<String, Failure> {
    let ids: Vec<_> = verified.items().iter().map(|item| item.event_id.clone()).collect();
    let Some(receipt) = file.accept_refusal(id, routes.route(verified), source.admission.replay_guard)? else {
        return Ok("accepted by someone else in the meantime".to_owned());
    };
    let events = format!("{}/{}", source.name, ids.join(", "));
    Ok(match (receipt.events(), receipt.duplicates()) {
        (events_in, duplicates) if events_in == duplicates => format!("genuine, already stored as {events}"),
        (_, 0) => format!("genuine, accepted as {events}"),
        (_, duplicates) => format!("genuine, accepted as {events}; {duplicates} of them were already stored"),
    })
}
