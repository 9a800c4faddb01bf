//! From the words of the command line to a load: which processes the server has, and what it allows. Where it is and how
//! one gets in is `place.rs`.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Error;
use efir_bench::efir::{HttpPublisher, SocketPublisher, WebsocketPublisher};
use efir_bench::figures::MEMORY_CONNECTIONS_MIN;
use efir_bench::{Efir, Load, Pace, Publish, Target, Transport, http, process, system};
use serde_json::Value;

use super::place::{self, Place};
use super::text::{count, grouped};
use super::{Bench, Publishing, Rate};
use crate::cli::Failure;

/// A load that the server allows, and what was learned of it.
pub(super) struct Plan {
    pub(super) load: Load,
    pub(super) target: Target,
    pub(super) url: String,
    /// The server's version.
    pub(super) version: String,
    pub(super) transport: Transport,
    pub(super) publish: &'static str,
}

/// Files that this process needs besides its connections.
const FILES_OWN: u64 = 64;
/// Connections from one address to one port, where there is only one address: the system's range of ports, with room.
const PORTS_MAX: usize = 28_000;
/// How many messages a publisher has on their way, where nobody says it: far from what holds a steady rate back, and as
/// many as keep a fast run going over a long way.
const PIPELINE: usize = 64;
const PIPELINE_FAST: usize = 512;
/// By how much the slowest subscriber may lag when it goes as fast as it goes: so that it sees no gap, which part of
/// what a channel keeps.
const LAG_PART: u64 = 2;

impl Plan {
    /// # Errors
    /// When there is no efir, or the load is not possible.
    pub(super) fn make(bench: &Bench) -> Result<Self, Failure> {
        let (load, tokens) = (load(bench)?, place::tokens(bench)?);
        let place = Place::of(bench)?;
        let address = place.destination.address;
        let answer = http::get_from(&place.destination, &place.host, &format!("{}/info", place.base));
        let info = answer.map_err(|error| unreachable(&bench.url, &error))?;
        let info: Value = serde_json::from_str(&info).unwrap_or_default();
        let Some(version) = info["version"].as_str().filter(|_| info["name"] == "efir") else {
            return Err(Failure::failed(format!("{} answers, but it is not efir", bench.url)));
        };
        let transport = bench.transport.0;
        let load = allowed(load, bench, &info["limits"])?;
        let processes = processes(bench, address)?;
        check_files(&load, address, &processes)?;
        let can_tell_memory = !processes.is_empty() && load.connections() >= MEMORY_CONNECTIONS_MIN;
        let load = Load { rest: if can_tell_memory { load.rest } else { Duration::ZERO }, ..load };
        let (host, base) = (place.host.as_str(), place.base.as_str());
        let (publish, by): (Arc<dyn Publish>, _) = match bench.publish {
            Publishing::Http => (Arc::new(HttpPublisher::new(host, base).with_tokens(&tokens)), "HTTP"),
            Publishing::Socket => {
                (Arc::new(SocketPublisher::new(host, base).with_tokens(&tokens)), "/socket")
            }
            Publishing::Websocket => {
                (Arc::new(WebsocketPublisher::new(host, base).with_tokens(&tokens)), "WebSocket")
            }
        };
        let subscribe =
            Efir::new(transport, host).below(base).every(bench.poll_interval).with_tokens(&tokens);
        Ok(Self {
            target: Target {
                destination: place.destination,
                subscribe: Arc::new(subscribe),
                publish,
                processes,
            },
            load,
            url: bench.url.trim_end_matches('/').to_owned(),
            version: version.to_owned(),
            transport,
            publish: by,
        })
    }
}

