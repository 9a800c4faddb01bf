//! A service manager: it hands over listening sockets (`LISTEN_FDS`), and is told how things stand (`NOTIFY_SOCKET`).

use std::{
    net::{TcpListener, UdpSocket},
    os::{fd::OwnedFd, unix::net::UnixDatagram},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use command_fds::{CommandFdExt, FdMapping};

use crate::running::{PATIENCE, Running, folder};

/// `efir serve` with these descriptors from 3 on, started by a shell that says whose they are, as a manager does.
fn activated(args: &[&str], descriptors: Vec<OwnedFd>, names: Option<&str>) -> Command {
    let mut command = Command::new("sh");
    let script = "LISTEN_PID=$$ exec \"$0\" serve \"$@\"";
    command.args(["-c", script, env!("CARGO_BIN_EXE_efir")]).args(args).env_clear();
    command
        .env("LISTEN_FDS", descriptors.len().to_string())
        .envs(names.map(|names| ("LISTEN_FDNAMES", names)));
    let mappings = descriptors.into_iter().zip(3..);
    let mappings = mappings.map(|(parent_fd, child_fd)| FdMapping { parent_fd, child_fd });
    command.fd_mappings(mappings.collect()).unwrap();
    command.current_dir(folder()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command
}

fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

#[test]
fn handed_sockets_are_served_and_outlive_the_server() {
    let ((first, address), (second, admin)) = (listener(), listener());
    let set = format!("admin.listen={admin}");
    let args = ["--listen", &address, "--set", &set, "--set", "log_format=json", "--workers", "3"];
    let start = || {
        let descriptors = vec![first.try_clone().unwrap().into(), second.try_clone().unwrap().into()];
        Running::of(activated(&args, descriptors, Some("web.socket:admin")))
    };
    let mut running = start();
    let taken = running.events("sockets_taken");
    assert_eq!(
        (taken[0]["address"].as_str(), taken[0]["descriptors"].as_str()),
        (Some(&*address), Some("3"))
    );
    assert_eq!((taken[1]["for"].as_str(), taken[1]["descriptors"].as_str()), (Some("admin"), Some("4")));
    assert_eq!((&running.address, &running.admin), (&address, &admin));
    // Three workers share one socket.
    (0..20).for_each(|_| assert_eq!(running.ask("GET /info", "", b"").0, 200));
    assert_eq!(running.ask_admin("GET /readyz", "").0, 200);
    running.signal("TERM");
    assert_eq!(running.wait(), Some(0));
    // Whoever connects now waits for the next one.
    let asked = std::thread::spawn({
        let address = address.clone();
        move || crate::running::ask(&address, "GET /info", "", b"").0
    });
    let _running = start();
    assert_eq!(asked.join().unwrap(), 200);
}

/// What it says when it does not start.
fn refused(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn sockets_that_do_not_fit_are_named() {
    let (first, address) = listener();
    let args = ["--listen", "127.0.0.1:0"];
    let fit = |descriptor: OwnedFd, listen: &str, names: Option<&str>| {
        refused(&mut activated(&["--listen", listen], vec![descriptor], names))
    };
    // An address with port 0 has no place for what is named otherwise.
    let said = fit(first.try_clone().unwrap().into(), args[1], Some("listen_tls"));
    let words = format!(
        "descriptor 3 listens on {address} for 'listen_tls', which is no address of the configuration"
    );
    assert!(said.contains(&words), "{said}");
    let said = fit(first.try_clone().unwrap().into(), "127.0.0.1:1", None);
    assert!(said.contains(&format!("descriptor 3 listens on {address}, which is no address")), "{said}");
    let said = fit(UdpSocket::bind("127.0.0.1:0").unwrap().into(), args[1], None);
    assert!(said.contains("descriptor 3 cannot be listened on"), "{said}");
    let said = fit(first.try_clone().unwrap().into(), args[1], Some("one:two"));
    assert!(said.contains("LISTEN_FDS says 1 sockets, and LISTEN_FDNAMES has 2 names"), "{said}");
}

/// A manager's ear.
struct Ear {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Ear {
    fn new(folder: &Path) -> Self {
        // Short, because such names may have 107 bytes only.
        let path =
            std::env::temp_dir().join(format!("efir-{}", folder.file_name().unwrap().to_string_lossy()));
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket, path }
    }

    fn hear(&self) -> String {
        let mut buffer = [0; 256];
        let len = self.socket.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..len]).into_owned()
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

#[test]
fn the_manager_is_told_how_things_stand() {
    let folder = folder();
    let ear = Ear::new(&folder);
    let env = [("NOTIFY_SOCKET", ear.path.to_str().unwrap())];
    let mut running = Running::start_in(&folder, &[], &env);
    assert_eq!(ear.hear(), "READY=1");
    running.signal("HUP");
    assert_eq!((ear.hear(), ear.hear()), ("RELOADING=1".to_owned(), "READY=1".to_owned()));
    running.signal("USR2");
    let process = running.event("upgraded")["process"].as_i64().unwrap();
    assert_eq!(ear.hear(), format!("READY=1\nMAINPID={process}"));
    assert_eq!(running.wait(), Some(0));
    // The successor speaks for itself from here on.
    let kill = |name: &str| Command::new("kill").args([name, &process.to_string()]).status().unwrap();
    assert!(kill("-TERM").success());
    assert_eq!(ear.hear(), "STOPPING=1");
}
