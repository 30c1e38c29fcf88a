//! What one instruction does to what is known.

use super::value::{Flags, Known, Value, extended, truncated};
use super::walk::Unclear;
use crate::dwarf::Constants;
use crate::target::Svma;
use iced_x86::{Instruction, InstructionInfoFactory, Mnemonic, OpAccess, OpKind, Register, UsedMemory};

/// How it goes on.
pub enum Effect {
    Done,
    /// In two ways: a choice between two numbers that may be states.
    Either(Box<Known>),
}

/// Where an operand lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Future(i64),
    Stack(i64),
    Constant(u64),
    /// An entry of the table that begins there.
    Table(u64),
    Unknown,
}

/// One instruction, and what it is run in.
struct Step<'s> {
    instruction: &'s Instruction,
    constants: &'s Constants<'s>,
    /// Offsets of the states that are tracked, that of the coroutine first.
    tracked: &'s [i64],
}

pub fn effect(
    known: &mut Known,
    instruction: &Instruction,
    constants: &Constants<'_>,
    tracked: &[i64],
) -> Result<Effect, Unclear> {
    Step { instruction, constants, tracked }.run(known)
}

impl Step<'_> {
    fn run(&self, known: &mut Known) -> Result<Effect, Unclear> {
        let one = self.instruction;
        match one.mnemonic() {
            Mnemonic::Nop | Mnemonic::Endbr64 | Mnemonic::Prefetcht0 => {}
            Mnemonic::Mov => {
                let value = self.operand(known, 1);
                self.write(known, value)?;
            }
            Mnemonic::Movzx => {
                let value = self.operand(known, 1);
                self.write(known, as_number(value, self.size(1)))?;
            }
            Mnemonic::Movsx | Mnemonic::Movsxd => {
                let size = self.size(1);
                let value = match as_number(self.operand(known, 1), size) {
                    Value::Number(n) => Value::Number(extended(n, size as u32)),
                    other => other,
                };
                self.write(known, value)?;
            }
            Mnemonic::Lea => {
                let value = match self.place(known) {
                    Place::Future(at) => Value::Future(at),
                    Place::Stack(at) => Value::Stack(at),
                    Place::Constant(at) => Value::Number(at),
                    Place::Table(_) | Place::Unknown => Value::Unknown,
                };
                self.write(known, value)?;
            }
            Mnemonic::Cmp | Mnemonic::Test => {
                let (left, right) = (self.operand(known, 0), self.operand(known, 1));
                known.flags = self.flags(left, right, one.mnemonic());
            }
            Mnemonic::Bt => {
                known.flags = match (self.operand(known, 0), self.operand(known, 1)) {
                    (Value::Number(bits), Value::Number(n)) => {
                        Flags::Carry(bits >> (n % (8 * self.size(0) as u64)) & 1 == 1)
                    }
                    _ => Flags::Unknown,
                };
            }
            Mnemonic::Push => {
                let value = self.operand(known, 0);
                known.move_stack(-8);
                if let Value::Stack(at) = known.get(Register::RSP) {
                    known.store(at, 8, value);
                }
            }
            Mnemonic::Pop => {
                let value = match known.get(Register::RSP) {
                    Value::Stack(at) => known.load(at, 8),
                    _ => Value::Unknown,
                };
                known.move_stack(8);
                self.write(known, value)?;
            }
            Mnemonic::Add | Mnemonic::Sub | Mnemonic::And | Mnemonic::Or | Mnemonic::Xor => {
                self.arithmetic(known)?;
            }
            Mnemonic::Inc | Mnemonic::Dec | Mnemonic::Shl | Mnemonic::Shr => self.on_one(known)?,
            _ if one.condition_code() != iced_x86::ConditionCode::None => return self.conditional(known),
            _ => self.other(known)?,
        }
        Ok(Effect::Done)
    }

    fn arithmetic(&self, known: &mut Known) -> Result<(), Unclear> {
        let one = self.instruction;
        let size = self.size(0) as u32;
        let number = |value| as_number(value, size as usize);
        let (left, right) = (number(self.operand(known, 0)), number(self.operand(known, 1)));
        let is_same = one.op1_kind() == OpKind::Register
            && one.op0_kind() == OpKind::Register
            && one.op0_register() == one.op1_register();
        let mnemonic = one.mnemonic();
        let value = match (mnemonic, left, right) {
            (Mnemonic::Xor | Mnemonic::Sub, ..) if is_same => Value::Number(0),
            (Mnemonic::And, _, Value::Number(0)) => Value::Number(0),
            (_, Value::Number(a), Value::Number(b)) => {
                let result = match mnemonic {
                    Mnemonic::Add => a.wrapping_add(b),
                    Mnemonic::Sub => a.wrapping_sub(b),
                    Mnemonic::And => a & b,
                    Mnemonic::Or => a | b,
                    _ => a ^ b,
                };
                Value::Number(truncated(result, size))
            }
            (Mnemonic::Add, Value::Future(at), Value::Number(n)) => Value::Future(at.wrapping_add(n as i64)),
            (Mnemonic::Sub, Value::Future(at), Value::Number(n)) => Value::Future(at.wrapping_sub(n as i64)),
            (Mnemonic::Add, Value::Stack(at), Value::Number(n)) => Value::Stack(at.wrapping_add(n as i64)),
            (Mnemonic::Sub, Value::Stack(at), Value::Number(n)) => Value::Stack(at.wrapping_sub(n as i64)),
            // Aligned, by how much only running it tells: what lies there is far from what lay above.
            (Mnemonic::And, Value::Stack(at), Value::Number(n)) => Value::Stack((at & n as i64) - (1 << 40)),
            (Mnemonic::Add, Value::Entry(table), Value::Number(n))
            | (Mnemonic::Add, Value::Number(n), Value::Entry(table))
                if table == n =>
            {
                Value::Jump(table)
            }
            _ => Value::Unknown,
        };
        known.flags = match mnemonic {
            Mnemonic::Sub => self.flags(left, right, Mnemonic::Cmp),
            _ => match value {
                Value::Number(n) => Flags::Result { number: n, bits: 8 * size },
                _ => Flags::Unknown,
            },
        };
        self.write(known, value)
    }

    fn on_one(&self, known: &mut Known) -> Result<(), Unclear> {
        let size = self.size(0) as u32;
        let by = if self.instruction.op_count() > 1 { self.operand(known, 1) } else { Value::Number(1) };
        let value = match (as_number(self.operand(known, 0), size as usize), as_number(by, 1)) {
            (Value::Number(a), Value::Number(b)) => {
                let shift = (b & if size == 8 { 63 } else { 31 }) as u32;
                let result = match self.instruction.mnemonic() {
                    Mnemonic::Inc => a.wrapping_add(1),
                    Mnemonic::Dec => a.wrapping_sub(1),
                    Mnemonic::Shl => a << shift,
                    _ => a >> shift,
                };
                Value::Number(truncated(result, size))
            }
            _ => Value::Unknown,
        };
        known.flags = match value {
            Value::Number(n) => Flags::Result { number: n, bits: 8 * size },
            _ => Flags::Unknown,
        };
        self.write(known, value)
    }

    /// `cmov` and `set`.
    fn conditional(&self, known: &mut Known) -> Result<Effect, Unclear> {
        let decided = known.decides(self.instruction.condition_code());
        if self.instruction.op_count() == 1 {
            let value = decided.map_or(Value::Unknown, |set| Value::Byte(u8::from(set)));
            self.write(known, value)?;
            return Ok(Effect::Done);
        }
        let (old, new) = (self.operand(known, 0), self.operand(known, 1));
        match decided {
            Some(true) => self.write(known, new)?,
            Some(false) => self.write(known, old)?,
            None => match (old, new) {
                (Value::Number(_), Value::Number(_)) if old != new => {
                    let mut other = known.clone();
                    self.write(&mut other, new)?;
                    self.write(known, old)?;
                    return Ok(Effect::Either(Box::new(other)));
                }
                _ if old == new => self.write(known, old)?,
                _ => self.write(known, Value::Unknown)?,
            },
        }
        Ok(Effect::Done)
    }

    /// Whatever else there is: what it writes is not known any more.
    fn other(&self, known: &mut Known) -> Result<(), Unclear> {
        let one = self.instruction;
        let mut factory = InstructionInfoFactory::new();
        let info = factory.info(one);
        let writes = |access: OpAccess| {
            matches!(
                access,
                OpAccess::Write | OpAccess::CondWrite | OpAccess::ReadWrite | OpAccess::ReadCondWrite
            )
        };
        for memory in info.used_memory().iter().filter(|memory| writes(memory.access())) {
            let place = place_of(known, memory);
            let repeats = one.has_rep_prefix() || one.has_repne_prefix();
            match place {
                Place::Future(at) if repeats && self.tracked.iter().any(|state| at <= *state) => {
                    return Err(Unclear::State);
                }
                Place::Stack(at) if repeats => known.forget_stack_from(at),
                _ => self.store(known, place, memory.memory_size().size(), Value::Unknown)?,
            }
        }
        for register in info.used_registers().iter().filter(|register| writes(register.access())) {
            known.forget(register.register());
        }
        if one.rflags_modified() != 0 {
            known.flags = Flags::Unknown;
        }
        Ok(())
    }

    fn flags(&self, left: Value, right: Value, mnemonic: Mnemonic) -> Flags {
        let size = self.size(0);
        let bits = 8 * size as u32;
        match (as_number(left, size), as_number(right, size)) {
            (Value::Number(a), Value::Number(b)) => {
                let (a, b) = (truncated(a, size as u32), truncated(b, size as u32));
                match mnemonic {
                    Mnemonic::Test => Flags::Compared { left: a & b, right: 0, bits },
                    _ => Flags::Compared { left: a, right: b, bits },
                }
            }
            _ => Flags::Unknown,
        }
    }

    /// Bytes of an operand.
    fn size(&self, operand: u32) -> usize {
        match self.instruction.op_kind(operand) {
            OpKind::Register => self.instruction.op_register(operand).size(),
            OpKind::Memory => self.instruction.memory_size().size(),
            _ => self.size(0),
        }
    }

    fn operand(&self, known: &Known, operand: u32) -> Value {
        let one = self.instruction;
        match one.op_kind(operand) {
            OpKind::Register => known.get(one.op_register(operand)),
            OpKind::Memory => self.load(known, self.place(known), self.size(operand)),
            _ => one.try_immediate(operand).map_or(Value::Unknown, Value::Number),
        }
    }

    fn load(&self, known: &Known, place: Place, size: usize) -> Value {
        match place {
            Place::Future(at) if size == 1 => {
                let which = self.tracked.iter().position(|state| *state == at);
                which.and_then(|i| known.states[i]).map_or(Value::Unknown, Value::Byte)
            }
            Place::Stack(at) => known.load(at, size),
            Place::Constant(at) if size <= 8 => match self.constants.number(Svma(at), size) {
                Some(number) => Value::Number(number),
                None => self.constants.address(Svma(at)).map_or(Value::Unknown, |to| Value::Number(to.0)),
            },
            Place::Table(table) if size == 4 => Value::Entry(table),
            _ => Value::Unknown,
        }
    }

    /// Into the first operand.
    fn write(&self, known: &mut Known, value: Value) -> Result<(), Unclear> {
        match self.instruction.op0_kind() {
            OpKind::Register => known.set(self.instruction.op0_register(), value),
            OpKind::Memory => self.store(known, self.place(known), self.size(0), value)?,
            _ => {}
        }
        Ok(())
    }

    fn store(&self, known: &mut Known, place: Place, size: usize, value: Value) -> Result<(), Unclear> {
        match place {
            Place::Future(at) => {
                for (i, state) in self.tracked.iter().enumerate() {
                    let Some(within) = state.checked_sub(at).filter(|n| (0..size as i64).contains(n)) else {
                        continue;
                    };
                    known.states[i] = match value {
                        Value::Number(n) if within < 8 => Some((n >> (8 * within)) as u8),
                        Value::Byte(byte) if within == 0 => Some(byte),
                        _ if i == 0 => return Err(Unclear::State),
                        _ => None,
                    };
                }
            }
            Place::Stack(at) => known.store(at, size, value),
            // It may well be the state, of a future whose address was lost sight of.
            Place::Unknown
                if size == 1
                    && self.tracked[..1].contains(&(self.instruction.memory_displacement64() as i64)) =>
            {
                return Err(Unclear::State);
            }
            Place::Constant(_) | Place::Table(_) | Place::Unknown => {}
        }
        Ok(())
    }

    fn place(&self, known: &Known) -> Place {
        let one = self.instruction;
        if one.is_ip_rel_memory_operand() {
            return Place::Constant(one.ip_rel_memory_address());
        }
        let (base, index) = (one.memory_base(), one.memory_index());
        let scaled = (index, u64::from(one.memory_index_scale()));
        place(known, one.segment_prefix(), base, scaled, one.memory_displacement64())
    }
}

