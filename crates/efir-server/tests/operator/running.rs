//! The binary with an admin listener, and its log.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::Value;

/// How long anything may take before a test gives it up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A running server; killed when dropped.
pub(crate) struct Running {
    child: Child,
    pub(crate) address: String,
    pub(crate) admin: String,
    log: Arc<Mutex<String>>,
}

/// A new empty folder.
pub(crate) fn folder() -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!("operator-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// The binary in a folder and an empty environment.
pub(crate) fn efir(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_efir"));
    command.args(args).env_clear().current_dir(folder).stdin(Stdio::null());
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

impl Running {
    /// With JSON lines for a log, and these settings besides.
    pub(crate) fn start(settings: &[&str]) -> Self {
        Self::start_in(&folder(), settings, &[])
    }

    pub(crate) fn start_in(folder: &Path, settings: &[&str], env: &[(&str, &str)]) -> Self {
        let mut args = vec!["--listen", "127.0.0.1:0"];
        settings.iter().for_each(|setting| args.extend(["--set", setting]));
        Self::start_as(folder, &args, env)
    }

    /// With these flags besides.
    pub(crate) fn start_as(folder: &Path, flags: &[&str], env: &[(&str, &str)]) -> Self {
        let mut args = vec!["serve", "--set", "log_format=json", "--set", "admin.listen=127.0.0.1:0"];
        args.extend(flags);
        let mut command = efir(folder, &args);
        command.envs(env.iter().copied());
        Self::of(command)
    }

    /// By this command, which has to switch the admin listener on, and whose stderr can be read.
    pub(crate) fn of(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let log = Arc::<Mutex<String>>::default();
        let (mut stderr, kept) = (BufReader::new(child.stderr.take().unwrap()), Arc::clone(&log));
        std::thread::spawn(move || {
            let mut line = Vec::new();
            while stderr.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
                kept.lock().unwrap().push_str(&String::from_utf8_lossy(&line));
                line.clear();
            }
        });
        let mut running = Self { child, address: String::new(), admin: String::new(), log };
        running.admin = running.address_of("admin_started", "address");
        running.address = running.address_of("started", "addresses");
        running
    }

    /// Everything that was logged so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// All lines of an event so far.
    pub(crate) fn events(&self, code: &str) -> Vec<Value> {
        let lines: Vec<Value> =
            self.log().lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        lines.into_iter().filter(|line| line["event"] == code).collect()
    }

    /// Waits for an event that tells an address, in either format.
    fn address_of(&self, code: &str, field: &str) -> String {
        let began = Instant::now();
        loop {
            let log = self.log();
            let mut lines = log.lines().filter(|line| {
                line.contains(&format!(" {code}:")) || line.contains(&format!("\"event\":\"{code}\""))
            });
            let rest = lines.next().and_then(|line| {
                line.split_once(&format!(" {field}="))
                    .or(line.split_once(&format!("\"{field}\":\"")))
                    .map(|(_, rest)| rest)
            });
            if let Some(rest) = rest {
                return rest.split(['"', ' ']).next().unwrap_or_default().to_owned();
            }
            assert!(began.elapsed() < PATIENCE, "no {code} in {log}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits for an event; gives its last line.
    pub(crate) fn event(&self, code: &str) -> Value {
        self.events_from(code, 1).pop().unwrap()
    }

    /// Waits until an event came so often.
    pub(crate) fn events_from(&self, code: &str, count: usize) -> Vec<Value> {
        let began = Instant::now();
        loop {
            let events = self.events(code);
            if events.len() >= count {
                return events;
            }
            assert!(began.elapsed() < PATIENCE, "no {code} in {}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Its id.
    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self) -> Option<i32> {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("it does not end: {}", self.log());
    }

    /// Asks the admin listener; gives status and body.
    pub(crate) fn ask_admin(&self, line: &str, headers: &str) -> (u16, String) {
        ask(&self.admin, line, headers, b"")
    }

    /// Asks the server.
    pub(crate) fn ask(&self, line: &str, headers: &str, body: &[u8]) -> (u16, String) {
        ask(&self.address, line, headers, body)
    }

    /// All series of `/metrics`.
    pub(crate) fn metrics(&self, headers: &str) -> Metrics {
        let (status, text) = self.ask_admin("GET /metrics", headers);
        assert_eq!(status, 200, "{text}");
        Metrics(text)
    }

    /// Waits until a metric has this value.
    pub(crate) fn until(&self, series: &str, value: f64) {
        let began = Instant::now();
        loop {
            let metrics = self.metrics("");
            if metrics.value(series) == Some(value) {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "{series} is {:?}, not {value}", metrics.value(series));
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The text of `/metrics`.
pub(crate) struct Metrics(pub(crate) String);

impl Metrics {
    pub(crate) fn value(&self, series: &str) -> Option<f64> {
        let mut lines = self.0.lines();
        lines.find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
    }
}

/// One request on a connection of its own; gives status and body.
pub(crate) fn ask(address: &str, line: &str, headers: &str, body: &[u8]) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let host = if headers.starts_with("Host:") { "" } else { "Host: localhost\r\n" };
    let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    let head = format!("{line} HTTP/1.1\r\n{host}Connection: close\r\n{length}{headers}\r\n");
    stream.write_all(&[head.as_bytes(), body].concat()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.get(9..12).and_then(|status| status.parse().ok()).unwrap_or(0);
    (status, answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
}
