//! Every way through one function that resumes a coroutine, from one of its states: in which states it can return.
//!
//! The code is followed with what is known of registers and stack, so that the jump on the state is decided, and stores to the
//! state are seen. Where something else decides, both ways are taken. Whatever is not understood ends the walk: then nothing
//! is said.

use super::effect::{Effect, effect};
use super::value::{Known, Value};
use crate::dwarf::{Constants, FunctionCode};
use crate::target::Svma;
use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction, OpKind, Register};
use std::cell::Cell;
use std::collections::{BTreeSet, HashMap, HashSet};
use thiserror::Error;

/// Instructions that are followed from one state, and in all for one coroutine.
const MAX_STEPS: usize = 1_000_000;
pub const MAX_STEPS_IN_ALL: usize = 32 * MAX_STEPS;
/// Words that are kept in mind of all the ways from one state.
const MAX_WEIGHT: usize = 8_000_000;
/// From so many ways of coming to one place on, numbers that can be no state are forgotten there; from more on, all.
const MANY: usize = 16;
const VERY_MANY: usize = 160;
/// More ways of coming to one place are not taken.
const TOO_MANY: usize = 640;
/// Entries of one table of jumps.
const MAX_ENTRIES: u64 = 1024;

/// What rustc gives every coroutine (`CoroutineArgs` in
/// <https://github.com/rust-lang/rust/blob/1.95.0/compiler/rustc_type_ir/src/ty_kind/closure.rs>).
pub const UNRESUMED: u8 = 0;
pub const RETURNED: u8 = 1;

/// Why nothing is said of a function, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Unclear {
    #[error("its code jumps to where only running it tells")]
    Jump,
    #[error("its code computes the state")]
    State,
    #[error("its code has too many ways")]
    Ways,
    #[error("its code has an instruction that is not known")]
    Instruction,
}

/// What surrounds a function.
pub struct Surroundings<'s> {
    pub constants: &'s Constants<'s>,
    /// Whether a function at an address ever returns.
    pub returns: &'s dyn Fn(Svma) -> bool,
    /// Whether it returns a `Poll<()>`: 0 for Ready, 1 for Pending.
    pub polls: &'s dyn Fn(Svma) -> bool,
    /// Instructions that may yet be followed.
    pub left: &'s Cell<usize>,
}

pub struct Walk<'w> {
    code: FunctionCode<'w>,
    around: &'w Surroundings<'w>,
    /// Offsets, in the future that the function resumes, of the states that are tracked: of the coroutine that is looked at,
    /// then of those that it lies in, where it is inlined.
    tracked: Vec<i64>,
    /// Where instructions begin.
    starts: HashSet<u64>,
    /// What the function has the addresses of: tables of jumps begin there.
    addressed: BTreeSet<u64>,
}

impl<'w> Walk<'w> {
    pub fn new(code: FunctionCode<'w>, around: &'w Surroundings<'w>, tracked: Vec<i64>) -> Walk<'w> {
        let (mut starts, mut addressed) = (HashSet::new(), BTreeSet::new());
        for instruction in decoder(code, code.start.0) {
            starts.insert(instruction.ip());
            if instruction.is_ip_rel_memory_operand() {
                addressed.insert(instruction.ip_rel_memory_address());
            }
        }
        Walk { code, around, tracked, starts, addressed }
    }

    /// The states in which the coroutine can be when its resumption ends that began in the first of these; the others are those
    /// that await it. `future`: the register that has the address of the future.
    pub fn ends(&self, future: Register, states: &[u8]) -> Result<BTreeSet<u8>, Unclear> {
        let mut run = Run {
            walk: self,
            began: states,
            queue: Vec::new(),
            seen: HashMap::new(),
            ends: BTreeSet::new(),
            steps: MAX_STEPS.min(self.around.left.get()),
            weight: 0,
        };
        let before = run.steps;
        let ends = run.all(future);
        self.around.left.set(self.around.left.get() - (before - run.steps));
        ends.map(|()| run.ends)
    }

    /// Where the entries of a table lead. It ends where another begins, or where an entry leads out of the function. Empty where
    /// there are none, or too many.
    fn targets(&self, table: u64) -> Vec<u64> {
        let end = self.addressed.range(table + 1..).next().copied().unwrap_or(u64::MAX);
        let mut targets = Vec::new();
        for nth in 0..MAX_ENTRIES {
            let at = table.wrapping_add(4 * nth);
            let Some(offset) = self.around.constants.number(Svma(at), 4).filter(|_| at < end) else { break };
            let target = table.wrapping_add_signed(i64::from(offset as u32 as i32));
            if !self.starts.contains(&target) {
                break;
            }
            if nth + 1 == MAX_ENTRIES {
                return Vec::new();
            }
            targets.push(target);
        }
        targets.sort_unstable();
        targets.dedup();
        targets
    }
}

/// One walk as it goes.
struct Run<'r> {
    walk: &'r Walk<'r>,
    began: &'r [u8],
    queue: Vec<(u64, Known)>,
    seen: HashMap<u64, HashSet<Known>>,
    ends: BTreeSet<u8>,
    /// Instructions that may yet be followed.
    steps: usize,
    /// Of what is kept in `seen`.
    weight: usize,
}

