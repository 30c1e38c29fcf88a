//! Addresses, one type per meaning, so that a link-time address never meets a run-time one unnoticed.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Stated virtual memory address: what the ELF file and its DWARF say.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Svma(pub u64);

/// Actual virtual memory address: where the thing is in the running process.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Avma(pub u64);

/// Offset in a file; what uprobes attach to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct FileOffset(pub u64);

/// Actual minus stated address of one mapped image (0 for a non-PIE executable).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Bias(pub u64);

impl Svma {
    pub fn to_avma(self, bias: Bias) -> Avma {
        Avma(self.0.wrapping_add(bias.0))
    }
}

impl Avma {
    pub fn to_svma(self, bias: Bias) -> Svma {
        Svma(self.0.wrapping_sub(bias.0))
    }

    /// Wraps: a target's pointer plus an offset may be any number, and a read of it then fails cleanly.
    pub fn offset(self, by: u64) -> Avma {
        Avma(self.0.wrapping_add(by))
    }

    pub fn is_null(self) -> bool {
        self.0 == 0
    }
}

macro_rules! hex {
    ($($t:ty),*) => {$(
        impl fmt::Display for $t {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:#x}", self.0)
            }
        }
        impl fmt::Debug for $t {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($t), "({:#x})"), self.0)
            }
        }
    )*};
}
hex!(Svma, Avma, FileOffset, Bias);
