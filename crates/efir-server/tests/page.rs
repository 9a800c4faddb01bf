//! What browsers get besides channels: the client, its package, the pages and the demos, or words about why they are not there.

#[path = "lab/wire.rs"]
#[allow(dead_code, reason = "these tests need little of it")]
mod wire;

use wire::Node;

/// Path, type, and a text that is in it.
const PARTS: [(&str, &str, &str); 5] = [
    ("/efir.js", "text/javascript; charset=utf-8", "export"),
    ("/efir.tgz", "application/gzip", ""),
    ("/lab/", "text/html; charset=utf-8", "<html"),
    ("/by-hand/", "text/html; charset=utf-8", "<html"),
    ("/demos/", "text/html; charset=utf-8", "<html"),
];

#[test]
fn the_client_and_the_pages_are_served_or_said_to_be_missing() {
    let node = Node::start();
    let is_full = node.json("GET", "/info", "")["page"] == "full";
    for (path, kind, text) in PARTS {
        let answer = node.ask("GET", path, "");
        let body = String::from_utf8_lossy(&answer.body);
        if !is_full {
            assert_eq!(answer.status, 404, "{path}");
            assert!(body.contains("built without its pages"), "{path}: {body}");
            continue;
        }
        assert_eq!(answer.status, 200, "{path}");
        assert!(answer.head.contains(&format!("content-type: {kind}\r\n")), "{path}: {}", answer.head);
        assert!(answer.head.contains("cache-control: no-cache\r\n") && body.contains(text), "{path}");
        let tag = answer.head.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap();
        let mut wire = node.connect();
        wire.send(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nIf-None-Match: {tag}\r\n\r\n"));
        assert_eq!(wire.answer().status, 304, "{path}");
    }
}

/// Whoever may use the server from a page of another origin may take the client from it, and nobody else.
#[test]
fn the_client_is_shared_as_channels_are() {
    let node = Node::with(|config| config.allow_origins = vec!["https://app.example".into()]);
    for (origin, is_told) in
        [("https://app.example", true), ("http://localhost:5173", true), ("https://evil.example", false)]
    {
        for path in ["/efir.js", "/channels/chat"] {
            let mut wire = node.connect();
            wire.send(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nOrigin: {origin}\r\n\r\n"));
            let line = format!("access-control-allow-origin: {origin}\r\n");
            assert_eq!(wire.answer().head.contains(&line), is_told, "{path} for {origin}");
        }
        let mut wire = node.connect();
        wire.send(&format!("GET / HTTP/1.1\r\nHost: localhost\r\nOrigin: {origin}\r\n\r\n"));
        assert!(!wire.answer().head.contains("access-control"), "pages are nobody else's");
    }
}

/// What a client costs is told as channels are: to pages of the same origins, with the same words for caches and preflights.
#[test]
fn traffic_is_shared_as_channels_are() {
    let node = Node::with(|config| config.allow_origins = vec!["https://app.example".into()]);
    let told = |method: &str, path: &str, origin: &str| {
        let mut wire = node.connect();
        let asks = "Access-Control-Request-Method: GET\r\n";
        wire.send(&format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nOrigin: {origin}\r\n{asks}Content-Length: 0\r\n\r\n"
        ));
        let answer = wire.answer();
        let is_ours =
            |line: &&str| line.starts_with("access-control-allow-origin") || line.starts_with("vary");
        let mut lines: Vec<_> = answer.head.lines().filter(is_ours).map(str::to_owned).collect();
        lines.sort();
        (answer.status, lines, answer.head.contains("access-control-allow-methods: "))
    };
    for (origin, is_told) in
        [("https://app.example", true), ("http://localhost:5173", true), ("https://evil.example", false)]
    {
        for (method, status) in [("GET", 200), ("OPTIONS", 204), ("DELETE", 405)] {
            let of_traffic = told(method, "/traffic?client=me", origin);
            assert_eq!(of_traffic, told(method, "/info", origin), "{method} for {origin}");
            assert_eq!(of_traffic.0, status, "{method} for {origin}");
            assert_eq!(of_traffic.1.len(), 1 + usize::from(is_told), "{method} for {origin}: {of_traffic:?}");
            assert_eq!(of_traffic.2, is_told && method == "OPTIONS", "{method} for {origin}");
        }
    }
}
