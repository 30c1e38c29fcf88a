//! What is known of registers and of the stack at one place of a function.

use iced_x86::{ConditionCode, Register};
use std::collections::BTreeMap;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Value {
    Unknown,
    /// The future's address, plus this.
    Future(i64),
    /// What the stack pointer was at the function's first instruction, plus this.
    Stack(i64),
    Number(u64),
    /// Only the lowest byte is known.
    Byte(u8),
    /// An entry of a table of jumps, of which it is not known which.
    Entry(u64),
    /// The place that such an entry leads to.
    Jump(u64),
}

/// What the last instruction that set flags tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Flags {
    Unknown,
    /// Two numbers were compared.
    Compared {
        left: u64,
        right: u64,
        bits: u32,
    },
    /// A number was computed: whether it is zero, and its sign.
    Result {
        number: u64,
        bits: u32,
    },
    Carry(bool),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Known {
    registers: [Value; 16],
    /// Words of the stack by where they are.
    stack: BTreeMap<i64, Value>,
    pub flags: Flags,
    /// The states that are tracked: of the coroutine, then of those that it is awaited in. None where the code computed one.
    pub states: Box<[Option<u8>]>,
}

/// Words of the stack that are kept in mind.
const MAX_SLOTS: usize = 256;
const RSP: usize = 4;
/// What the ABI lets a called function change: rax, rcx, rdx, rsi, rdi, r8 to r11.
const CLOBBERED: [usize; 9] = [0, 1, 2, 6, 7, 8, 9, 10, 11];
/// And those that it is called with: rdi, rsi, rdx, rcx, r8, r9.
const ARGUMENTS: [usize; 6] = [7, 6, 2, 1, 8, 9];

impl Known {
    /// At the function's first instruction; `future`: the register that has the future's address.
    pub fn at_entry(future: Register, states: &[u8]) -> Known {
        let mut known = Known {
            registers: [Value::Unknown; 16],
            stack: BTreeMap::new(),
            flags: Flags::Unknown,
            states: states.iter().copied().map(Some).collect(),
        };
        known.registers[RSP] = Value::Stack(0);
        known.set(future, Value::Future(0));
        known
    }

    /// As much of a register as is asked for.
    pub fn get(&self, register: Register) -> Value {
        let Some(index) = index(register) else { return Value::Unknown };
        let value = self.registers[index];
        match (register.size(), value) {
            (8, _) => value,
            (1, Value::Byte(_)) if !is_high(register) => value,
            (1, Value::Number(n)) if is_high(register) => Value::Byte((n >> 8) as u8),
            (1, Value::Number(n)) => Value::Byte(n as u8),
            (size @ (2 | 4), Value::Number(n)) => Value::Number(truncated(n, size as u32)),
            (2 | 4, Value::Byte(_)) => value,
            _ => Value::Unknown,
        }
    }

    pub fn set(&mut self, register: Register, value: Value) {
        let Some(index) = index(register) else { return };
        let old = self.registers[index];
        self.registers[index] = match (register.size(), value) {
            (8, _) | (4, Value::Byte(_)) => value,
            // Half a register clears the other half.
            (4, Value::Number(n)) => Value::Number(truncated(n, 4)),
            (4, Value::Entry(_)) => value,
            (1, _) if is_high(register) => Value::Unknown,
            (1, Value::Byte(byte)) => in_low_byte(old, byte),
            (1, Value::Number(n)) => in_low_byte(old, n as u8),
            _ => Value::Unknown,
        };
    }

    /// What an instruction changed in a way that is not followed.
    pub fn forget(&mut self, register: Register) {
        if let Some(index) = index(register) {
            self.registers[index] = Value::Unknown;
        }
    }

    pub fn load(&self, at: i64, size: usize) -> Value {
        match (self.stack.get(&at).copied().unwrap_or(Value::Unknown), size) {
            (value, 8) => value,
            (Value::Byte(byte), 1) => Value::Byte(byte),
            (Value::Number(n), 1) => Value::Byte(n as u8),
            (Value::Number(n), size @ (2 | 4)) => Value::Number(truncated(n, size as u32)),
            _ => Value::Unknown,
        }
    }

    pub fn store(&mut self, at: i64, size: usize, value: Value) {
        let end = at.saturating_add(size as i64);
        let hit: Vec<i64> = self.stack.range(at.saturating_sub(7)..end).map(|(at, _)| *at).collect();
        for slot in hit {
            self.stack.remove(&slot);
        }
        let kept = match (size, value) {
            (_, Value::Unknown) => return,
            (8, Value::Byte(_)) => return,
            (8, value) => value,
            (1, Value::Byte(byte)) => Value::Byte(byte),
            (1, Value::Number(n)) => Value::Byte(n as u8),
            (4, Value::Number(_)) => return,
            _ => return,
        };
        if self.stack.len() < MAX_SLOTS {
            self.stack.insert(at, kept);
        }
    }

