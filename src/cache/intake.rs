//! What becomes of an origin's answer: confirmed, stored while it is read, or handed over.

use std::sync::Arc;

use http::header::{AGE, CONTENT_LENGTH, CONTENT_RANGE, DATE, SET_COOKIE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::asset::Maturity;
use crate::cache::ask::Ask;
use crate::cache::engine::Engine;
use crate::cache::fill::{Arrival, run_result};
use crate::cache::filler::Filler;
use crate::cache::flight::{Flight, Landing};
use crate::cache::head::{Generation, Head};
use crate::cache::object::{Object, RunError, Stretch};
use crate::cache::opened::{Failure, How};
use crate::cache::plan::{Plan, Shape, content_length};
use crate::cache::ripen::{maturity, ripen};
use crate::cache::spill::Spill;
use crate::clock::{self, UnixMillis};
use crate::config;
use crate::http::freshness::{self, Answer, Freshness, Judgement};
use crate::http::tags;
use crate::http::vary::Selection;
use crate::limits::{LARGE_PASS_MARK_LIFE, OBJECT_OVERHEAD_BYTES, PASS_MARK_LIFE};
use crate::metrics::{FillResult, METRICS, Outcome, Tier};
use crate::origin::{Body, Reply};

impl Engine {
    /// Confirms a stored object by a 304, or a HEAD of the same version (RFC 9111 sections 4.3.4 and
    /// 4.3.5).
    ///
    /// One that forbids to store ends the copy, and everyone asks for themselves.
    pub(crate) async fn confirm(
        &self,
        ask: &Ask,
        object: &Arc<Object>,
        arrival: &Arrival,
        flight: &Flight,
    ) -> FillResult {
        let mut head = (*object.head()).clone();
        freshness::merge_not_modified(&mut head.headers, &arrival.reply.headers);
        let answer = Answer {
            status: head.status,
            headers: &head.headers,
            is_authorized: ask.fields.is_authorized(),
            asked: arrival.asked,
            arrived: arrival.arrived,
        };
        let maturity = maturity(ask.kind, object);
        let rules = ask.kind.rules(&ask.source.site, maturity, object.length());
        let Judgement::Store {
            freshness,
            initial_age,
            strip,
        } = freshness::judge(&answer, &rules)
        else {
            return self.disown(ask, object, flight).await;
        };
        flight.set_own(take_own(ask, &mut head.headers, &strip));
        date(&mut head.headers, arrival.arrived);
        let Some(tags) = tags::tags(&ask.source.site.name, &head.headers) else {
            return self.disown(ask, object, flight).await;
        };
        self.note(ask, &freshness);
        let selection = Selection::of(&head.headers, &ask.fields).map(Arc::new);
        head.detach();
        object.set_head(Head {
            freshness,
            initial_age,
            selection,
            tags: Arc::from(tags),
            fetched: arrival.arrived,
            stamp: flight.stamp(),
            ..head
        });
        self.keep(object, flight);
        if let Some(shared) = self.shared() {
            shared.spill(Spill {
                head: object.head(),
                chunks: Vec::new(),
                whole: false,
            });
        }
        let how = How::fetched(Outcome::Revalidated, arrival.reply.status);
        flight.land(Landing::Object(Arc::clone(object), how));
        FillResult::Confirmed
    }

    /// Ends a copy that the origin confirmed and forbade to store, but for one client's sake: what
    /// that one is answered says nothing of the others.
    async fn disown(&self, ask: &Ask, object: &Arc<Object>, flight: &Flight) -> FillResult {
        if !ask.fields.is_personal() {
            self.withdraw(object).await;
            self.mark(&ask.key, clock::now().after(PASS_MARK_LIFE));
        }
        flight.land(Landing::Pass);
        FillResult::Uncacheable
    }

    /// Stores an answer while it is read, or hands it to the one who asked.
    pub(crate) async fn take_in(
        self: &Arc<Self>,
        ask: &Ask,
        arrival: Arrival,
        flight: &Arc<Flight>,
    ) -> Result<FillResult, Failure> {
        let plan = arrival.plan;
        let status = arrival.reply.status;
        let Some(head) = head_of(ask, &arrival, flight) else {
            if ask.is_failure(status) {
                return Err(Failure::Status(status.as_u16()));
            }
            // What HEAD is answered says nothing of GET, a failure nothing of what comes after it,
            // and what one client is answered or refused nothing of the others.
            let has_failed = status.is_client_error() || status.is_server_error();
            let is_telling = plan != Plan::HeadOnly && !has_failed;
            if is_telling && !ask.fields.is_personal() {
                self.mark(&ask.key, clock::now().after(PASS_MARK_LIFE));
            }
            return Ok(hand_over(ask, arrival.reply, plan, Landing::Pass, flight));
        };
        if plan != Plan::HeadOnly {
            self.note(ask, &head.freshness);
        }
        let head = self.place(ask, head);
        let reply = arrival.reply;
        match Shape::of(ask, &head, &reply, plan, self.memory().whole_fill_max()) {
            Shape::Pass => {
                let reply = self.beginnings().watch(self.memory(), head, reply);
                let landing = match plan {
                    Plan::HeadOnly | Plan::Tail(_) => Landing::Partial,
                    Plan::Whole | Plan::Block(_) | Plan::Rest(_) => Landing::Pass,
                };
                Ok(hand_over(ask, reply, plan, landing, flight))
            }
            Shape::ByBlock => self.take_head(ask, head, reply.status, flight).await,
            Shape::Run(span) => self.take_body(ask, head, span, reply, flight).await,
        }
    }

    /// Notes whether answers for a key may be shared among those who ask at once. What an origin
    /// answers that sees nothing of its clients always may.
    fn note(&self, ask: &Ask, freshness: &Freshness) {
        if ask.fields.sees_client() && !freshness.is_some() {
            self.mark(&ask.key, clock::now().after(PASS_MARK_LIFE));
        } else {
            self.unmark(&ask.key);
        }
    }

    /// Chooses the key under which a response lies: a variant beside the first one has its own.
    fn place(&self, ask: &Ask, mut head: Head) -> Head {
        let primary = ask.key.primary_key();
        head.key = primary.clone();
        let Some(selection) = &head.selection else {
            return head;
        };
        let is_beside =
            match self.memory().look(&primary) {
                Some(first) => first.head().selection.as_ref().is_some_and(|other| {
                    other.has_names_of(selection) && !other.suits(&ask.fields)
                }),
                None => self.variants().is_known(&primary, selection),
            };
        self.variants().learn(&primary, selection);
        if is_beside {
            let variant = primary.variant(selection.variant(&ask.fields));
            let most = ask.source.site.caching.variants_max;
            if let Some(oldest) = self.variants().keep(&primary, &variant, most) {
                METRICS.variants_displaced.inc();
                self.memory().remove(&oldest);
            }
            head.key = variant;
        }
        head
    }

    /// Takes in an object whose blocks are fetched when they are read.
    async fn take_head(
        &self,
        ask: &Ask,
        head: Head,
        status: StatusCode,
        flight: &Flight,
    ) -> Result<FillResult, Failure> {
        let object = self.object(ask, head, Tier::Origin).await?;
        self.keep(&object, flight);
        flight.land(Landing::Object(object, How::fetched(Outcome::Miss, status)));
        Ok(FillResult::Complete)
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
        let object = self.object(ask, head, Tier::Origin).await?;
        let is_whole = span
            == Stretch {
                first: 0,
                end: object.length(),
            };
        let mut filler = Filler::first(self.memory(), &object, span);
        filler.reserve().await.map_err(|_| Failure::NoRoom)?;
        if !is_whole {
            self.keep(&object, flight);
        }
        flight.land(Landing::Object(Arc::clone(&object), how));
        let brought = pump(reply.body, &mut filler).await;
        if let Err(error) = brought.and_then(|()| filler.finish()) {
            tracing::warn!(key = %ask.key, error = %error, "body of a fill broke");
            self.memory().remove_object(&object);
            if error == RunError::TooLarge {
                self.mark(&ask.key, clock::now().after(LARGE_PASS_MARK_LIFE));
            }
            return Ok(run_result(&error));
        }
        if is_whole && is_key(ask, &object) {
            self.mark(&ask.key, clock::now().after(PASS_MARK_LIFE));
            return Ok(FillResult::Uncacheable);
        }
        if is_whole {
            ripen(ask.kind, &object, &ask.source.site);
            self.keep(&object, flight);
        }
        Ok(self.settle(&object, span, is_whole))
    }

    /// Puts what was filled where others find it: memory and, behind that, Redis.
    pub(crate) fn settle(&self, object: &Arc<Object>, span: Stretch, is_whole: bool) -> FillResult {
        let head = object.head();
        if !self.holds(head.subject()) {
            self.memory().remove_object(object);
            return FillResult::Purged;
        }
        if !is_whole {
            self.memory().insert_block(object, span);
        }
        if let Some(shared) = self.shared() {
            object.set_in_redis(true);
            shared.spill(Spill {
                head,
                chunks: object.chunks_in(span),
                whole: is_whole,
            });
        }
        FillResult::Complete
    }

    /// Takes back an object that the origin has withdrawn or replaced, here and in Redis.
    pub(crate) async fn withdraw(&self, object: &Arc<Object>) {
        self.memory().remove_object(object);
        if let Some(shared) = self.shared() {
            shared.forget(&object.head()).await;
        }
    }

    /// Puts an object into the index, unless it is there or was purged meanwhile.
    pub(crate) fn keep(&self, object: &Arc<Object>, flight: &Flight) {
        let head = object.head();
        let is_there = self
            .memory()
            .look(&head.key)
            .is_some_and(|it| Arc::ptr_eq(&it, object));
        if !is_there && self.holds(head.subject()) {
            self.memory().insert(object, flight.joined());
        }
    }

    /// Makes an object without bytes, charged with what it costs beside them.
    ///
    /// # Errors
    /// [`Failure::NoRoom`] when the budget has no room in time.
    pub(crate) async fn object(
        &self,
        ask: &Ask,
        mut head: Head,
        tier: Tier,
    ) -> Result<Arc<Object>, Failure> {
        head.detach();
        let headers: usize = head
            .headers
            .iter()
            .map(|(n, v)| n.as_str().len() + v.len())
            .sum();
        let target = ask.target.path.len() + ask.target.query.as_ref().map_or(0, String::len);
        let cost = OBJECT_OVERHEAD_BYTES + headers + head.key.as_str().len() + target;
        let permit = self
            .memory()
            .reserve(cost)
            .await
            .map_err(|_| Failure::NoRoom)?;
        Ok(Object::new(head, ask.target.clone(), tier, permit))
    }
}

/// Whether an object whose length nobody knew before has turned out to be a key.
fn is_key(ask: &Ask, object: &Object) -> bool {
    let is_given = object.head().status.is_success();
    is_given && ask.kind.is_key(ask.source.site.profile, object.length())
}

/// The head under which an answer is stored; `None` when it may not be.
pub(crate) fn head_of(ask: &Ask, arrival: &Arrival, flight: &Flight) -> Option<Head> {
    let reply = &arrival.reply;
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
    if reply.span.is_some() {
        headers.remove(CONTENT_RANGE);
    }
    let answer = Answer {
        status,
        headers: &headers,
        is_authorized: ask.fields.is_authorized(),
        asked: arrival.asked,
        arrived: arrival.arrived,
    };
    let rules = ask.kind.rules(&ask.source.site, Maturity::Growing, length);
    let Judgement::Store {
        freshness,
        initial_age,
        strip,
    } = freshness::judge(&answer, &rules)
    else {
        return None;
    };
    flight.set_own(take_own(ask, &mut headers, &strip));
    headers.remove(AGE);
    date(&mut headers, arrival.arrived);
    let tags = tags::tags(&ask.source.site.name, &headers)?;
    let selection = Selection::of(&headers, &ask.fields).map(Arc::new);
    Some(Head {
        key: ask.key.clone(),
        status,
        headers,
        length,
        generation: Generation::random(),
        fetched: arrival.arrived,
        initial_age,
        freshness,
        selection,
        tags: Arc::from(tags),
        stamp: flight.stamp(),
    })
}

/// Takes the fields that may not be stored out of an answer, and gives those that are for the client
/// that it answers (RFC 9111 sections 5.2.2.4 and 5.2.2.7). A cookie that the site strips is for
/// nobody.
fn take_own(ask: &Ask, headers: &mut HeaderMap, strip: &[HeaderName]) -> HeaderMap {
    let is_stripped = ask.source.site.caching.set_cookie == config::SetCookie::Strip;
    let mut own = HeaderMap::new();
    for name in strip {
        if !(is_stripped && name == SET_COOKIE) {
            for value in headers.get_all(name) {
                own.append(name, value.clone());
            }
        }
        headers.remove(name);
    }
    own
}

/// Gives an answer a date where it has none (RFC 9110 section 6.6.1).
fn date(headers: &mut HeaderMap, arrived: UnixMillis) {
    let text = httpdate::fmt_http_date(arrived.to_system_time());
    if !headers.contains_key(DATE)
        && let Ok(value) = HeaderValue::try_from(text)
    {
        headers.insert(DATE, value);
    }
}

/// Gives an answer that is not stored to the one who asked for it; the others are told `others`.
///
/// An answer to a part that only this cache asked for is of no use to the client, who asks again.
fn hand_over(ask: &Ask, reply: Reply, plan: Plan, others: Landing, flight: &Flight) -> FillResult {
    let is_asked = match plan {
        Plan::Whole | Plan::Tail(_) => true,
        Plan::HeadOnly => ask.head_only,
        Plan::Block(_) | Plan::Rest(_) => reply.span.is_none(),
    };
    if !is_asked {
        flight.land(Landing::Pass);
    } else {
        // An origin that fails is not asked by all who wait, one by one.
        let landing = match reply.status.is_server_error() {
            true => Landing::Failed(Failure::Status(reply.status.as_u16())),
            false => others,
        };
        flight.land_stream(reply.into(), landing);
    }
    FillResult::Uncacheable
}

/// Moves a body into a run.
///
/// A fast origin has the next piece ready each time, and a task that never waits keeps its thread:
/// after each piece those who wait for it, on this thread too, go first.
pub(crate) async fn pump(mut body: Box<dyn Body>, filler: &mut Filler) -> Result<(), RunError> {
    while let Some(piece) = body.piece().await? {
        filler.push(piece).await?;
        tokio::task::yield_now().await;
    }
    Ok(())
}
