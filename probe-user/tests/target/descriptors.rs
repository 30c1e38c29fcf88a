//! What descriptors are, against real ones: of a program that prints what it made, in our network namespace and in another.

use crate::programs::{Running, compile, run};
use async_inspect::target::{
    Descriptor, Descriptors, Doing, Inet, Name, PipeEnd, ProcDir, TcpState, Unix, UnixKind,
};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Stdio};

fn ourselves() -> ProcDir {
    ProcDir::open(std::process::id()).expect("ourselves")
}

/// Of a new look.
fn look(fd: &impl AsRawFd) -> Descriptor {
    Descriptors::of(&ourselves()).get(fd.as_raw_fd()).expect("ours, and open")
}

fn inet(fd: &impl AsRawFd) -> Inet {
    match look(fd) {
        Descriptor::Inet(socket) => socket,
        other => panic!("{other:?}"),
    }
}

fn unix(fd: &impl AsRawFd) -> Unix {
    match look(fd) {
        Descriptor::Unix(socket) => socket,
        other => panic!("{other:?}"),
    }
}

fn inode(fd: &impl AsRawFd) -> u64 {
    let link = std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd())).expect("ours");
    let text = link.to_str().expect("ASCII");
    text[text.find('[').expect("an inode") + 1..text.len() - 1].parse().expect("a number")
}

/// Looks until it is so: what was sent arrives when the kernel gets to it.
fn until<T: std::fmt::Debug>(look: impl Fn() -> T, so: impl Fn(&T) -> bool) -> T {
    let started = std::time::Instant::now();
    loop {
        let seen = look();
        if so(&seen) {
            return seen;
        }
        assert!(started.elapsed().as_secs() < 30, "it stays {seen:?}");
        std::thread::yield_now();
    }
}

/// Both ends of a connection, what is written and not read, and how it ends.
fn tcp_pair(at: &str) {
    let listener = TcpListener::bind(at).expect("a port");
    let address = listener.local_addr().expect("bound");
    let mut client = TcpStream::connect(address).expect("the loopback is up");
    let waiting = until(|| inet(&listener), |socket| socket.receive_queue == 1);
    assert_eq!((waiting.local, waiting.peer, waiting.state), (address, None, TcpState::Listen));
    let (mut server, peer) = listener.accept().expect("one waits");
    assert_eq!(inet(&listener).receive_queue, 0);

    let seen = inet(&server);
    assert_eq!((seen.local, seen.peer, seen.state), (address, Some(peer), TcpState::Established));
    assert_eq!((inet(&client).local, inet(&client).peer), (peer, Some(address)));
    assert_eq!((seen.receive_queue, seen.send_queue), (0, 0));

    client.write_all(&[1; 1000]).expect("room");
    until(|| inet(&server), |socket| socket.receive_queue == 1000);
    server.read_exact(&mut [0; 400]).expect("sent");
    assert_eq!(inet(&server).receive_queue, 600);
    let words = look(&server).words(Doing::Reads);
    assert_eq!(words, format!("TCP {address} → {peer}, 600 bytes received, not read"));

    // Its end is no byte, read or unread.
    client.shutdown(std::net::Shutdown::Write).expect("connected");
    let ended = until(|| inet(&server), |socket| socket.state == TcpState::CloseWait);
    assert_eq!(ended.receive_queue, 600);
    assert_eq!(until(|| inet(&client), |socket| socket.state == TcpState::FinWait2).send_queue, 0);
    server.read_exact(&mut [0; 600]).expect("sent");
    assert_eq!(inet(&server).receive_queue, 0);
    assert_eq!(server.read(&mut [0]).expect("the end"), 0);
    assert_eq!(inet(&server).receive_queue, 0);
}

#[test]
fn tcp_of_four() {
    tcp_pair("127.0.0.1:0");
}

#[test]
fn tcp_of_six() {
    match TcpListener::bind("[::1]:0") {
        Ok(_) => tcp_pair("[::1]:0"),
        Err(e) => eprintln!("SKIPPED: no IPv6 here: {e}"),
    }
}

