//! `explain`: why a delivery was turned away, and which change would have made it match.
//!
//! To come.

use super::Global;
use super::failure::Failure;
use super::refusals::id;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// From `hookbox refusals`
    #[arg(required = true, value_name = "ID", value_parser = id)]
    ids: Vec<i64>,
    /// One JSON array
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, global: &Global) -> Result<(), Failure> {
    let (_, _) = (args, global);
    Ok(())
}
