//! Two network namespaces with a wire between them, made for one run and taken away after it.
//!
//! In the first lives the server, in the second are clients that can be silenced: from then on no packet of theirs comes
//! through and none reaches them, not even the farewell of a closed socket. Nothing of it touches the host's own network.

use std::net::Ipv4Addr;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Result, ensure};

use crate::install::is_present;
use efir_bench::system;

/// The server's end of the wire.
pub(super) const SERVER: Ipv4Addr = Ipv4Addr::new(10, 231, 77, 1);
const CLIENTS: &str = "10.231.77.2/30";

/// Both namespaces; dropping it removes them.
pub(super) struct Namespaces {
    pub(super) server: String,
    pub(super) clients: String,
}

/// Whether they can be made here.
pub(super) fn are_possible() -> bool {
    system::is_root() && is_present("ip")
}

impl Namespaces {
    /// # Errors
    /// When the system refuses one of the steps.
    pub(super) fn make() -> Result<Self> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let own = format!("{}-{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        let made = Self { server: format!("efir-server-{own}"), clients: format!("efir-clients-{own}") };
        let (server, clients) = (made.server.as_str(), made.clients.as_str());
        let address = format!("{SERVER}/30");
        let steps: [&[&str]; 9] = [
            &["netns", "add", server],
            &["netns", "add", clients],
            &[
                "-n", server, "link", "add", "wire0", "type", "veth", "peer", "name", "wire1", "netns",
                clients,
            ],
            &["-n", server, "address", "add", &address, "dev", "wire0"],
            &["-n", clients, "address", "add", CLIENTS, "dev", "wire1"],
            &["-n", server, "link", "set", "lo", "up"],
            &["-n", clients, "link", "set", "lo", "up"],
            &["-n", server, "link", "set", "wire0", "up"],
            &["-n", clients, "link", "set", "wire1", "up"],
        ];
        for step in steps {
            ip(step)?;
        }
        Ok(made)
    }

    /// From now on every packet of the clients is dropped, both ways; returns by what.
    ///
    /// # Errors
    /// When neither the packet filter nor the wire obeys.
    pub(super) fn silence(&self) -> Result<&'static str> {
        let rules = "add table inet silence; \
                     add chain inet silence inward { type filter hook input priority 0; policy drop; }; \
                     add chain inet silence outward { type filter hook output priority 0; policy drop; }";
        if is_present("nft") && ip(&["netns", "exec", &self.clients, "nft", rules]).is_ok() {
            return Ok("packets dropped both ways by nftables");
        }
        ip(&["-n", &self.clients, "link", "set", "wire1", "down"])?;
        Ok("their link taken down")
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        for name in [&self.clients, &self.server] {
            drop(ip(&["netns", "delete", name]));
        }
    }
}

fn ip(arguments: &[&str]) -> Result<()> {
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    let status = Command::new("ip").env("PATH", path).args(arguments).status()?;
    ensure!(status.success(), "`ip {}` ended with {status}", arguments.join(" "));
    Ok(())
}

/// Runs `work` on a thread of its own inside a namespace; what it starts is there, too.
///
/// # Errors
/// Those of `work`, and when the namespace cannot be entered.
pub(super) fn inside<V: Send>(name: &str, work: impl FnOnce() -> Result<V> + Send) -> Result<V> {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            system::enter_namespace(name)?;
            work()
        });
        thread.join().unwrap_or_else(|_| Err(anyhow::anyhow!("the work inside {name} panicked")))
    })
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::net::{TcpListener, TcpStream};
    use std::time::Duration;

    use super::*;

    #[test]
    fn silenced_clients_are_heard_no_more() {
        if !are_possible() {
            eprintln!("skipped: namespaces need root and iproute2");
            return;
        }
        let made = Namespaces::make().unwrap();
        let listener = inside(&made.server, || Ok(TcpListener::bind((SERVER, 0))?)).unwrap();
        let address = listener.local_addr().unwrap();
        let connect = || Ok(TcpStream::connect_timeout(&address, Duration::from_millis(500)));
        inside(&made.clients, connect).unwrap().unwrap();
        made.silence().unwrap();
        let refused = inside(&made.clients, connect).unwrap().unwrap_err();
        assert_ne!(refused.kind(), ErrorKind::ConnectionRefused, "silence is no answer");
    }
}
