//! Runs trials as `cargo test` runs tests: each by its name, several at once, each with a time limit and a seed.
//!
//! It knows nothing of servers, transports or scenarios; [`crate::matrix`] makes the trials.

use std::{
    collections::VecDeque,
    fmt::Write as _,
    future::Future,
    panic::AssertUnwindSafe,
    pin::Pin,
    process::ExitCode,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

/// What a trial runs; it stays on the thread that began it.
pub type Run = Box<dyn FnOnce(u64) -> Pin<Box<dyn Future<Output = anyhow::Result<()>>>> + Send>;

/// Trials that run at the same time unless `--test-threads` says otherwise: most of them wait most of the time. All of them together take
/// less than three minutes of one core.
const THREADS: usize = 12;
/// So many of them at most are of those that do not wait: more would only be late together.
const BUSY_THREADS: usize = 2;
/// A trial that does not even give way to its own time limit ends the whole run after this much longer.
const STUCK: Duration = Duration::from_secs(30);

/// One named test.
pub struct Trial {
    /// `topic::scenario/transport/carrier`.
    pub name: String,
    /// How long it may take.
    pub limit: Duration,
    /// Whether it keeps a core busy.
    pub is_busy: bool,
    /// The test; its argument is the seed.
    pub run: Run,
}

/// What the command line asked for; the flags are those of `cargo test`, as far as they mean something here.
#[derive(Debug, Default, PartialEq, Eq)]
struct Wish {
    filters: Vec<String>,
    skips: Vec<String>,
    is_exact: bool,
    is_list: bool,
    is_timed: bool,
    threads: Option<usize>,
    seed: Option<u64>,
}

#[derive(Debug)]
struct Outcome {
    name: String,
    seed: u64,
    took: Duration,
    failure: Option<String>,
}

/// Runs what the arguments of the process choose and prints what happened.
pub fn main(trials: Vec<Trial>) -> ExitCode {
    let wish = match Wish::parse(std::env::args().skip(1)) {
        Ok(wish) => wish,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::from(2);
        }
    };
    let all = trials.len();
    let chosen: Vec<Trial> = trials.into_iter().filter(|trial| wish.wants(&trial.name)).collect();
    if wish.is_list {
        for trial in &chosen {
            println!("{}: test", trial.name);
        }
        println!("\n{} tests, 0 benchmarks", chosen.len());
        return ExitCode::SUCCESS;
    }
    let filtered = all - chosen.len();
    let begun = Instant::now();
    watch_servers();
    let outcomes = run_all(chosen, &wish);
    let code = report(&outcomes, filtered, begun.elapsed());
    let panics = SERVER_PANICS.load(Ordering::Relaxed);
    if panics == 0 {
        return code;
    }
    println!("FAILED: a thread of a server panicked {panics} times (above), whatever the tests saw of it\n");
    ExitCode::from(101)
}

/// Panics in threads of servers, which a client may take for a connection that ends.
static SERVER_PANICS: AtomicUsize = AtomicUsize::new(0);

/// What a scenario lets a server panic with on purpose: nobody hears of it but the server.
pub struct Planted;

fn watch_servers() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if panic.payload().is::<Planted>() {
            return;
        }
        if std::thread::current().name().is_some_and(|name| name.starts_with("efir-")) {
            SERVER_PANICS.fetch_add(1, Ordering::Relaxed);
        }
        usual(panic);
    }));
}

impl Wish {
    fn parse(mut args: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut wish = Self { seed: from_environment()?, ..Self::default() };
        while let Some(arg) = args.next() {
            let mut value = |name: &str| args.next().ok_or(format!("{name} needs a value"));
            match arg.as_str() {
                "--exact" => wish.is_exact = true,
                "--list" => wish.is_list = true,
                "--report-time" => wish.is_timed = true,
                "--skip" => wish.skips.push(value("--skip")?),
                "--test-threads" => wish.threads = Some(number(&value("--test-threads")?)? as usize),
                "--seed" => wish.seed = Some(number(&value("--seed")?)?),
                "--nocapture" | "--no-capture" | "--show-output" | "-q" | "--quiet" | "--include-ignored" => {
                }
                "--format" | "--color" | "-Z" => drop(value(&arg)?),
                flag if flag.starts_with('-') => {
                    if let Some(threads) = flag.strip_prefix("--test-threads=") {
                        wish.threads = Some(number(threads)? as usize);
                    } else if let Some(seed) = flag.strip_prefix("--seed=") {
                        wish.seed = Some(number(seed)?);
                    } else if !flag.starts_with("--format=") && !flag.starts_with("--color=") {
                        return Err(format!("unknown flag {flag}"));
                    }
                }
                _ => wish.filters.push(arg),
            }
        }
        Ok(wish)
    }

