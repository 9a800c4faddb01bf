//! A server that is closed to strangers, from its configuration to its answers. The real binary, black box.

mod fetched;
mod issuer;
#[path = "../operator/running.rs"]
#[expect(dead_code, reason = "what only the operator's tests ask")]
mod running;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use efir_access::{Action, Actions, Algorithm, Claims, SigningKey};
use serde_json::Value;

use issuer::now_s;
use running::{PATIENCE, Running, efir, folder};

const SECRET: &str = "a-secret-of-at-least-thirty-two-bytes";
const SERVER_KEY: &str = "a-key-of-a-backend-with-enough-bytes!";

const READER_KEY: &str = "a-key-of-another-backend-with-bytes-enough";

const RULES: &str = r#"
[[rules]]
channels = "news"
subscribe = "anyone"
publish = "nobody"

[[rules]]
channels = "chat:*"
subscribe = "authenticated"
publish = "grant"
message_bytes_max = 8

[[token_keys]]
name = "app"
algorithms = "HS256"
secret_file = "token.secret"

[[server_keys]]
name = "backend"
key_env = "BACKEND_KEY"
may = ["publish"]
channels = "news"
"#;

fn write(folder: &Path, text: &str) {
    std::fs::write(folder.join("token.secret"), format!("{SECRET}\n")).unwrap();
    std::fs::write(folder.join("efir.toml"), text).unwrap();
}

fn start(text: &str) -> (PathBuf, Running) {
    start_with(text, &[])
}

fn start_with(text: &str, env: &[(&str, &str)]) -> (PathBuf, Running) {
    let folder = folder();
    write(&folder, text);
    let running = Running::start_in(&folder, &[], &[&[("BACKEND_KEY", SERVER_KEY)], env].concat());
    (folder, running)
}

fn token(user: &str, seconds: i64, grants: &[(&str, Actions)]) -> String {
    let claims = Claims {
        user: user.to_owned(),
        expires_s: now_s().checked_add_signed(seconds).unwrap(),
        token_id: Some(format!("{user}-1")),
        grants: grants.iter().map(|(pattern, may)| (vec![(*pattern).to_owned()], *may)).collect(),
        ..Claims::default()
    };
    SigningKey::from_secret(Algorithm::Hs256, SECRET.as_bytes()).unwrap().token(None, &claims).unwrap()
}

fn bearer(text: &str) -> String {
    format!("Authorization: Bearer {text}\r\n")
}

fn code(body: &str) -> String {
    let problem: Value = serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {body}"));
    problem["code"].as_str().unwrap_or_default().to_owned()
}

/// A response that lasts.
struct Live {
    stream: TcpStream,
    heard: String,
}

