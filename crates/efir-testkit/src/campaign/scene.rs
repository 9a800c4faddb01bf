//! Publishers and readers of one way to be carried, whatever befalls them: how they begin, how far they are, and the verdict.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use efir_client::{Client, Transport};
use fastrand::Rng;
use tokio::task::JoinSet;

use super::{
    Way,
    ledger::Ledger,
    publisher::{Publisher, Voice},
    reader::{Choice, Habit, Reader, Seen},
    served::client,
    table::Row,
};
use crate::{
    checker::{self, Summary},
    history::{self, Event, Place},
};

const CHANNELS: [&str; 8] =
    ["news", "общий-чат", "prices:eur", "game 7", "a", "b", "c", "a-channel-with-a-long-name"];
/// Promises that are shown where they are broken; the counts have all.
const SHOWN_MAX: usize = 5;
/// Between two looks at how far everybody is.
const LOOK: Duration = Duration::from_millis(5);

/// All who take part in a leg.
pub(super) struct Scene {
    pub(super) way: Way,
    pub(super) ledger: Arc<Ledger>,
    channels: Arc<[String]>,
    readers: Vec<(String, Seen)>,
    reading: JoinSet<()>,
    publishing: JoinSet<()>,
    random: Rng,
    begun: Instant,
    /// Of readers and publishers.
    clients: Vec<Client>,
}

impl Scene {
    /// How many readers there are.
    pub(super) const READERS: usize = 5;

    /// Nobody has begun yet. `prefix` keeps the channels apart from those of others on the same server.
    pub(super) fn new(way: Way, seed: u64, prefix: &str) -> Self {
        let channels = CHANNELS.iter().map(|channel| format!("{prefix}{channel}")).collect();
        Self {
            way,
            ledger: Arc::default(),
            channels,
            readers: Vec::new(),
            reading: JoinSet::new(),
            publishing: JoinSet::new(),
            random: Rng::with_seed(seed),
            begun: Instant::now(),
            clients: Vec::new(),
        }
    }

    /// Five readers: of all channels, of one, of some, a slow one of all, and one of some that changes its transport; where the way
    /// is to switch, all but the slow one do.
    pub(super) fn read(&mut self, address: SocketAddr) -> Result<()> {
        let all = self.channels.to_vec();
        let plan: [(&str, Vec<String>, Habit); Self::READERS] = [
            ("all", all.clone(), Habit::None),
            ("one", all[..1].to_vec(), Habit::None),
            ("some", all[1..4].to_vec(), Habit::None),
            ("slow", all.clone(), Habit::Slow),
            ("two", all[4..6].to_vec(), Habit::None),
        ];
        for (name, channels, habit) in plan {
            let (transport, habit) = match self.way.transport {
                Some(transport) => (transport, habit),
                None if habit == Habit::None => (Transport::Sse, Habit::Switching),
                None => (Transport::WebSocket, habit),
            };
            let choice = Choice { name: format!("{name} reader"), channels, transport, habit };
            let client = self.client(address)?;
            let reader = Reader::new(&client, choice, &self.ledger, self.random.fork());
            self.readers.push((format!("{name} reader"), reader.seen()));
            self.reading.spawn(reader.run());
        }
        Ok(())
    }

    /// So many publishers begin, a quarter of them over `/socket`; each waits for so long between messages.
    pub(super) fn publish(&mut self, address: SocketAddr, count: usize, pause: Duration) -> Result<()> {
        for number in 1..=count {
            let voice = if number % 4 == 2 { Voice::Socket(None) } else { Voice::Http };
            let publisher = self.publisher(&format!("p{number}"), address, voice, pause)?;
            self.publishing.spawn(publisher.run());
        }
        Ok(())
    }

    fn client(&mut self, address: SocketAddr) -> Result<Client> {
        let client = client(address, self.way.carrier)?;
        self.clients.push(client.clone());
        Ok(client)
    }

    fn publisher(
        &mut self,
        name: &str,
        address: SocketAddr,
        voice: Voice,
        pause: Duration,
    ) -> Result<Publisher> {
        Ok(Publisher {
            name: name.into(),
            client: self.client(address)?,
            voice,
            channels: Arc::clone(&self.channels),
            ledger: Arc::clone(&self.ledger),
            random: self.random.fork(),
            pause,
        })
    }

