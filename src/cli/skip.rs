//! `skip`: pending, running and dead jobs will not run; `serve` ends a running attempt within a second or so.

use super::Global;
use super::change::Which;
use super::failure::Failure;
use crate::inbox::edit::Change;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    which: Which,
}

pub(super) fn run(args: &Args, global: &Global) -> Result<(), Failure> {
    let asked = args.which.ask(Change::Skip, global)?;
    let plan = asked.plan()?;
    args.which.carry_out(asked, &plan)
}
