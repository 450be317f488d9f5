//! Opening an object that memory does not have: Redis first, then the origin.
//!
//! One task per flight. It lands the flight as soon as the head is known and then goes on until
//! every byte is there, whether or not anyone still reads.

use std::sync::Arc;

use http::header::{AGE, CONTENT_LENGTH, CONTENT_RANGE};
use http::{HeaderMap, StatusCode};

use crate::asset::{Fill, Maturity, manifest_is_finished};
use crate::cache::engine::{Ask, Engine, Failure, How, Standing};
use crate::cache::filler::Filler;
use crate::cache::flight::{Flight, Landing};
use crate::cache::head::{Generation, Head};
use crate::cache::object::{Object, RunError, Stretch};
use crate::cache::spill::Spill;
use crate::clock::{self, UnixMillis};
use crate::http::freshness::{self, Answer, Judgement};
use crate::http::range::Wanted;
use crate::limits::{BLOCK_BYTES, OBJECT_OVERHEAD_BYTES, WHOLE_FILL_BYTES_MAX};
use crate::metrics::{FillResult, METRICS, Outcome, Tier};
use crate::origin::{Body, Delimited, Error, Fetch, Reply};

/// Counts a fill while it runs.
struct InFlight;

impl InFlight {
    fn new() -> Self {
        METRICS.fills_in_flight.inc();
        Self
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        METRICS.fills_in_flight.dec();
    }
}

/// Which part of an object is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Plan {
    Whole,
    Block(u64),
    HeadOnly,
}

/// An origin's answer with the moments around it.
struct Arrival {
    reply: Reply,
    plan: Plan,
    asked: UnixMillis,
    arrived: UnixMillis,
}