fn place_of(known: &Known, memory: &UsedMemory) -> Place {
    let scaled = (memory.index(), u64::from(memory.scale()));
    place(known, Register::None, memory.base(), scaled, memory.displacement())
}

fn place(
    known: &Known,
    segment: Register,
    base: Register,
    (index, scale): (Register, u64),
    displacement: u64,
) -> Place {
    if matches!(segment, Register::FS | Register::GS) {
        return Place::Unknown;
    }
    let start = if base == Register::None { Value::Number(0) } else { known.get(base) };
    let by = if index == Register::None { Value::Number(0) } else { known.get(index) };
    match (start, by) {
        (Value::Number(n), Value::Number(by)) => {
            Place::Constant(n.wrapping_add(by.wrapping_mul(scale)).wrapping_add(displacement))
        }
        (Value::Future(at), Value::Number(by)) => {
            Place::Future(at.wrapping_add((by.wrapping_mul(scale)).wrapping_add(displacement) as i64))
        }
        (Value::Stack(at), Value::Number(by)) => {
            Place::Stack(at.wrapping_add((by.wrapping_mul(scale)).wrapping_add(displacement) as i64))
        }
        (Value::Number(table), _) if scale == 4 && base != Register::None => {
            Place::Table(table.wrapping_add(displacement))
        }
        _ => Place::Unknown,
    }
}

/// A byte as a number, where only the byte is asked for.
fn as_number(value: Value, size: usize) -> Value {
    match value {
        Value::Byte(byte) if size == 1 => Value::Number(byte.into()),
        Value::Number(n) => Value::Number(truncated(n, size as u32)),
        other => other,
    }
}
