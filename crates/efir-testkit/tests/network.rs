//! The fault proxy does what it says, and the Rust client leaves a path that fell silent, over every carrier and transport.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use efir_client::{
    Client, ClientOptions, FollowEvent, FollowOptions, Following, HttpVersion, Start, Transport,
};
use efir_testkit::{
    carrier::Carrier,
    node::{Node, Settings},
    proxy::{Kind, Proxy, Severity},
    tls,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

const SEVERITY: Severity = Severity { bytes_max: 2_000, can_repeat: false };
const PATIENCE: Duration = Duration::from_secs(20);

fn client(proxy: &Proxy, carrier: Carrier) -> Result<Client> {
    let version = if carrier.is_http2() { HttpVersion::H2c } else { HttpVersion::Http1 };
    let options = ClientOptions { version, tls: Some(tls::trust()), ..ClientOptions::default() };
    let scheme = if carrier.is_tls() { "https" } else { "http" };
    Ok(Client::with_options(&format!("{scheme}://{}", proxy.address()), options)?)
}

/// Over HTTP/2 all exchanges share one connection: what is asked for again must not go the dead way.
#[tokio::test(flavor = "multi_thread")]
async fn a_path_that_falls_silent_is_left_over_every_carrier() -> Result<()> {
    let mut runs = JoinSet::new();
    for carrier in [Carrier::H1, Carrier::H2c, Carrier::TlsH2] {
        for transport in Transport::ALL {
            runs.spawn(async move {
                left(carrier, transport).await.with_context(|| format!("{transport} over {carrier}"))
            });
        }
    }
    while let Some(ended) = runs.join_next().await {
        ended??;
    }
    Ok(())
}

async fn left(carrier: Carrier, transport: Transport) -> Result<()> {
    let node = Node::start(carrier, Settings::short()).await?;
    let proxy = Proxy::before(node.address(), 1, SEVERITY).await?;
    let options = FollowOptions {
        backoff_min: Duration::from_millis(5),
        backoff_max: Duration::from_millis(20),
        wait: Duration::from_millis(200),
        poll_interval: Some(Duration::from_millis(10)),
        grace: Duration::from_millis(500),
        limit: None,
    };
    let following = Following::channel(transport, "a").start(Start::Beginning).options(options);
    let mut follow = client(&proxy, carrier)?.follow(following);
    let mut seen = Vec::new();
    for n in 1..=2 {
        node.publish_inside("a", &format!("m{n}"))?;
        let received = async {
            while seen.len() < n {
                if let FollowEvent::Message(message) = follow.next().await? {
                    seen.push(message.text().unwrap_or_default());
                }
            }
            Ok::<_, anyhow::Error>(())
        };
        tokio::time::timeout(PATIENCE, received)
            .await
            .with_context(|| format!("message {n} does not come"))??;
        proxy.silence();
    }
    ensure!(seen == ["m1", "m2"], "{seen:?}");
    node.stop().await
}

/// A server that sends back what it gets.
async fn echo() -> Result<std::net::SocketAddr> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut read, mut write) = stream.split();
                drop(tokio::io::copy(&mut read, &mut write).await);
            });
        }
    });
    Ok(address)
}

#[tokio::test]
async fn an_honest_wire_carries_everything_and_a_bad_one_breaks_in_every_way() -> Result<()> {
    let proxy = Proxy::before(echo().await?, 5, SEVERITY).await?;
    let sent: Vec<u8> = (0..=255).cycle().take(5_000).collect();
    let mut stream = TcpStream::connect(proxy.address()).await?;
    stream.write_all(&sent).await?;
    let mut came = vec![0; sent.len()];
    stream.read_exact(&mut came).await?;
    ensure!(came == sent && proxy.faults() == 0, "an honest wire changes nothing");
    proxy.spoil();
    for _ in 0..300 {
        let mut stream = TcpStream::connect(proxy.address()).await?;
        let exchanged = async {
            stream.write_all(&sent).await?;
            let mut came = Vec::new();
            stream.read_to_end(&mut came).await?;
            Ok::<_, std::io::Error>(came)
        };
        // Silence is given up, as a client does it.
        if let Ok(Ok(came)) = tokio::time::timeout(Duration::from_millis(60), exchanged).await {
            ensure!(sent.starts_with(&came), "what comes is what was sent");
        }
    }
    for (kind, count) in Kind::ALL.into_iter().zip(proxy.counts()) {
        ensure!((count > 0) == (kind != Kind::Repeat), "{}: {count}", kind.name());
    }
    Ok(())
}
