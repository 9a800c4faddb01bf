//! The generator: messages at planned times on the server's own clock, so that a phone can run it and latency is measured from when a
//! message was due, not from when somebody came to send it.

mod plan;

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use efir_core::{ChannelName, Code, Payload, Problem};
use efir_engine::{Hub, Publish};
use parking_lot::Mutex;
use serde::Serialize;
use tokio::task::AbortHandle;

pub(super) use self::plan::Plan;
use super::{clock::Clock, visitors::full};

/// A message that is published this long after its time is told as late.
const LATE_MS: f64 = 20.0;
/// How long an ended run can be asked for.
const KEPT: Duration = Duration::from_secs(120);
/// Ended runs that are remembered; the oldest make room.
const ENDED_MAX: usize = 200;

/// All runs: those that go on and those that ended a moment ago.
#[derive(Debug, Default)]
pub(super) struct Runs(Mutex<HashMap<String, Arc<Run>>>);

/// One run.
#[derive(Debug)]
pub(super) struct Run {
    id: String,
    visitor: String,
    channel: ChannelName,
    plan: Plan,
    /// The planned time of the first message, in ms of the lab's clock.
    begins_ms: f64,
    begins: Instant,
    published: AtomicU64,
    refused: AtomicU64,
    late: AtomicU64,
    /// The longest time that a message was published after its planned one, in µs.
    behind_us_max: AtomicU64,
    ended: Mutex<Option<(Ending, Instant)>>,
    task: Mutex<Option<AbortHandle>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    Over,
    Deleted,
    Draining,
}

/// What a run shows of itself.
#[derive(Debug, Serialize)]
pub(super) struct RunReport {
    run: String,
    visitor: String,
    channel: String,
    state: &'static str,
    ended: bool,
    #[serde(flatten)]
    plan: Plan,
    of: u64,
    begins: f64,
    published: u64,
    refused: u64,
    late: u64,
    behind_ms_max: f64,
}

impl Runs {
    /// Begins a run of this plan; it goes on by itself.
    pub(super) fn begin(
        &self,
        (visitor, plan): (&str, Plan),
        hub: &Hub,
        clock: Clock,
    ) -> Result<RunReport, Problem> {
        let id: String = std::iter::repeat_with(fastrand::alphanumeric).take(12).collect();
        let run = {
            let mut runs = self.0.lock();
            // Somebody who begins and ends runs all the time is faster than the sweeps.
            forget_oldest(&mut runs);
            check_room(&runs, visitor, hub.limits().lab_runs_max)?;
            let begins = Instant::now() + Duration::from_millis(plan.wait_ms);
            let run = Arc::new(Run {
                channel: plan.channel(visitor, &id)?,
                begins_ms: clock.at_ms(begins),
                visitor: visitor.to_owned(),
                id: id.clone(),
                plan,
                begins,
                published: AtomicU64::new(0),
                refused: AtomicU64::new(0),
                late: AtomicU64::new(0),
                behind_us_max: AtomicU64::new(0),
                ended: Mutex::default(),
                task: Mutex::default(),
            });
            runs.insert(id, Arc::clone(&run));
            run
        };
        let task = tokio::spawn(generate(Arc::clone(&run), hub.clone(), clock));
        *run.task.lock() = Some(task.abort_handle());
        Ok(run.report())
    }

    pub(super) fn report(&self, id: &str) -> Result<RunReport, Problem> {
        self.find(id).map(|run| run.report())
    }

    /// Ends a run; one that has ended stays as it is.
    pub(super) fn end(&self, id: &str) -> Result<RunReport, Problem> {
        let run = self.find(id)?;
        run.finish(Ending::Deleted);
        if let Some(task) = run.task.lock().take() {
            task.abort();
        }
        Ok(run.report())
    }

    /// Forgets what ended long ago.
    pub(super) fn sweep(&self, now: Instant) {
        let mut runs = self.0.lock();
        runs.retain(|_, run| run.ended_at().is_none_or(|at| now.saturating_duration_since(at) < KEPT));
    }

    fn find(&self, id: &str) -> Result<Arc<Run>, Problem> {
        let known = self.0.lock().get(id).cloned();
        known.ok_or_else(|| {
            let detail =
                format!("there is no run {id:?}; ended ones are forgotten after {} s", KEPT.as_secs());
            Problem::new(Code::NotFound, detail)
        })
    }
}

