//! `yields TASKS DEPTH steady|alternating`: tasks that are always ready, and nested so deep.

use peers::{alternating, steady};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [tasks, depth, kind] = arguments.as_slice() else { panic!("TASKS DEPTH steady|alternating") };
    let depth = depth.parse().expect("a depth");
    let spawn = match kind.as_str() {
        "steady" => steady::spawn,
        "alternating" => alternating::spawn,
        other => panic!("no kind {other}"),
    };
    let runtime = peers::peer::runtime();
    let _inside = runtime.enter();
    for _ in 0..tasks.parse::<u32>().expect("a number of tasks") {
        spawn(depth);
    }
    peers::answer(&serde_json::json!({ "ready": true }))
}