/// A peer that does not read: all that was written is in one queue or the other.
#[test]
fn a_full_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let mut client = TcpStream::connect(listener.local_addr().expect("bound")).expect("the loopback is up");
    let (server, _) = listener.accept().expect("one waits");
    client.set_nonblocking(true).expect("ours");
    let mut written = 0;
    while let Ok(count) = client.write(&[0; 65536]) {
        written += count as u64;
    }
    let queues = || {
        let (theirs, ours) = (inet(&server).receive_queue, inet(&client).send_queue);
        (u64::from(theirs), u64::from(ours))
    };
    let (received, unacknowledged) = until(queues, |(received, sent)| received + sent == written);
    assert!(received > 0 && unacknowledged > 0, "{received} received, {unacknowledged} not acknowledged");
    let words = look(&client).words(Doing::Writes);
    assert!(words.ends_with(&format!(", {unacknowledged} bytes not acknowledged by the peer")), "{words}");
}

#[test]
fn udp() {
    let (one, other) =
        (UdpSocket::bind("127.0.0.1:0").expect("a port"), UdpSocket::bind("127.0.0.1:0").expect("a port"));
    let (here, there) = (one.local_addr().expect("bound"), other.local_addr().expect("bound"));
    assert_eq!((inet(&one).local, inet(&one).peer), (here, None));
    one.connect(there).expect("an address");
    assert_eq!(inet(&one).peer, Some(there));
    assert_eq!(look(&one).words(Doing::Reads), format!("UDP {here} → {there}, nothing received"));
    other.send_to(b"hello", here).expect("room");
    until(|| inet(&one), |socket| socket.receive_queue > 0);
    assert_eq!(look(&one).words(Doing::Reads), format!("UDP {here} → {there}, datagrams received, not read"));
}

#[test]
fn unix_sockets() {
    let (mut one, mut other) = UnixStream::pair().expect("a pair");
    let seen = unix(&one);
    assert_eq!((seen.kind, seen.connected, seen.listening), (UnixKind::Stream, true, false));
    assert_eq!((seen.name, seen.peer, seen.receive_queue), (None, Some(inode(&other)), Some(0)));
    other.write_all(&[0; 777]).expect("room");
    assert_eq!(unix(&one).receive_queue, Some(777));
    assert_eq!(unix(&other).peer_receive_queue, Some(777));
    one.read_exact(&mut [0; 700]).expect("sent");
    assert_eq!(look(&one).words(Doing::Reads), "Unix stream, 77 bytes received, not read");
    assert_eq!(look(&other).words(Doing::Writes), "Unix stream, 77 bytes that the peer has not read");

    let dir = tempfile::tempdir().expect("a directory");
    // A newline: the name plays a line of /proc/net/unix.
    let path = dir.path().join("a b\n0000000000000000: 00000002");
    let listener = UnixListener::bind(&path).expect("a free name");
    let client = UnixStream::connect(&path).expect("listening");
    let _second = UnixStream::connect(&path).expect("listening");
    let seen = unix(&listener);
    assert_eq!(
        (seen.name, seen.listening, seen.receive_queue),
        (Some(Name::Path(path.clone())), true, Some(2))
    );
    let (_server, _) = listener.accept().expect("one waits");
    assert_eq!(unix(&listener).receive_queue, Some(1));
    let words = look(&client).words(Doing::Reads);
    assert_eq!(words, format!("Unix stream → {}, nothing received", path.display()));

    let bound = UnixDatagram::bind(dir.path().join("d")).expect("a free name");
    let sender = UnixDatagram::unbound().expect("a socket");
    assert_eq!(sender.send_to(b"123", dir.path().join("d")).expect("bound"), 3);
    let seen = unix(&bound);
    assert_eq!((seen.kind, seen.receive_queue), (UnixKind::Datagram, Some(3)));
}

