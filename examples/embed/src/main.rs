//! efir inside an axum application: its own page at `/`, and a message from Rust every second.
//!
//! `cargo run -p embed`, then open the page that it names, or `curl -N localhost:8081/channels/clock -H 'Accept: text/event-stream'`.

use std::time::Duration;

use axum::{Router, response::Html, routing::get};
use efir::{Hub, Limits, Times};

const PAGE: &str = r#"<!doctype html>
<meta charset="utf-8">
<title>efir in axum</title>
<h1>Ticks from Rust</h1>
<form><input placeholder="Say something to all"><button>Send</button></form>
<ol reversed></ol>
<script type="module">
  const list = document.querySelector("ol"), input = document.querySelector("input");
  const source = new EventSource("/channels/clock?last=5");
  source.onmessage = event => {
    const item = document.createElement("li");
    item.textContent = JSON.stringify(JSON.parse(event.data).data);
    list.prepend(item);
  };
  document.querySelector("form").onsubmit = event => {
    event.preventDefault();
    fetch("/channels/clock", { method: "POST", body: input.value });
    input.value = "";
  };
</script>
"#;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let hub = Hub::new(Limits::default(), Times::default());
    let app = Router::new().route("/", get(async || Html(PAGE))).merge(efir::router(hub.clone()));

    tokio::spawn(async move {
        for tick in 1.. {
            tokio::time::sleep(Duration::from_secs(1)).await;
            if let Err(problem) = hub.publish_json("clock", &format!(r#"{{"tick":{tick}}}"#)) {
                eprintln!("not published: {problem}");
            }
        }
    });

    let listener =
        tokio::net::TcpListener::bind(std::env::var("LISTEN").unwrap_or("127.0.0.1:8081".into())).await?;
    println!("open http://{}/", listener.local_addr()?);
    axum::serve(listener, app).await
}
