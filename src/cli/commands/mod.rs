//! The verbs of the command line, grouped by purpose.

pub(crate) mod inspect;
pub(crate) mod operate;
pub(crate) mod serve;
pub(crate) mod setup;
