//! What the target's file descriptors refer to, told from outside: links, fdinfo and the tables of its own network
//! namespace. Nothing is opened through a descriptor, since that has effects (on the ends of a pipe, say).

use super::descriptor::{Descriptor, Doing, PipeEnd};
use super::fdinfo::FdInfo;
use super::procdir::ProcDir;
use super::process::without_deleted_mark;
use super::sockets::{InetSockets, LATEST, Protocol, SOONEST, SocketTables};
use super::unix_sockets::UnixSockets;
use rustix::fs::{AtFlags, FileType, Statx, StatxFlags};
use std::collections::HashMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// The descriptors of one moment: sockets are read at once when the first is asked for (or were, a moment ago: see
/// [`SocketTables`]), each descriptor once. What was read stays so; make a new one for the next snapshot.
#[derive(Debug)]
pub struct Descriptors<'p> {
    target: &'p ProcDir,
    tables: Arc<SocketTables>,
    inet: OnceLock<Arc<InetSockets>>,
    /// Read for a socket that is younger than those.
    younger: OnceLock<Arc<InetSockets>>,
    unix: OnceLock<UnixSockets>,
    told: Mutex<HashMap<i32, Option<Descriptor>>>,
}

impl<'p> Descriptors<'p> {
    pub fn of(target: &'p ProcDir) -> Descriptors<'p> {
        Descriptors::with(target, Arc::default())
    }

    pub(super) fn with(target: &'p ProcDir, tables: Arc<SocketTables>) -> Descriptors<'p> {
        let (inet, younger, unix) = (OnceLock::new(), OnceLock::new(), OnceLock::new());
        Descriptors { target, tables, inet, younger, unix, told: Mutex::default() }
    }

    /// None: the target has no such descriptor, or we may not know.
    pub fn get(&self, fd: i32) -> Option<Descriptor> {
        if fd < 0 {
            return None;
        }
        let told = || self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = told().get(&fd) {
            return known.clone();
        }
        // Not under the lock: many threads may ask.
        let descriptor = self.look(fd);
        told().entry(fd).or_insert(descriptor).clone()
    }

    /// `reads fd 12, TCP 127.0.0.1:4000 → 127.0.0.1:5432, nothing received`. Not escaped.
    pub fn tell(&self, fd: i32, doing: Doing) -> String {
        match self.get(fd) {
            Some(descriptor) => format!("{} fd {fd}, {}", doing.verb(), descriptor.words(doing)),
            None => format!("{} fd {fd}", doing.verb()),
        }
    }

    /// Whether it is a TCP connection, or will be one, whose own port nobody listens on: one that was not accepted.
    pub fn is_outgoing(&self, fd: i32) -> bool {
        let Some(Descriptor::Inet(socket)) = self.get(fd) else { return false };
        let sockets = self.inet();
        socket.protocol == Protocol::Tcp && socket.peer.is_some() && !sockets.listens(socket.local.port())
    }

    /// Entries of the socket tables read so far that were not understood or beyond the limits.
    pub fn skipped(&self) -> u64 {
        self.inet.get().map_or(0, |sockets| sockets.skipped)
            + self.unix.get().map_or(0, |sockets| sockets.skipped)
    }

    fn inet(&self) -> &InetSockets {
        self.inet.get_or_init(|| self.tables.get(self.target, LATEST))
    }

    fn look(&self, fd: i32) -> Option<Descriptor> {
        let link = self.target.read_link(&format!("fd/{fd}")).ok()?;
        // A path begins with `/`; all else is `kind:[…]`, which no path of the target can look like.
        if link.is_absolute() {
            return Some(self.named(fd, link));
        }
        let text = link.to_string_lossy();
        let inode = |kind: &str| text.strip_prefix(kind)?.strip_prefix(":[")?.strip_suffix(']')?.parse().ok();
        if let Some(inode) = inode("socket") {
            return Some(self.socket(fd, inode));
        }
        let info = self.fdinfo(fd);
        let info = FdInfo(&info);
        if let Some(inode) = inode("pipe") {
            return Some(Descriptor::Pipe { inode, end: end(&info), path: None });
        }
        // Since Linux 6.9 they may have a file system of their own: `pidfd:[inode]`.
        if inode("pidfd").is_some() {
            return Some(pidfd(&info));
        }
        Some(match text.strip_prefix("anon_inode:").map(|kind| kind.trim_matches(['[', ']'])) {
            Some("eventfd") => Descriptor::EventFd { count: info.hex("eventfd-count") },
            Some("timerfd") => Descriptor::TimerFd { left_ns: info.time("it_value") },
            Some("signalfd") => Descriptor::SignalFd { mask: info.hex("sigmask") },
            Some("inotify") => Descriptor::Inotify { watches: info.count("inotify ") },
            Some("eventpoll") => Descriptor::Epoll { watched: info.count("tfd:") },
            Some("pidfd") => pidfd(&info),
            _ => Descriptor::Other { text: text.into() },
        })
    }

    fn socket(&self, fd: i32, inode: u64) -> Descriptor {
        if let Some(socket) = self.inet().by_inode.get(&inode) {
            return Descriptor::Inet(*socket);
        }
        let unix = self.unix.get_or_init(|| UnixSockets::read(self.target));
        if let Some(socket) = unix.get(inode) {
            return Descriptor::Unix(socket);
        }
        let younger = self.younger.get_or_init(|| self.tables.get(self.target, SOONEST));
        if let Some(socket) = younger.by_inode.get(&inode) {
            return Descriptor::Inet(*socket);
        }
        Descriptor::Socket { inode, protocol: self.protocol(fd) }
    }

    /// The kernel's name of a socket's protocol, which sockfs keeps as an attribute (net/socket.c).
    fn protocol(&self, fd: i32) -> Option<Box<str>> {
        let mut name = [0; 64];
        let length = rustix::fs::getxattr(self.path(fd), "system.sockprotoname", &mut name).ok()?;
        let name = std::str::from_utf8(name.get(..length)?).ok()?;
        Some(name.trim_end_matches('\0').into())
    }

    fn named(&self, fd: i32, link: PathBuf) -> Descriptor {
        let stat = self.stat(fd);
        let kind = stat.map_or(FileType::Unknown, |stat| FileType::from_raw_mode(stat.stx_mode.into()));
        match (kind, stat) {
            (FileType::CharacterDevice, Some(stat)) => {
                Descriptor::CharDevice { path: link, terminal: is_terminal(stat.stx_rdev_major) }
            }
            (FileType::Fifo, Some(stat)) => {
                let end = end(&FdInfo(&self.fdinfo(fd)));
                Descriptor::Pipe { inode: stat.stx_ino, end, path: Some(link) }
            }
            _ => {
                let (path, deleted) = match stat {
                    // Only then the mark is the kernel's, and no part of a name.
                    Some(stat) if stat.stx_nlink == 0 => without_deleted_mark(&link),
                    _ => (link, false),
                };
                Descriptor::File { path, deleted }
            }
        }
    }

    /// Asks no server: that might take for ever.
    fn stat(&self, fd: i32) -> Option<Statx> {
        let (flags, wanted) = (AtFlags::STATX_DONT_SYNC, StatxFlags::BASIC_STATS);
        rustix::fs::statx(rustix::fs::CWD, self.path(fd), flags, wanted).ok()
    }

    fn path(&self, fd: i32) -> PathBuf {
        Path::new("/proc").join(self.target.pid().to_string()).join(format!("fd/{fd}"))
    }

    fn fdinfo(&self, fd: i32) -> Vec<u8> {
        /// An epoll of 100,000 files has 8 MB.
        const MOST: u64 = 64 << 20;
        let mut text = Vec::new();
        if let Ok(file) = self.target.open_file(&format!("fdinfo/{fd}")) {
            // What could be read of it counts.
            let _ = file.take(MOST).read_to_end(&mut text);
        }
        text
    }
}

fn end(info: &FdInfo<'_>) -> PipeEnd {
    match info.access_mode() {
        Some(0) => PipeEnd::Read,
        Some(1) => PipeEnd::Write,
        Some(2) => PipeEnd::Both,
        _ => PipeEnd::Unknown,
    }
}

/// `Pid` is -1 once it was waited for, 0 in a PID namespace that /proc does not show (kernel/pid.c, fs/pidfs.c).
fn pidfd(info: &FdInfo<'_>) -> Descriptor {
    let pid: Option<i64> = info.value("Pid").and_then(|pid| pid.parse().ok());
    Descriptor::PidFd {
        pid: pid.and_then(|pid| u32::try_from(pid).ok()).filter(|pid| *pid != 0),
        reaped: pid == Some(-1),
    }
}

/// Documentation/admin-guide/devices.txt: consoles and serial lines, /dev/tty, and both kinds of pseudo terminals.
fn is_terminal(major: u32) -> bool {
    matches!(major, 4 | 5 | 136..=143)
}
