//! The matrix as one test binary: `cargo test -p efir-testkit --test it -- [FILTER…] [--list] [--seed N]`.

use std::process::ExitCode;

fn main() -> ExitCode {
    efir_testkit::harness::main(efir_testkit::matrix::trials())
}
