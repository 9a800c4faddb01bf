//! libFuzzer over the target that the variable `EFIR_FUZZ` names. One program has all targets, so that it is linked once.
//! `cargo xtask fuzz` builds it with the engine's coverage in our own crates, and runs it.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;

static CHOSEN: OnceLock<fn(&[u8])> = OnceLock::new();

fn chosen() -> fn(&[u8]) {
    let name = std::env::var("EFIR_FUZZ").unwrap_or_default();
    let target = efir_fuzz::TARGETS.iter().find(|target| target.name == name);
    target.unwrap_or_else(|| panic!("EFIR_FUZZ is {name:?}, which is no target")).run
}

fuzz_target!(|bytes: &[u8]| CHOSEN.get_or_init(chosen)(bytes));
