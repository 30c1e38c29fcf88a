//! Moves and the simple logic of SSE2, which compiled code uses to move pairs of words and to scan hash tables.

use super::Stop;
use super::flags::mask;
use super::machine::Machine;
use crate::target::Memory;
use iced_x86::{Instruction, Mnemonic, OpKind, Register};

const LOW: u128 = u64::MAX as u128;

/// Runs one instruction; false where it is not one of these.
pub(super) fn run<M: Memory + ?Sized>(m: &mut Machine<'_, M>, i: &Instruction) -> Result<bool, Stop> {
    Ok(moves(m, i)? || halves(m, i)? || logic(m, i)? || masks(m, i)?)
}

fn is_vector(i: &Instruction, operand: u32) -> bool {
    i.op_kind(operand) == OpKind::Register && i.op_register(operand).is_xmm()
}

impl<M: Memory + ?Sized> Machine<'_, M> {
    fn vector(&mut self, i: &Instruction, operand: u32) -> Result<u128, Stop> {
        if is_vector(i, operand) {
            let register = self.vectors.get(i.op_register(operand).number());
            return register.copied().ok_or(Stop::Instruction(i.ip()));
        }
        if i.op_kind(operand) == OpKind::Memory && self.size(i, operand) == 16 {
            let at = self.address(i)?;
            let mut bytes = [0; 16];
            self.memory.load(at, &mut bytes)?;
            return Ok(u128::from_le_bytes(bytes));
        }
        self.get(i, operand).map(u128::from)
    }

    fn set_vector(&mut self, i: &Instruction, operand: u32, value: u128) -> Result<(), Stop> {
        if is_vector(i, operand) {
            let number = i.op_register(operand).number();
            *self.vectors.get_mut(number).ok_or(Stop::Instruction(i.ip()))? = value;
            return Ok(());
        }
        if i.op_kind(operand) == OpKind::Memory && self.size(i, operand) == 16 {
            let at = self.address(i)?;
            return self.memory.store(at, &value.to_le_bytes());
        }
        self.put(i, operand, value as u64)
    }
}

fn moves<M: Memory + ?Sized>(m: &mut Machine<'_, M>, i: &Instruction) -> Result<bool, Stop> {
    use Mnemonic as N;
    match i.mnemonic() {
        N::Movups | N::Movaps | N::Movupd | N::Movapd | N::Movdqu | N::Movdqa | N::Movntps | N::Movntdq => {
            let value = m.vector(i, 1)?;
            m.set_vector(i, 0, value)?;
        }
        // The lower part moves; a vector is cleared above it.
        N::Movd | N::Movq => {
            let size = m.size(i, 0).min(m.size(i, 1)).min(if i.mnemonic() == N::Movq { 8 } else { 4 });
            if [0, 1].iter().any(|operand| is_multimedia(i, *operand)) {
                return Ok(false);
            }
            let value = m.vector(i, 1)? & u128::from(mask(size));
            m.set_vector(i, 0, value)?;
        }
        N::Movss | N::Movsd => {
            let part = u128::from(mask(if i.mnemonic() == N::Movss { 4 } else { 8 }));
            let value = m.vector(i, 1)? & part;
            // Between registers the rest stays, from memory it is cleared.
            let rest = if is_vector(i, 0) && is_vector(i, 1) { m.vector(i, 0)? & !part } else { 0 };
            m.set_vector(i, 0, value | rest)?;
        }
        _ => return Ok(false),
    }
    Ok(true)
}

/// MMX registers are nobody's any more.
fn is_multimedia(i: &Instruction, operand: u32) -> bool {
    i.op_kind(operand) == OpKind::Register && i.op_register(operand).is_mm()
}

fn halves<M: Memory + ?Sized>(m: &mut Machine<'_, M>, i: &Instruction) -> Result<bool, Stop> {
    use Mnemonic as N;
    let known = [N::Movlps, N::Movlpd, N::Movhps, N::Movhpd, N::Movhlps, N::Movlhps];
    let unpacks = [N::Punpcklqdq, N::Punpckhqdq, N::Unpcklpd, N::Unpckhpd];
    if unpacks.contains(&i.mnemonic()) {
        let (a, b) = (m.vector(i, 0)?, m.vector(i, 1)?);
        let low = matches!(i.mnemonic(), N::Punpcklqdq | N::Unpcklpd);
        let value = if low { a & LOW | b << 64 } else { a >> 64 | b & !LOW };
        m.set_vector(i, 0, value)?;
        return Ok(true);
    }
    if !known.contains(&i.mnemonic()) {
        return Ok(false);
    }
    let from = m.vector(i, 1)?;
    if !is_vector(i, 0) {
        let high = matches!(i.mnemonic(), N::Movhps | N::Movhpd);
        m.put(i, 0, if high { (from >> 64) as u64 } else { from as u64 })?;
        return Ok(true);
    }
    let old = m.vector(i, 0)?;
    let value = match i.mnemonic() {
        N::Movlps | N::Movlpd => old & !LOW | from & LOW,
        N::Movhps | N::Movhpd | N::Movlhps => old & LOW | from << 64,
        _ => old & !LOW | from >> 64,
    };
    m.set_vector(i, 0, value)?;
    Ok(true)
}

