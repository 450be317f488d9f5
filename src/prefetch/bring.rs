//! One errand: a piece is brought through the engine, or a playlist is read.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use tokio::time::{Instant, timeout};

use crate::asset::Kind;
use crate::cache::ask::{Ask, Source, Supply};
use crate::cache::object::{Object, Peek, Target};
use crate::cache::opened::Opened;
use crate::cache::reader::Reader;
use crate::clock;
use crate::config::Site;
use crate::http::range::Wanted;
use crate::http::wishes::Wishes;
use crate::life::duress::Load;
use crate::limits::{
    BLOCK_BYTES, PREFETCH_BAR, PREFETCH_BARRED_MAX, PREFETCH_BUDGET_PERCENT,
    PREFETCH_PLAYLIST_BYTES_MAX, PREFETCH_SPAN_BYTES_MAX, PREFETCH_WAIT_MAX, PREFETCHES_MAX,
    PREFETCHES_PER_SITE_MAX,
};
use crate::metrics::{METRICS, PrefetchResult, Tier};
use crate::prefetch::knowledge::{Piece, Step, Steps};
use crate::prefetch::recent::Unneeded;
use crate::prefetch::{Prefetch, lock, tally, target};

/// What is to be done.
pub(super) enum Errand {
    /// Pieces of one object are to be brought, one after the other, since what is under way is not
    /// asked for again; of a playlist, what a player asks for first as well.
    Bring {
        source: Arc<Source>,
        pieces: Vec<Piece>,
    },
    /// A playlist that was served is to be read.
    Read {
        site: Arc<Site>,
        object: Arc<Object>,
    },
}

/// What is under way, and where nothing shall be.
#[derive(Default)]
pub(super) struct Traffic {
    /// Pieces on their way, and those of each site.
    all: usize,
    by_site: HashMap<String, usize>,
    /// Directories whose answers may not be shared, and until when.
    barred: HashMap<String, Instant>,
}

impl Prefetch {
    pub(super) async fn go(&self, errand: Errand) {
        match errand {
            Errand::Read { site, object } => {
                if let Some(source) = self.sources.get(&site.name) {
                    // What cannot be read tells nothing.
                    let _ = self.read(source, &object).await;
                }
            }
            Errand::Bring { source, pieces } => {
                for piece in pieces {
                    let object = self.attempt(&source, &piece).await;
                    if let Some(object) = object.filter(|_| is_playlist(&piece)) {
                        self.begin_with(&source, &object).await;
                    }
                }
            }
        }
    }

    /// Brings what a player asks for first of a playlist.
    async fn begin_with(&self, source: &Arc<Source>, object: &Arc<Object>) {
        let most = source.site.adapt.prefetch_segments;
        for piece in self.first(source, object, most).await {
            self.attempt(source, &piece).await;
        }
    }

    /// What a player asks for first of a playlist: initialisation and `most` segments.
    async fn first(&self, source: &Arc<Source>, object: &Arc<Object>, most: usize) -> Vec<Piece> {
        let steps = self.read(source, object).await.unwrap_or_default();
        let init = steps.first().and_then(|step| step.init.as_deref().cloned());
        let segments = steps.into_iter().filter_map(|step| step.piece);
        init.into_iter().chain(segments.take(most)).collect()
    }

    /// Learns what a playlist says, and gives the steps that a player begins with.
    async fn read(&self, source: &Arc<Source>, object: &Arc<Object>) -> Option<Vec<Step>> {
        let whole = timeout(PREFETCH_WAIT_MAX, self.text(source, object));
        let text = whole.await.ok()??;
        let head = object.head();
        // What names no segments is known as well, so that it is not read at each request.
        let steps = Steps::read(&source.site, &head.key, &text).unwrap_or_default();
        let start = steps.start().to_vec();
        lock(&self.knowledge).learn(&head.key, head.generation.0, steps);
        Some(start)
    }

    async fn text(&self, source: &Arc<Source>, object: &Arc<Object>) -> Option<Vec<u8>> {
        let mut reader = self.reader(source, object);
        let mut text = Vec::new();
        while let Some(bytes) = reader.next().await.ok()? {
            if text.len() + bytes.len() > PREFETCH_PLAYLIST_BYTES_MAX {
                return None;
            }
            text.extend_from_slice(&bytes);
        }
        Some(text)
    }

