//! What an operator sees and does: metrics, probes, reloads, and a log without secrets. The real binary, black box.

mod door;
mod running;

mod admin;
mod reload;
mod secrets;
