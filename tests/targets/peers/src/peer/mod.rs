//! What is built into the program to observe it: nothing, or one crate, used as its documentation says. Tasks are instrumented,
//! and, with the crates that are about awaits, the awaits of the program's own code.

#[cfg_attr(feature = "async-backtrace", path = "async_backtrace.rs")]
#[cfg_attr(feature = "async-inspect", path = "async_inspect.rs")]
#[cfg_attr(feature = "await-tree", path = "await_tree.rs")]
#[cfg_attr(feature = "console-subscriber", path = "console_subscriber.rs")]
#[cfg_attr(feature = "dial9", path = "dial9.rs")]
#[cfg_attr(feature = "tokio-metrics", path = "tokio_metrics.rs")]
mod observer;

pub use observer::{awaiting, runtime, spawn};

fn builder() -> tokio::runtime::Builder {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.enable_all().worker_threads(crate::WORKERS);
    builder
}
