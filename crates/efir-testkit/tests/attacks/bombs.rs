//! Little that becomes much: compressed, nested, in many lines, headers or fragments. What it costs is measured on the server's process.

use std::pin::Pin;

use anyhow::{Context, Result, ensure};
use efir_testkit::{
    ask::{Ask, PATIENCE},
    raw::{Opcode, Raw, TEXT_COMPRESSED, deflated, frame_bytes, upgrade},
};
use serde_json::Value;

use crate::victim::{CONNECTION_BYTES_MAX, Victim, closed};

/// Connections that do the same at once, so that what each costs adds up to something that can be seen.
const AT_ONCE: usize = 16;
/// What the greatest payload is without configuration.
const MESSAGE_BYTES_MAX: usize = 65_536;
const DEFLATE: &str = "permessage-deflate";

type Exploding<'a> = Pin<Box<dyn Future<Output = Result<()>> + 'a>>;

/// Lets many connections do the same at once and fails if one costs more than it may.
async fn measured<'a>(
    victim: &'a Victim,
    name: &str,
    explode: impl Fn(&'a Victim) -> Exploding<'a>,
) -> Result<()> {
    // The first one pays for what all others share.
    explode(victim).await.with_context(|| name.to_owned())?;
    let before = victim.memory()?;
    let mut all: Vec<Exploding<'a>> = (0..AT_ONCE).map(|_| explode(victim)).collect();
    std::future::poll_fn(|cx| {
        let mut outcome = Ok(());
        all.retain_mut(|one| match one.as_mut().poll(cx) {
            std::task::Poll::Ready(Ok(())) => false,
            std::task::Poll::Ready(Err(error)) => {
                outcome = Err(error);
                false
            }
            std::task::Poll::Pending => true,
        });
        match outcome {
            Ok(()) if !all.is_empty() => std::task::Poll::Pending,
            outcome => std::task::Poll::Ready(outcome),
        }
    })
    .await
    .with_context(|| name.to_owned())?;
    let each = victim.memory_most()?.saturating_sub(before) / AT_ONCE as u64;
    println!("bomb: {name}: {} KiB a connection", each >> 10);
    ensure!(each <= CONNECTION_BYTES_MAX, "{name}: {each} bytes a connection");
    victim.is_well().await.with_context(|| name.to_owned())
}

/// Opens a WebSocket that may compress.
async fn open(victim: &Victim, target: &str) -> Result<Raw> {
    let mut raw = Raw::connect(victim.address()).await?;
    let ask = victim.shown(Ask::get(target)).with("Sec-WebSocket-Extensions", DEFLATE);
    raw.write(&upgrade(ask).bytes(victim.address())).await?;
    let answer = raw.answer_to("GET").await?;
    ensure!(answer.status == 101, "no upgrade: {} {}", answer.status, answer.text());
    ensure!(answer.header("sec-websocket-extensions").is_some(), "nothing was agreed");
    raw.object().await?;
    Ok(raw)
}

/// Sends frames in one go and wants this close code.
async fn ends_with(raw: &mut Raw, bytes: &[u8], wanted: u16) -> Result<()> {
    // The server need not take all of it.
    let _ = raw.write(bytes).await;
    let (code, problem) = closed(raw).await?;
    ensure!(code == wanted, "closed with {code} ({problem}) instead of {wanted}");
    Ok(())
}

/// V1: who has shown nothing yet sends little that inflates to much, and much that is announced.
pub(crate) async fn flood_before_anything_is_known() -> Result<()> {
    flood(&Victim::start().await?).await
}

/// V1: the same by somebody who was let in.
pub(crate) async fn flood_after_authentication() -> Result<()> {
    flood(&Victim::start_closed().await?).await
}