impl Engine {
    /// Flies a flight: lands it and ends it, whatever happens.
    pub(crate) async fn fly(
        self: &Arc<Self>,
        ask: &Ask,
        stored: Option<(Arc<Object>, Standing)>,
        flight: &Arc<Flight>,
    ) {
        let _counted = InFlight::new();
        let guard = EndFlight {
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
        drop(guard);
    }

    async fn refill(
        self: &Arc<Self>,
        ask: &Ask,
        mut stored: Option<(Arc<Object>, Standing)>,
        flight: &Arc<Flight>,
    ) -> Result<FillResult, Failure> {
        if stored.is_none()
            && let Some((object, standing)) = self.recall(ask).await
        {
            if standing == Standing::Fresh && self.promote(ask, &object, flight).await {
                return Ok(FillResult::Complete);
            }
            stored = (standing != Standing::Fresh).then_some((object, standing));
        }
        let answered = self
            .ask_origin(ask, stored.as_ref().map(|(object, _)| object))
            .await;
        let is_failure = answered
            .as_ref()
            .map_or(true, |a| a.reply.status.is_server_error());
        if is_failure && let Some(object) = stored.as_ref().and_then(usable_on_error) {
            let how = How::held(Outcome::Stale, object.tier());
            flight.land(Landing::Object(object, how));
            return Ok(FillResult::Failed);
        }
        let mut arrival = answered?;
        let is_foreign = |(object, _): &(Arc<Object>, Standing)| !confirms(object, &arrival);
        if stored.as_ref().is_some_and(is_foreign) {
            stored = None;
            arrival = self.ask_origin(ask, None).await?;
        }
        match (arrival.reply.status, stored) {
            (StatusCode::NOT_MODIFIED, Some((object, _))) => {
                self.confirm(ask, &object, &arrival, flight);
                Ok(FillResult::Confirmed)
            }
            (status, _) if status.is_server_error() => Err(Failure::Status(status.as_u16())),
            _ => self.take_in(ask, arrival, flight).await,
        }
    }

    /// Asks the origin for what the request needs first.
    async fn ask_origin(&self, ask: &Ask, stored: Option<&Arc<Object>>) -> Result<Arrival, Error> {
        let validators = stored.map(|object| object.head().validators());
        let plan = plan(ask, stored.and_then(|object| object.length()));
        let mut arrival = self.send(ask, plan, validators.clone()).await?;
        let status = arrival.reply.status;
        let is_unpinned = status == StatusCode::PARTIAL_CONTENT && pin_less(&arrival.reply.headers);
        if status == StatusCode::RANGE_NOT_SATISFIABLE && matches!(plan, Plan::Block(_)) {
            arrival = self.send(ask, Plan::HeadOnly, validators).await?;
        } else if is_unpinned {
            arrival = self.send(ask, Plan::Whole, validators).await?;
        }
        Ok(arrival)
    }

    async fn send(
        &self,
        ask: &Ask,
        plan: Plan,
        validators: Option<crate::origin::Validators>,
    ) -> Result<Arrival, Error> {
        let range = match plan {
            Plan::Block(first) => Some(Wanted::Span(first, first + BLOCK_BYTES - 1)),
            Plan::Whole | Plan::HeadOnly => None,
        };
        let fetch = Fetch {
            head_only: plan == Plan::HeadOnly,
            path: ask.target.path.clone(),
            query: ask.target.query.clone(),
            range,
            pin: None,
            validators,
        };
        let asked = clock::now();
        let reply = ask.source.origin.fetch(&fetch).await?;
        Ok(Arrival {
            reply,
            plan,
            asked,
            arrived: clock::now(),
        })
    }

    /// Confirms a stored object by a 304 (RFC 9111 section 4.3.4).
    fn confirm(&self, ask: &Ask, object: &Arc<Object>, arrival: &Arrival, flight: &Flight) {
        let mut head = (*object.head()).clone();
        freshness::merge_not_modified(&mut head.headers, &arrival.reply.headers);
        let answer = Answer {
            status: head.status,
            headers: &head.headers,
            asked: arrival.asked,
            arrived: arrival.arrived,
        };
        let fallback = ask
            .kind
            .fallback(&ask.source.site.lifetimes, maturity(ask, object));
        if let Judgement::Store {
            freshness,
            initial_age,
        } = freshness::judge(&answer, fallback)
        {
            head.freshness = freshness;
            head.initial_age = initial_age;
        }
        head.fetched = arrival.arrived;
        head.stamp = flight.stamp();
        head.detach();
        object.set_head(head);
        self.keep(object, flight);
        if let Some(redis) = self.redis() {
            redis.spill(Spill {
                head: object.head(),
                chunks: Vec::new(),
                whole: false,
            });
        }
        let how = How::fetched(Outcome::Revalidated, StatusCode::NOT_MODIFIED);
        flight.land(Landing::Object(Arc::clone(object), how));
    }

    /// Stores an answer while it is read, or hands it to the one who asked.
    async fn take_in(
        self: &Arc<Self>,
        ask: &Ask,
        arrival: Arrival,
        flight: &Arc<Flight>,
    ) -> Result<FillResult, Failure> {
        let Arrival {
            reply,
            plan,
            asked,
            arrived,
        } = arrival;
        let status = if reply.span.is_some() {
            StatusCode::OK
        } else {
            reply.status
        };
        let length = reply
            .span
            .map(|span| span.total)
            .or_else(|| content_length(&reply.headers));
        let mut headers = reply.headers.clone();
        headers.remove(CONTENT_LENGTH);
        headers.remove(CONTENT_RANGE);
        let fallback = ask
            .kind
            .fallback(&ask.source.site.lifetimes, Maturity::Growing);
        let answer = Answer {
            status,
            headers: &headers,
            asked,
            arrived,
        };
        let Judgement::Store {
            freshness,
            initial_age,
        } = freshness::judge(&answer, fallback)
        else {
            self.mark(&ask.key, clock::now());
            return Ok(hand_over(ask, reply, plan, flight));
        };
        headers.remove(AGE);
        let head = Head {
            key: ask.key.clone(),
            status,
            headers,
            length,
            generation: Generation::random(),
            fetched: arrived,
            initial_age,
            freshness,
            stamp: flight.stamp(),
        };
        match shape(&head, &reply, plan) {
            Shape::Pass => Ok(hand_over(ask, reply, plan, flight)),
            Shape::ByBlock => Ok(self.take_head(ask, head, reply.status, flight)),
            Shape::Run(span) => self.take_body(ask, head, span, reply, flight).await,
        }
    }

    /// Takes in an object whose blocks are fetched when they are read.
    fn take_head(&self, ask: &Ask, head: Head, status: StatusCode, flight: &Flight) -> FillResult {
        let object = self.object(ask, head, Tier::Origin);
        self.keep(&object, flight);
        flight.land(Landing::Object(object, How::fetched(Outcome::Miss, status)));
        FillResult::Complete
    }

    async fn take_body(
        self: &Arc<Self>,
        ask: &Ask,
        head: Head,
        span: Stretch,
        reply: Reply,
        flight: &Arc<Flight>,
    ) -> Result<FillResult, Failure> {
        let how = How::fetched(Outcome::Miss, reply.status);
        let object = self.object(ask, head, Tier::Origin);
        let is_whole = span
            == Stretch {
                first: 0,
                end: object.length(),
            };
        let Some(mut filler) = Filler::claim(self.memory(), &object, span) else {
            return Err(Failure::NoRoom);
        };
        filler.reserve().await.map_err(|_| Failure::NoRoom)?;
        if !is_whole {
            self.keep(&object, flight);
        }
        flight.land(Landing::Object(Arc::clone(&object), how));
        let result = pump(reply.body, &mut filler).await;
        if let Err(error) = result.and_then(|()| filler.finish()) {
            tracing::warn!(key = %ask.key, error = %error, "body of a fill broke");
            self.memory().remove_object(&object);
            return Ok(run_result(&error));
        }
        Ok(self.settle(ask, &object, span, is_whole, flight))
    }

    /// Puts what was filled where others find it: memory and, behind that, Redis.
    fn settle(
        &self,
        ask: &Ask,
        object: &Arc<Object>,
        span: Stretch,
        is_whole: bool,
        flight: &Flight,
    ) -> FillResult {
        if !self.holds(&ask.key, &flight.stamp()) {
            self.memory().remove_object(object);
            return FillResult::Purged;
        }
        if is_whole {
            ripen(ask, object);
            self.keep(object, flight);
        } else {
            self.memory().insert_block(object, span);
        }
        self.spill(object, span, is_whole);
        FillResult::Complete
    }

    /// Puts an object into the index, unless it is there or was purged meanwhile.
    pub(crate) fn keep(&self, object: &Arc<Object>, flight: &Flight) {
        let head = object.head();
        let is_there = self
            .memory()
            .look(&head.key)
            .is_some_and(|it| Arc::ptr_eq(&it, object));
        if !is_there && self.holds(&head.key, &head.stamp) {
            self.memory().insert(object, flight.joined());
        }
    }

    /// Makes an object without bytes, charged with what it costs beside them.
    pub(crate) fn object(&self, ask: &Ask, mut head: Head, tier: Tier) -> Arc<Object> {
        head.detach();
        let headers: usize = head
            .headers
            .iter()
            .map(|(n, v)| n.as_str().len() + v.len())
            .sum();
        let target = ask.target.path.len() + ask.target.query.as_ref().map_or(0, String::len);
        let cost = OBJECT_OVERHEAD_BYTES + headers + head.key.as_str().len() + target;
        Object::new(
            head,
            ask.target.clone(),
            tier,
            self.memory().budget().charge(cost),
        )
    }

    /// Has a verified stretch written to Redis.
    pub(crate) fn spill(&self, object: &Arc<Object>, span: Stretch, is_whole: bool) {
        let Some(redis) = self.redis() else { return };
        let chunks = object.chunks_in(span);
        object.set_in_redis(true);
        redis.spill(Spill {
            head: object.head(),
            chunks,
            whole: is_whole,
        });
    }
}

/// Ends a flight however its task ends; whoever still waits then fails.
struct EndFlight<'a> {
    engine: &'a Engine,
    ask: &'a Ask,
    flight: &'a Arc<Flight>,
}

