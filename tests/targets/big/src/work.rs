//! Tasks of the server's own.

use crate::pages::Order;
use crate::{Shared, start};
use std::sync::Arc;
use std::time::Duration;
use truth::{Trail, here};

pub fn start_all(shared: &Arc<Shared>) {
    for path in ["slow/3600", "articles?limit=3", "articles/7", "mirror"] {
        let shared = shared.clone();
        start(move |at| asks(at, shared, path));
    }
    for article in 0..3 {
        let shared = shared.clone();
        start(move |at| orders(at, shared, article));
    }
    let same = shared.clone();
    start(move |at| counts_articles(at, same));
    start(cleans_up);
}

async fn asks(at: Trail, shared: Arc<Shared>, path: &'static str) {
    here!(at);
    fetch(at.deeper(), &shared, path).await;
}

async fn fetch(at: Trail, shared: &Shared, path: &str) {
    let url = format!("http://{}/{path}", shared.address);
    here!(at);
    let answer = shared.client.get(url).send().await;
    std::hint::black_box(answer.is_ok());
}

async fn orders(at: Trail, shared: Arc<Shared>, article: i64) {
    let url = format!("http://{}/orders", shared.address);
    let request = shared.client.post(url).json(&Order { article, count: 1 });
    here!(at);
    let answer = request.send().await;
    std::hint::black_box(answer.is_ok());
}

async fn counts_articles(at: Trail, shared: Arc<Shared>) {
    here!(at);
    let count = sqlx::query_scalar::<_, i64>("select count(*) from articles").fetch_one(&shared.pool).await;
    std::hint::black_box(count.is_ok());
}

async fn cleans_up(at: Trail) {
    let mut ticks = tokio::time::interval(Duration::from_secs(3600));
    ticks.tick().await;
    here!(at);
    ticks.tick().await;
}
