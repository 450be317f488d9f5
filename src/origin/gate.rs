//! How many requests one origin is sent at once: all others wait their turn, for a while.
//!
//! A place is taken from before a request is sent until its body has ended or was dropped, retries
//! and continuations included. Whoever waits is let in in the order of coming. Health checks pass
//! by: an origin that is busy must not look dead.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::limits::ORIGIN_WAITERS_MAX;
use crate::metrics::METRICS;
use crate::origin::{Body, Delimited, Error};

/// The places at one origin.
#[derive(Debug)]
pub struct Gate {
    places: Arc<Semaphore>,
    waiters: Semaphore,
    patience: Duration,
}

/// A place taken; given back when it is dropped.
#[derive(Debug)]
pub struct Seat {
    _permit: OwnedSemaphorePermit,
}

impl Gate {
    /// Makes a gate for `requests_max` requests at once, at which others wait for `patience`.
    #[must_use]
    pub fn new(requests_max: usize, patience: Duration) -> Self {
        let places = requests_max.min(Semaphore::MAX_PERMITS);
        Self {
            places: Arc::new(Semaphore::new(places)),
            waiters: Semaphore::new(ORIGIN_WAITERS_MAX),
            patience,
        }
    }

    /// Takes a place, as soon as there is one.
    ///
    /// # Errors
    /// [`Error::Busy`] where none came free in time, or too many wait already.
    pub async fn enter(&self) -> Result<Seat, Error> {
        let places = Arc::clone(&self.places);
        if let Ok(permit) = places.try_acquire_owned() {
            return Ok(Seat::new(permit));
        }
        let _waiting = self.waiters.try_acquire().map_err(|_| Error::Busy)?;
        METRICS.origin_waits.inc();
        let places = Arc::clone(&self.places);
        match timeout(self.patience, places.acquire_owned()).await {
            Ok(Ok(permit)) => Ok(Seat::new(permit)),
            Ok(Err(_)) | Err(_) => Err(Error::Busy),
        }
    }
}

impl Seat {
    fn new(permit: OwnedSemaphorePermit) -> Self {
        METRICS.origin_in_flight.inc();
        Self { _permit: permit }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        METRICS.origin_in_flight.dec();
    }
}

/// A body that holds its request's place until it has ended, or is read by one client only: one
/// that reads slowly must not keep the origin from everybody else.
pub struct Held {
    inner: Box<dyn Body>,
    seat: Option<Seat>,
}

impl Held {
    /// Holds `seat` for as long as `inner` has more to give.
    #[must_use]
    pub fn new(inner: Box<dyn Body>, seat: Seat) -> Self {
        Self {
            inner,
            seat: Some(seat),
        }
    }
}

#[async_trait]
impl Body for Held {
    async fn piece(&mut self) -> Result<Option<Bytes>, Error> {
        let piece = self.inner.piece().await;
        if !matches!(piece, Ok(Some(_))) {
            self.seat = None;
        }
        piece
    }

    fn pass(&mut self) {
        self.seat = None;
    }

    fn delimited(&self) -> Delimited {
        self.inner.delimited()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::poll;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    /// A body of one piece and the end that is given.
    struct One {
        left: bool,
        end: Result<Option<Bytes>, Error>,
    }

    #[async_trait]
    impl Body for One {
        async fn piece(&mut self) -> Result<Option<Bytes>, Error> {
            if std::mem::take(&mut self.left) {
                return Ok(Some(Bytes::from_static(b"a")));
            }
            self.end.clone()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_finds_no_place_is_let_in_by_turns_or_told_so_in_time() {
        let gate = Gate::new(1, PATIENCE);
        let first = gate.enter().await.unwrap();
        let mut second = Box::pin(gate.enter());
        let mut third = Box::pin(gate.enter());
        assert!(poll!(&mut second).is_pending());
        assert!(poll!(&mut third).is_pending());
        drop(first);
        assert!(poll!(&mut third).is_pending());
        let second = second.await.unwrap();
        let began = tokio::time::Instant::now();
        assert_eq!(third.await.unwrap_err(), Error::Busy);
        assert_eq!(began.elapsed(), PATIENCE);
        drop(second);
        assert!(gate.enter().await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn who_leaves_the_queue_takes_no_place() {
        let gate = Gate::new(1, PATIENCE);
        let first = gate.enter().await.unwrap();
        let mut gone = Box::pin(gate.enter());
        assert!(poll!(&mut gone).is_pending());
        drop((gone, first));
        assert!(gate.enter().await.is_ok());
        assert_eq!(gate.waiters.available_permits(), ORIGIN_WAITERS_MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn the_queue_is_bounded() {
        let gate = Gate::new(1, PATIENCE);
        let _first = gate.enter().await.unwrap();
        let mut waiting: Vec<_> = (0..ORIGIN_WAITERS_MAX)
            .map(|_| Box::pin(gate.enter()))
            .collect();
        for one in &mut waiting {
            assert!(poll!(one).is_pending());
        }
        assert_eq!(gate.enter().await.unwrap_err(), Error::Busy);
        waiting.pop();
        assert!(poll!(Box::pin(gate.enter())).is_pending());
    }

    #[tokio::test]
    async fn a_place_is_free_once_the_body_ended_failed_or_was_dropped() {
        for end in [Ok(None), Err(Error::Changed)] {
            let gate = Gate::new(1, PATIENCE);
            let one = One { left: true, end };
            let mut body = Held::new(Box::new(one), gate.enter().await.unwrap());
            assert!(body.piece().await.is_ok());
            assert_eq!(gate.places.available_permits(), 0);
            assert_ne!(body.piece().await, Ok(Some(Bytes::new())));
            assert_eq!(gate.places.available_permits(), 1);
        }
        let gate = Gate::new(1, PATIENCE);
        let one = One {
            left: true,
            end: Ok(None),
        };
        let mut body = Held::new(Box::new(one), gate.enter().await.unwrap());
        body.pass();
        assert_eq!(gate.places.available_permits(), 1);
        let one = One {
            left: true,
            end: Ok(None),
        };
        drop(Held::new(Box::new(one), gate.enter().await.unwrap()));
        assert_eq!(gate.places.available_permits(), 1);
    }
}
