//! `efir serve`: the configuration, the log, the server, what to try, and the end at SIGINT or SIGTERM.

use std::io::{self, IsTerminal, Write};
use std::net::SocketAddr;
use std::path::Path;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;

use super::{Failure, INTERRUPTED, ServeFlags, runtime, say};
use crate::Server;
use crate::config::{Resolved, Settings, Sources};

pub(super) fn run(flags: ServeFlags) -> Result<(), Failure> {
    let sources = Sources::of_process(flags.flags()?)?;
    let settings = Settings::load(&sources)?;
    let config = Resolved::from_settings(&settings)?;
    for doubt in settings.doubts() {
        say(&format!("WARNING: {doubt}"));
    }
    start_log(&config.log)?;
    let (static_dir, has_lab) = (config.static_dir.clone(), config.has_lab());
    let runtime = runtime()?;
    runtime.block_on(async {
        // Before the server, so that no signal finds the default action.
        let mut signals = Signals::new()?;
        let running = Server::start(config).map_err(|error| Failure::failed(format!("{error:#}")))?;
        if let Some((path, _)) = &sources.file {
            tracing::info!(file = %path.display(), "configuration read");
        }
        write_banner(&running.addresses, static_dir.as_deref())?;
        warn_of_strangers(&running.addresses, has_lab);
        let name = signals.next().await;
        tracing::info!(signal = name, "going away; clients are told (once more: end at once)");
        tokio::select! {
            () = running.stop() => Ok(()),
            _ = signals.next() => Err(Failure::quiet(INTERRUPTED)),
        }
    })
}

/// The log goes to stderr, without colours where nobody looks.
fn start_log(filter: &str) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(filter).map_err(|error| Failure::usage(format!("log: {error}")))?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false)
        .try_init()
        .map_err(|error| Failure::failed(format!("cannot start the log: {error}")))
}

fn write_banner(addresses: &[SocketAddr], static_dir: Option<&Path>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(banner(addresses, static_dir).as_bytes()).and_then(|()| out.flush()) {
        // A server goes on when nobody reads what it said at its start.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

fn banner(addresses: &[SocketAddr], static_dir: Option<&Path>) -> String {
    let urls: Vec<_> = addresses.iter().map(|address| url(*address)).collect();
    let first = urls.first().map_or("", String::as_str);
    let mut text = format!(
        "\n  efir {} is on air\n\n    page     {first}/\n    listen   curl -N '{first}/channels/chat?transport=http-stream'\n    say      curl -d 'Привет' {first}/channels/chat\n",
        env!("CARGO_PKG_VERSION"),
    );
    if let Some(dir) = static_dir {
        text.push_str(&format!("    files    {}\n", dir.display()));
    }
    for url in urls.iter().skip(1) {
        text.push_str(&format!("    also     {url}/\n"));
    }
    text.push_str("\n  Ctrl-C ends it.\n\n");
    text
}

/// A URL that works on this machine: nobody can connect to "all addresses".
fn url(address: SocketAddr) -> String {
    let ip = address.ip();
    if ip.is_unspecified() {
        return format!("http://localhost:{}", address.port());
    }
    format!("http://{address}")
}

fn warn_of_strangers(addresses: &[SocketAddr], has_lab: bool) {
    let open: Vec<_> =
        addresses.iter().filter(|address| !address.ip().is_loopback()).map(SocketAddr::to_string).collect();
    if open.is_empty() {
        return;
    }
    say(&format!(
        "WARNING: {} can be reached from other machines, and nothing protects it:",
        open.join(" and ")
    ));
    say(
        "  whoever reaches it may read and publish every channel, without a password and without encryption.",
    );
    if has_lab {
        say(
            "  The transport lab is on, too: they may let this server publish and hold connections (docs/operating/lab.md).",
        );
    }
    say("  Keep it behind a firewall or a proxy that checks who asks, or listen on 127.0.0.1.");
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> Result<Self, Failure> {
        let catch =
            |kind| signal(kind).map_err(|error| Failure::failed(format!("cannot catch signals: {error}")));
        Ok(Self { interrupt: catch(SignalKind::interrupt())?, terminate: catch(SignalKind::terminate())? })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_banner_shows_urls_that_work() {
        let addresses = ["0.0.0.0:8080".parse().unwrap(), "[::1]:81".parse().unwrap()];
        let text = banner(&addresses, None);
        assert!(text.contains("curl -d 'Привет' http://localhost:8080/channels/chat\n"), "{text}");
        assert!(text.contains("also     http://[::1]:81/\n"), "{text}");
    }
}
