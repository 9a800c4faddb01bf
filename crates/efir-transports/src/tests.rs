//! Whole answers of [`handle`] over the polled carrier: what the tables of the single files cannot show.

use std::time::Duration;

use bytes::Bytes;
use efir_core::{Limits, Times};
use efir_engine::Hub;
use http::{Request, Response, request::Builder};
use http_body_util::{BodyExt, Full};

use super::*;

fn site() -> Site {
    let times = Times {
        hold_ms_min: 1,
        rotation_ms_min: 60,
        rotation_ms_max: 60,
        heartbeat_ms: 25,
        ..Times::default()
    };
    Site::new(Hub::new(Limits::default(), times), SiteOptions::default())
}

fn request(method: &str, uri: &str) -> Builder {
    Request::builder().method(method).uri(uri).header("host", "localhost")
}

fn get(uri: &str) -> Builder {
    request("GET", uri)
}

async fn send(site: &Site, request: Builder, body: &'static str) -> Response<Bytes> {
    let request = request.body(Full::new(Bytes::from_static(body.as_bytes()))).unwrap();
    let answered = async {
        match handle(site, request, CarrierHint::Polled).await {
            Reply::Whole(response) => response,
            Reply::Batch(response) => {
                response.map(|pieces| Bytes::from(pieces.into_iter().flatten().collect::<Vec<u8>>()))
            }
            Reply::Held(held) => {
                let (parts, body) = held.into_response().await.into_parts();
                Response::from_parts(parts, body.collect().await.unwrap().to_bytes())
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(10), answered).await.expect("an answer")
}

async fn ask(site: &Site, request: Builder) -> Response<Bytes> {
    send(site, request, "").await
}

fn text(response: &Response<Bytes>) -> &str {
    std::str::from_utf8(response.body()).unwrap()
}

fn header<'a>(response: &'a Response<Bytes>, name: &str) -> &'a str {
    response.headers().get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
}

fn json(response: &Response<Bytes>) -> serde_json::Value {
    serde_json::from_slice(response.body()).unwrap()
}

