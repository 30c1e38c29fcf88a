//! Tasks that know where they were spawned, in a tokio that keeps it.

use truth::{id_of, ready, say};

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .build()
        .expect("a runtime with one worker");
    let _inside = runtime.enter();
    for _ in 0..2 {
        let (line, task) = (line!(), tokio::spawn(std::future::pending::<()>()));
        say(&format!("{{\"truth\":\"spawned\",\"id\":\"{}\",\"line\":{line}}}", id_of(&task)));
    }
    let (line, task) = (line!(), runtime.spawn(std::future::pending::<()>()));
    say(&format!("{{\"truth\":\"spawned\",\"id\":\"{}\",\"line\":{line}}}", id_of(&task)));
    ready();
}
