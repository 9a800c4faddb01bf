//! The server under attack: the real binary in a process of its own, whose memory and open files are looked at.

use std::{
    net::SocketAddr,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, ensure};
use efir_access::{Actions, Algorithm, Claims, SigningKey};
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

/// What a closed victim knows, and whoever attacks it has: everything that a token may give.
const SECRET: &str = "a secret of a victim, and of nothing else: 32 bytes and more";
const RULES: &str = "[[rules]]\nchannels = '**'\nsubscribe = 'grant'\npublish = 'grant'\n[[token_keys]]\nname = 'app'\nalgorithms = 'HS256'\nsecret_env = 'VICTIM_SECRET'\n";

/// A running server.
pub(crate) struct Victim {
    binary: Binary,
    token: Option<String>,
}

impl Victim {
    /// Starts one as it is without configuration.
    pub(crate) async fn start() -> Result<Self> {
        Ok(Self { binary: Binary::start().await?, token: None })
    }

    /// Starts one that lets in whoever has a token only. Whatever is asked of it here shows one.
    pub(crate) async fn start_closed() -> Result<Self> {
        let name = format!("efir-victim-{}-{}.toml", std::process::id(), fastrand::u64(..));
        let file = std::env::temp_dir().join(name);
        std::fs::write(&file, RULES)?;
        let path = file.to_str().context("the folder has no name")?;
        let binary = Binary::start_with(&[("EFIR_CONFIG", path), ("VICTIM_SECRET", SECRET)]).await;
        std::fs::remove_file(&file)?;
        let since = SystemTime::now().duration_since(UNIX_EPOCH)?;
        let claims = Claims {
            user: "mallory".into(),
            expires_s: since.as_secs() + 3_600,
            grants: vec![(vec!["**".into()], Actions::ALL)],
            ..Claims::default()
        };
        let token = SigningKey::from_secret(Algorithm::Hs256, SECRET.as_bytes())?.token(None, &claims)?;
        let victim = Self { binary: binary?, token: Some(token) };
        let stranger = Ask::get("/channels/any").send(victim.address(), Carrier::H1).await?;
        ensure!(stranger.status == 401, "it is open: {}", stranger.status);
        Ok(victim)
    }

    /// With what it shows to be let in, where that is needed.
    pub(crate) fn shown(&self, ask: Ask) -> Ask {
        match &self.token {
            Some(token) => ask.with("Authorization", format!("Bearer {token}")),
            None => ask,
        }
    }

    /// The same as lines of a head.
    pub(crate) fn lines(&self) -> String {
        self.token.as_ref().map_or_else(String::new, |token| format!("Authorization: Bearer {token}\r\n"))
    }

    /// Opens a WebSocket.
    pub(crate) async fn websocket(&self, target: &str) -> Result<Raw> {
        let mut raw = Raw::connect(self.address()).await?;
        raw.upgrade(self.address(), self.shown(Ask::get(target))).await?;
        Ok(raw)
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.binary.address()
    }

    /// Asks, on a connection of its own.
    pub(crate) async fn ask(&self, ask: Ask) -> Result<efir_testkit::ask::Answer> {
        self.shown(ask).send(self.address(), Carrier::H1).await
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
        Ok(std::fs::read_dir(format!("/proc/{}/fd", self.binary.process()?))?.count())
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
        std::fs::write(format!("/proc/{}/clear_refs", self.binary.process()?), "5")?;
        self.status("VmRSS:")
    }

    /// The most memory that it had since [`Victim::memory`].
    pub(crate) fn memory_most(&self) -> Result<u64> {
        self.status("VmHWM:")
    }

    fn status(&self, name: &str) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.binary.process()?))?;
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
