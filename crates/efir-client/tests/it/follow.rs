//! Following against a scripted server: what is asked for after each end, what is dropped, and how long it waits.

use std::time::Duration;

use crate::scripted::{Scripted, Then, answer, message, stream};
use efir_client::{Client, ClientError, Follow, FollowEvent, FollowOptions, Following, Start, Transport};

const SSE: &str = "text/event-stream";
const JSON: &str = "application/json";
const PROBLEM: &str = "application/problem+json";

/// Waits of at most 1 ms, so that only what the server asks for is seen.
fn quick() -> FollowOptions {
    FollowOptions {
        backoff_min: Duration::from_millis(1),
        backoff_max: Duration::from_millis(1),
        poll_interval: Some(Duration::from_millis(1)),
        ..FollowOptions::default()
    }
}

fn follow(server: &Scripted, transport: Transport) -> Follow {
    let client = Client::new(&server.url()).unwrap();
    client.follow(Following::channel(transport, "a").options(quick()))
}

async fn next(follow: &mut Follow) -> FollowEvent {
    tokio::time::timeout(Duration::from_secs(10), follow.next()).await.expect("an event in time").unwrap()
}

/// The positions of the next `count` messages; other events are skipped.
async fn positions(follow: &mut Follow, count: usize) -> Vec<String> {
    let mut positions = Vec::new();
    while positions.len() < count {
        if let FollowEvent::Message(message) = next(follow).await {
            positions.push(message.position);
        }
    }
    positions
}

fn event(position: &str) -> String {
    format!("id: {position}\ndata: {}\n\n", message("a", position))
}

fn hello(cursor: &str) -> String {
    format!(
        "id: {cursor}\nevent: hello\ndata: {{\"channel\":\"a\",\"cursor\":\"{cursor}\",\"heartbeat_ms\":15000}}\n\n"
    )
}

#[tokio::test]
async fn a_stream_is_resumed_after_the_last_message() {
    let server = Scripted::start(vec![
        (stream(SSE, &format!("{}{}{}", hello("e-0"), event("e-1"), event("e-2"))), Then::Close),
        // The server repeats one, as it may after a cut within a flush.
        (stream(SSE, &format!("{}{}{}", hello("e-1"), event("e-2"), event("e-3"))), Then::Hang),
    ])
    .await;
    let mut follow = follow(&server, Transport::Sse);
    assert_eq!(next(&mut follow).await, FollowEvent::Online { transport: Transport::Sse });
    assert_eq!(positions(&mut follow, 2).await, ["e-1", "e-2"]);
    assert!(matches!(next(&mut follow).await, FollowEvent::Offline { .. }));
    assert_eq!(next(&mut follow).await, FollowEvent::Online { transport: Transport::Sse });
    assert_eq!(positions(&mut follow, 1).await, ["e-3"]);
    assert_eq!(server.header(0, "last-event-id"), None);
    assert_eq!(server.header(1, "last-event-id").as_deref(), Some("e-2"));
    assert_eq!(follow.cursor().as_deref(), Some("e-3"));
}

#[tokio::test]
async fn the_first_cursor_is_given_as_after() {
    let server = Scripted::start(vec![
        (stream(SSE, &hello("e-3")), Then::Close),
        (stream(SSE, &format!("{}{}", hello("e-3"), event("e-4"))), Then::Hang),
    ])
    .await;
    let client = Client::new(&server.url()).unwrap();
    let following =
        Following::channel(Transport::Sse, "a").start(Start::After("e-3".into())).options(quick());
    assert_eq!(positions(&mut client.follow(following), 1).await, ["e-4"]);
    assert_eq!(server.lines()[0], "GET /channels/a?after=e-3 HTTP/1.1");
    assert_eq!(
        (server.header(0, "last-event-id"), server.header(1, "last-event-id").as_deref()),
        (None, Some("e-3"))
    );
}