#[test]
fn pipes_files_and_devices() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let inode = inode(&reader);
    assert_eq!(look(&reader), Descriptor::Pipe { inode, end: PipeEnd::Read, path: None });
    assert_eq!(look(&writer), Descriptor::Pipe { inode, end: PipeEnd::Write, path: None });

    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("file (deleted)");
    let file = std::fs::File::create(&path).expect("room");
    assert_eq!(look(&file), Descriptor::File { path: path.clone(), deleted: false });
    std::fs::remove_file(&path).expect("ours");
    assert_eq!(look(&file), Descriptor::File { path, deleted: true });

    let fifo = dir.path().join("fifo");
    run(Command::new("mkfifo").arg(&fifo));
    let both = std::fs::File::options().read(true).write(true).open(&fifo).expect("ours");
    assert!(both.metadata().expect("open").file_type().is_fifo());
    assert!(matches!(look(&both), Descriptor::Pipe { end: PipeEnd::Both, path: Some(p), .. } if p == fifo));

    let null = std::fs::File::open("/dev/null").expect("a device");
    assert_eq!(look(&null), Descriptor::CharDevice { path: "/dev/null".into(), terminal: false });
    let terminal = std::fs::File::options().read(true).write(true).open("/dev/ptmx").expect("a terminal");
    assert!(matches!(look(&terminal), Descriptor::CharDevice { terminal: true, .. }));

    let descriptors = ourselves();
    let descriptors = Descriptors::of(&descriptors);
    assert_eq!((descriptors.get(-1), descriptors.get(i32::MAX)), (None, None));
    assert_eq!(descriptors.tell(i32::MAX, Doing::Reads), format!("reads fd {}", i32::MAX));
}

/// Makes one of everything else, and prints which descriptor is what. A network namespace of its own needs `lo` up first.
const EVERYTHING: &str = r#"
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <linux/netlink.h>
int main(void) {
    struct ifreq up = { .ifr_name = "lo", .ifr_flags = IFF_UP };
    ioctl(socket(AF_INET, SOCK_DGRAM, 0), SIOCSIFFLAGS, &up);
    printf("eventfd %d\n", eventfd(31, 0));
    sigset_t set;
    sigemptyset(&set); sigaddset(&set, SIGINT); sigaddset(&set, SIGTERM);
    sigprocmask(SIG_BLOCK, &set, 0);
    printf("signalfd %d\n", signalfd(-1, &set, 0));
    int timer = timerfd_create(CLOCK_MONOTONIC, 0);
    printf("unarmed %d\n", timerfd_create(CLOCK_MONOTONIC, 0));
    struct itimerspec in = { .it_value = { .tv_sec = 1000000 } };
    timerfd_settime(timer, 0, &in, 0);
    printf("timerfd %d\n", timer);
    int watch = inotify_init();
    inotify_add_watch(watch, "/", IN_CREATE);
    inotify_add_watch(watch, "/proc", IN_CREATE);
    printf("inotify %d\n", watch);
    int epoll = epoll_create1(0);
    struct epoll_event event = { .events = EPOLLIN };
    epoll_ctl(epoll, EPOLL_CTL_ADD, timer, &event);
    printf("epoll %d\n", epoll);
    printf("pidfd %d\nself %d\n", (int)syscall(SYS_pidfd_open, getpid(), 0), getpid());
    int ended = fork();
    if (!ended) _exit(0);
    int of_ended = syscall(SYS_pidfd_open, ended, 0);
    waitpid(ended, 0, 0);
    printf("ended %d\n", of_ended);
    printf("netlink %d\n", socket(AF_NETLINK, SOCK_RAW, 0));
    printf("unbound %d\n", socket(AF_INET, SOCK_STREAM, 0));
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
    socklen_t length = sizeof(address);
    int listener = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0);
    bind(listener, (void *)&address, length);
    listen(listener, 5);
    getsockname(listener, (void *)&address, &length);
    connect(client, (void *)&address, length);
    int server = accept(listener, 0, 0);
    write(client, "1234567", 7);
    printf("port %d\nlistener %d\nserver %d\n", ntohs(address.sin_port), listener, server);
    int pair[2];
    socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair);
    write(pair[0], "12345", 5);
    printf("unix %d\n", pair[1]);
    struct sockaddr_un name = { .sun_family = AF_UNIX, .sun_path = "\0abstract" };
    int named = socket(AF_UNIX, SOCK_STREAM, 0);
    bind(named, (void *)&name, sizeof(sa_family_t) + 9);
    printf("abstract %d\nready\n", named);
    fflush(stdout);
    sleep(600);
}
"#;

