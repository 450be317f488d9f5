//! Manifests made for the client that asks: the glue between engine, `manifest` and `session`.
//!
//! The engine's object is the origin's manifest, the same for all. Where nothing is to be changed
//! it goes out as any object does. Else it is read whole ([`manifests`]), a [`decision`] is made, and
//! what is written goes out as an answer for this client alone ([`personal`]).
//!
//! Invariants: what cannot be read goes out as it is. A multivariant playlist or MPD asked for
//! without a session begins one; a media playlist never does, and is the same for all unless it is
//! asked for below a session. Choices are refused where they mean nothing, sessions never.
//!
//! What this edge says by `CMSD-Dynamic` (CTA-5006): Shaka takes `etp` from any answer, gives it
//! half the weight from then on, keeps it where an answer has no such field, and drops it where
//! one has the field without the key. So the estimate goes out on personal manifests only, and
//! every segment carries the field with nothing but the node's name where it is below a session, or
//! where no URL of the site is: the first one withdraws the estimate. That value is the same for
//! everyone, so that whoever stores a segment may. A segment's name need not tell that it is one.
//! Media playlists and keys carry none, since they are fetched in between.

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, USER_AGENT};
use http::{HeaderValue, StatusCode};
use pingora::http::ResponseHeader;

use crate::asset::Kind;
use crate::clock::{self, UnixMillis};
use crate::config::adapt::{Carrier, Filter, Mode};
use crate::http::via::CDN_LOOP;
use crate::manifest::hls;
use crate::manifest::ladder::{First, Ladder, Sound};
use crate::manifest::parsed::Parsed;
use crate::manifest::plan::Plan;
use crate::metrics::{METRICS, Made, ManifestKind};
use crate::proxy::Edge;
use crate::proxy::exchange::Exchange;
use crate::proxy::respond::Answer;
use crate::proxy::watch::Active;
use crate::route::choice::{self, Choice};
use crate::route::{Purpose, Route};
use crate::session::belief::Belief;
use crate::session::cmsd::{self, Hints};
use crate::session::who::Who;

mod body;
mod decision;
mod first;
mod guest;
pub(super) mod manifests;
mod personal;
pub(super) mod serve;
mod server;

use decision::Case;
use guest::Guest;
use personal::{CMSD_DYNAMIC, Personal};

/// Whether the manifest that `route` names, if it is one, may be made for its client. To a cache
/// (a node behind this one, or a CDN) goes what is the same for all; but what the operator does not
/// show, he shows to nobody who claims to be one.
pub(super) fn concerns(route: &Route, request: &HeaderMap) -> bool {
    let adapt = &route.site.adapt;
    let is_personal = !request.contains_key(CDN_LOOP)
        && (adapt.mode != Mode::Off || adapt.steering.is_some() || route.session.is_some());
    let is_changed = is_personal || adapt.filter != Filter::default();
    match route.purpose {
        Purpose::Adaptive => true,
        Purpose::Object => route.kind.is_manifest() && is_changed,
        Purpose::Stream | Purpose::Service => false,
    }
}

/// A request for a manifest.
pub(super) struct Visit<'a> {
    pub(super) edge: &'a Edge,
    pub(super) route: Route,
    pub(super) headers: &'a HeaderMap,
    /// The host asked for, as in the request.
    pub(super) host: Option<&'a str>,
    pub(super) address: Option<IpAddr>,
    /// The request, as its connection knows it.
    pub(super) active: Option<&'a Active>,
    /// Whose the request is taken to be, where anybody wants to know.
    pub(super) bearer: Option<Who>,
    pub(super) now: UnixMillis,
}