impl Run<'_> {
    fn all(&mut self, future: Register) -> Result<(), Unclear> {
        self.queue.push((self.walk.code.start.0, Known::at_entry(future, self.began)));
        while let Some((at, known)) = self.queue.pop() {
            if let Some(known) = self.is_new(at, known)? {
                self.follow(at, known)?;
            }
        }
        Ok(())
    }

    /// What is to be known at a place that was not come to so before.
    fn is_new(&mut self, at: u64, mut known: Known) -> Result<Option<Known>, Unclear> {
        let seen = self.seen.entry(at).or_default();
        if seen.len() >= MANY {
            let largest = if seen.len() < VERY_MANY { Some(u8::MAX) } else { None };
            known.without_numbers(largest);
        }
        if seen.len() >= TOO_MANY || self.weight > MAX_WEIGHT {
            return Err(Unclear::Ways);
        }
        if !seen.insert(known.clone()) {
            return Ok(None);
        }
        self.weight += known.weight();
        Ok(Some(known))
    }

    /// Until the next branch.
    fn follow(&mut self, at: u64, mut known: Known) -> Result<(), Unclear> {
        for instruction in decoder(self.walk.code, at) {
            self.steps = self.steps.checked_sub(1).ok_or(Unclear::Ways)?;
            if instruction.is_invalid() {
                return Err(Unclear::Instruction);
            }
            match instruction.flow_control() {
                FlowControl::Next => {
                    match effect(&mut known, &instruction, self.walk.around.constants, &self.walk.tracked)? {
                        Effect::Done if self.has_left(&known) => {
                            self.ends.insert(RETURNED);
                            return Ok(());
                        }
                        Effect::Done => {}
                        Effect::Either(other) => self.queue.push((instruction.next_ip(), *other)),
                    }
                }
                FlowControl::Call | FlowControl::IndirectCall => {
                    if !self.comes_back(&instruction) {
                        return Ok(());
                    }
                    known.after_call();
                    if self.is_poll(&instruction) {
                        let mut pending = known.clone();
                        pending.set(Register::AL, Value::Byte(1));
                        self.queue.push((instruction.next_ip(), pending));
                        known.set(Register::AL, Value::Byte(0));
                    }
                }
                FlowControl::Return => {
                    self.end(&known)?;
                    return Ok(());
                }
                FlowControl::UnconditionalBranch => {
                    self.go(instruction.near_branch_target(), known)?;
                    return Ok(());
                }
                FlowControl::IndirectBranch => return self.jump(&instruction, known),
                FlowControl::ConditionalBranch => {
                    let taken = known.decides(instruction.condition_code());
                    if taken != Some(false) {
                        self.go(instruction.near_branch_target(), known.clone())?;
                    }
                    if taken != Some(true) {
                        self.queue.push((instruction.next_ip(), known));
                    }
                    return Ok(());
                }
                // `ud2`, `int3`.
                FlowControl::Exception | FlowControl::Interrupt => return Ok(()),
                FlowControl::XbeginXabortXend => return Err(Unclear::Instruction),
            }
        }
        // Off the end of the function: nothing returns there.
        Ok(())
    }

    /// The function returns.
    fn end(&mut self, known: &Known) -> Result<(), Unclear> {
        let (Some(state), outer) = (known.states[0], &known.states[1..]) else { return Err(Unclear::State) };
        if outer.contains(&None) {
            return Err(Unclear::State);
        }
        // What awaited it awaits something else now, or has returned.
        let is_left = outer.iter().zip(&self.began[1..]).any(|(now, began)| *now != Some(*began));
        self.ends.insert(if is_left { RETURNED } else { state });
        Ok(())
    }

    /// A coroutine that is inlined returned, and what awaits it goes on; or another one is made in its place.
    fn has_left(&self, known: &Known) -> bool {
        let (now, began) = (known.states[0], self.began[0]);
        self.began.len() > 1
            && began != RETURNED
            && (now == Some(RETURNED) || now == Some(UNRESUMED) && began != UNRESUMED)
    }

    fn go(&mut self, target: u64, known: Known) -> Result<(), Unclear> {
        if self.walk.code.covers(Svma(target)) {
            self.queue.push((target, known));
        } else if (self.walk.around.returns)(Svma(target)) {
            // Another function is left to return for this one.
            self.end(&known)?;
        }
        Ok(())
    }

    fn jump(&mut self, instruction: &Instruction, known: Known) -> Result<(), Unclear> {
        if instruction.op0_kind() == OpKind::Memory {
            let slot =
                instruction.is_ip_rel_memory_operand().then(|| Svma(instruction.ip_rel_memory_address()));
            if slot.is_none_or(|slot| self.leads_to_one_that_returns(slot)) && known.is_balanced() {
                self.end(&known)?;
                return Ok(());
            }
            return slot.is_some().then_some(()).ok_or(Unclear::Jump);
        }
        match known.get(instruction.op0_register()) {
            Value::Number(target) => self.go(target, known)?,
            Value::Jump(table) => {
                let targets = self.walk.targets(table);
                if targets.is_empty() {
                    return Err(Unclear::Jump);
                }
                self.queue.extend(targets.into_iter().map(|target| (target, known.clone())));
            }
            // With the stack as it was: another function returns for this one.
            _ if known.is_balanced() => {
                self.end(&known)?;
            }
            _ => return Err(Unclear::Jump),
        }
        Ok(())
    }

    /// Whether what is called can return.
    fn comes_back(&self, instruction: &Instruction) -> bool {
        match instruction.op0_kind() {
            OpKind::NearBranch64 => (self.walk.around.returns)(Svma(instruction.near_branch_target())),
            OpKind::Memory if instruction.is_ip_rel_memory_operand() => {
                self.leads_to_one_that_returns(Svma(instruction.ip_rel_memory_address()))
            }
            _ => true,
        }
    }

    /// What is called polls a future without a result.
    fn is_poll(&self, instruction: &Instruction) -> bool {
        let target = match instruction.op0_kind() {
            OpKind::NearBranch64 => Some(Svma(instruction.near_branch_target())),
            OpKind::Memory if instruction.is_ip_rel_memory_operand() => {
                self.walk.around.constants.address(Svma(instruction.ip_rel_memory_address()))
            }
            _ => None,
        };
        target.is_some_and(|target| (self.walk.around.polls)(target))
    }

    /// Whether the function that a word leads to returns.
    fn leads_to_one_that_returns(&self, slot: Svma) -> bool {
        let constants = self.walk.around.constants;
        match (constants.address(slot), constants.import(slot)) {
            (Some(address), _) => (self.walk.around.returns)(address),
            (None, Some(name)) => !matches!(name, "abort" | "_Unwind_Resume" | "exit" | "_exit"),
            (None, None) => true,
        }
    }
}

