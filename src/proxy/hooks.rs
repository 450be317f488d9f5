//! The phases of a request as Pingora calls them: a table of contents, each step a file.
//!
//! The object is opened in `request_filter`, before Pingora's cache runs: what fails is answered
//! there, and what is found reaches Pingora as a hit. Pingora's own fetching is used for unsafe
//! methods only.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::Version;
use http::header::{AGE, DATE, TRANSFER_ENCODING};
use pingora::cache::CacheKey;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::modules::http::HttpModules;
use pingora::proxy::{FailToProxy, ProxyHttp, RangeType, Session};
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorSource, ErrorType};

use crate::metrics::{Outcome, Tier};
use crate::proxy::answer::{self, Part};
use crate::proxy::exchange::Exchange;
use crate::proxy::posted::{Collected, Progress, Sent};
use crate::proxy::respond::{self, Answer};
use crate::proxy::storage::{self, ADAPTER, BROKEN, LAGGARD};
use crate::proxy::upstream::{Fault, Upload};
use crate::proxy::watch::Protocol;
use crate::proxy::{Edge, access, attend, headers, invalidate, request, upstream};

#[async_trait]
impl ProxyHttp for Edge {
    type CTX = Exchange;

    fn new_ctx(&self) -> Exchange {
        Exchange::new()
    }

    /// No modules: the default one compresses, at the price of an allocation a request.
    fn init_downstream_modules(&self, _modules: &mut HttpModules) {}

    async fn request_filter(
        &self,
        session: &mut Session,
        exchange: &mut Exchange,
    ) -> pingora::Result<bool> {
        request::begin(session, exchange, self);
        let Err(answer) = request::accept(session, exchange, self).await else {
            return Ok(false);
        };
        respond::send(answer, session, exchange, self).await?;
        Ok(true)
    }

    fn request_cache_filter(
        &self,
        session: &mut Session,
        exchange: &mut Exchange,
    ) -> pingora::Result<()> {
        if exchange.opened.is_some() {
            session.cache.enable(&ADAPTER, None, None, None, None);
        }
        Ok(())
    }

    fn cache_key_callback(
        &self,
        _session: &Session,
        exchange: &mut Exchange,
    ) -> pingora::Result<CacheKey> {
        match exchange.opened.take() {
            Some(opened) => Ok(storage::key(opened)),
            None => Error::e_explain(ErrorType::InternalError, "nothing was opened"),
        }
    }

    fn cache_not_modified_filter(
        &self,
        _session: &Session,
        _stored: &ResponseHeader,
        exchange: &mut Exchange,
    ) -> pingora::Result<bool> {
        Ok(exchange.part == Part::NotModified)
    }

    fn range_header_filter(
        &self,
        _session: &mut Session,
        header: &mut ResponseHeader,
        exchange: &mut Exchange,
    ) -> RangeType {
        if exchange.is_personal {
            return RangeType::None;
        }
        // A header that cannot be cut goes out whole, as for a range that is ignored.
        answer::cut(&exchange.part, header).unwrap_or(RangeType::None)
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        header: &mut ResponseHeader,
        exchange: &mut Exchange,
    ) -> pingora::Result<()> {
        if header.status.is_informational() {
            // It says nothing of how the answer comes about.
            return Ok(());
        }
        let is_passed = exchange.outcome == Outcome::Pass && exchange.age.is_none();
        if is_passed && !exchange.passes || exchange.is_personal {
            // Pingora writes an Age on every hit; an answer straight from its origin has none.
            header.remove_header(&AGE);
        }
        // Pingora writes the version that the origin spoke on an answer that passes.
        header.set_version(Version::HTTP_11);
        if exchange.protocol == Protocol::Http10 {
            // It has no chunks; `request` let no body of unknown length come this far.
            header.remove_header(&TRANSFER_ENCODING);
        }
        exchange.bodiless = headers::strip_bodiless(header)?;
        headers::withhold(header, &session.req_header().headers);
        headers::dress(header, &session.req_header().headers, exchange, self)?;
        if let Some(active) = &exchange.active {
            active.keep_date(header.headers.get(DATE).cloned());
        }
        exchange.head_goes_out(header.status);
        Ok(())
    }

