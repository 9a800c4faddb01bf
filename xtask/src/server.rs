//! A server of our own to measure and test against: started on a free loopback port, ended when dropped.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
pub(crate) use efir_bench::http::get;

/// A running `efir serve`.
pub(crate) struct Server {
    child: Child,
    address: SocketAddr,
}

/// How long a start may take, even on a machine that is busy building.
const START_MAX: Duration = Duration::from_secs(20);

impl Server {
    /// Starts the binary on a free port of 127.0.0.1 with its defaults.
    ///
    /// # Errors
    /// When it cannot be started, ends at once, or does not answer in time.
    pub(crate) fn start(binary: &Path) -> Result<Self> {
        Self::start_by(Command::new(binary), &[], free_port()?)
    }

    /// Starts it by a command to which `serve` is added, so that the environment can configure it. It listens on
    /// 127.0.0.1 and on `others`, open to whoever comes.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub(crate) fn start_by(command: Command, others: &[Ipv4Addr], port: u16) -> Result<Self> {
        let also = |other: &Ipv4Addr| ["--open".into(), "--listen".into(), format!("{other}:{port}")];
        Self::start_with(command, &others.iter().flat_map(also).collect::<Vec<_>>(), port)
    }

    /// The same with more words for `serve`.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub(crate) fn start_with(mut command: Command, more: &[String], port: u16) -> Result<Self> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        command.args(["serve", "--log", "warn", "--listen", &address.to_string()]).args(more);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::inherit());
        let child = command.spawn().with_context(|| format!("starting {:?}", command.get_program()))?;
        let mut server = Self { child, address };
        let deadline = Instant::now() + START_MAX;
        loop {
            if get(server.address, "/info").is_ok() {
                return Ok(server);
            }
            if let Some(status) = server.child.try_wait()? {
                bail!("the server ended at once: {status}");
            }
            if Instant::now() > deadline {
                bail!("the server does not answer on {address}");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Ends it in good order, and waits for that.
    ///
    /// # Errors
    /// When it does not end well.
    pub(crate) fn terminate(mut self) -> Result<()> {
        let told = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status()?;
        let status = self.child.wait()?;
        anyhow::ensure!(told.success() && status.success(), "the server ended with {status}");
        Ok(())
    }

    /// Sees that it has ended well, by itself.
    ///
    /// # Errors
    /// When it did not end well.
    pub(crate) fn ended(mut self) -> Result<()> {
        let status = self.child.wait()?;
        anyhow::ensure!(status.success(), "the server ended with {status}");
        Ok(())
    }

    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A port that nobody listens on right now.
///
/// # Errors
/// When the system has none.
pub(crate) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}
