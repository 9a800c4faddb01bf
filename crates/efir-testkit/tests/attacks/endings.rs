//! Requests that are no good, and connections that end wherever they can: nothing of them stays.

use anyhow::{Context, Result, ensure};
use efir_testkit::{
    ask::Ask,
    raw::{Raw, frame_bytes, upgrade},
};

use crate::victim::Victim;

/// Bad requests in all.
const BAD_POSTS: usize = 6_000;

/// V15: publishing that is malformed in every way is answered every time, and its connection let go.
pub(crate) async fn bad_posts() -> Result<()> {
    let victim = Victim::start().await?;
    let host = victim.address();
    let post =
        |head: &str, body: &str| format!("POST /channels/bad HTTP/1.1\r\nHost: {host}\r\n{head}\r\n{body}");
    let json = "Content-Type: application/json\r\n";
    let kinds = [
        post(&format!("{json}Content-Length: 1\r\n"), "{"),
        post(&format!("{json}Content-Length: 4\r\n"), "nope"),
        post(&format!("{json}Content-Length: 0\r\n"), ""),
        post(&format!("{json}Content-Length: 3\r\n"), "\"\u{1}\""),
        post("Content-Length: nonsense\r\n", ""),
        post("Content-Encoding: gzip\r\nContent-Length: 1\r\n", "x"),
        post("Idempotency-Key: \u{1}\r\nContent-Length: 1\r\n", "x"),
        post("Transfer-Encoding: chunked\r\n", "zz\r\n"),
        format!("POST /channels/%00 HTTP/1.1\r\nHost: {host}\r\nContent-Length: 1\r\n\r\nx"),
        format!(
            "POST /channels/bad?after HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: 3\r\n\r\n\"\\u"
        ),
        format!("POST /subscribe HTTP/1.1\r\nHost: {host}\r\nContent-Length: 2\r\n\r\n[]"),
        "POST /channels/bad HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 1\r\n\r\nx".to_owned(),
    ];
    let files = victim.files()?;
    for round in 0..BAD_POSTS / kinds.len() {
        for kind in &kinds {
            let mut raw = Raw::send(host, kind.as_bytes()).await?;
            let answer = raw.answer_to("POST").await.with_context(|| kind.clone())?;
            ensure!((400..500).contains(&answer.status), "{kind}: {}", answer.status);
            // Some go without waiting for the end.
            if round.is_multiple_of(2) {
                raw.reset()?;
            }
        }
    }
    victim.lets_go(files).await?;
    victim.is_well().await
}

/// V25: the connection ends after each byte of a conversation, by a reset or in good order.
pub(crate) async fn at_every_byte() -> Result<()> {
    let victim = Victim::start().await?;
    let host = victim.address();
    let subscribe = frame_bytes(0x81, br#"{"id":1,"subscribe":{"channel":"cut"}}"#);
    let leave = frame_bytes(0x81, br#"{"id":2,"unsubscribe":{"channel":"cut"}}"#);
    let enter = frame_bytes(0x81, br#"{"id":3,"enter":{"channel":"cut","member":"m"}}"#);
    let conversations = [
        Ask::get("/channels/cut?wait=5").bytes(host),
        Ask::get("/channels/cut").with("accept", "text/event-stream").bytes(host),
        Ask::get("/subscribe?channel=cut&channel=b&member=m&enter=cut&transport=http-stream").bytes(host),
        Ask::text("/channels/cut", "message").bytes(host),
        [upgrade(Ask::get("/socket")).bytes(host), subscribe, enter, leave, frame_bytes(0x88, &[3, 232])]
            .concat(),
        [
            upgrade(Ask::get("/channels/cut?ack=1")).bytes(host),
            frame_bytes(0x01, b"mess"),
            frame_bytes(0x80, b"age"),
        ]
        .concat(),
    ];
    let files = victim.files()?;
    for conversation in &conversations {
        for cut in 1..=conversation.len() {
            let mut raw = Raw::send(host, &conversation[..cut]).await?;
            if cut.is_multiple_of(8) {
                // After something has come, where something comes.
                let _ = raw.is_silent(std::time::Duration::from_millis(1)).await;
            }
            if cut.is_multiple_of(2) {
                raw.reset()?;
            } else {
                let _ = raw.shut_down().await;
            }
        }
        victim.ask(Ask::text("/channels/cut", "for whoever is left")).await?;
    }
    victim.lets_go(files).await?;
    // Nobody is left behind in the channel either; leases of streams end with them.
    let left = async {
        loop {
            let state = victim.ask(Ask::get("/channels/cut/presence")).await?.json()?;
            if state["presence"]["count"] == 0 {
                return anyhow::Ok(());
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), left)
        .await
        .context("members are left behind")??;
    victim.is_well().await
}
