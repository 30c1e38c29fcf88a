//! Moves and integer arithmetic.

use super::flags::{Flags, mask, sign_extend, top_bit};
use super::machine::{Machine, RAX, RCX, RDX, RSP};
use super::{Stop, shifts, strings};
use crate::target::Memory;
use iced_x86::{Instruction, Mnemonic, OpKind, Register};

const RBX: usize = 3;
const RBP: usize = 5;

/// Runs one instruction; false where it is not one of these.
pub(super) fn run<M: Memory + ?Sized>(m: &mut Machine<'_, M>, i: &Instruction) -> Result<bool, Stop> {
    if moves(m, i)? || arithmetic(m, i)? || exchanges(m, i)? {
        return Ok(true);
    }
    Ok(products(m, i)? || shifts::run(m, i)? || strings::run(m, i)?)
}

fn moves<M: Memory + ?Sized>(m: &mut Machine<'_, M>, i: &Instruction) -> Result<bool, Stop> {
    match i.mnemonic() {
        Mnemonic::Mov | Mnemonic::Movzx | Mnemonic::Movnti => {
            let value = m.get(i, 1)?;
            m.put(i, 0, value)?;
        }
        Mnemonic::Movsx | Mnemonic::Movsxd => {
            let value = sign_extend(m.get(i, 1)?, m.size(i, 1));
            m.put(i, 0, value)?;
        }
        Mnemonic::Lea => {
            let address = m.effective(i)?;
            m.put(i, 0, address)?;
        }
        Mnemonic::Push => {
            if matches!(m.size(i, 0), 2) {
                return Ok(false);
            }
            let value = m.get(i, 0)?;
            m.push(value)?;
        }
        Mnemonic::Pop => {
            if m.size(i, 0) != 8 {
                return Ok(false);
            }
            let value = m.pop()?;
            m.put(i, 0, value)?;
        }
        Mnemonic::Leave => {
            m.registers[RSP] = m.registers[RBP];
            m.registers[RBP] = m.pop()?;
        }
        Mnemonic::Cwde => m.registers[RAX] = sign_extend(m.registers[RAX], 2) & mask(4),
        Mnemonic::Cdqe => m.registers[RAX] = sign_extend(m.registers[RAX], 4),
        Mnemonic::Cdq => m.registers[RDX] = ((m.registers[RAX] as i32) >> 31) as u32 as u64,
        Mnemonic::Cqo => m.registers[RDX] = ((m.registers[RAX] as i64) >> 63) as u64,
        mnemonic if is_cmov(mnemonic) => {
            // The source is read, and a 32-bit destination cleared above, whatever the condition.
            let (source, old) = (m.get(i, 1)?, m.get(i, 0)?);
            let value = if m.condition(i)? { source } else { old };
            m.put(i, 0, value)?;
        }
        mnemonic if is_set(mnemonic) => {
            let value = u64::from(m.condition(i)?);
            m.put(i, 0, value)?;
        }
        Mnemonic::Nop | Mnemonic::Endbr64 | Mnemonic::Pause | Mnemonic::Mfence | Mnemonic::Lfence => {}
        Mnemonic::Prefetcht0 | Mnemonic::Prefetchnta | Mnemonic::Prefetchw | Mnemonic::Sfence => {}
        _ => return Ok(false),
    }
    Ok(true)
}

fn is_cmov(mnemonic: Mnemonic) -> bool {
    use Mnemonic as N;
    matches!(mnemonic, N::Cmova | N::Cmovae | N::Cmovb | N::Cmovbe | N::Cmove | N::Cmovg | N::Cmovge)
        || matches!(mnemonic, N::Cmovl | N::Cmovle | N::Cmovne | N::Cmovno | N::Cmovnp | N::Cmovns)
        || matches!(mnemonic, N::Cmovo | N::Cmovp | N::Cmovs)
}

fn is_set(mnemonic: Mnemonic) -> bool {
    use Mnemonic as N;
    matches!(mnemonic, N::Seta | N::Setae | N::Setb | N::Setbe | N::Sete | N::Setg | N::Setge | N::Setl)
        || matches!(mnemonic, N::Setle | N::Setne | N::Setno | N::Setnp | N::Setns | N::Seto)
        || matches!(mnemonic, N::Setp | N::Sets)
}

fn arithmetic<M: Memory + ?Sized>(m: &mut Machine<'_, M>, i: &Instruction) -> Result<bool, Stop> {
    let size = m.size(i, 0);
    match i.mnemonic() {
        Mnemonic::Inc | Mnemonic::Dec => {
            let value = m.get(i, 0)?;
            let carry = m.flags.carry;
            let value = match i.mnemonic() {
                Mnemonic::Inc => m.flags.add(value, 1, false, size),
                _ => m.flags.subtract(value, 1, false, size),
            };
            m.flags.carry = carry;
            m.put(i, 0, value)?;
        }
        Mnemonic::Neg => {
            let value = m.get(i, 0)?;
            let value = m.flags.subtract(0, value, false, size);
            m.put(i, 0, value)?;
        }
        Mnemonic::Not => {
            let value = !m.get(i, 0)?;
            m.put(i, 0, value)?;
        }
        Mnemonic::Cmp => {
            let (a, b) = (m.get(i, 0)?, m.get(i, 1)?);
            m.flags.subtract(a, b, false, size);
        }
        Mnemonic::Test => {
            let (a, b) = (m.get(i, 0)?, m.get(i, 1)?);
            m.flags.logic(a & b, size);
        }
        mnemonic @ (Mnemonic::Add
        | Mnemonic::Adc
        | Mnemonic::Sub
        | Mnemonic::Sbb
        | Mnemonic::And
        | Mnemonic::Or
        | Mnemonic::Xor) => {
            let (a, b) = (m.get(i, 0)?, m.get(i, 1)?);
            let carry = m.flags.carry;
            let flags = &mut m.flags;
            let value = match mnemonic {
                Mnemonic::Add => flags.add(a, b, false, size),
                Mnemonic::Adc => flags.add(a, b, carry, size),
                Mnemonic::Sub => flags.subtract(a, b, false, size),
                Mnemonic::Sbb => flags.subtract(a, b, carry, size),
                Mnemonic::And => flags.logic(a & b, size),
                Mnemonic::Or => flags.logic(a | b, size),
                _ => flags.logic(a ^ b, size),
            };
            m.put(i, 0, value)?;
        }
        _ => return Ok(false),
    }
    Ok(true)
}

