//! Probes that do nothing: the least that an entry and a return cost.

use crate::subject::poll_functions;
use anyhow::{Context as _, Result, ensure};
use async_inspect::sys::bpf::{AttachType, MultiTarget, link_multi, load_program};
use aya_obj::generated::{__BindgenBitfieldUnit, bpf_insn};
use std::ffi::CString;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

/// `r0 = 0; exit`.
fn nothing() -> [bpf_insn; 2] {
    let instruction = |code| bpf_insn {
        code,
        _bitfield_align_1: [],
        _bitfield_1: __BindgenBitfieldUnit::new([0]),
        off: 0,
        imm: 0,
    };
    [instruction(0xb7), instruction(0x95)]
}

/// A session of an empty program on every poll function of an executable, until the descriptor closes.
pub fn attach(executable: &Path, pid: u32) -> Result<OwnedFd> {
    Ok(attach_timed(executable, pid)?.0)
}

/// How long it takes the kernel to put that in and to take it out: the least that coming and going cost.
pub fn come_and_go(executable: &Path, pid: u32) -> Result<[Duration; 2]> {
    let (session, came) = attach_timed(executable, pid)?;
    let began = Instant::now();
    drop(session);
    Ok([came, began.elapsed()])
}

fn attach_timed(executable: &Path, pid: u32) -> Result<(OwnedFd, Duration)> {
    let offsets: Vec<u64> = poll_functions(executable)?.iter().map(|function| function.file_offset).collect();
    ensure!(!offsets.is_empty(), "no poll function among the symbols of {}", executable.display());
    let cookies = vec![0; offsets.len()];
    let program = load_program("empty", &nothing(), c"GPL", AttachType::Session, None)
        .context("loading an empty session program")?;
    let path = CString::new(executable.as_os_str().as_bytes())?;
    let target = MultiTarget { path: &path, offsets: &offsets, cookies: &cookies, pid };
    let began = Instant::now();
    let session = link_multi(program.as_fd(), AttachType::Session, false, target);
    Ok((session.context("attaching an empty session")?, began.elapsed()))
}
