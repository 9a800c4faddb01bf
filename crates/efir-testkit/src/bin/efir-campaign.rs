//! `efir-campaign [--seed N] [--faults N] [--messages N] …`: the fault campaign ([`efir_testkit::campaign`]).
//!
//! With `--against ADDRESS` it runs against a server elsewhere: it says `ready` when all have begun, and ends when its standard input
//! does. The table goes to standard output, one line a leg to standard error, and what does not hold as lines that begin with `wrong: `.
//! Ends with 1 if anything does not hold.

use std::{io::Read, net::SocketAddr, process::ExitCode};

use anyhow::{Context, Result, bail};
use efir_testkit::{
    campaign::{self, Plan, Verdict},
    tls,
};

const HELP: &str = "efir-campaign [--seed N] [--faults N] [--messages N] [--leg-messages N] [--at-once N] [--only WORD] [--against ADDRESS]";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let ended = run(&arguments);
    tls::clean();
    match ended {
        Ok(verdict) => {
            println!("{}", verdict.text);
            for words in &verdict.wrong {
                println!("wrong: {}", words.replace('\n', " "));
            }
            if verdict.wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &[String]) -> Result<Verdict> {
    let (plan, server) = plan(arguments)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let verdict = match server {
        None => runtime.block_on(campaign::run(&plan, |line| eprintln!("{line}"))),
        Some(server) => {
            let end = async {
                // What cannot be read has ended, too.
                let rest = || drop(std::io::stdin().read_to_end(&mut Vec::new()));
                drop(tokio::task::spawn_blocking(rest).await);
            };
            runtime.block_on(campaign::against(server, plan.seed, || println!("ready"), end))
        }
    };
    runtime.shutdown_background();
    verdict
}

fn plan(arguments: &[String]) -> Result<(Plan, Option<SocketAddr>)> {
    let mut plan = Plan {
        seed: fastrand::u64(..1_000_000),
        faults: 300,
        messages: 3_000,
        leg_messages_max: 21_000,
        at_once: 3,
        only: String::new(),
    };
    let mut server = None;
    for pair in arguments.chunks(2) {
        let [name, value] = pair else { bail!("{HELP}") };
        let number = || value.parse::<u64>().with_context(|| format!("{name} {value}: not a number"));
        match name.as_str() {
            "--seed" => plan.seed = number()?,
            "--faults" => plan.faults = number()?,
            "--messages" => plan.messages = number()?,
            "--leg-messages" => plan.leg_messages_max = number()?,
            "--at-once" => plan.at_once = usize::try_from(number()?)?,
            "--against" => server = Some(value.parse()?),
            "--only" => plan.only.clone_from(value),
            _ => bail!("{HELP}"),
        }
    }
    Ok((plan, server))
}
