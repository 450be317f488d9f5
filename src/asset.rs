//! Kinds of objects: what an extension says about type, lifetime and way of filling. Pure.

use std::time::Duration;

use crate::config::{Lifetimes, Profile, Site};
use crate::http::freshness::{Fallback, Rules};

/// What an object is, as far as its name tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An HLS playlist, multivariant or media.
    HlsManifest,
    /// A DASH MPD.
    DashManifest,
    /// Init segment, media segment or part of one: small, read from start to end.
    Segment,
    /// A whole title in one file: large, read by range. Init segments that end in `.mp4` count
    /// here as well; they cost one block.
    File,
    /// Subtitles, as segments or whole.
    Subtitle,
    /// A content key.
    Key,
    /// Anything else: pictures, thumbnails, metadata.
    Other,
}

/// How an object is brought from its origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fill {
    /// In one request, from start to end.
    Whole,
    /// Block by block, only those asked for.
    Blocks,
}

/// Whether a manifest may still change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Maturity {
    /// It says that it is complete.
    Finished,
    /// It grows, or nobody has read it yet.
    Growing,
}

impl Kind {
    /// Tells the kind of an object by the extension of its path.
    #[must_use]
    pub fn of(path: &str) -> Self {
        match extension(path).as_str() {
            "m3u8" | "m3u" => Self::HlsManifest,
            "mpd" => Self::DashManifest,
            "m4s" | "ts" | "m2ts" | "cmfv" | "cmfa" | "cmft" | "cmfm" | "aac" | "ac3" | "ec3"
            | "m4f" | "m4i" | "init" | "dash" | "chk" => Self::Segment,
            "mp4" | "m4v" | "m4a" | "mov" | "webm" | "mkv" | "mp3" | "ogg" | "opus" | "flac"
            | "wav" => Self::File,
            "vtt" | "webvtt" | "ttml" | "dfxp" | "srt" => Self::Subtitle,
            "key" => Self::Key,
            _ => Self::Other,
        }
    }

    /// Whether it is a manifest of either kind.
    #[must_use]
    pub fn is_manifest(self) -> bool {
        matches!(self, Self::HlsManifest | Self::DashManifest)
    }

    /// How it is brought from its origin, as long as nothing else is known of it.
    #[must_use]
    pub fn fill(self, profile: Profile) -> Fill {
        match self {
            Self::File => Fill::Blocks,
            Self::Other if profile == Profile::Video => Fill::Blocks,
            // Pages are small and made on demand: a range would have them made block by block.
            Self::Other => Fill::Whole,
            Self::HlsManifest | Self::DashManifest | Self::Segment | Self::Subtitle | Self::Key => {
                Fill::Whole
            }
        }
    }

    /// Whether it is taken for a key to decrypt media: by its name, or as something of no known kind
    /// that is exactly as long as a key of AES-128 (RFC 8216 section 5). Elsewhere than on video
    /// sites such things are anything.
    #[must_use]
    pub fn is_key(self, profile: Profile, length: Option<u64>) -> bool {
        let is_nameless = self == Self::Other && length == Some(KEY_BYTES);
        profile == Profile::Video && (self == Self::Key || is_nameless)
    }

    /// What `site` says about storing this object, of so many bytes where that is known.
    #[must_use]
    pub fn rules(self, site: &Site, maturity: Maturity, length: Option<u64>) -> Rules<'_> {
        Rules {
            fallback: self.fallback(&site.lifetimes, maturity),
            set_cookie: site.caching.set_cookie,
            targeted: &site.caching.targeted,
            heuristic_percent: site.caching.heuristic_percent,
            heuristic_max: site.caching.heuristic_max,
            sees_clients: site.profile == Profile::General,
            is_key: self.is_key(site.profile, length),
        }
    }
}

