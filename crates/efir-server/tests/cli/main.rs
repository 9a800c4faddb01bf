//! The binary as people use it: its output, its exit codes, its words when something is wrong.

mod bench;

use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::Duration;

/// How long a command may take before the test gives it up.
const TIME_MAX: Duration = Duration::from_secs(30);

/// The binary in an empty folder and an empty environment.
fn efir(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_efir"));
    command.args(args).env_clear().current_dir(folder()).stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A new empty folder.
fn folder() -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!("cli-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// Waits for the end, but not for ever.
fn finish(child: Child) -> Output {
    let pid = child.id();
    let (send, receive) = mpsc::channel();
    std::thread::spawn(move || send.send(child.wait_with_output()));
    match receive.recv_timeout(TIME_MAX) {
        Ok(output) => output.unwrap(),
        Err(_) => {
            signal(pid, "KILL");
            let output = receive.recv().unwrap().unwrap();
            panic!("the command did not end: {}{}", text(&output.stdout), text(&output.stderr));
        }
    }
}

fn run(args: &[&str]) -> Output {
    finish(efir(args).spawn().unwrap())
}

fn signal(pid: u32, name: &str) {
    assert!(Command::new("sh").args(["-c", &format!("kill -{name} {pid}")]).status().unwrap().success());
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A running server; killed when dropped.
struct Server {
    child: Option<Child>,
    url: String,
}

impl Server {
    fn start(args: &[&str]) -> Self {
        let mut child = efir(&["serve", "--workers", "1"]).args(args).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // The banner comes when the server listens; it ends with what Ctrl-C does.
        let mut url = None;
        for line in lines.by_ref().map_while(Result::ok) {
            if let Some(rest) = line.trim().strip_prefix("page ") {
                url = rest.trim().strip_suffix('/').map(str::to_owned);
            }
            if line.contains("Ctrl-C") {
                break;
            }
        }
        match url {
            Some(url) => Self { child: Some(child), url },
            None => panic!("no banner: {}", text(&finish(child).stderr)),
        }
    }

    fn port(&self) -> &str {
        self.url.rsplit(':').next().unwrap()
    }

    fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    fn end(mut self, name: &str) -> Output {
        signal(self.pid(), name);
        finish(self.child.take().unwrap())
    }

    fn publish(&self, args: &[&str]) -> Output {
        run(&[&["publish", "--url", &self.url], args].concat())
    }

    fn subscribe(&self, args: &[&str]) -> Child {
        efir(&["subscribe", "--url", &self.url]).args(args).spawn().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

#[test]
fn what_is_published_is_printed_over_every_transport() {
    let server = Server::start(&["--listen", "127.0.0.1:0"]);
    let receipt = server.publish(&["общий-чат", "Привет, 世界 👋"]);
    assert!(receipt.status.success(), "{}", text(&receipt.stderr));
    let line: serde_json::Value = serde_json::from_slice(&receipt.stdout).unwrap();
    assert_eq!((line["channel"].as_str(), line["offset"].as_u64()), (Some("общий-чат"), Some(1)));
    for (args, data) in
        [(&["общий-чат", "--json"][..], "{\"a\": 1}\n"), (&["общий-чат", "-", "--bytes"], "\0\n")]
    {
        let mut child =
            efir(&["publish", "--url", &server.url]).args(args).stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(data.as_bytes()).unwrap();
        let receipt = finish(child);
        assert!(receipt.status.success(), "{}", text(&receipt.stderr));
    }
    let readers = ["short-poll", "long-poll", "sse", "http-stream", "websocket"].map(|transport| {
        (
            transport,
            server.subscribe(&["общий-чат", "--transport", transport, "--after", "start", "--count", "3"]),
        )
    });
    for (transport, reader) in readers {
        let output = finish(reader);
        assert_eq!(text(&output.stdout), "Привет, 世界 👋\n{\"a\": 1}\nAAo=\n", "{transport}");
        assert_eq!(text(&output.stderr), format!("efir: online over {transport}\n"));
        assert!(output.status.success());
    }
    let raw = finish(server.subscribe(&["общий-чат", "--raw", "--last", "1", "--count", "1", "-q"]));
    let object: serde_json::Value = serde_json::from_slice(&raw.stdout).unwrap();
    assert_eq!((object["bytes"].as_str(), object["channel"].as_str()), (Some("AAo="), Some("общий-чат")));
    assert_eq!(text(&raw.stderr), "");
}

#[test]
fn several_channels_are_told_apart() {
    let server = Server::start(&["--listen", "127.0.0.1:0"]);
    server.publish(&["a", "1"]);
    server.publish(&["b", "2"]);
    let output =
        finish(server.subscribe(&["a", "b", "--after", "start", "--count", "2", "--transport", "websocket"]));
    let mut lines: Vec<_> = text(&output.stdout).lines().map(str::to_owned).collect();
    lines.sort();
    assert_eq!(lines, ["a\t1", "b\t2"]);
}

#[test]
fn a_subscriber_survives_the_death_of_the_server() {
    let mut server = Server::start(&["--listen", "127.0.0.1:0"]);
    server.publish(&["chat", "before"]);
    let mut reader =
        server.subscribe(&["chat", "--transport", "http-stream", "--after", "start", "--count", "2"]);
    let mut lines = BufReader::new(reader.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "before");
    let address = format!("127.0.0.1:{}", server.port());
    server.child.take().map(|mut child| child.kill().and_then(|()| child.wait())).unwrap().unwrap();
    let server = Server::start(&["--listen", &address]);
    assert!(server.publish(&["chat", "after"]).status.success());
    assert_eq!(lines.next().unwrap().unwrap(), "after");
    let output = finish(reader);
    assert!(output.status.success());
    let words = text(&output.stderr);
    assert!(words.contains("efir: offline: ") && words.contains("gap in chat: "), "{words}");
}

#[test]
fn a_reader_that_has_enough_ends_the_command_quietly() {
    let server = Server::start(&["--listen", "127.0.0.1:0"]);
    server.publish(&["chat", "one"]);
    let mut reader = server.subscribe(&["chat", "--after", "start"]);
    let mut lines = BufReader::new(reader.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "one");
    drop(lines);
    server.publish(&["chat", "two"]);
    let output = finish(reader);
    assert!(output.status.success(), "{:?}", output.status);
    assert_eq!(text(&output.stderr), "efir: online over sse\n");
}

#[test]
fn signals_end_commands_without_noise() {
    let server = Server::start(&["--listen", "127.0.0.1:0"]);
    server.publish(&["chat", "one"]);
    let mut reader = server.subscribe(&["chat", "--after", "start", "-q"]);
    let mut out = reader.stdout.take().unwrap();
    out.read_exact(&mut [0; 4]).unwrap();
    signal(reader.id(), "INT");
    let output = finish(reader);
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(130), String::new()));
    let output = server.end("TERM");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("going away"));
}

#[test]
fn a_taken_port_is_named() {
    let server = Server::start(&["--listen", "127.0.0.1:0"]);
    let output = run(&["--listen", &format!("127.0.0.1:{}", server.port())]);
    let words = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        words.contains(&format!("port {} is taken", server.port())) && words.contains("--listen"),
        "{words}"
    );
    assert_eq!(text(&output.stdout), "");
}

#[test]
fn an_open_address_is_wanted_by_somebody_and_warned_of() {
    let output = run(&["--listen", "0.0.0.0:0"]);
    let words = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        words.contains("efir: --listen: 'listen': 0.0.0.0:0 can be reached from other machines"),
        "{words}"
    );
    assert!(words.contains("\n  [[rules]]\n") && words.contains("or start with --open"), "{words}");
    let words = text(&Server::start(&["--listen", "0.0.0.0:0", "--open"]).end("INT").stderr);
    assert!(words.contains("open_to_strangers") && words.contains("addresses=0.0.0.0:"), "{words}");
    let words = text(&Server::start(&["--listen", "127.0.0.1:0", "--open"]).end("INT").stderr);
    assert!(!words.contains("open_to_strangers"), "{words}");
}

