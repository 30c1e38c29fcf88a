//! `bpf(2)` and `perf_event_open(2)` as far as aya 0.14 does not go: programs with the attach types of
//! `uprobe_multi` and of uprobe sessions, links of both, and perf-event links with a cookie.
//!
//! Everything here is a file descriptor: when the last one closes, be it because the process was killed,
//! the kernel takes the probes out.

#![expect(unsafe_code, reason = "raw system calls over unions")]

use aya_obj::generated::{
    BPF_F_UPROBE_MULTI_RETURN, bpf_attach_type, bpf_attr, bpf_cmd, bpf_insn, bpf_prog_info, bpf_prog_type,
};
use std::ffi::{CStr, c_long};
use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use zerocopy::{Immutable, IntoBytes};

/// How the kernel is going to call a uprobe program; it is fixed when the program is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttachType {
    PerfEvent,
    Multi,
    /// Entry and return in one program.
    Session,
    /// No uprobe: see [`link_raw_tracepoint`].
    RawTracepoint,
    /// No uprobe: see [`link_thread_clock`].
    Clock,
}

/// `BPF_TRACE_UPROBE_SESSION` (Linux 6.13), newer than aya-obj's bindings.
const BPF_TRACE_UPROBE_SESSION: u32 = 57;

impl AttachType {
    fn expected(self) -> u32 {
        match self {
            AttachType::PerfEvent | AttachType::RawTracepoint | AttachType::Clock => 0,
            AttachType::Multi => bpf_attach_type::BPF_TRACE_UPROBE_MULTI as u32,
            AttachType::Session => BPF_TRACE_UPROBE_SESSION,
        }
    }

    fn program(self) -> bpf_prog_type {
        match self {
            AttachType::RawTracepoint => bpf_prog_type::BPF_PROG_TYPE_RAW_TRACEPOINT,
            AttachType::Clock => bpf_prog_type::BPF_PROG_TYPE_PERF_EVENT,
            AttachType::PerfEvent | AttachType::Multi | AttachType::Session => {
                bpf_prog_type::BPF_PROG_TYPE_KPROBE
            }
        }
    }
}

fn zeroed() -> bpf_attr {
    // SAFETY: every member of the union is plain integers, for which zero is a value. The kernel wants
    // the bytes it does not know to be zero.
    unsafe { std::mem::zeroed() }
}

fn bpf(command: bpf_cmd, attr: &mut bpf_attr) -> io::Result<c_long> {
    // SAFETY: `attr` is as large as said; the callers below keep alive what it points to.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, command as c_long, &raw mut *attr, size_of::<bpf_attr>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn owned(fd: c_long) -> OwnedFd {
    // SAFETY: the kernel has just handed out this descriptor, to nobody else.
    unsafe { OwnedFd::from_raw_fd(fd as RawFd) }
}

/// Loads a program whose maps and calls are relocated. On refusal `log` holds the verifier's words.
pub fn load_program(
    name: &str,
    instructions: &[bpf_insn],
    license: &CStr,
    attach: AttachType,
    log: Option<&mut [u8]>,
) -> io::Result<OwnedFd> {
    let mut attr = zeroed();
    // SAFETY: writes to integers of a zeroed union.
    let load = unsafe { &mut attr.__bindgen_anon_3 };
    load.prog_type = attach.program() as u32;
    load.insns = instructions.as_ptr() as u64;
    load.insn_cnt = instructions.len() as u32;
    load.license = license.as_ptr() as u64;
    load.expected_attach_type = attach.expected();
    // The last byte stays 0.
    for (to, from) in load.prog_name[..15].iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    if let Some(log) = log {
        load.log_level = 1;
        load.log_buf = log.as_mut_ptr() as u64;
        load.log_size = log.len() as u32;
    }
    bpf(bpf_cmd::BPF_PROG_LOAD, &mut attr).map(owned)
}