impl Drop for EndFlight<'_> {
    fn drop(&mut self) {
        self.flight
            .land(Landing::Failed(Failure::Origin(Error::Down)));
        self.engine.flights().end(&self.ask.key, self.flight);
    }
}

/// Gives an answer that may not be stored to the one who asked for it.
///
/// An answer to a part that only this cache asked for is of no use to the client, who asks again.
fn hand_over(ask: &Ask, reply: Reply, plan: Plan, flight: &Flight) -> FillResult {
    if reply.span.is_some() || (plan == Plan::HeadOnly && !ask.head_only) {
        flight.land(Landing::Pass);
    } else {
        flight.land_stream(reply.into());
    }
    FillResult::Uncacheable
}

/// Moves a body into a run.
///
/// A fast origin has the next piece ready each time, and a task that never waits keeps its thread:
/// after each piece those who wait for it, on this thread too, go first.
pub(crate) async fn pump(mut body: Box<dyn Body>, filler: &mut Filler) -> Result<(), RunError> {
    loop {
        match body.piece().await {
            Ok(Some(piece)) => {
                filler.push(piece).await?;
                tokio::task::yield_now().await;
            }
            Ok(None) => return Ok(()),
            Err(error) => {
                let error = RunError::Origin(error);
                filler.fail(&error);
                return Err(error);
            }
        }
    }
}

/// How a run's error is counted.
pub(crate) fn run_result(error: &RunError) -> FillResult {
    match error {
        RunError::Origin(Error::Changed) => FillResult::Changed,
        RunError::NoRoom => FillResult::NoRoom,
        RunError::Origin(_) | RunError::Length { .. } | RunError::Abandoned => FillResult::Failed,
    }
}

