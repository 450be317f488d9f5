//! What the tests of all manifests share.

pub(super) mod corpus;
pub(super) mod fuzz;
