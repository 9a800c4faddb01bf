//! Heads that hurt other servers: too many headers, hostile lists, upgrades to everything, a byte at a time.

use anyhow::{Context, Result, ensure};
use efir_testkit::{
    ask::Ask,
    raw::{Raw, upgrade},
};

use crate::victim::{Victim, closed};

/// What a head may have without configuration.
const HEAD_BYTES_MAX: usize = 65_536;

/// V10: headers by the thousand, spaces by the ten thousand, names that mean something to a language.
pub(crate) async fn hostile_lists() -> Result<()> {
    let victim = Victim::start().await?;
    let mut crowded = upgrade(Ask::get("/channels/lists"));
    for number in 0..2_000 {
        crowded = crowded.with(&format!("x{number}"), "y");
    }
    ensure!(victim.ask(crowded).await?.status == 431, "2,000 headers");
    let spaces = " ".repeat(32 << 10);
    for list in [
        format!("a{spaces}b"),
        format!("efir{spaces},"),
        format!("{spaces},{spaces}efir"),
        ",".repeat(30_000),
    ] {
        let ask = upgrade(Ask::get("/channels/lists")).with("Sec-WebSocket-Protocol", list.clone());
        let status = victim.ask(ask).await.with_context(|| format!("{:?}", &list[..9]))?.status;
        ensure!(matches!(status, 101 | 400), "{:?}: {status}", &list[..9]);
    }
    for name in ["__proto__", "constructor", "toString", "hasOwnProperty", "prototype", "valueOf"] {
        for header in ["Sec-WebSocket-Extensions", "Sec-WebSocket-Protocol"] {
            let ask = upgrade(Ask::get("/channels/lists")).with(header, name);
            let answer = victim.ask(ask).await?;
            ensure!(
                answer.status == 101 || header.ends_with("Protocol"),
                "{header} {name}: {}",
                answer.status
            );
            ensure!(!answer.lists(header, name), "{name} was agreed on");
        }
        let answer = victim.ask(Ask::get("/channels/lists").with(name, "x")).await?;
        ensure!(answer.status == 200, "the header {name}: {}", answer.status);
    }
    victim.is_well().await
}