    /// Brings a piece, where it is wanted and there is room; gives its object where it is there.
    async fn attempt(&self, source: &Arc<Source>, piece: &Piece) -> Option<Arc<Object>> {
        if self.duress.load() == Load::Duress {
            return None;
        }
        let begun = match self.begin(piece) {
            Ok(begun) => begun,
            Err(result) => {
                METRICS.prefetches.of(result).inc();
                return self.engine.memory().look(&piece.key);
            }
        };
        let brought = timeout(PREFETCH_WAIT_MAX, self.bring(source, piece)).await;
        drop(begun);
        let place = piece.place();
        let (result, object) = match brought {
            Ok(Brought::Whole(object, bytes)) => {
                let verdict = lock(&self.recent).come(&place, bytes);
                tally(verdict);
                (PrefetchResult::Brought, Some(object))
            }
            Ok(Brought::Held(object)) => (PrefetchResult::Held, Some(object)),
            Ok(Brought::Private) => {
                lock(&self.traffic).bar(piece, Instant::now());
                (PrefetchResult::Private, None)
            }
            Ok(Brought::Nothing) | Err(_) => (PrefetchResult::Absent, None),
        };
        if result != PrefetchResult::Brought {
            lock(&self.recent).give_up(&place);
        }
        METRICS.prefetches.of(result).inc();
        object
    }

    /// Takes a place among the pieces that are on their way.
    fn begin(&self, piece: &Piece) -> Result<Begun, PrefetchResult> {
        let now = Instant::now();
        if lock(&self.traffic).is_barred(piece, now) {
            return Err(PrefetchResult::Private);
        }
        if self.engine.marked(&piece.key, clock::now()).is_some() {
            return Err(PrefetchResult::Private);
        }
        if self.is_there(piece) {
            return Err(PrefetchResult::Held);
        }
        let limit = self.engine.memory().budget().limit() as u64;
        let begun = Begun::take(&self.traffic, piece).ok_or(PrefetchResult::Full)?;
        let mut recent = lock(&self.recent);
        if recent.unused_bytes() > limit / 100 * PREFETCH_BUDGET_PERCENT {
            return Err(PrefetchResult::Full);
        }
        match recent.begin(&piece.place(), now) {
            Ok(()) => Ok(begun),
            Err(Unneeded::Known) => Err(PrefetchResult::Held),
            Err(Unneeded::Full) => Err(PrefetchResult::Full),
        }
    }

    /// Whether memory has the piece, of whatever age, or somebody brings it.
    fn is_there(&self, piece: &Piece) -> bool {
        let is_under_way = self.engine.flights().is_under_way(&piece.key);
        let object = self.engine.memory().look(&piece.key);
        // What flies may be another part of the object.
        let Some(object) = object.filter(|_| !is_under_way || piece.span.is_some()) else {
            return is_under_way;
        };
        let (first, last) = piece.span.unwrap_or((0, 0));
        let has = |offset| !matches!(object.peek(offset), Peek::Absent);
        has(first) && has(last)
    }

    async fn bring(&self, source: &Arc<Source>, piece: &Piece) -> Brought {
        let ask = Ask {
            source: Arc::clone(source),
            key: piece.key.clone(),
            target: Target {
                path: piece.key.path().to_owned(),
                query: piece.key.query().map(str::to_owned),
            },
            kind: Kind::of(piece.key.path()),
            want: piece.span.map(|(first, last)| Wanted::Span(first, last)),
            head_only: false,
            fields: Arc::clone(&self.nothing),
            wishes: Wishes::default(),
            interim: None,
            cdn_loop: None,
        };
        match self.engine.open(ask).await {
            Opened::Object { object, how, .. } => {
                if !object.head().status.is_success() {
                    return Brought::Nothing;
                }
                if how.tier == Tier::Memory || how.collapsed {
                    return Brought::Held(object);
                }
                match self.follow(source, &object, piece).await {
                    Some(bytes) => Brought::Whole(object, bytes),
                    None => Brought::Nothing,
                }
            }
            // The stream is dropped unread: it would be one client's.
            Opened::Stream { .. } => Brought::Private,
            Opened::Failed(_) => Brought::Nothing,
        }
    }

    /// Follows a piece until all of it is there, and counts its bytes.
    async fn follow(
        &self,
        source: &Arc<Source>,
        object: &Arc<Object>,
        piece: &Piece,
    ) -> Option<u64> {
        let mut reader = self.reader(source, object);
        match piece.span {
            Some((first, last)) => reader.seek(first, Some(last.saturating_add(1))),
            // Of a file only what an initialisation section takes: the rest is a whole title.
            None if Kind::of(piece.key.path()) == Kind::File => reader.seek(0, Some(BLOCK_BYTES)),
            None => {}
        }
        let mut count = 0;
        while let Some(bytes) = reader.next().await.ok()? {
            count += bytes.len() as u64;
        }
        Some(count)
    }

    fn reader(&self, source: &Arc<Source>, object: &Arc<Object>) -> Reader {
        let supply = Supply {
            source: Arc::clone(source),
            fields: Arc::clone(&self.nothing),
        };
        Reader::new(Arc::clone(&self.engine), supply, Arc::clone(object))
    }
}

