//! `efir publish`: one message, from the command line or stdin.

use std::io::{self, IsTerminal, Read, Write};

use clap::Args;
use efir_client::{Client, ClientError, Payload};

use super::{Failure, INTERRUPTED, URL, runtime, say};

/// The most that is read from stdin, in bytes: above the largest message that any server may allow.
const DATA_BYTES_MAX: u64 = 32 << 20;

/// What every server accepts unless it is told otherwise, in bytes.
const BYTES_SURE: usize = 64 << 10;

#[derive(Debug, Args)]
#[command(
    after_help = "Prints the receipt as one line of JSON. With --key, the same call may be repeated safely."
)]
pub(super) struct Publish {
    /// The channel.
    channel: String,
    /// The message; '-' or nothing reads it from stdin (one line break at the end is dropped, except with --bytes).
    #[arg(allow_hyphen_values = true)]
    data: Option<String>,
    /// The server.
    #[arg(long, env = "EFIR_URL", default_value = URL)]
    url: String,
    /// Publish at most once with this key, however often it is tried.
    #[arg(long)]
    key: Option<String>,
    /// The message is JSON.
    #[arg(long)]
    json: bool,
    /// The message is bytes, not text.
    #[arg(long, conflicts_with = "json")]
    bytes: bool,
}

pub(super) fn run(publish: &Publish) -> Result<(), Failure> {
    let client = Client::new(&publish.url).map_err(|error| Failure::usage(error.to_string()))?;
    let payload = publish.payload()?;
    let bytes = payload.len();
    let receipt = runtime()?.block_on(async {
        tokio::select! {
            receipt = client.publish(&publish.channel, payload, publish.key.as_deref()) => {
                receipt.map_err(|error| explain_publish(&error, publish, bytes))
            }
            _ = tokio::signal::ctrl_c() => Err(Failure::quiet(INTERRUPTED)),
        }
    })?;
    let line = serde_json::to_string(&receipt).map_err(|error| Failure::failed(error.to_string()))?;
    Ok(writeln!(io::stdout(), "{line}")?)
}

impl Publish {
    fn payload(&self) -> Result<Payload, Failure> {
        let bytes = match self.data.as_deref() {
            Some(data) if data != "-" => data.as_bytes().to_vec(),
            _ => self.read_stdin()?,
        };
        if self.bytes {
            return Ok(Payload::Bytes(bytes.into()));
        }
        if self.json {
            return Ok(Payload::Json(bytes.into()));
        }
        String::from_utf8(bytes)
            .map(Payload::Text)
            .map_err(|_| Failure::usage("the message is not UTF-8 text; publish it with --bytes"))
    }

    fn read_stdin(&self) -> Result<Vec<u8>, Failure> {
        if io::stdin().is_terminal() {
            say("type the message; Ctrl-D on a line of its own ends it");
        }
        let mut bytes = Vec::new();
        io::stdin()
            .lock()
            .take(DATA_BYTES_MAX + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| Failure::failed(format!("cannot read stdin: {error}")))?;
        if bytes.len() as u64 > DATA_BYTES_MAX {
            return Err(Failure::usage(format!(
                "stdin has more than {DATA_BYTES_MAX} bytes, which no server accepts"
            )));
        }
        if !self.bytes && bytes.last() == Some(&b'\n') {
            bytes.pop();
            if bytes.last() == Some(&b'\r') {
                bytes.pop();
            }
        }
        Ok(bytes)
    }
}

/// A server that refuses a large message may hang up before it has come as a whole, and its words are lost then.
fn explain_publish(error: &ClientError, publish: &Publish, bytes: usize) -> Failure {
    let mut failure = explain(error, &publish.url);
    if bytes > BYTES_SURE && matches!(error, ClientError::Http(_) | ClientError::Io(_)) {
        failure.text.push_str(&format!(
            "\n  The message has {bytes} bytes; perhaps that is more than {}/info allows.",
            publish.url
        ));
    }
    failure
}

/// What went wrong, and what to do about it.
pub(super) fn explain(error: &ClientError, url: &str) -> Failure {
    let advice = match error {
        ClientError::Connect { .. } => {
            format!(
                "\n  Is the server running? `efir` starts it; --url or EFIR_URL names another one than {url}."
            )
        }
        ClientError::Problem(problem) if problem.action == "retry_later" => "\n  Try again later.".to_owned(),
        _ => String::new(),
    };
    Failure::failed(format!("{error}{advice}"))
}
