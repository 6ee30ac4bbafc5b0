//! What hookbox promises, proven by faults: each file holds a fault, in its short form and for `make torture`.
//!
//! The table of promises and where each is proven is docs/evidence.md.

mod full_disk;
mod killed;
mod pinned;
mod power;
mod sync;
mod upgrade;