async fn flood(victim: &Victim) -> Result<()> {
    // 60 MiB in 61 KB.
    let bomb = deflated(&vec![b'x'; 60 << 20])?;
    ensure!(bomb.len() < MESSAGE_BYTES_MAX, "{} bytes", bomb.len());
    for target in ["/channels/bomb", "/socket", "/subscribe?channel=bomb"] {
        let frame = frame_bytes(TEXT_COMPRESSED, &bomb);
        let is_read_only = target.starts_with("/subscribe");
        measured(victim, &format!("a thousandfold on {target}"), |victim| {
            let frame = frame.clone();
            Box::pin(async move {
                let mut raw = open(victim, target).await?;
                let _ = raw.write(&frame).await;
                let (code, _) = closed(&mut raw).await?;
                ensure!(code == 1009 || (is_read_only && code == 1008), "closed with {code}");
                Ok(())
            })
        })
        .await?;
    }
    measured(victim, "a GiB that is announced", |victim| {
        Box::pin(async move {
            let mut raw = victim.websocket("/channels/bomb").await?;
            let head = [&[0x82, 0xff][..], &(1_u64 << 30).to_be_bytes(), &[1, 2, 3, 4]].concat();
            ends_with(&mut raw, &[head, vec![0; 32 << 10]].concat(), 1009).await
        })
    })
    .await?;
    measured(victim, "a body of a GiB", |victim| {
        Box::pin(async move {
            let head = format!(
                "POST /channels/bomb HTTP/1.1\r\nHost: {}\r\n{}Content-Length: {}\r\n\r\n",
                victim.address(),
                victim.lines(),
                1_u64 << 30
            );
            let mut raw = Raw::send(victim.address(), head.as_bytes()).await?;
            let _ = raw.write(&vec![b'x'; 256 << 10]).await;
            raw.answer_to("POST").await?.problem("payload_too_large")?;
            Ok(())
        })
    })
    .await?;
    measured(victim, "chunks without an end", |victim| {
        Box::pin(async move {
            let head = format!(
                "POST /channels/bomb HTTP/1.1\r\nHost: {}\r\n{}Transfer-Encoding: chunked\r\n\r\n",
                victim.address(),
                victim.lines()
            );
            let mut raw = Raw::send(victim.address(), head.as_bytes()).await?;
            let chunk = [b"4000\r\n".to_vec(), vec![b'x'; 0x4000], b"\r\n".to_vec()].concat();
            for _ in 0..64 {
                if raw.write(&chunk).await.is_err() {
                    break;
                }
            }
            raw.answer_to("POST").await?.problem("payload_too_large")?;
            Ok(())
        })
    })
    .await
}

/// V3: the first frame is compressed, whatever was agreed.
pub(crate) async fn first_frame_compressed() -> Result<()> {
    let victim = Victim::start().await?;
    let frame = frame_bytes(TEXT_COMPRESSED, &deflated(b"hello")?);
    let parameters = [
        "",
        "server_no_context_takeover",
        "client_no_context_takeover",
        "client_max_window_bits",
        "client_max_window_bits=9",
        "server_max_window_bits=9",
    ];
    for set in 0..1_u32 << parameters.len() {
        let chosen =
            parameters.iter().enumerate().filter(|(bit, name)| set & 1 << bit != 0 && !name.is_empty());
        let offer: String =
            std::iter::once(DEFLATE).chain(chosen.map(|(_, name)| *name)).collect::<Vec<_>>().join("; ");
        let ask = upgrade(Ask::get("/channels/first")).with("Sec-WebSocket-Extensions", offer.clone());
        let mut raw = Raw::connect(victim.address()).await?;
        // Behind the handshake in one go, before anybody has agreed to anything.
        raw.write(&[ask.bytes(victim.address()), frame.clone()].concat()).await?;
        let answer = raw.answer_to("GET").await?;
        match answer.status {
            101 if answer.header("sec-websocket-extensions").is_some() => {
                while raw.message_frame().await.with_context(|| offer.clone())?.object()?["data"] != "hello" {
                }
            }
            101 => ensure!(closed(&mut raw).await?.0 == 1002, "{offer}: RSV1 without an agreement"),
            status => ensure!((400..500).contains(&status), "{offer}: {status}"),
        }
    }
    let mut raw = Raw::websocket(victim.address(), "/channels/first").await?;
    ends_with(&mut raw, &frame, 1002).await?;
    victim.is_well().await
}

/// V4: each limit counts what comes out of a frame, not what goes in.
pub(crate) async fn limits_count_what_is_inflated() -> Result<()> {
    limits_count_what_is_inflated_of(&Victim::start().await?).await
}