/// What became of a piece.
enum Brought {
    /// It has come, in so many bytes.
    Whole(Arc<Object>, u64),
    /// It was here, or somebody else brought it.
    Held(Arc<Object>),
    /// Its answers may not be shared.
    Private,
    Nothing,
}

impl Traffic {
    fn bar(&mut self, piece: &Piece, now: Instant) {
        if self.barred.len() >= PREFETCH_BARRED_MAX {
            self.barred.clear();
        }
        self.barred.insert(directory(piece), now + PREFETCH_BAR);
    }

    fn is_barred(&mut self, piece: &Piece, now: Instant) -> bool {
        let directory = directory(piece);
        let until = self.barred.get(&directory).copied();
        if until.is_some_and(|until| until <= now) {
            self.barred.remove(&directory);
        }
        until.is_some_and(|until| until > now)
    }
}

/// A place among the pieces on their way; dropping it leaves it to another one.
struct Begun {
    traffic: Arc<Mutex<Traffic>>,
    site: String,
}

impl Begun {
    fn take(traffic: &Arc<Mutex<Traffic>>, piece: &Piece) -> Option<Self> {
        let is_long = |(first, last): (u64, u64)| last - first >= PREFETCH_SPAN_BYTES_MAX;
        if piece.span.is_some_and(is_long) {
            return None;
        }
        let site = piece.key.site().to_owned();
        let mut counts = lock(traffic);
        let of_site = counts.by_site.get(&site).copied().unwrap_or(0);
        if counts.all >= PREFETCHES_MAX || of_site >= PREFETCHES_PER_SITE_MAX {
            return None;
        }
        counts.all += 1;
        counts.by_site.insert(site.clone(), of_site + 1);
        drop(counts);
        let traffic = Arc::clone(traffic);
        Some(Self { traffic, site })
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        let mut counts = lock(&self.traffic);
        counts.all = counts.all.saturating_sub(1);
        if let Some(count) = counts.by_site.get_mut(&self.site) {
            *count = count.saturating_sub(1);
        }
    }
}

fn directory(piece: &Piece) -> String {
    format!(
        "{} {}",
        piece.key.site(),
        target::directory(piece.key.path())
    )
}

fn is_playlist(piece: &Piece) -> bool {
    Kind::of(piece.key.path()) == Kind::HlsManifest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::Key;

    fn piece(site: &str, path: &str) -> Piece {
        Piece {
            key: Key::new(site, path, None),
            span: None,
        }
    }

    #[test]
    fn a_site_leaves_places_to_the_others_and_a_dropped_one_is_free_again() {
        let traffic = Arc::<Mutex<Traffic>>::default();
        let mut begun = Vec::new();
        for _ in 0..PREFETCHES_PER_SITE_MAX {
            begun.push(Begun::take(&traffic, &piece("a", "/1.ts")).unwrap());
        }
        assert!(Begun::take(&traffic, &piece("a", "/2.ts")).is_none());
        assert!(Begun::take(&traffic, &piece("b", "/2.ts")).is_some());
        begun.pop();
        assert!(Begun::take(&traffic, &piece("a", "/2.ts")).is_some());
        for _ in PREFETCHES_PER_SITE_MAX - 1..PREFETCHES_MAX {
            let site = format!("site-{}", begun.len());
            begun.push(Begun::take(&traffic, &piece(&site, "/1.ts")).unwrap());
        }
        assert!(Begun::take(&traffic, &piece("c", "/2.ts")).is_none());
    }

    #[test]
    fn a_directory_is_barred_for_a_while_and_its_neighbours_are_not() {
        let (mut traffic, now) = (Traffic::default(), Instant::now());
        traffic.bar(&piece("a", "/x/1.ts"), now);
        assert!(traffic.is_barred(&piece("a", "/x/2.ts"), now));
        for other in [
            piece("a", "/x/y/2.ts"),
            piece("b", "/x/2.ts"),
            piece("a", "/2.ts"),
        ] {
            assert!(!traffic.is_barred(&other, now));
        }
        assert!(!traffic.is_barred(&piece("a", "/x/2.ts"), now + PREFETCH_BAR));
        assert!(traffic.barred.is_empty());
    }

    #[test]
    fn a_part_longer_than_any_segment_is_not_brought() {
        let traffic = Arc::<Mutex<Traffic>>::default();
        let mut long = piece("a", "/a.mp4");
        long.span = Some((5, 4 + PREFETCH_SPAN_BYTES_MAX));
        assert!(Begun::take(&traffic, &long).is_some());
        long.span = Some((5, 5 + PREFETCH_SPAN_BYTES_MAX));
        assert!(Begun::take(&traffic, &long).is_none());
    }
}
