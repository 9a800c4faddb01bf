//! Keys behind a URL, to the last byte: who is asked, whom the server believes, and where it never goes.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer as Authority, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};

use super::issuer::{Issuer, Pair, jwks, ok, until};
use super::running::Running;
use super::{Live, bearer, start, start_with};

/// Somebody who vouches for names.
struct Ca {
    params: CertificateParams,
    key: KeyPair,
}

impl Ca {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self { params, key: KeyPair::generate().unwrap() }
    }

    /// Its certificate, in a file.
    fn write(&self, folder: &Path) -> PathBuf {
        let file = folder.join("ca.pem");
        std::fs::write(&file, self.params.self_signed(&self.key).unwrap().pem()).unwrap();
        file
    }

    /// What a server shows that it vouches for.
    fn server(&self, name: &str) -> Arc<ServerConfig> {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let authority = Authority::from_params(&self.params, &self.key);
        let certificate = CertificateDer::from(params.signed_by(&key, &authority).unwrap());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
        Arc::new(builder.unwrap().with_no_client_auth().with_single_cert(vec![certificate], key).unwrap())
    }
}

fn config(url: &str) -> String {
    format!("[[token_keys]]\nname = \"issuer\"\nalgorithms = \"EdDSA\"\njwks_url = \"{url}\"\n")
}

fn status(running: &Running, pair: &Pair) -> u16 {
    running.ask("GET /channels/any", &bearer(&pair.token("anna")), b"").0
}

/// A server that believes a CA, and its issuer behind TLS with a certificate for this name by that one.
fn behind_tls(trusted: &Ca, tls: Arc<ServerConfig>, answer: String) -> (Running, Issuer) {
    let issuer = Issuer::start_with(answer, Some(tls));
    let roots = trusted.write(&super::folder());
    let url = format!("https://localhost:{}/keys", issuer.address.port());
    let (_folder, running) = start_with(&config(&url), &[("SSL_CERT_FILE", roots.to_str().unwrap())]);
    (running, issuer)
}

/// Why the set of keys did not come, the last time.
fn why(running: &Running, count: usize) -> String {
    running.events_from("keys_not_fetched", count).pop().unwrap()["why"].as_str().unwrap().to_owned()
}

#[test]
fn keys_behind_a_url_change_with_a_reload() {
    let (first, second) = (Pair::new("1"), Pair::new("2"));
    let issuer = Issuer::start(ok(&jwks(&[&first])));
    let (_folder, running) = start(&config(&format!("http://{}/keys", issuer.address)));
    assert_eq!((status(&running, &first), status(&running, &second)), (200, 401));
    let live = Live::open(&running, "/channels/any?transport=sse", &bearer(&first.token("anna")));
    issuer.answer(ok(&jwks(&[&second])));
    running.signal("HUP");
    until("the second key is known", || status(&running, &second) == 200);
    assert_eq!(status(&running, &first), 401);
    assert!(issuer.asked() >= 2 && running.events("keys_fetched").len() >= 2);
    let end = live.read_all();
    assert!(end.contains("key_gone"), "who came by the key goes with it: {end}");
}

#[test]
fn a_new_key_is_found_when_a_token_names_it() {
    let (ca, first, second) = (Ca::new(), Pair::new("1"), Pair::new("2"));
    let (running, issuer) = behind_tls(&ca, ca.server("localhost"), ok(&jwks(&[&first])));
    assert_eq!(status(&running, &first), 200);
    let live = Live::open(&running, "/channels/any?transport=sse", &bearer(&first.token("anna")));
    assert_eq!(issuer.asked(), 1);
    issuer.answer(ok(&jwks(&[&second])));
    until("the second key is known", || status(&running, &second) == 200);
    let end = live.read_all();
    assert!(end.contains("key_gone"), "{end}");
    // What strangers make up costs the issuer nothing more.
    for number in 0..50 {
        assert_eq!(status(&running, &Pair::new(&format!("made up {number}"))), 401);
    }
    assert_eq!((status(&running, &second), issuer.asked()), (200, 2));
}

#[test]
fn who_cannot_show_who_he_is_is_not_believed() {
    let (ca, stranger, pair) = (Ca::new(), Ca::new(), Pair::new("1"));
    for tls in [stranger.server("localhost"), ca.server("other.example")] {
        let (running, issuer) = behind_tls(&ca, tls, ok(&jwks(&[&pair])));
        let why = why(&running, 1);
        assert!(why.contains("certificate"), "{why}");
        assert_eq!((status(&running, &pair), issuer.asked()), (401, 0), "the handshake is as far as it goes");
    }
}