/// Instructions that the verifier went through, branches counted as often as it took them.
pub fn verified_instructions(program: BorrowedFd<'_>) -> io::Result<u32> {
    // SAFETY: plain integers, as above.
    let mut info: bpf_prog_info = unsafe { std::mem::zeroed() };
    let mut attr = zeroed();
    // SAFETY: a write to integers of a zeroed union.
    let ask = unsafe { &mut attr.info };
    ask.bpf_fd = program.as_raw_fd() as u32;
    ask.info_len = size_of::<bpf_prog_info>() as u32;
    ask.info = &raw mut info as u64;
    bpf(bpf_cmd::BPF_OBJ_GET_INFO_BY_FD, &mut attr)?;
    Ok(info.verified_insns)
}

/// Sets elements of an array or a hash map, `keys[i]` to `values[i]`, by one system call instead of one for each (Linux 5.6).
/// Their types are as large as the map's.
pub fn update_batch<K: IntoBytes + Immutable, V: IntoBytes + Immutable>(
    map: BorrowedFd<'_>,
    keys: &[K],
    values: &[V],
) -> io::Result<()> {
    assert_eq!(keys.len(), values.len(), "a value for each key");
    if keys.is_empty() {
        return Ok(());
    }
    let mut attr = zeroed();
    // SAFETY: writes to integers of a zeroed union.
    let batch = unsafe { &mut attr.batch };
    batch.keys = keys.as_ptr() as u64;
    batch.values = values.as_ptr() as u64;
    batch.count = keys.len() as u32;
    batch.map_fd = map.as_raw_fd() as u32;
    bpf(bpf_cmd::BPF_MAP_UPDATE_BATCH, &mut attr).map(drop)
}

/// Where a multi or session link goes: `offsets[i]` in the file at `path` gets `cookies[i]`.
#[derive(Clone, Copy, Debug)]
pub struct MultiTarget<'a> {
    pub path: &'a CStr,
    pub offsets: &'a [u64],
    pub cookies: &'a [u64],
    /// 0: every process that runs the file.
    pub pid: u32,
}

/// Attaches a program loaded for [`AttachType::Multi`] (`returns`: to the functions' ends) or
/// [`AttachType::Session`] to many places at once.
pub fn link_multi(
    program: BorrowedFd<'_>,
    attach: AttachType,
    returns: bool,
    target: MultiTarget<'_>,
) -> io::Result<OwnedFd> {
    assert_eq!(target.offsets.len(), target.cookies.len(), "one cookie for each offset");
    let mut attr = zeroed();
    // SAFETY: writes to integers of a zeroed union.
    let link = unsafe { &mut attr.link_create };
    link.__bindgen_anon_1.prog_fd = program.as_raw_fd() as u32;
    link.attach_type = attach.expected();
    // SAFETY: a write to integers of a zeroed union.
    let multi = unsafe { &mut link.__bindgen_anon_3.uprobe_multi };
    multi.path = target.path.as_ptr() as u64;
    multi.offsets = target.offsets.as_ptr() as u64;
    multi.cookies = target.cookies.as_ptr() as u64;
    multi.cnt = target.offsets.len() as u32;
    multi.flags = if returns { BPF_F_UPROBE_MULTI_RETURN } else { 0 };
    multi.pid = target.pid;
    bpf(bpf_cmd::BPF_LINK_CREATE, &mut attr).map(owned)
}

/// Attaches a program loaded for [`AttachType::RawTracepoint`].
pub fn link_raw_tracepoint(program: BorrowedFd<'_>, name: &CStr) -> io::Result<OwnedFd> {
    let mut attr = zeroed();
    // SAFETY: writes to integers of a zeroed union.
    let open = unsafe { &mut attr.raw_tracepoint };
    open.name = name.as_ptr() as u64;
    open.prog_fd = program.as_raw_fd() as u32;
    bpf(bpf_cmd::BPF_RAW_TRACEPOINT_OPEN, &mut attr).map(owned)
}

/// What `/sys/bus/event_source/devices/uprobe` says of the machine's uprobe events.
#[derive(Clone, Copy, Debug)]
pub struct PerfUprobes {
    pub event_type: u32,
    /// Bit of `config` that makes it a return probe.
    pub return_bit: u32,
}

