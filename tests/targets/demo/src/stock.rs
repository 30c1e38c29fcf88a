//! What is left of each product, behind one lock.

use crate::Shop;
use crate::db::Pool;
use std::collections::HashMap;
use std::io::Result;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;

#[derive(Default)]
pub struct Stock {
    left: Mutex<HashMap<u64, u32>>,
}

impl Stock {
    /// Asks the database while it holds the lock: everybody else who orders has to wait.
    pub async fn reserve(&self, database: &Pool, product: u64) -> Result<u32> {
        let mut left = self.left.lock().await;
        database.query(&format!("reserve {product}")).await?;
        let count = left.entry(product).or_insert(1_000);
        *count = count.saturating_sub(1);
        Ok(*count)
    }

    async fn fill(&self, product: u64) {
        self.left.lock().await.insert(product, 1_000);
    }
}

/// Fills the shelves every second.
pub async fn refresh(shop: Arc<Shop>) {
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    for product in (0..10).cycle() {
        ticks.tick().await;
        shop.stock.fill(product).await;
    }
}
