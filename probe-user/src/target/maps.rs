//! `/proc/PID/maps` → [`Region`]s.

use super::{Avma, Region};

/// Lines that are not of the known form are left out: the kernel writes none, and a target cannot forge one
/// (newlines in a path are escaped as `\012`).
pub(super) fn parse(bytes: &[u8]) -> Vec<Region> {
    let mut regions: Vec<Region> = bytes.split(|b| *b == b'\n').filter_map(parse_line).collect();
    // The kernel lists them by address; `[vsyscall]` comes last and is highest. Cheap to make sure of.
    regions.sort_by_key(|r| r.start);
    regions
}

/// `start-end perms offset major:minor inode   path`
fn parse_line(line: &[u8]) -> Option<Region> {
    let mut rest = line;
    let mut word = || {
        let end = rest.iter().position(|b| *b == b' ').unwrap_or(rest.len());
        let (head, tail) = rest.split_at(end);
        rest = tail.get(1..).unwrap_or_default();
        std::str::from_utf8(head).ok()
    };
    let (range, perms, offset, device, inode) = (word()?, word()?, word()?, word()?, word()?);
    let (start, end) = range.split_once('-')?;
    let (major, minor) = device.split_once(':')?;
    let hex = |s: &str| u64::from_str_radix(s, 16).ok();
    let perms = perms.as_bytes();
    Some(Region {
        start: Avma(hex(start)?),
        end: Avma(hex(end)?),
        readable: perms.first() == Some(&b'r'),
        writable: perms.get(1) == Some(&b'w'),
        executable: perms.get(2) == Some(&b'x'),
        file_offset: hex(offset)?,
        device: (hex(major)? as u32, hex(minor)? as u32),
        inode: inode.parse().ok()?,
        path: String::from_utf8_lossy(rest.trim_ascii_start()).into_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_line() {
        let text = b"\
00400000-00401000 r-xp 00001000 fe:01 1234                               /tmp/a b (deleted)
7f0000000000-7f0000021000 rw-p 00000000 00:00 0 
7ffc00000000-7ffc00021000 rw-p 00000000 00:00 0                          [stack]
not a line
ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]
";
        let regions = parse(text);
        assert_eq!(regions.len(), 4);
        assert_eq!(regions[0].path, "/tmp/a b (deleted)");
        assert_eq!((regions[0].file_offset, regions[0].device, regions[0].inode), (0x1000, (0xfe, 1), 1234));
        assert!(regions[0].executable && regions[0].readable && !regions[0].writable);
        assert_eq!((regions[1].path.as_str(), regions[1].len()), ("", 0x21000));
        assert_eq!(regions[2].path, "[stack]");
        assert_eq!(regions[3].end, Avma(0xffff_ffff_ff60_1000));
    }
}
