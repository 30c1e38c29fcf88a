//! Where in a function a probe is cheap.
//!
//! The kernel carries out a few instructions at a probe by itself. Any other it copies elsewhere and single-steps, which is ten
//! times as dear (`arch_uprobe_analyze_insn` in arch/x86/kernel/uprobes.c). Where a function begins with one of those, there
//! may be another place in it as good: one that each call comes by once, with its arguments still where they were passed.

use iced_x86::{
    Decoder, DecoderOptions, FlowControl, Instruction, InstructionInfoFactory, Mnemonic, OpAccess, Register,
};
use std::collections::BTreeMap;

/// A probe's place in a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CheapPlace {
    /// From the function's first byte.
    pub offset: usize,
    /// Memory that others see may have been changed on the way there (a locked instruction), or not yet.
    pub after_lock: bool,
}

/// The kernel may make a call of it (6.18: `arch_uprobe_optimize`), which writes below the stack pointer: at an entry nothing stands
/// there; in the middle of a function that calls no other, its locals may.
const FIVE_BYTE_NOP: [u8; 5] = [0x0f, 0x1f, 0x44, 0x00, 0x00];
/// Functions of more instructions are not looked at.
const MAX_INSTRUCTIONS: usize = 1024;

/// The first such place in `code`, which is one whole function. `argument`: the register that must be as it was at the entry.
pub(super) fn cheap_place(code: &[u8], argument: Register) -> Option<CheapPlace> {
    if is_emulated(code) {
        return Some(CheapPlace { offset: 0, after_lock: false });
    }
    let flow = Flow::of(code, argument)?;
    let mut places = flow.steps.iter().filter(|(_, step)| step.emulated).map(|(at, _)| *at);
    places.find_map(|at| flow.once_per_call(at))
}

/// Whether the kernel carries out the instruction by itself.
pub(super) fn is_emulated(code: &[u8]) -> bool {
    match code {
        // push of any register
        [0x50..=0x57, ..] | [0x41, 0x50..=0x57, ..] => true,
        // jmp and call, relative; jumps on a condition; nop
        [0xeb | 0xe9 | 0xe8 | 0x70..=0x7f | 0x90, ..] | [0x0f, 0x80..=0x8f, ..] => true,
        _ => code.starts_with(&FIVE_BYTE_NOP),
    }
}

/// One instruction, and where it leads.
struct Step {
    next: [Option<usize>; 2],
    /// It may leave the function, to its caller or by a jump to another.
    leaves: bool,
    emulated: bool,
    overwrites_argument: bool,
    locked: bool,
}

/// The instructions that a function's entry leads to, by their offset.
struct Flow {
    steps: BTreeMap<usize, Step>,
}

impl Flow {
    fn of(code: &[u8], argument: Register) -> Option<Flow> {
        let mut steps = BTreeMap::new();
        let mut infos = InstructionInfoFactory::new();
        let mut decoder = Decoder::new(64, code, DecoderOptions::NONE);
        let mut open = vec![0];
        while let Some(at) = open.pop() {
            if steps.contains_key(&at) {
                continue;
            }
            if steps.len() >= MAX_INSTRUCTIONS {
                return None;
            }
            decoder.set_position(at).ok()?;
            decoder.set_ip(at as u64);
            let instruction = decoder.decode();
            if instruction.is_invalid() {
                return None;
            }
            let step = Step::of(&instruction, code, argument, &mut infos);
            open.extend(step.next.into_iter().flatten());
            steps.insert(at, step);
        }
        Some(Flow { steps })
    }

    fn once_per_call(&self, at: usize) -> Option<CheapPlace> {
        // No call gets out without coming by: else it would not be seen.
        let without = self.reached_from([0], Some(at));
        if without.iter().any(|reached| self.steps[reached].leaves) {
            return None;
        }
        // None comes by twice.
        let after = self.reached_from(self.steps[&at].next.into_iter().flatten(), None);
        if after.contains(&at) {
            return None;
        }
        // Whatever leads there lies before it, as it lies on no circle.
        let before = without.iter().filter(|step| self.reached_from([**step], None).contains(&at));
        let (mut after_lock, mut intact) = (false, true);
        for step in before.map(|step| &self.steps[step]) {
            after_lock |= step.locked;
            intact &= !step.overwrites_argument;
        }
        intact.then_some(CheapPlace { offset: at, after_lock })
    }

    /// The offsets that `from` leads to, itself included, on ways that do not go through `except`.
    fn reached_from(&self, from: impl IntoIterator<Item = usize>, except: Option<usize>) -> Vec<usize> {
        let mut open: Vec<usize> = from.into_iter().collect();
        let mut reached = std::collections::BTreeSet::new();
        while let Some(at) = open.pop() {
            if except != Some(at) && reached.insert(at) {
                open.extend(self.steps.get(&at).into_iter().flat_map(|step| step.next).flatten());
            }
        }
        reached.retain(|at| self.steps.contains_key(at));
        reached.into_iter().collect()
    }
}

impl Step {
    fn of(
        instruction: &Instruction,
        code: &[u8],
        argument: Register,
        infos: &mut InstructionInfoFactory,
    ) -> Step {
        let at = instruction.ip() as usize;
        let inside = |target: u64| usize::try_from(target).ok().filter(|target| *target < code.len());
        // What lies behind the last instruction is another function: a call there does not return.
        let following = inside(instruction.next_ip());
        let target = inside(instruction.near_branch_target());
        let (next, leaves) = match instruction.flow_control() {
            FlowControl::Next => ([following, None], following.is_none()),
            FlowControl::Call | FlowControl::IndirectCall => ([following, None], false),
            FlowControl::ConditionalBranch => ([following, target], following.is_none() || target.is_none()),
            FlowControl::UnconditionalBranch => ([target, None], target.is_none()),
            // `ud2`, `int3`: it ends here.
            FlowControl::Exception | FlowControl::Interrupt => ([None, None], false),
            FlowControl::Return | FlowControl::IndirectBranch | FlowControl::XbeginXabortXend => {
                ([None, None], true)
            }
        };
        let calls = matches!(instruction.flow_control(), FlowControl::Call | FlowControl::IndirectCall);
        let writes = infos.info(instruction).used_registers().iter().any(|used| {
            let read_only = matches!(used.access(), OpAccess::Read | OpAccess::CondRead | OpAccess::None);
            used.register().full_register() == argument && !read_only
        });
        Step {
            next,
            leaves,
            emulated: is_emulated(&code[at..]) && !code[at..].starts_with(&FIVE_BYTE_NOP),
            overwrites_argument: calls || writes,
            locked: instruction.has_lock_prefix() || instruction.mnemonic() == Mnemonic::Xchg,
        }
    }
}

#[cfg(test)]
#[path = "cheap_place_tests.rs"]
mod tests;
