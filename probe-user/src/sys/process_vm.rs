//! `process_vm_readv`: another process's memory, without stopping it and without a trap.
#![expect(unsafe_code, reason = "no crate of ours wraps process_vm_readv")]

use std::io;

/// One remote range and where its bytes go.
pub type Request<'a> = (u64, &'a mut [u8]);

/// The kernel takes this many vectors at most in one call (UIO_MAXIOV in include/uapi/linux/uio.h).
pub const MAX_VECTORS: usize = 1024;

const EMPTY: libc::iovec = libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 };

/// Reads the first [`MAX_VECTORS`] of `requests` with one system call, in order, and stops at the first byte that
/// cannot be read. Returns how many bytes were read: the caller works out which request they end in.
pub fn read(pid: u32, requests: &mut [Request<'_>]) -> io::Result<usize> {
    let count = requests.len().min(MAX_VECTORS);
    // A single read is the common case, and must not pay for clearing 32 KiB of stack.
    if count == 1 {
        let (at, buf) = &mut requests[0];
        return call(pid, &[local(buf)], &[remote(*at, buf.len())]);
    }
    let mut locals = [EMPTY; MAX_VECTORS];
    let mut remotes = [EMPTY; MAX_VECTORS];
    for (i, (at, buf)) in requests[..count].iter_mut().enumerate() {
        locals[i] = local(buf);
        remotes[i] = remote(*at, buf.len());
    }
    call(pid, &locals[..count], &remotes[..count])
}

fn local(buf: &mut [u8]) -> libc::iovec {
    libc::iovec { iov_base: buf.as_mut_ptr().cast(), iov_len: buf.len() }
}

/// The address is only ever used by the kernel, in the other process's address space.
fn remote(at: u64, len: usize) -> libc::iovec {
    libc::iovec { iov_base: std::ptr::without_provenance_mut(at as usize), iov_len: len }
}

fn call(pid: u32, locals: &[libc::iovec], remotes: &[libc::iovec]) -> io::Result<usize> {
    // SAFETY: `locals` are built by `local` from exclusive borrows that outlive the call (the callers hold
    // `&mut [Request]`); the kernel writes only within them. `remotes` are checked by the kernel.
    let read = unsafe {
        libc::process_vm_readv(
            pid as libc::pid_t,
            locals.as_ptr(),
            locals.len() as libc::c_ulong,
            remotes.as_ptr(),
            remotes.len() as libc::c_ulong,
            0,
        )
    };
    if read < 0 { Err(io::Error::last_os_error()) } else { Ok(read as usize) }
}
