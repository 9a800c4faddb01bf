//! The command line: one file a command. Commands talk to people: results on stdout, everything else on stderr, and the
//! exit code is 0 (done), 1 (it failed) or 2 (it was asked for wrongly).

mod banner;
mod bench;
mod config;
mod publish;
mod serve;
mod subscribe;
mod token;

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::config::{ConfigError, Flags};

/// Where `efir publish` and `efir subscribe` find the server.
const URL: &str = "http://127.0.0.1:8080";
/// The exit code of a command that was stopped with Ctrl-C, as shells have it.
const INTERRUPTED: u8 = 130;

/// A real-time server for the web: messages over polling, SSE, HTTP streaming and WebSocket.
#[derive(Debug, Parser)]
#[command(name = "efir", version, args_conflicts_with_subcommands = true, disable_help_subcommand = true)]
#[command(
    after_help = "Without a command, efir serves. Try: efir, then `efir subscribe chat` and `efir publish chat hello`."
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: ServeFlags,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start the server (also without this word).
    Serve(ServeFlags),
    /// Publish one message.
    Publish(publish::Publish),
    /// Print messages as they come; survives restarts of the server.
    Subscribe(subscribe::Subscribe),
    /// Put load on a server: what it delivers, how late, and at what cost.
    Bench(bench::Bench),
    /// Make a token, or explain why one is refused.
    #[command(subcommand)]
    Token(token::Token),
    /// Show the configuration.
    #[command(subcommand)]
    Config(config::Config),
}

/// What `efir serve` and `efir config show` take.
#[derive(Debug, Default, Args)]
struct ServeFlags {
    /// Address and port to listen on; several are allowed [default: 127.0.0.1:8080].
    #[arg(long, value_name = "ADDR")]
    listen: Vec<String>,
    /// The configuration file [default: ./efir.toml, if it exists].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// How many worker threads; 0 is one a core.
    #[arg(long, value_name = "N")]
    workers: Option<String>,
    /// An origin of another site whose pages may read and publish, as https://example.org.
    #[arg(long, value_name = "URL")]
    allow_origin: Vec<String>,
    /// A host name under which this server is reached.
    #[arg(long, value_name = "NAME")]
    host: Vec<String>,
    /// A folder whose files are served at /.
    #[arg(long = "static", value_name = "DIR")]
    static_dir: Option<String>,
    /// Everybody who reaches this server may read and publish everything; without rules, needed beyond loopback.
    #[arg(long)]
    open: bool,
    /// The transport lab for everybody who reaches this server: its generator of messages, and faults of a visitor's own network.
    #[arg(long)]
    lab: bool,
    /// What is logged: error, warn, info, debug, trace or a filter.
    #[arg(long, value_name = "FILTER")]
    log: Option<String>,
    /// Any key of `efir config keys`, as times.heartbeat=5s.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

impl ServeFlags {
    /// As the configuration takes them; a later `--set` wins over an earlier one.
    fn flags(self) -> Result<Flags, Failure> {
        let mut values: Vec<(&'static str, String, Vec<String>)> = Vec::new();
        for pair in self.set {
            let Some((key, value)) = pair.split_once('=') else {
                return Err(Failure::usage(format!(
                    "--set {pair}: expected KEY=VALUE, as times.heartbeat=5s"
                )));
            };
            values.push(("--set", key.trim().to_owned(), vec![value.to_owned()]));
        }
        for (flag, key, texts) in [
            ("--listen", "listen", self.listen),
            ("--workers", "workers", Vec::from_iter(self.workers)),
            ("--allow-origin", "allow_origins", self.allow_origin),
            ("--host", "hosts", self.host),
            ("--static", "static_dir", Vec::from_iter(self.static_dir)),
            ("--open", "open", Vec::from_iter(self.open.then(|| "true".to_owned()))),
            ("--lab", "lab", Vec::from_iter(self.lab.then(|| "true".to_owned()))),
            ("--log", "log", Vec::from_iter(self.log)),
        ] {
            if !texts.is_empty() {
                values.push((flag, key.to_owned(), texts));
            }
        }
        Ok(Flags { config: self.config, values })
    }
}

/// Why a command ended without doing what it was asked for.
#[derive(Debug)]
struct Failure {
    /// Lines for people; empty where there is nothing to say.
    text: String,
    code: u8,
}

impl Failure {
    /// It was asked for wrongly.
    fn usage(text: impl Into<String>) -> Self {
        Self { text: text.into(), code: 2 }
    }

