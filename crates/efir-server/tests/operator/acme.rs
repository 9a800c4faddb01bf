//! Certificates that are ordered, from an authority that runs here.

use std::{
    io::{Read, Write},
    path::{Path, PathBuf},
};

use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use tungstenite::{Message, WebSocket};

use crate::{
    pebble::{Place, Stream, absent, connect, connect_as, until},
    running::{Running, folder},
};

const NAME: &str = "chat.efir.test";
const OTHER_NAME: &str = "www.efir.test";

/// A server that orders, in a folder of its own.
fn write_config(folder: &Path, place: &Place, more: &str) {
    let text = format!(
        "listen = [\"127.0.0.1:0\", \"https://127.0.0.1:{}\"]\nopen = true\nhosts = [\"{NAME}\"]\n{more}\n\
         [tls.acme]\nnames = [\"{NAME}\", \"{OTHER_NAME}\"]\nterms_agreed = true\n\
         contact = \"operator@efir.test\"\ndirectory = \"{}\"\nca_file = \"authority.pem\"\ncache_dir = \"kept/acme\"\n",
        place.challenge_port,
        place.directory(),
    );
    std::fs::write(folder.join("efir.toml"), text).unwrap();
}

fn start(folder: &Path) -> Running {
    Running::start_as(folder, &[], &[])
}

/// Waits for the certificate; a reload ends the pause after a failure, however long it is.
fn until_ordered(running: &Running) {
    until("the certificate", || {
        running.signal("HUP");
        (!running.events("certificate_ordered").is_empty()).then_some(())
    });
}

/// The certificate's file in the cache.
fn kept(folder: &Path) -> PathBuf {
    let mut files = std::fs::read_dir(folder.join("kept/acme")).unwrap().map(|file| file.unwrap().path());
    files.find(|path| path.extension().is_some_and(|extension| extension == "pem")).unwrap()
}

/// The certificate that a client is shown under a name, if it trusts it.
fn shown(place: &Place, name: &str, root: &CertificateDer<'static>) -> Option<Vec<u8>> {
    let stream = connect(place.challenge_port, name, root).ok()?;
    Some(stream.conn.peer_certificates()?.first()?.to_vec())
}

