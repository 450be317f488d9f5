//! What is to be brought when a segment was asked for. Pure.

use std::sync::Arc;

use crate::asset::Kind;
use crate::config::Site;
use crate::limits::PREFETCH_SPAN_BYTES_MAX;
use crate::prefetch::knowledge::{Knowledge, Piece, Place, Step};
use crate::prefetch::target;
use crate::session::cmcd::Next;

/// What a request for a segment tells of the next one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hint {
    /// What was asked for.
    pub at: Place,
    /// What the player says it will ask for.
    pub player: Option<Next>,
    /// What the origin says is next.
    pub origin: Option<String>,
}

/// The segments that will be asked for next, `most` at most, each behind its initialisation where
/// that is another one than before.
///
/// The player's word goes first, then the origin's; from there the playlists go on.
#[must_use]
pub fn next(knowledge: &mut Knowledge, site: &Arc<Site>, hint: &Hint, most: usize) -> Vec<Piece> {
    let mut init = match knowledge.from(&hint.at) {
        [step, ..] => step.init.clone(),
        [] => None,
    };
    let told = told(knowledge, site, hint);
    let skipped = usize::from(told.is_none());
    let from = told.as_ref().map_or(hint.at.clone(), Piece::place);
    let steps = knowledge.from(&from).get(skipped..).unwrap_or_default();
    let stranger = told.filter(|_| steps.is_empty()).map(|piece| Step {
        init: None,
        piece: Some(piece),
    });
    let mut pieces = Vec::new();
    for step in stranger.iter().chain(steps).take(most) {
        if let Some(needed) = step.init.as_ref().filter(|_| step.init != init) {
            pieces.push(Piece::clone(needed));
            init.clone_from(&step.init);
        }
        pieces.extend(step.piece.clone());
    }
    pieces.retain(|piece| piece.place() != hint.at);
    pieces
}

/// What the player or the origin names as the next one, where that may be brought.
fn told(knowledge: &Knowledge, site: &Arc<Site>, hint: &Hint) -> Option<Piece> {
    let player = hint.player.as_ref();
    let player = player.and_then(|next| named(site, &hint.at, &next.uri, next.range.as_deref()));
    let is_near = |piece: &Piece| may_be_brought(knowledge, &hint.at, piece);
    player.filter(is_near).or_else(|| {
        let uri = hint.origin.as_deref()?;
        named(site, &hint.at, uri, None).filter(is_near)
    })
}

fn named(site: &Arc<Site>, at: &Place, uri: &str, range: Option<&str>) -> Option<Piece> {
    let span = match range {
        None => None,
        Some(range) => {
            let (first, last) = range.trim().split_once('-')?;
            Some((first.parse().ok()?, last.parse().ok()?))
        }
    };
    if let Some((first, last)) = span
        && (last < first || last - first >= PREFETCH_SPAN_BYTES_MAX)
    {
        return None;
    }
    // A range alone is one of the same object (CTA-5004, `nrr`).
    let key = match uri {
        "" => span.map(|_| at.key.clone())?,
        uri => target::resolve(site, at.key.path(), uri)?,
    };
    Some(Piece { key, span })
}

