//! What a file descriptor refers to, and how that is said.

use super::sockets::{Inet, Protocol, TcpState};
use super::unix_sockets::{Name, Unix, UnixKind};
use std::borrow::Cow;
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

/// Paths and names stand here as the target chose them: escape them before a terminal sees them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Descriptor {
    Inet(Inet),
    Unix(Unix),
    /// A socket in none of the tables of the target's network namespace: neither bound nor connected, of another family,
    /// or made in another namespace.
    Socket {
        inode: u64,
        /// The kernel's word: `TCP`, `NETLINK`, `PACKET`.
        protocol: Option<Box<str>>,
    },
    Pipe {
        /// Equal for both ends.
        inode: u64,
        end: PipeEnd,
        /// Of a FIFO in a file system.
        path: Option<PathBuf>,
    },
    EventFd {
        count: Option<u64>,
    },
    TimerFd {
        /// Until it fires next; 0 if it is not armed or has fired.
        left_ns: Option<u64>,
    },
    SignalFd {
        /// Bit n-1 stands for signal n.
        mask: Option<u64>,
    },
    Inotify {
        watches: usize,
    },
    Epoll {
        watched: usize,
    },
    PidFd {
        /// As seen where this command runs.
        pid: Option<u32>,
        /// It has ended and been waited for.
        reaped: bool,
    },
    CharDevice {
        path: PathBuf,
        terminal: bool,
    },
    File {
        path: PathBuf,
        deleted: bool,
    },
    /// The link's own text: `anon_inode:[io_uring]`.
    Other {
        text: Box<str>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PipeEnd {
    Read,
    Write,
    /// A FIFO may be opened for both.
    Both,
    Unknown,
}

/// What a task wants of a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Doing {
    Reads,
    Writes,
    /// Whichever is possible first, or both at once.
    ReadsOrWrites,
    Accepts,
    Connects,
    /// In a direction that is not known.
    WaitsFor,
}

impl Doing {
    pub fn verb(self) -> &'static str {
        match self {
            Doing::Reads => "reads",
            Doing::Writes => "writes",
            Doing::ReadsOrWrites => "reads or writes",
            Doing::Accepts => "accepts on",
            Doing::Connects => "connects",
            Doing::WaitsFor => "waits for",
        }
    }
}

impl Descriptor {
    /// `TCP 127.0.0.1:4000 → 127.0.0.1:5432, nothing received`: what it is, its state where that is not the usual one,
    /// and what is queued for what is being done. Not escaped.
    pub fn words(&self, doing: Doing) -> String {
        match self {
            Descriptor::Inet(socket) => inet(socket, doing),
            Descriptor::Unix(socket) => unix(socket, doing),
            Descriptor::Socket { protocol: Some(protocol), .. } => {
                format!("{protocol} socket, no address known")
            }
            Descriptor::Socket { protocol: None, .. } => "a socket of unknown kind".to_owned(),
            Descriptor::Pipe { inode, end, path } => pipe(*inode, *end, path.as_ref()),
            Descriptor::EventFd { count: Some(count) } => format!("eventfd, count {count}"),
            Descriptor::EventFd { count: None } => "eventfd".to_owned(),
            Descriptor::TimerFd { left_ns: Some(0) } => "timerfd, not armed".to_owned(),
            Descriptor::TimerFd { left_ns: Some(left) } => {
                format!("timerfd, fires in {} ms", left.div_ceil(1_000_000))
            }
            Descriptor::TimerFd { left_ns: None } => "timerfd".to_owned(),
            Descriptor::SignalFd { mask: Some(mask) } => format!("signalfd of {}", signals(*mask)),
            Descriptor::SignalFd { mask: None } => "signalfd".to_owned(),
            Descriptor::Inotify { watches } => {
                format!("inotify, {}", counted(*watches as u64, "watch", "watches"))
            }
            Descriptor::Epoll { watched } => {
                format!("epoll of {}", counted(*watched as u64, "file", "files"))
            }
            Descriptor::PidFd { reaped: true, .. } => "a process that has ended".to_owned(),
            Descriptor::PidFd { pid: Some(pid), .. } => format!("process {pid}"),
            Descriptor::PidFd { pid: None, .. } => "a process of another PID namespace".to_owned(),
            Descriptor::CharDevice { path, terminal: true } => format!("terminal {}", path.display()),
            Descriptor::CharDevice { path, .. } => format!("device {}", path.display()),
            Descriptor::File { path, deleted: true } => format!("file {} (deleted)", path.display()),
            Descriptor::File { path, .. } => format!("file {}", path.display()),
            Descriptor::Other { text } => text.to_string(),
        }
    }
}

