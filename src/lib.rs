//! Weir, a video edge node.
#![forbid(unsafe_op_in_unsafe_fn)]

pub mod admin;
pub mod asset;
pub mod cache;
pub mod clock;
pub mod config;
pub mod http;
pub mod limits;
pub mod metrics;
pub mod origin;
pub mod proxy;
pub mod purge;
pub mod route;
pub mod server;
