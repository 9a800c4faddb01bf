//! What an operator sees and does: metrics, probes, reloads, and a log without secrets. The real binary, black box.

mod door;
mod pebble;
mod running;

mod acme;
mod activation;
mod admin;
mod reload;
mod secrets;
mod upgrade;
