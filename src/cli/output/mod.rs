//! Output for the terminal: tables, lists, progress and remarks.

pub(crate) mod list;
pub(crate) mod progress;
pub(crate) mod table;
pub(crate) mod terminal;
