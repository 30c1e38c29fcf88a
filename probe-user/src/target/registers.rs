//! Where a thread stands, without stopping it: the kernel tells program counter and stack pointer of a thread that sleeps.

use super::Avma;
use super::process::Process;

/// What is known of a thread's registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThreadRegisters {
    /// As seen where this command runs.
    pub tid: u32,
    pub pc: Avma,
    pub sp: Avma,
    /// None where only the kernel knows it: a live thread's.
    pub bp: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThreadPlace {
    Asleep(ThreadRegisters),
    /// On a CPU, or about to be.
    Running,
    /// It has ended, or we may not ask.
    Unknown,
}

/// The system call that a thread sleeps in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SystemCall {
    pub number: u32,
    pub arguments: [u64; 6],
}

impl Process {
    /// Where a thread sleeps; the call is None where it sleeps outside of one (waiting for a page). None if it does not sleep.
    pub fn thread_call(&self, tid: u32) -> Option<(ThreadRegisters, Option<SystemCall>)> {
        let bytes = self.proc_dir().read(&format!("task/{tid}/syscall")).ok()?;
        match parse(tid, &bytes) {
            ThreadPlace::Asleep(registers) => Some((registers, parse_call(&bytes))),
            ThreadPlace::Running | ThreadPlace::Unknown => None,
        }
    }

    /// How long a thread has run in all, ns; None where the kernel does not say (`CONFIG_SCHED_INFO`).
    pub fn thread_ran_ns(&self, tid: u32) -> Option<u64> {
        let bytes = self.proc_dir().read(&format!("task/{tid}/schedstat")).ok()?;
        String::from_utf8_lossy(&bytes).split_ascii_whitespace().next()?.parse().ok()
    }

    pub fn thread_place(&self, tid: u32) -> ThreadPlace {
        self.proc_dir()
            .read(&format!("task/{tid}/syscall"))
            .map_or(ThreadPlace::Unknown, |bytes| parse(tid, &bytes))
    }
}

/// `running`, or `-1 SP PC` (asleep outside of a system call), or the call's number, six arguments, SP and PC
/// (proc_pid_syscall in fs/proc/base.c).
fn parse(tid: u32, bytes: &[u8]) -> ThreadPlace {
    let text = String::from_utf8_lossy(bytes);
    let mut words = text.split_ascii_whitespace().rev();
    let hex =
        |word: Option<&str>| u64::from_str_radix(word?.strip_prefix("0x")?, 16).ok().filter(|n| *n != 0);
    let (last, before) = (words.next(), words.next());
    if last == Some("running") {
        return ThreadPlace::Running;
    }
    match (hex(last), hex(before)) {
        (Some(pc), Some(sp)) => {
            ThreadPlace::Asleep(ThreadRegisters { tid, pc: Avma(pc), sp: Avma(sp), bp: None })
        }
        _ => ThreadPlace::Unknown,
    }
}

fn parse_call(bytes: &[u8]) -> Option<SystemCall> {
    let text = String::from_utf8_lossy(bytes);
    let mut words = text.split_ascii_whitespace();
    let number = words.next()?.parse().ok()?;
    let mut arguments = [0; 6];
    for argument in &mut arguments {
        *argument = u64::from_str_radix(words.next()?.strip_prefix("0x")?, 16).ok()?;
    }
    Some(SystemCall { number, arguments })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_the_line() {
        let asleep =
            ThreadPlace::Asleep(ThreadRegisters { tid: 7, pc: Avma(0x7f10), sp: Avma(0x7ff0), bp: None });
        assert_eq!(parse(7, b"202 0x1 0x2 0x3 0x0 0x0 0xffffffff 0x7ff0 0x7f10\n"), asleep);
        assert_eq!(parse(7, b"-1 0x7ff0 0x7f10\n"), asleep);
        assert_eq!(parse(7, b"running\n"), ThreadPlace::Running);
        // A zombie has neither.
        assert_eq!(parse(7, b"0 0x0 0x0 0x0 0x0 0x0 0x0 0x0 0x0\n"), ThreadPlace::Unknown);
        assert_eq!(parse(7, b""), ThreadPlace::Unknown);
        let call = SystemCall { number: 202, arguments: [1, 2, 3, 0, 0, 0xffff_ffff] };
        assert_eq!(parse_call(b"202 0x1 0x2 0x3 0x0 0x0 0xffffffff 0x7ff0 0x7f10\n"), Some(call));
        assert_eq!(parse_call(b"-1 0x7ff0 0x7f10\n"), None);
        assert_eq!(parse_call(b"running\n"), None);
    }
}
