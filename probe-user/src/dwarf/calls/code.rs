//! What a function's instructions refer to: functions that they call, and constants whose address they take.

use crate::dwarf::program::Code;
use iced_x86::{Code as Op, Decoder, DecoderOptions, FlowControl, Mnemonic};
use std::ops::Range;

/// One instruction that leaves its function, or takes an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reference {
    /// `call`.
    Call { at: u64, to: u64 },
    /// `jmp` to elsewhere: a call in tail position, if a function begins there.
    Jump { at: u64, to: u64 },
    /// `call [rip+…]`, `jmp [rip+…]`: through the word at that address.
    Through { at: u64, word: u64 },
    /// `lea`.
    Address { at: u64, of: u64 },
}

/// Calls `each` for the instructions in a range of addresses.
pub(super) fn references(code: &[Code<'_>], range: &Range<u64>, each: &mut dyn FnMut(Reference)) {
    let segment =
        code.iter().find(|c| c.start.0 <= range.start && range.start - c.start.0 < c.bytes.len() as u64);
    let bytes = segment.and_then(|segment| {
        let from = (range.start - segment.start.0) as usize;
        let to = usize::try_from(range.end.checked_sub(segment.start.0)?).ok()?;
        segment.bytes.get(from..to)
    });
    let Some(bytes) = bytes else { return };
    let mut decoder = Decoder::with_ip(64, bytes, range.start, DecoderOptions::NONE);
    while decoder.can_decode() {
        let instruction = decoder.decode();
        let at = instruction.ip();
        match instruction.flow_control() {
            FlowControl::Call if instruction.is_call_near() => {
                each(Reference::Call { at, to: instruction.near_branch_target() });
            }
            FlowControl::UnconditionalBranch | FlowControl::ConditionalBranch => {
                let to = instruction.near_branch_target();
                if !range.contains(&to) {
                    each(Reference::Jump { at, to });
                }
            }
            FlowControl::IndirectCall | FlowControl::IndirectBranch
                if instruction.is_ip_rel_memory_operand() =>
            {
                each(Reference::Through { at, word: instruction.ip_rel_memory_address() });
            }
            _ if instruction.code() == Op::Lea_r64_m && instruction.is_ip_rel_memory_operand() => {
                debug_assert_eq!(instruction.mnemonic(), Mnemonic::Lea);
                each(Reference::Address { at, of: instruction.ip_rel_memory_address() });
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::Svma;

    #[test]
    fn calls_jumps_and_addresses_are_told() {
        let bytes = [
            0xe8, 0x0b, 0x00, 0x00, 0x00, // 1000: call 1010
            0x48, 0x8d, 0x3d, 0xf4, 0x0f, 0x00, 0x00, // 1005: lea rdi, [rip+0xff4] = 2000
            0xeb, 0x00, // 100c: jmp 100e, within
            0xe9, 0xed, 0x0f, 0x00, 0x00, // 100e: jmp 2000
            0xff, 0x15, 0xe7, 0x1f, 0x00, 0x00, // 1013: call [rip+0x1fe7] = 3000
            0xff, 0xd0, // 1019: call rax
        ];
        let code = [Code { start: Svma(0x1000), bytes: &bytes }];
        let mut found = Vec::new();
        references(&code, &(0x1000..0x101b), &mut |reference| found.push(reference));
        assert_eq!(
            found,
            [
                Reference::Call { at: 0x1000, to: 0x1010 },
                Reference::Address { at: 0x1005, of: 0x2000 },
                Reference::Jump { at: 0x100e, to: 0x2000 },
                Reference::Through { at: 0x1013, word: 0x3000 },
            ]
        );
        found.clear();
        references(&code, &(0x1000..0x9000), &mut |reference| found.push(reference));
        references(&code, &(0..0x10), &mut |reference| found.push(reference));
        assert_eq!(found, []);
    }
}
