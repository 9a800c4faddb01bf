//! The servers: where each comes from, how it is started, and how it is spoken to. A peer is one entry here, its
//! program or configuration in `benches/peers/`, and a dialect where none of the others will do.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use efir_bench::efir::HttpPublisher;
use efir_bench::{Efir, Publish, Subscribe, Transport};

use super::cache;
use super::dialects::{commands, engine_io, frames, nats, nchan, raw, streams};
use super::rows::{PAYLOAD_BYTES, Row, Shape, Work};
use crate::{child, root};

/// A server to measure.
pub(super) struct Server {
    /// In results and on the command line.
    pub(super) name: &'static str,
    /// What one should know when reading its figures.
    pub(super) note: &'static str,
    pub(super) install: fn() -> Result<Installed>,
    /// `None`: it cannot do this work.
    pub(super) speak: fn(&Row, &str) -> Option<Speech>,
}

/// How to start it, once it is there.
pub(super) struct Installed {
    pub(super) version: String,
    /// The command for a port of 127.0.0.1.
    pub(super) command: Box<dyn Fn(u16) -> Result<Command>>,
}

/// How subscribers and publishers speak.
pub(super) struct Speech {
    pub(super) subscribe: Arc<dyn Subscribe>,
    pub(super) publish: Arc<dyn Publish>,
}

impl Speech {
    fn of(subscribe: impl Subscribe + 'static, publish: impl Publish + 'static) -> Self {
        Self { subscribe: Arc::new(subscribe), publish: Arc::new(publish) }
    }
}

pub(super) const EFIR: &str = "efir";
pub(super) const FLOOR: &str = "floor";

pub(super) const SERVERS: &[Server] = &[
    Server { name: EFIR, note: "", install: install_efir, speak: speak_efir },
    Server {
        name: "uwebsockets",
        note: "no history, no resume",
        install: || node("uwebsockets", "uwebsockets"),
        speak: |row, host| {
            let path = if row.shape == Shape::FlatOut { "/firehose" } else { "/publish" };
            speak_frames(row, (host, path), &[Work::Websocket, Work::Chat])
        },
    },
    Server {
        name: "ws",
        note: "no channels of its own, no history; SSE by node:http",
        install: || node("ws", "ws"),
        speak: |row, host| speak_frames(row, (host, "/publish"), &[Work::Websocket, Work::Chat, Work::Sse]),
    },
    Server {
        name: "socket-io",
        note: "no history",
        install: || node("socket-io", "socket.io"),
        speak: speak_socket_io,
    },
    Server { name: "nchan", note: "nginx with one worker", install: install_nchan, speak: speak_nchan },
    Server { name: "nats", note: "core NATS: no history", install: install_nats, speak: speak_nats },
    Server {
        name: "socketioxide",
        note: "no history",
        install: || crate_of_ours("socketioxide", "socketioxide-server", "socketioxide"),
        speak: speak_socket_io,
    },
    Server {
        name: "axum-baseline",
        note: "90 lines, no history",
        install: || crate_of_ours("axum-baseline", "axum-baseline", "axum"),
        speak: |row, host| speak_frames(row, (host, "/publish"), &[Work::Websocket, Work::Chat, Work::Sse]),
    },
    Server {
        name: "centrifugo",
        note: "",
        install: || module("github.com/centrifugal/centrifugo/v6", "v6.2.0"),
        speak: |_, _| None,
    },
    Server {
        name: "mercure",
        note: "",
        install: || module("github.com/dunglas/mercure/cmd/mercure", "v0.20.2"),
        speak: |_, _| None,
    },
    Server { name: "sockudo", note: "", install: install_sockudo, speak: |_, _| None },
    Server { name: FLOOR, note: "a bare send loop", install: install_floor, speak: speak_floor },
];

fn install_efir() -> Result<Installed> {
    let binary = root::target().join("release/efir");
    let command = move |port: u16| {
        let mut command = Command::new(&binary);
        command.args(["serve", "--log", "warn", "--listen", &format!("127.0.0.1:{port}")]);
        Ok(command)
    };
    Ok(Installed { version: env!("CARGO_PKG_VERSION").to_owned(), command: Box::new(command) })
}

