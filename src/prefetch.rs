//! Brings what players will ask for next into the cache, before they do.
//!
//! What comes next is known, by falling trust, from the player itself (CMCD `nor`), from the origin
//! (`Link` with `rel=next`), and from the media playlists that went through this node
//! ([`knowledge`]). With a manifest the first segments of the rung to start with are brought, and
//! of its sound. What was brought is counted as useful or wasted ([`recent`]).
//!
//! Invariants: requests never wait for this; they leave a note, or none where too many are left.
//! An object is asked of the engine as by a request, so that whoever asks meanwhile joins. Only
//! segments and files of media are asked for ([`target`]), never keys, and only of sites whose
//! origin sees nothing of clients, since else it could not be known whose answer it would be. A
//! player's word counts within the directory of what it asked for, or for what a playlist names.
//! Where answers turn out not to be shared, their directory is left alone. Under duress, and where
//! much of what was brought is still unused, nothing is.

pub mod knowledge;
pub mod plan;
pub mod recent;
pub mod target;

mod bring;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Duration, Instant, MissedTickBehavior, interval};

use crate::asset::Kind;
use crate::cache::ask::Source;
use crate::cache::engine::Engine;
use crate::cache::object::Object;
use crate::cache::opened::How;
use crate::config::adapt::Mode;
use crate::config::{Profile, Site};
use crate::http::forward::Fields;
use crate::http::link;
use crate::key::Key;
use crate::life::duress::{Duress, Load};
use crate::limits::{PREFETCH_QUEUE_MAX, PREFETCHES_MAX};
use crate::manifest::ladder::Part;
use crate::metrics::{METRICS, Outcome, PrefetchUse};
use crate::route::Route;
use crate::session::cmcd::Report;
use bring::{Errand, Traffic};
use knowledge::{Knowledge, Piece, Place};
use plan::Hint;
use recent::{Found, Recent, Verdict};

/// How often it is looked for what was brought in vain.
const SWEEP_EVERY: Duration = Duration::from_secs(5);

/// Brings ahead; shared by requests, which leave notes, and the task that reads them.
pub struct Prefetch {
    engine: Arc<Engine>,
    sources: HashMap<String, Arc<Source>>,
    duress: Arc<Duress>,
    nothing: Arc<Fields>,
    notes: mpsc::Sender<Note>,
    inbox: Mutex<Option<mpsc::Receiver<Note>>>,
    knowledge: Mutex<Knowledge>,
    recent: Mutex<Recent>,
    traffic: Arc<Mutex<Traffic>>,
}

/// What a request leaves.
enum Note {
    /// A segment was asked for.
    Segment { site: Arc<Site>, hint: Hint },
    /// A playlist was served.
    Playlist {
        site: Arc<Site>,
        object: Arc<Object>,
    },
    /// A manifest was made, and these are asked for first.
    Manifest {
        site: Arc<Site>,
        key: Key,
        parts: Vec<Part>,
    },
}

/// An object that was served.
pub struct Served<'a> {
    /// By which request.
    pub route: &'a Route,
    /// The object.
    pub object: &'a Arc<Object>,
    /// How it came about.
    pub how: How,
    /// First byte asked for.
    pub first: u64,
    /// What the player says of itself.
    pub report: Option<&'a Report>,
}

impl Prefetch {
    /// Sets it up; brings nothing until [`Prefetch::run`] runs.
    #[must_use]
    pub fn new(engine: Arc<Engine>, sources: &[Arc<Source>], duress: Arc<Duress>) -> Arc<Self> {
        let (notes, inbox) = mpsc::channel(PREFETCH_QUEUE_MAX);
        let named = |source: &Arc<Source>| (source.site.name.clone(), Arc::clone(source));
        Arc::new(Self {
            engine,
            sources: sources.iter().map(named).collect(),
            duress,
            nothing: Fields::none(),
            notes,
            inbox: Mutex::new(Some(inbox)),
            knowledge: Mutex::default(),
            recent: Mutex::default(),
            traffic: Arc::default(),
        })
    }

    /// Takes in that an object answers a GET. Does not wait.
    pub fn served(&self, served: &Served<'_>) {
        let route = served.route;
        if !is_served_ahead(&route.site) {
            return;
        }
        self.count(served);
        if self.duress.load() == Load::Duress {
            return;
        }
        let site = Arc::clone(&route.site);
        match route.kind {
            Kind::HlsManifest => {
                let version = served.object.head().generation.0;
                if !lock(&self.knowledge).has(&route.key, version) {
                    let object = Arc::clone(served.object);
                    self.leave(Note::Playlist { site, object });
                }
            }
            Kind::Segment | Kind::Subtitle | Kind::File => {
                // A player that pauses asks for no more.
                if served.report.is_some_and(|report| report.rate == Some(0)) {
                    return;
                }
                let hint = served.hint();
                self.leave(Note::Segment { site, hint });
            }
            Kind::DashManifest | Kind::Key | Kind::Other => {}
        }
    }

