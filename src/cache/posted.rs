//! Answers to POST that may answer later GETs (RFC 9110 section 9.3.3).
//!
//! They come whole from the way that unsafe requests pass by, and are stored like the answer to a
//! GET would be: in a flight, so that who asks meanwhile waits for it.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use crate::cache::ask::Ask;
use crate::cache::engine::Engine;
use crate::cache::fill::{Arrival, EndFlight, InFlight};
use crate::cache::flight::{Boarding, Flight};
use crate::cache::intake::head_of;
use crate::cache::plan::Plan;
use crate::clock::UnixMillis;
use crate::metrics::{FillResult, METRICS};
use crate::origin::{Body, Error, Reply};
use crate::purge::{Stamp, Subject};

/// The answer to a POST whose Content-Location names what the request named.
#[derive(Debug, Clone)]
pub struct Posted {
    /// Its status.
    pub status: StatusCode,
    /// Its end-to-end headers.
    pub headers: HeaderMap,
    /// All of its body.
    pub body: Bytes,
    /// When the request was sent.
    pub asked: UnixMillis,
    /// When the head arrived.
    pub arrived: UnixMillis,
    /// Where the purge log stood just after it invalidated its target. No other purge may have
    /// come between the request and that.
    pub stamp: Stamp,
}

impl Engine {
    /// Stores what a POST was answered as the answer to a GET, where that may be; in the background,
    /// but who asks from now on finds it. `ask` is that GET.
    pub fn store_posted(self: &Arc<Self>, ask: Ask, posted: Posted) {
        let version = self.purges().version();
        let stamp = posted.stamp;
        let arrival = arrival(posted);
        let is_current = |stamp: &Stamp| self.holds(Subject::untagged(&ask.key, stamp));
        // What may not be stored says nothing of GET: nobody shall wait for it.
        let is_storable = head_of(&ask, &arrival, &Flight::new(stamp, version)).is_some();
        if !is_storable || !is_current(&stamp) {
            return;
        }
        let boarding = self.flights().board(&ask.key, stamp, version, is_current);
        let Boarding::Lead(flight) = boarding else {
            return;
        };
        let engine = Arc::clone(self);
        let counted = InFlight::new();
        tokio::spawn(async move {
            let _counted = counted;
            let _ended = EndFlight {
                engine: &engine,
                ask: &ask,
                flight: &flight,
            };
            let result = engine.take_in(&ask, arrival, &flight).await;
            METRICS.fills.of(result.unwrap_or(FillResult::NoRoom)).inc();
        });
    }
}

fn arrival(posted: Posted) -> Arrival {
    Arrival {
        reply: Reply {
            status: posted.status,
            headers: posted.headers,
            span: None,
            body: Box::new(Whole(Some(posted.body).filter(|body| !body.is_empty()))),
        },
        plan: Plan::Whole,
        asked: posted.asked,
        arrived: posted.arrived,
    }
}

/// A body that is here.
struct Whole(Option<Bytes>);

#[async_trait]
impl Body for Whole {
    async fn piece(&mut self) -> Result<Option<Bytes>, Error> {
        Ok(self.0.take())
    }
}
