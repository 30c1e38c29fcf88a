//! From a frame to its caller's, by call frame information, with every register that can be had back.
//!
//! Variables of optimised code live in callee-saved registers (rbx, r12 to r15). The usual unwinding crates give back no
//! more than program counter, stack and frame pointer, so gimli's rows are applied here.

use super::evaluate::{Surroundings, evaluate};
use super::prologue::frame_pointer;
use super::sections::Slice;
use crate::target::{Avma, Bias, Svma};
use gimli::{
    BaseAddresses, CfaRule, DebugFrame, EhFrame, EhFrameHdr, EndianSlice, LittleEndian, Register,
    RegisterRule, UnwindContext, UnwindSection, UnwindTableRow, X86_64,
};
use object::{Object, ObjectSection};
use std::borrow::Cow;

/// General registers and the return address, as DWARF numbers them (System V ABI, AMD64 supplement, figure 3.36).
const NUMBERED: usize = 17;
/// What a function gives back as it found it (the same, figure 3.4); the stack pointer is the CFA.
const CALLEE_SAVED: [Register; 6] =
    [X86_64::RBX, X86_64::RBP, X86_64::R12, X86_64::R13, X86_64::R14, X86_64::R15];

/// Registers of one frame; None where nothing tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Registers([Option<u64>; NUMBERED]);

impl Registers {
    pub fn at(pc: Avma, sp: Avma, bp: Option<u64>) -> Registers {
        let mut registers = Registers::default();
        registers.set(X86_64::RA, Some(pc.0));
        registers.set(X86_64::RSP, Some(sp.0));
        registers.set(X86_64::RBP, bp);
        registers
    }

    pub fn get(&self, register: Register) -> Option<u64> {
        self.0.get(usize::from(register.0)).copied().flatten()
    }

    pub fn set(&mut self, register: Register, value: Option<u64>) {
        if let Some(slot) = self.0.get_mut(usize::from(register.0)) {
            *slot = value;
        }
    }

    /// Values of registers that a called function gives back, as far as known.
    pub fn callee_saved(&self) -> impl Iterator<Item = u64> {
        let values = *self;
        CALLEE_SAVED.into_iter().filter_map(move |register| values.get(register))
    }

    pub fn pc(&self) -> Option<Avma> {
        self.get(X86_64::RA).map(Avma)
    }

    pub fn sp(&self) -> Option<Avma> {
        self.get(X86_64::RSP).map(Avma)
    }
}

/// One step outward.
#[derive(Clone, Copy, Debug)]
pub struct Unwound {
    /// Of the frame that was left: what its caller's stack pointer was before the call.
    pub cfa: Avma,
    /// None: the outermost frame.
    pub caller: Option<Registers>,
    /// The frame that was left is a signal's: its caller was interrupted, it made no call.
    pub interrupted: bool,
}

/// Call frame information of one file.
#[derive(Debug)]
pub struct UnwindInfo<'a> {
    eh_frame: Option<(u64, Cow<'a, [u8]>)>,
    eh_frame_hdr: Option<(u64, Cow<'a, [u8]>)>,
    debug_frame: Option<Cow<'a, [u8]>>,
}

impl<'a> UnwindInfo<'a> {
    /// `debug`: the file with the program's debug information, which may have what the program itself lacks.
    pub fn of(program: &'a [u8], debug: Option<&'a [u8]>) -> Option<UnwindInfo<'a>> {
        let program = object::File::parse(program).ok()?;
        let section = |file: &object::File<'a>, name: &str| {
            let section = file.section_by_name(name)?;
            let bytes = section.uncompressed_data().ok().filter(|bytes| !bytes.is_empty())?;
            Some((section.address(), bytes))
        };
        let eh_frame = section(&program, ".eh_frame");
        let eh_frame_hdr = section(&program, ".eh_frame_hdr").filter(|_| eh_frame.is_some());
        let debug = debug.and_then(|debug| object::File::parse(debug).ok());
        let debug_frame = section(&program, ".debug_frame")
            .or_else(|| debug.as_ref().and_then(|debug| section(debug, ".debug_frame")))
            .map(|(_, bytes)| bytes);
        Some(UnwindInfo { eh_frame, eh_frame_hdr, debug_frame })
    }

    /// `code` is the address whose row counts: the program counter, or for a return address the byte before it.
    pub fn step(
        &self,
        registers: &Registers,
        code: Svma,
        bias: Bias,
        word: &dyn Fn(Avma) -> Option<u64>,
    ) -> Option<Unwound> {
        self.by_eh_frame(registers, code, bias, word).or_else(|| {
            let mut section = DebugFrame::new(self.debug_frame.as_deref()?, LittleEndian);
            section.set_address_size(8);
            let bases = BaseAddresses::default();
            let fde = section.fde_for_address(&bases, code.0, DebugFrame::cie_from_offset).ok()?;
            step_by(&section, &bases, &fde, registers, code, bias, word)
        })
    }

    fn by_eh_frame(
        &self,
        registers: &Registers,
        code: Svma,
        bias: Bias,
        word: &dyn Fn(Avma) -> Option<u64>,
    ) -> Option<Unwound> {
        let (address, bytes) = self.eh_frame.as_ref()?;
        let section = EhFrame::new(bytes, LittleEndian);
        let mut bases = BaseAddresses::default().set_eh_frame(*address);
        let table = self.eh_frame_hdr.as_ref().and_then(|(address, bytes)| {
            bases = bases.clone().set_eh_frame_hdr(*address);
            EhFrameHdr::new(bytes, LittleEndian).parse(&bases, 8).ok()
        });
        let fde = match table.as_ref().and_then(|table| table.table()) {
            Some(table) => table.fde_for_address(&section, &bases, code.0, EhFrame::cie_from_offset),
            None => section.fde_for_address(&bases, code.0, EhFrame::cie_from_offset),
        };
        step_by(&section, &bases, &fde.ok()?, registers, code, bias, word)
    }
}

