//! `get_robust_list`: where another thread keeps its list of robust futexes.
#![expect(unsafe_code, reason = "no crate of ours wraps get_robust_list")]

use std::io;

/// Address of the thread's `struct robust_list_head`, in its own memory; 0 where it registered none.
/// `tid` as seen where this command runs. Wants PTRACE_MODE_READ, stops nobody.
pub fn head(tid: u32) -> io::Result<u64> {
    let mut head: u64 = 0;
    let mut len: libc::size_t = 0;
    // SAFETY: the kernel writes one pointer and one size to the two locals (kernel/futex/syscalls.c).
    let result =
        unsafe { libc::syscall(libc::SYS_get_robust_list, tid as libc::c_long, &raw mut head, &raw mut len) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(head) }
}
