//! Who may ask: pages of other origins, preflights, and host names.

use anyhow::{Context, Result, ensure};

use super::{http::several, scenarios};
use crate::{
    ask::Ask,
    raw::{Raw, upgrade},
    room::{Cell, Room, same},
};

scenarios! { "origin";
    Carriers preflight: "wire";
    Carriers origins: "wire";
    Carriers origins_of_a_list: "wire";
    Carriers hosts: "wire";
}

async fn preflight(cell: Cell) -> Result<()> {
    let room =
        Room::with(&cell, |settings| settings.allow_origins = vec!["https://app.example".into()]).await?;
    let ask = |origin: &str, path: &str| {
        Ask::new("OPTIONS", path)
            .with("origin", origin)
            .with("access-control-request-method", "POST")
            .with("access-control-request-headers", "content-type, idempotency-key, last-event-id")
    };
    for path in [room.path(""), "/subscribe?channel=a".into()] {
        let answer = room.ask(ask("https://app.example", &path)).await?;
        ensure!(matches!(answer.status, 200 | 204), "status {}", answer.status);
        same("origin", answer.header("access-control-allow-origin"), Some("https://app.example"))?;
        same("credentials", answer.header("access-control-allow-credentials"), Some("true"))?;
        ensure!(answer.lists("access-control-allow-methods", "POST"), "{answer:?}");
        for name in
            ["content-type", "idempotency-key", "last-event-id", "authorization", "prefer", "cache-control"]
        {
            ensure!(answer.lists("access-control-allow-headers", name), "{name}: {answer:?}");
        }
        ensure!(answer.header("access-control-max-age").is_some(), "{answer:?}");
        ensure!(answer.lists("vary", "Origin"), "{answer:?}");
    }
    let foreign = room.ask(ask("https://evil.example", &room.path(""))).await?;
    same("a foreign origin", foreign.header("access-control-allow-origin"), None)?;
    same("a foreign origin's methods", foreign.header("access-control-allow-methods"), None)?;
    room.close().await
}

/// Without configuration: no Origin, the same origin and loopback origins pass.
async fn origins(cell: Cell) -> Result<()> {
    let room = Room::open(&cell).await?;
    let own = format!("http://{}", room.node.address());
    for origin in [own.as_str(), "http://localhost:5173", "https://127.0.0.1", "http://[::1]:1"] {
        let answer = room.ask(Ask::text(room.path(""), "m").with("origin", origin)).await?;
        same("status", (origin, answer.status), (origin, 200))?;
        same("allowed", answer.header("access-control-allow-origin"), Some(origin))?;
        same("credentials", answer.header("access-control-allow-credentials"), None)?;
        for name in ["Efir-Cursor", "Link", "Retry-After"] {
            ensure!(answer.lists("access-control-expose-headers", name), "{name} is not exposed: {answer:?}");
        }
    }
    for origin in ["https://evil.example", "null", "http://localhost.evil.example", "file://"] {
        let answer = room.ask(Ask::text(room.path(""), "m").with("origin", origin)).await?;
        same("status", (origin, answer.status), (origin, 403))?;
        answer.problem("origin_refused")?;
        // Reading is left to the browser, which is told nothing that would let the page see it.
        let read = room.ask(Ask::get(room.path("")).with("origin", origin)).await?;
        same("a read", (read.status, read.header("access-control-allow-origin")), (200, None))?;
    }
    let batch = room.ask(Ask::get(room.path(""))).await?.json()?;
    same("what was published", batch["messages"].as_array().map(Vec::len), Some(4))?;
    if !cell.carrier.is_http2() {
        for path in [room.path(""), "/socket".into()] {
            let foreign = upgrade(Ask::get(path.clone()).with("origin", "https://evil.example"));
            room.ask(foreign).await?.problem("origin_refused").with_context(|| path.clone())?;
            let mut raw = Raw::connect(room.node.address()).await?;
            raw.upgrade(room.node.address(), Ask::get(path).with("origin", own.as_str())).await?;
        }
    }
    room.close().await
}

async fn origins_of_a_list(cell: Cell) -> Result<()> {
    let room =
        Room::with(&cell, |settings| settings.allow_origins = vec!["https://app.example".into()]).await?;
    let listed = room.ask(Ask::text(room.path(""), "m").with("origin", "https://app.example")).await?;
    same("status", listed.status, 200)?;
    same("allowed", listed.header("access-control-allow-origin"), Some("https://app.example"))?;
    same("credentials", listed.header("access-control-allow-credentials"), Some("true"))?;
    for origin in ["http://app.example", "https://app.example:8443", "https://x.app.example"] {
        let answer = room.ask(Ask::text(room.path(""), "m").with("origin", origin)).await?;
        answer.problem("origin_refused").with_context(|| origin.to_owned())?;
    }
    room.close().await
}

/// On a loopback bind unknown host names are refused, because only DNS rebinding leads them here.
async fn hosts(cell: Cell) -> Result<()> {
    let room = Room::with(&cell, |settings| settings.hosts = vec!["efir.example".into()]).await?;
    let port = room.node.address().port();
    for host in
        [format!("localhost:{port}"), "127.0.0.1".into(), format!("[::1]:{port}"), "efir.example".into()]
    {
        let answer = room.ask(Ask::get(room.path("")).with("host", &host)).await?;
        same("status", (host.as_str(), answer.status), (host.as_str(), 200))?;
    }
    for host in ["evil.example", "localhost.evil.example", "192.168.0.1:80"] {
        for path in [room.path(""), "/info".into(), several(&room, "")] {
            let answer = room.ask(Ask::get(path.clone()).with("host", host)).await?;
            same("status", (host, path.as_str(), answer.status), (host, path.as_str(), 421))?;
            answer.problem("host_refused")?;
        }
        let publish = room.ask(Ask::text(room.path(""), "m").with("host", host)).await?;
        publish.problem("host_refused")?;
    }
    room.close().await
}
