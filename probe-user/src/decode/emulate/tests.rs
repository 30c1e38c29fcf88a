//! Small pieces of code, run; and code that nobody wrote.

use super::machine::{CodeImage, MAX_STEPS, Machine, Outside};
use super::{Overlay, Stop};
use crate::dwarf::Code;
use crate::target::{Avma, Bias, Memory, ReadError, Region, Svma};
use proptest::prelude::*;
use std::cell::Cell;

const CODE: u64 = 0x1000;
const DATA: u64 = 0x8000;
const FOREIGN: u64 = 0x7000;

/// One page at [`DATA`].
struct Page(Vec<u8>);

impl Memory for Page {
    fn read(&self, at: Avma, buf: &mut [u8]) -> Result<(), ReadError> {
        let into = at.0.checked_sub(DATA).ok_or(ReadError::Unmapped(at))? as usize;
        let bytes = into.checked_add(buf.len()).and_then(|end| self.0.get(into..end));
        buf.copy_from_slice(bytes.ok_or(ReadError::Unmapped(at))?);
        Ok(())
    }

    fn regions(&self) -> &[Region] {
        &[]
    }
}

/// What is called at [`FOREIGN`] returns 7.
#[derive(Default)]
struct Seven(Cell<u32>);

impl Outside<Page> for Seven {
    fn call(&mut self, at: u64, _: &mut Machine<'_, Page>) -> Result<Option<u64>, Stop> {
        self.0.set(self.0.get() + u32::from(at == FOREIGN));
        Ok((at == FOREIGN).then_some(7))
    }
}

struct Ran {
    ended: Result<(), Stop>,
    rax: u64,
    /// The first words at [`DATA`] afterwards.
    words: [u64; 4],
    foreign: u32,
    /// Of the third word.
    was_read: bool,
    steps: u64,
}

/// Calls code with the address of four words.
fn run(code: &[u8], words: [u64; 4]) -> Ran {
    let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    bytes.resize(4096, 0);
    let page = Page(bytes);
    let watched = DATA + 16..DATA + 24;
    let mut machine = Machine::new(Overlay::new(&page, [watched]), Some(Avma(DATA + 0x100)));
    let mut outside = Seven::default();
    let code = [Code { start: Svma(CODE), bytes: code }];
    let image = CodeImage { code: &code, bias: Bias(0) };
    let ended = machine.run(&image, Avma(CODE), Avma(DATA), &mut outside);
    let was_read = machine.memory.was_read(0);
    let word = |i: u64| machine.memory.read_u64(Avma(DATA + 8 * i)).expect("a page");
    let words = [word(0), word(1), word(2), word(3)];
    Ran {
        ended,
        rax: machine.registers[0],
        words,
        foreign: outside.0.get(),
        was_read,
        steps: machine.steps(),
    }
}

/// `rax` of code that ends well.
fn rax(code: &[u8], words: [u64; 4]) -> u64 {
    let ran = run(code, words);
    assert_eq!(ran.ended, Ok(()));
    ran.rax
}

#[test]
fn writes_stay_in_the_copy_and_reads_are_told() {
    // lock dec qword [rdi]; mov rax, [rdi]; mov [rdi+8], rax; ret
    let ran = run(&[0xf0, 0x48, 0xff, 0x0f, 0x48, 0x8b, 0x07, 0x48, 0x89, 0x47, 8, 0xc3], [5, 6, 7, 8]);
    assert_eq!((ran.ended, ran.rax, ran.words, ran.was_read), (Ok(()), 4, [4, 4, 7, 8], false));
    // mov eax, [rdi+20]; ret
    let ran = run(&[0x8b, 0x47, 20, 0xc3], [0, 0, 9 << 32, 0]);
    assert_eq!((ran.rax, ran.was_read), (9, true));
}

