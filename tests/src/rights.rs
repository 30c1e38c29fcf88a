//! What a test needs of the machine. A test that cannot run says so on stderr, past the test harness's capture.

use std::io::Write as _;

/// Whether this process is root, which probes and reading other processes take. Says so if not.
pub fn root_or_skip(test: &str) -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        skipped(test, "it needs root");
    }
    root
}

/// Tells people that a test did not run, and why.
pub fn skipped(test: &str, why: &str) {
    // The harness captures print! and eprintln!, but not this.
    let _ = writeln!(std::io::stderr(), "\n*** SKIPPED {test}: {why} ***");
}