pub(super) fn decoder<'c>(code: FunctionCode<'c>, at: u64) -> Decoder<'c> {
    let from = usize::try_from(at.wrapping_sub(code.start.0)).unwrap_or(usize::MAX);
    let bytes = code.bytes.get(from..).unwrap_or_default();
    Decoder::with_ip(64, bytes, at, DecoderOptions::NONE)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs code at 0x1000 whose state is the byte at 8 of what RDI points to.
    fn ends(bytes: &[u8], future: Register, state: u8) -> Result<Vec<u8>, Unclear> {
        let (constants, returns) = (Constants::default(), |at: Svma| at.0 != 0x2000);
        let (polls, left) = (|at: Svma| at.0 == 0x3000, Cell::new(MAX_STEPS));
        let around = Surroundings { constants: &constants, returns: &returns, polls: &polls, left: &left };
        let code = FunctionCode { start: Svma(0x1000), bytes };
        Walk::new(code, &around, vec![8]).ends(future, &[state]).map(|ends| ends.into_iter().collect())
    }

    #[rustfmt::skip]
    const TWO_STATES: [u8; 25] = [
        0x0f, 0xb6, 0x47, 0x08, // movzx eax, byte [rdi+8]
        0x83, 0xf8, 0x03,       // cmp eax, 3
        0x74, 0x09,             // je 0x1012
        0x85, 0xc0,             // test eax, eax
        0x75, 0x0a,             // jne 0x1017
        0xc6, 0x47, 0x08, 0x03, // mov byte [rdi+8], 3
        0xc3,                   // ret
        0xc6, 0x47, 0x08, 0x01, // mov byte [rdi+8], 1
        0xc3,                   // ret
        0x0f, 0x0b,             // ud2
    ];

    #[test]
    fn the_jump_on_the_state_is_decided() {
        let ends = |state| ends(&TWO_STATES, Register::RDI, state);
        assert_eq!([0, 3, 1].map(ends), [Ok(vec![3]), Ok(vec![1]), Ok(vec![])]);
    }

    #[test]
    fn with_another_register_it_is_not_understood() {
        assert_eq!(ends(&TWO_STATES, Register::RSI, 1), Err(Unclear::State));
        // Nothing is stored: then it returns from every state, which a coroutine that has returned does not.
        assert_eq!(ends(&[0xc3], Register::RSI, 1), Ok(vec![1]));
    }

    #[test]
    fn what_decides_otherwise_is_taken_both_ways() {
        // test ecx, ecx; je 0x1009; mov byte [rdi+8], 4; ret; mov dword [rdi+6], 0x50000; ret
        let code = [0x85, 0xc9, 0x74, 0x05, 0xc6, 0x47, 0x08, 0x04, 0xc3, 0xc7, 0x47, 0x06, 0, 0, 5, 0, 0xc3];
        assert_eq!(ends(&code, Register::RDI, 0), Ok(vec![4, 5]));
    }

    #[test]
    fn a_choice_of_two_numbers_is_two_ways() {
        // mov eax, 3; mov edx, 4; test ecx, ecx; cmovne eax, edx; mov [rdi+8], al; ret
        let code = [0xb8, 3, 0, 0, 0, 0xba, 4, 0, 0, 0, 0x85, 0xc9, 0x0f, 0x45, 0xc2, 0x88, 0x47, 0x08, 0xc3];
        assert_eq!(ends(&code, Register::RDI, 0), Ok(vec![3, 4]));
    }

    #[test]
    fn what_is_not_understood_is_not_told() {
        // mov [rdi+8], cl; ret
        assert_eq!(ends(&[0x88, 0x4f, 0x08, 0xc3], Register::RDI, 0), Err(Unclear::State));
        // mov byte [rcx+8], 3; ret
        assert_eq!(ends(&[0xc6, 0x41, 0x08, 3, 0xc3], Register::RDI, 0), Err(Unclear::State));
        // push rax; jmp rcx
        assert_eq!(ends(&[0x50, 0xff, 0xe1], Register::RDI, 0), Err(Unclear::Jump));
        assert_eq!(ends(&[0x06], Register::RDI, 0), Err(Unclear::Instruction));
    }

    #[test]
    fn what_never_returns_ends_a_way() {
        // call 0x2000; mov byte [rdi+8], 3; ret
        let never = [0xe8, 0xfb, 0x0f, 0, 0, 0xc6, 0x47, 0x08, 3, 0xc3];
        assert_eq!(ends(&never, Register::RDI, 0), Ok(vec![]));
        // mov rbx, rdi; call 0x2001; mov byte [rbx+8], 3; ret
        let returns = [0x48, 0x89, 0xfb, 0xe8, 0xf9, 0x0f, 0, 0, 0xc6, 0x43, 0x08, 3, 0xc3];
        assert_eq!(ends(&returns, Register::RDI, 0), Ok(vec![3]));
    }

    #[test]
    fn what_is_called_may_write_to_what_it_is_given() {
        // mov rbx, rdi; mov byte [rsp+8], 3; lea rdi, [rsp+8]; call 0x2001; mov al, [rsp+8]; mov [rbx+8], al; ret
        let code = [
            0x48, 0x89, 0xfb, 0xc6, 0x44, 0x24, 0x08, 0x03, 0x48, 0x8d, 0x7c, 0x24, 0x08, 0xe8, 0xef, 0x0f,
            0, 0, 0x8a, 0x44, 0x24, 0x08, 0x88, 0x43, 0x08, 0xc3,
        ];
        assert_eq!(ends(&code, Register::RDI, 0), Err(Unclear::State));
        let mut other = code;
        // lea rdi, [rsp+16]: beside it.
        other[12] = 0x10;
        assert_eq!(ends(&other, Register::RDI, 0), Ok(vec![3]));
    }

    #[test]
    fn a_state_is_computed_from_what_a_poll_returns() {
        // mov rbx, rdi; call 0x3000; mov ecx, eax; add cl, al; inc cl; mov [rbx+8], cl; ret
        let code = [
            0x48, 0x89, 0xfb, 0xe8, 0xf8, 0x1f, 0, 0, 0x89, 0xc1, 0x00, 0xc1, 0xfe, 0xc1, 0x88, 0x4b, 0x08,
            0xc3,
        ];
        assert_eq!(ends(&code, Register::RDI, 0), Ok(vec![1, 3]));
    }

    #[test]
    fn loops_end() {
        // xor eax, eax; inc eax; cmp ecx, eax; jne 0x1002; mov byte [rdi+8], 3; ret
        let code = [0x31, 0xc0, 0xff, 0xc0, 0x39, 0xc1, 0x75, 0xfa, 0xc6, 0x47, 0x08, 3, 0xc3];
        assert_eq!(ends(&code, Register::RDI, 0), Ok(vec![3]));
    }
}
