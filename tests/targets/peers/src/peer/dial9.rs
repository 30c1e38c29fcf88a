//! Recording into rotating files in the directory that `PEER_DIRECTORY` names.

use dial9_tokio_telemetry::telemetry::{Dial9HandleTokioExt as _, DiskBuffer, TokioAttachOptions, recorder};
use std::future::Future;
use tokio::runtime::{Handle, Runtime};

const FILE: u64 = 16 << 20;

pub fn runtime() -> Runtime {
    let directory = std::env::var_os("PEER_DIRECTORY").expect("PEER_DIRECTORY is set");
    let buffer = DiskBuffer::builder().base_path(directory).max_file_size(FILE).max_total_size(4 * FILE);
    let recorder = recorder(buffer.build().expect("a directory to write to")).build();
    let options = TokioAttachOptions::builder().task_tracking_enabled(true).build();
    let runtime = recorder.handle().attach_tokio_runtime(super::builder(), options).expect("a runtime");
    // It records for as long as it lives.
    std::mem::forget(recorder);
    runtime
}

pub fn spawn<F: Future<Output = ()> + Send + 'static>(_name: &'static str, future: F) {
    dial9_tokio_telemetry::spawn_in(&Handle::current(), future);
}

pub fn awaiting<F: Future>(_name: &'static str, future: F) -> F {
    future
}
