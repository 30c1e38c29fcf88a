//! One task per kind of thing that crates around tokio let a task wait for, stuck there until the process ends.

mod channels;
mod combined;
mod http;
mod locks;
mod tower_and_util;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime with two workers");
    runtime.block_on(async {
        channels::start_all();
        combined::start_all().await;
        locks::start_all().await;
        tower_and_util::start_all().await;
        http::start_all().await;
    });
    truth::resources::tell_and_wait();
}
