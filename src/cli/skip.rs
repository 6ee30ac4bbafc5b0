//! `skip`: pending, running and dead jobs will not run.
//!
//! Only their state is written; `serve` notices within a second, ends a running attempt and writes how it ended.

use super::Global;
use super::change::Which;
use super::failure::Failure;
use crate::inbox::operator::BulkAction;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    which: Which,
}

pub(super) fn run(args: &Args, global: &Global) -> Result<(), Failure> {
    let asked = args.which.ask(BulkAction::Skip, global)?;
    let plan = asked.plan()?;
    args.which.carry_out(asked, &plan)
}