    fn response_body_filter(
        &self,
        _session: &mut Session,
        body: &mut Option<Bytes>,
        _end: bool,
        exchange: &mut Exchange,
    ) -> pingora::Result<Option<Duration>> {
        attend::carried(exchange, self);
        if exchange.bodiless {
            *body = None;
        }
        Ok(None)
    }

    async fn proxy_upstream_filter(
        &self,
        session: &mut Session,
        exchange: &mut Exchange,
    ) -> pingora::Result<bool> {
        if exchange.passes {
            return Ok(true);
        }
        // Never fetch behind the engine's back, whatever went wrong on the way here.
        respond::send(respond::internal(), session, exchange, self).await?;
        Ok(false)
    }

    async fn upstream_peer(
        &self,
        _session: &mut Session,
        exchange: &mut Exchange,
    ) -> pingora::Result<Box<HttpPeer>> {
        let Some(route) = &exchange.route else {
            return Error::e_explain(ErrorType::InternalError, "no route");
        };
        let Some(uplink) = self.uplinks.get(&route.site.name) else {
            return Error::e_explain(ErrorType::InternalError, "no uplink");
        };
        let way = uplink.way(route).await?;
        exchange.destination = Some(way.destination);
        Ok(way.peer)
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
        exchange: &mut Exchange,
    ) -> pingora::Result<()> {
        let Some(destination) = &exchange.destination else {
            return Error::e_explain(ErrorType::InternalError, "no destination");
        };
        let received = session.req_header();
        exchange.sent = Sent::now(received, &self.engine);
        upstream::rewrite(request, received, &destination.place, &self.server.node)
    }

    async fn request_body_filter(
        &self,
        _session: &mut Session,
        body: &mut Option<Bytes>,
        _end: bool,
        exchange: &mut Exchange,
    ) -> pingora::Result<()> {
        request::body_came(body.as_ref().map_or(0, Bytes::len), exchange)
    }

    async fn upstream_response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        exchange: &mut Exchange,
    ) -> pingora::Result<()> {
        upstream::scrub(response)?;
        upstream::redirect(response, exchange.destination.as_ref())?;
        exchange.tier = Tier::Origin;
        invalidate::follow(self, session, response, exchange).await;
        Ok(())
    }

    fn upstream_response_body_filter(
        &self,
        _session: &mut Session,
        body: &mut Option<Bytes>,
        _end: bool,
        exchange: &mut Exchange,
    ) -> pingora::Result<Option<Duration>> {
        if let (Some(collected), Some(piece)) = (&mut exchange.collected, body) {
            match collected.push(piece) {
                Progress::Partial => {}
                Progress::Broken => exchange.collected = None,
                Progress::Whole => {
                    if let Some((ask, posted)) = exchange.collected.take().map(Collected::finish) {
                        self.engine.store_posted(ask, posted);
                    }
                }
            }
        }
        Ok(None)
    }

    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        error: &Error,
        exchange: &mut Exchange,
    ) -> FailToProxy {
        let answer = match Fault::of(error, Upload::of(session)) {
            Fault::Gone => None,
            Fault::Request(status) => {
                let text = "request body refused";
                Some(Answer::closing(status, text, Outcome::Refused))
            }
            Fault::Origin(status) => Some(Answer::closing(status, "origin failed", Outcome::Error)),
        };
        let mut error_code = 0;
        if let Some(answer) = answer.filter(|_| access::written(session).is_none()) {
            error_code = answer.status.as_u16();
            if let Err(error) = respond::send(answer, session, exchange, self).await {
                tracing::debug!(%error, id = exchange.id, "client left before its answer");
            }
        }
        FailToProxy {
            error_code,
            can_reuse_downstream: false,
        }
    }

    async fn logging(&self, session: &mut Session, error: Option<&Error>, exchange: &mut Exchange) {
        attend::carried(exchange, self);
        access::finish(session, exchange, error, self.access_log);
    }

    fn suppress_error_log(&self, _session: &Session, _: &Exchange, error: &Error) -> bool {
        // The access line says that the client left, or that the body broke off and why.
        let etype = error.etype();
        error.esource() == &ErrorSource::Downstream || *etype == BROKEN || *etype == LAGGARD
    }

    /// Pingora's own summary holds the query, where tokens live.
    fn request_summary(&self, session: &Session, exchange: &Exchange) -> String {
        format!("{} {}", session.req_header().method, exchange.id)
    }
}
