//! `ping_pong PAIRS`: pairs of tasks that hand one message to and fro.

use peers::peer;
use tokio::sync::mpsc::{Receiver, Sender, channel};

async fn play(sender: Sender<u64>, mut receiver: Receiver<u64>) {
    while let Some(ball) = peer::awaiting("receive", receiver.recv()).await {
        if sender.send(ball + 1).await.is_err() {
            return;
        }
    }
}

fn main() {
    let pairs: u32 = std::env::args().nth(1).expect("PAIRS").parse().expect("a number");
    let runtime = peer::runtime();
    let _inside = runtime.enter();
    for _ in 0..pairs {
        let (to_left, left) = channel(1);
        let (to_right, right) = channel(1);
        to_left.try_send(0).expect("it is empty");
        peers::spawn("left", play(to_right, left));
        peers::spawn("right", play(to_left, right));
    }
    peers::answer(&serde_json::json!({ "ready": true }))
}
