//! Every order of a few events around one object: clients that ask, an origin that answers bit by
//! bit, purges, new versions, evictions, and a Redis that reads and writes when it is let. Each
//! order runs on an engine of its own, which comes to rest after every event.
//!
//! Two nodes here are two engines with a purge log each: the entry reaches the second when the
//! order says so, at the same position. Redis is real; a turnstile before it holds commands back.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::tcp::OwnedReadHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinSet, yield_now};
use tokio::time::timeout;

use super::witness::{ASKED, Edition, Headed, Moments, Naming, Print, Witness, write};
use super::*;
use crate::asset::Kind;
use crate::cache::ask::Source;
use crate::cache::object::{Stretch, Target};
use crate::cache::shared::tests::Node as Tier2;
use crate::cache::shared::tests::run;
use crate::config::{self, Topology};
use crate::http::forward::Fields;
use crate::http::wishes::Wishes;
use crate::limits::BLOCK_BYTES;
use crate::origin::{Body, EndpointHealth, Error, Fetch, Origin, Reply};
use crate::purge::log::heartbeat::NodeInfo;
use crate::purge::order::{Order, Scope};
use crate::redis::scratch::{self, Server};

const MEMORY: usize = 16 << 20;
/// Rounds after which tasks that wait for nothing outside have all come to rest.
const ROUNDS: usize = 40;
/// What opens a gate for good.
const OPEN: usize = Semaphore::MAX_PERMITS / 4;

/// One event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// A client asks this node.
    Ask(usize),
    /// The origin's oldest request without a head gets one, and half of the body.
    Head,
    /// The oldest body that came to half comes to its end.
    Rest,
    /// This node learns of the purge.
    Purge(usize),
    /// The same, of a soft one.
    Soften,
    /// The origin has a new version.
    Publish,
    /// This node forgets the object for want of room.
    Evict(usize),
    /// The same of the object's bytes, but not of its head.
    Drop(usize),
    /// Redis takes what is written from now on.
    Write,
    /// Redis answers reads of heads from now on.
    Heads,
    /// Redis answers reads of chunks from now on.
    Chunks,
}

/// What the origin has, and how it gives it.
#[derive(Debug, Clone, Copy)]
struct Manner {
    extension: &'static str,
    control: &'static str,
    naming: Naming,
    length: u64,
    /// Where clients begin to read.
    first: u64,
    /// How many requests fail before one is answered.
    failures: usize,
    /// Whether the object is in the cache before the first event.
    is_held: bool,
}

const WHOLE: Manner = Manner {
    extension: "m4s",
    control: "max-age=60",
    naming: Naming::Etag,
    length: 4096,
    first: 0,
    failures: 0,
    is_held: false,
};
const UNNAMED: Manner = Manner {
    naming: Naming::Nothing,
    ..WHOLE
};
/// Clients want the second block only.
const BLOCKS: Manner = Manner {
    extension: "mp4",
    length: BLOCK_BYTES + 4096,
    first: BLOCK_BYTES,
    ..WHOLE
};
const PASSED: Manner = Manner {
    control: "no-store",
    ..WHOLE
};
const FAILING: Manner = Manner {
    failures: 1,
    ..WHOLE
};
const STALE: Manner = Manner {
    control: "max-age=0, stale-while-revalidate=60",
    is_held: true,
    ..WHOLE
};
const EXPIRED: Manner = Manner {
    control: "max-age=0, stale-while-revalidate=0, stale-if-error=60",
    ..STALE
};
const OUTAGE: Manner = Manner {
    failures: 1,
    ..EXPIRED
};

