//! What clients do to a server until it is looked at: some idle, some stuck in the middle of something.

use anyhow::{Context as _, Result};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

/// Sockets that last until the server was looked at.
type Open = Vec<OwnedFd>;

/// Waits until the server listens, and opens connections.
pub(super) type Clients = fn(SocketAddr) -> Result<Open>;

/// How long a server has to listen, or to answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// More than the buffers of a socket take, so that whoever sends it to a client that does not read has to wait.
const LARGE: usize = 64 << 20;

pub(super) fn document_root(root: &Path) -> Result<()> {
    std::fs::create_dir_all(root)?;
    std::fs::write(root.join("small.txt"), "small\n")?;
    std::fs::File::create(root.join("large.bin"))?.set_len(LARGE as u64)?;
    Ok(())
}

pub(super) fn connect(address: SocketAddr) -> Result<TcpStream> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match TcpStream::connect(address) {
            Ok(stream) => {
                stream.set_read_timeout(Some(PATIENCE))?;
                return Ok(stream);
            }
            Err(error) if Instant::now() > deadline => {
                return Err(error).with_context(|| format!("nothing listens at {address}"));
            }
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

fn says(address: SocketAddr, bytes: &[u8]) -> Result<TcpStream> {
    let mut stream = connect(address)?;
    stream.write_all(bytes)?;
    Ok(stream)
}

/// The same, and the server has begun to answer.
fn answered(address: SocketAddr, bytes: &[u8]) -> Result<TcpStream> {
    let mut stream = says(address, bytes)?;
    stream.read_exact(&mut [0]).context("the server does not answer")?;
    Ok(stream)
}

/// Kept alive, never read, half a head, half a body, and nothing said.
pub(super) fn http(address: SocketAddr) -> Result<Open> {
    let get = |path: &str| format!("GET /{path} HTTP/1.1\r\nHost: localhost\r\n\r\n").into_bytes();
    let upload = b"PUT /new.bin HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nhalf";
    Ok(vec![
        answered(address, &get("small.txt"))?.into(),
        answered(address, &get("small.txt"))?.into(),
        answered(address, &get("large.bin"))?.into(),
        answered(address, &get("large.bin"))?.into(),
        says(address, b"GET /small.txt HT")?.into(),
        says(address, upload)?.into(),
        connect(address)?.into(),
        connect(address)?.into(),
    ])
}

/// Some that say nothing, one in the middle of a command, and one that waits for what is published.
pub(super) fn redis(address: SocketAddr) -> Result<Open> {
    let mut open: Open = vec![
        says(address, b"*3\r\n$3\r\nSET\r\n$3\r\nke")?.into(),
        answered(address, b"*2\r\n$9\r\nSUBSCRIBE\r\n$4\r\nnews\r\n")?.into(),
    ];
    for _ in 0..2 {
        open.push(connect(address)?.into());
    }
    Ok(open)
}

/// One question of DNS, with the length that goes before it on a stream: the address of `NAME.example.com`, where NAME is
/// three letters.
pub(super) fn dns_question(id: u16, name: &[u8; 3]) -> Vec<u8> {
    let mut question = vec![0, 33];
    question.extend(id.to_be_bytes());
    // Recursion desired; one question, and nothing else.
    question.extend(*b"\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03");
    question.extend(name);
    question.extend(*b"\x07example\x03com\x00\x00\x01\x00\x01");
    question
}

/// Some that were answered and say nothing more, one in the middle of a question, and some that have said nothing yet.
pub(super) fn dns(address: SocketAddr) -> Result<Open> {
    let question = dns_question(1, b"www");
    let mut open: Open = Vec::new();
    for _ in 0..3 {
        open.push(answered(address, &question)?.into());
    }
    open.push(says(address, &question[..20])?.into());
    for _ in 0..2 {
        open.push(connect(address)?.into());
    }
    Ok(open)
}

/// Two that have a tunnel each, of which one is called at; and some that say nothing.
pub(super) fn bore(address: SocketAddr) -> Result<Open> {
    let mut open = Vec::new();
    for port in [30_117, 30_118] {
        open.push(answered(address, format!("{{\"Hello\":{port}}}\0").as_bytes())?.into());
    }
    for _ in 0..3 {
        open.push(connect(SocketAddr::from(([127, 0, 0, 1], 30_117)))?.into());
    }
    for _ in 0..4 {
        open.push(connect(address)?.into());
    }
    Ok(open)
}

/// Readers that never acknowledge the first block, so that it is sent again when their time is over.
pub(super) fn tftp(address: SocketAddr) -> Result<Open> {
    const READ: &[u8] = b"\x00\x01large.bin\x00octet\x00timeout\x00200\x00";
    let deadline = Instant::now() + PATIENCE;
    let mut open = Vec::new();
    while open.len() < 4 {
        let client = UdpSocket::bind(("127.0.0.1", 0))?;
        client.set_read_timeout(Some(Duration::from_millis(200)))?;
        client.send_to(READ, address)?;
        // Nothing comes back before the server listens.
        match client.recv(&mut [0; 2048]) {
            Ok(_) => open.push(client.into()),
            Err(error) if Instant::now() > deadline => {
                return Err(error).context("the server does not answer");
            }
            Err(_) => {}
        }
    }
    Ok(open)
}
