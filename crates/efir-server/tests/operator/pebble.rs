//! An authority on this machine: Debian's `pebble`, with the name server that comes with it, which knows every name as 127.0.0.1.

use std::{
    collections::HashMap,
    fs::OpenOptions,
    io::{Read, Write},
    net::{TcpListener, TcpStream, UdpSocket},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use rcgen::{CertificateParams, KeyPair};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};

/// How long anything may take here: pebble makes RSA keys when it starts, which takes its time on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// A client's side of an encrypted connection.
pub(crate) type Stream = StreamOwned<ClientConnection, TcpStream>;

/// Why tests with an authority do not run here; `None`: they do.
pub(crate) fn absent() -> Option<&'static str> {
    let is_there = |program: &str| {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
    };
    let is_whole = is_there("pebble") && is_there("pebble-challtestsrv");
    (!is_whole).then_some("pebble is not installed (Debian's package of that name)")
}

/// Ports that no connection takes for its own end, so that one that is free now is free in a moment.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// A port that nobody uses, not for datagrams either.
pub(crate) fn free_port() -> u16 {
    let is_free = |port: &u16| {
        TcpListener::bind(("127.0.0.1", *port)).and(UdpSocket::bind(("127.0.0.1", *port))).is_ok()
    };
    std::iter::repeat_with(|| fastrand::u16(PORTS)).take(1_000).find(is_free).unwrap()
}

/// Where an authority will be, whether it runs or not.
pub(crate) struct Place {
    folder: PathBuf,
    port: u16,
    management_port: u16,
    /// Where it will look at challenges.
    pub(crate) challenge_port: u16,
    /// The identifier and key of the only customer for whom it opens accounts; `None`: it asks nobody who they are.
    pub(crate) customer: Option<(&'static str, &'static str)>,
    /// What vouches for its own address.
    own: CertificateDer<'static>,
}

/// An authority that runs; it forgets everything when it is dropped.
pub(crate) struct Pebble {
    programs: Vec<Child>,
    /// What vouches for its certificates.
    pub(crate) root: CertificateDer<'static>,
}

impl Place {
    /// With its files in this folder.
    pub(crate) fn new(folder: &Path) -> Self {
        let params = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        let key = KeyPair::generate().unwrap();
        let own = params.self_signed(&key).unwrap();
        std::fs::write(folder.join("authority.pem"), own.pem()).unwrap();
        std::fs::write(folder.join("authority.key"), key.serialize_pem()).unwrap();
        let [port, management_port, challenge_port] = [(); 3].map(|()| free_port());
        let own = own.der().clone();
        Self { folder: folder.to_owned(), port, management_port, challenge_port, customer: None, own }
    }

    /// Where its directory is.
    pub(crate) fn directory(&self) -> String {
        format!("https://localhost:{}/dir", self.port)
    }

    /// Starts it and waits until it answers.
    pub(crate) fn start(&self) -> Pebble {
        let [names_port, switch_port] = [(); 2].map(|()| free_port());
        let names = format!("127.0.0.1:{names_port}");
        let mut server = Command::new("pebble-challtestsrv");
        server.args(["-dns01", &names, "-management", &format!("127.0.0.1:{switch_port}")]);
        server.args(["-http01", "", "-https01", "", "-tlsalpn01", "", "-defaultIPv6", ""]);
        let config = serde_json::json!({ "pebble": {
            "listenAddress": format!("127.0.0.1:{}", self.port),
            "managementListenAddress": format!("127.0.0.1:{}", self.management_port),
            "certificate": self.folder.join("authority.pem"),
            "privateKey": self.folder.join("authority.key"),
            "httpPort": free_port(),
            "tlsPort": self.challenge_port,
            "externalAccountBindingRequired": self.customer.is_some(),
            "externalAccountMACKeys": self.customer.iter().copied().collect::<HashMap<_, _>>(),
        } });
        let file = self.folder.join("pebble.json");
        std::fs::write(&file, config.to_string()).unwrap();
        let mut authority = Command::new("pebble");
        authority.arg("-config").arg(&file).args(["-dnsserver", &names]).env("PEBBLE_VA_NOSLEEP", "1");
        // The kept ones are ended if something goes wrong below.
        let mut pebble = Pebble { programs: Vec::new(), root: self.own.clone() };
        for program in [&mut server, &mut authority] {
            let log =
                OpenOptions::new().create(true).append(true).open(self.folder.join("pebble.log")).unwrap();
            program.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
            pebble.programs.push(program.spawn().unwrap());
        }
        let log = self.folder.join("pebble.log");
        pebble.root = until(&format!("pebble (see {})", log.display()), || {
            let mut stream = connect(self.management_port, "localhost", &self.own).ok()?;
            let head = "GET /roots/0 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
            stream.write_all(head.as_bytes()).ok()?;
            let mut answer = String::new();
            // Go ends a connection as TLS wants it; where it does not, what came is enough.
            let _ = stream.read_to_string(&mut answer);
            CertificateDer::from_pem_slice(answer.split_once("\r\n\r\n")?.1.as_bytes()).ok()
        });
        pebble
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        for program in &mut self.programs {
            let _ = program.kill();
            let _ = program.wait();
        }
    }
}

/// Waits for something.
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "{what} has not come");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A handshake under a name with a server of this machine, trusting one root only.
pub(crate) fn connect(port: u16, name: &str, root: &CertificateDer<'static>) -> Result<Stream, String> {
    connect_as(port, name, root, &[])
}

/// The same, offering protocols.
pub(crate) fn connect_as(
    port: u16,
    name: &str,
    root: &CertificateDer<'static>,
    protocols: &[&str],
) -> Result<Stream, String> {
    let mut roots = RootCertStore::empty();
    roots.add(root.clone()).unwrap();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut session = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut stream = TcpStream::connect(("127.0.0.1", port)).map_err(|error| error.to_string())?;
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    while session.is_handshaking() {
        session.complete_io(&mut stream).map_err(|error| error.to_string())?;
    }
    Ok(StreamOwned::new(session, stream))
}