/// V11: lists without an end, which take a reader that begins again and again for ever.
pub(crate) async fn endless_lists() -> Result<()> {
    let victim = Victim::start().await?;
    for unit in [
        "\\",
        "\"",
        "a;",
        ";",
        "=",
        "a=\"\\\"",
        "a; b=\"\",",
        "permessage-deflate; b=\"c,",
        "permessage-deflate;",
    ] {
        let body = unit.repeat(60_000 / unit.len());
        for value in [format!("a; b=\"{body}"), body.clone(), format!("permessage-deflate; x=\"{body}")] {
            let ask = upgrade(Ask::get("/channels/lists")).with("Sec-WebSocket-Extensions", value);
            let answer = victim.ask(ask).await.with_context(|| unit.to_owned())?;
            ensure!(matches!(answer.status, 101 | 400), "{unit}: {}", answer.status);
        }
    }
    // The handshakes before RFC 6455, whose lengths had no end, are not spoken.
    for version in ["0", "6", "8", "14", "13, 8", "-1", "013", ""] {
        let ask = Ask::get("/channels/lists")
            .with("Connection", "Upgrade")
            .with("Upgrade", "websocket")
            .with("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
            .with("Sec-WebSocket-Version", version);
        let answer = victim.ask(ask).await?;
        ensure!(matches!(answer.status, 400 | 426), "version {version}: {}", answer.status);
    }
    let old = format!(
        "GET /channels/lists HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Key1: 4 @1  46546xW%0l 1 5\r\nSec-WebSocket-Key2: 12998 5 Y3 1  .P00\r\n\r\n^n:ds[4U{}",
        victim.address(),
        "\u{80}".repeat(1_000)
    );
    let mut raw = Raw::send(victim.address(), old.as_bytes()).await?;
    ensure!((400..500).contains(&raw.answer_to("GET").await?.status), "the handshake of 2010");
    victim.is_well().await
}

/// V16: `Upgrade` to every place, with every value and method.
pub(crate) async fn upgrades_everywhere() -> Result<()> {
    let victim = Victim::start().await?;
    let long = "x".repeat(8_000);
    let values = [
        "websocket",
        "WEBSOCKET",
        "h2c",
        "TLS/1.0",
        "HTTP/2.0",
        "",
        ",",
        "websocket, h2c",
        "foo/1",
        "\"websocket\"",
        "__proto__",
        &long,
    ];
    let places = [
        "/",
        "/info",
        "/traffic",
        "/subscribe",
        "/subscribe?channel=a",
        "/socket",
        "/channels/a",
        "/channels/a/presence",
        "/channels",
        "/lab/clock",
        "/lab/runs",
        "/tickets",
        "/metrics",
        "/nowhere",
        "/assets/x",
        "/%00",
        "/channels/%2e%2e",
    ];
    for place in places {
        for value in values {
            for method in ["GET", "POST", "PUT", "HEAD", "OPTIONS", "DELETE", "CONNECT"] {
                for connection in ["Upgrade", "close, Upgrade", ""] {
                    if connection != "Upgrade" && method != "GET" {
                        continue;
                    }
                    let ask = Ask::new(method, place)
                        .with("Connection", connection)
                        .with("Upgrade", value)
                        .with("Sec-WebSocket-Version", "13")
                        .with("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==");
                    let mut raw = Raw::send(victim.address(), &ask.bytes(victim.address())).await?;
                    let answer =
                        raw.head(method).await.with_context(|| format!("{method} {place} {value:?}"))?;
                    let may = method == "GET" && value.to_lowercase().contains("websocket");
                    ensure!(answer.status != 101 || may, "{method} {place} {value:?}: 101");
                    ensure!(
                        answer.status < 500 || answer.status == 503,
                        "{method} {place} {value:?}: {}",
                        answer.status
                    );
                }
            }
        }
    }
    victim.is_well().await
}

/// V20: a head in segments of one byte, and one that never ends.
pub(crate) async fn a_byte_at_a_time() -> Result<()> {
    let victim = Victim::start().await?;
    let fits =
        format!("GET /info HTTP/1.1\r\nHost: {}\r\nX: {}\r\n\r\n", victim.address(), "x".repeat(6_000));
    let mut raw = Raw::connect(victim.address()).await?;
    for byte in fits.as_bytes() {
        raw.write(&[*byte]).await?;
    }
    ensure!(raw.answer_to("GET").await?.status == 200, "a head of 6,000 segments");
    for line in ["X: ", "GET /", "\r\n"] {
        let begin = if line == "GET /" {
            line.to_owned()
        } else {
            format!("GET /info HTTP/1.1\r\nHost: {}\r\n{line}", victim.address())
        };
        let mut raw = Raw::send(victim.address(), begin.as_bytes()).await?;
        let mut sent = 0;
        while sent < 4 * HEAD_BYTES_MAX && line != "\r\n" {
            // Whole blocks at first; a byte at a time where it gets narrow.
            let block = if sent < HEAD_BYTES_MAX - 2_000 { &[b'x'; 1_000][..] } else { &b"x"[..] };
            if raw.write(block).await.is_err() || !raw.is_silent(std::time::Duration::ZERO).await {
                break;
            }
            sent += block.len();
        }
        ensure!(sent < 4 * HEAD_BYTES_MAX, "{line:?}: {sent} bytes of a head were taken");
        drop(raw);
    }
    // A WebSocket's handshake and frame, too.
    let mut raw = Raw::connect(victim.address()).await?;
    let head = upgrade(Ask::get("/socket")).bytes(victim.address());
    for byte in &head {
        raw.write(&[*byte]).await?;
    }
    ensure!(raw.answer_to("GET").await?.status == 101, "a handshake in segments of a byte");
    for byte in efir_testkit::raw::frame_bytes(0x83, b"x") {
        raw.write(&[byte]).await?;
    }
    ensure!(closed(&mut raw).await?.0 == 1002, "an unknown opcode in segments of a byte");
    victim.is_well().await
}
