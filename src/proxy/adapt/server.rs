//! One media playlist whose segments this node picks rung by rung (`server`): its glue.
//!
//! The multivariant playlist names one rung, and in that URL itself ([`choice::LADDER`]): whoever
//! is asked for the rung finds the others again. What a session was told goes from request to
//! request, and from node to node, by [`crate::session::Sessions::last_told`].
//!
//! Invariants: whatever is amiss (no session, no ladder, rungs that do not fit, a time-out), the
//! rung goes out as it is. The ladder's name passes the same door as any request, and counts only
//! if that ladder names the playlist that is asked for.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join_all;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use tokio::time::timeout;

use crate::asset::Kind;
use crate::cache::ask::Ask;
use crate::cache::opened::Opened;
use crate::cache::reader::Reader;
use crate::clock;
use crate::config::adapt::{Carrier, Mode};
use crate::key::Key;
use crate::limits;
use crate::manifest::hls;
use crate::manifest::hls::server::{self, Choices};
use crate::manifest::hls::timeline::Timeline;
use crate::manifest::ladder::Ladder;
use crate::manifest::uri::{Rebase, Relative};
use crate::metrics::ManifestKind;
use crate::prefetch::target;
use crate::proxy::adapt::decision::Case;
use crate::proxy::adapt::guest::Guest;
use crate::proxy::adapt::{Visit, body};
use crate::route::choice::{self, Choice};
use crate::route::{Purpose, Route};

/// What is escaped in the value of a parameter.
const PLAIN: AsciiSet = NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// A title whose rungs stand in for one another.
struct Title<'a> {
    ladder: &'a Ladder,
    /// Canonical path of the multivariant playlist.
    base: &'a str,
    /// What the session is told lies under this name.
    name: [u8; 16],
    /// The rung of new segments.
    now: usize,
    /// The session's prefix.
    prefix: String,
}

