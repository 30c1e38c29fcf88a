//! A Rust program with threads and no async runtime: it says `ready` and waits until stdin is closed.

use std::io::Read as _;
use std::time::Duration;

fn main() {
    std::thread::spawn(|| {
        std::thread::sleep(Duration::from_secs(120));
        std::process::exit(9);
    });
    println!("{{\"truth\":\"ready\"}}");
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}
