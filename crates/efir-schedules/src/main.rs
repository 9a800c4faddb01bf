//! `schedules N`: runs the engine's hand-over, and a worker's, under N schedules each of shuttle's choice. What is run stands in the engine's `schedules.rs`.

use std::process::ExitCode;

fn main() -> ExitCode {
    let Some(count) = std::env::args().nth(1).and_then(|count| count.parse().ok()) else {
        eprintln!("usage: schedules N");
        return ExitCode::FAILURE;
    };
    efir_engine_scheduled::schedules::run(count);
    println!("{count} schedules of each held");
    ExitCode::SUCCESS
}
