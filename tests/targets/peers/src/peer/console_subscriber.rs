//! With its server listening and nobody connected.

use std::future::Future;
use tokio::runtime::Runtime;

pub fn runtime() -> Runtime {
    console_subscriber::ConsoleLayer::builder().server_addr(([127, 0, 0, 1], 0)).init();
    super::builder().build().expect("a runtime")
}

pub fn spawn<F: Future<Output = ()> + Send + 'static>(_name: &'static str, future: F) {
    tokio::spawn(future);
}

pub fn awaiting<F: Future>(_name: &'static str, future: F) -> F {
    future
}
