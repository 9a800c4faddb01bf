//! `efir serve`: the configuration, the log, the server, what to try, and the end at SIGINT or SIGTERM, or after a successor has taken over.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::banner::{Trial, banner};
use super::{Failure, INTERRUPTED, ServeFlags, runtime};
use crate::config::access::exposed;
use crate::config::{ConfigError, Flags, Resolved, Settings, Sources};
use crate::handover::{Handed, predecessor::Predecessor};
use crate::log::Log;
use crate::notify::notify;
use crate::{Running, Server};

pub(super) fn run(flags: ServeFlags) -> Result<(), Failure> {
    let mut predecessor = Predecessor::of_process();
    let served = serve(flags, predecessor.as_mut());
    if let (Some(predecessor), Err(failure)) = (&mut predecessor, &served) {
        predecessor.say_failed(&failure.text);
    }
    served
}

fn serve(flags: ServeFlags, predecessor: Option<&mut Predecessor>) -> Result<(), Failure> {
    let flags = flags.flags()?;
    let sources = Sources::of_process(flags.clone())?;
    let settings = Settings::load(&sources)?;
    let config = Resolved::from_settings(&settings)?;
    let log = Log::start(&config.log, config.log_format)
        .map_err(|error| Failure::failed(format!("cannot start the log: {error}")))?;
    for doubt in settings.doubts() {
        tracing::warn!(event = "config_doubt", doubt, "the configuration may have a mistake");
    }
    let failed = |error: anyhow::Error| Failure::failed(format!("{error:#}"));
    let handed = Handed::of_process(predecessor.is_some()).map_err(failed)?;
    let (static_dir, has_lab) = (config.static_dir.clone(), config.has_lab());
    let trial = Trial::of(&config);
    let open = exposed(&config).filter(|_| config.is_open);
    let runtime = runtime()?;
    runtime.block_on(async {
        // Before the server, so that no signal finds the default action.
        let mut signals = Signals::new()?;
        let mut running = Server::prepare(config, handed).map_err(failed)?;
        if let Some((path, _)) = &sources.file {
            tracing::info!(event = "config_read", file = %path.display(), "configuration read");
        }
        running.reloader().read_from(Box::new(move || read_again(&flags)), log);
        go_on_air(&running, predecessor)?;
        let urls = urls(&running.addresses, &running.tls_addresses);
        write_banner(&banner(&urls, static_dir.as_deref(), &trial))?;
        tell_of_strangers(open, &running.addresses, has_lab);
        let name = signals.until_end(&mut running).await;
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

/// Accepts, once a server that was there before does no more.
fn go_on_air(running: &Running, predecessor: Option<&mut Predecessor>) -> Result<(), Failure> {
    let open = || running.open().map_err(|error| Failure::failed(format!("{error:#}")));
    let Some(predecessor) = predecessor else {
        open()?;
        notify("READY=1");
        return Ok(());
    };
    predecessor
        .until_it_stops()
        .map_err(|error| Failure::failed(format!("the server before does not stop accepting: {error}")))?;
    open()?;
    predecessor.say_on();
    Ok(())
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
    upgrade: Signal,
    asked: Asked,
}

/// Signals that ask for the end.
struct Asked {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> Result<Self, Failure> {
        let catch =
            |kind| signal(kind).map_err(|error| Failure::failed(format!("cannot catch signals: {error}")));
        Ok(Self {
            hangup: catch(SignalKind::hangup())?,
            upgrade: catch(SignalKind::user_defined2())?,
            asked: Asked {
                interrupt: catch(SignalKind::interrupt())?,
                terminate: catch(SignalKind::terminate())?,
            },
        })
    }

    /// Reloads at each SIGHUP, starts a successor at each SIGUSR2; gives the name of the signal that leads to the end.
    async fn until_end(&mut self, running: &mut Running) -> &'static str {
        loop {
            tokio::select! {
                name = self.asked.end() => {
                    notify("STOPPING=1");
                    return name;
                }
                _ = self.hangup.recv() => {
                    notify("RELOADING=1");
                    let reloader = Arc::clone(running.reloader());
                    // It reads files. What came of it stands in the log.
                    let _ = tokio::task::spawn_blocking(move || reloader.reload()).await;
                    notify("READY=1");
                }
                _ = self.upgrade.recv() => {
                    tracing::info!(event = "upgrade_begun", "a successor is started");
                    // Whoever wants the end now gets it, and there is no successor then.
                    let handed_over = tokio::select! {
                        handed_over = running.hand_over() => handed_over,
                        name = self.asked.end() => return name,
                    };
                    match handed_over {
                        Ok(process) => {
                            tracing::info!(event = "upgraded", process, "a successor accepts connections");
                            notify(&format!("READY=1\nMAINPID={process}"));
                            return "SIGUSR2";
                        }
                        Err(error) => {
                            let why = format!("{error:#}");
                            tracing::error!(event = "upgrade_failed", why, "there is no successor; this server serves on");
                        }
                    }
                }
            }
        }
    }

    async fn end(&mut self) -> &'static str {
        self.asked.end().await
    }
}

impl Asked {
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
