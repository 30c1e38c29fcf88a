//! What runs with what others leave of the processors: lints, downloads and tests that wait leave a good part of them.

use std::ffi::OsStr;
use std::process::{Child, Command, Stdio};

/// `cargo build` of the tool.
pub const TOOL: [&str; 5] = ["build", "--release", "--package", "async-inspect-live", "--locked"];

/// The tool being built before it is wanted. Whoever wants it builds it too: that waits for cargo's lock, and tells of errors.
pub struct Ahead(Option<Child>);

impl Ahead {
    pub fn start() -> Ahead {
        let mut cargo = idly(super::cargo_itself());
        cargo.current_dir(crate::workspace()).args(TOOL).arg("--quiet");
        Ahead(cargo.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok())
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        if let Some(build) = &mut self.0 {
            let _ = build.wait();
        }
    }
}

/// At the lowest priority.
pub fn idly(program: impl AsRef<OsStr>) -> Command {
    let mut nice = Command::new("nice");
    nice.args(["-n", "19"]).arg(program);
    nice
}