    /// It failed.
    fn failed(text: impl Into<String>) -> Self {
        Self { text: text.into(), code: 1 }
    }

    /// It was stopped from outside: nothing is to be said.
    fn quiet(code: u8) -> Self {
        Self { text: String::new(), code }
    }
}

impl From<Vec<ConfigError>> for Failure {
    fn from(errors: Vec<ConfigError>) -> Self {
        Self::usage(errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::from(vec![error])
    }
}

impl From<io::Error> for Failure {
    /// An error of stdout. Who reads no more (`| head`) has what they wanted.
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::quiet(0),
            _ => Self::failed(format!("cannot write to stdout: {error}")),
        }
    }
}

/// Runs the command that the process was started with.
#[must_use]
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.command {
        None => serve::run(cli.serve),
        Some(Command::Serve(flags)) => serve::run(flags),
        Some(Command::Publish(publish)) => publish::run(&publish),
        Some(Command::Subscribe(subscribe)) => subscribe::run(&subscribe),
        Some(Command::Bench(bench)) => bench::run(&bench),
        Some(Command::Token(token)) => token::run(&token),
        Some(Command::Config(config)) => config::run(config),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            for line in failure.text.lines() {
                say(line);
            }
            ExitCode::from(failure.code)
        }
    }
}

/// A line on stderr. Nobody can be told where that is closed.
fn say(line: &str) {
    let prefix = if line.is_empty() || line.starts_with(' ') { "" } else { "efir: " };
    let _ = writeln!(io::stderr(), "{prefix}{line}");
}

/// Text for a terminal: control characters of strangers must not move the cursor or change the title.
fn for_terminal(text: &str) -> String {
    let is_harmless = |letter: char| !letter.is_control() || matches!(letter, '\n' | '\t');
    text.chars().map(|letter| if is_harmless(letter) { letter } else { '\u{fffd}' }).collect()
}

fn is_stdout_terminal() -> bool {
    io::stdout().is_terminal()
}

/// A runtime for one command, on this thread.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::failed(format!("cannot start: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn flags_name_their_keys() {
        let cli = Cli::try_parse_from(["efir", "--listen", "1", "--listen", "2", "--set", "times.hold=5s"])
            .unwrap();
        let flags = cli.serve.flags().unwrap();
        assert_eq!(flags.values[0], ("--set", "times.hold".to_owned(), vec!["5s".to_owned()]));
        assert_eq!(flags.values[1], ("--listen", "listen".to_owned(), vec!["1".to_owned(), "2".to_owned()]));
        let keys = crate::config::keys::all();
        assert!(keys.iter().filter_map(|key| key.flag).all(|flag| {
            Cli::command().get_arguments().any(|argument| argument.get_long() == flag.strip_prefix("--"))
        }));
    }

    #[test]
    fn serve_is_the_default_command() {
        assert!(Cli::try_parse_from(["efir", "--static", "dir"]).unwrap().command.is_none());
        assert!(Cli::try_parse_from(["efir", "--workers", "1", "publish", "a"]).is_err());
    }

    #[test]
    fn a_terminal_gets_no_control_characters() {
        assert_eq!(for_terminal("a\u{1b}[2Jb\tc\nd\r👋"), "a\u{fffd}[2Jb\tc\nd\u{fffd}👋");
    }
}