impl Visit<'_> {
    /// Makes the manifest for this client; `None` where it goes out as it is.
    ///
    /// # Errors
    /// The answer to give instead: a choice that means nothing, or leaves nothing.
    pub(super) async fn make(&self, bytes: &Bytes) -> Result<Option<Personal>, Answer> {
        let made = match self.kind(bytes) {
            Some(kind @ ManifestKind::Hls) if self.is_bound(bytes) => {
                METRICS.manifests.of(kind, Made::Unchanged).inc();
                None
            }
            Some(kind @ ManifestKind::Hls) if is_media(bytes) => {
                if let Some(bytes) = self.of_rungs(bytes).await {
                    METRICS.manifests.of(kind, Made::Rewritten).inc();
                    return Ok(Some(Personal::unsaid(bytes)));
                }
                let rebase = self.rebase(&Guest::Nobody);
                let made = rebase.and_then(|rebase| hls::rebase_media(bytes, &rebase));
                let result = made.as_ref().map_or(Made::Unchanged, |_| Made::Rewritten);
                METRICS.manifests.of(ManifestKind::Hls, result).inc();
                made.map(Personal::unsaid)
            }
            Some(kind) => match self.edge.manifests.read(kind, bytes) {
                Ok(manifest) => self.personalise(kind, &manifest).await?,
                Err(error) => {
                    tracing::debug!(%error, key = %self.route.key, "a manifest goes out as it is");
                    METRICS.manifests.of(kind, Made::Unparsable).inc();
                    None
                }
            },
            None => None,
        };
        Ok(made)
    }

    /// Whether a playlist asked for elsewhere can be played from its own path only: its variables
    /// (EXT-X-DEFINE) may make anything of a URI, so that those are left alone.
    fn is_bound(&self, bytes: &[u8]) -> bool {
        self.route.purpose == Purpose::Adaptive && bytes.windows(2).any(|pair| pair == b"{$")
    }

    /// What kind of manifest it is: by its name, or where a template of the site names it
    /// otherwise, by its beginning.
    fn kind(&self, bytes: &[u8]) -> Option<ManifestKind> {
        match self.route.kind {
            Kind::HlsManifest => Some(ManifestKind::Hls),
            Kind::DashManifest => Some(ManifestKind::Dash),
            _ if bytes.starts_with(b"#EXTM3U") => Some(ManifestKind::Hls),
            _ if bytes.trim_ascii_start().starts_with(b"<") => Some(ManifestKind::Dash),
            _ => None,
        }
    }

    async fn personalise(
        &self,
        kind: ManifestKind,
        manifest: &Parsed,
    ) -> Result<Option<Personal>, Answer> {
        let (choice, filter) = self.choice().map_err(|error| refused(kind, &error))?;
        let mode = self.mode(kind, &choice);
        let guest = self.guest(mode, manifest);
        let belief = match mode {
            Mode::Off => None,
            Mode::Hint | Mode::Cap | Mode::Single | Mode::Server => self.belief(&guest).await,
        };
        let case = Case {
            visit: self,
            kind,
            manifest,
            choice: &choice,
            filter: &filter,
            mode,
            guest: &guest,
            belief,
        };
        let decision = case.decide().map_err(|error| refused(kind, &error))?;
        if !manifest.is_dynamic() {
            self.look_ahead(manifest.ladder(), &decision.plan);
        }
        if decision.plan.is_empty() && decision.said == Hints::default() {
            METRICS.manifests.of(kind, Made::Unchanged).inc();
            return Ok(None);
        }
        METRICS.manifests.of(kind, Made::Rewritten).inc();
        let mut bytes = manifest.write(&decision.plan);
        if mode == Mode::Server {
            bytes = self.lead(&guest, &choice, bytes);
        }
        Ok(Some(Personal {
            bytes,
            said: decision.said,
        }))
    }

    /// Has brought what the player asks for next: the beginning of the rung that it starts with,
    /// and of the sound that is heard with that. Of an MPD that is asked for again and again, nobody
    /// knows where its players are.
    fn look_ahead(&self, ladder: &Ladder, plan: &Plan) {
        let kept = plan.kept.as_ref();
        let is_kept = |index: &usize| kept.is_none_or(|kept| kept.has_rung(*index));
        let listed = (0..ladder.rungs.len()).find(is_kept);
        let rung = plan.start.or(listed).and_then(|at| ladder.rungs.get(at));
        let Some(rung) = rung else {
            return;
        };
        let sound = rung.heard.and_then(|at| ladder.sounds.get(at));
        let is_kept = |sound: &&Sound| kept.is_none_or(|kept| kept.has_rendition(sound.rendition));
        let sound = sound.filter(is_kept).map(|sound| &sound.first);
        let firsts = [Some(&rung.first), sound].into_iter().flatten();
        let parts = firsts.flat_map(First::parts).collect();
        self.edge.prefetch.manifest(&self.route, parts);
    }

    /// What the request chooses, and what that leaves of what the operator shows.
    fn choice(&self) -> Result<(Choice, Filter), choice::Error> {
        let adapt = &self.route.site.adapt;
        let query = self.route.query_raw.as_deref().unwrap_or_default();
        let choice = Choice::among(query, choice::names(adapt, self.route.kind))?;
        let filter = choice.within(&adapt.filter)?;
        Ok((choice, filter))
    }

    /// The kill switch of the site comes before what a request chooses.
    /// There is no `server` in DASH, whose players choose by themselves what is hinted at.
    fn mode(&self, kind: ManifestKind, choice: &Choice) -> Mode {
        match self.route.site.adapt.mode {
            Mode::Off => Mode::Off,
            _ if self.headers.contains_key(CDN_LOOP) => Mode::Off,
            mode => match choice.mode.unwrap_or(mode) {
                Mode::Server if kind == ManifestKind::Dash => Mode::Hint,
                mode => mode,
            },
        }
    }

    fn carrier(&self) -> Carrier {
        self.route.site.adapt.session
    }

    /// What is thought of this client's throughput: by its session, where that has shown some.
    async fn belief(&self, guest: &Guest) -> Option<Belief> {
        if self.route.site.adapt.session == Carrier::Off {
            return None;
        }
        let sessions = &self.edge.sessions;
        let who = guest.known();
        let client = sessions.client(self.address, self.user_agent(), self.now);
        sessions.recall(who, &client, self.now).await;
        let now = clock::now();
        if let Some(estimate) = who.and_then(|who| sessions.estimate(who, now)) {
            return Some(Belief::of_estimate(&estimate));
        }
        sessions.prior(&self.route.site.name, &client, self.address, now)
    }

    /// Round trip of the connection that asks, where the kernel's figures are gone by; what is
    /// believed of the client counts elsewhere.
    fn round_trip(&self) -> Option<Duration> {
        self.active?.round_trip()
    }

    fn user_agent(&self) -> &[u8] {
        self.headers
            .get(USER_AGENT)
            .map_or(b"", HeaderValue::as_bytes)
    }
}