/// Atomic where the processor makes them so; here nobody else looks.
fn exchanges<M: Memory + ?Sized>(m: &mut Machine<'_, M>, i: &Instruction) -> Result<bool, Stop> {
    let size = m.size(i, 0);
    match i.mnemonic() {
        Mnemonic::Xchg => {
            let (a, b) = (m.get(i, 0)?, m.get(i, 1)?);
            m.put(i, 0, b)?;
            m.put(i, 1, a)?;
        }
        Mnemonic::Xadd => {
            let (a, b) = (m.get(i, 0)?, m.get(i, 1)?);
            let sum = m.flags.add(a, b, false, size);
            // Memory first: its address may be made from the register. A register, last: both may be the same.
            if i.op0_kind() == OpKind::Memory {
                m.put(i, 0, sum)?;
                m.put(i, 1, a)?;
            } else {
                m.put(i, 1, a)?;
                m.put(i, 0, sum)?;
            }
        }
        Mnemonic::Cmpxchg => {
            let (there, new) = (m.get(i, 0)?, m.get(i, 1)?);
            let expected = m.registers[RAX] & mask(size);
            m.flags.subtract(expected, there, false, size);
            if m.flags.zero {
                m.put(i, 0, new)?;
            } else {
                let accumulator = [Register::AL, Register::AX, Register::EAX, Register::RAX];
                m.set_register(accumulator[size.trailing_zeros().min(3) as usize], there);
            }
        }
        Mnemonic::Cmpxchg16b => {
            let at = m.address(i)?;
            let (low, high) = (m.load(at, 8)?, m.load(at.wrapping_add(8), 8)?);
            m.flags.zero = (low, high) == (m.registers[RAX], m.registers[RDX]);
            if m.flags.zero {
                let new = (u128::from(m.registers[RCX]) << 64) | u128::from(m.registers[RBX]);
                m.memory.store(at, &new.to_le_bytes())?;
            } else {
                (m.registers[RAX], m.registers[RDX]) = (low, high);
            }
        }
        Mnemonic::Bswap => {
            let value = m.get(i, 0)?;
            let swapped = if size == 8 { value.swap_bytes() } else { u64::from((value as u32).swap_bytes()) };
            m.put(i, 0, swapped)?;
        }
        _ => return Ok(false),
    }
    Ok(true)
}

fn products<M: Memory + ?Sized>(m: &mut Machine<'_, M>, i: &Instruction) -> Result<bool, Stop> {
    let size = m.size(i, 0);
    match (i.mnemonic(), i.op_count()) {
        (Mnemonic::Imul, 2 | 3) => {
            let (first, second) = if i.op_count() == 2 { (0, 1) } else { (1, 2) };
            let a = sign_extend(m.get(i, first)?, size) as i64;
            let b = sign_extend(m.get(i, second)?, size) as i64;
            let wide = i128::from(a) * i128::from(b);
            signed_product(&mut m.flags, wide, size);
            m.put(i, 0, wide as u64)?;
        }
        (Mnemonic::Imul, 1) if size >= 4 => {
            let a = sign_extend(m.registers[RAX], size) as i64;
            let wide = i128::from(a) * i128::from(sign_extend(m.get(i, 0)?, size) as i64);
            signed_product(&mut m.flags, wide, size);
            halves(m, wide as u128, size);
        }
        (Mnemonic::Mul, _) if size >= 4 => {
            let wide = u128::from(m.registers[RAX] & mask(size)) * u128::from(m.get(i, 0)?);
            let carry = wide > u128::from(mask(size));
            m.flags = Flags { carry, overflow: carry, ..Flags::default() };
            halves(m, wide, size);
        }
        (Mnemonic::Div, _) if size >= 4 => {
            let divisor = u128::from(m.get(i, 0)?);
            let bits = 8 * size as u32;
            let low = u128::from(m.registers[RAX] & mask(size));
            let wide = (u128::from(m.registers[RDX] & mask(size)) << bits) | low;
            let quotient = wide.checked_div(divisor).filter(|q| *q <= u128::from(mask(size)));
            let quotient = quotient.ok_or(Stop::Trap(i.ip()))?;
            halves(m, ((wide % divisor) << bits) | quotient, size);
        }
        _ => return Ok(false),
    }
    Ok(true)
}

/// The low half to rax, the high half to rdx.
fn halves<M: Memory + ?Sized>(m: &mut Machine<'_, M>, wide: u128, size: usize) {
    m.registers[RAX] = wide as u64 & mask(size);
    m.registers[RDX] = (wide >> (8 * size)) as u64 & mask(size);
}

fn signed_product(flags: &mut Flags, wide: i128, size: usize) {
    let fits = i128::from(sign_extend(wide as u64, size) as i64) == wide;
    let sign = wide as u64 & top_bit(size) != 0;
    *flags = Flags { carry: !fits, overflow: !fits, sign, ..Flags::default() };
}
