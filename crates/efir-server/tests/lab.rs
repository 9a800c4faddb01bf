//! The transport lab by its URLs: who may use it, its clock and its generator. Its networks are in `lab_network.rs`.

#[path = "lab/wire.rs"]
#[allow(dead_code, reason = "the other tests of the lab need the rest")]
mod wire;

use std::time::{SystemTime, UNIX_EPOCH};

use wire::{Node, wait_until};

fn now_ms() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64() * 1_000.0
}

#[test]
fn it_is_on_where_nobody_else_can_reach_it_and_otherwise_only_when_asked_for() {
    let everywhere = || vec!["0.0.0.0:0".parse().unwrap()];
    let node = Node::with(|config| config.listen = everywhere());
    for (method, target, body) in [
        ("GET", "/lab/clock", ""),
        ("POST", "/lab/runs", r#"{"visitor":"v"}"#),
        ("GET", "/lab/runs/x", ""),
        ("PUT", "/lab/network/v", "{}"),
        ("GET", "/lab/via/v/info", ""),
        ("POST", "/lab/via/v/channels/chat", "x"),
    ] {
        let answer = node.ask(method, target, body);
        assert_eq!(answer.problem(), (404, "lab_disabled".to_owned(), String::new()), "{method} {target}");
        assert!(answer.json()["detail"].as_str().unwrap().contains("--lab"), "it says how to enable it");
    }
    assert_eq!(node.json("GET", "/info", "")["lab"], false);
    assert_eq!(
        node.json("GET", "/channels/chat", "")["messages"],
        serde_json::json!([]),
        "nothing was published"
    );

    let asked = Node::with(|config| (config.listen, config.lab) = (everywhere(), Some(true)));
    assert_eq!(asked.json("GET", "/lab/via/v/info", "")["lab"], true);
    assert_eq!(Node::start().json("GET", "/info", "")["lab"], true);
    let refused = Node::with(|config| config.lab = Some(false));
    assert_eq!(refused.ask("GET", "/lab/clock", "").status, 404);
    let behind_a_proxy = Node::with(|config| config.hosts = vec!["chat.example".into()]);
    assert_eq!(behind_a_proxy.json("GET", "/info", "")["lab"], false);
}

/// A proxy on the same machine brings strangers to a server on loopback; it says so, or speaks HTTP/1.0.
#[test]
fn who_comes_through_a_proxy_needs_a_lab_that_was_switched_on() {
    let [node, enabled] = [None, Some(true)].map(|lab| Node::with(|config| config.lab = lab));
    let proxies =
        ["Forwarded: for=192.0.2.1", "x-forwarded-for: 192.0.2.1", "X-Real-IP: 192.0.2.1", "Via: 1.1 gate"];
    for line in proxies {
        for target in ["GET /lab/clock", "POST /lab/runs", "PUT /lab/network/v", "GET /lab/via/v/info"] {
            let text =
                format!("{target} HTTP/1.1\r\nHost: localhost\r\n{line}\r\nContent-Length: 15\r\n\r\n");
            let mut wire = node.connect();
            wire.send(&format!("{text}{{\"visitor\":\"v\"}}"));
            let answer = wire.answer();
            assert_eq!(answer.problem(), (404, "lab_disabled".to_owned(), String::new()), "{text}");
            let detail = answer.json()["detail"].as_str().unwrap().to_owned();
            assert!(detail.contains("proxy") && detail.contains("`efir --lab`"), "{detail}");
            let mut wire = enabled.connect();
            wire.send(&format!("{}\r\n\r\n", text.split("\r\nContent").next().unwrap()));
            assert_ne!(wire.answer().status, 404, "{text}");
        }
    }
    // In pieces, and behind a request that may go through.
    let mut wire = node.connect();
    for line in proxies {
        assert_eq!(wire.ask("GET", "/lab/via/v/info", "").status, 200);
        wire.send("GET /lab/via/v/info HTTP/1.1\r\nHost: localhost\r\n");
        node.json("GET", "/lab/clock", "");
        wire.send(&format!("{line}\r\n\r\n"));
        assert_eq!(wire.answer().problem().1, "lab_disabled", "{line}");
    }
    let mut wire = node.connect();
    wire.send("GET /lab/clock HTTP/1.0\r\nHost: localhost\r\n\r\n");
    assert_eq!(wire.answer().problem().1, "lab_disabled");
    let public = Node::with(|config| config.allow_origins = vec!["https://chat.example".into()]);
    assert_eq!(public.ask("GET", "/lab/clock", "").problem().1, "lab_disabled");
}

#[test]
fn hosts_and_origins_are_checked_as_elsewhere() {
    let node = Node::start();
    let status = |text: &str| {
        let mut wire = node.connect();
        wire.send(text);
        wire.answer().status
    };
    for target in ["/lab/clock", "/lab/network/v", "/lab/via/v/info"] {
        assert_eq!(status(&format!("GET {target} HTTP/1.1\r\nHost: evil.example\r\n\r\n")), 421, "{target}");
    }
    let evil = "Host: localhost\r\nOrigin: https://evil.example\r\nContent-Length: 2\r\n\r\n{}";
    for request in
        ["PUT /lab/network/v", "POST /lab/runs", "DELETE /lab/runs/x", "POST /lab/via/v/channels/chat"]
    {
        assert_eq!(status(&format!("{request} HTTP/1.1\r\n{evil}")), 403, "{request}");
    }
    let mut wire = node.connect();
    wire.send("GET /lab/via/v/info HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost:5173\r\n\r\n");
    assert!(wire.answer().head.contains("access-control-allow-origin: http://localhost:5173\r\n"));
}

#[test]
fn the_clock_is_that_of_the_machine_and_goes_on() {
    let node = Node::start();
    let time = || node.json("GET", "/lab/clock", "")["time"].as_f64().unwrap();
    let (before, first, second, after) = (now_ms(), time(), time(), now_ms());
    // Two clocks that were set to one another when the server started.
    assert!(first >= before - 50.0 && second <= after + 50.0, "{before} {first} {second} {after}");
    assert!(second > first);
}

#[test]
fn a_run_publishes_every_message_and_none_before_its_time() {
    let node = Node::start();
    let asked =
        r#"{"visitor":"v","rate":50,"burst":2,"size":200,"seconds":1,"wait_ms":100,"channel":"lab:v:left"}"#;
    let run = node.json("POST", "/lab/runs", asked);
    assert_eq!(
        (&run["channel"], &run["of"], &run["ended"]),
        (&"lab:v:left".into(), &100.into(), &false.into())
    );
    let (id, begins) = (run["run"].as_str().unwrap(), run["begins"].as_f64().unwrap());
    let shown = || node.json("GET", &format!("/lab/runs/{id}"), "");
    wait_until("the end of the run", || shown()["ended"] == true);
    let shown = shown();
    assert_eq!(
        (&shown["state"], &shown["published"], &shown["refused"]),
        (&"over".into(), &100.into(), &0.into())
    );
    let batch = node.json("GET", "/channels/lab:v:left?after=start&limit=1000", "");
    let messages = batch["messages"].as_array().unwrap();
    assert_eq!(messages.len(), 100);
    for (index, message) in messages.iter().enumerate() {
        let planned = message["data"]["planned"].as_f64().unwrap();
        assert_eq!(message["data"]["n"], index as u64 + 1);
        assert!(
            (planned - begins - (index / 2) as f64 * 20.0).abs() < 0.01,
            "bursts of two each 20 ms: {message}"
        );
        // The message's own time has no fraction, and is the wall clock's.
        assert!(message["time"].as_f64().unwrap() + 50.0 >= planned, "{message}");
        let pad = message["data"]["pad"].as_str().unwrap();
        let text = format!(r#"{{"n":{},"of":100,"planned":{planned:.3},"pad":"{pad}"}}"#, index + 1);
        assert_eq!(text.len(), 200, "{text}");
    }
    assert!(now_ms() + 50.0 >= begins + 980.0, "the last was not before its time");
}

#[test]
fn runs_are_bounded_and_can_be_ended() {
    let node = Node::with(|config| config.limits.lab_runs_max = 2);
    let begin = |visitor: &str| {
        node.ask("POST", "/lab/runs", &format!(r#"{{"visitor":"{visitor}","rate":1,"seconds":60}}"#))
    };
    let first = begin("a").json();
    assert_eq!(begin("a").problem(), (429, "lab_full".into(), "lab_visitor_runs_max".into()));
    assert_eq!(begin("b").status, 201);
    let third = begin("c");
    assert_eq!(third.problem(), (429, "lab_full".into(), "lab_runs_max".into()));
    assert!(third.head.to_ascii_lowercase().contains("retry-after: "), "{}", third.head);
    let target = format!("/lab/runs/{}", first["run"].as_str().unwrap());
    let ended = node.json("DELETE", &target, "");
    assert_eq!((&ended["state"], &ended["ended"]), (&"deleted".into(), &true.into()));
    assert_eq!(node.json("GET", &target, "")["state"], "deleted");
    assert_eq!(begin("c").status, 201);
    assert_eq!(node.ask("GET", "/lab/runs/nobody", "").problem().1, "not_found");
    for (body, code, limit) in [
        (r#"{"visitor":"d","rate":201}"#, "invalid_request", "lab_messages_per_s_max"),
        (r#"{"visitor":"d","seconds":61}"#, "invalid_request", "lab_run_ms_max"),
        (r#"{"visitor":"d","size":20000}"#, "invalid_request", "lab_message_bytes_max"),
        (r#"{"visitor":"d e"}"#, "invalid_request", ""),
        ("rate=1", "invalid_json", ""),
    ] {
        assert_eq!(node.ask("POST", "/lab/runs", body).problem(), (400, code.into(), limit.into()), "{body}");
    }
    assert_eq!(node.ask("PATCH", "/lab/runs", "").problem().1, "method_not_allowed");
}