fn inet(socket: &Inet, doing: Doing) -> String {
    let protocol = match socket.protocol {
        Protocol::Tcp => "TCP",
        Protocol::Udp => "UDP",
    };
    let mut said = format!("{protocol} {}", canonical(socket.local));
    if let Some(peer) = socket.peer {
        let _ = write!(said, " → {}", canonical(peer));
    }
    let mut add = |clause: &str| {
        if !clause.is_empty() {
            let _ = write!(said, ", {clause}");
        }
    };
    if socket.protocol == Protocol::Udp {
        // The queues of UDP count memory, not bytes.
        match doing {
            Doing::Reads | Doing::WaitsFor if socket.receive_queue > 0 => add("datagrams received, not read"),
            Doing::Reads => add("nothing received"),
            Doing::Writes if socket.send_queue > 0 => add("datagrams not sent yet"),
            _ => {}
        }
        return said;
    }
    add(socket.state.words());
    if socket.state == TcpState::Listen {
        add(&waiting(socket.receive_queue));
        return said;
    }
    match doing {
        Doing::Reads => add(&received(socket.receive_queue)),
        Doing::Writes => add(&unacknowledged(socket.send_queue)),
        Doing::WaitsFor | Doing::ReadsOrWrites => {
            add(&received(socket.receive_queue));
            add(&unacknowledged(socket.send_queue));
        }
        Doing::Accepts | Doing::Connects => {}
    }
    said
}

/// An IPv4 peer of an IPv6 socket is shown as what it is.
fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        ip @ IpAddr::V4(_) => SocketAddr::new(ip, address.port()),
        IpAddr::V6(_) => address,
    }
}

fn unix(socket: &Unix, doing: Doing) -> String {
    let kind = match socket.kind {
        UnixKind::Stream => "Unix stream",
        UnixKind::Datagram => "Unix datagram",
        UnixKind::SequencedPacket => "Unix seqpacket",
    };
    let mut said = kind.to_owned();
    if let Some(name) = &socket.name {
        let _ = write!(said, " {}", name.shown());
    }
    if let Some(peer) = &socket.peer_name {
        let _ = write!(said, " → {}", peer.shown());
    }
    let clause = match (socket.listening, doing) {
        (true, _) => match socket.receive_queue {
            Some(count) => format!("listening, {}", waiting(count)),
            None => "listening".to_owned(),
        },
        (false, Doing::Reads | Doing::WaitsFor) => socket.receive_queue.map(received).unwrap_or_default(),
        (false, Doing::Writes) => match socket.peer_receive_queue {
            Some(unread) if unread > 0 => format!("{} that the peer has not read", bytes(unread)),
            _ => String::new(),
        },
        _ => String::new(),
    };
    let connected = socket.kind == UnixKind::Datagram || socket.listening || socket.connected;
    for clause in [if connected { "" } else { "not connected" }, &clause] {
        if !clause.is_empty() {
            let _ = write!(said, ", {clause}");
        }
    }
    said
}

impl Name {
    /// An abstract name begins with `@`, as everywhere.
    fn shown(&self) -> Cow<'_, str> {
        match self {
            Name::Path(path) => path.to_string_lossy(),
            Name::Abstract(name) => Cow::Owned(format!("@{}", String::from_utf8_lossy(name))),
        }
    }
}

fn pipe(inode: u64, end: PipeEnd, path: Option<&PathBuf>) -> String {
    let end = match end {
        PipeEnd::Read => ", its reading end",
        PipeEnd::Write => ", its writing end",
        PipeEnd::Both => ", both ends",
        PipeEnd::Unknown => "",
    };
    match path {
        Some(path) => format!("pipe {}{end}", path.display()),
        None => format!("pipe {inode}{end}"),
    }
}

