//! Names of system calls.

use syscalls::Sysno;

/// As the manual has it, `clock_nanosleep`. None for a number that the machine's table does not have.
pub(super) fn call_name(number: u32) -> Option<&'static str> {
    Sysno::new(number as usize).map(|call| call.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_have_their_names() {
        assert_eq!(call_name(libc::SYS_clock_nanosleep as u32), Some("clock_nanosleep"));
        assert_eq!(call_name(libc::SYS_read as u32), Some("read"));
        assert_eq!(call_name(libc::SYS_futex as u32), Some("futex"));
        assert_eq!(call_name(u32::MAX), None);
    }
}
