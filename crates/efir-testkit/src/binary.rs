//! The real binary as a child process, for what can only be done to a process: killing it.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::PathBuf,
    process::Stdio,
    sync::atomic::{AtomicU8, Ordering},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use efir_client::{Client, ClientOptions, HttpVersion};
use http::{HeaderMap, Method};
use tokio::process::{Child, Command};

use crate::carrier::Carrier;

/// A running `efir`; killed when dropped.
pub struct Binary {
    child: Child,
    address: SocketAddr,
}

impl Binary {
    /// Starts it on a free port and waits until it answers.
    pub async fn start() -> Result<Self> {
        Self::start_with(&[]).await
    }

    /// The same with variables that configure it.
    pub async fn start_with(variables: &[(&str, &str)]) -> Result<Self> {
        let free = TcpListener::bind((own_address(), 0))?.local_addr()?;
        let mut binary = Self { child: spawn(free, variables)?, address: free };
        binary.until_it_answers().await?;
        Ok(binary)
    }

    /// Starts it again on the same port. `client` has used up the connections of the one before when this returns: a request
    /// on one that broke unnoticed has no answer, and is not sent twice.
    pub async fn start_again(&mut self, client: &Client) -> Result<()> {
        self.child = spawn(self.address, &[])?;
        self.until_it_answers().await?;
        let answered = async {
            while client.request(Method::GET, "/info", HeaderMap::new(), "").await.is_err() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), answered).await.context("the binary does not answer")
    }

    /// SIGKILL.
    pub async fn kill(&mut self) -> Result<()> {
        Ok(self.child.kill().await?)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its id, while it runs.
    pub fn process(&self) -> Result<u32> {
        self.child.id().context("the binary has ended")
    }

    /// A client of it.
    pub fn client(&self, carrier: Carrier) -> Result<Client> {
        let version = if carrier.is_http2() { HttpVersion::H2c } else { HttpVersion::Http1 };
        let options = ClientOptions { version, ..ClientOptions::default() };
        Ok(Client::with_options(&format!("http://{}", self.address), options)?)
    }

    async fn until_it_answers(&mut self) -> Result<()> {
        let answers = async {
            while tokio::net::TcpStream::connect(self.address).await.is_err() {
                if let Some(status) = self.child.try_wait()? {
                    anyhow::bail!("the binary ended with {status}");
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            Ok(())
        };
        tokio::time::timeout(Duration::from_secs(10), answers).await.context("the binary does not listen")?
    }
}

/// An address of the loopback network that nobody else here uses, so that no other test takes the port while nobody listens
/// on it. Elsewhere than on Linux the network has one address only.
pub(crate) fn own_address() -> Ipv4Addr {
    static STARTED: AtomicU8 = AtomicU8::new(0);
    if !cfg!(target_os = "linux") {
        return Ipv4Addr::LOCALHOST;
    }
    // The process's id keeps matrices apart that run side by side; 127.0 is everybody's.
    let [.., high, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, high | 0x80, low, 1 + STARTED.fetch_add(1, Ordering::Relaxed) % 254)
}

fn spawn(address: SocketAddr, variables: &[(&str, &str)]) -> Result<Child> {
    let path = path()?;
    let mut command = Command::new(&path);
    command
        .args(["serve", "--listen", &address.to_string()])
        .env("EFIR_TIMES__HEARTBEAT", "150ms")
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    command.spawn().with_context(|| path.display().to_string())
}

/// `EFIR_BIN`, or what cargo built beside this test.
pub(crate) fn path() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("EFIR_BIN") {
        return Ok(path.into());
    }
    let test = std::env::current_exe()?;
    // target/debug/deps/it-… → target/debug/efir
    let folder = test.parent().and_then(std::path::Path::parent).context("where the test lies")?;
    Ok(folder.join(format!("efir{}", std::env::consts::EXE_SUFFIX)))
}

/// Builds the binary where there is none, because cargo builds no binary of another package for a test. One that is there is
/// taken as it is: `cargo build -p efir-server` makes it anew.
///
/// # Errors
/// The build failed, or this was not started by cargo and there is no binary.
pub fn build_if_missing() -> Result<()> {
    let path = path()?;
    if path.is_file() {
        return Ok(());
    }
    let cargo = std::env::var_os("CARGO");
    let cargo =
        cargo.with_context(|| format!("{} is missing: cargo build -p efir-server", path.display()))?;
    let folder = path.parent().and_then(std::path::Path::parent).context("where cargo builds")?;
    let mut build = std::process::Command::new(cargo);
    build.args(["build", "-p", "efir-server", "--bin", "efir", "--target-dir"]).arg(folder);
    if path.parent().is_some_and(|folder| folder.ends_with("release")) {
        build.arg("--release");
    }
    let status = build.current_dir(env!("CARGO_MANIFEST_DIR")).status()?;
    ensure!(status.success() && path.is_file(), "{} was not built", path.display());
    Ok(())
}
