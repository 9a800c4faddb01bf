//! A reverse proxy in front of a server: nginx, HAProxy or Caddy as Debian packages them, set up word by word as the papers of
//! docs/operating print it. Only the addresses are others, and where a scenario asks for it the times are shorter.
//!
//! `MATRIX_FRONT=nginx` (or `haproxy`, `haproxy-v2`, `nginx-tls`, `haproxy-tls`, `caddy`) in the environment puts one in front of every server of the matrix: see [`holes`] for
//! what is left out then. Knows processes and papers; nothing of channels.

use std::{
    fs::File,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use tokio::net::TcpSocket;

use crate::{binary::own_address, carrier::Carrier, tls};

pub mod holes;
pub mod paper;

/// How often another port is tried where somebody was quicker.
const STARTS_MAX: usize = 3;
/// How long a proxy may take to listen, on a machine that is busy with others.
const START_MAX: Duration = Duration::from_secs(10);

/// Which proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    /// nginx 1.22.
    Nginx,
    /// The same with the lines for TLS.
    NginxTls,
    /// HAProxy 2.6.
    Haproxy,
    /// The same, telling efir whom it speaks for by the PROXY protocol.
    HaproxyV2,
    /// HAProxy with the lines for TLS.
    HaproxyTls,
    /// Caddy 2.6, without TLS: it would fetch its certificate from the internet.
    Caddy,
}

impl Program {
    /// All of them.
    pub const ALL: &[Self] =
        &[Self::Nginx, Self::NginxTls, Self::Haproxy, Self::HaproxyV2, Self::HaproxyTls, Self::Caddy];

    /// The name in the names of tests.
    pub fn name(self) -> &'static str {
        match self {
            Self::NginxTls => "nginx-tls",
            Self::HaproxyV2 => "haproxy-v2",
            Self::HaproxyTls => "haproxy-tls",
            _ => self.paper(),
        }
    }

    /// The name of the program and of its paper.
    pub fn paper(self) -> &'static str {
        match self {
            Self::Nginx | Self::NginxTls => "nginx",
            Self::Haproxy | Self::HaproxyV2 | Self::HaproxyTls => "haproxy",
            Self::Caddy => "caddy",
        }
    }

    /// Whether what the paper prints has times after which the proxy gives a silent connection up.
    pub fn has_times(self) -> bool {
        self != Self::Caddy
    }

    /// Whether clients speak TLS with it.
    pub fn is_tls(self) -> bool {
        matches!(self, Self::NginxTls | Self::HaproxyTls)
    }

    /// What clients may speak with it.
    pub fn carriers(self) -> &'static [Carrier] {
        if self.is_tls() { Carrier::TLS } else { &[Carrier::H1] }
    }

    /// The name of a cell: which proxy, and what is spoken with it where that is not plain HTTP/1.1.
    pub fn column(self, carrier: Carrier) -> String {
        if carrier.is_tls() { format!("{}-{carrier}", self.paper()) } else { self.name().into() }
    }

    fn command(self, folder: &std::path::Path, file: &std::path::Path) -> Command {
        let mut command = Command::new(self.paper());
        match self {
            // One process, which dies when it is killed.
            Self::Nginx | Self::NginxTls => {
                command.arg("-p").arg(folder).arg("-g").arg("daemon off; master_process off;").arg("-c")
            }
            Self::Haproxy | Self::HaproxyV2 | Self::HaproxyTls => command.arg("-db").arg("-f"),
            Self::Caddy => command.args(["run", "--adapter", "caddyfile", "--config"]),
        };
        command.arg(file).env("HOME", folder).env("XDG_DATA_HOME", folder).env("XDG_CONFIG_HOME", folder);
        // nginx is where a user's PATH may not look.
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{path}:/usr/sbin"));
        command
    }
}

/// The proxy that the environment asks for.
///
/// # Errors
/// When it names one that nobody knows.
pub fn chosen() -> Result<Option<Program>> {
    let Some(name) = std::env::var_os("MATRIX_FRONT").filter(|name| !name.is_empty()) else {
        return Ok(None);
    };
    let program = Program::ALL.iter().find(|program| name == program.name());
    program.copied().map(Some).with_context(|| format!("MATRIX_FRONT: {name:?} is no proxy with a paper"))
}

/// A running proxy; ended when dropped.
pub struct Front {
    child: Child,
    address: SocketAddr,
    /// Keeps the port, see [`reserved`].
    _reserved: TcpSocket,
    folder: PathBuf,
}

impl Front {
    /// Starts one in front of `server`, its times divided by `shorter`.
    ///
    /// # Errors
    /// When the program is missing, the paper does not print what it should, or the program refuses that.
    pub async fn start(program: Program, server: SocketAddr, shorter: u32) -> Result<Self> {
        let printed = paper::printed(program)?;
        let mut last = None;
        for _ in 0..STARTS_MAX {
            // The certificate is for 127.0.0.1 only.
            let host = if program.is_tls() { Ipv4Addr::LOCALHOST } else { own_address() };
            let reserved = reserved(host)?;
            let address = reserved.local_addr()?;
            let text = paper::placed(program, &printed, address, server)?;
            let mut front = Self::spawn(program, &paper::shortened(&text, shorter), reserved)?;
            tls::remember(address, program.is_tls());
            match front.until_it_listens().await {
                Ok(()) => return Ok(front),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| anyhow::anyhow!("never tried")))
            .with_context(|| format!("{} does not start", program.name()))
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    fn spawn(program: Program, text: &str, reserved: TcpSocket) -> Result<Self> {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("efir-front-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let file = folder.join("configuration");
        std::fs::write(&file, text)?;
        let said = File::create(folder.join("said"))?;
        let mut command = program.command(&folder, &file);
        command.stdin(Stdio::null()).stdout(said.try_clone()?).stderr(said);
        let child = command.spawn().with_context(|| format!("starting {}", program.name()))?;
        Ok(Self { child, address: reserved.local_addr()?, _reserved: reserved, folder })
    }

    async fn until_it_listens(&mut self) -> Result<()> {
        let listens = async {
            while tokio::net::TcpStream::connect(self.address).await.is_err() {
                if let Some(status) = self.child.try_wait()? {
                    let said = std::fs::read_to_string(self.folder.join("said")).unwrap_or_default();
                    bail!("it ended with {status}: {said}");
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            Ok(())
        };
        tokio::time::timeout(START_MAX, listens).await.context("it does not listen")?
    }
}

/// A port which the system gives to nobody who asks for any, as long as this socket is there; it does not listen, so a proxy may take it.
/// Without it a server of another test could get the port before the proxy does: HAProxy would then share it with that server
/// (`SO_REUSEPORT`), and each would get half of the connections.
fn reserved(host: Ipv4Addr) -> Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(true)?;
    socket.bind(SocketAddr::from((host, 0)))?;
    Ok(socket)
}

impl Drop for Front {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        drop(std::fs::remove_dir_all(&self.folder));
    }
}
