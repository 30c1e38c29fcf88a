//! Confirmations, sent one after the other by a task of their own.

use crate::db::Row;
use std::time::Duration;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::sleep;

pub struct Letter {
    to: Row,
    product: u64,
}

pub struct Outbox {
    queue: Sender<Letter>,
}

/// Holds few letters, so that a slow delivery is felt by those who order.
pub fn outbox() -> (Outbox, Receiver<Letter>) {
    let (queue, letters) = channel(8);
    (Outbox { queue }, letters)
}

impl Outbox {
    pub async fn send(&self, to: Row, product: u64) {
        // Nobody receives any more only when the shop closes.
        let _ = self.queue.send(Letter { to, product }).await;
    }
}

pub async fn deliver(mut letters: Receiver<Letter>) {
    while let Some(letter) = letters.recv().await {
        hand_over(&letter).await;
    }
}

async fn hand_over(letter: &Letter) {
    sleep(Duration::from_millis(15 + letter.product % 10)).await;
    std::hint::black_box(&letter.to);
}