#[test]
fn operands_of_each_width_leave_what_the_processor_leaves() {
    // mov rax, -1; mov al, 1 / mov ah, 1 / mov ax, 1 / mov eax, 1; ret
    let with = |rest: &[u8]| [&[0x48, 0xc7, 0xc0, 0xff, 0xff, 0xff, 0xff], rest, &[0xc3]].concat();
    assert_eq!(rax(&with(&[0xb0, 1]), [0; 4]), 0xffff_ffff_ffff_ff01);
    assert_eq!(rax(&with(&[0xb4, 1]), [0; 4]), 0xffff_ffff_ffff_01ff);
    assert_eq!(rax(&with(&[0x66, 0xb8, 1, 0]), [0; 4]), 0xffff_ffff_ffff_0001);
    assert_eq!(rax(&with(&[0xb8, 1, 0, 0, 0]), [0; 4]), 1);
    // movsx rax, byte [rdi]; movzx eax, byte [rdi]
    assert_eq!(rax(&[0x48, 0x0f, 0xbe, 0x07, 0xc3], [0x80, 0, 0, 0]), 0xffff_ffff_ffff_ff80);
    assert_eq!(rax(&[0x0f, 0xb6, 0x07, 0xc3], [0x80, 0, 0, 0]), 0x80);
}

#[test]
fn comparisons_are_signed_or_not() {
    // xor eax, eax; mov rcx, [rdi]; cmp rcx, [rdi+8]; setCC al; ret
    let set = |condition: u8, a: i64, b: i64| {
        let code = [0x31, 0xc0, 0x48, 0x8b, 0x0f, 0x48, 0x3b, 0x4f, 8, 0x0f, 0x90 | condition, 0xc0, 0xc3];
        rax(&code, [a as u64, b as u64, 0, 0]) == 1
    };
    for (a, b) in [(0, 0), (1, -1), (-1, 1), (i64::MIN, 1), (i64::MAX, -1), (5, 7), (i64::MIN, i64::MAX)] {
        let (ua, ub) = (a as u64, b as u64);
        let expected = [
            (0, a.overflowing_sub(b).1),
            (2, ua < ub),
            (3, ua >= ub),
            (4, a == b),
            (5, a != b),
            (6, ua <= ub),
            (7, ua > ub),
            (8, a.wrapping_sub(b) < 0),
            (12, a < b),
            (13, a >= b),
            (14, a <= b),
            (15, a > b),
        ];
        for (condition, holds) in expected {
            assert_eq!(set(condition, a, b), holds, "condition {condition} of {a} and {b}");
        }
    }
}

#[test]
fn locks_are_taken_and_let_go() {
    // xor eax, eax; mov ecx, 1; lock cmpxchg [rdi], ecx; sete al; ret
    let take = [0x31, 0xc0, 0xb9, 1, 0, 0, 0, 0xf0, 0x0f, 0xb1, 0x0f, 0x0f, 0x94, 0xc0, 0xc3];
    let (free, held) = (run(&take, [0; 4]), run(&take, [2, 0, 0, 0]));
    assert_eq!((free.rax & 0xff, free.words[0]), (1, 1));
    assert_eq!((held.rax & 0xff, held.words[0]), (0, 2));
    // xor eax, eax; xchg [rdi], eax; ret
    let ran = run(&[0x31, 0xc0, 0x87, 0x07, 0xc3], [1, 0, 0, 0]);
    assert_eq!((ran.rax, ran.words[0]), (1, 0));
    // mov eax, 3; lock xadd [rdi], rax; ret
    let ran = run(&[0xb8, 3, 0, 0, 0, 0xf0, 0x48, 0x0f, 0xc1, 0x07, 0xc3], [4, 0, 0, 0]);
    assert_eq!((ran.rax, ran.words[0]), (4, 7));
}

#[test]
fn a_jump_table_is_followed() {
    // movzx eax, byte [rdi]; lea rcx, [rip+T]; movsxd rax, [rcx+rax*4]; add rax, rcx; jmp rax
    let mut code = vec![0x0f, 0xb6, 0x07, 0x48, 0x8d, 0x0d, 0, 0, 0, 0, 0x48, 0x63, 0x04, 0x81];
    code.extend([0x48, 0x01, 0xc8, 0xff, 0xe0]);
    // mov eax, 10; ret; mov eax, 20; ret
    let first = code.len() as u64;
    code.extend([0xb8, 10, 0, 0, 0, 0xc3, 0xb8, 20, 0, 0, 0, 0xc3]);
    // The table is read as memory: it stands in the data, at the second word.
    let table = DATA + 8;
    code[6..10].copy_from_slice(&((table - (CODE + 10)) as u32).to_le_bytes());
    let entry = |to: u64| (CODE + to).wrapping_sub(table) & 0xffff_ffff;
    let words = |state| [state, entry(first) | entry(first + 6) << 32, 0, 0];
    assert_eq!(rax(&code, words(0)), 10);
    assert_eq!(rax(&code, words(1)), 20);
}