/// All orders of the events of several chains, each of which keeps its own order.
fn orders(chains: &[&[Step]]) -> Vec<Vec<Step>> {
    if chains.iter().all(|chain| chain.is_empty()) {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for (index, chain) in chains.iter().enumerate() {
        let Some((first, rest)) = chain.split_first() else {
            continue;
        };
        let mut left = chains.to_vec();
        left[index] = rest;
        let tails = orders(&left);
        all.extend(
            tails
                .into_iter()
                .map(|tail| [&[*first], tail.as_slice()].concat()),
        );
    }
    all
}

/// The origin, asked by several nodes.
struct Desk {
    manner: Manner,
    moments: Moments,
    version: AtomicUsize,
    failures: AtomicUsize,
    /// What has happened that lets a request be made beside one under way.
    partings: AtomicUsize,
    /// Whether flights ask the origin as soon as they begin, so that what lets one ask beside
    /// another has happened between the two.
    is_prompt: bool,
    under_way: Mutex<Vec<UnderWay>>,
    complaints: Mutex<Vec<String>>,
    heads: Semaphore,
    rests: Semaphore,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct UnderWay {
    asked: u32,
    node: usize,
    first: u64,
    partings: usize,
}

/// The desk as one node knows it.
struct Window(usize, Arc<Desk>);

/// Ends a request when it is dropped.
struct Served(u32, Arc<Desk>);

impl Drop for Served {
    fn drop(&mut self) {
        self.1
            .under_way
            .lock()
            .unwrap()
            .retain(|it| it.asked != self.0);
    }
}

struct Halves {
    served: Served,
    pieces: VecDeque<Bytes>,
    /// Pieces that come without being let.
    free: usize,
}

#[async_trait::async_trait]
impl Body for Halves {
    async fn piece(&mut self) -> Result<Option<Bytes>, Error> {
        if self.pieces.is_empty() {
            return Ok(None);
        }
        match self.free.checked_sub(1) {
            Some(free) => self.free = free,
            None => self.served.1.rests.acquire().await.unwrap().forget(),
        }
        Ok(self.pieces.pop_front())
    }
}

#[async_trait::async_trait]
impl Origin for Window {
    async fn fetch(&self, fetch: &Fetch) -> Result<Reply, Error> {
        let Self(node, desk) = self;
        let served = desk.receive(*node, fetch);
        let edition = desk.edition();
        desk.heads.acquire().await.unwrap().forget();
        let fails = |left: usize| left.checked_sub(1);
        if desk
            .failures
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, fails)
            .is_ok()
        {
            return Err(Error::Down);
        }
        let Manner {
            naming,
            control,
            length,
            ..
        } = desk.manner;
        let asked = served.0;
        let print = Print {
            edition,
            asked,
            length,
            naming,
            control,
        };
        let Headed {
            status,
            headers,
            span,
            body,
        } = print.answer(fetch)?;
        let Range { start, end } = body;
        let middle = start + (end - start) / 32 * 16;
        let pieces = [start..middle, middle..end].map(|part| write(edition, asked, part));
        let pieces = pieces
            .into_iter()
            .filter(|piece| !piece.is_empty())
            .collect();
        let body = Box::new(Halves {
            served,
            pieces,
            free: 1,
        });
        Ok(Reply {
            status,
            headers,
            span,
            body,
        })
    }

    fn health(&self) -> Vec<EndpointHealth> {
        Vec::new()
    }
}

impl Desk {
    fn edition(&self) -> Edition {
        Edition {
            object: 0,
            variant: 0,
            version: u16::try_from(self.version.load(Ordering::SeqCst)).unwrap(),
        }
    }

    /// Notes a request, and complains of one too many.
    fn receive(self: &Arc<Self>, node: usize, fetch: &Fetch) -> Served {
        let first = match fetch.range {
            Some(Wanted::Span(first, _)) => first,
            Some(Wanted::Suffix(_)) | None => 0,
        };
        let new = UnderWay {
            asked: self.moments.next(),
            node,
            first,
            partings: self.partings.load(Ordering::SeqCst),
        };
        let mut under_way = self.under_way.lock().unwrap();
        let is_alike = |it: &&UnderWay| (it.node, it.first) == (new.node, new.first);
        let alike: Vec<_> = under_way.iter().filter(is_alike).collect();
        let is_one_too_many = match self.is_prompt {
            true => alike.iter().any(|it| it.partings == new.partings),
            false => alike.len() > new.partings,
        };
        if is_one_too_many && self.manner.control != PASSED.control {
            let complaint = format!("{new:?} beside {alike:?}");
            self.complaints.lock().unwrap().push(complaint);
        }
        let served = Served(new.asked, Arc::clone(self));
        under_way.push(new);
        served
    }

    fn open(&self) {
        self.heads.add_permits(OPEN);
        self.rests.add_permits(OPEN);
    }

    fn close(&self) {
        self.heads.forget_permits(2 * OPEN);
        self.rests.forget_permits(2 * OPEN);
    }
}

/// Holds commands to Redis back, by kind, and lets each reply through before the next command.
struct Turnstile {
    port: u16,
    gates: Arc<Gates>,
    task: tokio::task::JoinHandle<()>,
}

#[derive(Default)]
struct Gates {
    writes: watch::Sender<bool>,
    heads: watch::Sender<bool>,
    chunks: watch::Sender<bool>,
    /// Commands at Redis whose replies are not back.
    waiting: AtomicUsize,
    /// Commands that came, and replies.
    moved: AtomicU64,
}

impl Gates {
    fn all(&self, is_open: bool) {
        for gate in [&self.writes, &self.heads, &self.chunks] {
            gate.send_replace(is_open);
        }
    }

    /// Waits until a command may pass.
    async fn pass(&self, command: &[u8]) {
        let text = String::from_utf8_lossy(command);
        let gate = match text.split("\r\n").nth(2).unwrap_or_default() {
            "GET" if text.ends_with(":m\r\n") => &self.heads,
            "GET" => &self.chunks,
            "SET" | "PEXPIRE" | "UNLINK" => &self.writes,
            _ => return,
        };
        drop(gate.subscribe().wait_for(|is_open| *is_open).await);
    }
}

impl Drop for Turnstile {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Turnstile {
    async fn before(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let gates = Arc::new(Gates::default());
        gates.all(true);
        let of_task = Arc::clone(&gates);
        let task = tokio::spawn(async move {
            let mut pipes = JoinSet::new();
            while let Ok((near, _)) = listener.accept().await {
                let far = TcpStream::connect(("127.0.0.1", server)).await.unwrap();
                pipes.spawn(turn(near, far, Arc::clone(&of_task)));
            }
        });
        Self { port, gates, task }
    }
}

async fn turn(near: TcpStream, far: TcpStream, gates: Arc<Gates>) {
    near.set_nodelay(true).unwrap();
    far.set_nodelay(true).unwrap();
    let ((near, mut answers), (far, mut commands)) = (near.into_split(), far.into_split());
    let (mut near, mut far) = (BufReader::new(near), BufReader::new(far));
    while let Ok(command) = value(&mut near).await {
        gates.moved.fetch_add(1, Ordering::SeqCst);
        gates.pass(&command).await;
        gates.waiting.fetch_add(1, Ordering::SeqCst);
        commands.write_all(&command).await.unwrap();
        let reply = value(&mut far).await;
        gates.waiting.fetch_sub(1, Ordering::SeqCst);
        gates.moved.fetch_add(1, Ordering::SeqCst);
        let Ok(reply) = reply else { return };
        if answers.write_all(&reply).await.is_err() {
            return;
        }
    }
}

/// Reads one value of Redis' protocol, a command or a reply.
async fn value(from: &mut BufReader<OwnedReadHalf>) -> std::io::Result<Vec<u8>> {
    let (mut all, mut left) = (Vec::new(), 1);
    while left > 0 {
        left -= 1;
        let start = all.len();
        if from.read_until(b'\n', &mut all).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let line = String::from_utf8_lossy(&all[start..]).into_owned();
        let (kind, count) = line.split_at(1);
        let count: i64 = count.trim_end().parse().unwrap_or(-1);
        match (kind, u64::try_from(count)) {
            ("$", Ok(bytes)) => {
                let wanted = bytes + 2;
                let got = (&mut *from).take(wanted).read_to_end(&mut all).await?;
                assert_eq!(got as u64, wanted);
            }
            ("*", Ok(members)) => left += members,
            _ => {}
        }
    }
    Ok(all)
}

/// A node for all orders of a scene: what takes time to make.
struct Ground {
    turnstile: Turnstile,
    tier: Tier2,
}

impl Ground {
    async fn new(server: &Server) -> Self {
        let turnstile = Turnstile::before(server.port()).await;
        let url = format!("redis://127.0.0.1:{}/0", turnstile.port);
        // What is held back here is not late.
        let long = Duration::from_secs(60);
        let config = config::Redis {
            connect_timeout: long,
            read_timeout: long,
            write_timeout: long,
            ..scratch::config(Topology::Single(url))
        };
        let tier = run(&config).await;
        Self { turnstile, tier }
    }
}

struct Actor {
    engine: Arc<Engine>,
    source: Arc<Source>,
    /// Moment at which it had learnt of the hard purge.
    purged: Mutex<Option<u32>>,
}

/// One answer, read to its end.
#[derive(Debug)]
struct Answer {
    node: usize,
    begun: u32,
    head: Option<u32>,
    said: Option<(Edition, u32)>,
    ended: Result<(), String>,
}

/// One order on engines of its own.
struct Stage {
    desk: Arc<Desk>,
    key: Key,
    actors: Vec<Actor>,
    gates: Vec<Arc<Gates>>,
    /// Moment before the hard purge was issued.
    issued: Mutex<Option<u32>>,
    answers: Mutex<Vec<Answer>>,
}

impl Stage {
    fn new(manner: Manner, number: usize, grounds: &[Ground], is_prompt: bool) -> Arc<Self> {
        let text = "[[site]]\nhosts = [\"*\"]\norigin = \"http://127.0.0.1:1\"\n";
        let config = config::Config::parse(text, std::path::Path::new("/")).unwrap();
        let desk = Arc::new(Desk {
            manner,
            moments: Moments::default(),
            version: AtomicUsize::new(1),
            failures: AtomicUsize::new(0),
            partings: AtomicUsize::new(0),
            is_prompt,
            under_way: Mutex::default(),
            complaints: Mutex::default(),
            heads: Semaphore::new(0),
            rests: Semaphore::new(0),
        });
        let actor = |node: usize| {
            let info = NodeInfo {
                node: node.to_string(),
                version: "0".to_owned(),
                addresses: Vec::new(),
            };
            let purges = Purges::new(None, &config.purge, info);
            let shared = grounds
                .get(node)
                .map(|ground| Arc::clone(&ground.tier.shared));
            Actor {
                engine: Engine::new(MEMORY, shared, purges),
                source: Arc::new(Source {
                    site: Arc::clone(&config.sites[0]),
                    origin: Arc::new(Window(node, Arc::clone(&desk))),
                }),
                purged: Mutex::default(),
            }
        };
        let path = format!("/{number}.{}", manner.extension);
        let gates = grounds
            .iter()
            .map(|ground| Arc::clone(&ground.turnstile.gates));
        Arc::new(Self {
            key: Key::new("default", &path, None),
            actors: (0..grounds.len().max(1)).map(actor).collect(),
            gates: gates.collect(),
            issued: Mutex::default(),
            answers: Mutex::default(),
            desk,
        })
    }

    fn ask(&self, node: usize) -> Ask {
        let path = self.key.path().to_owned();
        let first = self.desk.manner.first;
        Ask {
            source: Arc::clone(&self.actors[node].source),
            key: self.key.clone(),
            kind: Kind::of(&path),
            target: Target { path, query: None },
            want: (first > 0).then_some(Wanted::Span(first, u64::MAX)),
            head_only: false,
            fields: Fields::none(),
            wishes: Wishes::default(),
            interim: None,
            cdn_loop: None,
        }
    }

    /// Asks a node and reads all of its answer.
    async fn get(self: Arc<Self>, node: usize) {
        let ask = self.ask(node);
        let engine = &self.actors[node].engine;
        let opened = engine.open(ask.clone()).await;
        let begun = self.desk.moments.next();
        let first = self.desk.manner.first;
        let asked = |headers: &HeaderMap| Some(headers.get(ASKED)?.to_str().ok()?.parse().unwrap());
        let mut witness = Witness::from(first);
        let (head, ended) = match opened {
            Opened::Object { object, .. } => {
                let head = asked(&object.head().headers);
                let mut reader = Reader::new(Arc::clone(engine), ask.supply(), object);
                reader.seek(first, None);
                let ended = loop {
                    match reader.next().await {
                        Ok(Some(piece)) => witness.hear(&piece).unwrap(),
                        Ok(None) => break Ok(()),
                        Err(error) => break Err(error.to_string()),
                    }
                };
                (head, ended)
            }
            Opened::Stream {
                headers, mut body, ..
            } => {
                while let Some(piece) = body.piece().await.unwrap() {
                    witness.hear(&piece).unwrap();
                }
                (asked(&headers), Ok(()))
            }
            Opened::Failed(failure) => (None, Err(failure.to_string())),
        };
        if ended.is_ok() {
            assert_eq!(
                witness.end(),
                self.desk.manner.length,
                "a clean end too soon"
            );
        }
        let said = witness.said();
        self.answers.lock().unwrap().push(Answer {
            node,
            begun,
            head,
            said,
            ended,
        });
    }

    async fn purge(&self, node: usize, order: Order) {
        self.actors[node]
            .engine
            .purges()
            .purge(&[order])
            .await
            .unwrap();
    }

    async fn take(self: &Arc<Self>, step: Step, clients: &mut JoinSet<()>) {
        let scope = Scope::Url(self.key.clone());
        match step {
            Step::Ask(node) => drop(clients.spawn(Arc::clone(self).get(node))),
            Step::Head => self.desk.heads.add_permits(1),
            Step::Rest => self.desk.rests.add_permits(1),
            Step::Publish => drop(self.desk.version.fetch_add(1, Ordering::SeqCst)),
            Step::Soften => {
                self.desk.partings.fetch_add(1, Ordering::SeqCst);
                self.purge(0, scope.soft()).await;
            }
            Step::Evict(node) => {
                self.desk.partings.fetch_add(1, Ordering::SeqCst);
                self.actors[node].engine.memory().remove(&self.key);
            }
            Step::Purge(node) => {
                self.desk.partings.fetch_add(1, Ordering::SeqCst);
                let now = self.desk.moments.next();
                self.issued.lock().unwrap().get_or_insert(now);
                self.purge(node, scope.hard()).await;
                let acked = self.desk.moments.next();
                *self.actors[node].purged.lock().unwrap() = Some(acked);
            }
            Step::Drop(node) => {
                if let Some(object) = self.actors[node].engine.memory().look(&self.key) {
                    self.desk.partings.fetch_add(1, Ordering::SeqCst);
                    object.drop_bytes();
                }
            }
            Step::Write => drop(self.gates[0].writes.send_replace(true)),
            Step::Heads => drop(self.gates[1].heads.send_replace(true)),
            Step::Chunks => drop(self.gates[1].chunks.send_replace(true)),
        }
    }

    fn answered(&self) -> usize {
        self.answers.lock().unwrap().len()
    }

    /// Whether the origin is busy with a request that this node made since it had learnt of the
    /// purge; true where it has learnt of none.
    fn is_asked_since_purge(&self, node: usize) -> bool {
        let Some(purged) = *self.actors[node].purged.lock().unwrap() else {
            return true;
        };
        let under_way = self.desk.under_way.lock().unwrap();
        under_way
            .iter()
            .any(|it| it.node == node && it.asked > purged)
    }

    /// Waits until nothing moves any more but what an event must let.
    async fn rest(&self) {
        let moved = || {
            self.gates
                .iter()
                .map(|gates| gates.moved.load(Ordering::SeqCst))
                .sum::<u64>()
        };
        let waits = |gates: &Arc<Gates>| gates.waiting.load(Ordering::SeqCst) > 0;
        loop {
            let before = moved();
            for _ in 0..ROUNDS {
                yield_now().await;
            }
            if moved() == before && !self.gates.iter().any(waits) {
                return;
            }
        }
    }

    /// Fills node 0's memory, and Redis.
    async fn hold(self: &Arc<Self>, grounds: &[Ground]) {
        self.desk.open();
        Arc::clone(self).get(0).await;
        self.settle(grounds).await;
        self.desk.close();
    }

    /// Lets everything come to its end.
    async fn settle(&self, grounds: &[Ground]) {
        self.desk.open();
        self.gates.iter().for_each(|gates| gates.all(true));
        self.rest().await;
        for ground in grounds {
            assert!(ground.tier.shared.drain(Duration::from_secs(10)).await);
        }
        self.rest().await;
    }

    /// Plays one order; says what was wrong with it.
    async fn play(self: Arc<Self>, order: &[Step], grounds: &[Ground]) -> Vec<String> {
        if self.desk.manner.is_held {
            self.hold(grounds).await;
        }
        self.desk
            .failures
            .store(self.desk.manner.failures, Ordering::SeqCst);
        for gates in &self.gates {
            gates.writes.send_replace(false);
            gates.heads.send_replace(self.desk.is_prompt);
            gates.chunks.send_replace(self.desk.is_prompt);
        }
        let mut clients = JoinSet::new();
        for step in order {
            let answered = self.answered();
            self.take(*step, &mut clients).await;
            self.rest().await;
            if let Step::Ask(node) = *step
                && self.desk.is_prompt
                && self.answered() == answered
                && !self.is_asked_since_purge(node)
            {
                let late = "a client waits for what was asked for before the purge".to_owned();
                self.desk.complaints.lock().unwrap().push(late);
            }
        }
        self.settle(grounds).await;
        let asked = order
            .iter()
            .filter(|step| matches!(step, Step::Ask(_)))
            .count();
        // Who asks when all is over is answered too.
        for node in 0..self.actors.len() {
            clients.spawn(Arc::clone(&self).get(node));
            self.rest().await;
        }
        let all = async {
            while let Some(ended) = clients.join_next().await {
                ended.unwrap();
            }
        };
        let all = timeout(Duration::from_secs(10), all).await;
        let mut complaints = std::mem::take(&mut *self.desk.complaints.lock().unwrap());
        let wanted = asked + self.actors.len() + usize::from(self.desk.manner.is_held);
        let answers = std::mem::take(&mut *self.answers.lock().unwrap());
        if all.is_err() || answers.len() != wanted {
            complaints.push(format!("{} answers, not {wanted}", answers.len()));
        }
        complaints.extend(answers.iter().filter_map(|answer| self.judge(answer)));
        self.settle(grounds).await;
        complaints.extend(self.inspect().await);
        complaints
    }

    fn judge(&self, answer: &Answer) -> Option<String> {
        let is_failure_known = self.desk.manner.failures > 0 || self.desk.manner.first > 0;
        if answer.ended.is_err() && !is_failure_known {
            return Some(format!("failed: {answer:?}"));
        }
        let issued = (*self.issued.lock().unwrap())?;
        let purged = (*self.actors[answer.node].purged.lock().unwrap())?;
        let oldest = [answer.head, answer.said.map(|(_, oldest)| oldest)];
        let is_old = oldest.iter().flatten().any(|asked| *asked < issued);
        (answer.begun > purged && is_old).then(|| format!("old, purged at {purged}: {answer:?}"))
    }

    /// Looks for what was purged and may still be served, in memory and in Redis.
    async fn inspect(&self) -> Vec<String> {
        let mut found = Vec::new();
        let Some(issued) = *self.issued.lock().unwrap() else {
            return found;
        };
        for (node, actor) in self.actors.iter().enumerate() {
            let engine = &actor.engine;
            let mut look = |place: &str, witness: &Witness| {
                if witness.said().is_some_and(|(_, oldest)| oldest < issued) {
                    found.push(format!("{:?} in {place} of {node}", witness.said()));
                }
            };
            if let Some(object) = engine.memory().look(&self.key)
                && engine.standing(&object.head(), clock::now()).is_some()
            {
                let all = Stretch {
                    first: 0,
                    end: object.length(),
                };
                let mut witness = Witness::from(self.desk.manner.first);
                for (_, chunk) in object.chunks_in(all) {
                    witness.hear(&chunk).unwrap();
                }
                look("memory", &witness);
            }
            if let Some(head) = engine.recorded(&self.key).await
                && engine.standing(&head, clock::now()).is_some()
                && let Some(shared) = engine.shared()
                && let Some(chunk) = shared.chunk(&head, 0).await
            {
                let mut witness = Witness::from(0);
                witness.hear(&chunk).unwrap();
                look("redis", &witness);
            }
        }
        found
    }
}

/// Plays all orders of a scene in memory, for one node.
async fn scene(chains: &[&[Step]], count: usize, manners: &[Manner]) {
    let orders = orders(chains);
    assert_eq!(orders.len(), count);
    for manner in manners {
        for (number, order) in orders.iter().enumerate() {
            let complaints = Stage::new(*manner, number, &[], true)
                .play(order, &[])
                .await;
            assert!(
                complaints.is_empty(),
                "{manner:?}\n{order:?}\n{complaints:#?}"
            );
        }
    }
}

/// The same for two nodes and Redis; `is_prompt` is whether it answers reads from the start.
async fn scene_of_two(chains: &[&[Step]], count: usize, manners: &[Manner], is_prompt: bool) {
    let orders = orders(chains);
    assert_eq!(orders.len(), count);
    let server = Server::start();
    server.client().await;
    let grounds = [Ground::new(&server).await, Ground::new(&server).await];
    let mut number = 0;
    for manner in manners {
        for order in &orders {
            number += 1;
            let stage = Stage::new(*manner, number, &grounds, is_prompt);
            let complaints = stage.play(order, &grounds).await;
            assert!(
                complaints.is_empty(),
                "{manner:?}\n{order:?}\n{complaints:#?}"
            );
        }
    }
}

#[test]
fn orders_are_as_many_as_combinatorics_say_and_no_two_are_alike() {
    let (ask, purges) = (
        [Step::Ask(0), Step::Head, Step::Rest],
        [Step::Purge(0), Step::Purge(1)],
    );
    let mut all = orders(&[&ask, &purges, &[Step::Publish]]);
    assert_eq!(all.len(), 60, "6! / (3! * 2!)");
    all.sort_by_key(|order| format!("{order:?}"));
    all.dedup();
    assert_eq!(all.len(), 60);
    for order in all {
        let place = |step| order.iter().position(|it| *it == step).unwrap();
        assert!(place(Step::Ask(0)) < place(Step::Head) && place(Step::Head) < place(Step::Rest));
        assert!(place(Step::Purge(0)) < place(Step::Purge(1)));
    }
}

/// A client asks an origin that answers in two steps.
const ASKS: &[Step] = &[Step::Ask(0), Step::Head, Step::Rest];

#[tokio::test]
async fn a_flight_a_purge_an_eviction_and_a_second_client_in_every_order() {
    let others: [&[Step]; 4] = [
        &[Step::Ask(0)],
        &[Step::Purge(0)],
        &[Step::Publish],
        &[Step::Evict(0)],
    ];
    let chains = [ASKS, others[0], others[1], others[2], others[3]];
    // 7! / 3!
    scene(&chains, 840, &[WHOLE, UNNAMED, BLOCKS, PASSED, FAILING]).await;
}

#[tokio::test]
async fn a_refresh_a_purge_a_soft_one_and_a_new_version_in_every_order() {
    let others: [&[Step]; 4] = [
        &[Step::Ask(0)],
        &[Step::Purge(0)],
        &[Step::Publish],
        &[Step::Soften],
    ];
    let chains = [ASKS, others[0], others[1], others[2], others[3]];
    // 7! / 3!
    scene(&chains, 840, &[STALE, EXPIRED, OUTAGE]).await;
}

#[tokio::test]
async fn a_block_that_memory_lost_a_purge_and_a_new_version_in_every_order() {
    let held = Manner {
        is_held: true,
        ..BLOCKS
    };
    let reads = [&[Step::Drop(0)], ASKS].concat();
    let others: [&[Step]; 3] = [&[Step::Ask(0)], &[Step::Purge(0)], &[Step::Publish]];
    let chains = [reads.as_slice(), others[0], others[1], others[2]];
    // 7! / 4!
    scene(&chains, 210, &[held]).await;
}

#[tokio::test]
async fn a_purge_and_writing_behind_in_every_order_on_two_nodes() {
    let fill = [ASKS, &[Step::Write]].concat();
    let chains = [
        fill.as_slice(),
        &[Step::Purge(0), Step::Purge(1)],
        &[Step::Ask(1)],
    ];
    // 7! / (4! * 2!)
    scene_of_two(&chains, 105, &[WHOLE, UNNAMED, EXPIRED], true).await;
}

#[tokio::test]
async fn a_purge_and_a_promotion_in_every_order_on_two_nodes() {
    let held = Manner {
        is_held: true,
        ..WHOLE
    };
    let chains: [&[Step]; 4] = [
        &[Step::Ask(1), Step::Heads, Step::Chunks],
        &[Step::Purge(0), Step::Purge(1)],
        &[Step::Ask(1)],
        &[Step::Publish],
    ];
    let unnamed = Manner {
        naming: Naming::Nothing,
        ..held
    };
    // 7! / (3! * 2!)
    scene_of_two(&chains, 420, &[held, unnamed], false).await;
}
