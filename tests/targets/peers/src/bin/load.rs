//! `load CONNECTIONS WARM_UP_MS MEASURED_MS SLICE_MS SERVER...`: keep-alive clients, each with one request under way at a time.
//! Loopback only. A server is `ADDRESS` or `ADDRESS/PID`. They take turns of a slice each, so that whatever slows the machine
//! down for longer than that slows them alike; the process PID, which observes one of them, is stopped while it is not its turn,
//! so that it disturbs no other. For each slice the clients connect anew: how connections lie on workers and in memory makes
//! a server slower than another that is the same.

use hdrhistogram::Histogram;
use rustix::process::{Pid, Signal, kill_process};
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

struct Server {
    address: SocketAddr,
    observer: Option<Pid>,
}

impl FromStr for Server {
    type Err = String;

    fn from_str(text: &str) -> Result<Server, String> {
        let (address, observer) =
            text.split_once('/').map_or((text, None), |(address, pid)| (address, Some(pid)));
        let address: SocketAddr = address.parse().map_err(|error| format!("{address}: {error}"))?;
        if !address.ip().is_loopback() {
            return Err("only servers of this machine are put under load".to_owned());
        }
        let pid =
            |text: &str| text.parse().ok().and_then(Pid::from_raw).ok_or(format!("{text} is no process"));
        Ok(Server { address, observer: observer.map(pid).transpose()? })
    }
}

/// Whose turn it is when.
#[derive(Clone, Copy)]
struct Turns {
    start: Instant,
    begin: Instant,
    end: Instant,
    slice: Duration,
    servers: u32,
}

impl Turns {
    /// The beginning of the present slice or the next one of this server.
    fn of(&self, server: u32, now: Instant) -> Instant {
        let slice = ((now - self.start).as_nanos() / self.slice.as_nanos()) as u32;
        let ahead = (server + self.servers - slice % self.servers) % self.servers;
        self.start + self.slice * (slice + ahead)
    }

    /// Returns when it is this server's turn, and when that began.
    async fn wait(&self, server: u32) -> Instant {
        let turn = self.of(server, Instant::now());
        if turn > Instant::now() {
            tokio::time::sleep_until(turn.into()).await;
        }
        turn
    }
}

async fn connect(address: SocketAddr) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// What was asked within the measured span, in nanoseconds.
async fn client(address: SocketAddr, server: u32, turns: Turns) -> std::io::Result<Vec<u64>> {
    let mut connection: Option<(Instant, TcpStream)> = None;
    let mut waited = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let turn = turns.wait(server).await;
        let stream = match &mut connection {
            Some((made, stream)) if *made == turn => stream,
            _ => &mut connection.insert((turn, connect(address).await?)).1,
        };
        let request = format!("GET /orders/{} HTTP/1.1\r\nhost: bench\r\n\r\n", fastrand::u32(..1000));
        let asked = Instant::now();
        if asked >= turns.end {
            return Ok(waited);
        }
        stream.write_all(request.as_bytes()).await?;
        let mut length = 0;
        while !is_whole(&buffer[..length])? {
            let more = stream.read(&mut buffer[length..]).await?;
            if more == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            length += more;
        }
        if asked >= turns.begin {
            waited.push(asked.elapsed().as_nanos() as u64);
        }
    }
}

/// Lets an observer run in its server's slices only, and at the end.
async fn let_observe(observer: Pid, server: u32, turns: Turns) {
    // Gone is not this program's concern.
    let tell = |signal| kill_process(observer, signal).unwrap_or_default();
    while Instant::now() < turns.end {
        let turn = turns.of(server, Instant::now());
        if turn > Instant::now() {
            tell(Signal::STOP);
            tokio::time::sleep_until(turn.into()).await;
            tell(Signal::CONT);
        }
        tokio::time::sleep_until((turn + turns.slice).into()).await;
    }
    tell(Signal::CONT);
}

/// Whether this is a response and all of it.
fn is_whole(bytes: &[u8]) -> std::io::Result<bool> {
    let text = String::from_utf8_lossy(bytes);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return Ok(false) };
    if !head.starts_with("HTTP/1.1 200") {
        return Err(std::io::Error::other(head.to_owned()));
    }
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    let length: usize = length.ok_or_else(|| std::io::Error::other("no length"))?;
    Ok(body.len() >= length)
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [connections, warm_up, measured, slice, servers @ ..] = arguments.as_slice() else {
        panic!("CONNECTIONS WARM_UP_MS MEASURED_MS SLICE_MS SERVER...")
    };
    let servers: Vec<Server> = servers.iter().map(|text| text.parse().expect("a server")).collect();
    let millis = |text: &str| Duration::from_millis(text.parse().expect("milliseconds"));
    let start = Instant::now();
    let begin = start + millis(warm_up);
    let turns = Turns {
        start,
        begin,
        end: begin + millis(measured),
        slice: millis(slice),
        servers: servers.len() as u32,
    };
    let connections: u32 = connections.parse().expect("a number of connections");
    let mut clients = Vec::new();
    let mut observers = JoinSet::new();
    for (server, &Server { address, observer }) in (0..).zip(&servers) {
        let mut own = JoinSet::new();
        for _ in 0..connections {
            own.spawn(client(address, server, turns));
        }
        clients.push(own);
        observers.spawn(async move {
            if let Some(observer) = observer {
                let_observe(observer, server, turns).await;
            }
        });
    }
    let seconds = millis(measured).as_secs_f64() / servers.len() as f64;
    let mut reports = Vec::new();
    for own in clients {
        reports.push(report(&own.join_all().await, seconds));
    }
    observers.join_all().await;
    println!("{}", serde_json::Value::from(reports));
}

fn report(clients: &[std::io::Result<Vec<u64>>], seconds: f64) -> serde_json::Value {
    let mut histogram = Histogram::<u64>::new(3).expect("three digits");
    for waited in clients {
        for &waited in waited.as_ref().expect("the server answers") {
            histogram.record(waited).expect("it resizes");
        }
    }
    let quantile = |part| histogram.value_at_quantile(part) as f64 / 1000.0;
    serde_json::json!({
        "requests_per_second": histogram.len() as f64 / seconds,
        "p50_us": quantile(0.5),
        "p99_us": quantile(0.99),
    })
}
