//! A program that does nothing but count its hits, to find out what this kernel's probes do: the kernel takes long to check ours.

use super::TraceError;
use super::object::{has_attach_cookies, map_error, no_attach_cookies};
use crate::sys::bpf::{AttachType, load_program};
use aya::maps::{Array, IterableMap as _, MapData};
use aya_obj::generated::{
    BPF_ALU64, BPF_DW, BPF_EXIT, BPF_IMM, BPF_JMP, BPF_K, BPF_LD, BPF_MOV, BPF_PSEUDO_MAP_VALUE, BPF_STX,
    BPF_XADD, bpf_insn,
};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

pub(super) struct Trial {
    count: Array<MapData, u64>,
    program: OwnedFd,
}

impl Trial {
    /// # Errors
    /// What the kernel says; it need not know the attach type yet.
    pub fn load(attach: AttachType) -> Result<Trial, TraceError> {
        let count = Array::create(1, 0).map_err(map_error)?;
        let instructions = counts(count.map().fd().as_fd().as_raw_fd());
        let program = load_program("trial", &instructions, c"GPL", attach, None);
        match program {
            Ok(program) => Ok(Trial { count, program }),
            Err(_) if !has_attach_cookies() => Err(no_attach_cookies()),
            Err(error) => Err(TraceError::from_io("load BPF programs", error)),
        }
    }

    pub fn program(&self) -> BorrowedFd<'_> {
        self.program.as_fd()
    }

    pub fn hits(&self) -> u64 {
        self.count.get(&0, 0).unwrap_or(0)
    }
}

/// Adds one to the map's only word, atomically, and answers 0: at the entry of a session that asks for the return too.
fn counts(map: i32) -> [bpf_insn; 6] {
    let instruction = |code: u32, to: u8, from: u32, imm: i32| bpf_insn {
        code: code as u8,
        _bitfield_align_1: [],
        _bitfield_1: bpf_insn::new_bitfield_1(to, from as u8),
        off: 0,
        imm,
    };
    [
        // The address of the map's value, in two.
        instruction(BPF_LD | BPF_IMM | BPF_DW, 1, BPF_PSEUDO_MAP_VALUE, map),
        instruction(0, 0, 0, 0),
        instruction(BPF_ALU64 | BPF_MOV | BPF_K, 2, 0, 1),
        instruction(BPF_STX | BPF_XADD | BPF_DW, 1, 2, 0),
        instruction(BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0),
        instruction(BPF_JMP | BPF_EXIT, 0, 0, 0),
    ]
}
