//! Unix sockets of the target's network namespace: from sock_diag, which tells peers and queues too; where that is refused,
//! from `/proc/PID/net/unix`.

use super::procdir::ProcDir;
use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_sock_diag::SockDiagMessage;
use netlink_packet_sock_diag::unix::nlas::{Nla, UnixDiagName};
use netlink_packet_sock_diag::unix::{ShowFlags, StateFlags, UnixRequest, UnixResponse};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnixKind {
    Stream,
    Datagram,
    SequencedPacket,
}

/// What a socket is bound to. As it stands in the kernel: not escaped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Name {
    /// As the target saw it when it was bound.
    Path(PathBuf),
    /// Without the 0 that it begins with.
    Abstract(Box<[u8]>),
}

/// A Unix socket. Unknown, that is None, is whatever only sock_diag tells, if that is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unix {
    pub kind: UnixKind,
    pub listening: bool,
    pub connected: bool,
    pub name: Option<Name>,
    /// Inode of the socket at the other end. None if there is none, too.
    pub peer: Option<u64>,
    /// What the peer is bound to.
    pub peer_name: Option<Name>,
    /// Bytes that the target has not read, of a datagram socket those of the next datagram; of a listener the
    /// connections not accepted.
    pub receive_queue: Option<u32>,
    /// The same of the peer: what the target wrote (with others, to a datagram socket) and the peer has not read.
    pub peer_receive_queue: Option<u32>,
}

/// By the inode of `socket:[inode]`.
#[derive(Debug, Default)]
pub(super) struct UnixSockets {
    pub by_inode: HashMap<u64, Unix>,
    /// Lines or messages of no known form, and those beyond the limit.
    pub skipped: u64,
}

/// More sockets than this in one namespace are not looked at.
const MOST_SOCKETS: usize = 2_000_000;
const MOST_BYTES: u64 = 512 << 20;

impl UnixSockets {
    pub fn read(target: &ProcDir) -> UnixSockets {
        diag_socket(target).and_then(|socket| ask(&socket)).unwrap_or_else(|_| {
            let mut text = Vec::new();
            if let Ok(table) = target.open_file("net/unix") {
                // What could be read of it counts.
                let _ = table.take(MOST_BYTES).read_to_end(&mut text);
            }
            parse_table(&text)
        })
    }

    /// With what is known of its peer.
    pub fn get(&self, inode: u64) -> Option<Unix> {
        let mut socket = self.by_inode.get(&inode)?.clone();
        if let Some(peer) = socket.peer.and_then(|peer| self.by_inode.get(&peer)) {
            socket.peer_name = peer.name.clone();
            socket.peer_receive_queue = peer.receive_queue;
        }
        Some(socket)
    }

    fn insert(&mut self, inode: u64, socket: Unix) {
        if self.by_inode.len() < MOST_SOCKETS {
            self.by_inode.insert(inode, socket);
        } else {
            self.skipped += 1;
        }
    }
}

/// A sock_diag socket in the target's network namespace, which takes CAP_SYS_ADMIN where that is not ours.
fn diag_socket(target: &ProcDir) -> io::Result<OwnedFd> {
    let theirs = target.open_file("ns/net")?;
    let ours = File::open("/proc/thread-self/ns/net")?;
    let identity = |file: &File| file.metadata().map(|m| (m.dev(), m.ino()));
    if identity(&theirs)? == identity(&ours)? {
        return open_diag();
    }
    // A socket stays in the namespace it was made in; a thread that ends leaves nobody else there.
    let enter = || {
        move_into_link_name_space(theirs.as_fd(), Some(LinkNameSpaceType::Network))?;
        open_diag()
    };
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("netns".to_owned()).spawn_scoped(scope, enter)?;
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn open_diag() -> io::Result<OwnedFd> {
    let protocol = Some(rustix::net::netlink::SOCK_DIAG);
    Ok(rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, protocol)?)
}

