//! The read-through engine: memory, then Redis, then the origin; single flight, detached fills.
//!
//! Nothing here knows of Pingora's sessions. `engine::Engine::open` answers what an object is;
//! `reader::Reader` gives its bytes as they come.

pub mod engine;
pub mod head;
pub mod key;
pub mod object;
pub mod reader;
pub mod redis;
