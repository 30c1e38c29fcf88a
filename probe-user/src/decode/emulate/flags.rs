//! The arithmetic flags, and what integer operations do to them (Intel SDM, volume 1, §3.4.3.1).

use iced_x86::ConditionCode;

/// Without the auxiliary carry, which only decimal arithmetic reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Flags {
    pub carry: bool,
    pub parity: bool,
    pub zero: bool,
    pub sign: bool,
    pub overflow: bool,
}

/// All bits of an operand of this many bytes.
pub(super) fn mask(size: usize) -> u64 {
    if size >= 8 { u64::MAX } else { (1 << (8 * size)) - 1 }
}

pub(super) fn top_bit(size: usize) -> u64 {
    1 << (8 * size.clamp(1, 8) - 1)
}

pub(super) fn sign_extend(value: u64, size: usize) -> u64 {
    let shift = 64 - 8 * size.clamp(1, 8);
    ((value << shift) as i64 >> shift) as u64
}

impl Flags {
    /// What every result sets.
    pub fn of_result(&mut self, result: u64, size: usize) {
        self.zero = result & mask(size) == 0;
        self.sign = result & top_bit(size) != 0;
        self.parity = (result as u8).count_ones().is_multiple_of(2);
    }

    pub fn logic(&mut self, result: u64, size: usize) -> u64 {
        *self = Flags::default();
        self.of_result(result, size);
        result & mask(size)
    }

    pub fn add(&mut self, a: u64, b: u64, carry: bool, size: usize) -> u64 {
        let (a, b) = (a & mask(size), b & mask(size));
        let wide = u128::from(a) + u128::from(b) + u128::from(carry);
        let result = wide as u64 & mask(size);
        self.carry = wide > u128::from(mask(size));
        self.overflow = (a ^ result) & (b ^ result) & top_bit(size) != 0;
        self.of_result(result, size);
        result
    }

    pub fn subtract(&mut self, a: u64, b: u64, borrow: bool, size: usize) -> u64 {
        let (a, b) = (a & mask(size), b & mask(size));
        let result = a.wrapping_sub(b).wrapping_sub(u64::from(borrow)) & mask(size);
        self.carry = u128::from(a) < u128::from(b) + u128::from(borrow);
        self.overflow = (a ^ b) & (a ^ result) & top_bit(size) != 0;
        self.of_result(result, size);
        result
    }

    /// None where `condition` is none.
    pub fn hold(&self, condition: ConditionCode) -> Option<bool> {
        let Flags { carry, parity, zero, sign, overflow } = *self;
        Some(match condition {
            ConditionCode::None => return None,
            ConditionCode::o => overflow,
            ConditionCode::no => !overflow,
            ConditionCode::b => carry,
            ConditionCode::ae => !carry,
            ConditionCode::e => zero,
            ConditionCode::ne => !zero,
            ConditionCode::be => carry || zero,
            ConditionCode::a => !carry && !zero,
            ConditionCode::s => sign,
            ConditionCode::ns => !sign,
            ConditionCode::p => parity,
            ConditionCode::np => !parity,
            ConditionCode::l => sign != overflow,
            ConditionCode::ge => sign == overflow,
            ConditionCode::le => zero || sign != overflow,
            ConditionCode::g => !zero && sign == overflow,
        })
    }
}