fn result_of(failure: &Failure) -> FillResult {
    match failure {
        Failure::NoRoom => FillResult::NoRoom,
        Failure::Origin(_) | Failure::Status(_) | Failure::Overloaded => FillResult::Failed,
    }
}

/// Decides what to ask for first.
fn plan(ask: &Ask, length: Option<u64>) -> Plan {
    let by_block = ask.kind.fill() == Fill::Blocks;
    match ask.want {
        _ if ask.head_only => Plan::HeadOnly,
        Some(Wanted::Suffix(_)) if by_block || length.is_none_or(|l| l > WHOLE_FILL_BYTES_MAX) => {
            Plan::HeadOnly
        }
        Some(Wanted::Span(first, _)) if by_block || first > 0 => {
            Plan::Block(first - first % BLOCK_BYTES)
        }
        None | Some(_) if by_block => Plan::Block(0),
        None | Some(_) => Plan::Whole,
    }
}

/// What an answer becomes.
enum Shape {
    /// A run whose bytes the answer carries: the whole object or one block.
    Run(Stretch),
    /// An object whose blocks are fetched when they are read.
    ByBlock,
    /// An answer that is not stored.
    Pass,
}

fn shape(head: &Head, reply: &Reply, plan: Plan) -> Shape {
    let is_pinned = head.pin().is_some() && head.length.is_some();
    let is_huge = head
        .length
        .is_some_and(|length| length > WHOLE_FILL_BYTES_MAX);
    if let Some(span) = reply.span {
        return match is_pinned {
            true => Shape::Run(Stretch {
                first: span.first,
                end: Some(span.last + 1),
            }),
            false => Shape::Pass,
        };
    }
    let takes_ranges = head
        .headers
        .get(http::header::ACCEPT_RANGES)
        .is_none_or(|v| v != "none");
    match plan {
        Plan::HeadOnly if is_pinned && head.status == StatusCode::OK => Shape::ByBlock,
        Plan::HeadOnly => Shape::Pass,
        Plan::Whole if is_huge && is_pinned && takes_ranges => Shape::ByBlock,
        Plan::Whole | Plan::Block(_) if is_huge => Shape::Pass,
        Plan::Whole | Plan::Block(_) if reply.body.delimited() == Delimited::Close => Shape::Pass,
        Plan::Whole | Plan::Block(_) => Shape::Run(Stretch {
            first: 0,
            end: head.length,
        }),
    }
}

fn pin_less(headers: &HeaderMap) -> bool {
    let strong = headers
        .get(http::header::ETAG)
        .is_some_and(|t| t.as_bytes().starts_with(b"\""));
    !strong && !headers.contains_key(http::header::LAST_MODIFIED)
}

/// Whether an answer is no 304, or one that speaks of this object.
fn confirms(object: &Object, arrival: &Arrival) -> bool {
    arrival.reply.status != StatusCode::NOT_MODIFIED
        || freshness::confirms(&object.head().headers, &arrival.reply.headers)
}

/// A stored object that may be served since the origin failed (RFC 5861 section 4).
fn usable_on_error((object, standing): &(Arc<Object>, Standing)) -> Option<Arc<Object>> {
    let head = object.head();
    let window = head.freshness.lifetime + head.freshness.stale_if_error;
    let is_usable = *standing == Standing::Expired && head.age(clock::now()) < window
        || *standing == Standing::Refresh;
    is_usable.then(|| Arc::clone(object))
}

/// Whether an object still grows; a manifest says so in its body.
fn maturity(ask: &Ask, object: &Object) -> Maturity {
    if !ask.kind.is_manifest() {
        return Maturity::Growing;
    }
    let chunks = object.chunks_in(Stretch {
        first: 0,
        end: object.length(),
    });
    let body = chunks
        .iter()
        .map(|(_, chunk)| chunk.as_ref())
        .collect::<Vec<_>>()
        .concat();
    match manifest_is_finished(ask.kind, &body) {
        true => Maturity::Finished,
        false => Maturity::Growing,
    }
}

/// Gives a manifest that turned out to be finished the longer life that such ones have.
fn ripen(ask: &Ask, object: &Object) {
    let maturity = maturity(ask, object);
    let mut head = (*object.head()).clone();
    let answer = Answer {
        status: head.status,
        headers: &head.headers,
        asked: head.fetched,
        arrived: head.fetched,
    };
    let fallback = ask.kind.fallback(&ask.source.site.lifetimes, maturity);
    if maturity == Maturity::Finished
        && let Judgement::Store { freshness, .. } = freshness::judge(&answer, fallback)
    {
        head.freshness = freshness;
        object.set_head(head);
    }
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}
