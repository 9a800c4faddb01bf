//! Follows sets of keys behind URLs, on a thread of its own: no worker waits for somebody else's server. What is known
//! stays in force while the other side does not answer.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use efir_access::KeySet;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::Home;
use super::fetch::{Answer, Fetcher};
use crate::config::access::RemoteKeys;

/// The pause after a failure; it doubles up to [`PAUSE_MAX`] as long as nothing comes.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(300);

/// The least time between two times that a source is asked because of tokens: whoever makes them up is a stranger.
const ASKED_PAUSE: Duration = Duration::from_secs(30);

/// The thread; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Follower {
    wanted: watch::Sender<Vec<RemoteKeys>>,
    /// Changes when a token names a key that nobody knows.
    missed: watch::Sender<()>,
}

impl Follower {
    /// Begins with these sources.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub(super) fn start(home: Home, sources: Vec<RemoteKeys>) -> anyhow::Result<Self> {
        let (sender, wanted) = watch::channel(sources);
        let (missed, misses) = watch::channel(());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::Builder::new().name("efir-keys".into());
        thread
            .spawn(move || {
                runtime.block_on(follow_all(&home, wanted, &misses));
                // A lookup of a name may still hang in a thread of the runtime.
                runtime.shutdown_background();
            })
            .context("the thread that asks for keys")?;
        Ok(Self { wanted: sender, missed })
    }

    /// Goes on with these, and asks for all of them now.
    pub(super) fn follow(&self, sources: Vec<RemoteKeys>) {
        self.wanted.send_replace(sources);
    }

    /// A token named a key that nobody knows. Each source is asked again at once, and then not for that reason for
    /// [`ASKED_PAUSE`]; where it did not answer, when its pause is over. However many tokens there are, that is one request.
    pub(super) fn missed(&self) {
        self.missed.send_replace(());
    }
}

async fn follow_all(home: &Home, mut wanted: watch::Receiver<Vec<RemoteKeys>>, misses: &watch::Receiver<()>) {
    loop {
        let sources = wanted.borrow_and_update().clone();
        let mut following = JoinSet::new();
        match Fetcher::new(sources.iter().map(|source| &source.url)) {
            Ok(fetcher) => {
                let fetcher = Arc::new(fetcher);
                for source in sources {
                    following.spawn(follow(home.clone(), Arc::clone(&fetcher), source, misses.clone()));
                }
            }
            Err(error) => {
                for source in &sources {
                    failed(home, source, &error.to_string());
                }
            }
        }
        // Whoever followed the sources of before ends with its set.
        if wanted.changed().await.is_err() {
            return;
        }
    }
}

async fn follow(home: Home, fetcher: Arc<Fetcher>, source: RemoteKeys, mut misses: watch::Receiver<()>) {
    let (mut pause, mut known) = (PAUSE_MIN, String::new());
    let mut not_before = Instant::now();
    loop {
        // What was missed before this is answered by it.
        misses.mark_unchanged();
        let wait = match fetcher.fetch(&source.url).await {
            Ok(answer) => take(&home, &source, &mut known, &answer).then_some(answer.fresh),
            Err(error) => {
                failed(&home, &source, &error.to_string());
                None
            }
        };
        let is_answered = wait.is_some();
        let wait = wait.inspect(|_| pause = PAUSE_MIN).unwrap_or_else(|| {
            // Not all servers of an issuer's customers at once.
            let jittered = pause.mul_f64(0.75 + fastrand::f64() / 2.0);
            pause = (pause * 2).min(PAUSE_MAX);
            jittered
        });
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = missed(&mut misses, not_before), if is_answered => not_before = Instant::now() + ASKED_PAUSE,
        }
    }
}

/// Waits until a key is missed, and may be asked for.
async fn missed(misses: &mut watch::Receiver<()>, not_before: Instant) {
    if misses.changed().await.is_err() {
        // The thread is about to end.
        std::future::pending::<()>().await;
    }
    tokio::time::sleep_until(not_before).await;
}

/// Whether the answer is a set of keys that is in force now.
fn take(home: &Home, source: &RemoteKeys, known: &mut String, answer: &Answer) -> bool {
    if *known == answer.text {
        return true;
    }
    let Some(keeper) = home.upgrade() else { return true };
    let name = &source.terms.name;
    let put = KeySet::from_jwks(&source.terms, &answer.text).and_then(|keys| {
        let (count, skipped) = (keys.len(), keys.skipped().join("; "));
        keeper.put(source, Some(keys))?;
        tracing::info!(event = "keys_fetched", name, count, skipped, "a set of keys for tokens was fetched");
        Ok(())
    });
    match put {
        Ok(()) => {
            known.clone_from(&answer.text);
            true
        }
        Err(error) => {
            drop(keeper);
            failed(home, source, &error.to_string());
            false
        }
    }
}

/// Those that are known stay.
fn failed(home: &Home, source: &RemoteKeys, why: &str) {
    let name = &source.terms.name;
    tracing::warn!(
        event = "keys_not_fetched",
        name,
        why,
        "a set of keys for tokens could not be fetched; those that are known stay"
    );
    if let Some(keeper) = home.upgrade() {
        // Without keys there is nothing that could be refused.
        _ = keeper.put(source, None);
    }
}
