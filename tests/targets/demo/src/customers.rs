//! People who use the shop: `customers SHOP COUNT`.

use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let shop = arguments.next().ok_or_else(|| std::io::Error::other("customers SHOP COUNT"))?;
    let count = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(24);
    let customers: Vec<_> = (0..count).map(|nth| tokio::spawn(visits(shop.clone(), nth))).collect();
    for customer in customers {
        customer.await??;
    }
    Ok(())
}

async fn visits(shop: String, nth: u64) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(&shop).await?;
    let mut answer = vec![0; 4096];
    for turn in 0_u64.. {
        let request = match (nth + turn) % 8 {
            0 => format!("POST /orders/{nth}/{}", turn % 10),
            1 | 5 => format!("GET /search/word{turn}"),
            _ => format!("GET /users/{nth}"),
        };
        let request = format!("{request} HTTP/1.1\r\nhost: shop\r\ncontent-length: 0\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        if stream.read(&mut answer).await? == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(nth * 13 % 40)).await;
    }
    Ok(())
}
