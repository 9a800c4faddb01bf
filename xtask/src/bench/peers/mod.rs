//! `cargo xtask bench peers`: the same work on efir and on its peers, in one run in which they take turns.
//!
//! `rows.rs` is the list of what is measured, `servers.rs` of who; `cache.rs` installs them, `dialects/` speak to them,
//! `running.rs` starts and ends them. `results.rs` keeps what came out, `tables.rs` writes it for docs/benchmarks.md.

mod cache;
mod dialects;
mod floor;
mod results;
mod rows;
mod running;
mod servers;
mod tables;

use anyhow::{Context, Result, bail};
use efir_bench::{Target, system};

use self::results::{Measure, Results};
use self::rows::{FULL, Plan, QUICK, ROWS, Row};
use self::running::Running;
use self::servers::{EFIR, FLOOR, Installed, SERVERS, Server};
use crate::{Verdict, server};

/// What to run.
struct Choice {
    plan: Plan,
    rows: Vec<&'static Row>,
    servers: Vec<&'static Server>,
    /// Only all rows on all servers, at full length, are worth keeping.
    is_kept: bool,
}

impl Choice {
    /// Words are rows or servers; none of a kind means all of it. efir and the floor always run.
    fn read(arguments: &[String]) -> Result<Self> {
        let is_quick = arguments.iter().any(|word| word == "--quick");
        let words: Vec<&str> =
            arguments.iter().map(String::as_str).filter(|word| *word != "--quick").collect();
        let known: Vec<&str> =
            ROWS.iter().map(|row| row.id).chain(SERVERS.iter().map(|server| server.name)).collect();
        if let Some(word) = words.iter().find(|word| !known.contains(word)) {
            bail!("`{word}` is no row and no server; there are {}", known.join(", "));
        }
        let rows: Vec<&Row> = ROWS.iter().filter(|row| words.contains(&row.id)).collect();
        let named: Vec<&Server> = SERVERS.iter().filter(|server| words.contains(&server.name)).collect();
        let is_chosen = |server: &&Server| {
            named.is_empty() || words.contains(&server.name) || [EFIR, FLOOR].contains(&server.name)
        };
        Ok(Self {
            plan: if is_quick { QUICK } else { FULL },
            rows: if rows.is_empty() { ROWS.iter().collect() } else { rows },
            servers: SERVERS.iter().filter(is_chosen).collect(),
            is_kept: words.is_empty() && !is_quick,
        })
    }
}

pub(super) fn run(arguments: &[String]) -> Result<Verdict> {
    if let [word, port, payload_bytes] = arguments
        && word == FLOOR
    {
        floor::serve(port.parse()?, payload_bytes.parse()?)?;
        return Ok(Verdict::Held);
    }
    let choice = Choice::read(arguments)?;
    super::in_release(&["bench", "peers"], arguments)?;
    system::raise_files()?;

    let mut results = Results::default();
    let installed = install(&choice, &mut results);
    system::pin(super::TOOL_CORE)?;
    measure(&choice, &installed, &mut results);
    let text = results.text(&choice.plan);
    println!("\n{text}");
    // Plots are made of whole runs only.
    let name = if choice.is_kept { "peers.json" } else { "peers-trial.json" };
    println!("written: {}", results.write(&choice.plan, name)?.display());
    if choice.is_kept {
        crate::paper::write("docs/benchmarks.md", "peers", &text)?;
    }
    Ok(Verdict::Held)
}

/// Those that could be installed. That one could not is a result, too.
fn install(choice: &Choice, results: &mut Results) -> Vec<(&'static Server, Installed)> {
    let mut installed = Vec::new();
    for server in &choice.servers {
        match (server.install)() {
            Ok(there) => {
                println!("{}: {}", server.name, there.version);
                results.versions.push((server.name, there.version.clone()));
                installed.push((*server, there));
            }
            Err(error) => {
                println!("{}: not run: {error:#}", server.name);
                results.missing.push((server.name, format!("{error:#}")));
            }
        }
    }
    installed
}

/// Every row on every server, as often as planned. In each run another server begins, so that no one always meets
/// the machine in the state that the same other one left it in.
fn measure(choice: &Choice, installed: &[(&'static Server, Installed)], results: &mut Results) {
    for run in 0..choice.plan.runs {
        println!("run {} of {}", run + 1, choice.plan.runs);
        for (nth, row) in choice.rows.iter().enumerate() {
            let mut turn: Vec<_> = installed.iter().collect();
            let first = (run + nth) % turn.len().max(1);
            turn.rotate_left(first);
            for (server, there) in turn {
                let Some(measured) = one(&choice.plan, row, server, there) else { continue };
                tell(row, server, &measured);
                results.add(row, server.name, measured);
            }
        }
    }
}

fn tell(row: &Row, server: &Server, measured: &Result<Measure>) {
    let begin = format!("  {:<20} {:<15}", row.id, server.name);
    match measured {
        Ok(run) if row.shape == rows::Shape::Idle => {
            println!("{begin} {:>8.0} bytes, {:.1} µs to connect", run.bytes_connection, run.connect_us);
        }
        Ok(run) => println!(
            "{begin} {:>6.2} µs ({:.2} user), p99 {:.1} ms, {:.0}/s, faults {}, tool {:.0} %",
            run.cpu_us(),
            run.user_us,
            run.p99_ms,
            run.deliveries_s,
            run.faults,
            run.tool_busy * 100.0
        ),
        Err(error) => println!("{begin} failed: {error:#}"),
    }
}

/// One row on a fresh server; `None` where it cannot do this work.
fn one(plan: &Plan, row: &Row, server: &Server, there: &Installed) -> Option<Result<Measure>> {
    let measure = || -> Result<Option<Measure>> {
        let port = server::free_port()?;
        let Some(speech) = (server.speak)(row, &format!("127.0.0.1:{port}")) else { return Ok(None) };
        let command = (there.command)(port)?;
        let running = super::on_server_core(|| Running::start(&command, port)).context("starting")?;
        let target = Target {
            destination: running.address.into(),
            subscribe: speech.subscribe,
            publish: speech.publish,
            processes: running.processes(),
        };
        let figures = efir_bench::run(&plan.load(row), &target, &mut |_| ())?;
        if figures.seen.delivered == 0 {
            bail!("nothing was delivered");
        }
        if figures.seen.ended > 0 {
            let why = figures.seen.why.as_deref().unwrap_or_default();
            bail!("{} connections ended: {why}", figures.seen.ended);
        }
        Ok(Some(Measure::of(&figures)))
    };
    measure().transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choice(words: &[&str]) -> Result<Choice> {
        Choice::read(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn rows_and_servers_are_chosen_by_name() {
        let all = choice(&[]).unwrap();
        assert!(all.is_kept && all.rows.len() == ROWS.len() && all.servers.len() == SERVERS.len());
        let some = choice(&["--quick", "sse", "nchan"]).unwrap();
        assert!(!some.is_kept && some.plan.runs == 1);
        assert_eq!(some.rows.iter().map(|row| row.id).collect::<Vec<_>>(), ["sse"]);
        assert_eq!(some.servers.iter().map(|server| server.name).collect::<Vec<_>>(), [EFIR, "nchan", FLOOR]);
        assert!(choice(&["nobody"]).is_err());
    }
}
