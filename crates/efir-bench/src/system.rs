//! The system calls that std has no word for: readiness of many sockets, cores, source addresses, namespaces.
#![expect(
    unsafe_code,
    reason = "thin wrappers around libc; every pointer is to a live local of the right type"
)]

use std::fs::File;
use std::io::{Error, Result};
use std::mem::size_of;
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

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
    pub fn new() -> Result<Self> {
        // SAFETY: the descriptor is new and owned by nobody else.
        let epoll = unsafe { OwnedFd::from_raw_fd(checked(libc::epoll_create1(libc::EPOLL_CLOEXEC))?) };
        Ok(Self { epoll, events: vec![libc::epoll_event { events: 0, u64: 0 }; 1024] })
    }

    /// Reports the socket as `token` whenever it has something to read.
    pub fn add(&self, socket: &TcpStream, token: u64) -> Result<()> {
        let mut event = libc::epoll_event { events: (libc::EPOLLIN | libc::EPOLLRDHUP) as u32, u64: token };
        // SAFETY: both descriptors are open and the event lives through the call.
        checked(unsafe {
            libc::epoll_ctl(self.epoll.as_raw_fd(), libc::EPOLL_CTL_ADD, socket.as_raw_fd(), &raw mut event)
        })?;
        Ok(())
    }

    /// The tokens that are ready; waits at most `most` for the first.
    pub fn wait(&mut self, most: Duration, ready: &mut Vec<u64>) -> Result<()> {
        ready.clear();
        let (room, ms) = (self.events.len() as libc::c_int, most.as_millis() as libc::c_int);
        // SAFETY: the buffer has as many events as we say.
        let answer = unsafe { libc::epoll_wait(self.epoll.as_raw_fd(), self.events.as_mut_ptr(), room, ms) };
        match checked(answer) {
            Ok(count) => ready.extend(self.events.iter().take(count as usize).map(|event| event.u64)),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
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
pub fn connect_from(source: Ipv4Addr, target: SocketAddrV4) -> Result<TcpStream> {
    // SAFETY: the descriptor is new and owned by nobody else.
    let socket = unsafe {
        OwnedFd::from_raw_fd(checked(libc::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0))?)
    };
    let raw = socket.as_raw_fd();
    // The port is chosen at connect, where only the pair of addresses has to be unique.
    set(raw, libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT, &1_i32)?;
    let (from, to) = (raw_address(SocketAddrV4::new(source, 0)), raw_address(target));
    let size = size_of::<libc::sockaddr_in>() as libc::socklen_t;
    // SAFETY: both addresses live through the calls and have the size that we say.
    unsafe {
        checked(libc::bind(raw, (&raw const from).cast(), size))?;
        checked(libc::connect(raw, (&raw const to).cast(), size))?;
    }
    Ok(TcpStream::from(socket))
}

fn raw_address(address: SocketAddrV4) -> libc::sockaddr_in {
    libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: address.port().to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from(*address.ip()).to_be() },
        sin_zero: [0; 8],
    }
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