impl Visit<'_> {
    /// Has the rung that a multivariant playlist names be asked for with its ladder.
    pub(super) fn lead(&self, guest: &Guest, choice: &Choice, text: Vec<u8>) -> Vec<u8> {
        let is_known = self.carrier() == Carrier::Path && self.route.kind == Kind::HlsManifest;
        let Some(session) = guest.text().filter(|_| is_known) else {
            return text;
        };
        let mut ladder = self.route.origin_path.clone();
        if let Some(query) = &self.route.origin_query {
            ladder.push('?');
            ladder.push_str(query);
        }
        let ladder = escaped(&ladder);
        if ladder.len() > limits::LADDER_NAME_BYTES_MAX || !self.route.site.adapt.client_mode {
            return text;
        }
        // The choice comes first, since it may be the site's mode that was meant.
        let chosen = match choice.mode {
            Some(_) => choice.spelled.clone(),
            None if choice.spelled.is_empty() => "mode=server".to_owned(),
            None => format!("mode=server&{}", choice.spelled),
        };
        let query = format!("{chosen}&{}={ladder}", choice::LADDER);
        match std::str::from_utf8(&text) {
            Ok(lines) => led(lines, session, &query).into_bytes(),
            Err(_) => text,
        }
    }

    /// Composes the playlist in place of the one rung's that is asked for; `None` where that goes
    /// out as it is.
    pub(super) async fn of_rungs(&self, asked: &Bytes) -> Option<Vec<u8>> {
        let (choice, filter) = self.choice().ok()?;
        let mode = self.mode(ManifestKind::Hls, &choice);
        if mode != Mode::Server || self.carrier() != Carrier::Path {
            return None;
        }
        let session = self.route.session.as_deref()?;
        let id = self
            .edge
            .sessions
            .read(&self.route.site.name, session, self.now)?;
        let named = ladder_of(self.route.query_raw.as_deref()?)?;
        let key = target::resolve(&self.route.site, "/", &named)?;
        if Kind::of(key.path()) != Kind::HlsManifest {
            return None;
        }
        let composing = async {
            let text = self.read(&key).await?;
            let manifest = self.edge.manifests.read(ManifestKind::Hls, &text).ok()?;
            let ladder = manifest.ladder();
            let guest = Guest::Known {
                id,
                text: session.to_owned(),
            };
            let belief = self.belief(&guest).await;
            let case = Case {
                visit: &self.at(&key),
                kind: ManifestKind::Hls,
                manifest: &manifest,
                choice: &choice,
                filter: &filter,
                mode,
                guest: &guest,
                belief,
            };
            let estimate = self.edge.sessions.estimate(id.who, clock::now());
            let (indices, now) = case.next(estimate.as_ref())?;
            let rungs = indices.iter();
            let mut keys = rungs.filter_map(|rung| self.key_of(ladder, key.path(), *rung));
            keys.any(|key| key == self.route.key).then_some(())?;
            let title = Title {
                ladder,
                base: key.path(),
                name: self
                    .edge
                    .sessions
                    .title(id.who, key.as_str(), &shape(ladder)),
                now,
                prefix: format!("/~{session}"),
            };
            self.compose(&title, asked).await
        };
        timeout(limits::RUNGS_WAIT_MAX, composing).await.ok()?
    }

    async fn compose(&self, title: &Title<'_>, asked: &Bytes) -> Option<Vec<u8>> {
        let sessions = &self.edge.sessions;
        let told = sessions.last_told(title.name, clock::now()).await;
        let told = told.and_then(|text| Choices::parse(&text));
        let mut needed = told.as_ref().map_or_else(Vec::new, Choices::rungs);
        if !needed.contains(&title.now) {
            needed.push(title.now);
        }
        if needed.len() > limits::RUNGS_COMPOSED_MAX {
            return None;
        }
        let playlists = needed.iter().map(|rung| self.rung(title, *rung, asked));
        let playlists: Option<Vec<Vec<u8>>> = join_all(playlists).await.into_iter().collect();
        let playlists = playlists?;
        let timelines = playlists.iter().map(|text| Timeline::parse(text));
        let timelines: Option<Vec<Timeline<'_>>> = timelines.collect();
        let timelines = timelines?;
        let rungs = needed.iter().zip(&timelines).map(|(number, timeline)| {
            let codecs = &title.ladder.rungs.get(*number)?.codecs;
            Some(server::Rung {
                number: *number,
                timeline,
                codecs,
            })
        });
        let rungs: Option<Vec<server::Rung<'_>>> = rungs.collect();
        let composed = match server::compose(&rungs?, title.now, told) {
            Ok(composed) => composed,
            Err(misfit) => {
                tracing::debug!(%misfit, key = %self.route.key, "a rung goes out as it is");
                return None;
            }
        };
        let text = composed.choices.to_text();
        sessions.tell(title.name, text, clock::now()).await;
        Some(composed.text.into_bytes())
    }

    /// A rung's playlist, its URIs leading below the session from anywhere.
    async fn rung(&self, title: &Title<'_>, rung: usize, asked: &Bytes) -> Option<Vec<u8>> {
        let key = self.key_of(title.ladder, title.base, rung)?;
        let text = match key == self.route.key {
            true => asked.clone(),
            false => self.read(&key).await?,
        };
        let rebase = Rebase {
            object: key.path().to_owned(),
            prefix: title.prefix.clone(),
            hosts: self.hosts(),
            relative: Relative::Resolve,
        };
        Some(hls::rebase_media(&text, &rebase).unwrap_or_else(|| text.to_vec()))
    }

    fn key_of(&self, ladder: &Ladder, base: &str, rung: usize) -> Option<Key> {
        let uri = ladder.rungs.get(rung)?.first.playlist.as_deref()?;
        target::resolve(&self.route.site, base, uri)
    }

    /// Reads another playlist of the site through the engine.
    async fn read(&self, key: &Key) -> Option<Bytes> {
        let source = self.edge.sources.get(&self.route.site.name)?;
        let fields = Arc::clone(&self.edge.nothing);
        let ask = Ask::whole(source, self.at(key).route, fields);
        let supply = ask.supply();
        let (object, mut reader) = match self.edge.engine.open(ask).await {
            Opened::Object { object, .. } => {
                let engine = Arc::clone(&self.edge.engine);
                let reader = Reader::new(engine, supply, Arc::clone(&object));
                (object, reader)
            }
            // What may not be shared is no part of what is told of many.
            Opened::Stream { .. } | Opened::Failed(_) => return None,
        };
        let head = object.head();
        if !super::serve::is_readable(head.status, &head.headers) {
            return None;
        }
        match body::of_object(&mut reader).await.ok()? {
            body::Read::Whole(bytes) => Some(bytes),
            body::Read::TooLarge(_) => None,
        }
    }

    /// The same visit, to another playlist.
    fn at(&self, key: &Key) -> Visit<'_> {
        Visit {
            edge: self.edge,
            route: Route {
                site: Arc::clone(&self.route.site),
                key: key.clone(),
                origin_path: key.path().to_owned(),
                origin_query: key.query().map(str::to_owned),
                kind: Kind::of(key.path()),
                purpose: Purpose::Object,
                session: None,
                query_raw: None,
            },
            headers: self.headers,
            host: self.host,
            address: self.address,
            active: self.active,
            bearer: self.bearer,
            now: self.now,
        }
    }
}

