//! The server under attack: the real binary in a process of its own, whose memory and open files are looked at.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, Result, ensure};
use efir_testkit::{
    ask::{Ask, PATIENCE},
    binary::Binary,
    carrier::Carrier,
    raw::{Frame, Raw},
};
use serde_json::Value;

/// What one connection may cost at its worst.
pub(crate) const CONNECTION_BYTES_MAX: u64 = 2 << 20;
/// Files that a server opens for reasons of its own, its second worker among them, which may start a moment later.
const FILES_SLACK: usize = 16;

/// A running server.
pub(crate) struct Victim(Binary);

impl Victim {
    /// Starts one as it is without configuration.
    pub(crate) async fn start() -> Result<Self> {
        Ok(Self(Binary::start().await?))
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.0.address()
    }

    /// Asks, on a connection of its own.
    pub(crate) async fn ask(&self, ask: Ask) -> Result<efir_testkit::ask::Answer> {
        ask.send(self.address(), Carrier::H1).await
    }

    /// Fails unless it publishes and reads as ever.
    pub(crate) async fn is_well(&self) -> Result<()> {
        let published = self.ask(Ask::text("/channels/well", "still here")).await?;
        ensure!(published.status == 200, "publishing: {} {}", published.status, published.text());
        let read = self.ask(Ask::get("/channels/well?last=1")).await?;
        ensure!(read.json()?["messages"][0]["data"] == "still here", "reading: {}", read.text());
        Ok(())
    }

    /// Its files now.
    pub(crate) fn files(&self) -> Result<usize> {
        Ok(std::fs::read_dir(format!("/proc/{}/fd", self.0.process()?))?.count())
    }

    /// Waits until it has let go of every connection that was made since it had so many files.
    pub(crate) async fn lets_go(&self, files: usize) -> Result<()> {
        let gone = async {
            while self.files()? > files + FILES_SLACK {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Ok(())
        };
        let gone = tokio::time::timeout(PATIENCE, gone).await;
        gone.with_context(|| format!("files: {files} before, {:?} now", self.files()))?
    }

    /// Its memory, bytes; the greatest is forgotten.
    pub(crate) fn memory(&self) -> Result<u64> {
        // 5: the mark of the greatest begins anew (proc(5)).
        std::fs::write(format!("/proc/{}/clear_refs", self.0.process()?), "5")?;
        self.status("VmRSS:")
    }

    /// The most memory that it had since [`Victim::memory`].
    pub(crate) fn memory_most(&self) -> Result<u64> {
        self.status("VmHWM:")
    }

    fn status(&self, name: &str) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.process()?))?;
        let line = status.lines().find_map(|line| line.strip_prefix(name)).context("no such line")?;
        let kib: u64 = line.trim().trim_end_matches(" kB").parse()?;
        Ok(kib << 10)
    }
}

/// Reads a WebSocket to its close frame, whatever the server sends before; the code and the code of the problem, if one was told.
pub(crate) async fn closed(raw: &mut Raw) -> Result<(u16, String)> {
    let mut problem = String::new();
    loop {
        let frame: Frame = raw.frame().await?;
        if let Some((code, _)) = frame.close() {
            return Ok((code, problem));
        }
        if let Ok(object) = serde_json::from_slice::<Value>(&frame.payload)
            && let Some(code) = object["problem"]["code"].as_str()
        {
            code.clone_into(&mut problem);
        }
    }
}
