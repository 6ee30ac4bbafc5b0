//! Verbs that change the inbox, send deliveries or run handlers by hand.

pub(crate) mod backup;
pub(crate) mod bulk;
pub(crate) mod pause;
pub(crate) mod prune;
pub(crate) mod reverify;
pub(crate) mod run;
pub(crate) mod send;
