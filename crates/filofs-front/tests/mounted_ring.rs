//! Everything of `mounted.rs` once more, over a ring; see `support::transport`.

#[path = "mounted.rs"]
mod mounted;