    /// Takes in that a manifest was made whose player will ask for `parts` first: segments, or a
    /// media playlist whose first segments are wanted then. Does not wait.
    pub fn manifest(&self, route: &Route, parts: Vec<Part>) {
        let site = &route.site;
        if is_served_ahead(site) && self.duress.load() == Load::Well && !parts.is_empty() {
            self.leave(Note::Manifest {
                site: Arc::clone(site),
                key: route.key.clone(),
                parts,
            });
        }
    }

    /// Reads the notes and brings what they lead to, until the future is dropped. Run it once.
    pub async fn run(self: &Arc<Self>) {
        let inbox = lock(&self.inbox).take();
        let Some(mut inbox) = inbox else {
            return;
        };
        let mut under_way = JoinSet::new();
        let mut sweep = interval(SWEEP_EVERY);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                note = inbox.recv(), if under_way.len() < PREFETCHES_MAX * 2 => {
                    let Some(note) = note else {
                        return;
                    };
                    for errand in self.errands(note) {
                        let prefetch = Arc::clone(self);
                        under_way.spawn(async move { prefetch.go(errand).await });
                    }
                }
                Some(_) = under_way.join_next() => {}
                _ = sweep.tick() => {
                    let verdict = lock(&self.recent).expire(Instant::now());
                    tally(Some(verdict));
                }
            }
        }
    }

    /// What a note leads to.
    fn errands(&self, note: Note) -> Vec<Errand> {
        match note {
            Note::Playlist { site, object } => vec![Errand::Read { site, object }],
            Note::Segment { site, hint } => {
                let most = site.adapt.prefetch_segments;
                let pieces = plan::next(&mut lock(&self.knowledge), &site, &hint, most);
                self.errands_of(&site, pieces)
            }
            Note::Manifest { site, key, parts } => {
                let piece = |Part { uri, span }: Part| {
                    let key = target::resolve(&site, key.path(), &uri)?;
                    Some(Piece { key, span })
                };
                let pieces = parts.into_iter().filter_map(piece).collect();
                self.errands_of(&site, pieces)
            }
        }
    }

    fn errands_of(&self, site: &Arc<Site>, pieces: Vec<Piece>) -> Vec<Errand> {
        let Some(source) = self.sources.get(&site.name) else {
            return Vec::new();
        };
        let of_one = pieces.chunk_by(|one, next| one.key == next.key);
        let bring = |pieces: &[Piece]| Errand::Bring {
            source: Arc::clone(source),
            pieces: pieces.to_vec(),
        };
        of_one.map(bring).collect()
    }

    /// Counts what was brought ahead when it is asked for first.
    fn count(&self, served: &Served<'_>) {
        let found = match served.how.outcome {
            Outcome::Miss | Outcome::Pass if !served.how.collapsed => Found::Absent,
            _ => Found::There,
        };
        let verdict = lock(&self.recent).asked(&served.place(), found);
        tally(verdict);
    }

    fn leave(&self, note: Note) {
        if self.notes.try_send(note).is_err() {
            METRICS.prefetch_dropped.inc();
        }
    }
}

impl Served<'_> {
    fn place(&self) -> Place {
        Place {
            key: self.route.key.clone(),
            first: self.first,
        }
    }

    fn hint(&self) -> Hint {
        let head = self.object.head();
        let link = link::next(&head.headers).filter(|_| head.status.is_success());
        let next = self.report.and_then(|report| report.next.first());
        Hint {
            at: self.place(),
            player: next.cloned(),
            origin: link.map(str::to_owned),
        }
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether anything is brought ahead for a site at all.
fn is_served_ahead(site: &Site) -> bool {
    let adapt = &site.adapt;
    site.profile == Profile::Video && adapt.mode != Mode::Off && adapt.prefetch_segments > 0
}

fn tally(verdict: Option<Verdict>) {
    match verdict {
        Some(Verdict::Useful(bytes)) => {
            METRICS
                .prefetched_bytes
                .of(PrefetchUse::Useful)
                .inc_by(bytes);
        }
        Some(Verdict::Wasted(bytes)) => {
            METRICS
                .prefetched_bytes
                .of(PrefetchUse::Wasted)
                .inc_by(bytes);
        }
        None => {}
    }
}
