//! Somebody who signs tokens and publishes keys, on a loopback port, with TLS or without.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use efir_access::{Actions, Claims, SigningKey};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// A key pair (Ed25519) with its id.
pub(crate) struct Pair {
    id: String,
    signing: SigningKey,
    pair: Ed25519KeyPair,
    public: String,
}

impl Pair {
    pub(crate) fn new(id: &str) -> Self {
        let pair = Ed25519KeyPair::generate().unwrap();
        let der = pair.to_pkcs8v1().unwrap();
        let pem = format!(
            "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
            STANDARD.encode(der.as_ref())
        );
        let signing = SigningKey::from_private_pem(None, &pem).unwrap();
        let public = URL_SAFE_NO_PAD.encode(pair.public_key().as_ref());
        Self { id: id.to_owned(), signing, pair, public }
    }

    /// A token whose header has these members besides, and whose signature holds.
    pub(crate) fn token_with(&self, members: &str) -> String {
        let header = format!(r#"{{"alg":"EdDSA","kid":"{}",{members}}}"#, self.id);
        let claims = format!(r#"{{"sub":"anna","exp":{}}}"#, now_s() + 3_600);
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let signature = URL_SAFE_NO_PAD.encode(self.pair.sign(signed.as_bytes()));
        format!("{signed}.{signature}")
    }

    /// A token for a user who may do everything, for an hour.
    pub(crate) fn token(&self, user: &str) -> String {
        let expires_s = now_s() + 3_600;
        let grants = vec![(vec!["**".to_owned()], Actions::ALL)];
        let claims = Claims { user: user.to_owned(), expires_s, grants, ..Claims::default() };
        self.signing.token(Some(&self.id), &claims).unwrap()
    }
}

/// A set of public keys, as text.
pub(crate) fn jwks(pairs: &[&Pair]) -> String {
    let keys: Vec<_> = pairs
        .iter()
        .map(|pair| format!(r#"{{"kty":"OKP","crv":"Ed25519","kid":"{}","x":"{}"}}"#, pair.id, pair.public))
        .collect();
    format!(r#"{{"keys":[{}]}}"#, keys.join(","))
}

pub(crate) fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// Answers every request with the same bytes, which may change.
pub(crate) struct Issuer {
    pub(crate) address: SocketAddr,
    answer: Arc<Mutex<Answer>>,
    asked: Arc<AtomicUsize>,
}

/// What it says, and how long it thinks after each byte of that.
#[derive(Clone, Default)]
struct Answer {
    text: String,
    pause: Duration,
}

impl Issuer {
    pub(crate) fn start(answer: String) -> Self {
        Self::start_with(answer, None)
    }

    /// With TLS where it has something to show.
    pub(crate) fn start_with(answer: String, tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let answer = Answer { text: answer, ..Answer::default() };
        let (answer, asked) = (Arc::new(Mutex::new(answer)), Arc::new(AtomicUsize::new(0)));
        let (answers, count) = (Arc::clone(&answer), Arc::clone(&asked));
        // It ends with the process.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let asked = || {
                    count.fetch_add(1, Ordering::SeqCst);
                    answers.lock().unwrap().clone()
                };
                // Whoever has seen enough hangs up.
                let _ = match &tls {
                    None => exchange(stream, asked),
                    Some(tls) => {
                        let connection = ServerConnection::new(Arc::clone(tls)).unwrap();
                        exchange(StreamOwned::<_, TcpStream>::new(connection, stream), asked)
                    }
                };
            }
        });
        Self { address, answer, asked }
    }

    /// From now on it answers so.
    pub(crate) fn answer(&self, answer: String) {
        *self.answer.lock().unwrap() = Answer { text: answer, ..Answer::default() };
    }

    /// From now on it answers so, byte by byte.
    pub(crate) fn answer_slowly(&self, text: String, pause: Duration) {
        *self.answer.lock().unwrap() = Answer { text, pause };
    }

    /// How often it was asked.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

/// Reads one head, and answers.
fn exchange(mut stream: impl Read + Write, asked: impl FnOnce() -> Answer) -> std::io::Result<()> {
    let (mut head, mut part) = (Vec::new(), [0; 1024]);
    while !head.ends_with(b"\r\n\r\n") {
        let count = stream.read(&mut part)?;
        if count == 0 {
            break;
        }
        head.extend_from_slice(&part[..count]);
    }
    let Answer { text, pause } = asked();
    if pause.is_zero() {
        stream.write_all(text.as_bytes())?;
        return stream.flush();
    }
    for byte in text.bytes() {
        stream.write_all(&[byte])?;
        stream.flush()?;
        std::thread::sleep(pause);
    }
    Ok(())
}

/// An answer with a set of keys.
pub(crate) fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

/// Waits for a condition, for a while that no machine needs.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = std::time::Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(20), "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