fn ask(place: &Place, root: &CertificateDer<'static>, head: &str, body: &str) -> String {
    let mut stream = connect_as(place.challenge_port, NAME, root, &["http/1.1"]).unwrap();
    let length = body.len();
    let request = format!(
        "{head} HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// A WebSocket that reads the channel `chat`.
fn subscribe(place: &Place, root: &CertificateDer<'static>) -> WebSocket<Stream> {
    let stream = connect_as(place.challenge_port, NAME, root, &["http/1.1"]).unwrap();
    let url = format!("wss://{NAME}/channels/chat?transport=websocket");
    tungstenite::client(url, stream).unwrap().0
}

/// Reads up to a message with this text.
fn read_until(socket: &mut WebSocket<Stream>, text: &str) {
    loop {
        if let Message::Text(frame) = socket.read().unwrap()
            && frame.contains(text)
        {
            return;
        }
    }
}

/// Puts a certificate of our own where the ordered one was; good since so many days, for so many more.
fn replace_kept(file: &Path, [since, more]: [i64; 2]) -> CertificateDer<'static> {
    let mut params = CertificateParams::new(vec![NAME.to_owned(), OTHER_NAME.to_owned()]).unwrap();
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs() as i64;
    let date = |days: i64| {
        rcgen::date_time_ymd(1970, 1, 1) + std::time::Duration::from_secs((now + days * 86_400) as u64)
    };
    (params.not_before, params.not_after) = (date(-since), date(more));
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    std::fs::write(file, format!("{}{}", certificate.pem(), key.serialize_pem())).unwrap();
    certificate.der().clone()
}

#[test]
fn a_certificate_is_ordered_kept_and_renewed() {
    if let Some(why) = absent() {
        return println!("not run: {why}");
    }
    let folder = folder();
    let place = Place::new(&folder);
    write_config(&folder, &place, "");

    // The authority does not answer yet: the server runs, and says what it lacks.
    let running = start(&folder);
    running.event("certificate_not_ordered");
    let own = CertificateDer::from_pem_file(folder.join("authority.pem")).unwrap();
    let refused = connect(place.challenge_port, NAME, &own).map(drop).unwrap_err();
    assert!(refused.contains("alert"), "{refused}");
    assert_eq!(running.event("certificate_missing")["name"], NAME);
    assert_eq!(running.ask_admin("GET /readyz", ""), (200, "ready, without a certificate yet\n".into()));
    assert_eq!(running.ask("POST /channels/chat", "", b"x").0, 200, "cleartext is served meanwhile");

    // It comes, and is for each name, from that authority, and no other.
    let pebble = place.start();
    until_ordered(&running);
    let first = shown(&place, NAME, &pebble.root).unwrap();
    assert_eq!(shown(&place, OTHER_NAME, &pebble.root).as_ref(), Some(&first), "one for all names");
    assert!(
        shown(&place, "stranger.efir.test", &pebble.root).is_none() && shown(&place, NAME, &own).is_none()
    );
    assert_eq!(running.ask_admin("GET /readyz", ""), (200, "ready\n".into()));
    // There is no challenge any more, and nothing is served to whoever offers its protocol.
    assert!(connect_as(place.challenge_port, NAME, &pebble.root, &["acme-tls/1"]).is_err());
    let mut reader = subscribe(&place, &pebble.root);
    let answer = ask(&place, &pebble.root, "POST /channels/chat", "Привет");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    read_until(&mut reader, "Привет");
    drop((running, reader));

    // From the cache, while nobody could order another one.
    let root = pebble.root.clone();
    drop(pebble);
    let running = start(&folder);
    running.event("certificate_cached");
    assert_eq!(shown(&place, NAME, &root), Some(first));
    assert!(
        running.events("certificate_not_ordered").is_empty()
            && running.events("certificate_ordered").is_empty()
    );
    drop(running);

    // One with less than a third of its life left: shown, and renewed while a WebSocket stays. This authority knows the account no more.
    let old = replace_kept(&kept(&folder), [80, 10]);
    let running = start(&folder);
    running.event("certificate_not_ordered");
    let mut reader = subscribe(&place, &old);
    let pebble = place.start();
    until_ordered(&running);
    let fresh = shown(&place, NAME, &pebble.root).unwrap();
    assert!(fresh != old.to_vec() && shown(&place, NAME, &old).is_none());
    assert!(ask(&place, &pebble.root, "POST /channels/chat", "Renewed").starts_with("HTTP/1.1 200"));
    read_until(&mut reader, "Renewed");
    assert_eq!(running.events("certificate_ordered").len(), 1);
}

#[test]
fn what_an_authority_refuses_is_told_and_files_serve_meanwhile() {
    if let Some(why) = absent() {
        return println!("not run: {why}");
    }
    let folder = folder();
    let mut place = Place::new(&folder);
    // A certificate from files for one of the names.
    let file = folder.join("file.pem");
    let old = replace_kept(&file, [1, 10]);
    write_config(&folder, &place, "[tls]\ncertificate_file = \"file.pem\"\nkey_file = \"file.pem\"");
    let listening = place.challenge_port;
    // It looks where nobody listens.
    place.challenge_port = crate::pebble::free_port();
    let pebble = place.start();
    let running = start(&folder);
    let why = running.event("certificate_not_ordered");
    let told = why["why"].as_str().unwrap();
    assert!(told.contains("efir.test: ") && told.contains("Failed to connect"), "{why}");
    assert!(why["retry_s"].as_u64().unwrap() >= 225, "{why}");
    let certificate = |root: &CertificateDer<'static>| connect(listening, NAME, root).ok().map(drop);
    assert!(certificate(&old).is_some() && certificate(&pebble.root).is_none());
    assert!(running.events("certificate_missing").is_empty());

    // The authority looks at the right place now; nobody waits five minutes for that.
    drop(pebble);
    place.challenge_port = listening;
    let pebble = place.start();
    until_ordered(&running);
    assert!(certificate(&pebble.root).is_some() && certificate(&old).is_none());

    // Other names need a restart.
    let file = folder.join("efir.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace(OTHER_NAME, "other.efir.test")).unwrap();
    let (status, told) = running.ask_admin("POST /reload", "");
    assert!(status == 200 && told.contains("\"needs_restart\":[\"tls.acme\"]"), "{status} {told}");
}

/// What the authority has given somebody: an identifier, and a key in base64url.
const CUSTOMER: (&str, &str) =
    ("customer-7", "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W");

#[test]
fn an_authority_that_wants_to_know_its_customers_is_told() {
    if let Some(why) = absent() {
        return println!("not run: {why}");
    }
    let folder = folder();
    let mut place = Place::new(&folder);
    place.customer = Some(CUSTOMER);
    let pebble = place.start();
    write_config(&folder, &place, "");
    let running = start(&folder);
    let why = running.event("certificate_not_ordered")["why"].as_str().unwrap().to_owned();
    assert!(why.contains("externalAccountRequired"), "{why}");
    drop(running);

    std::fs::write(folder.join("customer"), format!("{}\n{}\n", CUSTOMER.0, CUSTOMER.1)).unwrap();
    let file = folder.join("efir.toml");
    let text = std::fs::read_to_string(&file).unwrap() + "external_account_file = \"customer\"\n";
    std::fs::write(&file, text).unwrap();
    let running = start(&folder);
    until_ordered(&running);
    assert!(shown(&place, NAME, &pebble.root).is_some());
    let output = crate::running::efir(&folder, &["config"]).output().unwrap();
    assert!(!String::from_utf8_lossy(&output.stdout).contains(CUSTOMER.1), "the key is shown");
}

#[test]
fn what_does_not_fit_is_refused_at_the_start() {
    let folder = folder();
    let place = Place::new(&folder);
    let refusal = |from: &str, to: &str| {
        write_config(&folder, &place, "");
        let file = folder.join("efir.toml");
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.contains(from), "{from}");
        std::fs::write(&file, text.replace(from, to)).unwrap();
        let output = crate::running::efir(&folder, &["serve"]).output().unwrap();
        assert!(!output.status.success(), "{to}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    for (from, to, told) in [
        ("terms_agreed = true\n", "", "'tls.acme.terms_agreed' is false; expected true"),
        ("cache_dir = \"kept/acme\"\n", "", "'tls.acme.cache_dir' is empty; expected a folder"),
        ("chat.efir.test", "*.efir.test", "no wildcard"),
        ("https://localhost", "http://localhost", "a URL that begins with https://"),
        ("\"https://127.0.0.1", "\"127.0.0.1", "an address with https:// in `listen`"),
        ("operator@", "operator", "a mail address"),
        ("ca_file = \"authority.pem\"", "ca_file = \"authority.key\"", "has no CERTIFICATE in PEM"),
        ("\"kept/acme\"", "\"efir.toml/acme\"", "cannot be written"),
        ("ca_file", "external_account_file = \"nowhere\"\nca_file", "nowhere' (No such file"),
        (
            "ca_file",
            "external_account_file = \"efir.toml\"\nca_file",
            " words); expected a file with the key's",
        ),
        ("contact", "contacts", "did you mean 'tls.acme.contact'?"),
    ] {
        let text = refusal(from, to);
        assert!(text.contains(told), "{to}: {text}");
    }
}
