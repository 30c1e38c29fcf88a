//! One monitor for all tasks.

use std::future::Future;
use std::sync::LazyLock;
use tokio::runtime::Runtime;
use tokio_metrics::TaskMonitor;

static MONITOR: LazyLock<TaskMonitor> = LazyLock::new(TaskMonitor::new);

pub fn runtime() -> Runtime {
    super::builder().build().expect("a runtime")
}

pub fn spawn<F: Future<Output = ()> + Send + 'static>(_name: &'static str, future: F) {
    tokio::spawn(MONITOR.instrument(future));
}

pub fn awaiting<F: Future>(_name: &'static str, future: F) -> F {
    future
}
