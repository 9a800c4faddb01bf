//! Attacks after published vulnerabilities, black box against a real server: `cargo test -p efir-testkit --test attacks -- [FILTER…]`.
//!
//! Begin with `table.rs`, which names what each of them is after.

mod bombs;
mod commands;
mod defaults;
mod endings;
mod frames;
mod handshakes;
mod names;
mod origins;
mod smuggling;
mod table;
mod victim;

use std::process::ExitCode;

use efir_testkit::{binary, harness};

fn main() -> ExitCode {
    if !std::env::args().any(|arg| arg == "--list")
        && let Err(error) = binary::build_if_missing()
    {
        eprintln!("error: {error:#}");
        return ExitCode::from(2);
    }
    harness::main(table::trials())
}
