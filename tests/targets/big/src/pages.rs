//! The routes.

use crate::Shared;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgRow;
use sqlx::{FromRow, Row as _};
use std::sync::Arc;
use std::time::Duration;
use tower_http::compression::CompressionLayer;
use tower_http::timeout::TimeoutLayer;
use tower_http::trace::TraceLayer;

#[derive(Deserialize)]
struct Page {
    limit: Option<i64>,
}

#[derive(Serialize)]
struct Article {
    id: i64,
    title: String,
}

impl FromRow<'_, PgRow> for Article {
    fn from_row(row: &PgRow) -> Result<Article, sqlx::Error> {
        Ok(Article { id: row.try_get("id")?, title: row.try_get("title")? })
    }
}

#[derive(Deserialize, Serialize)]
pub struct Order {
    pub article: i64,
    pub count: u32,
}

pub fn routes(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/slow/{seconds}", get(slow))
        .route("/articles", get(articles))
        .route("/articles/{id}", get(article))
        .route("/orders", post(order))
        .route("/mirror", get(mirror))
        .layer(CompressionLayer::new())
        .layer(TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, Duration::from_secs(7200)))
        .layer(TraceLayer::new_for_http())
        .with_state(shared)
}

async fn slow(Path(seconds): Path<u64>) -> String {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    format!("{seconds} s")
}

async fn articles(
    State(shared): State<Arc<Shared>>,
    Query(page): Query<Page>,
) -> Result<Json<Vec<Article>>, StatusCode> {
    let rows = sqlx::query_as("select id, title from articles limit $1").bind(page.limit.unwrap_or(20));
    rows.fetch_all(&shared.pool).await.map(Json).map_err(|_| StatusCode::BAD_GATEWAY)
}

async fn article(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<i64>,
) -> Result<Json<Article>, StatusCode> {
    let row = sqlx::query_as("select id, title from articles where id = $1").bind(id);
    row.fetch_one(&shared.pool).await.map(Json).map_err(|_| StatusCode::NOT_FOUND)
}

async fn order(State(shared): State<Arc<Shared>>, Json(order): Json<Order>) -> impl IntoResponse {
    let mut turnstile = shared.turnstile.lock().await;
    *turnstile += 1;
    let insert = sqlx::query("insert into orders (article, count) values ($1, $2)");
    let done = insert.bind(order.article).bind(i64::from(order.count)).execute(&shared.pool).await;
    if done.is_ok() { StatusCode::CREATED } else { StatusCode::BAD_GATEWAY }
}

async fn mirror(State(shared): State<Arc<Shared>>) -> Result<String, StatusCode> {
    let url = format!("http://{}/slow/3600", shared.address);
    let answer = shared.client.get(url).send().await.map_err(|_| StatusCode::BAD_GATEWAY)?;
    answer.text().await.map_err(|_| StatusCode::BAD_GATEWAY)
}
