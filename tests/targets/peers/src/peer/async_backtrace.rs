use std::future::Future;
use tokio::runtime::Runtime;

pub fn runtime() -> Runtime {
    super::builder().build().expect("a runtime")
}

pub fn spawn<F: Future<Output = ()> + Send + 'static>(_name: &'static str, future: F) {
    tokio::spawn(async_backtrace::frame!(future));
}

pub fn awaiting<F: Future>(_name: &'static str, future: F) -> impl Future<Output = F::Output> {
    async_backtrace::frame!(future)
}