    /// How much is known, in words.
    pub fn weight(&self) -> usize {
        self.registers.len() + self.stack.len()
    }

    pub fn forget_stack_from(&mut self, at: i64) {
        self.stack.retain(|slot, _| *slot < at);
    }

    pub fn move_stack(&mut self, by: i64) {
        if let Value::Stack(at) = self.registers[RSP] {
            self.registers[RSP] = Value::Stack(at.wrapping_add(by));
        }
    }

    /// The stack is as the function found it: nothing but the return address is on it.
    pub fn is_balanced(&self) -> bool {
        self.registers[RSP] == Value::Stack(0)
    }

    /// Whether a condition holds. None where nothing tells.
    pub fn decides(&self, condition: ConditionCode) -> Option<bool> {
        match self.flags {
            Flags::Unknown => None,
            Flags::Carry(carry) => match condition {
                ConditionCode::b => Some(carry),
                ConditionCode::ae => Some(!carry),
                _ => None,
            },
            Flags::Result { number, bits } => match condition {
                ConditionCode::e => Some(number == 0),
                ConditionCode::ne => Some(number != 0),
                ConditionCode::s => Some(signed(number, bits) < 0),
                ConditionCode::ns => Some(signed(number, bits) >= 0),
                _ => None,
            },
            Flags::Compared { left, right, bits } => {
                let (a, b) = (signed(left, bits), signed(right, bits));
                let difference = signed(left.wrapping_sub(right), bits);
                match condition {
                    ConditionCode::e => Some(left == right),
                    ConditionCode::ne => Some(left != right),
                    ConditionCode::b => Some(left < right),
                    ConditionCode::ae => Some(left >= right),
                    ConditionCode::be => Some(left <= right),
                    ConditionCode::a => Some(left > right),
                    ConditionCode::l => Some(a < b),
                    ConditionCode::ge => Some(a >= b),
                    ConditionCode::le => Some(a <= b),
                    ConditionCode::g => Some(a > b),
                    ConditionCode::s => Some(difference < 0),
                    ConditionCode::ns => Some(difference >= 0),
                    _ => None,
                }
            }
        }
    }

    /// After a function was called that is not looked into. It may have written to what it can have the address of.
    pub fn after_call(&mut self) {
        let passed = ARGUMENTS.iter().map(|index| self.registers[*index]);
        let addresses = passed.chain(self.stack.values().copied()).filter_map(|value| match value {
            Value::Stack(at) => Some(at),
            _ => None,
        });
        if let Some(lowest) = addresses.min() {
            self.stack.retain(|at, value| *at < lowest || !is_number(value));
        }
        for index in CLOBBERED {
            self.registers[index] = Value::Unknown;
        }
        self.flags = Flags::Unknown;
    }

    /// Numbers forgotten, so that what counts does not go on for ever; addresses stay, and in registers numbers up to `largest`.
    pub fn without_numbers(&mut self, largest: Option<u8>) {
        let stays = |value: &Value| match (value, largest) {
            (Value::Number(n), Some(largest)) => *n <= largest.into(),
            (Value::Byte(_), Some(_)) => true,
            _ => false,
        };
        for value in self.registers.iter_mut().filter(|value| is_number(value) && !stays(value)) {
            *value = Value::Unknown;
        }
        self.stack.retain(|_, value| !is_number(value));
        self.flags = Flags::Unknown;
    }
}

fn is_number(value: &Value) -> bool {
    matches!(value, Value::Number(_) | Value::Byte(_))
}

fn in_low_byte(old: Value, byte: u8) -> Value {
    match old {
        Value::Number(n) => Value::Number(n & !0xff | u64::from(byte)),
        _ => Value::Byte(byte),
    }
}

pub fn truncated(number: u64, bytes: u32) -> u64 {
    if bytes >= 8 { number } else { number & ((1 << (8 * bytes)) - 1) }
}

/// `number` of so many bytes, with its sign.
pub fn extended(number: u64, bytes: u32) -> u64 {
    let unused = 64 - 8 * bytes.clamp(1, 8);
    ((number << unused) as i64 >> unused) as u64
}

fn signed(number: u64, bits: u32) -> i64 {
    extended(number, bits / 8) as i64
}

fn is_high(register: Register) -> bool {
    matches!(register, Register::AH | Register::BH | Register::CH | Register::DH)
}

fn index(register: Register) -> Option<usize> {
    let full = register.full_register();
    full.is_gpr64().then(|| full.number())
}