/// What makes the numbers of a ladder mean the same rungs.
fn shape(ladder: &Ladder) -> Vec<u8> {
    let rungs = ladder.rungs.iter();
    rungs
        .flat_map(|rung| rung.bandwidth.to_be_bytes())
        .collect()
}

/// What a playlist may begin with, against RFC 8216bis section 4.1.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// Adds `query` to the URIs that lead below `session`, or beside the playlist.
fn led(text: &str, session: &str, query: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2 * query.len());
    let unmarked = text.strip_prefix(BYTE_ORDER_MARK);
    if unmarked.is_some() {
        out.push(BYTE_ORDER_MARK);
    }
    let text = unmarked.unwrap_or(text);
    let prefix = format!("/~{session}/");
    for line in text.split_inclusive('\n') {
        let uri = line.trim_end();
        let is_beside = !uri.contains([':', '$']) && !uri.starts_with('/');
        if uri.is_empty() || uri.starts_with('#') || !(is_beside || uri.contains(&prefix)) {
            out.push_str(line);
            continue;
        }
        let (before, fragment) = match uri.find('#').and_then(|at| uri.split_at_checked(at)) {
            Some(parts) => parts,
            None => (uri, ""),
        };
        let mark = if before.contains('?') { "&" } else { "?" };
        let end = line.strip_prefix(uri).unwrap_or("\n");
        for part in [before, mark, query, fragment, end] {
            out.push_str(part);
        }
    }
    out
}

/// The name of the ladder in a query.
fn ladder_of(query: &str) -> Option<String> {
    let mut parameters = query.split('&').filter_map(|it| it.split_once('='));
    let (_, value) = parameters.find(|(name, _)| *name == choice::LADDER)?;
    let is_short = value.len() <= limits::LADDER_NAME_BYTES_MAX;
    let named = percent_decode_str(value).decode_utf8().ok()?;
    (is_short && named.starts_with('/')).then(|| named.into_owned())
}

/// Text as the value of a parameter.
fn escaped(text: &str) -> String {
    utf8_percent_encode(text, &PLAIN).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ladder_is_found_again_by_the_name_that_was_written() {
        for name in ["/t/master.m3u8", "/a%20b&c/m.m3u8?x=1&y=%2F", "/é.m3u8"] {
            let query = format!("mode=server&{}={}", choice::LADDER, escaped(name));
            assert_eq!(ladder_of(&query).as_deref(), Some(name));
        }
        for query in ["", "ladder", "ladder=", "ladder=t", "ladder=/%FF"] {
            assert_eq!(ladder_of(query), None, "{query}");
        }
    }

    #[test]
    fn only_the_sessions_own_uris_are_led() {
        for (line, expected) in [
            ("/~s/a.m3u8", "/~s/a.m3u8?q"),
            ("/~s/a.m3u8?x#f\r\n", "/~s/a.m3u8?x&q#f\r\n"),
            ("http://own/~s/a.m3u8\n", "http://own/~s/a.m3u8?q\n"),
            ("a/b.m3u8\n", "a/b.m3u8?q\n"),
            ("http://other/a.m3u8\n", "http://other/a.m3u8\n"),
            ("//other/a.m3u8\n", "//other/a.m3u8\n"),
            (
                "#EXT-X-MEDIA:URI=\"/~s/a.m3u8\"\n",
                "#EXT-X-MEDIA:URI=\"/~s/a.m3u8\"\n",
            ),
            ("\n", "\n"),
            ("\u{feff}#EXTM3U\n", "\u{feff}#EXTM3U\n"),
        ] {
            assert_eq!(led(line, "s", "q"), expected);
        }
    }
}
