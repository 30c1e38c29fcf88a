//! Operands: registers, immediates and memory.

use super::Stop;
use super::flags::mask;
use super::machine::Machine;
use crate::target::Memory;
use iced_x86::{Instruction, OpKind, Register};

impl<M: Memory + ?Sized> Machine<'_, M> {
    /// Bytes of an operand. An immediate is as long as what it goes with.
    pub(super) fn size(&self, i: &Instruction, operand: u32) -> usize {
        match i.op_kind(operand) {
            OpKind::Register => i.op_register(operand).size(),
            OpKind::Memory => i.memory_size().size(),
            _ => 8,
        }
    }

    /// Up to eight bytes, the rest zero; immediates are extended by their sign.
    pub(super) fn get(&mut self, i: &Instruction, operand: u32) -> Result<u64, Stop> {
        match i.op_kind(operand) {
            OpKind::Register => self.register(i.op_register(operand)).ok_or(Stop::Instruction(i.ip())),
            OpKind::Memory => {
                let (at, size) = (self.address(i)?, self.size(i, operand));
                if size > 8 { Err(Stop::Instruction(i.ip())) } else { self.load(at, size) }
            }
            _ => i.try_immediate(operand).map_err(|_| Stop::Instruction(i.ip())),
        }
    }

    pub(super) fn put(&mut self, i: &Instruction, operand: u32, value: u64) -> Result<(), Stop> {
        match i.op_kind(operand) {
            OpKind::Register => {
                self.set_register(i.op_register(operand), value).ok_or(Stop::Instruction(i.ip()))
            }
            OpKind::Memory => {
                let (at, size) = (self.address(i)?, self.size(i, operand));
                let bytes = value.to_le_bytes();
                let bytes = bytes.get(..size).ok_or(Stop::Instruction(i.ip()))?;
                self.memory.store(at, bytes)
            }
            _ => Err(Stop::Instruction(i.ip())),
        }
    }

    pub(super) fn load(&mut self, at: u64, size: usize) -> Result<u64, Stop> {
        let mut bytes = [0; 8];
        self.memory.load(at, &mut bytes[..size.min(8)])?;
        Ok(u64::from_le_bytes(bytes))
    }

    /// Where the memory operand lies.
    pub(super) fn address(&self, i: &Instruction) -> Result<u64, Stop> {
        let segment = match i.memory_segment() {
            Register::FS => self.fs.ok_or(Stop::Unreadable(0))?,
            Register::GS => return Err(Stop::Instruction(i.ip())),
            _ => 0,
        };
        Ok(segment.wrapping_add(self.effective(i)?))
    }

    /// What `lea` gives: no segment is added.
    pub(super) fn effective(&self, i: &Instruction) -> Result<u64, Stop> {
        let part = |register| match register {
            Register::None => Ok(0),
            // The displacement of these is absolute here.
            Register::RIP => Ok(0),
            _ if register.size() != 8 => Err(Stop::Instruction(i.ip())),
            _ => self.register(register).ok_or(Stop::Instruction(i.ip())),
        };
        let index = part(i.memory_index())?.wrapping_mul(u64::from(i.memory_index_scale()));
        Ok(i.memory_displacement64().wrapping_add(part(i.memory_base())?).wrapping_add(index))
    }

    fn register(&self, register: Register) -> Option<u64> {
        let whole = self.registers[number(register)?];
        let value = if is_high(register) { whole >> 8 } else { whole };
        Some(value & mask(register.size()))
    }

    pub(super) fn set_register(&mut self, register: Register, value: u64) -> Option<()> {
        let whole = &mut self.registers[number(register)?];
        *whole = match register.size() {
            8 => value,
            // The upper half becomes zero (Intel SDM, volume 1, §3.4.1.1).
            4 => value & mask(4),
            size => {
                let shift = if is_high(register) { 8 } else { 0 };
                *whole & !(mask(size) << shift) | (value & mask(size)) << shift
            }
        };
        Some(())
    }
}

fn number(register: Register) -> Option<usize> {
    register.is_gpr().then(|| register.full_register().number())
}

fn is_high(register: Register) -> bool {
    matches!(register, Register::AH | Register::CH | Register::DH | Register::BH)
}
