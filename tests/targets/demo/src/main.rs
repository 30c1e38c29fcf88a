//! A web shop: `shop LISTEN DATABASE`. Nothing in it knows of async-inspect.

mod api;
mod db;
mod mail;
mod stock;

use axum::Router;
use axum::routing::{get, post};
use std::sync::Arc;
use tokio::net::TcpListener;

/// What every request needs.
pub struct Shop {
    pub database: db::Pool,
    pub stock: stock::Stock,
    pub mail: mail::Outbox,
}

#[tokio::main(worker_threads = 2)]
async fn main() -> std::io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (Some(listen), Some(database)) = (arguments.next(), arguments.next()) else {
        return Err(std::io::Error::other("shop LISTEN DATABASE"));
    };
    let database = db::Pool::connect(&database, 4).await?;
    let (mail, letters) = mail::outbox();
    let shop = Arc::new(Shop { database, stock: stock::Stock::default(), mail });

    tokio::spawn(mail::deliver(letters));
    tokio::spawn(stock::refresh(shop.clone()));
    let routes = Router::new()
        .route("/users/{id}", get(api::user_page))
        .route("/search/{words}", get(api::search))
        .route("/orders/{user}/{product}", post(api::place_order))
        .with_state(shop);
    let listener = TcpListener::bind(listen).await?;
    println!("{}", listener.local_addr()?);
    axum::serve(listener, routes).await
}
