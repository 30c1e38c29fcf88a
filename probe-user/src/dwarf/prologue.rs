//! The frame pointer of a thread's innermost frames, which the kernel does not tell.
//!
//! The standard library is compiled with frame pointers (<https://github.com/rust-lang/rust/pull/122646>), so its call frame
//! information begins at `rbp`. But how far below `rbp` the stack pointer is stands in the function's first instructions,
//! which have one form in what compilers write. Any other form is no answer, and neither is one that leads to no return
//! address.

use super::unwind::Registers;
use crate::target::Avma;

/// Longest prologue of that form: endbr64, push, mov, six pushes, sub.
const PROLOGUE: usize = 4 + 1 + 3 + 6 * 2 + 7;

/// `start` is the function's first instruction.
pub(super) fn frame_pointer(
    start: Avma,
    registers: &Registers,
    word: &dyn Fn(Avma) -> Option<u64>,
) -> Option<u64> {
    let words = PROLOGUE.div_ceil(8) as u64;
    let code: Option<Vec<[u8; 8]>> =
        (0..words).map(|i| word(start.offset(8 * i)).map(u64::to_le_bytes)).collect();
    let frame = registers.sp()?.offset(below(code?.as_flattened())?);
    returns_to_a_call(word(frame.offset(8))?, word).then_some(frame.0)
}

/// Bytes from the stack pointer up to where `rbp` points, after the prologue.
fn below(code: &[u8]) -> Option<u64> {
    let code = code.strip_prefix(&[0xf3, 0x0f, 0x1e, 0xfa]).unwrap_or(code);
    // push %rbp; mov %rsp, %rbp
    let mut code = code.strip_prefix(&[0x55, 0x48, 0x89, 0xe5])?;
    let mut below = 0;
    loop {
        code = match code {
            // push %rbx; push %rax only makes room.
            [0x50 | 0x53, rest @ ..] => rest,
            // push %r12 … %r15
            [0x41, 0x54..=0x57, rest @ ..] => rest,
            _ => break,
        };
        below += 8;
    }
    match code {
        // sub $imm8, %rsp; sub $imm32, %rsp. A page or more is probed on the way, by other instructions.
        [0x48, 0x83, 0xec, size, ..] if *size < 0x80 => Some(below + u64::from(*size)),
        [0x48, 0x81, 0xec, a, b, c, d, ..] => {
            let size = u32::from_le_bytes([*a, *b, *c, *d]);
            (size < 4096).then(|| below + u64::from(size))
        }
        _ => Some(below),
    }
}

/// Is there a call before this address?
fn returns_to_a_call(at: u64, word: &dyn Fn(Avma) -> Option<u64>) -> bool {
    let Some(before) = word(Avma(at.wrapping_sub(8))).map(u64::to_le_bytes) else { return false };
    // call rel32; call through memory relative to rip; call through a register or memory.
    matches!(before, [.., 0xe8, _, _, _, _] | [.., 0xff, 0x15, _, _, _, _])
        || [2, 3, 4, 7].iter().any(|len| {
            let [opcode, operand, ..] = before[8 - len..] else { return false };
            opcode == 0xff && (operand >> 3) & 7 == 2
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_one_form() {
        // push rbp; mov; push r15; push r14; push rbx; push rax
        assert_eq!(
            below(&[0x55, 0x48, 0x89, 0xe5, 0x41, 0x57, 0x41, 0x56, 0x53, 0x50, 0x49, 0x89]),
            Some(32)
        );
        assert_eq!(below(&[0x55, 0x48, 0x89, 0xe5, 0x53, 0x48, 0x83, 0xec, 0x28, 0x90]), Some(0x30));
        assert_eq!(below(&[0x55, 0x48, 0x89, 0xe5, 0x48, 0x81, 0xec, 0, 2, 0, 0, 0x90]), Some(0x200));
        // Two pages are probed.
        assert_eq!(below(&[0x55, 0x48, 0x89, 0xe5, 0x48, 0x81, 0xec, 0, 0x20, 0, 0, 0x90]), None);
        // No frame pointer.
        assert_eq!(below(&[0x41, 0x57, 0x41, 0x56, 0x53, 0x48, 0x83, 0xec, 0x28]), None);
    }

    #[test]
    fn a_return_address_follows_a_call() {
        let before = |bytes: [u8; 8]| {
            returns_to_a_call(0x1008, &|at| (at.0 == 0x1000).then(|| u64::from_le_bytes(bytes)))
        };
        assert!(before([0, 0, 0, 0xe8, 1, 2, 3, 4]));
        assert!(before([0, 0, 0xff, 0x15, 1, 2, 3, 4]));
        // call *%rax; call *0x18(%rcx)
        assert!(before([0, 0, 0, 0, 0, 0, 0xff, 0xd0]) && before([0, 0, 0, 0, 0, 0xff, 0x51, 0x18]));
        assert!(!before([0; 8]));
    }
}
