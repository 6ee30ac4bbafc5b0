//! The inbox: one SQLite file, and every line of SQL.
//!
//! [`desk`] is a person's way in: the same file, whether or not hookbox serves it; [`view`] lists and finds,
//! [`edit`] retries, replays and skips. Nothing outside this room sees SQL.

pub mod desk;
pub mod edit;
pub mod view;

#[cfg(test)]
mod sample;
