//! An axum server with a task for each connection, a lock, and a task that plays the database.

use axum::extract::{Path, State};
use axum::{Json, Router, routing::get};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use peers::{peer, tally};
use serde::Serialize;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::{Mutex, mpsc, oneshot};

#[derive(Serialize)]
struct Order {
    id: u64,
    customer: String,
    lines: Vec<u64>,
}

struct Query {
    id: u64,
    answer: oneshot::Sender<Vec<u64>>,
}

struct Shop {
    customers: Mutex<HashMap<u64, String>>,
    database: mpsc::Sender<Query>,
}

impl Shop {
    async fn customer(&self, id: u64) -> String {
        let mut customers = self.customers.lock().await;
        customers.entry(id % 100).or_insert_with(|| format!("customer {}", id % 100)).clone()
    }

    async fn lines(&self, id: u64) -> Vec<u64> {
        let (answer, answered) = oneshot::channel();
        if self.database.send(Query { id, answer }).await.is_err() {
            return Vec::new();
        }
        answered.await.unwrap_or_default()
    }
}

async fn database(mut queries: mpsc::Receiver<Query>) {
    while let Some(Query { id, answer }) = peer::awaiting("query", queries.recv()).await {
        // Who asked may be gone.
        let _ = answer.send((0..id % 8).collect());
    }
}

async fn order(State(shop): State<Arc<Shop>>, Path(id): Path<u64>) -> Json<Order> {
    tally::requested();
    let customer = peer::awaiting("customer", shop.customer(id)).await;
    let lines = peer::awaiting("lines", shop.lines(id)).await;
    Json(Order { id, customer, lines })
}

async fn accept(listener: TcpListener, router: Router) {
    while let Ok((stream, _)) = peer::awaiting("accept", listener.accept()).await {
        let _ = stream.set_nodelay(true);
        let service = TowerToHyperService::new(router.clone());
        let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        peers::spawn("connection", async move {
            // A client that hangs up is no error of ours.
            let _ = connection.await;
        });
    }
}

fn main() {
    let runtime = peer::runtime();
    let _inside = runtime.enter();
    let (sender, queries) = mpsc::channel(64);
    peers::spawn("database", database(queries));
    let shop = Shop { customers: Mutex::default(), database: sender };
    let router = Router::new().route("/orders/{id}", get(order)).with_state(Arc::new(shop));
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port");
    let address = listener.local_addr().expect("it is bound");
    peers::spawn("accept", accept(listener, router));
    peers::answer(&serde_json::json!({ "address": address }))
}