fn load(bench: &Bench) -> Result<Load, Failure> {
    for (value, name) in [
        (bench.channels, "--channels"),
        (bench.publishers, "--publishers"),
        (bench.channels_a_connection, "--channels-a-connection"),
        (bench.pipeline.unwrap_or(1), "--pipeline"),
        (bench.threads.unwrap_or(1), "--threads"),
    ] {
        if value == 0 {
            return Err(Failure::usage(format!("{name} must be at least 1")));
        }
    }
    if bench.duration.is_zero() {
        return Err(Failure::usage("--duration must be above 0"));
    }
    if bench.channels_a_connection > bench.channels {
        return Err(Failure::usage(format!(
            "--channels-a-connection {}: there are only {} (--channels)",
            bench.channels_a_connection,
            count(bench.channels, "channel")
        )));
    }
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    Ok(Load {
        // Nobody else's channel, however often it is run.
        prefix: format!("bench-{:08x}", fastrand::u32(..)),
        channels: bench.channels,
        subscribers: bench.subscribers,
        channels_a_connection: bench.channels_a_connection,
        publishers: bench.publishers,
        pace: match bench.rate {
            Rate::PerSecond(rate) => Pace::PerSecond(rate),
            Rate::Max => Pace::flat_out(bench.bytes),
        },
        payload_bytes: bench.bytes,
        pipeline: bench.pipeline.unwrap_or(if bench.rate == Rate::Max { PIPELINE_FAST } else { PIPELINE }),
        threads: bench.threads.unwrap_or((cores / 2).clamp(1, 4)),
        rest: bench.rest,
        warm_up: bench.warm_up,
        measured: bench.duration,
        stop: Arc::default(),
    })
}

/// Holds the load against the server's limits, each with the key that would raise it.
fn allowed(mut load: Load, bench: &Bench, limits: &Value) -> Result<Load, Failure> {
    let reading = match bench.transport.0 {
        Transport::Socket => "socket_channels_max",
        _ => "subscribe_channels_max",
    };
    for (wanted, what, limit) in [
        (load.payload_bytes, "bytes a message", "message_bytes_max"),
        (load.channels, "channels", "channels_max"),
        (load.connections() + load.publishers, "connections", "connections_max"),
        (load.channels_a_connection, "channels a connection", reading),
    ] {
        let Some(allowed) = limits[limit].as_u64() else { continue };
        if wanted as u64 > allowed {
            return Err(Failure::usage(format!(
                "{} {what} are more than the server allows: {limit} is {}",
                grouped(wanted as u64),
                grouped(allowed)
            )));
        }
    }
    if let (Pace::FlatOut { ahead, lag }, Some(kept)) = (load.pace, limits["retention_bytes_max"].as_u64()) {
        let messages = limits["retention_messages_max"].as_u64().unwrap_or(u64::MAX);
        let room = (kept / load.payload_bytes as u64).min(messages) / LAG_PART;
        load.pace = Pace::FlatOut { ahead: ahead.min(room).max(1), lag: lag.min(room).max(1) };
    }
    Ok(load)
}

/// The server's processes, if they are on this machine and may be looked at.
fn processes(bench: &Bench, address: SocketAddr) -> Result<Vec<u32>, Failure> {
    if let Some(pid) = bench.pid {
        return match process::memory(pid) {
            Ok(_) => Ok(vec![pid]),
            Err(_) => Err(Failure::usage(format!("--pid {pid}: there is no such process"))),
        };
    }
    // Only an address of this machine can be bound.
    let is_local = UdpSocket::bind((address.ip(), 0)).is_ok();
    Ok(if is_local { process::listening_on(address.port()) } else { Vec::new() })
}

fn check_files(load: &Load, address: SocketAddr, processes: &[u32]) -> Result<(), Failure> {
    let connections = load.connections();
    let wanted = (connections + load.publishers) as u64 + FILES_OWN;
    let may = system::raise_files().unwrap_or(u64::MAX);
    if may < wanted {
        return Err(Failure::failed(format!(
            "{} connections need {} open files, but this process may have {}\n  \
             Raise the limit (ulimit -n {wanted}, as root: ulimit -Hn {wanted} first), or use fewer subscribers.",
            grouped(connections as u64),
            grouped(wanted),
            grouped(may)
        )));
    }
    for pid in processes {
        let Some(may) = process::open_files_max(*pid).filter(|may| *may < wanted) else { continue };
        return Err(Failure::failed(format!(
            "{} connections are more than the server can take: its process {pid} may have {} open files",
            grouped(connections as u64),
            grouped(may)
        )));
    }
    if !address.ip().is_loopback() && connections > PORTS_MAX {
        return Err(Failure::failed(format!(
            "one machine has no more than about {} connections to one address; run it on several machines",
            grouped(PORTS_MAX as u64)
        )));
    }
    Ok(())
}

fn unreachable(url: &str, error: &Error) -> Failure {
    let advice = if format!("{error:#}").contains("certificate") {
        "Name whom to trust with --cacert FILE, or trust anybody with --insecure."
    } else {
        "Is the server running? `efir` starts it; efir bench URL names another one."
    };
    Failure::failed(format!("cannot reach {url}: {error:#}\n  {advice}"))
}
