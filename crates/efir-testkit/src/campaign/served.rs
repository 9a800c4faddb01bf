//! The real binary behind any carrier, which a leg kills and starts again on the same port.

use std::{
    net::{SocketAddr, TcpListener},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use efir_client::{Client, ClientOptions, HttpVersion};
use tokio::process::{Child, Command};

use crate::{binary, carrier::Carrier, tls};

const START_MAX: Duration = Duration::from_secs(20);

/// Times short enough for a leg to have many connections, and no limit on how fast one machine may publish.
const SETTINGS: &[(&str, &str)] = &[
    ("EFIR_LOG", "error"),
    ("EFIR_WORKERS", "2"),
    ("EFIR_TIMES__HEARTBEAT", "200ms"),
    ("EFIR_TIMES__HOLD_MIN", "100ms"),
    ("EFIR_TIMES__RETRY_MIN", "5ms"),
    ("EFIR_TIMES__RETRY_MAX", "50ms"),
    ("EFIR_TIMES__ROTATION_MIN", "3s"),
    ("EFIR_TIMES__ROTATION_MAX", "9s"),
    ("EFIR_LIMITS__CONNECTION_PUBLISHES_PER_S_MAX", "1000000"),
    ("EFIR_LIMITS__CONNECTION_BYTES_PER_S_MAX", "1000000000"),
];

/// A running `efir`; killed when dropped.
pub(super) struct Served {
    child: Child,
    address: SocketAddr,
    carrier: Carrier,
}

impl Served {
    /// Starts it on a free port and waits until it listens.
    pub(super) async fn start(carrier: Carrier) -> Result<Self> {
        let address = TcpListener::bind((binary::own_address(), 0))?.local_addr()?;
        let mut served = Self { child: spawn(address, carrier)?, address, carrier };
        served.until_it_listens().await?;
        Ok(served)
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// SIGKILL; it is gone when this returns.
    pub(super) async fn kill(&mut self) -> Result<()> {
        Ok(self.child.kill().await?)
    }

    /// Starts it again on the same port.
    pub(super) async fn start_again(&mut self) -> Result<()> {
        self.child = spawn(self.address, self.carrier)?;
        self.until_it_listens().await
    }

    async fn until_it_listens(&mut self) -> Result<()> {
        let listens = async {
            while tokio::net::TcpStream::connect(self.address).await.is_err() {
                if let Some(status) = self.child.try_wait()? {
                    bail!("the server ended with {status}");
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            Ok(())
        };
        tokio::time::timeout(START_MAX, listens).await.context("the server does not listen")?
    }
}

fn spawn(address: SocketAddr, carrier: Carrier) -> Result<Child> {
    let path = binary::path()?;
    let mut command = Command::new(&path);
    let scheme = if carrier.is_tls() { "https://" } else { "" };
    command.args(["serve", "--listen", &format!("{scheme}{address}")]).envs(SETTINGS.iter().copied());
    if carrier.is_tls() {
        let files = tls::certificate()?;
        command.env("EFIR_TLS__CERTIFICATE_FILE", files.certificate).env("EFIR_TLS__KEY_FILE", files.key);
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::inherit()).kill_on_drop(true);
    command.spawn().with_context(|| path.display().to_string())
}

/// A client with connections of its own.
pub(super) fn client(address: SocketAddr, carrier: Carrier) -> Result<Client> {
    let version = if carrier.is_http2() { HttpVersion::H2c } else { HttpVersion::Http1 };
    let options = ClientOptions { version, tls: Some(tls::trust()), ..ClientOptions::default() };
    let scheme = if carrier.is_tls() { "https" } else { "http" };
    Ok(Client::with_options(&format!("{scheme}://{address}"), options)?)
}