impl Kind {
    /// What holds where the origin is silent about this object.
    ///
    /// A growing manifest that is older than a few of its periods is worse than an error, since
    /// the player sees a frozen live edge: its stale spans are bounded by its lifetime. While the
    /// origin answers it is served stale for no longer than a refresh takes: a lone player near the
    /// live edge that comes back after a period would be told of the period before, and stall. A
    /// key that is stored at all is confirmed by the origin each time, or its withdrawal would not
    /// count.
    fn fallback(self, lifetimes: &Lifetimes, maturity: Maturity) -> Fallback {
        let lasting = |lifetime| Fallback {
            lifetime,
            negative: self.negative(lifetimes),
            forbidden: lifetimes.negative.forbidden,
            failure: lifetimes.negative.failure,
            stale_while_revalidate: lifetimes.stale_while_revalidate,
            stale_if_error: lifetimes.stale_if_error,
        };
        match (self, maturity) {
            (Self::Segment | Self::File | Self::Subtitle, _) => lasting(lifetimes.segment),
            (Self::Other, _) => lasting(lifetimes.other),
            (Self::HlsManifest | Self::DashManifest, Maturity::Finished) => {
                lasting(lifetimes.vod_manifest)
            }
            (Self::HlsManifest | Self::DashManifest, Maturity::Growing) => {
                let life = lifetimes.live_manifest;
                let period = life.saturating_mul(LIVES_PER_PERIOD);
                Fallback {
                    stale_while_revalidate: lifetimes
                        .stale_while_revalidate
                        .min(life / REFRESHES_PER_LIFE),
                    stale_if_error: lifetimes.stale_if_error.min(period),
                    negative: self.negative(lifetimes).min(life),
                    forbidden: lifetimes.negative.forbidden.min(life),
                    failure: lifetimes.negative.failure.min(life),
                    ..lasting(life)
                }
            }
            (Self::Key, _) => Fallback {
                negative: self.negative(lifetimes),
                forbidden: lifetimes.negative.forbidden,
                failure: lifetimes.negative.failure,
                ..Fallback::default()
            },
        }
    }

    /// How long it is believed that there is no such thing.
    fn negative(self, lifetimes: &Lifetimes) -> Duration {
        match self {
            Self::Segment | Self::Subtitle => lifetimes.negative.segment,
            Self::HlsManifest | Self::DashManifest => lifetimes.negative.manifest,
            Self::File | Self::Key | Self::Other => lifetimes.negative.other,
        }
    }
}

/// Names the media type of an object by its extension, for origins that do not.
#[must_use]
pub fn content_type(path: &str) -> &'static str {
    match extension(path).as_str() {
        "m3u8" | "m3u" => "application/vnd.apple.mpegurl",
        "mpd" => "application/dash+xml",
        "m4s" | "m4f" | "m4i" | "init" | "dash" | "chk" => "video/iso.segment",
        "mp4" | "m4v" | "cmfv" => "video/mp4",
        "m4a" | "cmfa" => "audio/mp4",
        "cmft" | "cmfm" => "application/mp4",
        "ts" | "m2ts" => "video/mp2t",
        "mov" => "video/quicktime",
        "webm" => "video/webm",
        "mkv" => "video/x-matroska",
        "aac" => "audio/aac",
        "ac3" => "audio/ac3",
        "ec3" => "audio/eac3",
        "mp3" => "audio/mpeg",
        "ogg" | "opus" => "audio/ogg",
        "flac" => "audio/flac",
        "wav" => "audio/wav",
        "vtt" | "webvtt" => "text/vtt; charset=utf-8",
        "ttml" | "dfxp" => "application/ttml+xml",
        "srt" => "application/x-subrip",
        "jpg" | "jpeg" => "image/jpeg",
        "png" => "image/png",
        "webp" => "image/webp",
        "avif" => "image/avif",
        "svg" => "image/svg+xml",
        "html" | "htm" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "json" => "application/json",
        "xml" => "application/xml",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

/// Whether a complete manifest says that it will not change any more.
///
/// A multivariant playlist counts as finished: it names renditions, which do not grow. An MPD is
/// finished unless its root says `type="dynamic"` (`static` is the default, ISO/IEC 23009-1
/// section 5.3.1.2). What cannot be read grows, so that it is asked for again soon.
#[must_use]
pub fn manifest_is_finished(kind: Kind, body: &[u8]) -> bool {
    match kind {
        Kind::HlsManifest => playlist_is_finished(body),
        Kind::DashManifest => mpd_is_static(body),
        Kind::Segment | Kind::File | Kind::Subtitle | Kind::Key | Kind::Other => false,
    }
}

fn playlist_is_finished(body: &[u8]) -> bool {
    let body = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body);
    body.starts_with(b"#EXTM3U")
        && body.split(|byte| *byte == b'\n').any(|line| {
            line.trim_ascii_end() == b"#EXT-X-ENDLIST" || line.starts_with(b"#EXT-X-STREAM-INF:")
        })
}

fn mpd_is_static(body: &[u8]) -> bool {
    let Some(tag) = root_tag(body) else {
        return false;
    };
    let end = tag
        .iter()
        .position(|byte| byte.is_ascii_whitespace() || matches!(byte, b'/' | b'>'))
        .unwrap_or(tag.len());
    let (name, mut rest) = tag.split_at(end);
    if name != b"MPD" && !name.ends_with(b":MPD") {
        return false;
    }
    while let Some((attribute, value, after)) = next_attribute(rest) {
        if attribute == b"type" {
            return value == b"static";
        }
        rest = after;
    }
    let end = rest.trim_ascii_start();
    end.starts_with(b">") || end.starts_with(b"/>")
}

