//! Opening an object that memory does not have: Redis first, then the origin.
//!
//! One task per flight. It lands the flight as soon as the head is known and then goes on until
//! every byte is there, whether or not anyone still reads. What Redis has of another variant sends
//! everyone to look elsewhere. The origin may be asked twice: where its 304 spoke of something else,
//! or a part came without a name of its version. What becomes of its answer is decided in `intake`.

use std::sync::Arc;

use http::StatusCode;
use tokio::time::Instant;

use crate::cache::ask::Ask;
use crate::cache::beginning::Beginning;
use crate::cache::engine::Engine;
use crate::cache::flight::{Flight, Landing};
use crate::cache::object::RunError;
use crate::cache::opened::{Failure, How};
use crate::cache::plan::{Plan, pins};
use crate::cache::promote::Recalled;
use crate::cache::stored::{Standing, Stored};
use crate::clock::{self, UnixMillis};
use crate::http::cache_status::Forward;
use crate::http::freshness;
use crate::limits::ORIGIN_HOLD_OFF;
use crate::metrics::{FillResult, METRICS, Outcome, Tier};
use crate::origin::{Error, Fetch, Reply, Validators};

/// An origin's answer with the moments around it.
pub(crate) struct Arrival {
    pub(crate) reply: Reply,
    pub(crate) plan: Plan,
    pub(crate) asked: UnixMillis,
    pub(crate) arrived: UnixMillis,
}

impl Engine {
    /// Flies a flight: lands it and ends it, whatever happens.
    pub(crate) async fn fly(
        self: &Arc<Self>,
        ask: &Ask,
        stored: Option<Stored>,
        flight: &Arc<Flight>,
    ) {
        let _ended = EndFlight {
            engine: self,
            ask,
            flight,
        };
        let result = match self.refill(ask, stored, flight).await {
            Ok(result) => result,
            Err(failure) => {
                tracing::warn!(key = %ask.key, error = %failure, "fill failed");
                let result = result_of(&failure);
                flight.land(Landing::Failed(failure));
                result
            }
        };
        METRICS.fills.of(result).inc();
    }

    async fn refill(
        self: &Arc<Self>,
        ask: &Ask,
        mut stored: Option<Stored>,
        flight: &Arc<Flight>,
    ) -> Result<FillResult, Failure> {
        let asked = Instant::now();
        let recalled = match stored {
            Some(_) => Recalled::Nothing,
            None => self.recall(ask).await,
        };
        if let Recalled::Other(selection) = &recalled
            && !ask.key.is_variant()
        {
            self.variants().learn(&ask.key, selection);
            flight.land(Landing::Elsewhere);
            return Ok(FillResult::Varies);
        }
        if let Recalled::Stored(recalled) = recalled {
            let is_fresh = recalled.standing == Standing::Fresh;
            if is_fresh
                && let Some(result) = self.promote(ask, &recalled.object, flight, asked).await
            {
                return Ok(result);
            }
            stored = Some(recalled).filter(|it| !is_fresh && it.can_be_confirmed());
        }
        let answered = self.ask_origin(ask, stored.as_ref()).await;
        let has_failed = answered
            .as_ref()
            .map_or(true, |a| a.reply.status.is_server_error());
        if has_failed && let Some(it) = stored.as_ref().and_then(|it| self.stand_in(it)) {
            it.object.hold_off(clock::now().after(ORIGIN_HOLD_OFF));
            self.keep(&it.object, flight);
            let how = stood_in(it.object.tier(), &answered);
            flight.land(Landing::Object(it.object, how));
            return Ok(FillResult::Failed);
        }
        let mut arrival = answered?;
        if stored.as_ref().is_some_and(|it| !confirms(it, &arrival)) {
            stored = None;
            drop(arrival);
            arrival = self.ask_origin(ask, None).await?;
        }
        match stored {
            Some(stored) if is_confirmation(&stored, &arrival) => {
                Ok(self.confirm(ask, &stored.object, &arrival, flight).await)
            }
            stored => {
                // The origin has spoken: what it no longer confirms must not be served stale.
                if let Some(stored) = stored {
                    self.memory().remove_object(&stored.object);
                }
                self.take_in(ask, arrival, flight).await
            }
        }
    }

    /// A stored object that may be served since the origin failed; asked again, as a purge may
    /// have come while the origin was.
    fn stand_in(&self, stored: &Stored) -> Option<Stored> {
        let now = clock::now();
        let again = self.stand(Arc::clone(&stored.object), now)?;
        again.may_stand_in(now).then_some(again)
    }