#[test]
fn what_is_no_good_answer_is_not_taken() {
    let (ca, pair, other) = (Ca::new(), Pair::new("1"), Pair::new("2"));
    let elsewhere = Issuer::start(ok(&jwks(&[&pair])));
    let (running, issuer) = behind_tls(&ca, ca.server("localhost"), ok(&jwks(&[&other])));
    assert_eq!((status(&running, &other), status(&running, &pair)), (200, 401));
    let refused = |answer: String, word: &str| {
        let count = running.events("keys_not_fetched").len();
        issuer.answer(answer);
        running.signal("HUP");
        until(word, || why(&running, count + 1).contains(word));
        assert_eq!((status(&running, &other), status(&running, &pair)), (200, 401), "{word}");
    };
    refused(ok(&format!("{}{}", jwks(&[&pair]), " ".repeat(256 << 10))), "more than 262144 bytes");
    let to = format!("http://{}/keys", elsewhere.address);
    for status in ["301 Moved", "302 Found", "307 Temporary", "308 Permanent"] {
        let answer = format!("HTTP/1.1 {status}\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n");
        refused(answer, &format!("{}, not 200; redirects are not followed", &status[..3]));
    }
    assert_eq!(elsewhere.asked(), 0);
}

#[test]
fn a_slow_issuer_delays_nobody_for_long() {
    let (ca, pair) = (Ca::new(), Pair::new("1"));
    let issuer = Issuer::start_with(String::new(), Some(ca.server("localhost")));
    issuer.answer_slowly(ok(&jwks(&[&pair])), Duration::from_millis(200));
    let roots = ca.write(&super::folder());
    let url = format!("https://localhost:{}/keys", issuer.address.port());
    let (_folder, running) = start_with(&config(&url), &[("SSL_CERT_FILE", roots.to_str().unwrap())]);
    assert!(why(&running, 1).contains("no answer within 4 s"));
    assert_eq!(status(&running, &pair), 401);
    issuer.answer(ok(&jwks(&[&pair])));
    until("it is asked again by itself", || status(&running, &pair) == 200);
}

#[test]
fn no_token_leads_the_server_anywhere() {
    let canary = TcpListener::bind("127.0.0.1:0").unwrap();
    let there = format!("http://{}/keys", canary.local_addr().unwrap());
    let (pair, next) = (Pair::new("1"), Pair::new("2"));
    // The same in its name of a key, which is only ever compared.
    let named = Pair::new(&there);
    let issuer = Issuer::start(ok(&jwks(&[&pair])));
    let (_folder, running) = start(&config(&format!("http://{}/keys", issuer.address)));
    let own = jwks(&[&named]);
    let key = own.trim_start_matches(r#"{"keys":["#).trim_end_matches("]}");
    for member in [
        format!(r#""jku":"{there}""#),
        format!(r#""x5u":"{there}""#),
        format!(r#""jwk":{key}"#),
        format!(r#""jwk":"{there}""#),
        format!(r#""x5c":["{there}"]"#),
        format!(r#""iss":"{there}","typ":"JWT","jku":"{there}","x5u":"{there}""#),
        format!(r#""crit":["jku"],"jku":"{there}""#),
    ] {
        for pair in [&pair, &named] {
            let token = pair.token_with(&member);
            let sockets = format!(
                "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: efir, efir.token.{token}\r\n"
            );
            for (line, headers, body) in [
                ("GET /channels/any", bearer(&token), &b""[..]),
                ("POST /channels/any", bearer(&token), b"x"),
                ("POST /tickets", bearer(&token), br#"{"channels":["any"]}"#),
            ] {
                let (status, text) = running.ask(line, &headers, body);
                assert_eq!(status, 401, "{line} with {member}: {text}");
            }
            // Accepted, told why not, and closed.
            let (status, text) = running.ask("GET /channels/any", &sockets, b"");
            assert!(status == 101 && text.contains("unauthorized"), "{member}: {status} {text}");
        }
    }
    assert_eq!(status(&running, &named), 401);
    assert_eq!(status(&running, &pair), 200, "and the key itself is good");
    // It had the time to go there: it went to its issuer meanwhile.
    issuer.answer(ok(&jwks(&[&pair, &next])));
    running.signal("HUP");
    until("the issuer is asked", || status(&running, &next) == 200);
    canary.set_nonblocking(true).unwrap();
    let came = canary.accept().map(|(_, from)| from);
    assert!(came.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock), "somebody came");
}
