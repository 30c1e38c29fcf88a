//! Nothing.

use std::future::Future;
use tokio::runtime::Runtime;

pub fn runtime() -> Runtime {
    super::builder().build().expect("a runtime")
}

pub fn spawn<F: Future<Output = ()> + Send + 'static>(_name: &'static str, future: F) {
    tokio::spawn(future);
}

pub fn awaiting<F: Future>(_name: &'static str, future: F) -> F {
    future
}