    /// Asks the origin for what the request needs first.
    async fn ask_origin(&self, ask: &Ask, stored: Option<&Stored>) -> Result<Arrival, Error> {
        let validators = stored.map(Stored::validators);
        let plan = Plan::of(ask, stored.and_then(|it| it.object.length()));
        if plan == Plan::Whole
            && stored.is_none()
            && let Some(beginning) = self.beginnings().take(&ask.key)
            && let Some(arrival) = self.complete(ask, beginning).await?
        {
            return Ok(arrival);
        }
        let arrival = self.send(ask, plan, validators.clone()).await?;
        let status = arrival.reply.status;
        let again = match plan {
            Plan::Block(_) if status == StatusCode::RANGE_NOT_SATISFIABLE => Plan::HeadOnly,
            Plan::Block(_)
                if status == StatusCode::PARTIAL_CONTENT && !pins(&arrival.reply.headers) =>
            {
                Plan::Whole
            }
            _ => return Ok(arrival),
        };
        // Its place at the origin is needed for the next one.
        drop(arrival);
        self.send(ask, again, validators).await
    }

    /// Asks for what follows a beginning; `None` where that is not known to be of the same version.
    async fn complete(&self, ask: &Ask, beginning: Beginning) -> Result<Option<Arrival>, Error> {
        let head = beginning.head();
        if !self.holds(head.subject()) || !head.suits(&ask.fields) {
            return Ok(None);
        }
        let mut arrival = self.send(ask, Plan::Rest(beginning.end()), None).await?;
        let is_part = arrival.reply.span.is_some();
        if is_part {
            let Some(reply) = beginning.join(arrival.reply) else {
                return Ok(None);
            };
            arrival.reply = reply;
        }
        // An origin that has no more than that beginning says so by 416.
        let is_answer = arrival.reply.status != StatusCode::RANGE_NOT_SATISFIABLE;
        arrival.plan = Plan::Whole;
        Ok(is_answer.then_some(arrival))
    }

    async fn send(
        &self,
        ask: &Ask,
        plan: Plan,
        validators: Option<Validators>,
    ) -> Result<Arrival, Error> {
        let fetch = Fetch {
            head_only: plan == Plan::HeadOnly,
            range: plan.range(),
            validators,
            ..ask.fetch()
        };
        let asked = clock::now();
        let reply = ask.source.origin.fetch(&fetch).await?.into_whole();
        Ok(Arrival {
            reply,
            plan,
            asked,
            arrived: clock::now(),
        })
    }
}

/// Whether an answer confirms this object: a 304, or a HEAD that names its version. Where a purge
/// may have named the object, the origin's own comparison is asked for.
fn is_confirmation(stored: &Stored, arrival: &Arrival) -> bool {
    let head = stored.object.head();
    match arrival.reply.status {
        StatusCode::NOT_MODIFIED => true,
        StatusCode::OK if arrival.plan == Plan::HeadOnly => {
            stored.standing != Standing::Suspect
                && freshness::confirms_by_head(&head.headers, head.length, &arrival.reply.headers)
        }
        _ => false,
    }
}

/// Whether an answer is no 304, or one that speaks of this object.
fn confirms(stored: &Stored, arrival: &Arrival) -> bool {
    arrival.reply.status != StatusCode::NOT_MODIFIED
        || freshness::confirms(&stored.object.head().headers, &arrival.reply.headers)
}

/// How a stale copy came to be served that the origin did not confirm: where it was asked, the
/// request was forwarded (RFC 9211 section 2.1).
fn stood_in(tier: Tier, answered: &Result<Arrival, Error>) -> How {
    let (forward, fwd_status) = match answered {
        Ok(arrival) => (Some(Forward::Stale), Some(arrival.reply.status.as_u16())),
        Err(Error::Down | Error::Busy) => (None, None),
        Err(_) => (Some(Forward::Stale), None),
    };
    How {
        forward,
        fwd_status,
        ..How::held(Outcome::Stale, tier)
    }
}

/// How a run's error is counted.
pub(crate) fn run_result(error: &RunError) -> FillResult {
    match error {
        RunError::Origin(Error::Changed) => FillResult::Changed,
        RunError::NoRoom => FillResult::NoRoom,
        RunError::Origin(_)
        | RunError::Length { .. }
        | RunError::TooLarge
        | RunError::Abandoned => FillResult::Failed,
    }
}

fn result_of(failure: &Failure) -> FillResult {
    match failure {
        Failure::NoRoom => FillResult::NoRoom,
        Failure::Origin(_) | Failure::Status(_) | Failure::Overloaded | Failure::NotCached => {
            FillResult::Failed
        }
    }
}

/// Counts a fill from its take-off, not only from when its task first runs: who was answered with
/// what is stale meanwhile can tell that a refresh is under way.
pub(crate) struct InFlight;

impl InFlight {
    pub(crate) fn new() -> Self {
        METRICS.fills_in_flight.inc();
        Self
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        METRICS.fills_in_flight.dec();
    }
}

/// Ends a flight however its task ends; whoever still waits then fails.
pub(crate) struct EndFlight<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) ask: &'a Ask,
    pub(crate) flight: &'a Arc<Flight>,
}

impl Drop for EndFlight<'_> {
    fn drop(&mut self) {
        self.flight
            .land(Landing::Failed(Failure::Origin(Error::Down)));
        self.engine.flights().end(&self.ask.key, self.flight);
    }
}
