//! The notes of a core file: threads with their registers, mapped files, what the kernel told the program at its start.

use super::super::{Avma, ThreadRegisters};
use object::LittleEndian as LE;
use object::elf::{self, FileHeader64};
use object::read::elf::NoteIterator;
use std::ffi::OsStr;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// A thread as it stood when the core file was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CoreThread {
    pub registers: ThreadRegisters,
    /// 0: the dumper did not tell.
    pub fs_base: Avma,
}

/// One line of NT_FILE: a mapped piece of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MappedFile {
    pub addresses: Range<u64>,
    pub file_offset: u64,
    /// As the process saw it; the kernel may have appended ` (deleted)`.
    pub path: PathBuf,
}

#[derive(Debug, Default)]
pub struct Notes {
    pub threads: Vec<CoreThread>,
    /// By address.
    pub files: Vec<MappedFile>,
    pub pid: Option<u32>,
    auxv: Vec<(u64, u64)>,
    /// A note broke off: the file is cut, or malformed.
    pub broken: bool,
}

/// Entries of the auxiliary vector (include/uapi/linux/auxvec.h).
pub const AT_ENTRY: u64 = 9;
pub const AT_RANDOM: u64 = 25;

impl Notes {
    /// What one PT_NOTE holds is added to what others held.
    pub fn add(&mut self, bytes: &[u8], align: u64) {
        let Ok(mut notes) = NoteIterator::<FileHeader64<LE>>::new(LE, align, bytes) else {
            self.broken = true;
            return;
        };
        loop {
            let note = match notes.next() {
                Ok(Some(note)) => note,
                Ok(None) => break,
                Err(_) => {
                    self.broken = true;
                    break;
                }
            };
            // gdb and the kernel name them alike.
            if note.name() != b"CORE" {
                continue;
            }
            let desc = note.desc();
            match note.n_type(LE) {
                elf::NT_PRSTATUS => self.threads.extend(thread(desc)),
                elf::NT_PRPSINFO => self.pid = self.pid.or(half(desc, PR_PSINFO_PID)),
                elf::NT_AUXV if self.auxv.is_empty() => {
                    self.auxv =
                        desc.chunks_exact(16).filter_map(|p| Some((word(p, 0)?, word(p, 8)?))).collect();
                }
                elf::NT_FILE if self.files.is_empty() => {
                    let (files, whole) = files(desc);
                    self.files = files;
                    self.broken |= !whole;
                }
                _ => {}
            }
        }
    }

    pub fn auxv(&self, key: u64) -> Option<u64> {
        self.auxv.iter().find(|(k, _)| *k == key).map(|(_, value)| *value)
    }
}

/// `struct elf_prpsinfo` of x86-64 (include/linux/elfcore.h): `pr_pid` is the process's.
const PR_PSINFO_PID: usize = 24;

/// `struct elf_prstatus` of x86-64: `pr_pid` is the thread's id; the registers as `struct user_regs_struct` has them
/// (arch/x86/include/asm/user_64.h).
mod prstatus {
    pub const PID: usize = 32;
    pub const REGISTERS: usize = 112;
    pub const RBP: usize = 4;
    pub const RIP: usize = 16;
    pub const RSP: usize = 19;
    pub const FS_BASE: usize = 21;
}

fn thread(desc: &[u8]) -> Option<CoreThread> {
    let register = |number: usize| word(desc, prstatus::REGISTERS + 8 * number);
    let registers = ThreadRegisters {
        tid: half(desc, prstatus::PID)?,
        pc: Avma(register(prstatus::RIP)?),
        sp: Avma(register(prstatus::RSP)?),
        bp: Some(register(prstatus::RBP)?),
    };
    Some(CoreThread { registers, fs_base: Avma(register(prstatus::FS_BASE)?) })
}

/// Count, page size; start, end and offset in pages of each; then their names (`fill_files_note` in fs/binfmt_elf.c).
/// Whether all that the count promises is there.
fn files(desc: &[u8]) -> (Vec<MappedFile>, bool) {
    let (Some(count), Some(page)) = (word(desc, 0), word(desc, 8)) else { return (Vec::new(), false) };
    let entries = desc.get(16..).unwrap_or_default().chunks_exact(24);
    let Some(count) = usize::try_from(count).ok().filter(|n| *n <= entries.len()) else {
        return (Vec::new(), false);
    };
    let mut names = desc[16 + 24 * count..].split(|byte| *byte == 0);
    let mut files = Vec::new();
    for entry in entries.take(count) {
        let (Some(start), Some(end), Some(offset)) = (word(entry, 0), word(entry, 8), word(entry, 16)) else {
            return (files, false);
        };
        let Some(name) = names.next() else { return (files, false) };
        let path = PathBuf::from(OsStr::from_bytes(name));
        files.push(MappedFile { addresses: start..end, file_offset: offset.saturating_mul(page), path });
    }
    files.sort_by_key(|file| file.addresses.start);
    (files, true)
}

fn word(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at.checked_add(8)?)?.try_into().ok()?))
}

fn half(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}