#[tokio::test]
async fn a_drop_before_the_first_message_resumes_at_the_hello() {
    let server = Scripted::start(vec![
        (stream(SSE, &hello("e-7")), Then::Close),
        (stream(SSE, &format!("{}{}", hello("e-7"), event("e-8"))), Then::Hang),
    ])
    .await;
    let mut follow = follow(&server, Transport::Sse);
    assert_eq!(positions(&mut follow, 1).await, ["e-8"]);
    assert_eq!(server.header(1, "last-event-id").as_deref(), Some("e-7"));
}

#[tokio::test]
async fn a_gap_comes_before_what_follows_it() {
    let gap = "id: f-4\nevent: gap\ndata: {\"channel\":\"a\",\"reason\":\"epoch_changed\",\"after\":\"e-1\",\"resume_from\":\"f-4\",\"epoch\":\"f\"}\n\n";
    let server = Scripted::start(vec![
        (stream(SSE, &format!("{}{}{gap}", hello("e-0"), event("e-1"))), Then::Close),
        (stream(SSE, &format!("{}{}", hello("f-4"), event("f-5"))), Then::Hang),
    ])
    .await;
    let mut follow = follow(&server, Transport::Sse);
    assert_eq!(positions(&mut follow, 1).await, ["e-1"]);
    let FollowEvent::Gap(gap) = next(&mut follow).await else { panic!("no gap") };
    assert_eq!((gap.reason.as_str(), gap.resume_from.as_str()), ("epoch_changed", "f-4"));
    assert_eq!(positions(&mut follow, 1).await, ["f-5"]);
    assert_eq!(server.header(1, "last-event-id").as_deref(), Some("f-4"), "the gap is not asked for again");
}

#[tokio::test]
async fn retry_and_retry_after_are_obeyed() {
    let draining = r#"{"code":"draining","action":"retry_later","detail":"going away","retry_after_ms":60}"#;
    let server = Scripted::start(vec![
        (stream(SSE, &format!("retry: 40\n{}", hello("e-0"))), Then::Close),
        (
            stream(SSE, &format!("retry: 40\n{}event: problem\ndata: {draining}\n\n", hello("e-0"))),
            Then::Close,
        ),
        (answer("503 Busy", PROBLEM, draining), Then::KeepOpen),
    ])
    .await;
    let mut follow = follow(&server, Transport::Sse);
    let mut waits = Vec::new();
    while waits.len() < 3 {
        if let FollowEvent::Offline { reason, retry_in } = next(&mut follow).await {
            waits.push((reason, retry_in.as_millis()));
        }
    }
    assert!(matches!(&waits[0], (reason, 40..=41) if reason == "the server ended the stream"), "{waits:?}");
    assert!(matches!(&waits[1], (reason, 60..=61) if reason == "going away (draining)"), "{waits:?}");
    assert!(matches!(&waits[2], (reason, 60..=61) if reason == "going away (draining)"), "{waits:?}");
}

#[tokio::test]
async fn a_refusal_for_good_is_told_and_can_be_tried_again() {
    let refusal = r#"{"code":"invalid_channel","action":"stop","detail":"no","status":400,"channel":"a"}"#;
    let server = Scripted::start(vec![
        (answer("400 Bad", PROBLEM, refusal), Then::KeepOpen),
        (stream(SSE, &format!("event: problem\ndata: {refusal}\n\n")), Then::Close),
        (stream(SSE, &hello("e-0")), Then::Hang),
    ])
    .await;
    let mut follow = follow(&server, Transport::Sse);
    for _ in ["as an answer", "in the stream"] {
        let error = follow.next().await.unwrap_err();
        assert!(matches!(&error, ClientError::Problem(problem) if problem.status == 400), "{error:?}");
    }
    assert_eq!(next(&mut follow).await, FollowEvent::Online { transport: Transport::Sse });
}

