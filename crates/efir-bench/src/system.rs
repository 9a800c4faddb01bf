//! The system calls that std has no word for: readiness of many sockets, cores, source addresses, namespaces.
#![expect(
    unsafe_code,
    reason = "thin wrappers around libc; every pointer is to a live local of the right type"
)]

use std::fs::File;
use std::io::{Error, Result};
use std::mem::size_of;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

fn checked(answer: libc::c_int) -> Result<libc::c_int> {
    if answer < 0 { Err(Error::last_os_error()) } else { Ok(answer) }
}

/// Readiness of many sockets (epoll, level-triggered).
#[derive(Debug)]
pub struct Poll {
    epoll: OwnedFd,
    events: Vec<libc::epoll_event>,
}

impl Poll {
    /// Watches nothing yet.
    ///
    /// # Errors
    /// When the system gives no epoll.
    pub fn new() -> Result<Self> {
        // SAFETY: the descriptor is new and owned by nobody else.
        let epoll = unsafe { OwnedFd::from_raw_fd(checked(libc::epoll_create1(libc::EPOLL_CLOEXEC))?) };
        Ok(Self { epoll, events: vec![libc::epoll_event { events: 0, u64: 0 }; 1024] })
    }

    /// Reports the socket as `token` whenever there is something to read.
    ///
    /// # Errors
    /// When the system refuses to watch it.
    pub fn add(&self, socket: &TcpStream, token: u64) -> Result<()> {
        self.add_for(socket, token, Interest::Read)
    }

    /// Reports it whenever there is something to read, or room to write.
    ///
    /// # Errors
    /// As [`Poll::add`].
    pub fn add_for(&self, socket: &TcpStream, token: u64, interest: Interest) -> Result<()> {
        self.control(libc::EPOLL_CTL_ADD, socket, token, interest)
    }

    /// From now on reports it for something else.
    ///
    /// # Errors
    /// When it was not added.
    pub fn change(&self, socket: &TcpStream, token: u64, interest: Interest) -> Result<()> {
        self.control(libc::EPOLL_CTL_MOD, socket, token, interest)
    }

    fn control(&self, what: libc::c_int, socket: &TcpStream, token: u64, interest: Interest) -> Result<()> {
        let events = match interest {
            Interest::Nothing => 0,
            Interest::Read => libc::EPOLLIN | libc::EPOLLRDHUP,
            Interest::Write => libc::EPOLLOUT,
            Interest::Both => libc::EPOLLIN | libc::EPOLLRDHUP | libc::EPOLLOUT,
        };
        let mut event = libc::epoll_event { events: events as u32, u64: token };
        // SAFETY: both descriptors are open and the event lives through the call.
        checked(unsafe {
            libc::epoll_ctl(self.epoll.as_raw_fd(), what, socket.as_raw_fd(), &raw mut event)
        })?;
        Ok(())
    }

    /// The tokens that are ready; waits at most `most` (whole milliseconds) for the first.
    ///
    /// # Errors
    /// When the system's epoll fails.
    pub fn wait(&mut self, most: Duration, ready: &mut Vec<u64>) -> Result<()> {
        let count = self.wait_count(most)?;
        ready.clear();
        ready.extend(self.events.iter().take(count).map(|event| event.u64));
        Ok(())
    }

    /// The same, and for what each is ready.
    ///
    /// # Errors
    /// As [`Poll::wait`].
    pub fn wait_for(&mut self, most: Duration, ready: &mut Vec<Ready>) -> Result<()> {
        let count = self.wait_count(most)?;
        let room = libc::EPOLLOUT as u32;
        ready.clear();
        ready.extend(self.events.iter().take(count).map(|event| {
            let events = event.events;
            Ready { token: event.u64, can_read: events & !room != 0, can_write: events & room != 0 }
        }));
        Ok(())
    }

    fn wait_count(&mut self, most: Duration) -> Result<usize> {
        let (room, ms) = (self.events.len() as libc::c_int, most.as_millis() as libc::c_int);
        // SAFETY: the buffer has as many events as we say.
        let answer = unsafe { libc::epoll_wait(self.epoll.as_raw_fd(), self.events.as_mut_ptr(), room, ms) };
        match checked(answer) {
            Ok(count) => Ok(count as usize),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => Ok(0),
            Err(error) => Err(error),
        }
    }

    /// Waits at most `most`, to the microsecond, until something is ready.
    pub fn pause(&self, most: Duration) {
        let mut watched = libc::pollfd { fd: self.epoll.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        let time = libc::timespec {
            tv_sec: most.as_secs() as libc::time_t,
            tv_nsec: libc::c_long::from(most.subsec_nanos() as i32),
        };
        // SAFETY: descriptor and time live through the call. Whatever it answers, the caller looks itself.
        unsafe { libc::ppoll(&raw mut watched, 1, &raw const time, std::ptr::null()) };
    }
}

/// For what a socket is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// Its end only.
    Nothing,
    /// Something to read.
    Read,
    /// Room to write.
    Write,
    /// Either.
    Both,
}

