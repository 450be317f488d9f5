//! What this node answers for itself below `/.weir/` on sites whose manifests it makes.
//!
//! Nothing here reaches an origin or a cache.

use http::StatusCode;
use pingora::proxy::Session;

use crate::metrics::Outcome;
use crate::proxy::Edge;
use crate::proxy::exchange::Exchange;
use crate::proxy::respond::Answer;
use crate::route::Route;

/// Answers a request for one of these paths.
pub(super) async fn answer(
    _session: &mut Session,
    _exchange: &mut Exchange,
    _edge: &Edge,
    _route: &Route,
) -> Answer {
    Answer::new(StatusCode::NOT_FOUND, "no such service", Outcome::Local)
}
