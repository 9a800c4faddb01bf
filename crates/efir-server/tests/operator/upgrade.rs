//! SIGUSR2: a successor gets the listening sockets, and nobody who connects is refused.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    os::unix::fs::OpenOptionsExt,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use serde_json::Value;

use crate::{
    pebble::until,
    running::{PATIENCE, Running, folder},
};

/// Asks again and again on connections of its own, each as soon as the one before is done.
struct Visitors {
    should_stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Result<u64, String>>>,
}

impl Visitors {
    fn begin(address: &str) -> Self {
        let should_stop = Arc::<AtomicBool>::default();
        let threads = (0..4).map(|_| {
            let (address, told) = (address.to_owned(), Arc::clone(&should_stop));
            std::thread::spawn(move || {
                let mut visits = 0;
                while !told.load(Ordering::Relaxed) {
                    visit(&address).map_err(|error| format!("visit {visits}: {error}"))?;
                    visits += 1;
                }
                Ok(visits)
            })
        });
        Self { threads: threads.collect(), should_stop }
    }

    fn end(self) -> u64 {
        self.should_stop.store(true, Ordering::Relaxed);
        self.threads.into_iter().map(|thread| thread.join().unwrap().unwrap()).sum()
    }
}

fn visit(address: &str) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET /info HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    if answer.starts_with(b"HTTP/1.1 200") { Ok(()) } else { Err(std::io::Error::other("no answer")) }
}

/// The process that has taken over; killed when dropped.
struct Heir(i64);

impl Heir {
    fn signal(&self, name: &str) {
        let _ = std::process::Command::new("kill").args([&format!("-{name}"), &self.0.to_string()]).status();
    }

    fn files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.0)).unwrap().count()
    }
}

impl Drop for Heir {
    fn drop(&mut self) {
        self.signal("KILL");
    }
}

/// Upgrades for the `count`th time and waits until the successor accepts.
fn upgrade(running: &Running, count: usize, signal: impl FnOnce()) -> Heir {
    signal();
    let events = running.events_from("upgraded", count);
    running.events_from("started", count + 1);
    Heir(events[count - 1]["process"].as_i64().unwrap())
}

#[test]
fn nobody_is_refused_and_readers_are_told() {
    let mut running = Running::start(&["workers=2"]);
    let files = std::fs::read_dir(format!("/proc/{}/fd", running.process())).unwrap().count();
    running.ask("POST /channels/chat", "", b"before");
    let mut reader = TcpStream::connect(&running.address).unwrap();
    reader.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = "GET /channels/chat?after=start&transport=http-stream HTTP/1.1\r\nHost: localhost\r\n\r\n";
    reader.write_all(request.as_bytes()).unwrap();
    let mut lines = BufReader::new(reader).lines().map_while(Result::ok);
    let message = lines.find(|line| line.contains("\"position\"")).unwrap();
    let message: Value = serde_json::from_str(&message).unwrap();
    let position = message["position"].as_str().unwrap().to_owned();

    let visitors = Visitors::begin(&running.address);
    let heir = upgrade(&running, 1, || running.signal("USR2"));
    let told = lines.find(|line| line.contains("draining")).unwrap();
    assert!(told.contains("retry_after_ms"), "{told}");
    assert_eq!(running.wait(), Some(0), "{}", running.log());
    // What the visitors hold open comes and goes.
    let visits = visitors.end();
    assert!(visits > 0);
    // What the last of them held open is let go soon; what was inherited besides the listening sockets would stay.
    until("no other files than the listening sockets", || (heir.files() <= files).then_some(()));

    let (status, body) = running.ask(&format!("GET /channels/chat?after={position}"), "", b"");
    assert!(status == 200 && body.contains("\"epoch_changed\""), "{status} {body}");
    assert_eq!(running.ask_admin("GET /readyz", "").0, 200);
}

#[test]
fn a_successor_may_have_more_workers_or_fewer() {
    let folder = folder();
    let file = folder.join("efir.toml");
    let write = |workers: u32| std::fs::write(&file, format!("workers = {workers}\n")).unwrap();
    write(1);
    let running = Running::start_in(&folder, &[], &[]);
    let visitors = Visitors::begin(&running.address);
    let mut last: Option<Heir> = None;
    for (count, workers) in [(1, 3), (2, 2), (3, 1)] {
        write(workers);
        let heir = upgrade(&running, count, || match &last {
            None => running.signal("USR2"),
            Some(heir) => heir.signal("USR2"),
        });
        let started = running.events_from("started", count + 1).pop().unwrap();
        assert_eq!(started["workers"], workers, "{started}");
        // The one before ends by itself.
        last = Some(heir);
    }
    assert!(visitors.end() > 0);
}

