//! `/proc/PID/net/{tcp,tcp6,udp,udp6}`: the internet sockets of the target's network namespace, whoever owns them.

use super::procdir::ProcDir;
use std::collections::{HashMap, HashSet};
use std::io::{BufRead, BufReader, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// By the inode of `socket:[inode]`.
#[derive(Debug, Default)]
pub(super) struct InetSockets {
    pub by_inode: HashMap<u64, Inet>,
    /// Ports of TCP on which somebody listens.
    listening: HashSet<u16>,
    /// Lines of no known form, and those beyond the limits.
    pub skipped: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Tcp,
    Udp,
}

/// An internet socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inet {
    pub protocol: Protocol,
    pub local: SocketAddr,
    /// None unless connected (or connecting).
    pub peer: Option<SocketAddr>,
    pub state: TcpState,
    /// TCP: bytes that the target has not read, and of a listener the connections it has not accepted. UDP: memory that
    /// the datagrams take, with the kernel's own overhead, so only whether it is 0 means something.
    pub receive_queue: u32,
    /// TCP: bytes written that the peer has not acknowledged, sent or not. UDP: memory as above.
    pub send_queue: u32,
}

/// include/net/tcp_states.h. UDP uses `Established` and `Close` for connected and not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TcpState {
    Established,
    SynSent,
    SynReceived,
    FinWait1,
    FinWait2,
    TimeWait,
    Close,
    CloseWait,
    LastAck,
    Listen,
    Closing,
}

impl TcpState {
    fn from_number(number: u8) -> Option<TcpState> {
        use TcpState::*;
        Some(match number {
            1 => Established,
            2 => SynSent,
            // 12 is a request that became no socket yet (TCP_NEW_SYN_RECV), shown as 3; 13 is BOUND_INACTIVE.
            3 | 12 => SynReceived,
            4 => FinWait1,
            5 => FinWait2,
            6 => TimeWait,
            7 | 13 => Close,
            8 => CloseWait,
            9 => LastAck,
            10 => Listen,
            11 => Closing,
            _ => return None,
        })
    }

    /// For people. Empty for a socket that is simply connected.
    pub fn words(self) -> &'static str {
        match self {
            TcpState::Established => "",
            TcpState::SynSent => "connecting, no answer yet",
            TcpState::SynReceived => "half connected",
            TcpState::FinWait1 | TcpState::FinWait2 => "our side is shut down",
            TcpState::TimeWait => "closed (TIME_WAIT)",
            TcpState::Close => "not connected",
            TcpState::CloseWait => "the peer has closed its side",
            TcpState::LastAck | TcpState::Closing => "both sides are shut down",
            TcpState::Listen => "listening",
        }
    }

    /// The peer's FIN takes a sequence number, which the kernel counts as a byte to be read until the target reads the end.
    fn has_received_fin(self) -> bool {
        matches!(self, TcpState::CloseWait | TcpState::LastAck | TcpState::Closing)
    }

    /// So do our own SYN and FIN among what is not acknowledged.
    fn has_unacknowledged_flag(self) -> bool {
        use TcpState::*;
        matches!(self, SynSent | SynReceived | FinWait1 | LastAck | Closing)
    }
}

/// More sockets than this in one namespace are not looked at.
const MOST_SOCKETS: usize = 2_000_000;
/// Per file; a line has about 150 bytes (180 for IPv6).
const MOST_BYTES: u64 = 512 << 20;

/// The tables of a namespace, read anew when that is due.
///
/// The kernel goes through its whole hash table of sockets for each file, which takes it ten milliseconds on a machine with much memory
/// however few sockets there are (`established_get_first` in net/ipv4/tcp_ipv4.c). So who takes many snapshots a second gets the tables of
/// an earlier one, for as long as reading them again would take more than a three hundredth of the time.
#[derive(Debug, Default)]
pub(super) struct SocketTables(Mutex<Option<Tables>>);

#[derive(Debug)]
struct Tables {
    read_at: Instant,
    took: Duration,
    sockets: Arc<InetSockets>,
}

/// Tables are used for so many times as long as it takes to read them.
pub(super) const LATEST: u32 = 300;
/// The same where a socket is looked for that they have not.
pub(super) const SOONEST: u32 = 30;