/// Everything is told of `pid`, that printed the facts of `running`.
fn everything(running: &Running, pid: u32) {
    let dir = ProcDir::open(pid).expect("our child");
    let descriptors = Descriptors::of(&dir);
    let words = |name: &str, doing| {
        let fd = running.address(name) as i32;
        descriptors.get(fd).unwrap_or_else(|| panic!("{name} is fd {fd}")).words(doing)
    };
    let port = running.address("port");
    assert_eq!(words("eventfd", Doing::Reads), "eventfd, count 31");
    assert_eq!(words("signalfd", Doing::Reads), "signalfd of SIGINT, SIGTERM");
    assert_eq!(words("unarmed", Doing::Reads), "timerfd, not armed");
    assert_eq!(words("inotify", Doing::Reads), "inotify, 2 watches");
    assert_eq!(words("epoll", Doing::Reads), "epoll of 1 file");
    assert_eq!(words("pidfd", Doing::WaitsFor), format!("process {pid}"));
    assert_eq!(words("ended", Doing::WaitsFor), "a process that has ended");
    assert_eq!(words("netlink", Doing::Reads), "NETLINK socket, no address known");
    assert_eq!(words("unbound", Doing::Connects), "TCP socket, no address known");
    assert_eq!(
        words("listener", Doing::Accepts),
        format!("TCP 127.0.0.1:{port}, listening, nobody waiting to be accepted")
    );
    let server = words("server", Doing::Reads);
    assert!(server.starts_with(&format!("TCP 127.0.0.1:{port} → 127.0.0.1:")), "{server}");
    assert!(server.ends_with(", 7 bytes received, not read"), "{server}");
    assert_eq!(words("unix", Doing::Reads), "Unix seqpacket, 5 bytes received, not read");
    assert_eq!(words("abstract", Doing::WaitsFor), "Unix stream @abstract, not connected, nothing received");
    let left = match descriptors.get(running.address("timerfd") as i32) {
        Some(Descriptor::TimerFd { left_ns: Some(left) }) => left,
        other => panic!("{other:?}"),
    };
    assert!((1..=1_000_000_000_000_000).contains(&left), "{left} ns of 1,000,000 s");
    assert_eq!(descriptors.skipped(), 0);
}

#[test]
fn everything_of_a_child() {
    let dir = tempfile::tempdir().expect("a directory");
    let program = compile(dir.path(), "everything", EVERYTHING, &[]);
    let running = Running::start(&mut Command::new(&program));
    everything(&running, running.pid());
}

/// The same descriptors in a network namespace of its own, where the same addresses may mean other sockets.
#[test]
fn everything_in_another_network_namespace() {
    let unshare = || {
        let mut command = Command::new("unshare");
        command.arg("--net");
        command
    };
    if !unshare().arg("true").stderr(Stdio::null()).status().is_ok_and(|status| status.success()) {
        // Past the harness, that captures print.
        let _ = writeln!(std::io::stderr(), "\n*** SKIPPED: this user cannot make network namespaces ***");
        return;
    }
    let dir = tempfile::tempdir().expect("a directory");
    let program = compile(dir.path(), "elsewhere", EVERYTHING, &[]);
    let before = namespace("thread-self");
    let running = Running::start(unshare().arg(&program));
    // unshare execs it: the same PID.
    assert_ne!(namespace(&running.pid().to_string()), before);
    everything(&running, running.pid());
    assert_eq!(namespace("thread-self"), before, "we stay where we are");
    let port = running.address("port") as u16;
    let here = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], port))).expect("free here");
    assert_eq!(inet(&here).state, TcpState::Listen);
}

fn namespace(process: &str) -> std::path::PathBuf {
    std::fs::read_link(Path::new("/proc").join(process).join("ns/net")).expect("readable")
}
