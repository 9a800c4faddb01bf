//! The matrix as one test binary: `cargo test -p efir-testkit --test it -- [FILTER…] [--list] [--seed N]`.

use std::process::ExitCode;

use efir_testkit::{binary, harness, matrix, tls};

fn main() -> ExitCode {
    if !std::env::args().any(|arg| arg == "--list")
        && let Err(error) = binary::build_if_missing()
    {
        eprintln!("error: {error:#}");
        return ExitCode::from(2);
    }
    match matrix::trials() {
        Ok(trials) => {
            let code = harness::main(trials);
            tls::clean();
            code
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}
