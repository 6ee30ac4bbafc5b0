//! Verbs that read the inbox.

pub(crate) mod events;
pub(crate) mod explain;
pub(crate) mod jobs;
pub(crate) mod refusals;
pub(crate) mod show;
pub(crate) mod status;
pub(crate) mod tail;
