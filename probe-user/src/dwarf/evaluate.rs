//! DWARF expressions, evaluated on what is known of a frame. What is not known makes the answer unknown.

use super::sections::Slice;
use super::unwind::Registers;
use crate::target::{Avma, Bias};
use gimli::{EvaluationResult, Location, Value};

/// Longer programs are not what a compiler writes.
const MAX_STEPS: u32 = 1024;

/// What an expression may ask for.
pub(super) struct Surroundings<'s> {
    pub registers: &'s Registers,
    pub frame_base: Option<u64>,
    pub cfa: Option<u64>,
    pub bias: Bias,
    pub word: &'s dyn Fn(Avma) -> Option<u64>,
    /// An entry of `.debug_addr`.
    pub indexed: &'s dyn Fn(gimli::DebugAddrIndex<usize>) -> Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Memory(Avma),
    Number(u64),
    Unknown,
}

/// Where a value is, or what it is: some of its bytes may be in memory, others in registers, others gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Bytes of each part; None: all there is.
    parts: Vec<(Option<u64>, Part)>,
}

impl Placed {
    /// Of a value that lies in memory as a whole.
    pub fn address(&self) -> Option<Avma> {
        match self.parts.as_slice() {
            [(None, Part::Memory(at))] => Some(*at),
            _ => None,
        }
    }

    /// The eight bytes at `offset`.
    pub fn word(&self, offset: u64, read: &dyn Fn(Avma) -> Option<u64>) -> Option<u64> {
        let mut start = 0u64;
        for (size, part) in &self.parts {
            let size = size.unwrap_or(u64::MAX - start);
            let within = offset.checked_sub(start)?;
            if within.checked_add(8)? <= size {
                return match part {
                    Part::Memory(at) => read(at.offset(within)),
                    Part::Number(number) => (within == 0).then_some(*number),
                    Part::Unknown => None,
                };
            }
            start = start.checked_add(size)?;
        }
        None
    }
}

/// Runs `expression`, with `first` on its stack where the rule says so.
pub(super) fn evaluate(
    expression: gimli::Expression<Slice<'_>>,
    encoding: gimli::Encoding,
    around: &Surroundings<'_>,
    first: Option<u64>,
) -> Option<Placed> {
    let mut run = expression.evaluation(encoding);
    run.set_max_iterations(MAX_STEPS);
    if let Some(first) = first {
        run.set_initial_value(first);
    }
    let mut result = run.evaluate().ok()?;
    loop {
        result = match result {
            EvaluationResult::Complete => break,
            EvaluationResult::RequiresMemory { address, size, .. } => {
                let word = (around.word)(Avma(address))?;
                let kept = u64::MAX >> (64 - 8 * u32::from(size.clamp(1, 8)));
                run.resume_with_memory(Value::Generic(word & kept)).ok()?
            }
            EvaluationResult::RequiresRegister { register, .. } => {
                run.resume_with_register(Value::Generic(around.registers.get(register)?)).ok()?
            }
            EvaluationResult::RequiresFrameBase => run.resume_with_frame_base(around.frame_base?).ok()?,
            EvaluationResult::RequiresCallFrameCfa => run.resume_with_call_frame_cfa(around.cfa?).ok()?,
            EvaluationResult::RequiresRelocatedAddress(address) => {
                run.resume_with_relocated_address(address.wrapping_add(around.bias.0)).ok()?
            }
            EvaluationResult::RequiresIndexedAddress { index, relocate } => {
                let address = (around.indexed)(index)?;
                let bias = if relocate { around.bias.0 } else { 0 };
                run.resume_with_indexed_address(address.wrapping_add(bias)).ok()?
            }
            // Entry values (registers of a moment that is over), thread-locals, other entries' locations.
            _ => return None,
        };
    }
    let parts = run.result().into_iter().map(|piece| {
        let whole = piece.bit_offset.unwrap_or(0) == 0 && piece.size_in_bits.is_none_or(|bits| bits % 8 == 0);
        let part = match piece.location {
            _ if !whole => Part::Unknown,
            Location::Address { address } => Part::Memory(Avma(address)),
            Location::Register { register } => {
                around.registers.get(register).map_or(Part::Unknown, Part::Number)
            }
            Location::Value { value } => value.to_u64(u64::MAX).map_or(Part::Unknown, Part::Number),
            _ => Part::Unknown,
        };
        (piece.size_in_bits.map(|bits| bits / 8), part)
    });
    Some(Placed { parts: parts.collect() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use gimli::{EndianSlice, LittleEndian};

    const ENCODING: gimli::Encoding =
        gimli::Encoding { format: gimli::Format::Dwarf32, version: 4, address_size: 8 };

    fn run(bytes: &[u8], registers: &Registers) -> Option<Placed> {
        let read = |at: Avma| Some(at.0 + 1);
        let around = Surroundings {
            registers,
            frame_base: Some(0x1000),
            cfa: None,
            bias: Bias(0),
            word: &read,
            indexed: &|_| None,
        };
        evaluate(gimli::Expression(EndianSlice::new(bytes, LittleEndian)), ENCODING, &around, None)
    }

    #[test]
    fn places_and_values() {
        let mut registers = Registers::default();
        registers.set(gimli::X86_64::RSP, Some(0x500));
        let read = |at: Avma| Some(at.0 + 1);
        // DW_OP_fbreg 16
        let placed = run(&[0x91, 16], &registers).expect("the frame base is known");
        assert_eq!((placed.address(), placed.word(8, &read)), (Some(Avma(0x1010)), Some(0x1019)));
        // DW_OP_breg7 rsp+8, DW_OP_stack_value: a pointer that is nowhere.
        let placed = run(&[0x77, 8, 0x9f], &registers).expect("rsp is known");
        assert_eq!((placed.address(), placed.word(0, &read)), (None, Some(0x508)));
        // DW_OP_piece 8, DW_OP_reg7 rsp, DW_OP_piece 8: the first half is gone.
        let placed = run(&[0x93, 8, 0x57, 0x93, 8], &registers).expect("pieces");
        assert_eq!((placed.word(0, &read), placed.word(8, &read)), (None, Some(0x500)));
        assert_eq!(placed.word(16, &read), None);
        // DW_OP_breg3 rbx+0: not known.
        assert_eq!(run(&[0x73, 0], &registers), None);
        // DW_OP_skip to itself.
        assert_eq!(run(&[0x2f, 0xfd, 0xff], &registers), None);
    }
}
