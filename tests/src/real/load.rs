//! What healthy clients do to a server for as long as it is watched: they ask, read the whole answer, and ask again.

use super::clients::dns_question;
use anyhow::{Context as _, Result, ensure};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// One client: asks once and reads the answer. The number of the turn tells what for.
pub(super) type Ask = fn(&mut BufReader<TcpStream>, u64) -> Result<()>;

const CLIENTS: usize = 12;
/// Between an answer and the next question.
const PAUSE: Duration = Duration::from_millis(1);
/// An answer that takes longer is none.
const PATIENCE: Duration = Duration::from_secs(30);

/// Clients at work, until they are told to stop.
#[derive(Debug)]
pub struct Load {
    stop: Arc<AtomicBool>,
    answers: Arc<AtomicU64>,
    clients: Vec<JoinHandle<Result<()>>>,
}

impl Load {
    pub(super) fn start(address: SocketAddr, ask: Ask) -> Result<Load> {
        let mut load = Load { stop: Arc::default(), answers: Arc::default(), clients: Vec::new() };
        for _ in 0..CLIENTS {
            let stream = super::clients::connect(address)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_nodelay(true)?;
            let (stop, answers) = (load.stop.clone(), load.answers.clone());
            load.clients.push(std::thread::spawn(move || {
                let mut stream = BufReader::new(stream);
                for turn in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    ask(&mut stream, turn).with_context(|| format!("question {turn}"))?;
                    answers.fetch_add(1, Ordering::Relaxed);
                    std::thread::sleep(PAUSE);
                }
                Ok(())
            }));
        }
        Ok(load)
    }

    /// How many questions were answered; an error where one was not.
    pub fn stop(self) -> Result<u64> {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.join().expect("a client does not panic")?;
        }
        Ok(self.answers.load(Ordering::Relaxed))
    }
}

/// A small file, and now and then a large one.
pub(super) fn http(stream: &mut BufReader<TcpStream>, turn: u64) -> Result<()> {
    let path = if turn % 500 == 499 { "large.bin" } else { "small.txt" };
    write!(stream.get_mut(), "GET /{path} HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
    let (mut length, mut line) = (None, String::new());
    stream.read_line(&mut line)?;
    ensure!(line.contains(" 200 "), "it answers {line:?}");
    loop {
        line.clear();
        ensure!(stream.read_line(&mut line)? > 0, "it ends in its head");
        if line == "\r\n" {
            break;
        }
        if let Some(bytes) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = Some(bytes.trim().parse::<u64>()?);
        }
    }
    let length = length.context("it tells no length")?;
    let read = std::io::copy(&mut stream.take(length), &mut std::io::sink())?;
    ensure!(read == length, "it ends in its body");
    Ok(())
}

/// Asks for an address that there is, or one that there is not; now and then by a datagram.
pub(super) fn dns(stream: &mut BufReader<TcpStream>, turn: u64) -> Result<()> {
    let (name, code, answers) = if turn % 5 == 4 { (b"nil", 3, 0) } else { (b"www", 0, 1) };
    let id = turn as u16;
    let question = dns_question(id, name);
    let mut answer = vec![0; 512];
    if turn % 3 == 2 {
        let server = stream.get_ref().peer_addr()?;
        let socket = UdpSocket::bind((server.ip(), 0))?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.send_to(&question[2..], server)?;
        let length = socket.recv(&mut answer)?;
        answer.truncate(length);
    } else {
        stream.get_mut().write_all(&question)?;
        let mut length = [0; 2];
        stream.read_exact(&mut length)?;
        answer.resize(u16::from_be_bytes(length).into(), 0);
        stream.read_exact(&mut answer)?;
    }
    let word = |at: usize| Some(u16::from_be_bytes([*answer.get(at)?, *answer.get(at + 1)?]));
    let told = (word(0), word(2).map(|flags| flags & 0x800f), word(6));
    ensure!(told == (Some(id), Some(0x8000 | code), Some(answers)), "it answers {answer:?}");
    Ok(())
}
