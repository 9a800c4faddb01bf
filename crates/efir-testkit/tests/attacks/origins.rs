//! Sixty origins at every endpoint and method: who is let in, who may read, and what is published.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use efir_testkit::{
    ask::{Answer, Ask},
    carrier::Carrier,
    node::{Node, Settings},
    raw::upgrade,
};

/// What becomes of an origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// As everybody who sends none.
    Own,
    /// As one of the list, with credentials.
    Listed,
    /// Nothing is published, no socket opens, and its page may read nothing.
    Foreign,
}

use Standing::{Foreign, Listed, Own};

const LIST: [&str; 3] = ["https://app.example", "https://xn--e1afmkfd.example:8443", "http://10.0.0.7"];

/// The sixty; `{port}` is the server's own. The server is asked as `localhost:{port}`.
const ORIGINS: [(&str, Standing); 60] = [
    ("http://localhost:{port}", Own),
    ("http://localhost:5173", Own),
    ("https://localhost", Own),
    ("http://127.0.0.1:{port}", Own),
    ("http://127.0.0.1", Own),
    ("https://127.8.9.10:1", Own),
    ("http://[::1]:{port}", Own),
    ("http://[::1]", Own),
    ("https://app.example", Listed),
    ("https://APP.example", Listed),
    ("https://xn--e1afmkfd.example:8443", Listed),
    ("http://10.0.0.7", Listed),
    ("http://app.example", Foreign),
    ("https://app.example:8443", Foreign),
    ("https://app.example:80", Foreign),
    ("https://x.app.example", Foreign),
    ("https://xapp.example", Foreign),
    ("https://app.example.evil", Foreign),
    ("https://app.examplee", Foreign),
    ("https://app.exampl", Foreign),
    ("https://app.example.", Foreign),
    ("https://app.example/", Foreign),
    ("https://app.example/path", Foreign),
    ("https://app.example?x", Foreign),
    ("https://app.example#x", Foreign),
    ("https://user@app.example", Foreign),
    ("https://app.example@evil.example", Foreign),
    ("https://app.example:443@evil.example", Foreign),
    ("https://evil.example/https://app.example", Foreign),
    ("https://evil.example#https://app.example", Foreign),
    ("https://app.example https://evil.example", Foreign),
    ("https://evil.example https://app.example", Foreign),
    ("https://app.example, https://evil.example", Foreign),
    ("https://app_example", Foreign),
    ("https://appXexample", Foreign),
    ("https://app.example%2eevil.example", Foreign),
    ("https://app.example%00.evil.example", Foreign),
    ("https:app.example", Foreign),
    ("https:/app.example", Foreign),
    ("https:///app.example", Foreign),
    ("//app.example", Foreign),
    ("app.example", Foreign),
    ("wss://app.example", Foreign),
    ("file://", Foreign),
    ("null", Foreign),
    ("NULL", Foreign),
    ("*", Foreign),
    ("", Foreign),
    ("https://xn--e1afmkfd.example", Foreign),
    ("https://xn--e1afmkfd.example:443", Foreign),
    ("http://10.0.0.70", Foreign),
    ("http://010.0.0.7", Foreign),
    ("http://localhost.evil.example", Foreign),
    ("http://localhost@evil.example", Foreign),
    ("http://127.0.0.1.evil.example", Foreign),
    ("http://[::2]", Foreign),
    ("http://[::ffff:10.0.0.1]", Foreign),
    ("http://2130706433", Foreign),
    ("chrome-extension://localhost", Foreign),
    ("data:text/html,localhost", Foreign),
];

/// Paths, and the methods that change something there.
const PLACES: [(&str, &[&str]); 5] = [
    ("/channels/matrix", &["POST", "PUT"]),
    ("/channels/matrix/presence", &["PUT", "DELETE"]),
    ("/subscribe?channel=matrix", &[]),
    ("/info", &[]),
    ("/socket", &[]),
];

