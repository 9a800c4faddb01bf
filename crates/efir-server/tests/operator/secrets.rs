//! The log and the metrics keep secrets, whatever door they came through.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicUsize, Ordering},
};

use efir_client::{Client, ClientOptions, HttpVersion};
use http::{HeaderMap, Method};

use crate::{
    door::{SECRET_SPACE, doors},
    running::{Running, folder},
};

/// How many secrets are planted at least.
const PLANTED_MIN: usize = 1_000;
/// Who plants at once.
const PLANTERS: usize = 8;

/// Rules and keys, so that tokens and tickets are looked at.
const CLOSED: &str = r#"
[[rules]]
channels = "chat"
subscribe = "anyone"
publish = "authenticated"

[[token_keys]]
name = "app"
algorithms = "HS256"
secret = "a key of 32 bytes, for tests only"

[[server_keys]]
name = "ops"
key = "a key of a server, for tests only"
may = ["publish", "admin"]
"#;

/// A secret with a core that no other text contains. The part before it makes it look like what people use.
fn secret(number: usize) -> String {
    let core = (number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    format!("sk_live_hunter2-{core:016x}-zzzzz")
}

/// What is looked for: the core alone, in case only a piece of the secret gets through.
fn core(secret: &str) -> &str {
    &secret[16..32]
}

/// Brings secrets over HTTP/2 in headers, queries and bodies; tells how many.
fn enter_by_http2(address: &str, first: usize) -> usize {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let paths = ["/channels/chat", "/subscribe?channel=chat", "/info", "/socket", "/nowhere", "/tickets"];
    let names = ["authorization", "cookie", "idempotency-key", "last-event-id", "origin", "x-api-key"];
    let mut number = first;
    runtime.block_on(async {
        let options = ClientOptions { version: HttpVersion::H2c, ..ClientOptions::default() };
        let client = Client::with_options(&format!("http://{address}"), options).unwrap();
        for method in [Method::POST, Method::PUT, Method::DELETE] {
            for path in paths {
                for name in names {
                    let secret = secret(number);
                    let between = if path.contains('?') { '&' } else { '?' };
                    let target = format!("{path}{between}ticket={secret}");
                    let mut headers = HeaderMap::new();
                    headers.insert(name, format!("Bearer {secret}").parse().unwrap());
                    // Refused or not: what counts is what is told of it.
                    let _ = client.request(method.clone(), &target, headers, secret).await;
                    number += 1;
                }
            }
        }
    });
    number - first
}

#[test]
fn a_thousand_planted_secrets_are_nowhere() {
    assert_eq!(secret(0).len(), SECRET_SPACE.len());
    let doors = doors();
    let planted = PLANTED_MIN.next_multiple_of(doors.len());
    for (format, rules) in [("json", ""), ("human", ""), ("json", CLOSED), ("human", CLOSED)] {
        let folder = folder();
        std::fs::write(folder.join("efir.toml"), rules).unwrap();
        let settings = [&*format!("log_format={format}"), "log=trace"];
        let running = Running::start_in(&folder, &settings, &[]);
        let next = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..PLANTERS {
                scope.spawn(|| {
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        let Some(door) = doors.get(number % doors.len()).filter(|_| number < planted) else {
                            return;
                        };
                        let address = if number % 5 == 4 { &running.admin } else { &running.address };
                        door.enter(address, &secret(number));
                    }
                });
            }
        });
        let planted = planted + enter_by_http2(&running.address, planted);
        let metrics = running.metrics("").0;
        let log = running.log();
        let told = [log.as_str(), &metrics].concat();
        let found: Vec<_> = (0..planted).map(secret).filter(|secret| told.contains(core(secret))).collect();
        let kinds: BTreeSet<_> = doors.iter().map(|door| door.name).collect();
        println!(
            "{format}, {}: {planted} secrets through {} kinds of doors, {} found in {} lines of the log",
            if rules.is_empty() { "open" } else { "closed" },
            kinds.len(),
            found.len(),
            log.lines().count()
        );
        assert!(found.is_empty() && !told.contains("hunter2"), "{found:?} in {told}");
        // There was something to say, and it was said.
        assert!(log.matches("refused").count() > 200, "{log}");
    }
}
