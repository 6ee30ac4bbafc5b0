//! `retry`: dead, waiting and skipped jobs run now; failures start again at 0, attempt numbers go on.
//!
//! A skipped job comes back only where a person points at it, by EVENT or `--state skipped`.

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
    let asked = args.which.ask(BulkAction::Retry, global)?;
    let plan = asked.plan()?;
    args.which.carry_out(asked, &plan)
}