impl SocketTables {
    pub fn get(&self, target: &ProcDir, used: u32) -> Arc<InetSockets> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tables) = kept.as_ref().filter(|tables| tables.read_at.elapsed() < tables.took * used) {
            return tables.sockets.clone();
        }
        let read_at = Instant::now();
        let sockets = Arc::new(InetSockets::read(target));
        *kept = Some(Tables { read_at, took: read_at.elapsed(), sockets: sockets.clone() });
        sockets
    }
}

impl InetSockets {
    /// Files that are not there (no IPv6, say) hold no sockets.
    pub fn read(target: &ProcDir) -> InetSockets {
        let mut sockets = InetSockets::default();
        for (file, protocol) in [
            ("net/tcp", Protocol::Tcp),
            ("net/tcp6", Protocol::Tcp),
            ("net/udp", Protocol::Udp),
            ("net/udp6", Protocol::Udp),
        ] {
            if let Ok(file) = target.open_file(file) {
                sockets.add(file, protocol);
            }
        }
        sockets
    }

    pub fn listens(&self, port: u16) -> bool {
        self.listening.contains(&port)
    }

    pub fn add(&mut self, table: impl Read, protocol: Protocol) {
        let mut table = BufReader::with_capacity(1 << 16, table.take(MOST_BYTES));
        let mut line = Vec::new();
        // The first line names the columns.
        let mut first = true;
        while table.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
            if !std::mem::take(&mut first) {
                match parse_line(&line, protocol) {
                    // No file refers to it: TIME_WAIT, or not accepted yet.
                    Some((0, _)) => {}
                    Some((inode, socket)) if self.by_inode.len() < MOST_SOCKETS => {
                        if socket.state == TcpState::Listen && protocol == Protocol::Tcp {
                            self.listening.insert(socket.local.port());
                        }
                        self.by_inode.insert(inode, socket);
                    }
                    _ => self.skipped += 1,
                }
            }
            line.clear();
        }
    }
}

/// `sl: local:port remote:port st tx:rx tr:when retrnsmt uid timeout inode …`: get_tcp4_sock in net/ipv4/tcp_ipv4.c and
/// the like.
fn parse_line(line: &[u8], protocol: Protocol) -> Option<(u64, Inet)> {
    let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    words.next()?.strip_suffix(b":")?;
    let local = address(words.next()?)?;
    let remote = address(words.next()?)?;
    let state = TcpState::from_number(u8::try_from(hex(words.next()?)?).ok()?)?;
    let (transmit, receive) = split_once(words.next()?, b':')?;
    let (transmit, receive) = (queue(transmit)?, queue(receive)?);
    let inode = std::str::from_utf8(words.nth(4)?).ok()?.parse().ok()?;
    let tcp = protocol == Protocol::Tcp;
    let connected = remote.port() != 0 || !remote.ip().is_unspecified();
    let socket = Inet {
        protocol,
        local,
        peer: connected.then_some(remote),
        state,
        receive_queue: receive.saturating_sub(u32::from(tcp && state.has_received_fin())),
        send_queue: transmit.saturating_sub(u32::from(tcp && state.has_unacknowledged_flag())),
    };
    Some((inode, socket))
}

fn split_once(word: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let at = word.iter().position(|byte| *byte == at)?;
    Some((&word[..at], &word[at + 1..]))
}

/// 1 to 16 hex digits and nothing else.
fn hex(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > 16 {
        return None;
    }
    digits.iter().try_fold(0, |number, digit| Some(number << 4 | u64::from((*digit as char).to_digit(16)?)))
}

/// Printed with %08X, so an int that is negative for a moment has 8 digits as well: nothing is queued then.
fn queue(digits: &[u8]) -> Option<u32> {
    let queue = u32::try_from(hex(digits)?).ok()?;
    Some(if queue > i32::MAX as u32 { 0 } else { queue })
}

