//! The program headers of a core file: which memory it has, and where in the file.

use super::super::image::check_ident;
use super::super::{Avma, TargetError};
use object::LittleEndian as LE;
use object::elf::{self, FileHeader64, ProgramHeader64};
use object::pod::{from_bytes, slice_from_bytes};
use object::read::elf::{FileHeader, ProgramHeader};
use std::ops::Range;
use std::path::Path;

/// One mapping of the dead process (PT_LOAD).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Load {
    pub start: Avma,
    /// Bytes in memory.
    pub size: u64,
    /// Where the core file has its beginning, or all of it; cut where the file ends.
    pub file: Range<usize>,
    /// Bytes that the headers promise and a truncated file lacks.
    pub missing: u64,
    pub readable: bool,
    pub writable: bool,
    pub executable: bool,
}

impl Load {
    pub fn end(&self) -> Avma {
        self.start.offset(self.size)
    }

    /// How many bytes from its start on the file has.
    pub fn dumped(&self) -> u64 {
        self.file.len() as u64
    }
}

#[derive(Debug, Default)]
pub struct Segments {
    /// By address, disjoint, both in memory and in the file.
    pub loads: Vec<Load>,
    /// Bytes of each PT_NOTE, with its alignment; cut where the file ends.
    pub notes: Vec<(Range<usize>, u64)>,
    /// Mappings that contradict others and are left out.
    pub refused: usize,
    /// Where the file would end if it were whole.
    pub whole_len: u64,
}

/// # Errors
/// `NotElf`, `OtherMachine`, `NotCore`; `Truncated` where the file ends before its headers do.
pub fn parse(bytes: &[u8], path: &Path) -> Result<Segments, TargetError> {
    let len = bytes.len() as u64;
    let not_core = |what: &str| TargetError::NotCore { path: path.to_owned(), what: what.to_owned() };
    let truncated = |what, needed| TargetError::Truncated { path: path.to_owned(), what, needed, len };
    if let Some(packed) = packed(bytes) {
        return Err(not_core(packed));
    }
    check_ident(bytes.get(..20).unwrap_or(bytes), len, path)?;
    let (header, _) = from_bytes::<FileHeader64<LE>>(bytes).map_err(|()| truncated("the ELF header", 64))?;
    match header.e_type(LE) {
        elf::ET_CORE => {}
        elf::ET_EXEC | elf::ET_DYN => return Err(not_core("it is a program or a library")),
        _ => return Err(not_core("it is an object file")),
    }
    let headers = program_headers(bytes, header)
        .ok_or_else(|| truncated("the program header table", header.e_phoff(LE).saturating_add(56)))?;
    let mut segments = Segments { whole_len: len, ..Segments::default() };
    let mut loads: Vec<&ProgramHeader64<LE>> = Vec::new();
    for one in headers {
        let (offset, size) = one.file_range(LE);
        segments.whole_len = segments.whole_len.max(offset.saturating_add(size));
        match one.p_type(LE) {
            elf::PT_NOTE => segments.notes.push((within(bytes, offset, size), one.p_align(LE))),
            elf::PT_LOAD if one.p_memsz(LE) > 0 => loads.push(one),
            _ => {}
        }
    }
    loads.sort_by_key(|one| one.p_vaddr(LE));
    // Every dumper writes mappings in the order of their addresses. Two that share bytes of the file or of memory are not
    // of a dumper, and would let a small file stand for any amount of memory.
    let (mut memory_end, mut file_end) = (Avma(0), 0);
    for one in loads {
        let apart =
            |load: &Load| memory_end <= load.start && (load.file.is_empty() || file_end <= load.file.start);
        match load(bytes, one).filter(apart) {
            Some(load) => {
                memory_end = load.end();
                file_end = if load.file.is_empty() { file_end } else { load.file.end };
                segments.loads.push(load);
            }
            None => segments.refused += 1,
        }
    }
    Ok(segments)
}

/// As many as are there. More than 65,534 are counted in the first section header, which the kernel writes last
/// (`elf_core_dump` in fs/binfmt_elf.c): where that was cut off, they end where the first one's bytes begin.
fn program_headers<'a>(bytes: &'a [u8], header: &FileHeader64<LE>) -> Option<&'a [ProgramHeader64<LE>]> {
    const EACH: usize = size_of::<ProgramHeader64<LE>>();
    let table = bytes.get(usize::try_from(header.e_phoff(LE)).ok()?..)?;
    let count = match header.e_phnum.get(LE) {
        elf::PN_XNUM => header.phnum(LE, bytes).ok().filter(|n| *n > 0).or_else(|| {
            let (first, _) = from_bytes::<ProgramHeader64<LE>>(table).ok()?;
            let room = first.p_offset(LE).checked_sub(header.e_phoff(LE))?;
            Some(usize::try_from(room).ok()? / EACH)
        })?,
        count => usize::from(count),
    };
    let (headers, _) = slice_from_bytes(table, count.min(table.len() / EACH)).ok()?;
    (!headers.is_empty()).then_some(headers)
}

fn load(bytes: &[u8], one: &ProgramHeader64<LE>) -> Option<Load> {
    let (offset, stated) = one.file_range(LE);
    let (start, size) = (one.p_vaddr(LE), one.p_memsz(LE));
    start.checked_add(size)?;
    let stated = stated.min(size);
    let file = within(bytes, offset, stated);
    let flags = one.p_flags(LE);
    Some(Load {
        start: Avma(start),
        size,
        missing: stated - file.len() as u64,
        file,
        readable: flags & elf::PF_R != 0,
        writable: flags & elf::PF_W != 0,
        executable: flags & elf::PF_X != 0,
    })
}

/// What of a range the file has. Where there is nothing, an empty range that begins at the file's end at the latest.
fn within(bytes: &[u8], offset: u64, size: u64) -> Range<usize> {
    let cut = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
    cut(offset)..cut(offset.saturating_add(size))
}

/// systemd-coredump and others keep core files compressed.
fn packed(bytes: &[u8]) -> Option<&'static str> {
    let kinds: [(&[u8], &str); 4] = [
        (&[0x28, 0xb5, 0x2f, 0xfd], "it is compressed: zstd -d, or coredumpctl dump -o FILE, unpacks it"),
        (&[0x04, 0x22, 0x4d, 0x18], "it is compressed: lz4 -d, or coredumpctl dump -o FILE, unpacks it"),
        (&[0xfd, b'7', b'z', b'X', b'Z'], "it is compressed: xz -d, or coredumpctl dump -o FILE, unpacks it"),
        (&[0x1f, 0x8b], "it is compressed: gzip -d unpacks it"),
    ];
    kinds.into_iter().find(|(magic, _)| bytes.starts_with(magic)).map(|(_, what)| what)
}