/// V8: the whole matrix, over HTTP/1.1 and HTTP/2.
pub(crate) async fn sixty_at_every_endpoint() -> Result<()> {
    let settings = Settings { allow_origins: LIST.map(str::to_owned).to_vec(), ..Settings::short() };
    let mut cells = 0;
    for carrier in [Carrier::H1, Carrier::H2c] {
        let node = Node::start(carrier, settings.clone()).await?;
        for (origin, standing) in ORIGINS {
            let origin = origin.replace("{port}", &node.address().port().to_string());
            let matrix = Matrix { address: node.address(), carrier, origin: &origin, standing };
            cells += matrix.run().await.with_context(|| format!("{origin:?} over {carrier}"))?;
        }
        node.stop().await?;
    }
    println!("origins: {} origins, {cells} cells as specified", ORIGINS.len());
    Ok(())
}

struct Matrix<'a> {
    address: SocketAddr,
    carrier: Carrier,
    origin: &'a str,
    standing: Standing,
}

impl Matrix<'_> {
    async fn run(&self) -> Result<usize> {
        let mut cells = 0;
        for (path, unsafe_methods) in PLACES {
            for method in ["GET", "HEAD"] {
                let answer = self.ask(Ask::new(method, path)).await?;
                self.is_shared(&answer).with_context(|| format!("{method} {path}"))?;
                ensure!(answer.status != 403, "{method} {path} is refused: reading is left to CORS");
            }
            for method in unsafe_methods {
                self.writes(method, path).await.with_context(|| format!("{method} {path}"))?;
            }
            self.preflights(path).await.with_context(|| format!("OPTIONS {path}"))?;
            cells += 3 + unsafe_methods.len();
        }
        if !self.carrier.is_http2() {
            for path in ["/channels/matrix", "/subscribe?channel=matrix", "/socket"] {
                let answer = self.ask(upgrade(Ask::get(path))).await?;
                let is_open = answer.status == 101;
                ensure!(is_open == (self.standing != Foreign), "a WebSocket to {path}: {}", answer.status);
                cells += 1;
            }
        }
        Ok(cells)
    }

    async fn ask(&self, ask: Ask) -> Result<Answer> {
        let host = format!("localhost:{}", self.address.port());
        let ask = ask.with("host", host).with("origin", self.origin);
        ask.send(self.address, self.carrier).await
    }

    async fn writes(&self, method: &str, path: &str) -> Result<()> {
        // The types that a page may send without a preflight, and one that it may not.
        for kind in [
            "text/plain",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
            "application/json",
        ] {
            let (target, body) = match path.strip_suffix("/presence") {
                Some(_) => (format!("{path}?member=m"), "{}"),
                None => (path.to_owned(), "{}"),
            };
            let before = self.head(path).await?;
            let ask = Ask { method: method.into(), ..Ask::post(target, kind, body) };
            let answer = self.ask(ask).await?;
            self.is_shared(&answer).with_context(|| kind.to_owned())?;
            if self.standing == Foreign {
                answer.problem("origin_refused").with_context(|| kind.to_owned())?;
                ensure!(self.head(path).await? == before, "{kind}: something was published");
            } else {
                ensure!(answer.status == 200, "{kind}: {} {}", answer.status, answer.text());
            }
        }
        Ok(())
    }

    /// Where the log of a path stands, asked by nobody in particular.
    async fn head(&self, path: &str) -> Result<String> {
        let answer = Ask::get(path).send(self.address, self.carrier).await?;
        Ok(answer.header("efir-cursor").context("no cursor")?.to_owned())
    }

    async fn preflights(&self, path: &str) -> Result<()> {
        let ask = Ask::new("OPTIONS", path)
            .with("access-control-request-method", "POST")
            .with("access-control-request-headers", "authorization, content-type");
        let answer = self.ask(ask).await?;
        self.is_shared(&answer)?;
        let has_leave = answer.header("access-control-allow-methods").is_some();
        ensure!(has_leave == (self.standing != Foreign), "methods are told: {has_leave}");
        ensure!(answer.status < 300, "{}", answer.status);
        Ok(())
    }

    /// Whether the browser is told what it should be of this origin.
    fn is_shared(&self, answer: &Answer) -> Result<()> {
        let wanted = (self.standing != Foreign).then_some(self.origin);
        ensure!(answer.header("access-control-allow-origin") == wanted, "Allow-Origin: {answer:?}");
        let credentials = (self.standing == Listed).then_some("true");
        ensure!(answer.header("access-control-allow-credentials") == credentials, "credentials: {answer:?}");
        ensure!(answer.lists("vary", "Origin"), "Vary: {answer:?}");
        Ok(())
    }
}