    fn wants(&self, name: &str) -> bool {
        let fits =
            |filter: &String| if self.is_exact { name == filter } else { name.contains(filter.as_str()) };
        (self.filters.is_empty() || self.filters.iter().any(fits)) && !self.skips.iter().any(fits)
    }
}

fn from_environment() -> Result<Option<u64>, String> {
    std::env::var("EFIR_SEED").ok().map(|text| number(&text)).transpose()
}

fn number(text: &str) -> Result<u64, String> {
    let parsed = match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16),
        None => text.parse(),
    };
    parsed.map_err(|_| format!("{text:?} is not a number"))
}

/// Each trial has a seed of its own, made from its name, so that it draws the same numbers alone and in company.
fn seed_of(base: u64, name: &str) -> u64 {
    name.bytes().fold(base ^ 0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

fn run_all(trials: Vec<Trial>, wish: &Wish) -> Vec<Outcome> {
    let count = trials.len();
    let base = wish.seed.unwrap_or_else(|| fastrand::u64(1..1 << 48));
    println!("\nrunning {count} test{} (base seed {base})", if count == 1 { "" } else { "s" });
    let queue = Queue::new(trials);
    let (tell, told) = mpsc::channel();
    std::thread::scope(|scope| {
        for number in 0..wish.threads.unwrap_or(THREADS).clamp(1, count.max(1)) {
            let (tell, queue) = (tell.clone(), &queue);
            scope.spawn(move || {
                while let Some(trial) = queue.next(number < BUSY_THREADS) {
                    let limit = trial.limit;
                    let _ = tell.send(Progress::Begun(trial.name.clone(), Instant::now() + limit + STUCK));
                    let _ = tell.send(Progress::Done(run_one(trial, base)));
                }
            });
        }
        drop(tell);
        collect(&told, wish.is_timed)
    })
}

/// What has not begun yet.
struct Queue {
    busy: Mutex<VecDeque<Trial>>,
    others: Mutex<VecDeque<Trial>>,
}

impl Queue {
    fn new(trials: Vec<Trial>) -> Self {
        let (busy, others): (Vec<_>, Vec<_>) = trials.into_iter().partition(|trial| trial.is_busy);
        Self { busy: Mutex::new(busy.into()), others: Mutex::new(others.into()) }
    }

    /// The next for a thread that takes busy ones, these first, or for one that does not.
    fn next(&self, takes_busy: bool) -> Option<Trial> {
        let first = |queue: &Mutex<VecDeque<Trial>>| queue.lock().ok()?.pop_front();
        takes_busy.then(|| first(&self.busy)).flatten().or_else(|| first(&self.others))
    }
}

enum Progress {
    Begun(String, Instant),
    Done(Outcome),
}

fn collect(told: &mpsc::Receiver<Progress>, is_timed: bool) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    let mut running: Vec<(String, Instant)> = Vec::new();
    loop {
        match told.recv_timeout(Duration::from_secs(1)) {
            Ok(Progress::Begun(name, due)) => running.push((name, due)),
            Ok(Progress::Done(outcome)) => {
                running.retain(|(name, _)| *name != outcome.name);
                let word = if outcome.failure.is_none() { "ok" } else { "FAILED" };
                let time =
                    if is_timed { format!(" <{:.3}s>", outcome.took.as_secs_f64()) } else { String::new() };
                println!("test {} ... {word}{time}", outcome.name);
                outcomes.push(outcome);
            }
            Err(mpsc::RecvTimeoutError::Timeout) => {
                if let Some((name, _)) = running.iter().find(|(_, due)| *due < Instant::now()) {
                    println!("test {name} ... STUCK: it blocks its thread far beyond its time limit");
                    std::process::exit(101);
                }
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => return outcomes,
        }
    }
}

fn run_one(trial: Trial, base: u64) -> Outcome {
    let Trial { name, limit, run, .. } = trial;
    let seed = seed_of(base, &name);
    let begun = Instant::now();
    let ended = std::panic::catch_unwind(AssertUnwindSafe(|| -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let ended = runtime.block_on(async {
            match tokio::time::timeout(limit, run(seed)).await {
                Ok(ended) => ended,
                Err(_) => anyhow::bail!("not done after its time limit of {} s", limit.as_secs_f64()),
            }
        });
        runtime.shutdown_background();
        ended
    }));
    let failure = match ended {
        Ok(Ok(())) => None,
        Ok(Err(error)) => {
            Some(error.chain().map(ToString::to_string).collect::<Vec<_>>().join("\n  because "))
        }
        Err(panic) => Some(panic_text(&*panic)),
    };
    let failure =
        failure.map(|text| format!("{text}\nagain: --seed {base} {name}  (its own seed: {seed:#x})"));
    Outcome { name, seed, took: begun.elapsed(), failure }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
    format!("panicked: {}", text.unwrap_or("(no text)"))
}

fn report(outcomes: &[Outcome], filtered: usize, took: Duration) -> ExitCode {
    let failed: Vec<&Outcome> = outcomes.iter().filter(|outcome| outcome.failure.is_some()).collect();
    let mut text = String::new();
    if !failed.is_empty() {
        text.push_str("\nfailures:\n");
        for outcome in &failed {
            let failure = outcome.failure.as_deref().unwrap_or_default();
            let _ = write!(text, "\n---- {} (seed {:#x}) ----\n{failure}\n", outcome.name, outcome.seed);
        }
        text.push_str("\nfailures:\n");
        for outcome in &failed {
            let _ = writeln!(text, "    {}", outcome.name);
        }
    }
    let word = if failed.is_empty() { "ok" } else { "FAILED" };
    println!(
        "{text}\ntest result: {word}. {} passed; {} failed; 0 ignored; 0 measured; {filtered} filtered out; finished in {:.2}s\n",
        outcomes.len() - failed.len(),
        failed.len(),
        took.as_secs_f64(),
    );
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(101) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(args: &[&str]) -> Wish {
        Wish::parse(args.iter().map(|arg| (*arg).to_owned())).unwrap()
    }

    #[test]
    fn filters_choose_by_substring() {
        let wish = wish(&["/sse/", "--skip", "axum", "--test-threads=2", "--seed", "0x10"]);
        assert!(wish.wants("live::one/sse/h1"));
        assert!(!wish.wants("live::one/sse/axum"));
        assert!(!wish.wants("live::one/websocket/h1"));
        assert_eq!((wish.threads, wish.seed), (Some(2), Some(16)));
        assert!(Wish::parse(["--frobnicate".to_owned()].into_iter()).is_err());
    }

    fn trial(name: &str, run: impl Future<Output = anyhow::Result<()>> + Send + 'static) -> Trial {
        let limit = Duration::from_millis(50);
        Trial { name: name.into(), limit, is_busy: false, run: Box::new(move |_| Box::pin(run)) }
    }

    #[test]
    fn busy_trials_come_first_and_only_on_few_threads() {
        let busy = |name| Trial { is_busy: true, ..trial(name, async { Ok(()) }) };
        let queue = Queue::new(vec![trial("a", async { Ok(()) }), busy("b"), trial("c", async { Ok(()) })]);
        let next = |takes_busy| queue.next(takes_busy).map(|trial| trial.name);
        assert_eq!(next(true).as_deref(), Some("b"));
        assert_eq!(next(true).as_deref(), Some("a"));
        let queue = Queue::new(vec![busy("b"), trial("c", async { Ok(()) })]);
        let next = |takes_busy| queue.next(takes_busy).map(|trial| trial.name);
        assert_eq!((next(false).as_deref(), next(false)), (Some("c"), None));
    }

    #[test]
    fn a_failure_a_panic_and_a_hang_are_told_apart() {
        let trials = vec![
            trial("good", async { Ok(()) }),
            trial("bad", async { anyhow::bail!("it broke") }),
            trial("wild", async { panic!("it fell") }),
            trial("slow", std::future::pending()),
        ];
        let mut outcomes = run_all(trials, &Wish { seed: Some(7), ..Wish::default() });
        outcomes.sort_by(|a, b| a.name.cmp(&b.name));
        let failures: Vec<&str> =
            outcomes.iter().map(|outcome| outcome.failure.as_deref().unwrap_or("")).collect();
        assert!(failures[0].contains("it broke") && failures[0].contains("--seed 7 bad"), "{failures:?}");
        assert_eq!(failures[1], "");
        assert!(failures[2].contains("time limit"), "{failures:?}");
        assert!(failures[3].contains("it fell"), "{failures:?}");
        assert_eq!(report(&outcomes, 0, Duration::ZERO), ExitCode::from(101));
    }
}
