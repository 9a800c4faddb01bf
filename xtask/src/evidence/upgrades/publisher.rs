//! Publishes one message after the other on one connection, with a key each, and sends again what was cut off, as clients do.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};

const PATIENCE: Duration = Duration::from_secs(20);

/// What came of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Published {
    pub(super) acknowledged: u64,
    /// Sent once more, because the connection ended without an answer, or the server said that it goes away.
    pub(super) again: u64,
    /// Connects that failed.
    pub(super) refused: u64,
    pub(super) why: Option<String>,
    /// The position of the last one.
    pub(super) last: String,
}

/// The thread.
pub(super) struct Publisher {
    thread: JoinHandle<Published>,
    should_stop: Arc<AtomicBool>,
}

impl Publisher {
    pub(super) fn begin(server: SocketAddr, path: &'static str, per_second: u32) -> Self {
        let should_stop = Arc::<AtomicBool>::default();
        let told = Arc::clone(&should_stop);
        let thread = std::thread::spawn(move || {
            let (mut published, mut connection) = (Published::default(), None);
            for number in 1_u64.. {
                let due = Instant::now() + Duration::from_secs(1) / per_second;
                while let Err(error) = published.send(server, (path, number), &mut connection) {
                    connection = None;
                    published.again += 1;
                    published.why.get_or_insert(format!("{error:#}"));
                    if told.load(Ordering::Relaxed) && due.elapsed() > PATIENCE {
                        return published;
                    }
                    std::thread::sleep(Duration::from_millis(5));
                }
                // Until one is acknowledged, so that the last one is known.
                if told.load(Ordering::Relaxed) {
                    break;
                }
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
            }
            published
        });
        Self { thread, should_stop }
    }

    /// # Errors
    /// The thread panicked.
    pub(super) fn end(self) -> Result<Published> {
        self.should_stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| anyhow!("the publisher's thread panicked"))
    }
}

impl Published {
    fn send(
        &mut self,
        server: SocketAddr,
        (path, number): (&str, u64),
        connection: &mut Option<BufReader<TcpStream>>,
    ) -> Result<()> {
        let reader = match connection {
            Some(reader) => reader,
            None => {
                let stream = TcpStream::connect(server).inspect_err(|_| self.refused += 1)?;
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                connection.insert(BufReader::new(stream))
            }
        };
        let body = number.to_string();
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nIdempotency-Key: {number}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        reader.get_mut().write_all(format!("{head}{body}").as_bytes())?;
        let (mut head, mut length, mut is_last) = (String::new(), 0, false);
        while !head.ends_with("\r\n\r\n") {
            ensure!(reader.read_line(&mut head)? > 0, "the connection ended without an answer");
        }
        for (name, value) in head.lines().filter_map(|line| line.split_once(':')) {
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.trim().parse()?,
                "connection" => is_last = value.contains("close"),
                _ => {}
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        if is_last {
            *connection = None;
        }
        if !head.starts_with("HTTP/1.1 20") {
            bail!("refused: {head}{}", String::from_utf8_lossy(&body));
        }
        let receipt: serde_json::Value = serde_json::from_slice(&body)?;
        receipt["position"].as_str().context("no position")?.clone_into(&mut self.last);
        self.acknowledged += 1;
        Ok(())
    }
}
