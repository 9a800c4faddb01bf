//! `efir subscribe`: messages as lines on stdout, what happens to the connection on stderr. Reconnecting and resuming
//! are the client's.

use std::io::{self, Write};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, value_parser};
use efir_client::{Client, Data, FollowEvent, Following, MessageView, Start, Transport};

use super::publish::explain;
use super::{Failure, INTERRUPTED, URL, for_terminal, is_stdout_terminal, runtime, say};

#[derive(Debug, Args)]
#[command(after_help = "Text is printed as it is, JSON as JSON, bytes as base64. Ctrl-C ends it.")]
pub(super) struct Subscribe {
    /// The channels.
    #[arg(required = true, value_name = "CHANNEL")]
    channels: Vec<String>,
    /// short-poll, long-poll, sse, http-stream or websocket.
    #[arg(long, default_value = "sse", value_parser = value_parser!(Transport))]
    transport: Transport,
    /// Begin after this cursor; 'start': with the oldest message that is kept.
    #[arg(long, value_name = "CURSOR", conflicts_with = "last")]
    after: Option<String>,
    /// Begin with the newest N messages that are kept.
    #[arg(long, value_name = "N")]
    last: Option<usize>,
    /// The server.
    #[arg(long, env = "EFIR_URL", default_value = URL)]
    url: String,
    /// Print whole message objects: channel, position, time and data.
    #[arg(long)]
    raw: bool,
    /// End after N messages.
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// Say nothing about the connection.
    #[arg(long, short)]
    quiet: bool,
}

pub(super) fn run(subscribe: &Subscribe) -> Result<(), Failure> {
    let client = Client::new(&subscribe.url).map_err(|error| Failure::usage(error.to_string()))?;
    runtime()?.block_on(async {
        tokio::select! {
            done = subscribe.follow(&client) => done,
            _ = tokio::signal::ctrl_c() => Err(Failure::quiet(INTERRUPTED)),
        }
    })
}

impl Subscribe {
    async fn follow(&self, client: &Client) -> Result<(), Failure> {
        let mut left = self.count.unwrap_or(u64::MAX);
        let mut follow = client.follow(self.following());
        while left > 0 {
            let event = follow.next().await.map_err(|error| explain(&error, &self.url))?;
            match event {
                FollowEvent::Message(message) => {
                    self.print(&message)?;
                    left -= 1;
                }
                FollowEvent::Gap(gap) => self.tell(&format!(
                    "gap in {}: messages are missing ({}); going on after {}",
                    gap.channel, gap.reason, gap.resume_from
                )),
                FollowEvent::Presence(state) => {
                    self.tell(&format!("in {} there are {} now", state.channel, state.count));
                }
                FollowEvent::Problem(problem) => {
                    let channel = problem.channel.as_deref().unwrap_or("?");
                    say(&for_terminal(&format!("{channel}: {problem}")));
                }
                FollowEvent::Online { transport } => self.tell(&format!("online over {transport}")),
                FollowEvent::Offline { reason, retry_in } => {
                    self.tell(&format!("offline: {reason}; next try in {}", seconds(retry_in)));
                }
            }
        }
        Ok(())
    }

    fn following(&self) -> Following {
        let start = match (&self.after, self.last) {
            (Some(after), _) if after == "start" => Start::Beginning,
            (Some(after), _) => Start::After(after.clone()),
            (None, Some(last)) => Start::Last(last),
            (None, None) => Start::Default,
        };
        let following = match self.channels.as_slice() {
            [channel] => Following::channel(self.transport, channel),
            channels => Following::channels(self.transport, channels),
        };
        following.start(start)
    }

    /// One message. Of several channels, its name stands before it.
    fn print(&self, message: &MessageView) -> io::Result<()> {
        let mut line = Vec::new();
        if self.raw {
            line.extend_from_slice(&message.raw);
        } else {
            if self.channels.len() > 1 {
                line.extend_from_slice(message.channel.as_bytes());
                line.push(b'\t');
            }
            match &message.data {
                Data::Json(_) => line.extend_from_slice(&message.payload()),
                Data::Bytes(bytes) => line.extend_from_slice(STANDARD.encode(bytes).as_bytes()),
            }
        }
        if is_stdout_terminal() {
            line = for_terminal(&String::from_utf8_lossy(&line)).into_bytes();
        }
        line.push(b'\n');
        let mut out = io::stdout().lock();
        out.write_all(&line)?;
        out.flush()
    }

    fn tell(&self, line: &str) {
        if !self.quiet {
            say(&for_terminal(line));
        }
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}