#[test]
fn calls_of_known_functions_come_back_at_once() {
    // sub rsp, 8; mov rax, [rdi]; call rax; add rax, 1; add rsp, 8; ret
    let code =
        [0x48, 0x83, 0xec, 8, 0x48, 0x8b, 0x07, 0xff, 0xd0, 0x48, 0x83, 0xc0, 1, 0x48, 0x83, 0xc4, 8, 0xc3];
    let ran = run(&code, [FOREIGN, 0, 0, 0]);
    assert_eq!((ran.ended, ran.rax, ran.foreign), (Ok(()), 8, 1));
    // As a tail call: jmp [rdi]
    let ran = run(&[0xff, 0x27], [FOREIGN, 0, 0, 0]);
    assert_eq!((ran.ended, ran.rax, ran.foreign), (Ok(()), 7, 1));
    assert_eq!(run(&code, [0x9999, 0, 0, 0]).ended, Err(Stop::Call(0x9999)));
}

#[test]
fn vectors_and_strings_move_words() {
    // movups xmm0, [rdi]; movups [rdi+16], xmm0; ret
    let ran = run(&[0x0f, 0x10, 0x07, 0x0f, 0x11, 0x47, 16, 0xc3], [1, 2, 3, 4]);
    assert_eq!(ran.words, [1, 2, 1, 2]);
    // movq xmm0, [rdi]; movq xmm1, [rdi+8]; punpcklqdq xmm1, xmm0; movdqu [rdi], xmm1; ret
    let mut code = vec![0xf3, 0x0f, 0x7e, 0x07, 0xf3, 0x0f, 0x7e, 0x4f, 8, 0x66, 0x0f, 0x6c, 0xc8];
    code.extend([0xf3, 0x0f, 0x7f, 0x0f, 0xc3]);
    assert_eq!(run(&code, [1, 2, 3, 4]).words, [2, 1, 3, 4]);
    // lea rsi, [rdi+16]; mov ecx, 2; rep movsq; mov rax, rcx; ret
    let code = [0x48, 0x8d, 0x77, 16, 0xb9, 2, 0, 0, 0, 0xf3, 0x48, 0xa5, 0x48, 0x89, 0xc8, 0xc3];
    let ran = run(&code, [1, 2, 3, 4]);
    assert_eq!((ran.words, ran.rax), ([3, 4, 3, 4], 0));
}

#[test]
fn thread_locals_hang_at_the_thread_pointer() {
    // mov rax, fs:[-0x100]; ret
    let code = [0x64, 0x48, 0x8b, 0x04, 0x25, 0, 0xff, 0xff, 0xff, 0xc3];
    assert_eq!(rax(&code, [42, 0, 0, 0]), 42);
}

#[test]
fn what_does_not_end_or_is_not_known_ends_the_run() {
    assert_eq!(run(&[0xeb, 0xfe], [0; 4]).ended, Err(Stop::Endless), "jmp $");
    assert_eq!(run(&[0xe8, 0xfb, 0xff, 0xff, 0xff], [0; 4]).ended, Err(Stop::Endless), "call $");
    assert_eq!(run(&[0x0f, 0x0b], [0; 4]).ended, Err(Stop::Trap(CODE)), "ud2");
    assert_eq!(run(&[0x0f, 0x05, 0xc3], [0; 4]).ended, Err(Stop::Instruction(CODE)), "syscall");
    assert_eq!(run(&[0x48, 0x8b, 0x04, 0x25, 0, 0, 0, 0, 0xc3], [0; 4]).ended, Err(Stop::Unreadable(0)));
    // mov rcx, -1; rep stosb
    let code = [0x48, 0xc7, 0xc1, 0xff, 0xff, 0xff, 0xff, 0xf3, 0xaa, 0xc3];
    assert_eq!(run(&code, [0; 4]).ended, Err(Stop::Memory));
    // xor edx, edx; xor eax, eax; div rdx
    assert_eq!(
        run(&[0x31, 0xd2, 0x31, 0xc0, 0x48, 0xf7, 0xf2, 0xc3], [0; 4]).ended,
        Err(Stop::Trap(CODE + 4))
    );
}

