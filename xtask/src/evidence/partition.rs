//! Clients in a network that really loses packets: in a namespace of their own, some packets are dropped at random, then all of them for
//! a while, in both directions or in one, and connections are reset. The clients are those of the campaign, and what they saw is
//! judged as there; here is the weather.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::campaign;
use super::namespace::{self, Namespaces};
use super::{Outcome, Size};
use crate::server::{self, Server};

/// Signs of life often enough that a run sees many of them fail, and streams that end as they do in life.
const CONFIGURATION: &[(&str, &str)] = &[
    ("EFIR_TIMES__HEARTBEAT", "400ms"),
    ("EFIR_TIMES__HOLD_MIN", "100ms"),
    ("EFIR_TIMES__RETRY_MIN", "10ms"),
    ("EFIR_TIMES__RETRY_MAX", "100ms"),
    ("EFIR_TIMES__ROTATION_MIN", "10s"),
    ("EFIR_TIMES__ROTATION_MAX", "20s"),
    ("EFIR_UNLIMITED", "10.231.77.0/24"),
];

/// What happens to packets for a while.
#[derive(Clone, Copy, Debug)]
enum Weather {
    /// Nothing.
    Fair,
    /// So many of a hundred are lost, each way.
    Loss(u32),
    /// All are lost, each way.
    Partition,
    /// All that the clients should hear are lost; the server hears them.
    Deaf,
    /// Both sides of each connection that says anything are reset.
    Resets,
}

use Weather::{Deaf, Fair, Loss, Partition, Resets};

/// Weather and for how many tenths of a second.
type Phase = (Weather, u64);

const ROUND: &[Phase] = &[
    (Loss(5), 60),
    (Loss(10), 60),
    (Partition, 30),
    (Fair, 20),
    (Resets, 5),
    (Fair, 20),
    (Loss(20), 80),
    (Deaf, 30),
    (Fair, 20),
    (Partition, 60),
    (Fair, 20),
];
/// Of a full run.
const ROUNDS: usize = 3;
const QUICK: &[Phase] = &[(Loss(10), 15), (Partition, 10), (Fair, 3), (Resets, 3), (Loss(20), 10)];

pub(super) fn attempt(size: Size, binary: &Path) -> Result<Outcome> {
    if !namespace::are_possible() {
        if size == Size::Full {
            bail!("a network that loses packets needs namespaces: run as root, with iproute2 and nftables");
        }
        println!("no root: no packet is lost");
        return Ok(Outcome { text: String::new(), broken: Vec::new() });
    }
    let program = campaign::program(size, binary)?;
    let made = Namespaces::make()?;
    let server = namespace::inside(&made.server, || {
        let mut command = Command::new(binary);
        command.envs(CONFIGURATION.iter().copied());
        Server::start_by(command, &[namespace::SERVER], server::free_port()?)
    })?;
    let address = SocketAddr::from((namespace::SERVER, server.address().port()));
    let mut clients = namespace::inside(&made.clients, || start(&program, address))?;
    let phases: Vec<Phase> = if size == Size::Full { ROUND.repeat(ROUNDS) } else { QUICK.to_vec() };
    let suffered = ready(&mut clients).and_then(|rest| Ok((rest, suffer(&made, &phases)?)));
    let (rest, lost) = match suffered {
        Ok(suffered) => suffered,
        Err(error) => {
            drop(clients.kill());
            drop(clients.wait());
            return Err(error);
        }
    };
    // Its standard input ends, and so does the bad weather.
    drop(clients.stdin.take());
    let output = Output { stdout: read(rest)?, stderr: Vec::new(), status: clients.wait()? };
    let mut outcome = campaign::outcome("partition", &output)?;
    outcome.text += &format!("\n\n{}", words(&phases, &lost));
    if lost.dropped == 0 || lost.reset == 0 {
        outcome.broken.push("no packet was lost, or none reset".to_owned());
    }
    Ok(outcome)
}

fn start(program: &Path, server: SocketAddr) -> Result<Child> {
    let mut command = Command::new(program);
    command.args(["--against", &server.to_string()]).stdin(Stdio::piped()).stdout(Stdio::piped());
    command.spawn().context("starting the clients")
}

type Rest = BufReader<std::process::ChildStdout>;

/// Waits until all have begun; gives what the program still has to say.
fn ready(clients: &mut Child) -> Result<Rest> {
    let mut stdout = BufReader::new(clients.stdout.take().context("no standard output")?);
    let mut line = String::new();
    stdout.read_line(&mut line)?;
    if line.trim() != "ready" {
        bail!("the clients did not begin: {line}");
    }
    Ok(stdout)
}

fn read(mut rest: Rest) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    rest.read_to_end(&mut text)?;
    Ok(text)
}

/// Packets that the filter took.
#[derive(Clone, Copy, Debug, Default)]
struct Lost {
    dropped: u64,
    reset: u64,
}