/// The value of `CMSD-Dynamic` that withdraws what an earlier answer said.
pub(super) fn nothing_to_say(node: &str) -> HeaderValue {
    let value = cmsd::value(node, &Hints::default());
    HeaderValue::try_from(value).unwrap_or(HeaderValue::from_static("\"edge\""))
}

/// Makes a header say to players what every answer may: of segments that belong to sessions, or may
/// since no URL of their site tells, that there is nothing to say; of others nothing, whatever came
/// with them. Sites whose mode is off keep what their origin said.
///
/// # Errors
/// A header that cannot be written; none is known.
pub(super) fn speak(
    header: &mut ResponseHeader,
    exchange: &Exchange,
    edge: &Edge,
) -> pingora::Result<()> {
    let Some(route) = &exchange.route else {
        return Ok(());
    };
    let adapt = &route.site.adapt;
    if adapt.mode == Mode::Off {
        return Ok(());
    }
    header.remove_header(&CMSD_DYNAMIC);
    // Where URLs tell of no session, duress may have been told by any manifest.
    let is_of_session = route.session.is_some() || adapt.session != Carrier::Path;
    if is_of_session && is_played(route.kind, &header.headers) {
        header.insert_header(CMSD_DYNAMIC, edge.cmsd.clone())?;
    }
    Ok(())
}

/// Whether an answer is of what a player asks for once it has chosen its start. Names that tell
/// nothing may be those of playlists, which their origins must say.
fn is_played(kind: Kind, headers: &HeaderMap) -> bool {
    match kind {
        Kind::Segment | Kind::File | Kind::Subtitle => true,
        Kind::Other => {
            let named = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
            let named = named.unwrap_or_default().to_ascii_lowercase();
            !MANIFEST_TYPES.iter().any(|one| named.starts_with(one))
        }
        Kind::HlsManifest | Kind::DashManifest | Kind::Key => false,
    }
}

/// Beginnings of the media types of manifests (RFC 8216 section 4, ISO/IEC 23009-1 annex C), those
/// in use among them.
const MANIFEST_TYPES: [&[u8]; 5] = [
    b"application/vnd.apple.mpegurl",
    b"application/x-mpegurl",
    b"audio/mpegurl",
    b"audio/x-mpegurl",
    b"application/dash+xml",
];

/// Whether a playlist is one of segments: those tags stand before the first of them.
pub(super) fn is_media(bytes: &[u8]) -> bool {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    lines.any(|line| line.starts_with(b"#EXT-X-TARGETDURATION:") || line.starts_with(b"#EXTINF:"))
}

fn refused(kind: ManifestKind, error: &impl std::error::Error) -> Answer {
    METRICS.manifests.of(kind, Made::Refused).inc();
    Answer::telling(StatusCode::BAD_REQUEST, &error.to_string())
}

#[cfg(test)]
mod tests {
    use super::{Kind, is_played};
    use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};

    #[test]
    fn a_start_is_withdrawn_by_what_comes_after_it_whatever_its_name() {
        for (path, named, expected) in [
            ("/v/1.m4s", "video/mp4", true),
            ("/v/all.mp4", "", true),
            ("/v/1.vtt", "text/vtt", true),
            ("/v/1", "", true),
            ("/v/1", "application/octet-stream", true),
            ("/v/Fragments(video=0)", "video/mp4", true),
            ("/v/1.frag", "video/mp2t", true),
            ("/v/1.sound", "audio/mpeg", true),
            (
                "/v/list",
                "Application/vnd.apple.mpegURL; charset=utf-8",
                false,
            ),
            ("/v/list", "audio/x-mpegurl", false),
            ("/v/list", "application/dash+xml", false),
            ("/v/list.m3u8", "", false),
            ("/v/manifest.mpd", "video/mp4", false),
            ("/v/1.key", "application/octet-stream", false),
        ] {
            let mut headers = HeaderMap::new();
            if !named.is_empty() {
                headers.insert(CONTENT_TYPE, HeaderValue::from_static(named));
            }
            let played = is_played(Kind::of(path), &headers);
            assert_eq!(played, expected, "{path} {named}");
        }
    }
}
