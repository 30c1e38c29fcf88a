//! One task per kind of thing that tokio lets a task wait for, stuck there until the process ends.

mod aborted;
mod by_hand;
mod channels;
mod combined;
mod ends;
mod joins;
mod locks;
mod meetings;
mod processes;
mod sockets;
mod streams;
mod timers;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime with two workers");
    runtime.block_on(async {
        timers::start_all();
        locks::start_all().await;
        channels::start_all();
        ends::start_all();
        meetings::start_all().await;
        joins::start_all();
        aborted::start_all().await;
        sockets::start_all().await;
        streams::start_all().await;
        processes::start_all();
        combined::start_all().await;
        by_hand::start_all().await;
    });
    truth::resources::tell_and_wait();
}
