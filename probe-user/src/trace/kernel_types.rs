//! The kernel's own description of its types, as far as a member's place goes.
//!
//! aya's parser keeps members to itself. The format: <https://docs.kernel.org/bpf/btf.html>

/// `struct btf_header`: magic, version, flags, its own length, then place and length of types and of strings behind it.
const MAGIC: u16 = 0xeb9f;
const HEADER: usize = 24;
const STRUCT: u32 = 4;
/// Bytes of a member: name, type, offset.
const MEMBER: usize = 12;

/// The place of a member of a structure, in bytes. None where there is none of that name, or it is a bit field.
pub(super) fn offset(btf: &[u8], structure: &str, member: &str) -> Option<u32> {
    let word = |bytes: &[u8], at: usize| {
        Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
    };
    if btf.get(..2)? != MAGIC.to_le_bytes() {
        return None;
    }
    let header = word(btf, 4)? as usize;
    let part = |at: usize| {
        let (from, len) = (word(btf, at)? as usize, word(btf, at + 4)? as usize);
        let from = header.checked_add(from)?;
        btf.get(from..from.checked_add(len)?)
    };
    let (types, strings) = (part(8)?, part(HEADER - 8)?);
    let named = |at: u32, name: &str| {
        let rest = strings.get(at as usize..).unwrap_or_default();
        rest.strip_prefix(name.as_bytes()).is_some_and(|rest| rest.first() == Some(&0))
    };
    let mut at = 0;
    while at < types.len() {
        let (name, info) = (word(types, at)?, word(types, at + 4)?);
        let (kind, count) = (info >> 24 & 0x1f, (info & 0xffff) as usize);
        at += 12;
        if kind == STRUCT && named(name, structure) {
            // With this flag the upper byte of an offset is a bit field's width.
            let fields = info >> 31 != 0;
            let members = types.get(at..at.checked_add(count * MEMBER)?)?;
            let found = members
                .chunks_exact(MEMBER)
                .find(|one| word(one, 0).is_some_and(|name| named(name, member)))?;
            let bits = word(found, 8)?;
            let plain = bits % 8 == 0 && !(fields && bits >> 24 != 0);
            return plain.then_some(bits / 8);
        }
        at += behind(kind)? + count * each(kind);
    }
    None
}

/// Bytes behind a type's common part. None for a kind that is not known, whose length is not either.
fn behind(kind: u32) -> Option<usize> {
    Some(match kind {
        // An integer's encoding, a variable's linkage, a declaration tag's index.
        1 | 14 | 17 => 4,
        // An array.
        3 => 12,
        2 | 4..=13 | 15 | 16 | 18 | 19 => 0,
        _ => return None,
    })
}

/// Bytes of each of its parts: members, enumerators, parameters, variables of a section.
fn each(kind: u32) -> usize {
    match kind {
        4 | 5 | 15 | 19 => 12,
        6 | 13 => 8,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An integer, and a structure of two of them and a bit field.
    fn sample() -> Vec<u8> {
        let strings = b"\0int\0pair\0first\0second\0third\0";
        let words = |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
        let types = words(&[
            1,
            1 << 24,
            4,
            32, // int
            5,
            1 << 31 | 4 << 24 | 3,
            12,
            10,
            1,
            0,
            16,
            1,
            32,
            23,
            1,
            64 | 3 << 24,
        ]);
        let mut bytes = words(&[0x0001_eb9f, HEADER as u32, 0, types.len() as u32, types.len() as u32]);
        bytes.extend(words(&[strings.len() as u32]));
        bytes.extend(types);
        bytes.extend(strings);
        bytes
    }

    #[test]
    fn a_member_has_a_place() {
        let bytes = sample();
        assert_eq!(offset(&bytes, "pair", "first"), Some(0));
        assert_eq!(offset(&bytes, "pair", "second"), Some(4));
        assert_eq!(offset(&bytes, "pair", "third"), None, "a bit field");
        assert_eq!(offset(&bytes, "pair", "sec"), None);
        assert_eq!(offset(&bytes, "int", "first"), None);
    }

    #[test]
    fn damaged_bytes_have_none() {
        let whole = sample();
        for len in 0..whole.len() {
            let _ = offset(&whole[..len], "pair", "second");
        }
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 0xff;
            let _ = offset(&bytes, "pair", "second");
        }
    }

    #[test]
    fn this_kernel_keeps_the_ids_of_a_thread_together() {
        match std::fs::read("/sys/kernel/btf/vmlinux") {
            Ok(bytes) => {
                let pid = offset(&bytes, "task_struct", "pid").expect("it has a pid");
                assert_eq!(offset(&bytes, "task_struct", "tgid"), Some(pid + 4));
            }
            Err(why) => eprintln!("\n=== SKIPPED, nothing was tested: no types of this kernel: {why} ===\n"),
        }
    }
}