/// One kind of weather after the other, and fair in the end.
fn suffer(made: &Namespaces, phases: &[Phase]) -> Result<Lost> {
    let mut lost = Lost::default();
    for (weather, tenths) in phases.iter().chain(&[(Fair, 0)]) {
        let before = made.weather(&weather.rules())?;
        lost.dropped += before.dropped;
        lost.reset += before.reset;
        std::thread::sleep(Duration::from_millis(tenths * 100));
    }
    Ok(lost)
}

impl Weather {
    /// For the packets that come in and those that go out.
    fn rules(self) -> [String; 2] {
        let only = "ip saddr 10.231.77.0/24 counter name dropped drop";
        match self {
            Fair => [String::new(), String::new()],
            Loss(share) => {
                let rule = format!("numgen random mod 100 < {share} {only}");
                [rule.clone(), rule]
            }
            Partition => [only.to_owned(), only.to_owned()],
            Deaf => [only.to_owned(), String::new()],
            Resets => {
                // Resets pass: each side has to hear those that the other one's packets were answered by.
                let rule = "tcp flags & rst != rst counter name refused reject with tcp reset".to_owned();
                [rule.clone(), rule]
            }
        }
    }
}

impl Namespaces {
    /// From now on these rules hold in the clients' namespace; gives what those before took.
    fn weather(&self, [inward, outward]: &[String; 2]) -> Result<Lost> {
        let before = self.filter("list counters").unwrap_or_default();
        let counters = "counter dropped {}; counter refused {};";
        let chain = |name: &str, hook: &str, rule: &str| {
            let end = if rule.is_empty() { "" } else { ";" };
            format!("chain {name} {{ type filter hook {hook} priority 0; policy accept; {rule}{end} }};")
        };
        let (inward, outward) = (chain("inward", "input", inward), chain("outward", "output", outward));
        self.filter(&format!(
            "add table inet weather; delete table inet weather; table inet weather {{ {counters} {inward} {outward} }}"
        ))?;
        Ok(Lost { dropped: packets(&before, "dropped"), reset: packets(&before, "refused") })
    }

    fn filter(&self, command: &str) -> Result<String> {
        let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
        let arguments = ["netns", "exec", &self.clients, "nft", command];
        let output = Command::new("ip").env("PATH", path).args(arguments).output()?;
        if !output.status.success() {
            bail!("`nft {command}`: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8(output.stdout)?)
    }
}

/// What a named counter says in a list of them.
fn packets(list: &str, counter: &str) -> u64 {
    let place = list.split_once(&format!("counter {counter} {{")).map(|(_, rest)| rest);
    let words = place.and_then(|rest| rest.trim_start().strip_prefix("packets "));
    words.and_then(|words| words.split(' ').next()).and_then(|count| count.parse().ok()).unwrap_or(0)
}

/// What the weather was.
fn words(phases: &[Phase], lost: &Lost) -> String {
    let seconds = |wanted: fn(&Weather) -> bool| {
        let tenths: u64 =
            phases.iter().filter(|(weather, _)| wanted(weather)).map(|(_, tenths)| tenths).sum();
        tenths as f64 / 10.0
    };
    let count = |wanted: fn(&Weather) -> bool| phases.iter().filter(|(weather, _)| wanted(weather)).count();
    format!(
        "{:.0} s: {:.0} s of random loss (5, 10, 20 % of the packets each way), {} partitions ({:.0} s in all), {} times deaf clients \
         ({:.0} s), {} times every packet answered by a reset. Packets dropped: {}; reset: {}.",
        seconds(|_| true),
        seconds(|weather| matches!(weather, Loss(_))),
        count(|weather| matches!(weather, Partition)),
        seconds(|weather| matches!(weather, Partition)),
        count(|weather| matches!(weather, Deaf)),
        seconds(|weather| matches!(weather, Deaf)),
        count(|weather| matches!(weather, Resets)),
        crate::paper::grouped(lost.dropped),
        crate::paper::grouped(lost.reset),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_read() {
        let list = "table inet weather {\n\tcounter dropped {\n\t\tpackets 12 bytes 900\n\t}\n\tcounter refused {\n\t\tpackets 3 bytes 1\n\t}\n}";
        assert_eq!((packets(list, "dropped"), packets(list, "refused"), packets("", "refused")), (12, 3, 0));
    }

    #[test]
    fn a_full_run_takes_two_minutes() {
        let tenths: u64 = ROUND.iter().map(|(_, tenths)| tenths).sum::<u64>() * ROUNDS as u64;
        assert!((1_100..1_300).contains(&tenths), "{tenths}");
    }

    #[test]
    fn the_filter_takes_all_rules() {
        if !namespace::are_possible() {
            eprintln!("skipped: namespaces need root and iproute2");
            return;
        }
        let made = Namespaces::make().unwrap();
        for weather in [Fair, Loss(20), Partition, Deaf, Resets] {
            made.weather(&weather.rules()).unwrap();
        }
    }
}