    /// Publishes one message to each channel, and waits until all who read it have it.
    pub(super) async fn mark(&mut self, name: &str, address: SocketAddr, patience: Duration) -> Result<()> {
        let mut publisher = self.publisher(name, address, Voice::Http, Duration::ZERO)?;
        let mut marks = Vec::new();
        for channel in Arc::clone(&self.channels).iter() {
            let key = format!("{}.mark", name.replace(' ', "-"));
            let text = format!("the {name} of {channel}");
            let sent = publisher.publish(channel, &text, &key);
            let receipt = tokio::time::timeout(patience, sent).await.ok().flatten();
            let receipt = receipt.with_context(|| format!("{name}: {channel} cannot be published to"))?;
            marks.push((channel.clone(), Place::parse(&receipt.position).context("a position")?));
        }
        let has = |channel: &String, position: &str| {
            let wanted = marks.iter().find(|(marked, _)| marked == channel).map(|(_, place)| place);
            let found = Place::parse(position);
            wanted
                .zip(found)
                .is_some_and(|(wanted, found)| found.epoch == wanted.epoch && found.offset >= wanted.offset)
        };
        let has_all = || {
            let mut tracks = self.readers.iter().flat_map(|(_, seen)| seen.tracks());
            tracks.all(|(channel, track)| has(&channel, &track.position))
        };
        self.until("every reader has everything", patience, has_all).await
    }

    /// Waits until something holds of the readers and publishers.
    pub(super) async fn until(&self, what: &str, patience: Duration, holds: impl Fn() -> bool) -> Result<()> {
        let due = Instant::now() + patience;
        while !holds() {
            if Instant::now() > due {
                bail!("{}: {what}: not within {patience:?}; {}", self.way, self.report());
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    /// Whether what each reader has of each channel is of the epoch that publishers were told last.
    pub(super) fn are_here(&self) -> bool {
        self.readers.iter().all(|(_, seen)| {
            seen.tracks().iter().all(|(channel, track)| {
                let epoch = self.ledger.epoch(channel);
                let position = Place::parse(&track.position);
                epoch.zip(position).is_some_and(|(epoch, position)| position.epoch == epoch)
            })
        })
    }

    /// Publishers finish what they have begun.
    pub(super) async fn stop_publishing(&mut self, patience: Duration) -> Result<()> {
        self.ledger.end();
        let ended = async { while self.publishing.join_next().await.is_some() {} };
        if tokio::time::timeout(patience, ended).await.is_err() {
            bail!("{}: not every publish is answered within {patience:?}", self.way);
        }
        Ok(())
    }

    /// Nothing more is under way; every reader must have been told so many gaps of each channel. Gives what is known of this leg.
    pub(super) async fn finish(mut self, gaps: u64, mut wrong: Vec<String>) -> Row {
        // Whoever is asked to stop in the middle of a callback has not had it.
        self.reading.shutdown().await;
        self.publishing.shutdown().await;
        for (name, seen) in &self.readers {
            for (channel, track) in seen.tracks() {
                self.ledger.history.record(name, Event::Settled { channel: channel.clone() });
                if track.gaps != gaps {
                    let told = track.gaps;
                    wrong.push(format!("{name} was told {told} gaps of {channel} instead of {gaps}"));
                }
            }
        }
        wrong.extend(self.ledger.take_wrong());
        let ledger = Arc::clone(&self.ledger);
        let way = self.way;
        let judged = tokio::task::spawn_blocking(move || judge(way, &ledger)).await;
        let (summary, found) = judged.unwrap_or_else(|error| (Summary::default(), vec![error.to_string()]));
        wrong.extend(found);
        Row {
            way: Some(self.way),
            legs: 1,
            connections: self.clients.iter().map(Client::connections_opened).sum(),
            published: self.ledger.acknowledged(),
            seconds: self.begun.elapsed().as_secs_f64(),
            switches: self.ledger.switches(),
            summary,
            wrong,
            ..Row::default()
        }
    }

    fn report(&self) -> String {
        let readers = self.readers.iter().map(|(name, seen)| format!("{name}: {:?}", seen.tracks()));
        format!("{} published; {}", self.ledger.acknowledged(), readers.collect::<Vec<_>>().join("; "))
    }
}

/// The checker's word; a history that breaks a promise is kept in a file for `efir-judge`.
fn judge(way: Way, ledger: &Ledger) -> (Summary, Vec<String>) {
    let entries = ledger.history.entries();
    let found = checker::check(&entries);
    let summary = Summary::of(&entries, &found);
    let mut words: Vec<String> =
        found.iter().take(SHOWN_MAX).map(|violation| format!("{way}: {violation}")).collect();
    if !found.is_empty() {
        let name = format!("efir-campaign-{}-{}.jsonl", std::process::id(), fastrand::u32(..));
        let path = std::env::temp_dir().join(name);
        let kept = history::to_lines(&entries).map(|lines| std::fs::write(&path, lines));
        words.push(match kept {
            Ok(Ok(())) => format!("{way}: {} promises broken; history: {}", found.len(), path.display()),
            _ => format!("{way}: {} promises broken", found.len()),
        });
    }
    (summary, words)
}
