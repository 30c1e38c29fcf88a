//! `/proc/PID/fdinfo/N`: `key: value` lines that the kernel alone writes (fs/proc/fd.c and each kind's show_fdinfo).

/// Of more lines (one per file that an epoll watches) the rest is not counted.
const MOST_LINES: usize = 1 << 20;

pub(super) struct FdInfo<'a>(pub &'a [u8]);

impl<'a> FdInfo<'a> {
    fn lines(&self) -> impl Iterator<Item = &'a [u8]> {
        self.0.split(|byte| *byte == b'\n').take(MOST_LINES)
    }

    /// The value of the first line of this key.
    pub fn value(&self, key: &str) -> Option<&'a str> {
        let line = self.lines().find_map(|line| line.strip_prefix(key.as_bytes())?.strip_prefix(b":"))?;
        std::str::from_utf8(line).ok().map(str::trim)
    }

    pub fn hex(&self, key: &str) -> Option<u64> {
        u64::from_str_radix(self.value(key)?, 16).ok()
    }

    /// The access mode of open(2): octal flags, of which the lowest two bits count.
    pub fn access_mode(&self) -> Option<u32> {
        /// O_ACCMODE
        const MODE: u32 = 3;
        Some(u32::from_str_radix(self.value("flags")?, 8).ok()? & MODE)
    }

    /// `(seconds, nanoseconds)`, in ns.
    pub fn time(&self, key: &str) -> Option<u64> {
        let pair = self.value(key)?.strip_prefix('(')?.strip_suffix(')')?;
        let (seconds, nanoseconds) = pair.split_once(',')?;
        let seconds: u64 = seconds.trim().parse().ok()?;
        seconds.checked_mul(1_000_000_000)?.checked_add(nanoseconds.trim().parse().ok()?)
    }

    /// How many lines begin so.
    pub fn count(&self, prefix: &str) -> usize {
        self.lines().filter(|line| line.starts_with(prefix.as_bytes())).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn values_are_read() {
        let text = b"pos:\t0\nflags:\t02000001\neventfd-count:               1f\nit_value: (2, 500)\n\
            tfd:       14 events:       1f\ntfd:       15 events:       1f\nPid:\t-1\n";
        let info = FdInfo(text);
        assert_eq!((info.access_mode(), info.hex("eventfd-count")), (Some(1), Some(31)));
        assert_eq!((info.time("it_value"), info.count("tfd:")), (Some(2_000_000_500), 2));
        assert_eq!((info.value("Pid"), info.value("NSpid"), info.value("event")), (Some("-1"), None, None));
    }

    proptest! {
        #[test]
        fn no_bytes_break_it(bytes: Vec<u8>, value in "\\PC{0,40}") {
            let text = format!("flags:{value}\nit_value:{value}\neventfd-count:{value}");
            for text in [&bytes[..], text.as_bytes()] {
                let info = FdInfo(text);
                let _ = (info.access_mode(), info.time("it_value"), info.hex("eventfd-count"), info.count("t"));
            }
        }
    }
}
