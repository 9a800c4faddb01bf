//! Whether connections are accepted: not before a start is complete, not while a successor takes over; and how that ends. It knows
//! neither sockets nor who waits at them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::sync::watch;

/// How long those who accept may take to notice that they must not. Only a worker that hangs takes longer, and accepts nothing.
const NOTICE_MAX: Duration = Duration::from_secs(1);
/// Between two looks at whether they have.
const LOOK: Duration = Duration::from_millis(1);

/// What holds for everybody who accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Not now; whoever connects waits in the sockets' queues.
    Shut,
    Open,
    Over(Ending),
}

/// What becomes of those who still wait in the sockets' queues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Nobody else will take them: they are accepted, and then the sockets are closed.
    Closed,
    /// A successor has the same sockets.
    Left,
}

/// Opens and shuts.
#[derive(Debug)]
pub(crate) struct Entrance {
    state: watch::Sender<State>,
    /// How many accept right now.
    accepting: Arc<AtomicUsize>,
}

/// One of those who accept.
#[derive(Debug, Clone)]
pub(crate) struct Way {
    state: watch::Receiver<State>,
    accepting: Arc<AtomicUsize>,
}

/// Counts somebody who accepts until it is dropped.
#[derive(Debug)]
pub(crate) struct Pass(Arc<AtomicUsize>);

impl Entrance {
    /// Shut, to begin with.
    pub(crate) fn new() -> Self {
        Self { state: watch::Sender::new(State::Shut), accepting: Arc::default() }
    }

    /// For one who accepts.
    pub(crate) fn way(&self) -> Way {
        Way { state: self.state.subscribe(), accepting: Arc::clone(&self.accepting) }
    }

    /// Everybody may accept.
    pub(crate) fn open(&self) {
        self.state.send_replace(State::Open);
    }

    /// Nobody accepts any more when this returns; [`Entrance::open`] lets them go on.
    pub(crate) async fn shut(&self) {
        self.enter(State::Shut).await;
    }

    /// Nobody accepts any more when this returns, for good.
    pub(crate) async fn end(&self, ending: Ending) {
        self.enter(State::Over(ending)).await;
    }

    async fn enter(&self, state: State) {
        self.state.send_replace(state);
        let nobody = async {
            while self.accepting.load(Ordering::SeqCst) > 0 {
                tokio::time::sleep(LOOK).await;
            }
        };
        // Whoever hangs has not accepted anything, and will not before it sees the state.
        let _ = tokio::time::timeout(NOTICE_MAX, nobody).await;
    }
}

impl Way {
    /// Runs `accepting` whenever it is open, and cuts it when it is not, until it is over. Whoever holds the pass still counts.
    pub(crate) async fn follow<F: Future<Output = ()>>(
        &mut self,
        accepting: impl Fn() -> F,
    ) -> (Ending, Option<Pass>) {
        let mut pass = None;
        loop {
            let state = *self.state.borrow_and_update();
            match state {
                State::Over(ending) => return (ending, pass),
                State::Shut => {
                    pass = None;
                    if self.state.changed().await.is_err() {
                        return (Ending::Left, pass);
                    }
                }
                State::Open => {
                    pass.get_or_insert_with(|| Pass::new(&self.accepting));
                    tokio::select! {
                        // First: nothing may be accepted once it is shut.
                        biased;
                        changed = self.state.wait_for(|state| *state != State::Open) => {
                            if changed.is_err() {
                                return (Ending::Left, pass);
                            }
                        }
                        () = accepting() => {}
                    }
                }
            }
        }
    }
}

impl Pass {
    fn new(accepting: &Arc<AtomicUsize>) -> Self {
        accepting.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(accepting))
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, rc::Rc};

    use super::*;

    /// Somebody who accepts all the time, and counts.
    fn acceptor(entrance: &Entrance) -> (Rc<Cell<u32>>, tokio::task::JoinHandle<Ending>) {
        let (mut way, count) = (entrance.way(), Rc::new(Cell::new(0)));
        let counted = Rc::clone(&count);
        let task = tokio::task::spawn_local(async move {
            let accepting = || async {
                loop {
                    counted.set(counted.get() + 1);
                    tokio::task::yield_now().await;
                }
            };
            way.follow(accepting).await.0
        });
        (count, task)
    }

    async fn passes(count: &Cell<u32>) -> bool {
        let before = count.get();
        tokio::time::sleep(Duration::from_millis(10)).await;
        count.get() > before
    }

    #[tokio::test]
    async fn who_accepts_follows_what_holds() {
        let local = tokio::task::LocalSet::new();
        let story = async {
            let entrance = Entrance::new();
            let (count, task) = acceptor(&entrance);
            assert!(!passes(&count).await, "before it is open");
            entrance.open();
            assert!(passes(&count).await);
            entrance.shut().await;
            assert!(!passes(&count).await, "while it is shut");
            entrance.open();
            assert!(passes(&count).await, "again");
            entrance.end(Ending::Closed).await;
            assert_eq!(task.await.unwrap(), Ending::Closed);
            assert!(!passes(&count).await, "when it is over");
        };
        local.run_until(story).await;
    }

    #[tokio::test]
    async fn nobody_waits_for_one_that_hangs() {
        let entrance = Entrance::new();
        let _hanging = Pass::new(&entrance.accepting);
        entrance.shut().await;
    }
}
