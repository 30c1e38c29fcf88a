//! A child process under a seccomp filter, to find out whether this kernel's return probes survive one.

#![expect(unsafe_code, reason = "fork, and system calls between it and the end")]

use rustix::fd::{AsFd, AsRawFd, OwnedFd};
use std::io;
use std::mem::offset_of;

/// Waits behind a strict filter for the word to call a function and end.
#[derive(Debug)]
pub struct FilteredChild {
    pid: libc::pid_t,
    go: OwnedFd,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChildEnd {
    Fine,
    /// By SIGSYS: the filter met a system call that it does not allow.
    KilledByFilter,
    /// The raw wait status.
    Other(i32),
}

impl FilteredChild {
    /// The child is a fork of this process, and calls `function` with `argument`, which must need neither locks
    /// nor memory: other threads may have held the allocator's lock when it was made.
    pub fn start(function: extern "C" fn(&[u64; 8]), argument: &'static [u64; 8]) -> io::Result<Self> {
        let filter = filter();
        let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_ptr().cast_mut() };
        let (wait, go) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        let wait_fd = wait.as_fd().as_raw_fd();
        // SAFETY: the child only makes the system calls below and never returns from here.
        match unsafe { libc::fork() } {
            -1 => Err(io::Error::last_os_error()),
            // SAFETY: as above.
            0 => unsafe { in_child(wait_fd, &program, function, argument) },
            pid => Ok(FilteredChild { pid, go }),
        }
    }

    pub fn pid(&self) -> u32 {
        self.pid as u32
    }

    /// Lets it call the function, and waits for its end.
    pub fn finish(self) -> io::Result<ChildEnd> {
        // It may have ended already; the status tells.
        let _ = rustix::io::write(&self.go, b"g");
        let mut status = 0;
        loop {
            // SAFETY: `status` outlives the call.
            if unsafe { libc::waitpid(self.pid, &raw mut status, 0) } >= 0 {
                break;
            }
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error);
            }
        }
        Ok(match status {
            0 => ChildEnd::Fine,
            _ if libc::WIFSIGNALED(status) && libc::WTERMSIG(status) == libc::SIGSYS => {
                ChildEnd::KilledByFilter
            }
            _ => ChildEnd::Other(status),
        })
    }
}

/// # Safety
/// For the child of a fork only; ends the process.
unsafe fn in_child(
    wait: i32,
    program: &libc::sock_fprog,
    function: extern "C" fn(&[u64; 8]),
    argument: &'static [u64; 8],
) -> ! {
    // SAFETY: plain system calls on memory that outlives them; none of them takes a lock.
    unsafe {
        // No core file if the filter strikes.
        let limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        libc::setrlimit(libc::RLIMIT_CORE, &raw const limit);
        if libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0
            || libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const *program) != 0
        {
            libc::_exit(1);
        }
        let mut word = 0u8;
        libc::read(wait, (&raw mut word).cast(), 1);
        function(argument);
        libc::_exit(0);
    }
}

/// Allows read, exit and exit_group; kills for anything else.
fn filter() -> [libc::sock_filter; 6] {
    const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    const JUMP_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    let statement = |code, k| libc::sock_filter { code, jt: 0, jf: 0, k };
    let allow = |call: i64, jump| libc::sock_filter { code: JUMP_EQUAL, jt: jump, jf: 0, k: call as u32 };
    [
        statement(LOAD, offset_of!(libc::seccomp_data, nr) as u32),
        allow(libc::SYS_read, 3),
        allow(libc::SYS_exit_group, 2),
        allow(libc::SYS_exit, 1),
        statement(RETURN, libc::SECCOMP_RET_KILL_PROCESS),
        statement(RETURN, libc::SECCOMP_RET_ALLOW),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    static NOTHING: [u64; 8] = [0; 8];

    extern "C" fn harmless(_: &[u64; 8]) {}

    extern "C" fn forbidden(_: &[u64; 8]) {
        // SAFETY: no arguments.
        unsafe { libc::getpid() };
    }

    fn end_of(function: extern "C" fn(&[u64; 8])) -> ChildEnd {
        let child = FilteredChild::start(function, &NOTHING).expect("fork works");
        child.finish().expect("it is our child")
    }

    #[test]
    fn the_filter_kills_for_what_it_does_not_know() {
        assert_eq!(end_of(harmless), ChildEnd::Fine);
        assert_eq!(end_of(forbidden), ChildEnd::KilledByFilter);
    }
}
