//! `rep movs` and `rep stos`, and what libc's functions of memory do.

use super::Stop;
use super::flags::mask;
use super::machine::{Machine, RAX, RCX, RDI, RSI};
use crate::target::Memory;
use iced_x86::{Instruction, Mnemonic, OpKind};
use std::cmp::Ordering;

/// Bytes of one copy.
const MAX_COPY: u64 = 1 << 20;
const CHUNK: usize = 4096;
const WORD: u64 = 8;

/// Runs one instruction; false where it is not one of these.
pub(super) fn run<M: Memory + ?Sized>(m: &mut Machine<'_, M>, i: &Instruction) -> Result<bool, Stop> {
    let copies = i.op1_kind() == OpKind::MemorySegRSI && i.op0_kind() == OpKind::MemoryESRDI;
    let width = match i.mnemonic() {
        Mnemonic::Movsb | Mnemonic::Stosb => 1,
        Mnemonic::Movsw | Mnemonic::Stosw => 2,
        Mnemonic::Movsd if copies => 4,
        Mnemonic::Stosd => 4,
        Mnemonic::Movsq | Mnemonic::Stosq => 8,
        _ => return Ok(false),
    };
    if i.has_repne_prefix() || i.has_segment_prefix() {
        return Ok(false);
    }
    let times = if i.has_rep_prefix() { m.registers[RCX] } else { 1 };
    let bytes = times.checked_mul(width).filter(|bytes| *bytes <= MAX_COPY).ok_or(Stop::Memory)?;
    m.spend(times)?;
    let to = m.registers[RDI];
    if copies {
        // Forwards, unit by unit: where both overlap that repeats what comes first.
        let from = m.registers[RSI];
        for at in (0..bytes).step_by(width as usize) {
            let unit = m.load(from.wrapping_add(at), width as usize)?;
            m.memory.store(to.wrapping_add(at), &unit.to_le_bytes()[..width as usize])?;
        }
        m.registers[RSI] = from.wrapping_add(bytes);
    } else {
        let unit = (m.registers[RAX] & mask(width as usize)).to_le_bytes();
        for at in (0..bytes).step_by(width as usize) {
            m.memory.store(to.wrapping_add(at), &unit[..width as usize])?;
        }
    }
    m.registers[RDI] = to.wrapping_add(bytes);
    if i.has_rep_prefix() {
        m.registers[RCX] = 0;
    }
    Ok(true)
}

impl<M: Memory + ?Sized> Machine<'_, M> {
    /// As `memmove`.
    pub(in crate::decode) fn copy(&mut self, to: u64, from: u64, bytes: u64) -> Result<(), Stop> {
        self.spend(bytes / WORD)?;
        let mut copied = vec![0; within(bytes)?];
        self.memory.load(from, &mut copied)?;
        self.memory.store(to, &copied)
    }

    /// As `memset`.
    pub(in crate::decode) fn fill(&mut self, to: u64, byte: u8, bytes: u64) -> Result<(), Stop> {
        self.spend(bytes / WORD)?;
        self.memory.store(to, &vec![byte; within(bytes)?])
    }

    /// As `memcmp`.
    pub(in crate::decode) fn compare(&mut self, a: u64, b: u64, bytes: u64) -> Result<Ordering, Stop> {
        self.spend(bytes / WORD)?;
        let (mut left, mut right) = ([0; CHUNK], [0; CHUNK]);
        let bytes = within(bytes)?;
        for at in (0..bytes).step_by(CHUNK) {
            let here = CHUNK.min(bytes - at);
            self.memory.load(a.wrapping_add(at as u64), &mut left[..here])?;
            self.memory.load(b.wrapping_add(at as u64), &mut right[..here])?;
            match left[..here].cmp(&right[..here]) {
                Ordering::Equal => {}
                differs => return Ok(differs),
            }
        }
        Ok(Ordering::Equal)
    }
}

fn within(bytes: u64) -> Result<usize, Stop> {
    if bytes > MAX_COPY { Err(Stop::Memory) } else { Ok(bytes as usize) }
}
