//! Keys that are fetched: they come, they change, and they stay while nobody answers.

use efir_access::{Algorithm, KeyTerms};
use efir_core::{Limits, Times};
use efir_engine::{Hub, clock};
use efir_transports::SiteOptions;

use super::*;
use issuer::{Issuer, Pair, jwks, ok, until};

#[path = "../../tests/access/issuer.rs"]
#[expect(dead_code, reason = "what only the tests of the whole server ask")]
mod issuer;

fn config(issuer: &Issuer) -> Resolved {
    let mut config = Resolved::default();
    config.access.remote_keys = vec![RemoteKeys {
        terms: KeyTerms {
            name: "issuer".to_owned(),
            algorithms: vec![Algorithm::EdDsa],
            ..KeyTerms::default()
        },
        url: format!("http://{}/keys", issuer.address).parse().unwrap(),
    }];
    config
}

struct Room {
    keeper: Arc<Keeper>,
    site: Site,
}

impl Room {
    fn open(config: &Resolved) -> Self {
        let keeper = Keeper::start(config, Arc::default()).unwrap();
        let hub = Hub::new(Limits::default(), Times::default());
        let site = Site::with_access(hub, SiteOptions::default(), keeper.access());
        keeper.attach(&site);
        Self { keeper, site }
    }

    fn knows(&self, token: &str) -> bool {
        self.site.access().gate().identify(token, clock::now_ms()).is_ok()
    }

    fn reload(&self, config: &Resolved) {
        let prepared = self.keeper.prepare(config).unwrap();
        self.keeper.replace(prepared, self.site.clone()).unwrap();
    }
}

#[test]
fn a_start_waits_for_keys_and_a_reload_asks_again() {
    let (first, second) = (Pair::new("1"), Pair::new("2"));
    let issuer = Issuer::start(ok(&jwks(&[&first])));
    let config = config(&issuer);
    let room = Room::open(&config);
    assert!(room.knows(&first.token("anna")) && !room.knows(&second.token("anna")));
    issuer.answer(ok(&jwks(&[&second])));
    room.reload(&config);
    until("the second key is known", || room.knows(&second.token("anna")));
    assert!(!room.knows(&first.token("anna")), "a key that is not published any more signs nothing");
}

#[test]
fn keys_stay_while_the_answers_are_no_good() {
    let (first, second) = (Pair::new("1"), Pair::new("2"));
    let issuer = Issuer::start(ok(&jwks(&[&first])));
    let config = config(&issuer);
    let room = Room::open(&config);
    let elsewhere = Issuer::start(ok(&jwks(&[&second])));
    let padded = format!("{}{}", jwks(&[&second]), " ".repeat(256 * 1024));
    for answer in [
        "HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n".to_owned(),
        format!("HTTP/1.1 302 Found\r\nLocation: http://{}/\r\nContent-Length: 0\r\n\r\n", elsewhere.address),
        ok("{\"keys\":[]}"),
        ok("<html>"),
        ok(&padded),
        "nonsense\r\n\r\n".to_owned(),
        String::new(),
    ] {
        issuer.answer(answer.clone());
        let asked = issuer.asked();
        room.reload(&config);
        until("it is asked, and once more after a pause", || issuer.asked() >= asked + 2);
        assert!(room.knows(&first.token("anna")) && !room.knows(&second.token("anna")), "{answer:.40}");
    }
    assert_eq!(elsewhere.asked(), 0, "no redirect is followed");
    issuer.answer(ok(&jwks(&[&second])));
    until("it is asked again by itself", || room.knows(&second.token("anna")));
}

#[test]
fn a_key_that_is_missed_is_asked_for_once() {
    let (first, second) = (Pair::new("1"), Pair::new("2"));
    let issuer = Issuer::start(ok(&jwks(&[&first])));
    let config = config(&issuer);
    let room = Room::open(&config);
    let shows = |token: &str| {
        let head = http::Request::get("/channels/a").header("host", "localhost");
        let head = head.header("authorization", format!("Bearer {token}"));
        match efir_transports::handle_whole(&room.site, head.body(bytes::Bytes::new()).unwrap()) {
            efir_transports::Reply::Whole(answer) => answer.status() == 200,
            efir_transports::Reply::Batch(answer) => answer.status() == 200,
            efir_transports::Reply::Held(_) => panic!("a short poll is answered at once"),
        }
    };
    assert!(
        shows(&first.token("anna")) && !shows("a.b.c") && !shows(&first.token("anna").replace('.', ".x"))
    );
    assert_eq!(issuer.asked(), 1, "no other key is missed");
    issuer.answer(ok(&jwks(&[&first, &second])));
    assert!(!shows(&second.token("anna")));
    until("the second key is known", || room.knows(&second.token("anna")));
    assert_eq!(issuer.asked(), 2);
    // Whatever strangers make up, it is not asked again before its time: the next one to ask is the reload.
    for number in 0..200 {
        assert!(!shows(&Pair::new(&format!("made up {number}")).token("anna")));
    }
    room.reload(&config);
    until("the reload has asked", || issuer.asked() > 2);
    assert_eq!(issuer.asked(), 3);
}

#[test]
fn a_start_goes_on_without_keys_that_do_not_come() {
    let issuer = Issuer::start("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n".to_owned());
    let pair = Pair::new("1");
    let room = Room::open(&config(&issuer));
    assert!(!room.knows(&pair.token("anna")) && !room.site.access().is_open(), "closed, not open");
    issuer.answer(ok(&jwks(&[&pair])));
    until("they come later", || room.knows(&pair.token("anna")));
}

#[test]
fn a_source_that_is_gone_takes_its_keys_along() {
    let pair = Pair::new("1");
    let issuer = Issuer::start(ok(&jwks(&[&pair])));
    let closed = config(&issuer);
    let room = Room::open(&closed);
    assert!(room.knows(&pair.token("anna")));
    room.reload(&Resolved::default());
    assert!(room.site.access().is_open() && !room.knows(&pair.token("anna")));
    let asked = issuer.asked();
    room.reload(&closed);
    until("a source that is there again is asked", || room.knows(&pair.token("anna")));
    assert!(issuer.asked() > asked);
}

#[test]
fn what_is_said_decides_what_the_gate_is() {
    let gate = |config: &Resolved| State::new(config, &Arc::default(), &[]).unwrap().gate();
    assert!(gate(&Resolved::default()).is_open());
    let mut config = Resolved::default();
    config.access.token_keys = KeySet::from_secret(
        &KeyTerms { name: "app".into(), algorithms: vec![Algorithm::Hs256], ..KeyTerms::default() },
        &[7; 32],
    )
    .unwrap();
    let rules = |config: &Resolved| Rules::clone(&gate(config).parts().unwrap().rules);
    assert_eq!(rules(&config), Rules::grants_only());
    config.is_open = true;
    assert_eq!(rules(&config), Rules::anyone());
    assert!(gate(&Resolved { is_open: true, ..Resolved::default() }).is_open());
}
