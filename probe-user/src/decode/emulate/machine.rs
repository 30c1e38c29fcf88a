//! The processor's state, and the loop that fetches one instruction after the other.

use super::flags::Flags;
use super::overlay::{Overlay, STACK};
use super::{Stop, integer, vector};
use crate::dwarf::Code;
use crate::target::{Avma, Bias, Memory};
use iced_x86::{Code as Form, Decoder, DecoderOptions, Instruction, Mnemonic, OpKind};

/// Instructions of one run; a copy counts as one for each of its words.
pub(super) const MAX_STEPS: u64 = 50_000;
const MAX_CALLS: usize = 128;
/// Where the outermost function returns to: no code is there.
const RETURN: u64 = 0xffff_9fff_ffff_fff0;
/// Longest instruction.
const LONGEST: usize = 15;

pub(super) const RAX: usize = 0;
pub(super) const RCX: usize = 1;
pub(super) const RDX: usize = 2;
pub(super) const RSP: usize = 4;
pub(super) const RSI: usize = 6;
pub(super) const RDI: usize = 7;

/// Registers of arguments (System V ABI, §3.2.3).
pub(in crate::decode) mod argument {
    pub(in crate::decode) const FIRST_THREE: [usize; 3] = [super::RDI, super::RSI, super::RDX];
}

/// The program's code, from its file: in memory probes may stand in it.
#[derive(Clone, Copy, Debug)]
pub(in crate::decode) struct CodeImage<'a> {
    pub code: &'a [Code<'a>],
    pub bias: Bias,
}

impl CodeImage<'_> {
    fn fetch(&self, ip: u64) -> Option<Instruction> {
        let at = Avma(ip).to_svma(self.bias).0;
        let holds = |code: &&Code<'_>| {
            at.checked_sub(code.start.0).is_some_and(|into| into < code.bytes.len() as u64)
        };
        let code = self.code.iter().find(holds)?;
        let bytes = &code.bytes[(at - code.start.0) as usize..];
        let bytes = &bytes[..bytes.len().min(LONGEST)];
        let instruction = Decoder::with_ip(64, bytes, ip, DecoderOptions::NONE).decode();
        (instruction.code() != Form::INVALID).then_some(instruction)
    }
}

/// Functions that are not run but known.
pub(in crate::decode) trait Outside<M: Memory + ?Sized> {
    /// What the function at `at` returns, done as a whole; None where its code is to be run.
    fn call(&mut self, at: u64, machine: &mut Machine<'_, M>) -> Result<Option<u64>, Stop>;
}

pub(in crate::decode) struct Machine<'m, M: Memory + ?Sized> {
    pub registers: [u64; 16],
    pub(super) vectors: [u128; 16],
    pub(super) flags: Flags,
    /// Thread pointer, for thread-locals.
    pub(super) fs: Option<u64>,
    pub memory: Overlay<'m, M>,
    ip: u64,
    calls: usize,
    steps: u64,
}

impl<'m, M: Memory + ?Sized> Machine<'m, M> {
    pub fn new(memory: Overlay<'m, M>, fs: Option<Avma>) -> Self {
        Machine {
            registers: [0; 16],
            vectors: [0; 16],
            flags: Flags::default(),
            fs: fs.map(|at| at.0),
            memory,
            ip: 0,
            calls: 0,
            steps: 0,
        }
    }

    /// Calls a function with one argument; returns when it does.
    pub fn run(
        &mut self,
        code: &CodeImage<'_>,
        function: Avma,
        argument: Avma,
        outside: &mut dyn Outside<M>,
    ) -> Result<(), Stop> {
        self.registers[RSP] = STACK.end - 0x1000;
        self.registers[RDI] = argument.0;
        self.push(RETURN)?;
        self.enter(function.0, outside)?;
        while self.ip != RETURN {
            self.spend(1)?;
            let instruction = code.fetch(self.ip).ok_or(Stop::Call(self.ip))?;
            self.step(&instruction, outside)?;
        }
        Ok(())
    }

    pub(super) fn spend(&mut self, steps: u64) -> Result<(), Stop> {
        self.steps = self.steps.saturating_add(steps);
        if self.steps > MAX_STEPS { Err(Stop::Endless) } else { Ok(()) }
    }

    /// Instructions so far.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    fn step(&mut self, i: &Instruction, outside: &mut dyn Outside<M>) -> Result<(), Stop> {
        self.ip = i.next_ip();
        match i.mnemonic() {
            Mnemonic::Call => {
                let to = self.target(i)?;
                self.push(i.next_ip())?;
                self.calls += 1;
                if self.calls > MAX_CALLS {
                    return Err(Stop::Endless);
                }
                self.enter(to, outside)
            }
            Mnemonic::Jmp => {
                let to = self.target(i)?;
                self.enter(to, outside)
            }
            Mnemonic::Ret => {
                self.ip = self.pop()?;
                self.calls = self.calls.saturating_sub(1);
                if i.op_count() > 0 {
                    self.registers[RSP] = self.registers[RSP].wrapping_add(i.immediate(0));
                }
                Ok(())
            }
            Mnemonic::Ud2 | Mnemonic::Int3 | Mnemonic::Hlt => Err(Stop::Trap(i.ip())),
            _ if i.is_jcc_short_or_near() => {
                if self.condition(i)? {
                    self.ip = i.near_branch_target();
                }
                Ok(())
            }
            _ => {
                let done = integer::run(self, i)? || vector::run(self, i)?;
                if done { Ok(()) } else { Err(Stop::Instruction(i.ip())) }
            }
        }
    }

    /// Goes to `to`; where that is a function that is known, comes back from it at once.
    fn enter(&mut self, to: u64, outside: &mut dyn Outside<M>) -> Result<(), Stop> {
        self.ip = to;
        if let Some(result) = outside.call(to, self)? {
            self.registers[RAX] = result;
            self.ip = self.pop()?;
            self.calls = self.calls.saturating_sub(1);
        }
        Ok(())
    }

    fn target(&mut self, i: &Instruction) -> Result<u64, Stop> {
        match i.op0_kind() {
            OpKind::NearBranch64 => Ok(i.near_branch_target()),
            OpKind::Register | OpKind::Memory if self.size(i, 0) == 8 => self.get(i, 0),
            _ => Err(Stop::Instruction(i.ip())),
        }
    }

    pub(super) fn condition(&self, i: &Instruction) -> Result<bool, Stop> {
        self.flags.hold(i.condition_code()).ok_or(Stop::Instruction(i.ip()))
    }

    pub(super) fn push(&mut self, value: u64) -> Result<(), Stop> {
        let top = self.registers[RSP].wrapping_sub(8);
        self.registers[RSP] = top;
        self.memory.store(top, &value.to_le_bytes())
    }

    pub(super) fn pop(&mut self) -> Result<u64, Stop> {
        let top = self.registers[RSP];
        self.registers[RSP] = top.wrapping_add(8);
        self.load(top, 8)
    }
}
