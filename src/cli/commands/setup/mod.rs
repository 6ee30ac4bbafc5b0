//! Verbs that prepare hookbox: configuration, keys, secrets, completions and man pages.

pub(crate) mod check;
pub(crate) mod generate;
pub(crate) mod init;
pub(crate) mod keygen;
pub(crate) mod learn;
pub(crate) mod providers;
