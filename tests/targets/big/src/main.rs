//! A server of real size, in which requests hang: in a handler, in an HTTP client, in a database driver.
//!
//! The truth it prints is of its own tasks only; hyper, reqwest and sqlx have more.

mod pages;
mod work;

use std::sync::Arc;
use tokio::net::TcpListener;
use truth::Trail;

/// What every request needs.
pub struct Shared {
    pub pool: sqlx::PgPool,
    pub client: reqwest::Client,
    pub turnstile: tokio::sync::Mutex<u64>,
    pub address: String,
}

fn start<F>(root: impl FnOnce(Trail) -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let at = Trail::root();
    at.is_task(0, &tokio::spawn(root(at)));
}

/// Accepts and never answers, as a database behind a broken network does.
async fn silent_database(listener: TcpListener) {
    let mut kept = Vec::new();
    while let Ok((stream, _)) = listener.accept().await {
        kept.push(stream);
    }
}

async fn serve() -> Result<(), Box<dyn std::error::Error>> {
    let database = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("postgres://user:secret@{}/shop", database.local_addr()?);
    tokio::spawn(silent_database(database));

    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    let pool = sqlx::postgres::PgPoolOptions::new()
        .max_connections(3)
        .acquire_timeout(std::time::Duration::from_secs(3600))
        .connect_lazy(&url)?;
    let client = reqwest::Client::builder().build()?;
    let turnstile = tokio::sync::Mutex::new(0);
    let shared = Arc::new(Shared { pool, client, turnstile, address });
    let routes = pages::routes(shared.clone());
    tokio::spawn(async move { axum::serve(listener, routes).await });
    work::start_all(&shared);
    Ok(())
}

fn main() {
    tracing_subscriber::fmt().with_env_filter("warn").with_writer(std::io::stderr).json().init();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(serve()).expect("ports on loopback");
    std::thread::sleep(std::time::Duration::from_millis(500));
    truth::tell_and_wait();
}
