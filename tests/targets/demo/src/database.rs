//! The database of the demo: answers each line after a while. `database LISTEN`.

use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let listen = std::env::args().nth(1).ok_or_else(|| std::io::Error::other("database LISTEN"))?;
    let listener = TcpListener::bind(listen).await?;
    println!("{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(answer(stream));
    }
}

async fn answer(stream: TcpStream) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut question = String::new();
    for turn in 0_u64.. {
        question.clear();
        if stream.read_line(&mut question).await? == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(2 + turn * 7 % 23)).await;
        let rows = format!("{} one\n{} two\n\n", question.trim(), question.trim());
        stream.write_all(rows.as_bytes()).await?;
    }
    Ok(())
}
