//! Manifests rewritten for one client: bytes and a plan in, bytes out. Pure and total.
//!
//! [`hls`] and [`dash`] find the [`ladder::Ladder`] of a manifest and write it anew by a
//! [`plan::Plan`]; [`parsed`] is one of either kind. Who the client is and how fast, they do not know.
//!
//! Invariants: what is not understood goes through byte for byte. An empty plan changes nothing.
//! What was valid before is valid after, and never without a rung.

pub mod dash;
pub mod filter;
pub mod hls;
pub mod ladder;
pub mod parsed;
pub mod plan;
pub mod uri;

#[cfg(test)]
mod tests;