/// Returns what follows the `<` of the root element, past declarations and comments.
fn root_tag(body: &[u8]) -> Option<&[u8]> {
    let mut rest = body;
    loop {
        rest = after(rest, b"<")?;
        rest = match rest {
            [b'?', ..] => after(rest, b"?>")?,
            [b'!', b'-', b'-', ..] => after(rest, b"-->")?,
            [b'!', ..] => after(rest, b">")?,
            _ => return Some(rest),
        };
    }
}

/// Reads `name="value"`; `None` at the end of the tag or where it is malformed.
fn next_attribute(tag: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let tag = tag.trim_ascii_start();
    let equals = tag
        .iter()
        .position(|byte| matches!(byte, b'=' | b'>' | b'<'))?;
    let (name, rest) = (tag.get(..equals)?, tag.get(equals..)?);
    let rest = rest.strip_prefix(b"=")?.trim_ascii_start();
    let (quote, rest) = rest.split_first()?;
    if !matches!(quote, b'"' | b'\'') {
        return None;
    }
    let end = rest.iter().position(|byte| byte == quote)?;
    Some((name.trim_ascii(), rest.get(..end)?, rest.get(end + 1..)?))
}

fn after<'a>(bytes: &'a [u8], mark: &[u8]) -> Option<&'a [u8]> {
    let at = bytes
        .windows(mark.len())
        .position(|window| window == mark)?;
    bytes.get(at + mark.len()..)
}

fn extension(path: &str) -> String {
    let name = path.rsplit_once('/').map_or(path, |(_, name)| name);
    let (_, extension) = name.rsplit_once('.').unwrap_or_default();
    match extension.len() <= EXTENSION_BYTES_MAX {
        true => extension.to_ascii_lowercase(),
        false => String::new(),
    }
}

/// Longest extension that any table here holds.
const EXTENSION_BYTES_MAX: usize = 8;

/// Length of a key of AES-128.
const KEY_BYTES: u64 = 16;

/// A live playlist is kept for half a target duration; two of them are one.
const LIVES_PER_PERIOD: u32 = 2;