/// `0100007F:1F90`: each 32-bit word as it stands in memory, read as a number; the port as a number.
fn address(text: &[u8]) -> Option<SocketAddr> {
    let (ip, port) = split_once(text, b':')?;
    let port = u16::try_from(hex(port)?).ok()?;
    let word = |digits: &[u8]| Some((hex(digits)? as u32).to_ne_bytes());
    let ip = match ip.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(ip)?)),
        32 => {
            let mut octets = [0; 16];
            for (to, from) in octets.chunks_exact_mut(4).zip(ip.chunks_exact(8)) {
                to.copy_from_slice(&word(from)?);
            }
            IpAddr::V6(Ipv6Addr::from(octets))
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::fmt::Write as _;

    fn table(text: &str, protocol: Protocol) -> InetSockets {
        let mut sockets = InetSockets::default();
        sockets.add(text.as_bytes(), protocol);
        sockets
    }

    const TCP: &str = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:8657 00000000:0000 0A 00000000:00000003 00:00000000 00000000     0        0 107533 2 00000000c865505b 100 0 0 10 0
   1: 0100007F:AC4B 0100007F:C5C2 06 00000000:00000000 03:0000137A 00000000     0        0 0 3 0000000037dcf263
   2: 0100007F:B1E2 0100007F:426A 01 0001F728:0000000A 00:00000000 00000000     0        0 85603 1 0000000077ad1a77 20 8 0 11 -1
   3: 0100007F:B1E2 0100007F:426A 08 00000000:00000006 00:00000000 00000000     0        0 85604 1 0000000077ad1a77 20 8 0 11 -1
   4: 0100007F:B1E2 0100007F:426A 63 00000000:00000006 00:00000000 00000000     0        0 85605 1 0000000077ad1a77 20 8 0 11 -1
   5: 0100007F:B1E2 0100007F
";

    #[test]
    fn sockets_are_told_by_their_inodes() {
        let sockets = table(TCP, Protocol::Tcp);
        assert_eq!((sockets.by_inode.len(), sockets.skipped), (3, 2));
        let listener = sockets.by_inode[&107533];
        assert_eq!((listener.state, listener.peer, listener.receive_queue), (TcpState::Listen, None, 3));
        assert_eq!(listener.local, "127.0.0.1:34391".parse().expect("an address"));
        assert!(sockets.listens(34391) && !sockets.listens(45538));
        let stream = sockets.by_inode[&85603];
        assert_eq!((stream.send_queue, stream.receive_queue), (0x1f728, 10));
        assert_eq!(stream.peer, Some("127.0.0.1:17002".parse().expect("an address")));
        assert_eq!(sockets.by_inode[&85604].receive_queue, 5, "the end is no byte");
    }

    #[test]
    fn addresses_of_six() {
        let text = b"B80D0120000000000000000001000000:01BB";
        assert_eq!(address(text), Some("[2001:db8::1]:443".parse().expect("an address")));
        for wrong in ["", ":", "0100007F", "0100007F:", "0100007F:10000", "0100007:1", "g100007F:1"] {
            assert_eq!(address(wrong.as_bytes()), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read(ip: [u8; 4], port: u16, peer: u16, rx in 0..i32::MAX as u32, inode in 1u64..) {
            let shown = u32::from_ne_bytes(ip);
            let text = format!("head\n 7: {shown:08X}:{port:04X} {shown:08X}:{peer:04X} 01 00000000:{rx:08X} \
                00:00000000 00000000 0 0 {inode} 2 0 0\n");
            let sockets = table(&text, Protocol::Tcp);
            let socket = sockets.by_inode[&inode];
            prop_assert_eq!(socket.local, SocketAddr::from((ip, port)));
            prop_assert_eq!(socket.receive_queue, rx);
        }

        #[test]
        fn no_bytes_break_it(bytes: Vec<u8>, at in 0..TCP.len(), into: [u8; 3]) {
            let mut sockets = InetSockets::default();
            sockets.add(&bytes[..], Protocol::Udp);
            let mut corrupt = TCP.as_bytes().to_vec();
            let end = (at + 3).min(corrupt.len());
            corrupt[at..end].copy_from_slice(&into[..end - at]);
            sockets.add(&corrupt[..], Protocol::Tcp);
            let lines = corrupt.iter().chain(&bytes).filter(|byte| **byte == b'\n').count() as u64;
            prop_assert!(sockets.by_inode.len() as u64 + sockets.skipped <= lines + 2);
        }
    }

    /// All of them are kept; how long it takes is printed.
    #[test]
    fn a_hundred_thousand() {
        let mut text = String::from("head\n");
        for inode in 1..=100_000 {
            writeln!(
                text,
                "{inode:4}: 0100007F:1F90 0100007F:{:04X} 01 00000000:00000000 00:00000000 00000000  0  0 {inode} 1 0 20 4",
                inode % 65536
            )
            .expect("a string");
        }
        let started = Instant::now();
        let sockets = table(&text, Protocol::Tcp);
        println!("100,000 sockets in {:?}", started.elapsed());
        assert_eq!((sockets.by_inode.len(), sockets.skipped), (100_000, 0));
    }
}