#[test]
fn a_successor_that_cannot_start_changes_nothing() {
    let folder = folder();
    let file = folder.join("efir.toml");
    std::fs::write(&file, "workers = 2\n").unwrap();
    let running = Running::start_in(&folder, &[], &[]);
    running.ask("POST /channels/chat", "", b"kept");
    let visitors = Visitors::begin(&running.address);
    std::fs::write(&file, "workers = \"many\"\n").unwrap();
    running.signal("USR2");
    let failed = running.event("upgrade_failed");
    assert!(failed["why"].as_str().unwrap().contains("'workers'"), "{failed}");
    assert!(running.ask("GET /channels/chat?after=start", "", b"").1.contains("kept"));
    assert_eq!(running.ask_admin("GET /readyz", "").0, 200);
    std::fs::write(&file, "workers = 2\n").unwrap();
    let _heir = upgrade(&running, 1, || running.signal("USR2"));
    assert!(visitors.end() > 0);
}

/// A configuration that is read only when somebody tells it; whoever still waits for it when this is dropped is told nonsense, and ends.
struct Awaited(PathBuf);

const NONSENSE: &str = "workers = \"many\"\n";

impl Awaited {
    /// In the place of the file.
    fn instead_of(file: PathBuf) -> Self {
        std::fs::remove_file(&file).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(&file).status().unwrap().success());
        Self(file)
    }

    /// Fails where nobody waits.
    fn try_tell(&self, text: &str) -> std::io::Result<()> {
        let mut options = std::fs::OpenOptions::new();
        options.write(true).custom_flags(libc::O_NONBLOCK).open(&self.0)?.write_all(text.as_bytes())
    }

    fn tell(&self, text: &str) {
        until("somebody who reads the configuration", || self.try_tell(text).ok());
    }
}

impl Drop for Awaited {
    fn drop(&mut self) {
        let _ = self.try_tell(NONSENSE);
    }
}

/// What became of upgrades, in the order of the log.
fn upgrades(running: &Running) -> Vec<String> {
    let log = running.log();
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let events = lines.filter_map(|line| line["event"].as_str().map(str::to_owned));
    events.filter(|event| event.starts_with("upgrade")).collect()
}

#[test]
fn upgrades_that_are_asked_for_at_once_go_one_after_the_other() {
    let folder = folder();
    let file = folder.join("efir.toml");
    std::fs::write(&file, "workers = 2\n").unwrap();
    let running = Running::start_in(&folder, &[], &[]);
    let visitors = Visitors::begin(&running.address);
    let config = Awaited::instead_of(file);
    running.signal("USR2");
    running.event("upgrade_begun");
    running.signal("USR2");
    config.tell(NONSENSE);
    running.events_from("upgrade_begun", 2);
    assert_eq!(upgrades(&running), ["upgrade_begun", "upgrade_failed", "upgrade_begun"]);
    config.tell("workers = 2\n");
    let told = running.event("upgraded");
    let heir = Heir(told["process"].as_i64().unwrap());

    // Whoever is followed already has nothing to begin any more.
    running.events_from("started", 2);
    heir.signal("USR2");
    running.events_from("upgrade_begun", 3);
    heir.signal("USR2");
    config.tell("workers = 2\n");
    let told = running.events_from("upgraded", 2).pop().unwrap();
    let _last = Heir(told["process"].as_i64().unwrap());
    running.events_from("stopped", 2);
    assert_eq!(upgrades(&running)[3..], ["upgraded", "upgrade_begun", "upgraded"]);
    assert_eq!(running.ask_admin("GET /readyz", "").0, 200);
    assert!(visitors.end() > 0);
}

#[test]
fn the_end_is_not_kept_waiting_by_a_successor() {
    let mut running = Running::start(&[]);
    running.signal("USR2");
    running.event("upgrade_begun");
    running.signal("TERM");
    // Whichever of the two came first: this process ends.
    assert_eq!(running.wait(), Some(0), "{}", running.log());
    if let Some(told) = running.events("upgraded").pop() {
        drop(Heir(told["process"].as_i64().unwrap()));
    }
}

#[test]
fn the_delay_of_a_drain_is_for_balancers() {
    let mut running = Running::start(&["times.drain_delay=20s"]);
    running.signal("TERM");
    running.event("draining");
    let mut ready = 200;
    while ready == 200 {
        ready = running.ask_admin("GET /readyz", "").0;
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(ready, 503);
    // Nobody else notices anything, for as long as that.
    assert_eq!(running.ask("POST /channels/chat", "", b"still here").0, 200);
    assert!(!running.ask("GET /info", "", b"").1.contains("\"draining\":true"));
    running.signal("TERM");
    assert_eq!(running.wait(), Some(130), "the second signal ends it at once");
}

#[test]
fn who_waits_in_the_queue_is_let_in_before_the_end() {
    let mut running = Running::start(&["workers=1"]);
    // So that connections queue: the worker's process is stopped, the kernel answers for it.
    running.signal("STOP");
    let mut waiting: Vec<TcpStream> =
        (0..20).map(|_| TcpStream::connect(&running.address).unwrap()).collect();
    for stream in &mut waiting {
        stream.write_all(b"GET /info HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    }
    running.signal("TERM");
    running.signal("CONT");
    for stream in &mut waiting {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    }
    assert_eq!(running.wait(), Some(0));
}
