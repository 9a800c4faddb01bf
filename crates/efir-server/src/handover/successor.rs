//! The server that comes after: the same program with the same arguments and environment, and with the listening sockets. Until it
//! is ready this one serves on; a successor that cannot start changes nothing. The other side is [`super::predecessor`].

use std::{
    os::fd::OwnedFd,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use command_fds::{CommandFdExt, FdMapping};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    time::timeout,
};

use super::{
    FIRST, Kept,
    predecessor::{FAILED, GO, ON, READY, VARIABLE},
};

/// How long a successor may take to read its configuration and be ready.
const READY_MAX: Duration = Duration::from_secs(60);
/// How long it may take to accept once it is told to.
const ON_MAX: Duration = Duration::from_secs(5);
/// Of what it says about its failure.
const WHY_BYTES_MAX: u64 = 4 * 1024;

/// A process that is to take over; ended when dropped before it has.
#[derive(Debug)]
pub(crate) struct Successor {
    child: Child,
    way: UnixStream,
    has_taken_over: bool,
}

impl Successor {
    /// Starts it with copies of these sockets.
    ///
    /// # Errors
    /// The program cannot be started, or this process may have no successor.
    pub(crate) fn start(sockets: &[Kept]) -> anyhow::Result<Self> {
        ensure!(
            std::process::id() != 1,
            "this is process 1 of its container, which ends with it; start another container instead"
        );
        // As it was called, not what the file system calls it: a new version lies there by now.
        let mut words = std::env::args_os();
        let program = words.next().context("a process without a name cannot start itself again")?;
        let (own, theirs) = std::os::unix::net::UnixStream::pair().context("a pair of sockets")?;
        let mut command = Command::new(program);
        command.args(words).stdin(Stdio::from(OwnedFd::from(theirs)));
        let names: Vec<&str> = sockets.iter().map(|kept| kept.purpose.name()).collect();
        command.env("LISTEN_FDS", sockets.len().to_string()).env("LISTEN_FDNAMES", names.join(":"));
        command.env_remove("LISTEN_PID").env(VARIABLE, std::process::id().to_string());
        let mappings = sockets.iter().zip(FIRST..).map(|(kept, child_fd)| {
            let parent_fd = OwnedFd::from(kept.listener.try_clone()?);
            Ok(FdMapping { parent_fd, child_fd })
        });
        command.fd_mappings(mappings.collect::<std::io::Result<_>>()?)?;
        let child = command.spawn().with_context(|| format!("cannot start {:?}", command.get_program()))?;
        own.set_nonblocking(true)?;
        Ok(Self { child, way: UnixStream::from_std(own)?, has_taken_over: false })
    }

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it could serve.
    ///
    /// # Errors
    /// Why it cannot, as far as it says so.
    pub(crate) async fn until_ready(&mut self) -> anyhow::Result<()> {
        self.expect(READY, READY_MAX).await
    }

    /// Lets it accept, and waits until it does.
    ///
    /// # Errors
    /// It does not.
    pub(crate) async fn go(&mut self) -> anyhow::Result<()> {
        self.way.write_all(&[GO]).await.context("the successor is gone")?;
        self.expect(ON, ON_MAX).await?;
        self.has_taken_over = true;
        Ok(())
    }

    async fn expect(&mut self, word: u8, most: Duration) -> anyhow::Result<()> {
        let said = timeout(most, self.way.read_u8()).await;
        match said.with_context(|| format!("the successor has said nothing for {most:?}"))? {
            Ok(said) if said == word => Ok(()),
            Ok(FAILED) => {
                let mut why = Vec::new();
                let _ = timeout(ON_MAX, (&mut self.way).take(WHY_BYTES_MAX).read_to_end(&mut why)).await;
                bail!("{}", String::from_utf8_lossy(&why).trim())
            }
            Ok(said) => bail!("the successor said {said:#x}"),
            Err(_) => match self.child.try_wait() {
                Ok(Some(status)) => bail!("the successor ended with {status}; its words are on stderr"),
                _ => bail!("the successor has hung up"),
            },
        }
    }
}

impl Drop for Successor {
    fn drop(&mut self) {
        if !self.has_taken_over {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
