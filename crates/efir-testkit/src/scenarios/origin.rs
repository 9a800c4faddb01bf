//! Who may ask: pages of other origins, preflights, and host names.

use anyhow::{Context, Result, ensure};

use super::{http::several, scenarios};
use crate::{
    ask::Ask,
    carrier::Carrier,
    raw::{Raw, upgrade},
    room::{Cell, Room, same},
};

scenarios! { "origin";
    Carriers preflight: "wire";
    Carriers origins: "wire";
    Carriers origins_of_a_list: "wire";
    Carriers schemes: "wire";
    Carriers schemes_behind_a_proxy: "wire";
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

/// A page of the server's own name is its own by its own scheme only, as far as the server knows that: where it ends TLS itself.
async fn schemes(cell: Cell) -> Result<()> {
    let room = Room::with(&cell, |settings| settings.hosts = vec![NAME.into()]).await?;
    let port = room.node.address().port();
    let with_port = format!("{NAME}:{port}");
    for (host, origin, is_own) in [
        (NAME, format!("https://{NAME}"), true),
        (NAME, format!("https://{NAME}:443"), true),
        (&with_port, format!("https://{with_port}"), true),
        // In cleartext a proxy in front may have ended TLS, and only it knows.
        (NAME, format!("http://{NAME}"), !cell.carrier.is_tls()),
        (&with_port, format!("http://{with_port}"), !cell.carrier.is_tls()),
        (NAME, format!("https://{with_port}"), false),
        (NAME, format!("http://{NAME}:443"), false),
        (&format!("{NAME}:80"), format!("https://{NAME}"), false),
    ] {
        is_own_page(&room, Ask::new("", "").with("host", host).with("origin", origin), is_own).await?;
    }
    room.close().await
}

/// What a trusted proxy says of the scheme counts, and what anybody else says does not.
async fn schemes_behind_a_proxy(cell: Cell) -> Result<()> {
    use efir_server::config::networks::Written;
    for (written, http, https) in [
        (Written::XForwardedFor, ("x-forwarded-proto", "http"), ("x-forwarded-proto", "https")),
        (
            Written::Forwarded,
            ("forwarded", "for=192.0.2.1;proto=http"),
            ("forwarded", "for=192.0.2.1;proto=https"),
        ),
    ] {
        for is_trusted in [true, false] {
            let room = Room::with(&cell, |settings| {
                settings.hosts = vec![NAME.into()];
                settings.trust.written = written;
                if is_trusted {
                    settings.trust.proxies = "127.0.0.1".parse().into_iter().collect();
                }
            })
            .await?;
            for ((header, said), scheme) in [(http, "http"), (https, "https")] {
                for origin in ["http", "https"] {
                    let is_own = match (is_trusted, cell.carrier.is_tls()) {
                        // Somebody's application knows no proxies of ours.
                        _ if cell.carrier == Carrier::Axum => true,
                        (true, _) => origin == scheme,
                        (false, true) => origin == "https",
                        (false, false) => true,
                    };
                    let ask = Ask::new("", "").with("host", NAME).with(header, said);
                    is_own_page(&room, ask.with("origin", format!("{origin}://{NAME}")), is_own).await?;
                }
            }
            room.close().await?;
        }
    }
    Ok(())
}

const NAME: &str = "efir.example";

/// Whether a page that sends these headers publishes, reads and opens sockets, or does none of that.
async fn is_own_page(room: &Room, page: Ask, is_own: bool) -> Result<()> {
    let what = format!("{:?}", page.headers);
    let ask = |method: &str, path: String| {
        let mut ask = if method == "POST" { Ask::text(path, "m") } else { Ask::get(path) };
        ask.headers.extend(page.headers.iter().cloned());
        ask
    };
    let origin = page.headers.iter().find(|(name, _)| name == "origin").map(|(_, origin)| origin.as_str());
    let publish = room.ask(ask("POST", room.path(""))).await?;
    let read = room.ask(ask("GET", room.path(""))).await?;
    let allowed = read.header("access-control-allow-origin");
    same("a publish", (&what, publish.status), (&what, if is_own { 200 } else { 403 }))?;
    same("a read", (&what, read.status, allowed), (&what, 200, origin.filter(|_| is_own)))?;
    if !is_own {
        publish.problem("origin_refused")?;
    }
    if !room.cell.carrier.is_http2() {
        for path in [room.path(""), "/socket".into()] {
            let bytes = upgrade(ask("GET", path)).bytes(room.node.address());
            let mut raw = Raw::send(room.node.address(), &bytes).await?;
            let status = raw.head("GET").await?.status;
            same("a socket", (&what, status), (&what, if is_own { 101 } else { 403 }))?;
        }
    }
    Ok(())
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
