//! The routes.

use crate::Shop;
use crate::db::Row;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{sleep, timeout};

type Answer<T> = Result<Json<T>, StatusCode>;

#[derive(Serialize)]
pub struct UserPage {
    user: Row,
    posts: Vec<Row>,
    orders: Vec<Row>,
}

pub async fn user_page(State(shop): State<Arc<Shop>>, Path(id): Path<u64>) -> Answer<UserPage> {
    let user = fetch_user(&shop, id).await?;
    let (posts, orders) = tokio::try_join!(fetch_posts(&shop, id), fetch_orders(&shop, id))?;
    Ok(Json(UserPage { user, posts, orders }))
}

async fn fetch_user(shop: &Shop, id: u64) -> Result<Row, StatusCode> {
    let rows = query(shop, format!("user {id}")).await?;
    rows.into_iter().next().ok_or(StatusCode::NOT_FOUND)
}

async fn fetch_posts(shop: &Shop, id: u64) -> Result<Vec<Row>, StatusCode> {
    query(shop, format!("posts {id}")).await
}

async fn fetch_orders(shop: &Shop, id: u64) -> Result<Vec<Row>, StatusCode> {
    query(shop, format!("orders {id}")).await
}

async fn query(shop: &Shop, what: String) -> Result<Vec<Row>, StatusCode> {
    match timeout(Duration::from_secs(5), shop.database.query(&what)).await {
        Ok(Ok(rows)) => Ok(rows),
        Ok(Err(_)) => Err(StatusCode::BAD_GATEWAY),
        Err(_) => Err(StatusCode::GATEWAY_TIMEOUT),
    }
}

/// Whichever is first: the index or the database.
pub async fn search(State(shop): State<Arc<Shop>>, Path(words): Path<String>) -> Answer<Vec<Row>> {
    tokio::select! {
        rows = query(&shop, format!("search {words}")) => rows.map(Json),
        rows = search_index(&words) => Ok(Json(rows)),
    }
}

async fn search_index(words: &str) -> Vec<Row> {
    sleep(Duration::from_millis(20 + words.len() as u64 * 5)).await;
    vec![Row(words.to_string())]
}

#[derive(Serialize)]
pub struct Receipt {
    product: u64,
    left: u32,
}

pub async fn place_order(
    State(shop): State<Arc<Shop>>,
    Path((user, product)): Path<(u64, u64)>,
) -> Result<Json<Receipt>, StatusCode> {
    let user = fetch_user(&shop, user).await?;
    let left = shop.stock.reserve(&shop.database, product).await.map_err(|_| StatusCode::CONFLICT)?;
    shop.mail.send(user, product).await;
    Ok(Json(Receipt { product, left }))
}
