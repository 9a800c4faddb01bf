//! The `efir` binary.
fn main() {}