fn waiting(connections: u32) -> String {
    match connections {
        0 => "nobody waiting to be accepted".to_owned(),
        count => format!("{count} waiting to be accepted"),
    }
}

fn received(count: u32) -> String {
    match count {
        0 => "nothing received".to_owned(),
        count => format!("{} received, not read", bytes(count)),
    }
}

fn unacknowledged(count: u32) -> String {
    match count {
        0 => String::new(),
        count => format!("{} not acknowledged by the peer", bytes(count)),
    }
}

fn bytes(count: u32) -> String {
    counted(u64::from(count), "byte", "bytes")
}

fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// x86's numbers, by signal(7).
const SIGNALS: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE",
    "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ",
    "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];

fn signals(mask: u64) -> String {
    let set = (0..64).filter(|bit| mask & (1 << bit) != 0);
    let name =
        |bit: usize| SIGNALS.get(bit).map_or_else(|| (bit + 1).to_string(), |name| format!("SIG{name}"));
    let names: Vec<String> = set.map(name).collect();
    if names.is_empty() { "no signal".to_owned() } else { names.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(state: TcpState, receive_queue: u32, send_queue: u32) -> Inet {
        let address = |text: &str| text.parse().expect("an address");
        Inet {
            protocol: Protocol::Tcp,
            local: address("127.0.0.1:4000"),
            peer: (state != TcpState::Listen).then(|| address("[::ffff:127.0.0.1]:5432")),
            state,
            receive_queue,
            send_queue,
        }
    }

    #[test]
    fn sockets_in_words() {
        let words = |socket, doing| Descriptor::Inet(socket).words(doing);
        let pair = "TCP 127.0.0.1:4000 → 127.0.0.1:5432";
        let open = TcpState::Established;
        assert_eq!(words(tcp(open, 0, 9), Doing::Reads), format!("{pair}, nothing received"));
        assert_eq!(words(tcp(open, 1, 0), Doing::Reads), format!("{pair}, 1 byte received, not read"));
        let unread = format!("{pair}, 9 bytes not acknowledged by the peer");
        assert_eq!(words(tcp(open, 3, 9), Doing::Writes), unread);
        assert_eq!(words(tcp(open, 3, 0), Doing::Writes), pair);
        let connecting = format!("{pair}, connecting, no answer yet");
        assert_eq!(words(tcp(TcpState::SynSent, 0, 0), Doing::Connects), connecting);
        assert_eq!(
            words(tcp(TcpState::Listen, 3, 0), Doing::Accepts),
            "TCP 127.0.0.1:4000, listening, 3 waiting to be accepted"
        );
    }

    #[test]
    fn unix_sockets_in_words() {
        let mut socket = Unix {
            kind: UnixKind::Stream,
            listening: false,
            connected: true,
            name: None,
            peer: Some(7),
            peer_name: Some(Name::Abstract((*b"bus").into())),
            receive_queue: Some(5),
            peer_receive_queue: Some(6),
        };
        let words = |socket: &Unix, doing| Descriptor::Unix(socket.clone()).words(doing);
        assert_eq!(words(&socket, Doing::Reads), "Unix stream → @bus, 5 bytes received, not read");
        assert_eq!(words(&socket, Doing::Writes), "Unix stream → @bus, 6 bytes that the peer has not read");
        socket = Unix { listening: true, peer_name: None, name: Some(Name::Path("/run/x".into())), ..socket };
        assert_eq!(words(&socket, Doing::Accepts), "Unix stream /run/x, listening, 5 waiting to be accepted");
        socket = Unix { listening: false, connected: false, receive_queue: None, ..socket };
        assert_eq!(words(&socket, Doing::Reads), "Unix stream /run/x, not connected");
    }

    #[test]
    fn signals_have_names() {
        assert_eq!(signals(1 << 1 | 1 << 14 | 1 << 33), "SIGINT, SIGTERM, 34");
        assert_eq!(signals(0), "no signal");
    }
}
