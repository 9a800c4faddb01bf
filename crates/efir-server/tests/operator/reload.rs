//! The configuration, read again.

use serde_json::{Value, json};

use crate::running::{Running, folder};

fn heartbeat(running: &Running) -> Value {
    let (_, body) = running.ask("GET /info", "", b"");
    let about: Value = serde_json::from_str(&body).unwrap();
    about["times"]["heartbeat_ms"].clone()
}

/// Whether a page of this origin may read.
fn is_allowed(running: &Running, origin: &str) -> bool {
    let publish = running.ask("POST /channels/chat", &format!("Origin: {origin}\r\n"), b"x");
    publish.0 < 300
}

#[test]
fn what_is_valid_is_taken_over_and_the_rest_is_named() {
    let folder = folder();
    let file = folder.join("efir.toml");
    std::fs::write(&file, "workers = 1\n").unwrap();
    let running = Running::start_in(&folder, &["times.hold=7s"], &[]);
    assert_eq!((heartbeat(&running), is_allowed(&running, "https://app.example")), (json!(15_000), false));

    let fresh = "workers = 2\nallow_origins = \"https://app.example\"\nlog = \"debug\"\n\
                 [times]\nheartbeat = \"3s\"\nhold = \"9s\"\n[retention]\nmessages = 5\n[limits]\nmessage_bytes_max = 10\n";
    std::fs::write(&file, fresh).unwrap();
    running.signal("HUP");
    let told = running.event("reloaded");
    assert_eq!(told["taken_over"], "log, allow_origins, limits.message_bytes_max, times.heartbeat");
    assert_eq!(told["needs_restart"], "workers, retention.messages");
    assert_eq!((heartbeat(&running), is_allowed(&running, "https://app.example")), (json!(3_000), true));
    assert_eq!(running.ask("POST /channels/chat", "", b"0123456789a").0, 413);
    let metrics = running.metrics("");
    assert_eq!(metrics.value("efir_limit{limit=\"message_bytes_max\",unit=\"bytes\"}"), Some(10.0));
    assert_eq!(
        metrics.value("efir_limit{limit=\"retention_messages_max\",unit=\"messages\"}"),
        Some(10_000.0)
    );
    assert_eq!(metrics.value("efir_reloads_total{outcome=\"taken_over\"}"), Some(1.0));
}

#[test]
fn what_is_not_valid_changes_nothing() {
    let folder = folder();
    let file = folder.join("efir.toml");
    std::fs::write(&file, "allow_origins = \"https://app.example\"\n").unwrap();
    let running = Running::start_in(&folder, &[], &[]);
    for (index, wrong) in [
        "allow_origins = \"https://other.example\"\n[times]\nheartbeat = \"3 apples\"\n",
        "allow_origins = \"https://other.example\"\nhartbeat = 1\n",
        "allow_origins = \"https://other.example\"\n[limits]\nmessage_bytes_max = \"1GiB\"\n",
        "allow_origins = [\n",
    ]
    .iter()
    .enumerate()
    {
        std::fs::write(&file, wrong).unwrap();
        running.signal("HUP");
        let told = running.events_from("reload_refused", 2 * index + 1);
        assert!(told.last().unwrap()["errors"].as_str().unwrap().contains("efir.toml"), "{told:?}");
        let (status, body) = running.ask_admin("POST /reload", "");
        let told: Value = serde_json::from_str(&body).unwrap();
        assert!(status == 422 && !told["errors"].as_array().unwrap().is_empty(), "{status} {body}");
        assert_eq!(heartbeat(&running), 15_000);
        assert!(
            is_allowed(&running, "https://app.example") && !is_allowed(&running, "https://other.example")
        );
    }
    std::fs::write(&file, "allow_origins = \"https://other.example\"\n").unwrap();
    let (status, body) = running.ask_admin("POST /reload", "");
    assert_eq!(status, 200, "{body}");
    let told: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(told, json!({ "taken_over": ["allow_origins"], "needs_restart": [] }));
    assert!(!is_allowed(&running, "https://app.example") && is_allowed(&running, "https://other.example"));
}

/// Reads the channel `chat` as a stream, each time up to a line with this word.
fn reader(running: &Running) -> impl FnMut(&str) + use<> {
    use std::io::{BufRead, BufReader, Write};
    let mut stream = std::net::TcpStream::connect(&running.address).unwrap();
    stream.set_read_timeout(Some(crate::running::PATIENCE)).unwrap();
    let request = "GET /channels/chat?transport=http-stream HTTP/1.1\r\nHost: localhost\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    let mut lines = BufReader::new(stream).lines();
    let mut until = move |word: &str| while !lines.next().unwrap().unwrap().contains(word) {};
    until("hello");
    until
}

#[test]
fn an_open_stream_goes_on_through_a_reload() {
    let running = Running::start(&["times.heartbeat=100ms"]);
    let mut until = reader(&running);
    for text in ["before", "between", "after"] {
        running.ask("POST /channels/chat", "", text.as_bytes());
        until(text);
        assert_eq!(running.ask_admin("POST /reload", "").0, 200);
    }
    assert_eq!(running.events_from("reloaded", 3).len(), 3);
}

#[test]
fn who_may_no_longer_read_is_told_at_once() {
    let folder = folder();
    let file = folder.join("efir.toml");
    let rules = |subscribe: &str| {
        format!("[[rules]]\nchannels = \"**\"\nsubscribe = {subscribe:?}\npublish = \"anyone\"\n")
    };
    std::fs::write(&file, rules("anyone")).unwrap();
    let running = Running::start_in(&folder, &[], &[]);
    let mut until = reader(&running);
    // Rules that are no good leave everything as it is.
    std::fs::write(&file, rules("everybody")).unwrap();
    assert_eq!(running.ask_admin("POST /reload", "").0, 422);
    running.ask("POST /channels/chat", "", b"still here");
    until("still here");
    std::fs::write(&file, rules("nobody")).unwrap();
    let (status, body) = running.ask_admin("POST /reload", "");
    assert_eq!(status, 200, "{body}");
    assert!(body.contains("\"taken_over\":[\"rules\"]"), "{body}");
    until("forbidden");
    assert_eq!(running.ask("GET /channels/chat", "", b"").0, 403);
}

#[test]
fn rules_that_keep_less_hold_for_channels_that_are_there() {
    let folder = folder();
    let file = folder.join("efir.toml");
    let rules = |more: &str| {
        format!("[[rules]]\nchannels = \"**\"\nsubscribe = \"anyone\"\npublish = \"anyone\"\n{more}")
    };
    std::fs::write(&file, rules("")).unwrap();
    let running = Running::start_in(&folder, &[], &[]);
    let kept = || running.ask("GET /channels/chat?after=start", "", b"").1.matches("\"data\"").count();
    for _ in 0..5 {
        running.ask("POST /channels/chat", "", b"x");
    }
    assert_eq!(kept(), 5);
    // More than the node has: everything stays as it is.
    std::fs::write(&file, rules("retention_messages = 10001")).unwrap();
    let (status, body) = running.ask_admin("POST /reload", "");
    assert!(status == 422 && body.contains("rule 1 asks for 10001"), "{body}");
    assert_eq!(kept(), 5);
    std::fs::write(&file, rules("retention_messages = 2")).unwrap();
    let (status, body) = running.ask_admin("POST /reload", "");
    assert!(status == 200 && body.contains("\"taken_over\":[\"rules\"]"), "{body}");
    assert_eq!(kept(), 2);
    running.ask("POST /channels/chat", "", b"x");
    assert_eq!(kept(), 2);
}
