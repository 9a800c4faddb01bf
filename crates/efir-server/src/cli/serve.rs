//! `efir serve`: the configuration, the log, the server, what to try, and the end at SIGINT or SIGTERM.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::banner::{Trial, banner};
use super::{Failure, INTERRUPTED, ServeFlags, runtime};
use crate::Server;
use crate::config::access::exposed;
use crate::config::{ConfigError, Flags, Resolved, Settings, Sources};
use crate::log::Log;
use crate::reload::Reloader;

pub(super) fn run(flags: ServeFlags) -> Result<(), Failure> {
    let flags = flags.flags()?;
    let sources = Sources::of_process(flags.clone())?;
    let settings = Settings::load(&sources)?;
    let config = Resolved::from_settings(&settings)?;
    let log = Log::start(&config.log, config.log_format)
        .map_err(|error| Failure::failed(format!("cannot start the log: {error}")))?;
    for doubt in settings.doubts() {
        tracing::warn!(event = "config_doubt", doubt, "the configuration may have a mistake");
    }
    let (static_dir, has_lab) = (config.static_dir.clone(), config.has_lab());
    let trial = Trial::of(&config);
    let open = exposed(&config).filter(|_| config.is_open);
    let runtime = runtime()?;
    runtime.block_on(async {
        // Before the server, so that no signal finds the default action.
        let mut signals = Signals::new()?;
        let running = Server::start(config).map_err(|error| Failure::failed(format!("{error:#}")))?;
        if let Some((path, _)) = &sources.file {
            tracing::info!(event = "config_read", file = %path.display(), "configuration read");
        }
        running.reloader().read_from(Box::new(move || read_again(&flags)), log);
        let urls = urls(&running.addresses, &running.tls_addresses);
        write_banner(&banner(&urls, static_dir.as_deref(), &trial))?;
        tell_of_strangers(open, &running.addresses, has_lab);
        let name = signals.until_end(running.reloader()).await;
        tracing::info!(
            event = "draining",
            signal = name,
            "going away; clients are told (once more: end at once)"
        );
        tokio::select! {
            () = running.stop() => Ok(()),
            _ = signals.end() => Err(Failure::quiet(INTERRUPTED)),
        }
    })
}

/// The configuration as it would be if the server started now. The flags stay what they were.
fn read_again(flags: &Flags) -> Result<Resolved, Vec<ConfigError>> {
    let sources = Sources::of_process(flags.clone()).map_err(|error| vec![error])?;
    Resolved::from_settings(&Settings::load(&sources)?)
}

fn write_banner(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // A server goes on when nobody reads what it said at its start.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// Where the server is reached from this machine.
fn urls(addresses: &[SocketAddr], tls_addresses: &[SocketAddr]) -> Vec<String> {
    let cleartext = addresses.iter().map(|address| url("http", *address));
    cleartext.chain(tls_addresses.iter().map(|address| url("https", *address))).collect()
}

/// A URL that works on this machine: nobody can connect to "all addresses".
fn url(scheme: &str, address: SocketAddr) -> String {
    let ip = address.ip();
    if ip.is_unspecified() {
        return format!("{scheme}://localhost:{}", address.port());
    }
    format!("{scheme}://{address}")
}

/// That everybody may do everything is what somebody has said; that it is so is said at each start.
fn tell_of_strangers(open: Option<(&'static str, String)>, addresses: &[SocketAddr], has_lab: bool) {
    if let Some((_, why)) = open {
        tracing::warn!(
            event = "open_to_strangers",
            why,
            addresses = addresses.iter().map(SocketAddr::to_string).collect::<Vec<_>>().join(" "),
            has_lab,
            "everybody who reaches this server may read and publish everything"
        );
    }
}

struct Signals {
    hangup: Signal,
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> Result<Self, Failure> {
        let catch =
            |kind| signal(kind).map_err(|error| Failure::failed(format!("cannot catch signals: {error}")));
        Ok(Self {
            hangup: catch(SignalKind::hangup())?,
            interrupt: catch(SignalKind::interrupt())?,
            terminate: catch(SignalKind::terminate())?,
        })
    }

    /// Reloads at each SIGHUP; gives the name of the signal that asks for the end.
    async fn until_end(&mut self, reloader: &Arc<Reloader>) -> &'static str {
        loop {
            tokio::select! {
                _ = self.interrupt.recv() => return "SIGINT",
                _ = self.terminate.recv() => return "SIGTERM",
                _ = self.hangup.recv() => {
                    let reloader = Arc::clone(reloader);
                    // It reads files. What came of it stands in the log.
                    let _ = tokio::task::spawn_blocking(move || reloader.reload()).await;
                }
            }
        }
    }

    async fn end(&mut self) -> &'static str {
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
        let text = banner(
            &urls(&addresses, &["127.0.0.1:443".parse().unwrap()]),
            None,
            &Trial::of(&Resolved::default()),
        );
        assert!(text.contains("curl -d 'Привет' http://localhost:8080/channels/chat\n"), "{text}");
        assert!(text.contains("also     http://[::1]:81/\n"), "{text}");
        assert!(text.contains("also     https://127.0.0.1:443/\n"), "{text}");
    }
}
