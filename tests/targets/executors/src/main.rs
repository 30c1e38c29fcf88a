//! Futures given to the `block_on` of crates other than tokio, each on a thread of its own.

use std::future::pending;
use truth::{Trail, here};

async fn outer(at: Trail, bytes: [u8; 24]) {
    here!(at);
    inner(at.deeper()).await;
    std::hint::black_box(bytes);
}

async fn inner(at: Trail) {
    here!(at);
    pending::<()>().await;
}

/// A root of this thread, and which of the program's it is.
fn root(number: u32) -> Trail {
    let at = Trail::root();
    at.is_root(number);
    at
}

/// Inside of a future that tokio blocks on, its thread blocks again.
async fn blocks_again() {
    futures_executor::block_on(outer(root(1), [3; 24]));
}

fn main() {
    std::thread::spawn(|| futures_executor::block_on(outer(root(0), [0; 24])));
    std::thread::spawn(|| futures_lite::future::block_on(outer(root(2), [1; 24])));
    std::thread::spawn(|| pollster::block_on(outer(root(3), [2; 24])));
    std::thread::spawn(|| async_io::block_on(outer(root(4), [4; 24])));
    std::thread::spawn(|| truth::tell_and_wait());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.spawn(pending::<()>());
    runtime.block_on(blocks_again());
}
