//! Which probe modes this machine really has: each is tried, on ourselves, at a place that never runs again.
//! A kernel's version tells little: distributions backport, and rights differ.

use super::{NONE, ProbeMode, SitePlan, TraceError, TracePlan, TraceTarget, Tracer};
use crate::target::ElfHeaders;
use std::fs::File;
use std::path::{Path, PathBuf};

/// The modes that work here and now; none where BPF is not permitted.
///
/// # Errors
/// Where not even one can be tried: see [`TraceError`].
pub fn features() -> Result<Vec<ProbeMode>, TraceError> {
    let exe = PathBuf::from("/proc/self/exe");
    let plan = TracePlan { sites: vec![entry_point(&exe)?], ..TracePlan::default() };
    let target = TraceTarget { pid: std::process::id(), exe };
    let works = |mode: &ProbeMode| Tracer::attach(&target, &plan, *mode, false).is_ok();
    Ok([ProbeMode::Session, ProbeMode::Multi, ProbeMode::Perf].into_iter().filter(works).collect())
}

/// `_start` ran once, long ago.
fn entry_point(exe: &Path) -> Result<SitePlan, TraceError> {
    let io = |error| TraceError::Io { doing: "read our own executable", error };
    let file = File::open(exe).map_err(io)?;
    let headers = ElfHeaders::read(&file, exe).map_err(|e| io(std::io::Error::other(e.to_string())))?;
    let offset = headers.file_offset(headers.entry).ok_or(io(std::io::Error::other("no entry point")))?;
    Ok(SitePlan { offset, name: "_start".into(), root: NONE, id_offset: NONE })
}
