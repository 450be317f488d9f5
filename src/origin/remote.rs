//! One try at a remote store: place, sign, send, check, scrub.
//!
//! What leaves here is an answer that may be believed, or a named error. Trying again is `retry`'s.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use tokio::time::{Instant, timeout};

use crate::metrics::METRICS;
use crate::origin::answer::{self, Fault};
use crate::origin::client::{Answer, Client, Connection, Failure, Repeat, Route, Way};
use crate::origin::endpoint::Endpoint;
use crate::origin::endpoints::{Endpoints, Trouble};
use crate::origin::location;
use crate::origin::request::{self, Place};
use crate::origin::scrub::{self, Verdict};
use crate::origin::seldom::Seldom;
use crate::origin::store::{Dialect, Store};
use crate::origin::tally::{Counted, Empty, Tally};
use crate::origin::{Body, Error, Fetch, Refusal, Reply, Span};

/// Most of an error body that is looked at; codes stand in its first lines.
const EXPLANATION_BYTES_MAX: usize = 8 * 1024;
/// Longest wait for credentials and a signature.
const SIGN_WAIT_MAX: Duration = Duration::from_secs(10);
/// Longest time that an error body is read for.
const EXPLANATION_WAIT_MAX: Duration = Duration::from_secs(2);

/// A store reached over HTTP.
pub struct Remote {
    /// What this kind of store does differently.
    pub store: Box<dyn Store>,
    /// How requests are sent.
    pub client: Arc<Client>,
    /// To whom.
    pub endpoints: Endpoints,
    /// Longest wait of a check for a connection.
    pub connect: Duration,
    /// What an active check asks for, and how often.
    pub check: Option<Check>,
    /// What keeps faults that each request may meet from filling the log.
    pub faults: Seldom,
}

/// An active health check.
#[derive(Debug, Clone)]
pub struct Check {
    /// Path that is asked for by HEAD; any answer below 500 is health.
    pub path: String,
    /// How often.
    pub every: Duration,
}

impl Remote {
    /// Answers what needs no asking: the store can have no such key.
    #[must_use]
    pub fn unasked(&self, fetch: &Fetch) -> Option<Reply> {
        let endpoint = self.endpoints.get(0)?;
        let place = self.store.place(endpoint, fetch);
        let absent = || bare(StatusCode::NOT_FOUND, &HeaderMap::new());
        place.is_none().then(absent)
    }

    /// Asks the endpoint of this index once.
    ///
    /// # Errors
    /// A [`Failure`] where no usable answer came.
    pub async fn attempt(&self, index: usize, fetch: &Fetch, way: Way) -> Result<Reply, Failure> {
        let endpoint = self.endpoints.get(index).ok_or(Error::Down)?;
        let Some(place) = self.store.place(endpoint, fetch) else {
            return Ok(bare(StatusCode::NOT_FOUND, &HeaderMap::new()));
        };
        let mut tally = Tally::new();
        let route = Route {
            endpoint,
            sni: &place.sni,
            way,
        };
        match self.ask(route, &place, fetch).await {
            Ok(answer) => self.believe(endpoint, (&place, fetch), answer, tally).await,
            Err(failure) => {
                tally.fail(&failure.error);
                Err(failure)
            }
        }
    }

    /// Checks every endpoint whose check is due.
    pub async fn probe(&self) {
        let Some(check) = &self.check else {
            return;
        };
        let due = self.endpoints.due_checks(Instant::now(), check.every);
        join_all(due.into_iter().map(|index| self.probe_one(index, check))).await;
    }