/// A live playlist is fetched again, while the old one serves, in a quarter of its life.
const REFRESHES_PER_LIFE: u32 = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Negative;

    const LIFETIMES: Lifetimes = Lifetimes {
        segment: Duration::from_secs(1_000_000),
        vod_manifest: Duration::from_secs(300),
        live_manifest: Duration::from_secs(1),
        other: Duration::from_secs(60),
        negative: Negative {
            segment: Duration::from_secs(10),
            manifest: Duration::from_secs(10),
            other: Duration::from_secs(10),
            forbidden: Duration::ZERO,
            failure: Duration::ZERO,
        },
        stale_while_revalidate: Duration::from_secs(30),
        stale_if_error: Duration::from_secs(86_400),
    };

    #[test]
    fn keys_are_told_by_their_name_or_length_on_video_sites() {
        for (path, length, expected) in [
            ("/a/x.key", None, true),
            ("/a/x.key", Some(48), true),
            ("/keys/1", Some(16), true),
            ("/keys/1", Some(17), false),
            ("/keys/1", None, false),
            ("/a/x.m4s", Some(16), false),
            ("/a/x.vtt", Some(16), false),
        ] {
            let kind = Kind::of(path);
            assert_eq!(kind.is_key(Profile::Video, length), expected, "{path}");
            assert!(!kind.is_key(Profile::General, length), "{path}");
        }
    }

    #[test]
    fn the_extension_tells_kind_and_type() {
        let cases = [
            (
                "/a/master.m3u8",
                Kind::HlsManifest,
                "application/vnd.apple.mpegurl",
            ),
            (
                "/a/manifest.MPD",
                Kind::DashManifest,
                "application/dash+xml",
            ),
            ("/a/1.m4s", Kind::Segment, "video/iso.segment"),
            ("/a/1.ts", Kind::Segment, "video/mp2t"),
            ("/a/title.mp4", Kind::File, "video/mp4"),
            ("/a/x.vtt", Kind::Subtitle, "text/vtt; charset=utf-8"),
            ("/a/x.key", Kind::Key, "application/octet-stream"),
            ("/a/x.jpg", Kind::Other, "image/jpeg"),
            ("/a.mp4/x", Kind::Other, "application/octet-stream"),
            ("/mp4", Kind::Other, "application/octet-stream"),
            ("/", Kind::Other, "application/octet-stream"),
            ("/.mp4", Kind::File, "video/mp4"),
            ("", Kind::Other, "application/octet-stream"),
        ];
        for (path, kind, media) in cases {
            assert_eq!(
                (Kind::of(path), content_type(path)),
                (kind, media),
                "{path}"
            );
        }
    }

    #[test]
    fn lifetimes_go_by_kind_and_live_manifests_do_not_linger() {
        let cases = [
            (
                Kind::Segment,
                Maturity::Growing,
                (1_000_000, 30_000, 86_400, 10),
            ),
            (Kind::Other, Maturity::Growing, (60, 30_000, 86_400, 10)),
            (
                Kind::HlsManifest,
                Maturity::Finished,
                (300, 30_000, 86_400, 10),
            ),
            (Kind::DashManifest, Maturity::Growing, (1, 250, 2, 1)),
            (Kind::Key, Maturity::Finished, (0, 0, 0, 10)),
        ];
        for (kind, maturity, expected) in cases {
            let got = kind.fallback(&LIFETIMES, maturity);
            let got = (
                got.lifetime.as_secs(),
                got.stale_while_revalidate.as_millis(),
                got.stale_if_error.as_secs(),
                got.negative.as_secs(),
            );
            assert_eq!(got, expected, "{kind:?}");
        }
    }

    #[test]
    fn refusals_and_failures_of_a_live_manifest_do_not_linger_either() {
        let mut lifetimes = LIFETIMES;
        lifetimes.negative.forbidden = Duration::from_secs(20);
        lifetimes.negative.failure = Duration::from_secs(30);
        let cases = [
            (Kind::Segment, Maturity::Growing, (20, 30)),
            (Kind::HlsManifest, Maturity::Growing, (1, 1)),
            (Kind::HlsManifest, Maturity::Finished, (20, 30)),
            (Kind::Key, Maturity::Growing, (20, 30)),
        ];
        for (kind, maturity, expected) in cases {
            let got = kind.fallback(&lifetimes, maturity);
            let got = (got.forbidden.as_secs(), got.failure.as_secs());
            assert_eq!(got, expected, "{kind:?} {maturity:?}");
        }
    }

    #[test]
    fn the_rules_are_those_of_the_site() {
        let mut site = Site::sample();
        let hides = Kind::Other.rules(&site, Maturity::Growing, None);
        assert!(!hides.sees_clients && hides.targeted == site.caching.targeted);
        site.profile = Profile::General;
        site.caching.heuristic_percent = 7;
        let shows = Kind::Other.rules(&site, Maturity::Growing, None);
        assert!(shows.sees_clients && shows.heuristic_percent == 7);
    }

    #[test]
    fn a_manifest_says_itself_whether_it_grows() {
        let cases = [
            (
                Kind::HlsManifest,
                "#EXTM3U\n#EXTINF:4,\na.ts\n#EXT-X-ENDLIST\n",
                true,
            ),
            (Kind::HlsManifest, "#EXTM3U\r\na.ts\r\n#EXT-X-ENDLIST", true),
            (
                Kind::HlsManifest,
                "\u{feff}#EXTM3U\n#EXT-X-STREAM-INF:B=1\na\n",
                true,
            ),
            (Kind::HlsManifest, "#EXTM3U\n#EXTINF:4,\na.ts\n", false),
            (Kind::HlsManifest, "#EXTM3U\n#a #EXT-X-ENDLIST\n", false),
            (Kind::HlsManifest, "<html>\n#EXT-X-ENDLIST\n", false),
            (Kind::DashManifest, "<MPD/>", true),
            (Kind::DashManifest, "<MPD a='type=\"dynamic\"'>", true),
            (
                Kind::DashManifest,
                "<?xml a='>'?><!-- <MPD type=\"x\"> --><MPD type='static'>",
                true,
            ),
            (
                Kind::DashManifest,
                "<m:MPD\n xmlns:m=\"a\"\n type = \"dynamic\">",
                false,
            ),
            (Kind::DashManifest, "<MPD mediatype=\"dynamic\">", true),
            (Kind::DashManifest, "<MPD><a type=\"dynamic\"/></MPD>", true),
            (Kind::DashManifest, "<html type=\"static\">", false),
            (Kind::DashManifest, "", false),
            (Kind::DashManifest, "<MPD type=dynamic>", false),
            (Kind::DashManifest, "<MPD a=\"1\"", false),
            (Kind::Segment, "#EXTM3U\n#EXT-X-ENDLIST\n", false),
        ];
        for (kind, body, expected) in cases {
            let got = manifest_is_finished(kind, body.as_bytes());
            assert_eq!(got, expected, "{body}");
        }
    }
}