#[tokio::test]
async fn a_message_is_read_by_every_transport_that_has_a_body() {
    let site = site();
    let published = send(&site, request("POST", "/channels/чат"), "Привет, 世界 👋").await;
    assert_eq!(published.status(), 200);
    assert_eq!(header(&published, "efir-cursor"), json(&published)["position"]);
    for uri in ["?last=5", "?last=5&wait=1", "?last=5&transport=sse", "?last=5&transport=http-stream"] {
        let response = ask(&site, get(&format!("/channels/%D1%87%D0%B0%D1%82{uri}"))).await;
        assert!(text(&response).contains(r#""data":"Привет, 世界 👋""#), "{uri}: {}", text(&response));
        assert_eq!(header(&response, "vary"), "Accept, Prefer, Origin", "{uri}");
    }
}

#[tokio::test]
async fn a_stream_begins_with_hello_gives_signs_of_life_and_rotates() {
    let site = site();
    let events = ask(&site, get("/channels/a").header("accept", "text/event-stream")).await;
    assert_eq!(header(&events, "content-type"), "text/event-stream");
    assert_eq!(header(&events, "x-accel-buffering"), "no");
    assert_eq!(header(&events, "incremental"), "?1");
    let blocks: Vec<_> = text(&events).split("\n\n").collect();
    assert!(blocks[0].starts_with("retry: ") && blocks[1].contains("event: hello\n"), "{blocks:?}");
    assert!(blocks[2].contains("event: heartbeat\n") && blocks[2].starts_with("id: "), "{blocks:?}");
    assert!(text(&events).trim_end().rsplit('\n').next().unwrap().starts_with("retry: "), "{blocks:?}");

    let lines = ask(&site, get("/channels/a").header("accept", "application/x-ndjson")).await;
    let lines: Vec<serde_json::Value> =
        text(&lines).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(
        lines[0]["hello"]["cursor"].is_string() && lines[1]["heartbeat"]["cursor"].is_string(),
        "{lines:?}"
    );
}

#[tokio::test]
async fn events_of_several_channels_share_their_bytes_and_an_id_follows() {
    let site = site();
    for channel in ["a", "b"] {
        site.hub().publish_text(channel, "x").unwrap();
    }
    let uri = "/subscribe?channel=a&channel=b&channel=..&after=start&transport=sse";
    let events = ask(&site, get(uri)).await;
    let messages: Vec<_> =
        text(&events).split("\n\n").filter(|block| block.starts_with("data: {\"channel\"")).collect();
    assert_eq!(messages.len(), 2, "{}", text(&events));
    assert!(text(&events).contains("event: problem\n"), "the third is told");
    let ids: Vec<_> = text(&events).split("\n\n").filter_map(|block| block.strip_prefix("id: ")).collect();
    let last = ids.last().unwrap().lines().next().unwrap();
    let again = ask(&site, get("/subscribe?channel=a&channel=b").header("last-event-id", last)).await;
    assert_eq!(json(&again)["messages"].as_array().unwrap().len(), 0, "{}", text(&again));
    assert!(json(&again).get("gaps").is_none());
}

#[tokio::test]
async fn a_long_poll_ends_with_the_first_message_or_its_hold() {
    let site = site();
    let empty = ask(&site, get("/channels/a").header("prefer", "wait=0.01")).await;
    assert_eq!(empty.status(), 200);
    assert_eq!(header(&empty, "preference-applied"), "wait=0.01");
    assert_eq!(header(&empty, "cache-control"), "no-store");
    let cursor = header(&empty, "efir-cursor").to_owned();
    assert_eq!(json(&empty), serde_json::json!({"channel":"a","messages":[],"cursor":cursor,"more":false}));

    let uri = format!("/channels/a?wait=100&after={cursor}");
    let (held, receipt) = tokio::join!(ask(&site, get(&uri)), async {
        tokio::task::yield_now().await;
        site.hub().publish_text("a", "x").unwrap()
    });
    assert_eq!(json(&held)["messages"][0]["position"], receipt.position.to_string());
    assert_eq!(
        header(&held, "link"),
        format!("</channels/a?after={}&wait=100>; rel=\"next\"", receipt.position)
    );
}

#[tokio::test]
async fn a_head_never_hangs_and_has_no_body() {
    let site = site();
    for uri in [
        "/channels/a",
        "/channels/a?wait=100",
        "/channels/a?transport=sse",
        "/info",
        "/nowhere",
        "/channels/..",
    ] {
        let response = ask(&site, request("HEAD", uri)).await;
        assert!(response.body().is_empty(), "{uri}");
        let is_stream = uri.contains("sse");
        assert_eq!(header(&response, "content-length").is_empty(), is_stream, "{uri}");
        assert_eq!(header(&response, "content-type") == "text/event-stream", is_stream, "{uri}");
    }
}

#[tokio::test]
async fn trouble_that_passes_is_no_status_for_an_event_source() {
    let site = site();
    site.hub().drain();
    let events = ask(&site, get("/channels/a").header("accept", "text/event-stream")).await;
    assert_eq!((events.status().as_u16(), header(&events, "content-type")), (200, "text/event-stream"));
    assert!(
        text(&events).starts_with("retry: ") && text(&events).contains("\"code\":\"draining\""),
        "{}",
        text(&events)
    );
    let lines = ask(&site, get("/channels/a").header("accept", "application/x-ndjson")).await;
    assert_eq!((lines.status().as_u16(), json(&lines)["code"].as_str()), (503, Some("draining")));
    assert!(!header(&lines, "retry-after").is_empty());
    let poll = ask(&site, get("/channels/a?wait=100")).await;
    assert_eq!(poll.status().as_u16(), 200);
    let (times, wait) = (site.hub().times(), header(&poll, "retry-after").parse::<u64>().unwrap() * 1_000);
    assert!((times.retry_ms_min..=times.retry_ms_max).contains(&wait), "{wait}");
    // What will not pass stays an error.
    let bad = ask(&site, get("/channels/..").header("accept", "text/event-stream")).await;
    assert_eq!((bad.status().as_u16(), header(&bad, "content-type")), (400, "application/problem+json"));
}

#[tokio::test]
async fn refusals_say_what_to_do() {
    let site = site();
    let table = [
        (
            request("DELETE", "/channels/a"),
            405,
            "method_not_allowed",
            ("allow", "GET, HEAD, POST, PUT, OPTIONS"),
        ),
        (get("/channels/a/b"), 404, "not_found", ("cache-control", "no-store")),
        (get("/socket"), 426, "upgrade_required", ("sec-websocket-version", "13")),
        (get("/channels/a?transport=websocket"), 426, "upgrade_required", ("upgrade", "websocket")),
        (get("/channels/a?after=x"), 400, "invalid_cursor", ("content-type", "application/problem+json")),
        (
            request("POST", "/channels/a").header("origin", "https://evil.example"),
            403,
            "origin_refused",
            ("allow", ""),
        ),
        (request("POST", "/channels/a").header("idempotency-key", "a b"), 400, "invalid_key", ("allow", "")),
    ];
    for (request, status, code, (name, value)) in table {
        let shown = format!("{request:?}");
        let response = ask(&site, request).await;
        assert_eq!(
            (response.status().as_u16(), json(&response)["code"].as_str()),
            (status, Some(code)),
            "{shown}"
        );
        assert_eq!(header(&response, name), value, "{shown}");
    }
}

#[tokio::test]
async fn an_empty_batch_is_not_sent_twice() {
    let site = site();
    let first = ask(&site, get("/channels/a")).await;
    let (cursor, tag) = (header(&first, "efir-cursor"), header(&first, "etag"));
    let same =
        ask(&site, get(&format!("/channels/a?after={cursor}")).header("if-none-match", format!("W/{tag}")))
            .await;
    assert_eq!((same.status().as_u16(), header(&same, "etag"), same.body().len()), (304, tag, 0));
    site.hub().publish_text("a", "x").unwrap();
    let more = ask(&site, get(&format!("/channels/a?after={cursor}")).header("if-none-match", tag)).await;
    assert_eq!((more.status().as_u16(), json(&more)["messages"][0]["data"].as_str()), (200, Some("x")));
}

#[tokio::test]
async fn a_poll_of_several_shares_its_limit() {
    let site = site();
    for n in 0..10 {
        site.hub().publish_json("a", &n.to_string()).unwrap();
        site.hub().publish_json("b", &n.to_string()).unwrap();
    }
    let mut seen = Vec::new();
    let mut after = "start".to_owned();
    loop {
        let batch =
            json(&ask(&site, get(&format!("/subscribe?channel=a&channel=b&limit=3&after={after}"))).await);
        let messages = batch["messages"].as_array().unwrap();
        assert!(messages.len() <= 3 && !messages.is_empty());
        seen.extend(
            messages
                .iter()
                .map(|message| (message["channel"].to_string(), message["data"].as_u64().unwrap())),
        );
        after = batch["cursor"].as_str().unwrap().to_owned();
        if batch["more"] == false {
            break;
        }
    }
    for channel in ["\"a\"", "\"b\""] {
        let run: Vec<_> = seen.iter().filter(|(name, _)| name == channel).map(|(_, n)| *n).collect();
        assert_eq!(run, (0..10).collect::<Vec<_>>(), "{channel}");
    }
}

#[tokio::test]
async fn the_tables_stand_in_info() {
    let about = json(&ask(&site(), get("/info")).await);
    let names: Vec<_> =
        about["transports"].as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap()).collect();
    assert_eq!(names, TRANSPORTS.iter().map(|row| row.name).collect::<Vec<_>>());
    assert_eq!(about["limits"]["message_bytes_max"], 65_536);
    assert_eq!(about["times"]["heartbeat_ms"], 25);
    assert!(about["codes"].as_array().unwrap().iter().any(|code| code["name"] == "payload_too_large"));
}

#[test]
fn what_is_counted_has_the_names_of_the_transports() {
    let counted = efir_engine::Transport::ALL.map(efir_engine::Transport::name);
    assert!(crate::TRANSPORTS.iter().map(|row| row.name).eq(counted));
}
