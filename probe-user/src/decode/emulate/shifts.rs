//! Shifts, rotations and single bits.

use super::Stop;
use super::flags::{mask, sign_extend, top_bit};
use super::machine::Machine;
use crate::target::Memory;
use iced_x86::{Instruction, Mnemonic, OpKind};

/// Runs one instruction; false where it is not one of these.
pub(super) fn run<M: Memory + ?Sized>(m: &mut Machine<'_, M>, i: &Instruction) -> Result<bool, Stop> {
    Ok(shift(m, i)? || rotate(m, i)? || double(m, i)? || bit(m, i)? || count(m, i)?)
}

/// Of a shift: at most one less than the operand's bits, but for 8 and 16 bits.
fn amount<M: Memory + ?Sized>(
    m: &mut Machine<'_, M>,
    i: &Instruction,
    operand: u32,
    size: usize,
) -> Result<u32, Stop> {
    Ok((m.get(i, operand)? & if size == 8 { 63 } else { 31 }) as u32)
}

fn shift<M: Memory + ?Sized>(m: &mut Machine<'_, M>, i: &Instruction) -> Result<bool, Stop> {
    let mnemonic = i.mnemonic();
    if !matches!(mnemonic, Mnemonic::Shl | Mnemonic::Sal | Mnemonic::Shr | Mnemonic::Sar) {
        return Ok(false);
    }
    let size = m.size(i, 0);
    let (value, by) = (m.get(i, 0)?, amount(m, i, 1, size)?);
    if by == 0 {
        // Flags stay; a 32-bit register is cleared above all the same.
        m.put(i, 0, value)?;
        return Ok(true);
    }
    let (result, carry, overflow) = match mnemonic {
        Mnemonic::Shr => (value >> by, (value >> (by - 1)) & 1 != 0, value & top_bit(size) != 0),
        Mnemonic::Sar => {
            let value = sign_extend(value, size) as i64;
            ((value >> by) as u64, (value >> (by - 1)) & 1 != 0, false)
        }
        _ => {
            let wide = u128::from(value) << by;
            let carry = (wide >> (8 * size)) & 1 != 0;
            (wide as u64, carry, (wide as u64 & top_bit(size) != 0) != carry)
        }
    };
    m.flags.logic(result, size);
    (m.flags.carry, m.flags.overflow) = (carry, overflow);
    m.put(i, 0, result)?;
    Ok(true)
}

fn rotate<M: Memory + ?Sized>(m: &mut Machine<'_, M>, i: &Instruction) -> Result<bool, Stop> {
    let left = match i.mnemonic() {
        Mnemonic::Rol => true,
        Mnemonic::Ror => false,
        _ => return Ok(false),
    };
    let size = m.size(i, 0);
    let bits = 8 * size as u32;
    let value = m.get(i, 0)?;
    let masked = amount(m, i, 1, size)?;
    let by = masked % bits;
    let (near, far) = (by, (bits - by) % bits);
    let result = match (by, left) {
        (0, _) => value,
        (_, true) => (value << near | value >> far) & mask(size),
        (_, false) => (value >> near | value << far) & mask(size),
    };
    if masked != 0 {
        let (top, low) = (result & top_bit(size) != 0, result & 1 != 0);
        m.flags.carry = if left { low } else { top };
        let beside = result & (top_bit(size) >> 1) != 0;
        m.flags.overflow = if left { top != low } else { top != beside };
    }
    m.put(i, 0, result)?;
    Ok(true)
}

fn double<M: Memory + ?Sized>(m: &mut Machine<'_, M>, i: &Instruction) -> Result<bool, Stop> {
    let left = match i.mnemonic() {
        Mnemonic::Shld => true,
        Mnemonic::Shrd => false,
        _ => return Ok(false),
    };
    let size = m.size(i, 0);
    if size < 4 {
        return Ok(false);
    }
    let bits = 8 * size as u32;
    let (value, from, by) = (m.get(i, 0)?, m.get(i, 1)?, amount(m, i, 2, size)?);
    if by == 0 {
        m.put(i, 0, value)?;
        return Ok(true);
    }
    let (result, carry) = if left {
        (value << by | from >> (bits - by), (value >> (bits - by)) & 1 != 0)
    } else {
        (value >> by | from << (bits - by), (value >> (by - 1)) & 1 != 0)
    };
    let result = m.flags.logic(result, size);
    m.flags.carry = carry;
    m.flags.overflow = (value ^ result) & top_bit(size) != 0;
    m.put(i, 0, result)?;
    Ok(true)
}

fn bit<M: Memory + ?Sized>(m: &mut Machine<'_, M>, i: &Instruction) -> Result<bool, Stop> {
    let mnemonic = i.mnemonic();
    if !matches!(mnemonic, Mnemonic::Bt | Mnemonic::Bts | Mnemonic::Btr | Mnemonic::Btc) {
        return Ok(false);
    }
    // A bit string in memory may lie far from its address.
    if i.op0_kind() == OpKind::Memory && i.op1_kind() == OpKind::Register {
        return Ok(false);
    }
    let size = m.size(i, 0);
    let (value, number) = (m.get(i, 0)?, m.get(i, 1)? & (8 * size as u64 - 1));
    m.flags.carry = (value >> number) & 1 != 0;
    let result = match mnemonic {
        Mnemonic::Bts => value | 1 << number,
        Mnemonic::Btr => value & !(1 << number),
        Mnemonic::Btc => value ^ 1 << number,
        _ => return Ok(true),
    };
    m.put(i, 0, result)?;
    Ok(true)
}

fn count<M: Memory + ?Sized>(m: &mut Machine<'_, M>, i: &Instruction) -> Result<bool, Stop> {
    let mnemonic = i.mnemonic();
    let known = [Mnemonic::Bsf, Mnemonic::Bsr, Mnemonic::Tzcnt, Mnemonic::Lzcnt, Mnemonic::Popcnt];
    if !known.contains(&mnemonic) {
        return Ok(false);
    }
    let size = m.size(i, 0);
    let value = m.get(i, 1)?;
    let bits = 8 * size as u64;
    let zeros = u64::from(value.leading_zeros()).saturating_sub(64 - bits);
    let result = match mnemonic {
        // Of zero they leave the destination as it is.
        Mnemonic::Bsf | Mnemonic::Bsr if value == 0 => m.get(i, 0)?,
        Mnemonic::Bsf => u64::from(value.trailing_zeros()),
        Mnemonic::Bsr => 63 - u64::from(value.leading_zeros()),
        Mnemonic::Tzcnt => u64::from(value.trailing_zeros()).min(bits),
        Mnemonic::Lzcnt => zeros,
        _ => u64::from(value.count_ones()),
    };
    let scans = matches!(mnemonic, Mnemonic::Bsf | Mnemonic::Bsr);
    m.flags.logic(result, size);
    m.flags.carry = value == 0 && !scans && mnemonic != Mnemonic::Popcnt;
    if scans || mnemonic == Mnemonic::Popcnt {
        m.flags.zero = value == 0;
    }
    m.put(i, 0, result)?;
    Ok(true)
}