/// Opcodes that compiled code is made of, so that random code gets somewhere.
fn instruction() -> impl Strategy<Value = Vec<u8>> {
    let any_bytes = proptest::collection::vec(any::<u8>(), 1..6);
    let plain = (
        prop::sample::select(vec![0x01, 0x03, 0x29, 0x31, 0x85, 0x87, 0x89, 0x8b, 0x8d, 0xc1, 0xd3, 0xf7]),
        prop::sample::select(vec![0x40u8, 0x48, 0x66, 0xf0, 0xf2, 0xf3, 0x64]),
        any::<[u8; 3]>(),
    );
    let plain = plain.prop_map(|(opcode, prefix, rest)| [&[prefix, opcode], &rest[..]].concat());
    let extended = (any::<u8>(), prop::sample::select(vec![0x48u8, 0x66, 0xf2, 0xf3]), any::<[u8; 3]>());
    let extended = extended.prop_map(|(opcode, prefix, rest)| [&[prefix, 0x0f, opcode], &rest[..]].concat());
    prop_oneof![any_bytes, plain, extended]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    #[test]
    fn hostile_code_ends(code in proptest::collection::vec(instruction(), 1..60), words in any::<[u64; 4]>()) {
        let code = code.concat();
        for words in [words, [DATA, CODE, FOREIGN, DATA + 8]] {
            let ran = run(&code, words);
            prop_assert!(ran.ended.is_err() || ran.steps <= MAX_STEPS);
        }
    }

    #[test]
    fn arithmetic_is_that_of_the_processor(a in any::<u64>(), b in any::<u64>(), by in 0u8..64) {
        // mov rax, [rdi]; OP rax, [rdi+8]; ret
        let two = |opcode: u8| rax(&[0x48, 0x8b, 0x07, 0x48, opcode, 0x47, 8, 0xc3], [a, b, 0, 0]);
        prop_assert_eq!(two(0x03), a.wrapping_add(b));
        prop_assert_eq!(two(0x2b), a.wrapping_sub(b));
        prop_assert_eq!(two(0x23), a & b);
        prop_assert_eq!(two(0x0b), a | b);
        prop_assert_eq!(two(0x33), a ^ b);
        // mov rax, [rdi]; SHIFT rax, by; ret
        let shift = |form: u8| rax(&[0x48, 0x8b, 0x07, 0x48, 0xc1, form, by, 0xc3], [a, 0, 0, 0]);
        prop_assert_eq!(shift(0xe0), a << by);
        prop_assert_eq!(shift(0xe8), a >> by);
        prop_assert_eq!(shift(0xf8), (a as i64 >> by) as u64);
        prop_assert_eq!(shift(0xc0), a.rotate_left(by.into()));
        prop_assert_eq!(shift(0xc8), a.rotate_right(by.into()));
        // imul rax, [rdi+8]; mul [rdi+8], then the high half
        let product = rax(&[0x48, 0x8b, 0x07, 0x48, 0x0f, 0xaf, 0x47, 8, 0xc3], [a, b, 0, 0]);
        prop_assert_eq!(product, a.wrapping_mul(b));
        let high = rax(&[0x48, 0x8b, 0x07, 0x48, 0xf7, 0x67, 8, 0x48, 0x89, 0xd0, 0xc3], [a, b, 0, 0]);
        prop_assert_eq!(high, ((u128::from(a) * u128::from(b)) >> 64) as u64);
        // Carry goes into the next word: mov rax, [rdi]; add rax, [rdi+8]; sbb rax, rax
        let carry = rax(&[0x48, 0x8b, 0x07, 0x48, 0x03, 0x47, 8, 0x48, 0x19, 0xc0, 0xc3], [a, b, 0, 0]);
        prop_assert_eq!(carry != 0, a.checked_add(b).is_none());
    }
}
