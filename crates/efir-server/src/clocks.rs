//! How long an HTTP/1 connection may take between requests and over a head. The library has one time for both, which has to be long.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use efir_transports::Site;
use tokio::time::Sleep;

use crate::meter::Meter;

/// A connection without a request for this long gives the library's buffers back.
const REST_AFTER: Duration = Duration::from_millis(500);

/// Why the library no longer has a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It has ended, or has to.
    Over,
    /// A response that lasts takes it along.
    Leaves,
    /// Nothing is under way on it.
    Rests,
    /// A head has come that is larger than it may be.
    TooLarge,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Answer,
    Head,
    Rest,
}

/// How often an HTTP/2 connection is looked at within the time that it may carry nothing.
const LOOKS: u32 = 4;

/// Waits until an HTTP/2 connection has carried nothing for so long, a quarter more or less.
pub(crate) async fn until_idle(meter: &Meter, idle_max: Duration) {
    let mut looks = 0;
    while looks < LOOKS {
        tokio::time::sleep(idle_max / LOOKS).await;
        looks = if meter.is_unused() { looks + 1 } else { 0 };
    }
}

/// The clocks of one connection; one runs at a time.
pub(crate) struct Clocks {
    head_max: Duration,
    stage: Stage,
    running: Option<Pin<Box<Sleep>>>,
}

impl Clocks {
    pub(crate) fn new(site: &Site) -> Self {
        let head_max = Duration::from_millis(site.hub().times().head_ms_max);
        Self { head_max, stage: Stage::Answer, running: None }
    }

    /// To be polled after the library has done what it could.
    pub(crate) fn poll(&mut self, meter: &Meter, cx: &mut Context<'_>) -> Poll<Outcome> {
        let stage = if meter.is_answering() || meter.is_blocked() {
            Stage::Answer
        } else if meter.is_in_head() {
            Stage::Head
        } else {
            Stage::Rest
        };
        if stage != self.stage {
            self.stage = stage;
            self.running = None;
        }
        let (time, outcome) = match stage {
            Stage::Answer => return Poll::Pending,
            Stage::Head => (self.head_max, Outcome::Over),
            Stage::Rest => (REST_AFTER, Outcome::Rests),
        };
        let running = self.running.get_or_insert_with(|| Box::pin(tokio::time::sleep(time)));
        running.as_mut().poll(cx).map(|()| outcome)
    }
}
