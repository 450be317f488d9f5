//! Rules of HTTP as pure functions: bytes and `now` in, decisions out.
//!
//! Nothing here knows of sockets, caches or Pingora; each rule names its RFC section.

pub mod cache_control;
pub mod cache_status;
pub mod conditional;
pub mod cors;
pub mod date;
pub mod fields;
pub mod forward;
pub mod freshness;
pub mod link;
pub mod range;
pub mod tags;
pub mod targeted;
pub mod vary;
pub mod via;
pub mod wishes;