#[tokio::test]
async fn a_silent_stream_is_given_up() {
    let quick_hello = hello("e-0").replace("15000", "10");
    let server = Scripted::start(vec![
        (stream(SSE, &quick_hello), Then::Hang),
        (stream(SSE, &format!("{}{}", hello("e-0"), event("e-1"))), Then::Hang),
    ])
    .await;
    let client = Client::new(&server.url()).unwrap();
    let options = FollowOptions { grace: Duration::from_millis(50), ..quick() };
    let mut follow = client.follow(Following::channel(Transport::Sse, "a").options(options));
    assert!(matches!(next(&mut follow).await, FollowEvent::Online { .. }));
    let FollowEvent::Offline { reason, .. } = next(&mut follow).await else { panic!("still online") };
    assert_eq!(reason, "the next heartbeat: nothing within 60ms");
    assert_eq!(positions(&mut follow, 1).await, ["e-1"]);
}

fn batch(inner: &str, cursor: &str, more: bool) -> String {
    answer("200 OK", JSON, &format!(r#"{{"channel":"a",{inner},"cursor":"{cursor}","more":{more}}}"#))
}

#[tokio::test]
async fn long_polling_begins_now_and_goes_on_from_each_cursor() {
    let gap = r#""gap":{"channel":"a","reason":"trimmed","after":"e-4","resume_from":"e-6","epoch":"e"}"#;
    let one = |position: &str| format!(r#""messages":[{}]"#, message("a", position));
    let server = Scripted::start(vec![
        (batch(&one("e-3"), "e-3", false), Then::KeepOpen),
        (batch(&one("e-4"), "e-4", false), Then::KeepOpen),
        (batch(&format!("{gap},{}", one("e-7")), "e-7", true), Then::KeepOpen),
        (batch(r#""messages":[]"#, "e-7", false), Then::KeepOpen),
        (batch(&one("e-8"), "e-8", false), Then::KeepOpen),
    ])
    .await;
    let mut follow = follow(&server, Transport::LongPoll);
    assert_eq!(next(&mut follow).await, FollowEvent::Online { transport: Transport::LongPoll });
    assert_eq!(positions(&mut follow, 1).await, ["e-4"], "what was there before is not delivered");
    assert!(matches!(next(&mut follow).await, FollowEvent::Gap(_)));
    assert_eq!(positions(&mut follow, 2).await, ["e-7", "e-8"]);
    assert_eq!(
        server.lines(),
        [
            "GET /channels/a?limit=1 HTTP/1.1",
            "GET /channels/a?after=e-3&wait=25 HTTP/1.1",
            "GET /channels/a?after=e-4&wait=25 HTTP/1.1",
            "GET /channels/a?after=e-7&wait=25 HTTP/1.1",
            "GET /channels/a?after=e-7&wait=25 HTTP/1.1",
        ]
    );
}

#[tokio::test]
async fn an_answer_that_comes_again_says_nothing_new() {
    let gap =
        r#""gap":{"channel":"a","reason":"epoch_changed","after":"e-4","resume_from":"f-0","epoch":"f"}"#;
    let one = |position: &str| format!(r#""messages":[{}]"#, message("a", position));
    let repeated = batch(&format!("{gap},{}", one("f-1")), "f-1", false);
    let server = Scripted::start(vec![
        (repeated.clone(), Then::KeepOpen),
        (repeated.clone(), Then::KeepOpen),
        (batch(&one("f-2"), "f-2", false), Then::KeepOpen),
        (repeated, Then::KeepOpen),
        (batch(&one("f-3"), "f-3", false), Then::KeepOpen),
    ])
    .await;
    let client = Client::new(&server.url()).unwrap();
    let following =
        Following::channel(Transport::ShortPoll, "a").start(Start::After("e-4".into())).options(quick());
    let mut follow = client.follow(following);
    let mut seen = Vec::new();
    while seen.last().map(String::as_str) != Some("f-3") {
        match next(&mut follow).await {
            FollowEvent::Gap(gap) => seen.push(format!("gap to {}", gap.resume_from)),
            FollowEvent::Message(message) => seen.push(message.position),
            _ => {}
        }
    }
    assert_eq!(seen, ["gap to f-0", "f-1", "f-2", "f-3"]);
    assert_eq!(server.lines()[4], "GET /channels/a?after=f-2 HTTP/1.1", "no answer leads back");
}

#[tokio::test]
async fn a_switch_of_transport_keeps_the_cursor() {
    let server = Scripted::start(vec![
        (stream(SSE, &format!("{}{}", hello("e-0"), event("e-1"))), Then::Hang),
        (batch(&format!(r#""messages":[{}]"#, message("a", "e-2")), "e-2", false), Then::KeepOpen),
        (
            stream(
                "application/x-ndjson",
                &format!("{{\"hello\":{{\"channel\":\"a\",\"cursor\":\"e-2\"}}}}\n{}\n", message("a", "e-3")),
            ),
            Then::Hang,
        ),
    ])
    .await;
    let mut follow = follow(&server, Transport::Sse);
    assert_eq!(positions(&mut follow, 1).await, ["e-1"]);
    follow.switch(Transport::ShortPoll);
    assert_eq!(next(&mut follow).await, FollowEvent::Online { transport: Transport::ShortPoll });
    assert_eq!(positions(&mut follow, 1).await, ["e-2"]);
    follow.switch(Transport::HttpStream);
    assert_eq!(positions(&mut follow, 1).await, ["e-3"]);
    assert_eq!(
        server.lines()[1..],
        ["GET /channels/a?after=e-1 HTTP/1.1", "GET /channels/a?after=e-2 HTTP/1.1"]
    );
}

#[tokio::test]
async fn cancelled_calls_lose_nothing() {
    let events: String = (1..=200).map(|n| event(&format!("e-{n}"))).collect();
    let server = Scripted::start(vec![(stream(SSE, &format!("{}{events}", hello("e-0"))), Then::Hang)]).await;
    let mut follow = follow(&server, Transport::Sse);
    let mut seen = Vec::new();
    while seen.len() < 200 {
        // Each call is dropped at its first wait.
        let polled = std::future::poll_fn(|cx| {
            let mut call = std::pin::pin!(follow.next());
            std::task::Poll::Ready(call.as_mut().poll(cx))
        });
        match polled.await {
            std::task::Poll::Ready(Ok(FollowEvent::Message(message))) => seen.push(message.position),
            std::task::Poll::Ready(other) => {
                assert!(matches!(other, Ok(FollowEvent::Online { .. })), "{other:?}");
            }
            std::task::Poll::Pending => tokio::task::yield_now().await,
        }
    }
    assert_eq!(seen, (1..=200).map(|n| format!("e-{n}")).collect::<Vec<_>>());
}

#[tokio::test]
async fn one_bad_channel_of_several_is_told_and_the_others_go_on() {
    let epoch = "00000000001";
    let first = format!(
        "{}\n{}\n{}\n",
        format_args!(r#"{{"hello":{{"channels":[{{"channel":"a","cursor":"{epoch}-4"}}],"cursor":"T"}}}}"#),
        r#"{"problem":{"code":"invalid_channel","action":"stop","detail":"no","channel":".."}}"#,
        message("a", &format!("{epoch}-5"))
    );
    let server = Scripted::start(vec![
        (stream("application/x-ndjson", &first), Then::Close),
        (stream("application/x-ndjson", &first.replace("-5", "-6")), Then::Hang),
    ])
    .await;
    let client = Client::new(&server.url()).unwrap();
    let following =
        Following::channels(Transport::HttpStream, ["a", ".."]).start(Start::Beginning).options(quick());
    let mut follow = client.follow(following);
    assert!(matches!(next(&mut follow).await, FollowEvent::Online { .. }));
    assert!(
        matches!(next(&mut follow).await, FollowEvent::Problem(problem) if problem.code == "invalid_channel")
    );
    assert_eq!(positions(&mut follow, 2).await, [format!("{epoch}-5"), format!("{epoch}-6")]);
    let lines = server.lines();
    assert_eq!(lines[0], "GET /subscribe?channel=a&channel=..&after=start HTTP/1.1");
    assert!(lines[1].ends_with(&format!(".{epoch}-5 HTTP/1.1")), "{}", lines[1]);
}