#[test]
fn a_rule_that_keeps_more_than_the_node_is_refused_and_one_that_keeps_less_is_shown() {
    let folder = folder();
    let with = |age: &str| {
        let rules = "[retention]\nage = \"5m\"\n[[rules]]\nchannels = \"chat:*\"\nretention_messages = 3\n";
        std::fs::write(folder.join("efir.toml"), format!("{rules}retention_age = {age:?}\n")).unwrap();
    };
    with("10m");
    let refused = efir(&["--listen", "127.0.0.1:0"]).current_dir(&folder).spawn().unwrap();
    let output = finish(refused);
    let words = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{words}");
    assert!(
        words.contains(
            "'rules.retention_age': rule 1 asks for 10m, more than the node, which has 5m (retention.age); write at most 5m there, or \
             raise retention.age"
        ),
        "{words}"
    );
    with("5m");
    let output = finish(efir(&["config", "show"]).current_dir(&folder).spawn().unwrap());
    let shown = text(&output.stdout);
    assert!(
        shown.contains("\nretention_messages = 3\n") && shown.contains("\nretention_age = \"5m\"\n"),
        "{shown}"
    );
}

#[test]
fn refusals_say_why_and_have_exit_codes() {
    let server = Server::start(&["--listen", "127.0.0.1:0"]);
    for (args, code, words) in [
        (&["..", "x"][..], 1, "(invalid_channel)"),
        (&["chat", "{", "--json"], 1, "(invalid_json)"),
        (&["chat", "x", "--key", "a b"], 1, "(invalid_key)"),
        (&["chat", "x", "--json", "--bytes"], 2, "cannot be used with"),
        (&[], 2, "CHANNEL"),
    ] {
        let output = server.publish(args);
        let said = text(&output.stderr);
        assert_eq!(
            (output.status.code(), text(&output.stdout)),
            (Some(code), String::new()),
            "{args:?}: {said}"
        );
        assert!(said.contains(words), "{args:?}: {said}");
    }
    for (args, words) in [(&["chat", "--after", "!"][..], "(invalid_cursor)"), (&[".."], "(invalid_channel)")]
    {
        for transport in ["sse", "websocket", "short-poll"] {
            let output = finish(server.subscribe(&[args, &["--transport", transport]].concat()));
            let said = text(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{args:?} {transport}: {said}");
            assert!(said.contains(words), "{args:?} {transport}: {said}");
        }
    }
    let other = run(&["publish", "chat", "x", "--url", "ftp://127.0.0.1"]);
    assert_eq!(other.status.code(), Some(2));
    assert!(text(&other.stderr).contains("must begin with http:// or https://"), "{}", text(&other.stderr));
    let unknown = run(&["subscribe", "chat", "--transport", "smoke"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(text(&unknown.stderr).contains("short-poll, long-poll, sse"), "{}", text(&unknown.stderr));
}

#[test]
fn nobody_listens() {
    let free = "127.0.0.1:1";
    let output = run(&["publish", "chat", "x", "--url", &format!("http://{free}")]);
    let words = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        words.contains(&format!("cannot connect to {free}")) && words.contains("Is the server running?"),
        "{words}"
    );
}

#[test]
fn the_configuration_is_shown_with_its_origins() {
    let mut show = efir(&["config", "show", "--workers", "2"]);
    let folder = folder();
    std::fs::write(folder.join("efir.toml"), "workers = 7\n[times]\nheartbeat = \"9s\"\n").unwrap();
    let output = finish(show.current_dir(&folder).env("EFIR_RETENTION__AGE", "5m").spawn().unwrap());
    assert!(output.status.success(), "{}", text(&output.stderr));
    let shown = text(&output.stdout);
    for (key, origin) in [
        ("workers = 2 ", "# --workers"),
        ("heartbeat = \"9s\"", "# efir.toml:3"),
        ("age = \"5m\"", "# EFIR_RETENTION__AGE (environment)"),
        ("messages = 10000", "# default"),
    ] {
        let line =
            shown.lines().find(|line| line.starts_with(key)).unwrap_or_else(|| panic!("{key}: {shown}"));
        assert!(line.ends_with(origin), "{line}");
    }
    shown.parse::<toml::Table>().unwrap();
    let keys = run(&["config", "keys"]);
    text(&keys.stdout).parse::<toml::Table>().unwrap();
}

#[test]
fn an_unknown_key_is_refused_with_its_line() {
    let folder = folder();
    std::fs::write(folder.join("other.toml"), "\n[times]\nheartbeet = \"9s\"\n").unwrap();
    for command in [&["serve"][..], &["config", "show"]] {
        let output =
            finish(efir(command).current_dir(&folder).args(["--config", "other.toml"]).spawn().unwrap());
        assert_eq!(output.status.code(), Some(2));
        assert_eq!(
            text(&output.stderr),
            "efir: other.toml:3: there is no key 'times.heartbeet'; did you mean 'times.heartbeat'?\n"
        );
    }
    let output = run(&["--config", "nowhere.toml"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).starts_with("efir: cannot read nowhere.toml: "), "{}", text(&output.stderr));
}

#[test]
fn files_of_static_are_served() {
    let folder = folder();
    std::fs::write(folder.join("hello.txt"), "hello from a file").unwrap();
    let server = Server::start(&["--listen", "127.0.0.1:0", "--static", folder.to_str().unwrap()]);
    let mut stream = std::net::TcpStream::connect(server.url.trim_start_matches("http://")).unwrap();
    stream.set_read_timeout(Some(TIME_MAX)).unwrap();
    stream.write_all(b"GET /hello.txt HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with("hello from a file"), "{answer}");
}

/// On a server with rules the lines of the banner say how a token is made and where it goes; copied into a shell they work.
#[test]
fn the_banner_of_a_closed_server_shows_lines_that_work() {
    let folder = folder();
    let rules = "[[rules]]\nchannels = \"room:*\"\nsubscribe = \"authenticated\"\npublish = \"grant\"\n";
    let key = "[[token_keys]]\nname = \"app\"\nalgorithms = [\"HS384\", \"HS512\"]\nsecret_file = \"a secret\"\nissuer = \"app\"\naudience = [\"efir\"]\n";
    std::fs::write(folder.join("efir.toml"), format!("{rules}{key}")).unwrap();
    std::fs::write(folder.join("a secret"), "x".repeat(80)).unwrap();
    let mut server = efir(&["--listen", "127.0.0.1:0"]).current_dir(&folder).spawn().unwrap();
    let mut lines = BufReader::new(server.stdout.take().unwrap()).lines().map_while(Result::ok);
    let banner: Vec<String> = lines.by_ref().take_while(|line| !line.contains("Ctrl-C")).collect();
    let line = |name: &str| {
        let found = banner.iter().find_map(|line| line.trim().strip_prefix(name));
        found.unwrap_or_else(|| panic!("no {name} in {banner:?}")).trim().to_owned()
    };
    let (token, say, listen) = (line("token "), line("say "), line("listen "));
    let path = PathBuf::from(env!("CARGO_BIN_EXE_efir"));
    let script =
        format!("{token}\n{say}\n{} --max-time 5 -o - | head -n 1", listen.replace("curl", "curl -s"));
    let mut shell = Command::new("sh");
    shell.args(["-c", &script]).current_dir(&folder);
    shell.env("PATH", format!("{}:/usr/bin:/bin", path.parent().unwrap().display()));
    let output = shell.output().unwrap();
    signal(server.id(), "KILL");
    let _ = server.wait();
    let said = text(&output.stdout);
    assert!(said.contains(r#""channel":"room:1""#) && said.contains(r#""offset":1"#), "{script}: {said}");
    assert!(said.contains(r#"{"hello":"#), "{script}: {said}");
}