/// A socket that is ready.
#[derive(Clone, Copy, Debug)]
pub struct Ready {
    /// What it was added as.
    pub token: u64,
    /// Something can be read, or it has ended.
    pub can_read: bool,
    /// There is room.
    pub can_write: bool,
}

/// Keeps this thread, and every thread and process that it starts from now on, on one core.
pub fn pin(core: usize) -> Result<()> {
    // SAFETY: a CPU set is plain bits, for which zero is a value.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: `core` is checked to lie within the set.
    unsafe { libc::CPU_SET(core.min(libc::CPU_SETSIZE as usize - 1), &mut set) };
    // SAFETY: the set lives through the call.
    checked(unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set) })?;
    Ok(())
}

/// Connects from a source address of our choice, so that ports do not run out with one.
///
/// # Errors
/// When there is no such source, or nobody listens.
pub fn connect_from(source: Ipv4Addr, target: SocketAddrV4) -> Result<TcpStream> {
    let target = SocketAddr::from(target);
    let socket = socket_from(Some(source), target)?;
    socket.connect(&target.into())?;
    Ok(socket.into())
}

/// Begins to connect, from a source address where one is given. The socket does not block; it is connected when there
/// is room to write.
///
/// # Errors
/// When there is no socket or no such source.
pub fn begin_connecting(source: Option<Ipv4Addr>, target: SocketAddr) -> Result<TcpStream> {
    let socket = socket_from(source, target)?;
    socket.set_nonblocking(true)?;
    match socket.connect(&target.into()) {
        Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error),
        _ => Ok(socket.into()),
    }
}

fn socket_from(source: Option<Ipv4Addr>, target: SocketAddr) -> Result<Socket> {
    let socket = Socket::new(Domain::for_address(target), Type::STREAM, Some(Protocol::TCP))?;
    if let Some(source) = source {
        // The port is chosen at connect, where only the pair of addresses has to be unique.
        set(socket.as_raw_fd(), libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT, &1_i32)?;
        socket.bind(&SocketAddr::from((source, 0)).into())?;
    }
    Ok(socket)
}

fn set<V>(socket: RawFd, level: libc::c_int, name: libc::c_int, value: &V) -> Result<()> {
    // SAFETY: the value lives through the call and has the size that we say.
    checked(unsafe {
        libc::setsockopt(
            socket,
            level,
            name,
            std::ptr::from_ref(value).cast(),
            size_of::<V>() as libc::socklen_t,
        )
    })?;
    Ok(())
}

/// From now on, closing the socket sends a reset instead of a farewell.
pub fn reset_on_close(socket: &TcpStream) -> Result<()> {
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    set(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_LINGER, &linger)
}

/// Moves this thread into a network namespace: sockets that it opens from now on live there. Needs root.
pub fn enter_namespace(name: &str) -> Result<()> {
    let namespace = File::open(format!("/run/netns/{name}"))?;
    // SAFETY: the descriptor is open through the call.
    checked(unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) })?;
    Ok(())
}

/// Whether we are root.
pub fn is_root() -> bool {
    // SAFETY: this call cannot fail and touches no memory.
    unsafe { libc::geteuid() == 0 }
}

/// Raises the number of files that this process and its children may have open, as far as allowed; returns it.
pub fn raise_files() -> Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the limit lives through the calls.
    unsafe {
        checked(libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit))?;
        limit.rlim_cur = limit.rlim_max;
        checked(libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit))?;
    }
    Ok(limit.rlim_cur)
}

/// Reads what there is without waiting; `None` when there is nothing.
///
/// # Errors
/// When the connection has broken.
pub fn receive_now(socket: &TcpStream, buffer: &mut [u8]) -> Result<Option<usize>> {
    // SAFETY: the buffer is writable for its whole length.
    let got = unsafe {
        libc::recv(socket.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), libc::MSG_DONTWAIT)
    };
    if got >= 0 {
        return Ok(Some(got as usize));
    }
    let error = Error::last_os_error();
    if error.kind() == std::io::ErrorKind::WouldBlock { Ok(None) } else { Err(error) }
}

/// Where a byte first stands (libc's search is several times faster than a loop here).
pub fn find(byte: u8, bytes: &[u8]) -> Option<usize> {
    // SAFETY: the pointer is valid for the length, and the answer lies within it or is null.
    let found = unsafe { libc::memchr(bytes.as_ptr().cast(), libc::c_int::from(byte), bytes.len()) };
    (!found.is_null()).then(|| found as usize - bytes.as_ptr() as usize)
}

/// How many ticks of CPU accounting make a second.
pub fn ticks_per_second() -> u64 {
    // SAFETY: this call touches no memory.
    unsafe { libc::sysconf(libc::_SC_CLK_TCK) as u64 }
}

/// CPU time of the thread that asks.
#[must_use]
pub fn thread_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the time lives through the call.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