fn logic<M: Memory + ?Sized>(m: &mut Machine<'_, M>, i: &Instruction) -> Result<bool, Stop> {
    use Mnemonic as N;
    let combine: fn(u128, u128) -> u128 = match i.mnemonic() {
        N::Xorps | N::Xorpd | N::Pxor => |a, b| a ^ b,
        N::Andps | N::Andpd | N::Pand => |a, b| a & b,
        N::Andnps | N::Andnpd | N::Pandn => |a, b| !a & b,
        N::Orps | N::Orpd | N::Por => |a, b| a | b,
        N::Paddd => |a, b| lanes::<4>(a, b, |a, b| (a as u32).wrapping_add(b as u32).into()),
        N::Paddq => |a, b| lanes::<8>(a, b, u64::wrapping_add),
        N::Psubd => |a, b| lanes::<4>(a, b, |a, b| (a as u32).wrapping_sub(b as u32).into()),
        N::Psubq => |a, b| lanes::<8>(a, b, u64::wrapping_sub),
        N::Pcmpeqb => |a, b| lanes::<1>(a, b, |a, b| if a == b { u64::MAX } else { 0 }),
        N::Pcmpeqw => |a, b| lanes::<2>(a, b, |a, b| if a == b { u64::MAX } else { 0 }),
        N::Pcmpeqd => |a, b| lanes::<4>(a, b, |a, b| if a == b { u64::MAX } else { 0 }),
        N::Pcmpgtb => |a, b| lanes::<1>(a, b, |a, b| if a as i8 > b as i8 { u64::MAX } else { 0 }),
        _ => return Ok(false),
    };
    if !is_vector(i, 0) {
        return Ok(false);
    }
    let (a, b) = (m.vector(i, 0)?, m.vector(i, 1)?);
    m.set_vector(i, 0, combine(a, b))?;
    Ok(true)
}

/// Lane by lane of `SIZE` bytes.
fn lanes<const SIZE: usize>(a: u128, b: u128, combine: impl Fn(u64, u64) -> u64) -> u128 {
    let lane = u128::from(mask(SIZE));
    let one = |shift: usize| {
        let part = |of: u128| (of >> shift & lane) as u64;
        (u128::from(combine(part(a), part(b))) & lane) << shift
    };
    (0..128).step_by(8 * SIZE).map(one).fold(0, |all, one| all | one)
}

fn masks<M: Memory + ?Sized>(m: &mut Machine<'_, M>, i: &Instruction) -> Result<bool, Stop> {
    use Mnemonic as N;
    match i.mnemonic() {
        N::Pmovmskb if is_vector(i, 1) => {
            let value = m.vector(i, 1)?;
            let bits = (0..16).filter(|byte| value >> (8 * byte + 7) & 1 != 0).map(|byte| 1 << byte).sum();
            m.put(i, 0, bits)?;
        }
        N::Pshufd => {
            let (from, order) = (m.vector(i, 1)?, i.immediate(2));
            let lane = |to: u32| (from >> (32 * (order >> (2 * to) & 3)) & u128::from(u32::MAX)) << (32 * to);
            m.set_vector(i, 0, (0..4).map(lane).fold(0, |all, one| all | one))?;
        }
        N::Psrldq | N::Pslldq if i.op1_kind() == OpKind::Immediate8 && i.op0_register() != Register::None => {
            let (value, by) = (m.vector(i, 0)?, 8 * i.immediate(1).min(16) as u32);
            let left = i.mnemonic() == N::Pslldq;
            let shifted = if left { value.checked_shl(by) } else { value.checked_shr(by) };
            m.set_vector(i, 0, shifted.unwrap_or(0))?;
        }
        _ => return Ok(false),
    }
    Ok(true)
}
