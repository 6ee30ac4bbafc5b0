//! Parts that several pages share: layout, lists, job actions, charts, bodies, attempts.

pub(super) mod attempts;
pub(super) mod body;
pub(super) mod chart;
pub(super) mod format;
pub(super) mod job;
pub(super) mod layout;
pub(super) mod list;
pub(super) mod reproduce;
