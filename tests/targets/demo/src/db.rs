//! A pool of connections to a database that speaks in lines: a question, then rows, then an empty line.

use serde::Serialize;
use std::io::Result;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::{Mutex, Semaphore};

#[derive(Clone, Debug, Serialize)]
pub struct Row(pub String);

/// A query that is dropped on its way takes its connection along; the next one opens another.
pub struct Pool {
    address: String,
    idle: Mutex<Vec<Connection>>,
    permits: Semaphore,
}

struct Connection {
    stream: BufReader<TcpStream>,
}

impl Pool {
    pub async fn connect(address: &str, size: usize) -> Result<Pool> {
        let mut idle = Vec::new();
        for _ in 0..size {
            idle.push(Connection::open(address).await?);
        }
        Ok(Pool { address: address.to_string(), permits: Semaphore::new(size), idle: Mutex::new(idle) })
    }

    pub async fn query(&self, what: &str) -> Result<Vec<Row>> {
        let _permit = self.permits.acquire().await.map_err(std::io::Error::other)?;
        let idle = self.idle.lock().await.pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None => Connection::open(&self.address).await?,
        };
        let rows = connection.ask(what).await?;
        self.idle.lock().await.push(connection);
        Ok(rows)
    }
}

impl Connection {
    async fn open(address: &str) -> Result<Connection> {
        Ok(Connection { stream: BufReader::new(TcpStream::connect(address).await?) })
    }

    async fn ask(&mut self, what: &str) -> Result<Vec<Row>> {
        self.stream.write_all(what.as_bytes()).await?;
        self.stream.write_all(b"\n").await?;
        self.read_rows().await
    }

    async fn read_rows(&mut self) -> Result<Vec<Row>> {
        let mut rows = Vec::new();
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line).await?;
            match line.trim_end() {
                "" => return Ok(rows),
                row => rows.push(Row(row.to_string())),
            }
        }
    }
}
