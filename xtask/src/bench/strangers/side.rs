//! One server with its subscribers and somebody who publishes to them, a few messages a turn.

use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use efir_bench::channels::Channels;
use efir_bench::efir::HttpPublisher;
use efir_bench::process::{self, Cpu};
use efir_bench::publisher::{Arrivals, Outfit, Publishers};
use efir_bench::subscribers::Subscribers;
use efir_bench::{Destination, Efir, Pace, Publish, Seat, Subscribe, Transport};

use super::super::scale::figures::Point;
use super::super::scale::spent::Moment;
use super::super::scale::stage::Plan;
use super::kinds::{Kind, Workshop};
use crate::server::{self, Server};

const CHANNEL: &str = "strangers";
const PAYLOAD_BYTES: usize = 100;
/// Each is read by all before the next is published: a server that gathers what waits would have cheaper deliveries.
pub(super) const MESSAGES: usize = 10;
/// Time for one message.
const ONE: Pace = Pace::PerSecond(1_000.0);
const MOMENT: Duration = Duration::from_millis(1);
/// How long connections rest before their memory is looked at.
const REST: Duration = Duration::from_millis(1_500);
const ANSWERED_MAX: Duration = Duration::from_secs(60);
const ARRIVED_MAX: Duration = Duration::from_secs(10);

/// See the module.
pub(super) struct Side {
    server: Server,
    subscribers: Subscribers,
    /// Away only while they publish.
    publishers: Option<Publishers>,
    /// CPU of the server for one connection, handshakes and the check of its token included.
    pub(super) connect_us: f64,
    /// Memory of the server for one connection at rest.
    pub(super) bytes: f64,
}

/// What one turn showed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turn {
    /// CPU of the server a delivery.
    pub(super) cpu_us: f64,
    /// Messages a read.
    pub(super) gathered: f64,
    /// Which part of its core the tool took.
    pub(super) tool_share: f64,
}

impl Side {
    /// Starts a server and lets its subscribers in.
    ///
    /// # Errors
    /// When it does not start, or refuses one of them.
    pub(super) fn open(plan: &Plan, workshop: &Workshop, kind: &Kind, count: usize) -> Result<Self> {
        let (server, destination) = start(plan, workshop, kind)?;
        let host = destination.address.to_string();
        let (shown, publisher) = workshop.tokens(kind);
        let subscribe: Arc<dyn Subscribe> =
            Arc::new(Efir::new(Transport::Websocket, &host).with_tokens(&shown));
        let publish: Arc<dyn Publish> = Arc::new(HttpPublisher::new(&host, "").with_tokens(&publisher));
        let (channels, clock) = (Arc::new(Channels::new(CHANNEL, 1, 1)), Instant::now());
        let mut subscribers = Subscribers::new(destination.clone(), clock)?;
        for number in 0..count as u32 {
            subscribers.plan(&subscribe, Seat::new(Arc::clone(&channels), number, (0, 1)), 1);
        }
        let (cpu, memory) = (Cpu::of(server.process())?, process::memory(server.process())?);
        subscribers.open(ANSWERED_MAX).with_context(|| kind.name)?;
        let spent = Cpu::of(server.process())?.since(cpu).total();
        let rested = Instant::now() + REST;
        while Instant::now() < rested {
            subscribers.turn(Duration::from_millis(50))?;
        }
        let grown = process::memory(server.process())?.saturating_sub(memory);
        let outfit = Outfit { count: 1, pipeline: 64, payload_bytes: PAYLOAD_BYTES };
        let publishers = Publishers::connect(destination, &publish, &channels, clock, outfit)?;
        Ok(Self {
            server,
            subscribers,
            publishers: Some(publishers),
            connect_us: spent.as_secs_f64() * 1e6 / count as f64,
            bytes: grown as f64 / count as f64,
        })
    }

    /// A few messages to everybody.
    ///
    /// # Errors
    /// When a connection ended, or a message did not come.
    pub(super) fn turn(&mut self) -> Result<Turn> {
        let mut publishers = self.publishers.take().context("a turn went wrong before")?;
        let before = (self.subscribers.seen.delivered, self.subscribers.seen.reads);
        let moment = Moment::now(self.server.process())?;
        for _ in 0..MESSAGES {
            let publishing = publishers.start(ONE, MOMENT, Arrivals::default());
            while !publishing.is_finished() {
                self.subscribers.turn(MOMENT)?;
            }
            (publishers, _) = publishing.finish()?;
            self.subscribers.read_up_to(publishers.ends(), ARRIVED_MAX)?;
        }
        let spent = moment.spent()?;
        if let Some(why) = &self.subscribers.seen.why {
            bail!("{} connections ended: {why}", self.subscribers.seen.ended);
        }
        self.publishers = Some(publishers);
        let delivered = self.subscribers.seen.delivered - before.0;
        let reads = self.subscribers.seen.reads - before.1;
        let mut point = Point::at(0);
        spent.judge(&mut point);
        Ok(Turn {
            cpu_us: spent.each_us(delivered.max(1)),
            gathered: delivered as f64 / reads.max(1) as f64,
            tool_share: point.tool_share,
        })
    }

    /// # Errors
    /// When a message was lost, doubled or out of order.
    pub(super) fn expect_no_faults(&self) -> Result<()> {
        let publishers = self.publishers.as_ref().context("a turn went wrong before")?;
        let faults = self.subscribers.faults(publishers.ends());
        if !faults.is_none() {
            bail!("lost / duplicated / reordered: {faults}");
        }
        Ok(())
    }
}

/// A server of this kind on the server's core, and where its visitors go.
fn start(plan: &Plan, workshop: &Workshop, kind: &Kind) -> Result<(Server, Destination)> {
    let mut command = Command::new(plan.binary());
    command.env("EFIR_CONFIG", workshop.configuration(kind)?);
    // The address in cleartext is there in either case: by it we see when the server is ready.
    let (port, encrypted) = (server::free_port()?, server::free_port()?);
    if !kind.is_encrypted {
        let server = super::super::on_server_core(|| Server::start_by(command, &[], port))?;
        let destination = server.address().into();
        return Ok((server, destination));
    }
    let listen = format!("https://127.0.0.1:{encrypted}");
    let more = ["--listen".to_owned(), listen];
    let server = super::super::on_server_core(|| Server::start_with(command, &more, port))?;
    let address = (server.address().ip(), encrypted).into();
    Ok((server, Destination { address, encryption: Some(workshop.encryption()?) }))
}