/// V4: the same by somebody who was let in.
pub(crate) async fn limits_count_what_is_inflated_after_authentication() -> Result<()> {
    limits_count_what_is_inflated_of(&Victim::start_closed().await?).await
}

async fn limits_count_what_is_inflated_of(victim: &Victim) -> Result<()> {
    let name = |bytes: usize| "m".repeat(bytes);
    let fits = deflated(&vec![b'x'; MESSAGE_BYTES_MAX])?;
    let over = deflated(&vec![b'x'; MESSAGE_BYTES_MAX + 1])?;
    let mut raw = open(victim, "/channels/inflated").await?;
    raw.write(&frame_bytes(TEXT_COMPRESSED, &fits)).await?;
    ensure!(
        raw.message_frame().await?.object()?["data"].as_str().map(str::len) == Some(MESSAGE_BYTES_MAX),
        "the largest"
    );
    ends_with(&mut raw, &frame_bytes(TEXT_COMPRESSED, &over), 1009).await?;
    // In pieces, each far below.
    let pieces: Vec<u8> = over
        .chunks(8)
        .enumerate()
        .flat_map(|(number, piece)| frame_bytes(if number == 0 { 0x41 } else { 0 }, piece))
        .chain(frame_bytes(0x80, b""))
        .collect();
    ends_with(&mut open(victim, "/channels/inflated").await?, &pieces, 1009).await?;
    // On /socket the limits of fields hold for what is inflated, too.
    let mut raw = open(victim, "/socket").await?;
    for (command, wanted) in [
        (format!(r#"{{"id":1,"subscribe":{{"channel":"{}"}}}}"#, name(256)), "invalid_channel"),
        (format!(r#"{{"id":1,"enter":{{"channel":"a","member":"{}"}}}}"#, name(65)), "invalid_member"),
        (
            format!(r#"{{"id":1,"publish":{{"channel":"a","text":"{}"}}}}"#, name(MESSAGE_BYTES_MAX + 1)),
            "payload_too_large",
        ),
    ] {
        raw.write(&frame_bytes(TEXT_COMPRESSED, &deflated(command.as_bytes())?)).await?;
        let reply = raw.object_past_heartbeats().await?;
        ensure!(reply["problem"]["code"] == wanted, "wanted {wanted}: {reply}");
    }
    // Bodies are not inflated at all.
    for coding in ["gzip", "deflate", "br", "zstd", "gzip, gzip"] {
        let ask = Ask::text("/channels/inflated", "x").with("Content-Encoding", coding);
        let answer = victim.ask(ask).await?;
        ensure!((400..500).contains(&answer.status), "{coding}: {}", answer.status);
    }
    victim.is_well().await
}

/// V7: lines, commas and brackets by the ten thousand.
pub(crate) async fn dense_bodies() -> Result<()> {
    dense_bodies_of(&Victim::start().await?).await
}

/// V7: the same by somebody who was let in.
pub(crate) async fn dense_bodies_after_authentication() -> Result<()> {
    dense_bodies_of(&Victim::start_closed().await?).await
}

async fn dense_bodies_of(victim: &Victim) -> Result<()> {
    for unit in ["\n", ",", "[]", "[],", "{},", "\"\",", "[", "{\"a\":", "\r\n\r\n", "0,", "null,", "[\n"] {
        let dense = unit.repeat(MESSAGE_BYTES_MAX / unit.len());
        for (target, kind) in [
            ("/channels/dense", "application/json"),
            ("/channels/dense", "application/x-ndjson"),
            ("/subscribe", "application/json"),
        ] {
            let body =
                if target == "/subscribe" { format!("{{\"channels\":[{dense}]}}") } else { dense.clone() };
            let ask = Ask::post(target, kind, body);
            measured(victim, &format!("{unit:?} to {target} as {kind}"), |victim| {
                let ask = ask.clone();
                Box::pin(async move {
                    let answer = victim.ask(ask).await?;
                    let is_message = answer.status == 200 && answer.json()?["offset"].is_u64();
                    ensure!(is_message || (400..500).contains(&answer.status), "{}", answer.status);
                    Ok(())
                })
            })
            .await?;
        }
    }
    let batch = victim.ask(Ask::get("/channels/dense?limit=1000")).await?.json()?;
    ensure!(
        batch["messages"].as_array().is_some_and(|messages| messages.len() <= 1_000),
        "a batch is bounded"
    );
    Ok(())
}

/// V17: nesting, wherever JSON is read.
pub(crate) async fn nesting() -> Result<()> {
    nesting_of(&Victim::start().await?).await
}

/// V17: the same by somebody who was let in.
pub(crate) async fn nesting_after_authentication() -> Result<()> {
    nesting_of(&Victim::start_closed().await?).await
}

async fn nesting_of(victim: &Victim) -> Result<()> {
    for (open_bracket, close_bracket) in [("[", "]"), ("{\"a\":", "}")] {
        let depth = MESSAGE_BYTES_MAX / (open_bracket.len() + close_bracket.len()) - 50;
        let nested = format!("{}1{}", open_bracket.repeat(depth), close_bracket.repeat(depth));
        let body = nested.clone();
        measured(victim, &format!("{depth} times {open_bracket} as a payload"), |victim| {
            let ask = Ask::json("/channels/nested", &body);
            Box::pin(async move { victim.ask(ask).await?.problem("invalid_json").map(drop) })
        })
        .await?;
        let frame = frame_bytes(0x81, nested.as_bytes());
        measured(victim, &format!("{depth} times {open_bracket} in a frame"), |victim| {
            let frame = frame.clone();
            Box::pin(async move {
                let mut raw = victim.websocket("/channels/nested?payload=json").await?;
                raw.write(&frame).await?;
                told(&mut raw).await
            })
        })
        .await?;
        for command in [
            format!("{{\"id\":{nested}}}"),
            format!("{{\"id\":1,\"publish\":{{\"channel\":\"a\",\"data\":{nested}}}}}"),
            nested.clone(),
        ] {
            let frame = frame_bytes(0x81, command.as_bytes());
            measured(victim, &format!("{depth} times {open_bracket} in a command"), |victim| {
                let frame = frame.clone();
                Box::pin(async move {
                    let mut raw = victim.websocket("/socket").await?;
                    raw.write(&frame).await?;
                    told(&mut raw).await
                })
            })
            .await?;
        }
    }
    victim.is_well().await
}

/// Waits for a problem in-band, or an end.
async fn told(raw: &mut Raw) -> Result<()> {
    loop {
        let frame = tokio::time::timeout(PATIENCE, raw.frame()).await??;
        let object: Value = serde_json::from_slice(&frame.payload).unwrap_or_default();
        if frame.is(Opcode::Close) || object["problem"].is_object() {
            return Ok(());
        }
    }
}

/// Headers without an end, before anything is known of who sends them.
pub(crate) async fn headers() -> Result<()> {
    headers_of(&Victim::start().await?).await
}

/// Headers without an end, by somebody who shows a token among them.
pub(crate) async fn headers_after_authentication() -> Result<()> {
    headers_of(&Victim::start_closed().await?).await
}

async fn headers_of(victim: &Victim) -> Result<()> {
    let long = format!("X: {}\r\n", "x".repeat(1 << 20));
    let many = "X-Y: z\r\n".repeat(2_000);
    let named: String = (0..2_000).map(|number| format!("X-{number}: z\r\n")).collect();
    let empty = "X:\r\n".repeat(100_000);
    for (name, lines) in [
        ("a header of a MiB", &long),
        ("2,000 headers", &many),
        ("2,000 names", &named),
        ("100,000 empty headers", &empty),
    ] {
        let shown = victim.lines();
        let head = format!("GET /channels/a HTTP/1.1\r\nHost: {}\r\n{shown}{lines}\r\n", victim.address());
        measured(victim, name, |victim| {
            let head = head.clone();
            Box::pin(async move {
                let mut raw = Raw::connect(victim.address()).await?;
                let _ = raw.write(head.as_bytes()).await;
                // Whoever writes on after the answer may lose it to a reset.
                if let Ok(answer) = raw.answer_to("GET").await {
                    ensure!(answer.status == 431, "{}", answer.status);
                }
                Ok(())
            })
        })
        .await?;
    }
    Ok(())
}