/// Asks for every Unix socket. An error of the kernel is an error, so that the table may be read instead.
fn ask(socket: &OwnedFd) -> io::Result<UnixSockets> {
    rustix::net::send(socket, &request(), SendFlags::empty())?;
    let mut sockets = UnixSockets::default();
    // NLMSG_GOODSIZE and max_recvmsg_len of net/netlink/af_netlink.c: no message of a dump is longer.
    let mut buffer = vec![0; 1 << 16];
    loop {
        let (_, length) = rustix::net::recv(socket, &mut buffer[..], RecvFlags::TRUNC)?;
        let Some(received) = buffer.get(..length).filter(|received| !received.is_empty()) else {
            return Err(malformed("a datagram of sock_diag was cut short"));
        };
        if add_messages(&mut sockets, received)? {
            return Ok(sockets);
        }
    }
}

fn request() -> Vec<u8> {
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    let request = UnixRequest {
        state_flags: StateFlags::from_bits_retain(u32::MAX),
        inode: 0,
        show_flags: ShowFlags::NAME | ShowFlags::PEER | ShowFlags::RQLEN,
        cookie: [0xff; 8],
    };
    let mut message = NetlinkMessage::new(header, SockDiagMessage::UnixRequest(request).into());
    message.finalize();
    let mut bytes = vec![0; message.buffer_len()];
    message.serialize(&mut bytes);
    bytes
}

/// The messages of one datagram. True after the last of all.
fn add_messages(sockets: &mut UnixSockets, mut datagram: &[u8]) -> io::Result<bool> {
    /// NLMSG_ALIGN, and the header's size.
    const ALIGN: usize = 4;
    const HEADER: usize = 16;
    while let Some((length, _)) = datagram.split_first_chunk::<4>() {
        let length = u32::from_ne_bytes(*length) as usize;
        let message = datagram.get(..length).filter(|m| m.len() >= HEADER);
        let message = message.ok_or_else(|| malformed("a message of sock_diag has an impossible length"))?;
        match NetlinkMessage::<SockDiagMessage>::deserialize(message).map(|message| message.payload) {
            Ok(NetlinkPayload::InnerMessage(SockDiagMessage::UnixResponse(response))) => {
                match socket_of(&response) {
                    Some(socket) => sockets.insert(u64::from(response.header.inode), socket),
                    None => sockets.skipped += 1,
                }
            }
            Ok(NetlinkPayload::Done(_)) => return Ok(true),
            Ok(NetlinkPayload::Error(error)) => return Err(error.to_io()),
            Ok(_) | Err(_) => sockets.skipped += 1,
        }
        datagram = datagram.get(length.next_multiple_of(ALIGN)..).unwrap_or_default();
    }
    Ok(false)
}

fn socket_of(response: &UnixResponse) -> Option<Unix> {
    let mut socket = socket_in(u64::from(response.header.kind), response.header.state)?;
    for attribute in &response.nlas {
        match attribute {
            Nla::Name(UnixDiagName::Pathname(path)) => socket.name = Some(Name::Path(path.into())),
            Nla::Name(UnixDiagName::Abstract(name)) => socket.name = Some(Name::Abstract(name[..].into())),
            Nla::Peer(inode) => {
                socket.peer = Some(u64::from(*inode));
                socket.connected = true;
            }
            Nla::ReceiveQueueLength(received, _) => socket.receive_queue = Some(*received),
            _ => {}
        }
    }
    Some(socket)
}

/// SOCK_STREAM and so on, and a state of include/net/tcp_states.h.
fn socket_in(kind: u64, state: u8) -> Option<Unix> {
    let kind = match kind {
        1 => UnixKind::Stream,
        2 => UnixKind::Datagram,
        5 => UnixKind::SequencedPacket,
        _ => return None,
    };
    let (listening, connected) = (state == 10, state == 1);
    Some(Unix {
        kind,
        listening,
        connected,
        name: None,
        peer: None,
        peer_name: None,
        receive_queue: None,
        peer_receive_queue: None,
    })
}

/// `Num: RefCount Protocol Flags Type St Inode Path`, of unix_seq_show in net/unix/af_unix.c. A path may hold newlines, so
/// that a name may pretend to be another socket's line: of two lines for one socket neither is believed.
fn parse_table(text: &[u8]) -> UnixSockets {
    let mut sockets = UnixSockets::default();
    let mut lines_of: HashMap<u64, u32> = HashMap::new();
    for line in text.split(|byte| *byte == b'\n').skip(1).filter(|line| !line.is_empty()) {
        match parse_line(line) {
            // Not accepted yet.
            Some((0, _)) => {}
            Some((inode, socket)) => match lines_of.entry(inode) {
                Entry::Vacant(first) => {
                    first.insert(1);
                    sockets.insert(inode, socket);
                }
                Entry::Occupied(mut more) => {
                    *more.get_mut() += 1;
                    sockets.by_inode.remove(&inode);
                    sockets.skipped += 1;
                }
            },
            None => sockets.skipped += 1,
        }
    }
    sockets
}