impl Live {
    fn open(running: &Running, path: &str, headers: &str) -> Self {
        let mut stream = TcpStream::connect(&running.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n").unwrap();
        let mut live = Self { stream, heard: String::new() };
        live.until("\r\n\r\n");
        assert!(live.heard.starts_with("HTTP/1.1 200"), "{}", live.heard);
        live
    }

    fn until(&mut self, words: &str) {
        let mut part = [0; 1024];
        while !self.heard.contains(words) {
            let count = self.stream.read(&mut part).unwrap();
            assert_ne!(count, 0, "it ends before {words}: {}", self.heard);
            self.heard.push_str(&String::from_utf8_lossy(&part[..count]));
        }
    }

    fn read_all(mut self) -> String {
        let mut rest = Vec::new();
        self.stream.read_to_end(&mut rest).unwrap();
        self.heard + &String::from_utf8_lossy(&rest)
    }
}

#[test]
fn who_shows_what_may_do_what() {
    let (_folder, running) = start(RULES);
    let granted = token("anna", 600, &[("chat:*", Actions::ALL)]);
    let poor = token("boris", 600, &[("chat:*", Actions::NONE.with(Action::Subscribe))]);
    let expired = token("anna", -60, &[]);
    let forged = format!("{}x", granted.strip_suffix(|_| true).unwrap());
    for (line, shown, status, word) in [
        ("GET /channels/news", "", 200, ""),
        ("GET /channels/news", granted.as_str(), 200, ""),
        ("GET /channels/news", &expired, 401, "token_expired"),
        ("GET /channels/news", &forged, 401, "unauthorized"),
        ("GET /channels/chat:1", "", 401, "unauthorized"),
        ("GET /channels/chat:1", &poor, 200, ""),
        ("GET /channels/chat:1", &expired, 401, "token_expired"),
        ("GET /channels/chat:1", "nonsense", 401, "unauthorized"),
        ("GET /channels/chat:1", SERVER_KEY, 403, "forbidden"),
        ("GET /channels/other", &granted, 403, "forbidden"),
        ("POST /channels/news", &granted, 403, "forbidden"),
        ("POST /channels/news", "", 403, "forbidden"),
        ("POST /channels/news", SERVER_KEY, 200, ""),
        ("POST /channels/chat:1", SERVER_KEY, 403, "forbidden"),
        ("POST /channels/chat:1", "", 401, "unauthorized"),
        ("POST /channels/chat:1", &poor, 403, "forbidden"),
        ("POST /channels/chat:1", &granted, 200, ""),
        ("GET /info", "", 200, ""),
    ] {
        let headers = if shown.is_empty() { String::new() } else { bearer(shown) };
        let body: &[u8] = if line.starts_with("POST") { b"hello" } else { b"" };
        let (answered, text) = running.ask(line, &headers, body);
        assert_eq!(answered, status, "{line} with {shown:?}: {text}");
        if !word.is_empty() {
            assert_eq!(code(&text), word, "{line} with {shown:?}: {text}");
            assert!(shown.is_empty() || !text.contains(shown), "what was shown is not repeated: {text}");
        }
    }
    let (status, text) = running.ask("POST /channels/chat:1", &bearer(&granted), b"123456789");
    assert_eq!(
        (status, code(&text).as_str()),
        (413, "payload_too_large"),
        "the rule's message_bytes_max: {text}"
    );
    let log = running.log();
    for secret in [SECRET, SERVER_KEY, &granted, &expired, &forged] {
        assert!(!log.contains(secret), "{log}");
    }
}

#[test]
fn a_reload_closes_a_channel_to_those_who_read_it() {
    let (folder, running) = start(RULES);
    let headers = bearer(&token("anna", 600, &[("chat:*", Actions::ALL)]));
    let mut chat = Live::open(&running, "/channels/chat:1?transport=http-stream", &headers);
    let mut news = Live::open(&running, "/channels/news?transport=sse", "");
    assert_eq!(running.ask("POST /channels/chat:1", &headers, b"hello").0, 200);
    chat.until("hello");
    write(&folder, &RULES.replace("subscribe = \"authenticated\"", "subscribe = \"nobody\""));
    running.signal("HUP");
    let told = running.event("reloaded");
    assert_eq!((&told["taken_over"], &told["needs_restart"]), (&"rules".into(), &"".into()));
    let end = chat.read_all();
    assert!(end.contains("\"forbidden\"") && end.contains("chat:1"), "{end}");
    assert_eq!(running.ask("GET /channels/chat:1", &headers, b"").0, 403);
    // What is not concerned goes on.
    assert_eq!(running.ask("POST /channels/news", &bearer(SERVER_KEY), b"still here").0, 200);
    news.until("still here");
}

#[test]
fn what_is_revoked_ends_at_once_and_what_is_not_goes_on() {
    let (_folder, running) = start(RULES);
    let (anna, boris) = (token("anna", 600, &[]), token("boris", 600, &[]));
    let gone = Live::open(&running, "/channels/chat:1?transport=sse", &bearer(&anna));
    let mut stays = Live::open(&running, "/channels/chat:1?transport=sse", &bearer(&boris));
    let body = br#"{"user":"anna","seconds":600}"#;
    let (status, text) = running::ask(&running.admin, "POST /revocations", "", body);
    assert_eq!(status, 200, "{text}");
    let end = gone.read_all();
    assert!(end.contains("\"unauthorized\""), "{end}");
    assert_eq!(running.ask("GET /channels/chat:1", &bearer(&anna), b"").0, 401);
    let headers = bearer(&token("carla", 600, &[("chat:*", Actions::ALL)]));
    assert_eq!(running.ask("POST /channels/chat:1", &headers, b"hello").0, 200);
    stays.until("hello");
    // One token of a user, and not the others.
    let body = br#"{"token_id":"boris-1","seconds":600}"#;
    assert_eq!(running::ask(&running.admin, "POST /revocations", "", body).0, 200);
    assert!(stays.read_all().contains("\"unauthorized\""));
}

#[test]
fn a_key_that_is_taken_away_takes_along_who_came_by_it() {
    let with_key =
        format!("{RULES}\n[[server_keys]]\nname = \"reader\"\nkey = \"{READER_KEY}\"\nmay = \"subscribe\"\n");
    let (folder, running) = start(&with_key);
    let anna = bearer(&token("anna", 600, &[("chat:*", Actions::ALL)]));
    let body = br#"{"channels":["chat:1"]}"#;
    let (status, text) = running.ask("POST /tickets", &anna, body);
    assert_eq!(status, 200, "{text}");
    let ticket = serde_json::from_str::<Value>(&text).unwrap()["ticket"].as_str().unwrap().to_owned();
    let by_token = Live::open(&running, "/channels/chat:1?transport=http-stream", &anna);
    let by_ticket = Live::open(&running, &format!("/channels/chat:1?transport=sse&ticket={ticket}"), "");
    let by_key = Live::open(&running, "/channels/chat:1?transport=http-stream", &bearer(READER_KEY));
    let mut stays = Live::open(&running, "/channels/news?transport=sse", "");
    let secret = SECRET.replace("a-secret", "another-secret");
    std::fs::write(folder.join("efir.toml"), RULES).unwrap();
    std::fs::write(folder.join("token.secret"), &secret).unwrap();
    running.signal("HUP");
    assert_eq!(running.event("reloaded")["taken_over"], "token_keys, server_keys");
    for live in [by_token, by_ticket, by_key] {
        let end = live.read_all();
        assert!(end.contains("\"unauthorized\"") && end.contains("key_gone"), "{end}");
    }
    assert_eq!(running.ask(&format!("GET /channels/chat:1?ticket={ticket}"), "", b"").0, 401);
    assert_eq!(running.ask("GET /channels/chat:1", &anna, b"").0, 401);
    assert_eq!(running.ask("POST /channels/news", &bearer(SERVER_KEY), b"still here").0, 200);
    stays.until("still here");
}

#[test]
fn the_secrets_of_tickets_are_exchanged_while_the_server_runs() {
    let with = |secrets: &[&str]| format!("{RULES}\n[tickets]\nsecrets = {secrets:?}\n");
    let (old, new) = ("a-secret-of-tickets-with-enough-bytes-1", "a-secret-of-tickets-with-enough-bytes-2");
    let (folder, running) = start(&with(&[old]));
    let anna = bearer(&token("anna", 600, &[("chat:*", Actions::ALL)]));
    let make = || {
        let (status, text) = running.ask("POST /tickets", &anna, br#"{"channels":["chat:1"]}"#);
        assert_eq!(status, 200, "{text}");
        serde_json::from_str::<Value>(&text).unwrap()["ticket"].as_str().unwrap().to_owned()
    };
    let mut reloads = 0;
    let mut reload = |text: &str| {
        std::fs::write(folder.join("efir.toml"), text).unwrap();
        running.signal("HUP");
        reloads += 1;
        let told = running.events_from("reloaded", reloads).pop().unwrap();
        assert_eq!((&told["taken_over"], &told["needs_restart"]), (&"tickets".into(), &"".into()));
    };
    let status = |ticket: &str| running.ask(&format!("GET /channels/chat:1?ticket={ticket}"), "", b"").0;
    let open =
        |ticket: &str| Live::open(&running, &format!("/channels/chat:1?transport=sse&ticket={ticket}"), "");
    let first = make();
    let mut by_first = open(&first);
    // Both are accepted while the new one signs, and nobody notices.
    reload(&with(&[new, old]));
    let second = make();
    assert_eq!((status(&first), status(&second)), (200, 200));
    let mut by_second = open(&second);
    assert_eq!(running.ask("POST /channels/chat:1", &anna, b"hello").0, 200);
    by_first.until("hello");
    by_second.until("hello");
    // A secret that is taken away takes along what it signed.
    reload(&with(&[new]));
    let end = by_first.read_all();
    assert!(end.contains("key_gone"), "{end}");
    assert_eq!((status(&first), status(&second)), (401, 200));
    // Without the table it is a secret of the process again, and each time the same.
    reload(RULES);
    assert!(by_second.read_all().contains("key_gone"));
    assert_eq!(status(&second), 401);
    let own = make();
    reload(&with(&[new]));
    assert_eq!((status(&own), status(&second)), (401, 200));
    reload(RULES);
    assert_eq!(status(&own), 200);
}

#[test]
fn a_token_that_runs_out_ends_what_lasts() {
    let (_folder, running) = start(&format!("token_leeway = \"0\"\n{RULES}"));
    let live =
        Live::open(&running, "/channels/chat:1?transport=http-stream", &bearer(&token("anna", 2, &[])));
    let end = live.read_all();
    assert!(end.contains("\"token_expired\""), "{end}");
}

#[test]
fn what_the_start_refuses_it_says_how_to_put_right() {
    let folder = folder();
    let args = ["serve", "--listen", "0.0.0.0:0"];
    let output = efir(&folder, &args).output().unwrap();
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{words}");
    // What is printed works as it stands.
    let block: String = words
        .lines()
        .filter_map(|line| line.strip_prefix("  "))
        .filter(|line| !line.starts_with("or "))
        .map(|line| format!("{line}\n"))
        .collect();
    write(&folder, &format!("listen = \"0.0.0.0:0\"\n{block}"));
    let output = efir(&folder, &["config", "show"]).stdout(Stdio::piped()).output().unwrap();
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success() && shown.contains("[[token_keys]]\n") && shown.contains("name = \"app\"\n"),
        "{shown}"
    );
    assert!(!shown.contains(SECRET));
    let running = Running::start_in(&folder, &["listen=0.0.0.0:0"], &[]);
    let address = running.address.replace("0.0.0.0", "127.0.0.1");
    let status = |line: &str, headers: &str, body: &[u8]| {
        let headers = format!("Host: {address}\r\n{headers}");
        running::ask(&address, line, &headers, body).0
    };
    assert_eq!(status("GET /channels/chat", "", b""), 200);
    assert_eq!(status("POST /channels/chat", "", b"x"), 401);
    assert_eq!(status("POST /channels/chat", &bearer(&token("anna", 60, &[])), b"x"), 200);
}