    async fn probe_one(&self, index: usize, check: &Check) {
        let Some(endpoint) = self.endpoints.get(index) else {
            return;
        };
        let Some(mut place) = self.store.place(endpoint, &Fetch::default()) else {
            return;
        };
        place.target.clone_from(&check.path);
        let route = Route {
            endpoint,
            sni: &place.sni,
            way: Way {
                // Whether it takes connections is half of the question.
                connection: Connection::Fresh,
                connect: self.connect,
            },
        };
        let head = Fetch {
            head_only: true,
            ..Fetch::default()
        };
        let began = Instant::now();
        let trouble = match request::build(endpoint, &place, &head, None) {
            Ok(parts) => match self.send(route, parts, &head).await {
                Ok(answer) if answer.status.is_server_error() => Some(Trouble::Unreachable),
                Ok(_) => None,
                // Neither health nor a fault of the endpoint.
                Err(failure) if failure.repeat != Repeat::Never => return,
                Err(failure) => failure.trouble.or(Some(Trouble::Unreachable)),
            },
            Err(_) => Some(Trouble::Unreachable),
        };
        let now = Instant::now();
        match trouble {
            None => self.endpoints.passed(index, now),
            Some(Trouble::Silent) => self.endpoints.failed(index, Trouble::Silent, began, now),
            // This holds whatever requests came to meanwhile.
            Some(trouble) => self.endpoints.failed(index, trouble, now, now),
        }
    }

    /// Whether the store is meant for clients: an object store has no use for their fields, and
    /// what it says in between is of its internals.
    fn is_web(&self) -> bool {
        self.store.dialect() == Dialect::Web
    }

    async fn ask(&self, route: Route<'_>, place: &Place, fetch: &Fetch) -> Result<Answer, Failure> {
        let fields = fetch.fields.as_deref().filter(|_| self.is_web());
        let mut parts = request::build(route.endpoint, place, fetch, fields)
            .map_err(|_| refused(route.endpoint, Refusal::MalformedHead))?;
        let signed = timeout(SIGN_WAIT_MAX, self.store.sign(&mut parts)).await;
        signed.unwrap_or_else(|_| Err(Error::Credentials("signing timed out".into())))?;
        self.send(route, parts, fetch).await
    }

    async fn send(
        &self,
        route: Route<'_>,
        mut parts: http::request::Parts,
        fetch: &Fetch,
    ) -> Result<Answer, Failure> {
        debug_assert!(matches!(parts.method, Method::GET | Method::HEAD));
        request::introduce(&mut parts.headers, fetch.cdn_loop.as_ref());
        let started = Instant::now();
        let request = Request::from_parts(parts, Bytes::new());
        let listener = fetch.interim.as_ref().filter(|_| self.is_web());
        let answer = self.client.send(route, request, listener).await?;
        METRICS
            .origin_first_byte_seconds
            .observe(started.elapsed().as_secs_f64());
        Ok(answer)
    }

    async fn believe(
        &self,
        endpoint: &Endpoint,
        asked: (&Place, &Fetch),
        answer: Answer,
        mut tally: Tally,
    ) -> Result<Reply, Failure> {
        let (_, fetch) = asked;
        let judged = match answer::check(fetch, answer.status, &answer.headers) {
            Err(Fault::Changed) => Err(Error::Changed),
            Err(Fault::Refused(reason)) => {
                if let Some(unlogged) = self.faults.turn(Instant::now()) {
                    tracing::warn!(
                        %endpoint,
                        path = fetch.path,
                        status = answer.status.as_u16(),
                        %reason,
                        unlogged,
                        "origin answer refused"
                    );
                }
                Err(refused(endpoint, reason))
            }
            Ok(span) => self.judge(endpoint, asked, answer, span).await,
        };
        match judged {
            Ok(mut reply) => {
                reply.body = Box::new(Counted::new(reply.body, tally));
                Ok(reply)
            }
            Err(error) => {
                tally.fail(&error);
                Err(Failure::from(error))
            }
        }
    }