/// Nobody's word makes this node fetch from anywhere but where the player is already, or where a
/// playlist leads; nor a whole title.
fn may_be_brought(knowledge: &Knowledge, at: &Place, piece: &Piece) -> bool {
    let place = piece.place();
    if place == *at || knowledge.names(&place) {
        return place != *at;
    }
    let is_beside = piece
        .key
        .path()
        .starts_with(target::directory(at.key.path()));
    is_beside
        && match Kind::of(piece.key.path()) {
            Kind::Segment | Kind::Subtitle => true,
            Kind::File => piece.span.is_some(),
            Kind::HlsManifest | Kind::DashManifest | Kind::Key | Kind::Other => false,
        }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use crate::key::Key;
    use crate::prefetch::knowledge::Steps;

    fn site() -> Arc<Site> {
        let text = "[[site]]\nname = \"v\"\nhosts = [\"*\"]\norigin = \"http://127.0.0.1:1\"\n";
        let config = config::Config::parse(text, std::path::Path::new("/")).unwrap();
        Arc::clone(&config.sites[0])
    }

    /// Two rungs of a title, and one whose segments are ranges of a file.
    fn knowledge() -> Knowledge {
        let mut knowledge = Knowledge::default();
        let rung = |name: &str| {
            let list = (1..=4).map(|n| format!("#EXTINF:4,\n{n}.m4s\n"));
            let map = "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-MAP:URI=\"init.mp4\"\n";
            (
                format!("/t/{name}/l.m3u8"),
                format!("{map}{}#EXT-X-ENDLIST\n", list.collect::<String>()),
            )
        };
        let file = "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\n#EXT-X-BYTERANGE:10@0\na.mp4\n\
            #EXTINF:4,\n#EXT-X-BYTERANGE:10\na.mp4\n";
        let file = ("/t/one/l.m3u8".to_owned(), file.to_owned());
        for (path, text) in [rung("low"), rung("high"), file] {
            let key = Key::new("v", &path, None);
            let steps = Steps::read(&site(), &key, text.as_bytes()).unwrap();
            knowledge.learn(&key, 1, steps);
        }
        knowledge
    }

    fn planned(path: &str, player: Option<(&str, Option<&str>)>, origin: Option<&str>) -> String {
        let hint = Hint {
            at: Place {
                key: Key::new("v", path, None),
                first: 0,
            },
            player: player.map(|(uri, range)| Next {
                uri: uri.to_owned(),
                range: range.map(str::to_owned),
            }),
            origin: origin.map(str::to_owned),
        };
        let pieces = next(&mut knowledge(), &site(), &hint, 2);
        let spell = |piece: &Piece| match piece.span {
            None => piece.key.path().to_owned(),
            Some((first, last)) => format!("{} {first}-{last}", piece.key.path()),
        };
        pieces.iter().map(spell).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn the_playlist_says_what_is_next() {
        for (path, expected) in [
            ("/t/low/1.m4s", "/t/low/2.m4s, /t/low/3.m4s"),
            ("/t/low/3.m4s", "/t/low/4.m4s"),
            ("/t/low/4.m4s", ""),
            ("/t/low/init.mp4", ""),
            ("/t/one/a.mp4", "/t/one/a.mp4 10-19"),
            ("/elsewhere/1.m4s", ""),
        ] {
            assert_eq!(planned(path, None, None), expected, "{path}");
        }
    }

    #[test]
    fn the_player_s_word_goes_before_the_origin_s_and_the_playlist_goes_on_from_there() {
        let at = "/t/low/1.m4s";
        let player = |uri| Some((uri, None));
        for (player, origin, expected) in [
            (player("3.m4s"), Some("2.m4s"), "/t/low/3.m4s, /t/low/4.m4s"),
            (None, Some("4.m4s"), "/t/low/4.m4s"),
            (None, Some("extra.m4s"), "/t/low/extra.m4s"),
            (
                player("../high/2.m4s"),
                None,
                "/t/high/init.mp4, /t/high/2.m4s, /t/high/3.m4s",
            ),
            (player("1.m4s"), None, "/t/low/2.m4s, /t/low/3.m4s"),
            (player("bad.html"), Some("4.m4s"), "/t/low/4.m4s"),
        ] {
            assert_eq!(
                planned(at, player, origin),
                expected,
                "{player:?} {origin:?}"
            );
        }
    }

    #[test]
    fn nobody_s_word_leads_out_of_the_directory_but_to_what_a_playlist_names() {
        let fallback = "/t/low/2.m4s, /t/low/3.m4s";
        for uri in [
            "../../other/1.m4s",
            "../mid/1.m4s",
            "/t/low-cost/1.m4s",
            "//evil.example/t/low/2.m4s",
            "http://evil.example/t/low/2.m4s",
            "..%2Flow/9.m4s",
            "%2e%2e/9.m4s",
            "secret.key",
            "l.m3u8",
            "title.mp4",
            "x",
        ] {
            assert_eq!(
                planned("/t/low/1.m4s", Some((uri, None)), None),
                fallback,
                "{uri}"
            );
            assert_eq!(planned("/t/low/1.m4s", None, Some(uri)), fallback, "{uri}");
        }
        for uri in ["sub/9.m4s", "./9.vtt", "/~sid/t/low/9.ts"] {
            let planned = planned("/t/low/1.m4s", Some((uri, None)), None);
            assert!(
                planned.starts_with("/t/low/") && planned.contains('9'),
                "{planned}"
            );
        }
    }

    #[test]
    fn a_range_is_brought_of_a_file_and_no_more_than_a_segment() {
        let most = PREFETCH_SPAN_BYTES_MAX;
        let (long, longest) = (format!("10-{}", most + 10), format!("10-{}", most + 9));
        for (uri, range, expected) in [
            ("", "10-19", "/x/a.mp4 10-19"),
            ("a.mp4", "10-19", "/x/a.mp4 10-19"),
            ("b.m4s", "0-9", "/x/b.m4s 0-9"),
            ("", &longest, &format!("/x/a.mp4 {longest}")),
            ("", &long, ""),
            ("", "19-10", ""),
            ("", "10-", ""),
            ("", "x", ""),
            ("", "0-9", ""),
        ] {
            let planned = planned("/x/a.mp4", Some((uri, Some(range))), None);
            assert_eq!(planned, expected, "{uri} {range}");
        }
    }
}
