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
use std::collections::{BTreeSet, HashMap, HashSet};
use thiserror::Error;

/// Instructions that are followed from one state.
const MAX_STEPS: usize = 1_000_000;
/// From so many ways of coming to one place on, numbers are forgotten there.
const MANY: usize = 16;
/// More ways of coming to one place are not taken.
const TOO_MANY: usize = 400;
/// Entries of one table of jumps.
const MAX_ENTRIES: u64 = 1024;

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
}

pub struct Walk<'w> {
    code: FunctionCode<'w>,
    around: &'w Surroundings<'w>,
    /// Offset of the state in the future.
    state_at: i64,
    /// Where instructions begin.
    starts: HashSet<u64>,
    /// What the function has the addresses of: tables of jumps begin there.
    addressed: BTreeSet<u64>,
}

impl<'w> Walk<'w> {
    pub fn new(code: FunctionCode<'w>, around: &'w Surroundings<'w>, state_at: i64) -> Walk<'w> {
        let (mut starts, mut addressed) = (HashSet::new(), BTreeSet::new());
        for instruction in decoder(code, code.start.0) {
            starts.insert(instruction.ip());
            if instruction.is_ip_rel_memory_operand() {
                addressed.insert(instruction.ip_rel_memory_address());
            }
        }
        Walk { code, around, state_at, starts, addressed }
    }

    /// The states in which the function can return when it is called in `state`.
    pub fn ends(&self, future: Register, state: u8) -> Result<BTreeSet<u8>, Unclear> {
        let mut run =
            Run { walk: self, queue: Vec::new(), seen: HashMap::new(), ends: BTreeSet::new(), steps: 0 };
        run.queue.push((self.code.start.0, Known::at_entry(future, state)));
        while let Some((at, known)) = run.queue.pop() {
            if let Some(known) = run.is_new(at, known)? {
                run.follow(at, known)?;
            }
        }
        Ok(run.ends)
    }

    /// Where the entries of a table lead. It ends where another begins, or where an entry leads out of the function.
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
    queue: Vec<(u64, Known)>,
    seen: HashMap<u64, HashSet<Known>>,
    ends: BTreeSet<u8>,
    steps: usize,
}

impl Run<'_> {
    /// What is to be known at a place that was not come to so before.
    fn is_new(&mut self, at: u64, mut known: Known) -> Result<Option<Known>, Unclear> {
        let seen = self.seen.entry(at).or_default();
        if seen.len() >= MANY {
            known.without_numbers();
        }
        if seen.len() >= TOO_MANY {
            return Err(Unclear::Ways);
        }
        Ok(seen.insert(known.clone()).then_some(known))
    }

    /// Until the next branch.
    fn follow(&mut self, at: u64, mut known: Known) -> Result<(), Unclear> {
        for instruction in decoder(self.walk.code, at) {
            self.steps += 1;
            if self.steps > MAX_STEPS {
                return Err(Unclear::Ways);
            }
            if instruction.is_invalid() {
                return Err(Unclear::Instruction);
            }
            match instruction.flow_control() {
                FlowControl::Next => {
                    match effect(&mut known, &instruction, self.walk.around.constants, self.walk.state_at)? {
                        Effect::Done => {}
                        Effect::Either(other) => self.queue.push((instruction.next_ip(), *other)),
                    }
                }
                FlowControl::Call | FlowControl::IndirectCall => {
                    if !self.comes_back(&instruction) {
                        return Ok(());
                    }
                    known.after_call();
                }
                FlowControl::Return => {
                    self.ends.insert(known.state);
                    return Ok(());
                }
                FlowControl::UnconditionalBranch => {
                    self.go(instruction.near_branch_target(), known);
                    return Ok(());
                }
                FlowControl::IndirectBranch => return self.jump(&instruction, known),
                FlowControl::ConditionalBranch => {
                    let taken = known.decides(instruction.condition_code());
                    if taken != Some(false) {
                        self.go(instruction.near_branch_target(), known.clone());
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

    fn go(&mut self, target: u64, known: Known) {
        if self.walk.code.covers(Svma(target)) {
            self.queue.push((target, known));
        } else if (self.walk.around.returns)(Svma(target)) {
            // Another function is left to return for this one.
            self.ends.insert(known.state);
        }
    }

    fn jump(&mut self, instruction: &Instruction, known: Known) -> Result<(), Unclear> {
        if instruction.op0_kind() == OpKind::Memory {
            let slot =
                instruction.is_ip_rel_memory_operand().then(|| Svma(instruction.ip_rel_memory_address()));
            if slot.is_none_or(|slot| self.leads_to_one_that_returns(slot)) && known.is_balanced() {
                self.ends.insert(known.state);
                return Ok(());
            }
            return slot.is_some().then_some(()).ok_or(Unclear::Jump);
        }
        match known.get(instruction.op0_register()) {
            Value::Number(target) => self.go(target, known),
            Value::Jump(table) => {
                let targets = self.walk.targets(table);
                if targets.is_empty() {
                    return Err(Unclear::Jump);
                }
                self.queue.extend(targets.into_iter().map(|target| (target, known.clone())));
            }
            // With the stack as it was: another function returns for this one.
            _ if known.is_balanced() => {
                self.ends.insert(known.state);
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
