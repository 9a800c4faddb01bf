//! The `efir` binary. What it can do is in `efir_server::cli`.

use std::process::ExitCode;

fn main() -> ExitCode {
    efir_server::cli::run()
}
