//! The handshake: who is shown what, what is agreed on, and how little a stranger gets for it.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use efir_server::{Running, Server, config::Resolved};
use rustls::{
    ClientConfig, HandshakeKind,
    pki_types::{CertificateDer, ServerName},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::scenarios;
use crate::{
    ask::PATIENCE,
    room::{Cell, same},
    tls::{Own, trusting},
};

scenarios! { "tls";
    Carriers certificate_is_exchanged: "wire";
    Carriers reloads_fail_no_handshake: "wire";
    Carriers certificate_by_name: "wire";
    Carriers protocols: "wire";
    Carriers versions: "wire";
    Carriers session_is_resumed: "wire";
    Carriers handshake_ends_in_time: "wire";
    Carriers handshake_is_bounded: "wire";
    Carriers cleartext_is_no_handshake: "wire";
    Carriers http2_is_agreed_on_only: "wire";
    Carriers records_may_be_cut_anywhere: "wire";
}

const INFO: &[u8] = b"GET /info HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n";

/// A server with these certificates.
fn serve(own: &[&Own], change: impl FnOnce(&mut Resolved)) -> Result<(Running, SocketAddr)> {
    let mut config = Resolved {
        listen: Vec::new(),
        listen_tls: vec![([127, 0, 0, 1], 0).into()],
        certificates: own.iter().map(|own| own.files.clone()).collect(),
        workers: 1,
        ..Resolved::default()
    };
    config.times.drain_ms_max = 300;
    change(&mut config);
    let running = Server::start(config)?;
    let address = *running.tls_addresses.first().context("the server listens nowhere")?;
    Ok((running, address))
}

async fn connect(address: SocketAddr, name: &str, config: Arc<ClientConfig>) -> Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from(name.to_owned())?;
    let connecting = TlsConnector::from(config).connect(name, TcpStream::connect(address).await?);
    Ok(tokio::time::timeout(PATIENCE, connecting).await.context("no end of the handshake")??)
}

fn trusts(root: &CertificateDer<'static>) -> Arc<ClientConfig> {
    trusting([root.clone()])
}

fn offering(config: &ClientConfig, protocols: &[&[u8]]) -> Arc<ClientConfig> {
    let mut config = config.clone();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    Arc::new(config)
}

/// Asks once, and reads to the end, which must be told.
async fn ask(stream: &mut TlsStream<TcpStream>) -> Result<()> {
    stream.write_all(INFO).await?;
    let mut answer = Vec::new();
    tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await??;
    ensure!(answer.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&answer));
    Ok(())
}

/// A renewed certificate is shown from then on; connections stay, and one that is no good changes nothing.
async fn certificate_is_exchanged(_: Cell) -> Result<()> {
    let mut own = Own::make(&["localhost"])?;
    let (running, address) = serve(&[&own], |_| {})?;
    let old = trusts(&own.root);
    let mut early = connect(address, "localhost", Arc::clone(&old)).await?;
    own.renew(&["localhost"])?;
    let renewed = trusts(&own.root);
    let seen = async {
        // Nobody told the server.
        while connect(address, "localhost", Arc::clone(&renewed)).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, seen).await.context("the renewed certificate is not shown")?;
    ensure!(connect(address, "localhost", old).await.is_err(), "the old certificate is still shown");
    ask(&mut early).await.context("a connection from before")?;
    let key = std::fs::read(&own.files.key)?;
    std::fs::write(&own.files.key, "nothing")?;
    ensure!(running.reload_certificates().is_err(), "a key that is none was taken");
    ask(&mut connect(address, "localhost", Arc::clone(&renewed)).await?).await?;
    std::fs::write(&own.files.key, key)?;
    running.reload_certificates()?;
    own.renew(&["localhost"])?;
    running.reload_certificates()?;
    ask(&mut connect(address, "localhost", trusts(&own.root)).await?).await.context("told to look")?;
    running.stop().await;
    Ok(())
}