fn speak_efir(row: &Row, host: &str) -> Option<Speech> {
    Some(match row.work {
        Work::Websocket => {
            Speech::of(Efir::new(Transport::Websocket, host), commands::Publisher { host: host.to_owned() })
        }
        Work::Sse => Speech::of(Efir::new(Transport::Sse, host), HttpPublisher::new(host, "")),
        Work::LongPoll => Speech::of(Efir::new(Transport::LongPoll, host), HttpPublisher::new(host, "")),
        Work::Chat => Speech::of(
            Efir::new(Transport::Websocket, host),
            frames::Member { host: host.to_owned(), before: "/channels/" },
        ),
    })
}

fn node(folder: &'static str, package: &'static str) -> Result<Installed> {
    let modules = cache::npm()?;
    let engine = child::read(Command::new("node").arg("--version"))?;
    let command = move |port: u16| {
        let mut command = Command::new("node");
        command.arg(cache::ours(folder).join("server.cjs")).arg(port.to_string());
        command.env("NODE_PATH", &modules).env("NODE_ENV", "production");
        Ok(command)
    };
    let version = format!("{}, Node {}", cache::npm_version(package)?, engine.trim().trim_start_matches('v'));
    Ok(Installed { version, command: Box::new(command) })
}

fn speak_frames(row: &Row, (host, path): (&str, &'static str), can: &[Work]) -> Option<Speech> {
    let host = host.to_owned();
    if !can.contains(&row.work) {
        return None;
    }
    Some(match row.work {
        Work::Sse => Speech::of(
            streams::Subscriber { host: host.clone(), before: "/streams/" },
            frames::Publisher { host, path },
        ),
        Work::Chat => Speech::of(
            frames::Subscriber { host: host.clone() },
            frames::Member { host, before: "/channels/" },
        ),
        _ => Speech::of(frames::Subscriber { host: host.clone() }, frames::Publisher { host, path }),
    })
}

fn speak_socket_io(row: &Row, host: &str) -> Option<Speech> {
    let host = host.to_owned();
    let publisher = engine_io::Publisher { host: host.clone(), is_member: row.work == Work::Chat };
    Some(match row.work {
        Work::Sse => return None,
        Work::LongPoll => Speech::of(engine_io::LongPoll { host }, publisher),
        Work::Websocket | Work::Chat => Speech::of(engine_io::Subscriber { host }, publisher),
    })
}

fn install_nchan() -> Result<Installed> {
    let place = cache::debian(&["nginx", "nginx-common", "libnginx-mod-nchan"])?;
    // The module has this folder of the nginx package compiled in, and nginx does not start without it.
    std::fs::create_dir_all("/var/lib/nginx").context("/var/lib/nginx cannot be made")?;
    let command = move |port: u16| {
        let folder = running("nchan")?;
        let modules = place.join("usr/lib/nginx/modules");
        let files = efir_bench::system::raise_files()?.to_string();
        let values = [
            ("modules", modules.to_string_lossy().into_owned()),
            ("folder", folder.to_string_lossy().into_owned()),
            ("files", files),
            ("port", port.to_string()),
        ];
        let file = fill("nchan/nginx.conf", &folder, &values)?;
        let mut command = Command::new(place.join("usr/sbin/nginx"));
        command.arg("-p").arg(&folder).arg("-c").arg(file).arg("-e").arg(folder.join("error.log"));
        Ok(command)
    };
    let nginx = cache::debian_version("nginx")?;
    let version = format!("{}, nginx {nginx}", cache::debian_version("libnginx-mod-nchan")?);
    Ok(Installed { version, command: Box::new(command) })
}

fn speak_nchan(row: &Row, host: &str) -> Option<Speech> {
    let host = host.to_owned();
    let publisher = nchan::Publisher { host: host.clone() };
    Some(match row.work {
        Work::Websocket => Speech::of(frames::Subscriber { host }, publisher),
        Work::Sse => Speech::of(streams::Subscriber { host, before: "/channels/" }, publisher),
        Work::LongPoll => Speech::of(nchan::LongPoll { host }, publisher),
        Work::Chat => Speech::of(
            frames::Subscriber { host: host.clone() },
            frames::Member { host, before: "/members/" },
        ),
    })
}

fn install_nats() -> Result<Installed> {
    let place = cache::debian(&["nats-server"])?;
    let command = move |port: u16| {
        let file = fill("nats/nats.conf", &running("nats")?, &[("port", port.to_string())])?;
        let mut command = Command::new(place.join("usr/sbin/nats-server"));
        command.arg("-c").arg(file);
        Ok(command)
    };
    Ok(Installed { version: cache::debian_version("nats-server")?, command: Box::new(command) })
}

fn speak_nats(row: &Row, host: &str) -> Option<Speech> {
    let host = host.to_owned();
    let publisher = nats::Publisher { host: host.clone(), is_member: row.work == Work::Chat };
    let is_ours = matches!(row.work, Work::Websocket | Work::Chat);
    is_ours.then(|| Speech::of(nats::Subscriber { host }, publisher))
}

fn crate_of_ours(folder: &str, program: &str, package: &str) -> Result<Installed> {
    let binary = cache::cargo(folder, program)?;
    let command = move |port: u16| {
        let mut command = Command::new(&binary);
        command.arg(port.to_string());
        Ok(command)
    };
    Ok(Installed { version: cache::cargo_version(folder, package)?, command: Box::new(command) })
}

/// Servers that come as Go modules, where those can be had.
fn module(path: &str, version: &str) -> Result<Installed> {
    cache::go(path, version)?;
    bail!("it could be built here, but the load tool does not speak its protocol")
}

fn install_sockudo() -> Result<Installed> {
    bail!(
        "building it from its crate needs the compiler of Protocol Buffers and takes longer than all measures here"
    )
}

fn install_floor() -> Result<Installed> {
    let tool = std::env::current_exe()?;
    let command = move |port: u16| {
        let mut command = Command::new(&tool);
        command.args(["bench", "peers", "floor", &port.to_string(), &PAYLOAD_BYTES.to_string()]);
        Ok(command)
    };
    Ok(Installed { version: String::new(), command: Box::new(command) })
}

fn speak_floor(row: &Row, _: &str) -> Option<Speech> {
    let is_fan_out = row.work == Work::Websocket && matches!(row.shape, Shape::FanOut(_));
    is_fan_out.then(|| Speech::of(raw::Subscriber, raw::Publisher))
}

/// A folder for what a server writes while it runs.
fn running(name: &str) -> Result<PathBuf> {
    let folder = cache::folder().join("running").join(name);
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// Copies a configuration of ours, each `{name}` in it replaced by its value.
fn fill(path: &str, folder: &Path, values: &[(&str, String)]) -> Result<PathBuf> {
    let mut text = std::fs::read_to_string(cache::ours(path))?;
    for (name, value) in values {
        text = text.replace(&format!("{{{name}}}"), value);
    }
    let file = folder.join(path.rsplit('/').next().unwrap_or(path));
    std::fs::write(&file, text)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::peers::rows::ROWS;

    #[test]
    fn every_row_has_efir_and_a_peer() {
        for row in ROWS {
            let can = SERVERS.iter().filter(|server| (server.speak)(row, "127.0.0.1:1").is_some());
            let names: Vec<&str> = can.map(|server| server.name).collect();
            assert!(names.contains(&EFIR) && names.len() > 2, "{}: {names:?}", row.id);
        }
    }

    #[test]
    fn members_are_bound_to_their_room() {
        for row in ROWS {
            for speech in SERVERS.iter().filter_map(|server| (server.speak)(row, "127.0.0.1:1")) {
                assert_eq!(speech.publish.is_bound(), row.work == Work::Chat, "{}", row.id);
            }
        }
    }
}