fn step_by<'a, S>(
    section: &S,
    bases: &BaseAddresses,
    fde: &gimli::FrameDescriptionEntry<Slice<'a>>,
    registers: &Registers,
    code: Svma,
    bias: Bias,
    word: &dyn Fn(Avma) -> Option<u64>,
) -> Option<Unwound>
where
    S: UnwindSection<EndianSlice<'a, LittleEndian>>,
{
    let mut context = UnwindContext::new();
    let row = fde.unwind_info_for_address(section, bases, &mut context, code.0).ok()?;
    let mut registers = *registers;
    if registers.get(X86_64::RBP).is_none() && by_frame_pointer(row) {
        let start = Svma(fde.initial_address()).to_avma(bias);
        registers.set(X86_64::RBP, frame_pointer(start, &registers, word));
    }
    let registers = &registers;
    let encoding = fde.cie().encoding();
    let around = Surroundings { registers, frame_base: None, cfa: None, bias, word, indexed: &|_| None };
    let run = |expression: &gimli::UnwindExpression<usize>, first: Option<u64>| {
        evaluate(expression.get(section).ok()?, encoding, &around, first)
    };
    let cfa = match row.cfa() {
        CfaRule::RegisterAndOffset { register, offset } => {
            registers.get(*register)?.wrapping_add_signed(*offset)
        }
        // An expression says where, not what.
        CfaRule::Expression(expression) => run(expression, None)?.address()?.0,
    };
    let caller = caller(row, registers, fde.cie().return_address_register(), cfa, &run, word)?;
    Some(Unwound { cfa: Avma(cfa), caller, interrupted: fde.is_signal_trampoline() })
}

/// Evaluates an expression of the row, with a value on its stack first.
type Run<'r> = dyn Fn(&gimli::UnwindExpression<usize>, Option<u64>) -> Option<super::Placed> + 'r;

/// `rbp` points to its saved value, below the return address.
fn by_frame_pointer(row: &UnwindTableRow<usize>) -> bool {
    *row.cfa() == CfaRule::RegisterAndOffset { register: X86_64::RBP, offset: 16 }
        && row.register(X86_64::RBP) == Some(RegisterRule::Offset(-16))
}

/// None: the row makes no sense. Some(None): there is no caller.
fn caller(
    row: &UnwindTableRow<usize>,
    registers: &Registers,
    return_address: Register,
    cfa: u64,
    run: &Run<'_>,
    word: &dyn Fn(Avma) -> Option<u64>,
) -> Option<Option<Registers>> {
    let restore = |register: Register, rule: RegisterRule<usize>| match rule {
        RegisterRule::SameValue => registers.get(register),
        RegisterRule::Offset(offset) => word(Avma(cfa.wrapping_add_signed(offset))),
        RegisterRule::ValOffset(offset) => Some(cfa.wrapping_add_signed(offset)),
        RegisterRule::Register(other) => registers.get(other),
        RegisterRule::Expression(expression) => word(run(&expression, Some(cfa))?.address()?),
        RegisterRule::ValExpression(expression) => Some(run(&expression, Some(cfa))?.address()?.0),
        RegisterRule::Constant(value) => Some(value),
        _ => None,
    };
    let rule = match row.register(return_address)? {
        RegisterRule::Undefined => return Some(None),
        rule => rule,
    };
    let Some(pc) = restore(return_address, rule).filter(|pc| *pc != 0) else { return Some(None) };
    let mut caller = Registers::default();
    caller.set(X86_64::RA, Some(pc));
    caller.set(X86_64::RSP, Some(cfa));
    for register in CALLEE_SAVED {
        let rule = row.register(register).unwrap_or(RegisterRule::SameValue);
        caller.set(register, restore(register, rule));
    }
    if let Some(rule) = row.register(X86_64::RSP) {
        caller.set(X86_64::RSP, restore(X86_64::RSP, rule));
    }
    Some(Some(caller))
}
