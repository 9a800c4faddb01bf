//! Metrics, probes, and who may ask for them.

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpStream,
};

use crate::running::{PATIENCE, Running, efir, folder};

const KEY: &str = "0123456789abcdef-the-key";

/// A stream of JSON lines that is open; its lines can be read.
fn stream(running: &Running, query: &str) -> BufReader<TcpStream> {
    let mut stream = TcpStream::connect(&running.address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let request =
        format!("GET /channels/chat?transport=http-stream{query} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut stream = BufReader::new(stream);
    until(&mut stream, "hello");
    stream
}

fn until(stream: &mut BufReader<TcpStream>, word: &str) -> String {
    loop {
        let mut line = String::new();
        assert!(stream.read_line(&mut line).unwrap() > 0, "the stream ended before {word}");
        if line.contains(word) {
            return line;
        }
    }
}

#[test]
fn metrics_tell_what_happens() {
    let running = Running::start(&["workers=2"]);
    let mut first = stream(&running, "");
    let second = stream(&running, "");
    running.until("efir_responses{transport=\"http-stream\"}", 2.0);
    for text in ["one", "two", "three"] {
        let (status, _) = running.ask("POST /channels/chat", "Idempotency-Key: k-once\r\n", text.as_bytes());
        assert_eq!(status == 201 || status == 200, text == "one", "a key is for one message");
        running.ask("POST /channels/chat", "", text.as_bytes());
    }
    running.ask("POST /channels/chat", "Idempotency-Key: k-once\r\n", b"one");
    until(&mut first, "three");
    // four messages (one with the key, three without) to two streams
    running.until("efir_deliveries_total{transport=\"http-stream\"}", 8.0);
    drop((first, second));
    running.until("efir_responses{transport=\"http-stream\"}", 0.0);
    let (_, batch) = running.ask("GET /channels/chat?last=3", "", b"");
    assert!(batch.contains("three"), "{batch}");
    running.ask("GET /channels/chat?after=AAAAAAAAAAA-7", "", b"");
    running.ask("GET /channels/..", "", b"");
    running.ask("POST /channels/chat", "", &[b'x'; 70_000]);
    let metrics = running.metrics("");
    let value = |series: &str| metrics.value(series);
    assert_eq!(value("efir_publishes_total"), Some(4.0));
    assert_eq!(value("efir_publish_bytes_total"), Some(14.0));
    assert_eq!(value("efir_publish_duplicates_total"), Some(1.0));
    assert_eq!(value("efir_refusals_total{code=\"key_conflict\",limit=\"\"}"), Some(2.0));
    assert_eq!(
        value("efir_refusals_total{code=\"payload_too_large\",limit=\"message_bytes_max\"}"),
        Some(1.0)
    );
    assert_eq!(value("efir_gaps_total{reason=\"epoch_changed\"}"), Some(1.0), "{}", metrics.0);
    assert_eq!(value("efir_responses_total{transport=\"http-stream\"}"), Some(2.0));
    assert!(value("efir_deliveries_total{transport=\"short-poll\"}").unwrap() >= 3.0);
    assert_eq!((value("efir_channels"), value("efir_workers")), (Some(1.0), Some(2.0)));
    assert!(value("efir_log_bytes").unwrap() > 14.0);
    assert!(value("efir_limit{limit=\"message_bytes_max\",unit=\"bytes\"}") == Some(65_536.0));
    if cfg!(target_os = "linux") {
        assert!(value("process_resident_memory_bytes").unwrap() > 1e6);
        assert!(value("process_open_fds").unwrap() > 5.0);
    }
    assert!(!metrics.0.contains("chat") && !metrics.0.contains("k-once"), "{}", metrics.0);
}

#[test]
fn slow_readers_are_seen_and_given_up() {
    let running = Running::start(&["times.stall_max=1s"]);
    let slow = stream(&running, "");
    let body = vec![b'x'; 60_000];
    let mut published = 0;
    while running.metrics("").value("efir_slow_readers") != Some(1.0) {
        assert!(published < 1_000, "a reader that reads nothing takes all of it");
        running.ask("POST /channels/chat", "", &body);
        published += 1;
    }
    running.until("efir_slow_readers_given_up_total", 1.0);
    running.until("efir_slow_readers", 0.0);
    running.until("efir_responses{transport=\"http-stream\"}", 0.0);
    assert!(running.metrics("").value("efir_stalls_total").unwrap() >= 1.0);
    drop(slow);
}

#[test]
fn only_the_key_opens_what_is_locked() {
    let running = Running::start_in(&folder(), &[], &[("EFIR_ADMIN__KEY", KEY)]);
    let right = format!("Authorization: Bearer {KEY}\r\n");
    for line in ["GET /metrics", "HEAD /metrics", "POST /reload"] {
        for wrong in [
            String::new(),
            "Authorization: Bearer \r\n".into(),
            format!("Authorization: Bearer {KEY}x\r\n"),
            format!("Authorization: Bearer {}\r\n", &KEY[1..]),
            format!("Authorization: Basic {KEY}\r\n"),
            format!("Authorization: {KEY}\r\n"),
            format!("Cookie: key={KEY}\r\n"),
            format!("{right}{right}"),
        ] {
            assert_eq!(running.ask_admin(line, &wrong).0, 401, "{line} {wrong:?}");
        }
        assert_eq!(running.ask_admin(&format!("{line}?key={KEY}"), "").0, 401, "not by the query");
        assert_eq!(running.ask_admin(line, &right).0, 200, "{line}");
    }
    for line in ["GET /livez", "GET /readyz"] {
        assert_eq!(running.ask_admin(line, "").0, 200, "{line} needs no key");
    }
    for (line, status) in [
        ("GET /reload", 405),
        ("POST /metrics", 405),
        ("GET /", 404),
        ("GET /metrics/", 404),
        ("GET //metrics", 404),
        ("GET /channels/chat", 404),
    ] {
        assert_eq!(running.ask_admin(line, &right).0, status, "{line}");
    }
    running.event("admin_refused");
    assert!(running.events("admin_refused").len() < 5, "guesses do not fill the log");
    assert!(!running.log().contains(KEY));
}

#[test]
fn the_key_of_a_server_that_may_administrate_opens_as_well() {
    let folder = folder();
    let (admin, other) =
        ("a-key-of-a-server-that-may-administrate", "a-key-of-a-server-that-may-only-publish");
    let table = |name: &str, key: &str, may: &str| {
        format!("[[server_keys]]\nname = {name:?}\nkey = {key:?}\nmay = [{may:?}]\n")
    };
    let tables = [table("ops", admin, "admin"), table("app", other, "publish")].concat();
    std::fs::write(folder.join("efir.toml"), tables).unwrap();
    let running = Running::start_in(&folder, &[], &[("EFIR_ADMIN__KEY", KEY)]);
    for (key, status) in
        [(KEY, 200), (admin, 200), (other, 401), ("a-key-of-nobody-but-long-enough-to-be-one", 401)]
    {
        assert_eq!(
            running.ask_admin("GET /metrics", &format!("Authorization: Bearer {key}\r\n")).0,
            status,
            "{key}"
        );
    }
    assert!(!running.log().contains(admin) && !running.log().contains(other));
}

#[test]
fn whoever_is_shown_the_configuration_is_not_shown_the_key() {
    let folder = folder();
    std::fs::write(folder.join("efir.toml"), format!("[admin]\nkey = {KEY:?}\n")).unwrap();
    for (env, origin) in [(None, "efir.toml:2"), (Some(("EFIR_ADMIN__KEY", KEY)), "EFIR_ADMIN__KEY")] {
        let mut command = efir(&folder, &["config", "show"]);
        let output = command.envs(env).stdout(std::process::Stdio::piped()).output().unwrap();
        let shown = String::from_utf8(output.stdout).unwrap();
        assert!(shown.contains("[admin]") && shown.contains(origin), "{shown}");
        assert!(!shown.contains(KEY), "{shown}");
    }
    std::fs::write(folder.join("efir.toml"), format!("[admin]\nkey = [{KEY:?}]\n")).unwrap();
    let output = efir(&folder, &["config", "show"]).output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("admin.key") && !told.contains(KEY), "{told}");
}

#[test]
fn users_and_tokens_are_revoked_for_a_while() {
    let running = Running::start_in(&folder(), &[], &[("EFIR_ADMIN__KEY", KEY)]);
    let right = format!("Authorization: Bearer {KEY}\r\n");
    let ask = |headers: &str, body: &str| {
        crate::running::ask(&running.admin, "POST /revocations", headers, body.as_bytes())
    };
    assert_eq!(ask("", "{\"user\":\"ann\",\"seconds\":60}").0, 401);
    for (body, status) in [
        ("", 400),
        ("ann", 400),
        ("{\"user\":\"ann\"}", 400),
        ("{\"seconds\":60}", 400),
        ("{\"user\":\"ann\",\"token_id\":\"7\",\"seconds\":60}", 400),
        ("{\"user\":\"ann\",\"seconds\":0}", 400),
        ("{\"user\":\"ann\",\"seconds\":99999999999}", 400),
        ("{\"user\":\"ann\",\"seconds\":1e400}", 400),
        ("{\"user\":\"\",\"seconds\":60}", 400),
        ("{\"user\":\"ann\",\"seconds\":60,\"more\":1}", 400),
        ("{\"user\":\"ann\",\"seconds\":60}", 200),
        ("{\"token_id\":\"7\",\"seconds\":60}", 200),
    ] {
        assert_eq!(ask(&right, body).0, status, "{body}");
    }
    assert_eq!(ask(&right, &format!("{{\"user\":{:?},\"seconds\":60}}", "a".repeat(5_000))).0, 413);
    assert_eq!(running.metrics(&right).value("efir_revocations"), Some(2.0));
    assert_eq!(running.events_from("revoked", 2)[1]["what"], "token");
}

#[test]
fn no_page_and_no_foreign_name_is_answered() {
    let running = Running::start(&[]);
    assert_eq!(running.ask_admin("GET /metrics", "").0, 200, "on loopback nobody needs a key");
    for headers in [
        "Origin: https://evil.example\r\n",
        "Origin: http://localhost:8080\r\n",
        "Origin: null\r\n",
        "Sec-Fetch-Site: cross-site\r\n",
        "Sec-Fetch-Site: same-origin\r\n",
        "Host: evil.example\r\n",
        "Host: 10.0.0.1:9090\r\n",
    ] {
        for line in ["GET /metrics", "POST /reload", "GET /readyz"] {
            let (status, body) = running.ask_admin(line, headers);
            assert!(status == 403 || status == 421, "{line} {headers:?}: {status} {body}");
        }
    }
    assert_eq!(running.ask_admin("GET /metrics", "Sec-Fetch-Site: none\r\n").0, 200, "somebody typed it");
}

#[test]
fn an_address_that_others_reach_needs_a_key() {
    let folder = folder();
    std::fs::write(folder.join("short"), "abc").unwrap();
    std::fs::write(folder.join("key"), format!("{KEY}\n")).unwrap();
    for (settings, words) in [
        (&["admin.listen=0.0.0.0:0"][..], "a loopback address, or a key in admin.key_file"),
        (&["admin.listen=0.0.0.0:0", "admin.key_file=short"], "at least 16 bytes"),
        (&["admin.listen=0.0.0.0:0", "admin.key_file=nowhere"], "a file that can be read"),
        (&["admin.listen=127.0.0.1:0", "admin.key=tooshortakey"], "at least 16 bytes"),
        (&["admin.listen=127.0.0.1:0", "admin.key_file=key", "admin.key=0123456789abcdef"], "one of the two"),
    ] {
        let mut args = vec!["serve", "--listen", "127.0.0.1:0"];
        settings.iter().for_each(|setting| args.extend(["--set", setting]));
        let output = efir(&folder, &args).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(
            told.contains(words) && !told.contains("tooshortakey") && !told.contains("0123456789abcdef"),
            "{told}"
        );
    }
    let running = Running::start_in(&folder, &["admin.key_file=key"], &[]);
    assert_eq!(running.ask_admin("GET /metrics", "").0, 401);
    assert_eq!(running.ask_admin("GET /metrics", &format!("Authorization: bearer {KEY}\r\n")).0, 200);
}

#[test]
fn a_server_that_goes_away_is_alive_and_not_ready() {
    let mut running = Running::start(&["times.drain_max=20s"]);
    assert_eq!(running.ask_admin("GET /readyz", ""), (200, "ready\n".into()));
    assert_eq!(running.ask_admin("GET /livez", ""), (200, "live\n".into()));
    // The head of a request that does not end holds the drain up.
    let mut half = TcpStream::connect(&running.address).unwrap();
    half.write_all(b"GET /channels/chat HTTP/1.1\r\nHost: local").unwrap();
    running.until("efir_connections", 1.0);
    running.signal("TERM");
    running.event("draining");
    let began = std::time::Instant::now();
    while running.ask_admin("GET /readyz", "").0 != 503 {
        assert!(began.elapsed() < PATIENCE);
    }
    assert_eq!(running.ask_admin("GET /readyz", ""), (503, "draining\n".into()));
    assert_eq!(running.ask_admin("GET /livez", "").0, 200);
    running.until("efir_draining", 1.0);
    drop(half);
    assert_eq!(running.wait(), Some(0));
    running.event("stopped");
}