/// The head of `perf_event_attr`, as of its first published size; the rest is for later features.
/// <https://github.com/torvalds/linux/blob/v6.12/include/uapi/linux/perf_event.h#L389>
#[repr(C)]
#[derive(Default)]
struct PerfEventAttr {
    event_type: u32,
    size: u32,
    config: u64,
    sample_period: u64,
    sample_type: u64,
    read_format: u64,
    flags: u64,
    wakeup_events: u32,
    bp_type: u32,
    /// `config1`: the path.
    uprobe_path: u64,
    /// `config2`: the offset.
    probe_offset: u64,
}

const PERF_FLAG_FD_CLOEXEC: libc::c_ulong = 8;
const PERF_TYPE_SOFTWARE: u32 = 1;
const PERF_COUNT_SW_CPU_CLOCK: u64 = 0;
/// In `flags`.
const DISABLED: u64 = 1;

/// Attaches a program loaded for [`AttachType::PerfEvent`] to one place, in all threads of `pid`.
pub fn link_perf_event(
    program: BorrowedFd<'_>,
    uprobes: PerfUprobes,
    returns: bool,
    path: &CStr,
    offset: u64,
    cookie: u64,
    pid: u32,
) -> io::Result<OwnedFd> {
    let event_attr = PerfEventAttr {
        event_type: uprobes.event_type,
        size: size_of::<PerfEventAttr>() as u32,
        config: if returns { 1 << uprobes.return_bit } else { 0 },
        uprobe_path: path.as_ptr() as u64,
        probe_offset: offset,
        ..PerfEventAttr::default()
    };
    // `path` outlives the call.
    let event = open_event(&event_attr, pid as libc::pid_t, -1)?;
    link_event(program, &event, cookie)
}

/// Has a program loaded for [`AttachType::Clock`] run each time that a thread has run for `period_ns`.
pub fn link_thread_clock(program: BorrowedFd<'_>, tid: u32, period_ns: u64) -> io::Result<OwnedFd> {
    link_clock(program, tid, period_ns, 0)
}

/// The same of the thread that calls, but that it never runs.
pub fn link_stopped_clock(program: BorrowedFd<'_>, period_ns: u64) -> io::Result<OwnedFd> {
    link_clock(program, 0, period_ns, DISABLED)
}

fn link_clock(program: BorrowedFd<'_>, tid: u32, period_ns: u64, flags: u64) -> io::Result<OwnedFd> {
    let event_attr = PerfEventAttr {
        event_type: PERF_TYPE_SOFTWARE,
        size: size_of::<PerfEventAttr>() as u32,
        config: PERF_COUNT_SW_CPU_CLOCK,
        sample_period: period_ns,
        flags,
        ..PerfEventAttr::default()
    };
    let event = open_event(&event_attr, tid as libc::pid_t, -1)?;
    link_event(program, &event, 0)
}

/// -1: every process, every CPU. What the attribute points to is still there.
fn open_event(attr: &PerfEventAttr, pid: libc::pid_t, cpu: libc::c_int) -> io::Result<OwnedFd> {
    // SAFETY: the attribute is as large as its `size` says.
    let event = unsafe {
        libc::syscall(libc::SYS_perf_event_open, &raw const *attr, pid, cpu, -1, PERF_FLAG_FD_CLOEXEC)
    };
    if event < 0 { Err(io::Error::last_os_error()) } else { Ok(owned(event)) }
}

fn link_event(program: BorrowedFd<'_>, event: &OwnedFd, cookie: u64) -> io::Result<OwnedFd> {
    let mut attr = zeroed();
    // SAFETY: writes to integers of a zeroed union.
    let link = unsafe { &mut attr.link_create };
    link.__bindgen_anon_1.prog_fd = program.as_raw_fd() as u32;
    link.__bindgen_anon_2.target_fd = event.as_raw_fd() as u32;
    link.attach_type = bpf_attach_type::BPF_PERF_EVENT as u32;
    link.__bindgen_anon_3.perf_event.bpf_cookie = cookie;
    // The link keeps the event.
    bpf(bpf_cmd::BPF_LINK_CREATE, &mut attr).map(owned)
}
