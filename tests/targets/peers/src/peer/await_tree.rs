use await_tree::{InstrumentAwait as _, Registry};
use std::future::Future;
use std::sync::LazyLock;
use tokio::runtime::Runtime;

static REGISTRY: LazyLock<Registry> = LazyLock::new(|| Registry::new(await_tree::Config::default()));

pub fn runtime() -> Runtime {
    super::builder().build().expect("a runtime")
}

pub fn spawn<F: Future<Output = ()> + Send + 'static>(name: &'static str, future: F) {
    REGISTRY.spawn_anonymous(name, future);
}

pub fn awaiting<F: Future>(name: &'static str, future: F) -> impl Future<Output = F::Output> {
    future.instrument_await(name)
}
