//! Kinds of objects: what an extension says about type, lifetime and way of filling. Pure.
//! stub

/// stub
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// stub
    Segment,
    /// stub
    Other,
}
