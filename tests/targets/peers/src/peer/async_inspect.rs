//! `spawn_tracked` would count no polls, so it is the wrapper that does. A wrapper is a new task to it: none around awaits.

use async_inspect::runtime::tokio::InspectExt as _;
use std::future::Future;
use tokio::runtime::Runtime;

pub fn runtime() -> Runtime {
    super::builder().build().expect("a runtime")
}

pub fn spawn<F: Future<Output = ()> + Send + 'static>(name: &'static str, future: F) {
    tokio::spawn(future.inspect(name));
}

pub fn awaiting<F: Future>(_name: &'static str, future: F) -> F {
    future
}