fn parse_line(line: &[u8]) -> Option<(u64, Unix)> {
    let mut rest = line;
    let mut word = || {
        let line = rest.trim_ascii_start();
        let end = line.iter().position(|byte| *byte == b' ').unwrap_or(line.len());
        let (head, tail) = line.split_at(end);
        rest = tail;
        std::str::from_utf8(head).ok()
    };
    let hex = |word: &str| u64::from_str_radix(word, 16).ok();
    word()?.strip_suffix(':')?;
    let (_references, _protocol, flags, kind, state) = (word()?, word()?, word()?, word()?, word()?);
    let inode: u64 = word()?.parse().ok()?;
    /// SO_ACCEPTCON of include/uapi/linux/net.h.
    const LISTENS: u64 = 1 << 16;
    // enum socket_state: SS_CONNECTED is 3.
    let state = match (hex(flags)? & LISTENS != 0, hex(state)?) {
        (true, _) => 10,
        (false, 3) => 1,
        (false, _) => 7,
    };
    let mut socket = socket_in(hex(kind)?, state)?;
    let name = rest.get(1..).unwrap_or_default();
    socket.name = match name.split_first() {
        None => None,
        // Bytes that are 0 inside are shown as @ too, and cannot be told from it.
        Some((b'@', name)) => Some(Name::Abstract(name.into())),
        Some(_) => Some(Name::Path(OsString::from_vec(name.to_vec()).into())),
    };
    Some((inode, socket))
}

fn malformed(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TABLE: &[u8] = b"\
Num       RefCount Protocol Flags    Type St Inode Path
00000000c21f1947: 00000003 00000000 00000000 0001 03 81798
000000007b7f2225: 00000002 00000000 00010000 0001 01 103831 /run/a b
000000003c0ca5cc: 00000003 00000000 00000000 0002 01 95843 @/tmp/x
000000007e373560: 00000003 00000000 00000000 0001 02     0 @abc
000000007e373561: 00000003 00000000 00000000 0009 02     5
";

    #[test]
    fn every_kind_of_line() {
        let sockets = parse_table(TABLE);
        assert_eq!((sockets.by_inode.len(), sockets.skipped), (3, 1));
        let listener = &sockets.by_inode[&103831];
        assert!(listener.listening && !listener.connected);
        assert_eq!(listener.name, Some(Name::Path("/run/a b".into())));
        assert!(sockets.by_inode[&81798].connected);
        let datagram = &sockets.by_inode[&95843];
        assert_eq!(datagram.kind, UnixKind::Datagram);
        assert_eq!(datagram.name, Some(Name::Abstract((*b"/tmp/x").into())));
    }

    #[test]
    fn a_name_that_plays_another_sockets_line_is_not_believed() {
        let forged = b"00000000c21f1947: 00000002 00000000 00010000 0001 01 81798 /forged\n".repeat(2);
        let sockets = parse_table(&[TABLE, &forged].concat());
        assert_eq!((sockets.by_inode.get(&81798), sockets.skipped), (None, 3));
    }

    proptest! {
        #[test]
        fn no_bytes_break_it(bytes: Vec<u8>, at in 0..TABLE.len(), into: [u8; 3]) {
            parse_table(&bytes);
            let _ = add_messages(&mut UnixSockets::default(), &bytes);
            let mut corrupt = TABLE.to_vec();
            let end = (at + 3).min(corrupt.len());
            corrupt[at..end].copy_from_slice(&into[..end - at]);
            prop_assert!(parse_table(&corrupt).by_inode.len() <= 9);
        }

        #[test]
        fn no_message_breaks_it(length in 0u32..80, kind in 18u16..24, body in proptest::collection::vec(any::<u8>(), 0..80)) {
            let mut message = length.to_ne_bytes().to_vec();
            message.extend(kind.to_ne_bytes());
            message.extend([0; 10]);
            message.extend(body);
            let _ = add_messages(&mut UnixSockets::default(), &message);
        }
    }
}
