//! Probes that do nothing: the least that an entry and a return cost.

use crate::subject::poll_functions;
use anyhow::{Context as _, Result, ensure};
use async_inspect::sys::bpf::{AttachType, MultiTarget, link_multi, load_program};
use aya_obj::generated::{__BindgenBitfieldUnit, bpf_insn};
use std::ffi::CString;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

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
    let offsets: Vec<u64> = poll_functions(executable)?.iter().map(|function| function.file_offset).collect();
    ensure!(!offsets.is_empty(), "no poll function among the symbols of {}", executable.display());
    let cookies = vec![0; offsets.len()];
    let program = load_program("empty", &nothing(), c"GPL", AttachType::Session, None)
        .context("loading an empty session program")?;
    let path = CString::new(executable.as_os_str().as_bytes())?;
    let target = MultiTarget { path: &path, offsets: &offsets, cookies: &cookies, pid };
    link_multi(program.as_fd(), AttachType::Session, false, target).context("attaching an empty session")
}
