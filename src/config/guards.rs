//! `server.trusted_proxies` and a source's guards: `allow_ips`, `rate_limit` (of a handler too), `replay_guard`.
//!
//! A section goes in; networks, a rate and a choice come out. What they do to a delivery is the listener's and the
//! inbox's. A single address is a network of one; an empty list of allowed addresses is refused, not taken as all.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;

use super::item::Item;
use super::problem::Problem;
use super::section::Section;
use crate::support::net::forwarded::{Networks, TrustedProxies};
use crate::support::rate_limiter::Rate;

/// Stands among `trusted_proxies` for whoever connects through a unix socket.
const UNIX: &str = "unix:";
const MOST: u32 = 1_000_000;

/// Further conditions on the deliveries of one source.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Admission {
    /// Where deliveries may come from; `None` is anywhere.
    pub allow_ips: Option<Networks>,
    /// How many genuine deliveries are let through.
    pub rate_limit: Option<Rate>,
    /// What makes an event known.
    pub replay_guard: ReplayGuard,
}

/// What makes an event known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReplayGuard {
    /// Its id.
    #[default]
    Id,
    /// Its id, and its body under whatever id.
    IdAndBody,
}

pub(super) fn proxies(section: &Section<'_>) -> TrustedProxies {
    let expected = "a list of networks, e.g. [\"127.0.0.1\", \"10.0.0.0/8\"]";
    let one = |item: &Item<'_>| match item.text()? {
        UNIX => Ok(None),
        _ => network(item).map(Some),
    };
    let written = section.list("trusted_proxies", expected, one).unwrap_or_default();
    TrustedProxies { unix: written.contains(&None), networks: Networks(written.into_iter().flatten().collect()) }
}

pub(super) fn guards(section: &Section<'_>) -> Admission {
    let expected = "a list of networks, e.g. [\"192.0.2.0/24\"]";
    let allowed = section.list("allow_ips", expected, network);
    if allowed.as_ref().is_some_and(Vec::is_empty) {
        let problem = section.problem("allow_ips", "names no address, so nothing could arrive");
        section.problems().add(problem.hint("leave it out to let every address in"));
    }
    Admission {
        allow_ips: allowed.map(Networks),
        rate_limit: section.take("rate_limit", rate),
        replay_guard: section.take("replay_guard", replay_guard).unwrap_or_default(),
    }
}

fn network(item: &Item<'_>) -> Result<IpNet, Problem> {
    let text = item.text()?;
    let single = text.parse::<IpAddr>().ok().map(|address| IpNet::from(address.to_canonical()));
    single.or_else(|| text.parse::<IpNet>().ok().map(|network| network.trunc())).ok_or_else(|| {
        item.problem(format!("{text:?} is no IP network"))
            .hint("networks are written \"192.0.2.0/24\" or \"2001:db8::/32\", a single address without the slash")
    })
}

pub(super) fn rate(item: &Item<'_>) -> Result<Rate, Problem> {
    let hint = "rates are written \"100/s\", \"600/m\" or \"5000/h\"";
    let text = item.text()?;
    let wrong = || item.problem(format!("{text:?} is no rate")).hint(hint);
    let (count, unit) = text.split_once('/').ok_or_else(wrong)?;
    let per = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return Err(wrong()),
    };
    match count.parse() {
        Ok(count @ 1..=MOST) => Ok(Rate { count, per: Duration::from_secs(per) }),
        Ok(_) => Err(item.problem(format!("must let through between 1 and {MOST}, is {text:?}"))),
        Err(_) => Err(wrong()),
    }
}

fn replay_guard(item: &Item<'_>) -> Result<ReplayGuard, Problem> {
    match item.text()? {
        "id" => Ok(ReplayGuard::Id),
        "id+body" => Ok(ReplayGuard::IdAndBody),
        other => Err(item.problem(format!("{other:?} is neither \"id\" nor \"id+body\""))),
    }
}
