//! The read-through engine: memory, then Redis, then the origin; single flight, detached fills.
//!
//! Nothing here knows of Pingora's sessions. [`engine::Engine::open`] answers what an object is;
//! [`reader::Reader`] gives its bytes as they come.

pub mod ask;
pub mod beginning;
pub mod budget;
pub mod engine;
pub mod explain;
pub mod fill;
pub mod filler;
pub mod flight;
pub mod head;
pub mod intake;
pub mod lookup;
pub mod marks;
pub mod memory;
pub mod object;
pub mod opened;
pub mod plan;
pub mod policy;
pub mod posted;
pub mod promote;
pub mod reader;
pub mod record;
pub mod ripen;
pub mod shared;
pub mod spill;
pub mod stored;
pub mod variants;
