//! Publishers: each message has a key and is sent until it is answered, except some that have none and are sent once.

use std::{sync::Arc, time::Duration};

use efir_client::{Client, ClientError, Payload, Receipt, Socket};
use fastrand::Rng;
use tokio::time::{sleep, timeout};

use super::ledger::{Attempt, Ledger};
use crate::history::Event;

/// How long one try may take.
const TRY_MAX: Duration = Duration::from_millis(1_500);
/// Between messages, when there are enough.
const LEISURE: Duration = Duration::from_millis(10);

/// What a publisher speaks.
pub(super) enum Voice {
    /// A request each.
    Http,
    /// Commands of one `/socket`; made anew when it breaks.
    Socket(Option<Box<Socket>>),
}

/// One publisher with connections of its own; it has sent one message when it sends the next.
pub(super) struct Publisher {
    pub(super) name: String,
    pub(super) client: Client,
    pub(super) voice: Voice,
    pub(super) channels: Arc<[String]>,
    pub(super) ledger: Arc<Ledger>,
    pub(super) random: Rng,
    /// Between messages.
    pub(super) pause: Duration,
}

impl Publisher {
    /// Publishes to any of its channels until the leg is over.
    pub(super) async fn run(mut self) {
        let mut number = 0;
        while !self.ledger.is_over() {
            number += 1;
            let channel = self.channels[self.random.usize(..self.channels.len())].clone();
            let text = self.text(number);
            let has_key = !matches!(self.voice, Voice::Http) || self.random.u8(..10) > 0;
            if has_key {
                self.publish(&channel, &text, &format!("{}.{number}", self.name)).await;
            } else {
                drop(self.attempt(&channel, &text, None).await);
            }
            let pause = if self.ledger.is_enough() { self.pause.max(LEISURE) } else { self.pause };
            if !pause.is_zero() {
                sleep(pause).await;
            }
        }
    }

    /// Publishes one message, as often as it takes; `None` where that is refused for good.
    pub(super) async fn publish(&mut self, channel: &str, text: &str, key: &str) -> Option<Receipt> {
        loop {
            match self.attempt(channel, text, Some(key)).await {
                Ok(receipt) => return Some(receipt),
                Err(error) if error.is_permanent() => {
                    self.ledger.wrong(format!("{} may not publish: {error}", self.name));
                    return None;
                }
                Err(_) => sleep(Duration::from_millis(self.random.u64(1..20))).await,
            }
        }
    }

    /// Any length, any alphabet.
    fn text(&mut self, number: u64) -> String {
        let length = match self.random.u8(..20) {
            0 => self.random.usize(..1_500),
            1..5 => self.random.usize(..200),
            _ => 0,
        };
        let letter = *self.random.choice(&['x', 'ж', '水', '"']).unwrap_or(&'x');
        format!("{} {number} {}", self.name, letter.to_string().repeat(length))
    }

    async fn attempt(
        &mut self,
        channel: &str,
        text: &str,
        key: Option<&str>,
    ) -> Result<Receipt, ClientError> {
        let attempt = Attempt { actor: &self.name, channel, key, mark: &format!("text:{text}") };
        let op = self.ledger.begin(&attempt);
        let sent = timeout(TRY_MAX, send(&self.client, &mut self.voice, &attempt, text)).await;
        let ended =
            sent.unwrap_or(Err(ClientError::Timeout { what: "the answer to a publish", after: TRY_MAX }));
        match &ended {
            Ok(receipt) => self.ledger.accepted(&self.name, op, receipt),
            Err(error) => {
                let event = match error.code() {
                    Some(code) => Event::Refused { op, code: code.into() },
                    None => Event::Unanswered { op },
                };
                self.ledger.history.record(&self.name, event);
                if let Voice::Socket(socket) = &mut self.voice {
                    *socket = None;
                }
            }
        }
        ended
    }
}

async fn send(
    client: &Client,
    voice: &mut Voice,
    attempt: &Attempt<'_>,
    text: &str,
) -> Result<Receipt, ClientError> {
    match voice {
        Voice::Http => client.publish(attempt.channel, Payload::Text(text.into()), attempt.key).await,
        Voice::Socket(kept) => {
            // Taken, so that one that is given up in the middle of a command is not used again.
            let mut socket = match kept.take() {
                Some(socket) => socket,
                None => Box::new(client.socket().await?),
            };
            let json = serde_json::Value::from(text).to_string();
            let receipt = socket.publish(attempt.channel, &json, attempt.key).await?;
            *kept = Some(socket);
            Ok(receipt)
        }
    }
}