/// Keeps no more ended runs than are remembered.
fn forget_oldest(runs: &mut HashMap<String, Arc<Run>>) {
    let mut ended: Vec<_> = runs.iter().filter_map(|(id, run)| Some((run.ended_at()?, id.clone()))).collect();
    ended.sort_unstable();
    for (_, id) in ended.iter().take(ended.len().saturating_sub(ENDED_MAX)) {
        runs.remove(id);
    }
}

fn check_room(runs: &HashMap<String, Arc<Run>>, visitor: &str, runs_max: usize) -> Result<(), Problem> {
    let going = || runs.values().filter(|run| run.ended_at().is_none());
    if let Some(own) = going().find(|run| run.visitor == visitor) {
        let detail = format!("the run {:?} of this visitor goes on; end it by DELETE /lab/runs/{0}", own.id);
        return Err(full(detail, "lab_visitor_runs_max", 1));
    }
    let count = going().count();
    if count >= runs_max {
        return Err(full(format!("{count} runs go on"), "lab_runs_max", runs_max));
    }
    Ok(())
}

impl Run {
    fn ended_at(&self) -> Option<Instant> {
        self.ended.lock().map(|(_, at)| at)
    }

    fn finish(&self, ending: Ending) {
        self.ended.lock().get_or_insert((ending, Instant::now()));
    }

    fn report(&self) -> RunReport {
        let state = match *self.ended.lock() {
            None => "running",
            Some((Ending::Over, _)) => "over",
            Some((Ending::Deleted, _)) => "deleted",
            Some((Ending::Draining, _)) => "draining",
        };
        RunReport {
            run: self.id.clone(),
            visitor: self.visitor.clone(),
            channel: self.channel.as_str().to_owned(),
            state,
            ended: state != "running",
            plan: self.plan.clone(),
            of: self.plan.messages(),
            begins: self.begins_ms,
            published: self.published.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
            late: self.late.load(Ordering::Relaxed),
            behind_ms_max: self.behind_us_max.load(Ordering::Relaxed) as f64 / 1_000.0,
        }
    }

    /// Publishes the message of this number and notes how far behind its time that was.
    fn publish(&self, n: u64, hub: &Hub, clock: Clock) {
        let planned_ms = self.begins_ms + self.plan.after(n).as_secs_f64() * 1_000.0;
        let text = self.plan.text(n, planned_ms);
        let published = Payload::json(Bytes::from(text)).is_ok_and(|payload| {
            let publish = Publish { channel: &self.channel, payload: &payload, key: None, from: None };
            hub.publish(&publish).is_ok()
        });
        let count = if published { &self.published } else { &self.refused };
        count.fetch_add(1, Ordering::Relaxed);
        let behind_ms = (clock.now_ms() - planned_ms).max(0.0);
        self.behind_us_max.fetch_max((behind_ms * 1_000.0) as u64, Ordering::Relaxed);
        if behind_ms > LATE_MS {
            self.late.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Each message at its time, never before; what has become late is published at once, with the time that was planned.
async fn generate(run: Arc<Run>, hub: Hub, clock: Clock) {
    for n in 1..=run.plan.messages() {
        let due = run.begins + run.plan.after(n);
        if due > Instant::now() {
            tokio::time::sleep_until(due.into()).await;
        } else if n % 16 == 0 {
            tokio::task::yield_now().await;
        }
        if hub.is_draining() {
            return run.finish(Ending::Draining);
        }
        run.publish(n, &hub, clock);
    }
    run.finish(Ending::Over);
}

#[cfg(test)]
mod tests {
    use efir_core::{Limits, Times};

    use super::*;

    #[tokio::test]
    async fn ended_runs_are_not_gathered_between_two_sweeps() {
        let hub = Hub::new(Limits::default(), Times::default());
        let (runs, clock) = (Runs::default(), Clock::new());
        for _ in 0..2 * ENDED_MAX {
            let (visitor, plan) =
                Plan::parse(br#"{"visitor":"v","size":16384}"#, hub.limits(), hub.times()).unwrap();
            let begun = runs.begin((&visitor, plan), &hub, clock).unwrap();
            assert!(runs.end(&begun.run).unwrap().ended);
            assert_eq!(runs.report(&begun.run).unwrap().state, "deleted");
        }
        assert!(runs.0.lock().len() <= ENDED_MAX + 1);
    }
}
