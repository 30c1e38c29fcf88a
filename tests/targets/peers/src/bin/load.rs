//! `load ADDRESS CONNECTIONS WARM_UP_MS MEASURED_MS`: keep-alive clients, each with one request under way at a time. Loopback only.

use hdrhistogram::Histogram;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// What was asked within the measured span, in nanoseconds.
async fn client(address: SocketAddr, begin: Instant, end: Instant) -> std::io::Result<Vec<u64>> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let mut waited = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let request = format!("GET /orders/{} HTTP/1.1\r\nhost: bench\r\n\r\n", fastrand::u32(..1000));
        let asked = Instant::now();
        if asked >= end {
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
        if asked >= begin {
            waited.push(asked.elapsed().as_nanos() as u64);
        }
    }
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
    let [address, connections, warm_up, measured] = arguments.as_slice() else {
        panic!("ADDRESS CONNECTIONS WARM_UP_MS MEASURED_MS")
    };
    let address: SocketAddr = address.parse().expect("an address");
    assert!(address.ip().is_loopback(), "only servers of this machine are put under load");
    let millis = |text: &str| Duration::from_millis(text.parse().expect("milliseconds"));
    let begin = Instant::now() + millis(warm_up);
    let end = begin + millis(measured);
    let mut clients = JoinSet::new();
    for _ in 0..connections.parse::<u32>().expect("a number of connections") {
        clients.spawn(client(address, begin, end));
    }
    let mut histogram = Histogram::<u64>::new(3).expect("three digits");
    for waited in clients.join_all().await {
        for waited in waited.expect("the server answers") {
            histogram.record(waited).expect("it resizes");
        }
    }
    let quantile = |part| histogram.value_at_quantile(part) as f64 / 1000.0;
    let seconds = millis(measured).as_secs_f64();
    let report = serde_json::json!({
        "requests_per_second": histogram.len() as f64 / seconds,
        "p50_us": quantile(0.5),
        "p99_us": quantile(0.99),
    });
    println!("{report}");
}
