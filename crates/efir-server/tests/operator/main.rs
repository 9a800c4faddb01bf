//! What an operator sees and does: metrics, probes, reloads, and a log without secrets. The real binary, black box.

mod door;
mod pebble;
mod running;

mod acme;
mod admin;
mod manager;
mod reload;
mod secrets;
mod upgrade;