/// A thousand reloads while connections come.
async fn reloads_fail_no_handshake(_: Cell) -> Result<()> {
    let own = Own::make(&["localhost"])?;
    let (running, address) = serve(&[&own], |_| {})?;
    let running = Arc::new(running);
    let reloading = tokio::task::spawn_blocking({
        let running = Arc::clone(&running);
        move || (0..1_000).try_for_each(|_| running.reload_certificates())
    });
    let mut connected = 0;
    while !reloading.is_finished() || connected < 20 {
        let mut stream = connect(address, "localhost", trusts(&own.root)).await?;
        ask(&mut stream).await.with_context(|| format!("after {connected} connections"))?;
        connected += 1;
    }
    reloading.await??;
    if let Some(running) = Arc::into_inner(running) {
        running.stop().await;
    }
    Ok(())
}

async fn certificate_by_name(_: Cell) -> Result<()> {
    let (first, second) = (Own::make(&["first.example"])?, Own::make(&["second.example", "*.wild.example"])?);
    let (running, address) = serve(&[&first, &second], |_| {})?;
    for (name, own) in [("first.example", &first), ("second.example", &second), ("x.wild.example", &second)] {
        ask(&mut connect(address, name, trusts(&own.root)).await.context(name)?).await?;
    }
    // Whoever names nobody, or nobody known, is shown the first.
    ask(&mut connect(address, "127.0.0.1", trusts(&first.root)).await?).await?;
    ensure!(connect(address, "other.example", trusts(&first.root)).await.is_err(), "valid for any name");
    running.stop().await;
    Ok(())
}

async fn protocols(_: Cell) -> Result<()> {
    let own = Own::make(&["localhost"])?;
    let (running, address) = serve(&[&own], |_| {})?;
    let config = trusts(&own.root);
    type Offered = &'static [&'static [u8]];
    let cases: [(Offered, Option<&[u8]>); 4] = [
        (&[b"h2", b"http/1.1"], Some(b"h2")),
        (&[b"http/1.1", b"h2"], Some(b"h2")),
        (&[b"http/1.1"], Some(b"http/1.1")),
        (&[], None),
    ];
    for (offered, agreed) in cases {
        let stream = connect(address, "localhost", offering(&config, offered)).await?;
        same("agreed", stream.get_ref().1.alpn_protocol(), agreed)?;
    }
    ask(&mut connect(address, "localhost", offering(&config, &[])).await?).await?;
    let foreign = connect(address, "localhost", offering(&config, &[b"acme-tls/1"])).await;
    ensure!(foreign.is_err(), "agreed on a protocol that is not spoken");
    running.stop().await;
    Ok(())
}

async fn versions(_: Cell) -> Result<()> {
    let own = Own::make(&["localhost"])?;
    let (running, address) = serve(&[&own], |_| {})?;
    let roots = {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(own.root.clone())?;
        roots
    };
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])?
            .with_root_certificates(roots.clone())
            .with_no_client_auth();
        let mut stream = connect(address, "localhost", Arc::new(config)).await?;
        same("version", stream.get_ref().1.protocol_version(), Some(version.version))?;
        ask(&mut stream).await?;
    }
    running.stop().await;
    Ok(())
}

async fn session_is_resumed(_: Cell) -> Result<()> {
    let own = Own::make(&["localhost"])?;
    let (running, address) = serve(&[&own], |_| {})?;
    let config = trusts(&own.root);
    for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
        let mut stream = connect(address, "localhost", Arc::clone(&config)).await?;
        // The ticket comes with the answer.
        ask(&mut stream).await?;
        let seen = stream.get_ref().1.handshake_kind();
        let is_full = matches!(seen, Some(HandshakeKind::Full | HandshakeKind::FullWithHelloRetryRequest));
        ensure!(is_full == (kind == HandshakeKind::Full), "{seen:?} instead of {kind:?}");
    }
    running.stop().await;
    Ok(())
}