    async fn judge(
        &self,
        endpoint: &Endpoint,
        (place, fetch): (&Place, &Fetch),
        answer: Answer,
        span: Option<Span>,
    ) -> Result<Reply, Error> {
        let Answer {
            status,
            mut headers,
            mut body,
        } = answer;
        if let Some(span) = span {
            // What comes in chunks may be more or less than Content-Range says.
            body.expect((span.last - span.first).saturating_add(1));
        }
        let dialect = self.store.dialect();
        let plain = matches!(
            status,
            StatusCode::OK | StatusCode::PARTIAL_CONTENT | StatusCode::NOT_MODIFIED
        );
        if dialect == Dialect::Web || plain {
            let is_clean = answer::promises_nothing(status, &headers);
            frame(status, &mut headers);
            scrub::scrub(&mut headers, dialect);
            if dialect == Dialect::Web {
                location::hide(&mut headers, endpoint, place);
            }
            if is_clean && answer::is_bodiless(status) {
                // Reading to the end, which is here, keeps the connection.
                let _nothing = timeout(EXPLANATION_WAIT_MAX, body.collect(0)).await;
                return Ok(Reply {
                    status,
                    headers,
                    span,
                    body: Box::new(Empty),
                });
            }
            let body: Box<dyn Body> = match answer::is_bodiless(status) {
                true => Box::new(Empty),
                false => Box::new(body),
            };
            return Ok(Reply {
                status,
                headers,
                span,
                body,
            });
        }
        self.explain(
            endpoint,
            fetch,
            Answer {
                status,
                headers,
                body,
            },
        )
        .await
    }

    /// Judges an error of a store by its explanation.
    async fn explain(
        &self,
        endpoint: &Endpoint,
        fetch: &Fetch,
        Answer {
            status,
            headers,
            body,
        }: Answer,
    ) -> Result<Reply, Error> {
        let dialect = self.store.dialect();
        // Reading the explanation also leaves the connection fit for the next request.
        let explanation = timeout(EXPLANATION_WAIT_MAX, body.collect(EXPLANATION_BYTES_MAX)).await;
        let code = scrub::error_code(&headers, &explanation.unwrap_or_default());
        let code = code.as_deref();
        match scrub::judge(dialect, status, code) {
            Verdict::Answer(shown) => {
                let status = status.as_u16();
                if code == Some("NoSuchBucket") {
                    if let Some(unlogged) = self.faults.turn(Instant::now()) {
                        tracing::warn!(%endpoint, status, unlogged, "store knows no such bucket");
                    }
                } else {
                    tracing::debug!(%endpoint, path = fetch.path, status, code, "no object");
                }
                Ok(bare(shown, &headers))
            }
            Verdict::Credentials => {
                let code = code.unwrap_or("no code");
                let status = status.as_u16();
                if let Some(unlogged) = self.faults.turn(Instant::now()) {
                    tracing::error!(
                        %endpoint, status, code, unlogged,
                        "store refused the credentials"
                    );
                }
                Err(Error::Credentials(format!(
                    "{endpoint} answered {status} {code}"
                )))
            }
            Verdict::Redirected => {
                let hint = scrub::redirect_hint(&headers);
                let status = status.as_u16();
                if let Some(unlogged) = self.faults.turn(Instant::now()) {
                    tracing::error!(
                        %endpoint, status, hint, unlogged,
                        "store redirects: region or endpoint is wrong"
                    );
                }
                Err(refused(endpoint, Refusal::Redirected))
            }
        }
    }
}

/// Leaves the one Content-Length that is true of this body.
fn frame(status: StatusCode, headers: &mut HeaderMap) {
    match answer::content_length(headers) {
        _ if status == StatusCode::RESET_CONTENT => {
            headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        _ if answer::is_bodiless(status) => {
            headers.remove(CONTENT_LENGTH);
        }
        Ok(Some(length)) => {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
        _ => {}
    }
}

fn refused(endpoint: &Endpoint, reason: Refusal) -> Error {
    Error::Refused {
        endpoint: endpoint.to_string(),
        reason,
    }
}

fn bare(status: StatusCode, headers: &HeaderMap) -> Reply {
    Reply {
        status,
        headers: scrub::bare(headers),
        span: None,
        body: Box::new(Empty),
    }
}