/// Reads until the server ends the connection.
async fn end_of(stream: &mut TcpStream) -> Result<Vec<u8>> {
    let mut got = Vec::new();
    let reading = stream.read_to_end(&mut got);
    // A reset is an end, too.
    let _ = tokio::time::timeout(PATIENCE, reading).await.context("the server goes on")?;
    Ok(got)
}

async fn handshake_ends_in_time(_: Cell) -> Result<()> {
    let own = Own::make(&["localhost"])?;
    let (running, address) = serve(&[&own], |config| config.times.handshake_ms_max = 200)?;
    let mut silent = TcpStream::connect(address).await?;
    same("nothing", end_of(&mut silent).await?.len(), 0)?;
    // One byte at a time does not make it longer.
    let (mut reading, mut writing) = TcpStream::connect(address).await?.into_split();
    let dripping = async {
        let head = [&[22, 3, 1, 0x02, 0, 1, 0, 0x01, 0xfc, 3, 3][..], &[0; 500]].concat();
        for byte in head {
            if writing.write_all(&[byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    };
    let mut place = [0; 64];
    tokio::select! {
        () = dripping => anyhow::bail!("the server waits for each byte"),
        // Whatever it is, an alert, an end or a reset: it comes before the last byte.
        _ = reading.read(&mut place) => {}
    }
    running.stop().await;
    Ok(())
}

async fn handshake_is_bounded(_: Cell) -> Result<()> {
    let own = Own::make(&["localhost"])?;
    let (running, address) = serve(&[&own], |config| config.limits.handshake_bytes_max = 150)?;
    ensure!(
        connect(address, "localhost", trusts(&own.root)).await.is_err(),
        "more than 150 bytes were taken"
    );
    running.stop().await;
    Ok(())
}

async fn cleartext_is_no_handshake(_: Cell) -> Result<()> {
    let own = Own::make(&["localhost"])?;
    let (running, address) = serve(&[&own], |_| {})?;
    for bytes in [INFO, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &[0xff; 4_000]] {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(bytes).await?;
        let got = end_of(&mut stream).await?;
        ensure!(!got.starts_with(b"HTTP/1.1 200"), "answered in cleartext: {got:?}");
    }
    ask(&mut connect(address, "localhost", trusts(&own.root)).await?).await.context("afterwards")?;
    running.stop().await;
    Ok(())
}

/// Where HTTP/1.1 was agreed on, HTTP/2's preface is a request that nobody understands (RFC 9113 §3.2).
async fn http2_is_agreed_on_only(_: Cell) -> Result<()> {
    let own = Own::make(&["localhost"])?;
    let (running, address) = serve(&[&own], |_| {})?;
    let config = offering(&trusts(&own.root), &[b"http/1.1"]);
    let mut stream = connect(address, "localhost", config).await?;
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await?;
    let mut got = Vec::new();
    tokio::time::timeout(PATIENCE, stream.read_to_end(&mut got)).await?.ok();
    ensure!(got.is_empty() || got.starts_with(b"HTTP/1.1 4"), "{got:?}");
    running.stop().await;
    Ok(())
}

/// Writes one byte at a time.
struct Dripping(TcpStream);

impl AsyncRead for Dripping {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, into)
    }
}

impl AsyncWrite for Dripping {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes.get(..1).unwrap_or_default())
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// The handshake and what follows it, byte by byte.
async fn records_may_be_cut_anywhere(_: Cell) -> Result<()> {
    let own = Own::make(&["localhost"])?;
    let (running, address) = serve(&[&own], |_| {})?;
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let name = ServerName::try_from("localhost")?;
    let mut stream = TlsConnector::from(trusts(&own.root)).connect(name, Dripping(stream)).await?;
    let keep = b"GET /info HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
    for request in [&keep[..], INFO] {
        stream.write_all(request).await?;
        stream.flush().await?;
    }
    let mut answer = Vec::new();
    tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await??;
    same("answers", String::from_utf8_lossy(&answer).matches("HTTP/1.1 200 ").count(), 2)?;
    running.stop().await;
    Ok(())
}
