//! The executable that a core file is of. A dumper leaves out what the file has as well: code, constants. So the file must be
//! the very one that ran, which is made sure of before a byte of it is believed.

use super::super::files::open_here;
use super::super::matching::hex;
use super::super::{Avma, Bias, Bytes, ElfHeaders, Segment, TargetError, elf};
use super::memory::Dumped;
use super::segments::Load;
use object::{Object, ObjectSection};
use std::path::{Path, PathBuf};

#[derive(Debug)]
pub struct ProgramFile {
    /// Where we opened it.
    pub path: PathBuf,
    pub headers: ElfHeaders,
    pub bias: Bias,
    pub bytes: Bytes,
}

/// What we know that the file is the one that ran by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    BuildId,
    /// All that the core file has of it is the same: its first page at least.
    Contents,
    /// Only where its segments and its entry point are: the core file has none of its bytes.
    Layout,
}

const PAGE: u64 = 4096;

impl ProgramFile {
    /// Not compared yet. `entry` is where the kernel says that the program began; where nothing does, a mapping that begins as
    /// the file does tells where it was.
    pub fn open(path: &Path, entry: Option<u64>, memory: &Dumped) -> Result<ProgramFile, TargetError> {
        let file =
            open_here(path).map_err(|source| TargetError::Unreadable { path: path.to_owned(), source })?;
        // In this order: a small file is read from where it stands, and looking at headers moves that.
        let bytes = Bytes::open(&file, path)?;
        let headers = ElfHeaders::read(&file, path)?;
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let mut program = ProgramFile { path, headers, bias: Bias(0), bytes };
        program.bias = match entry {
            Some(entry) => Bias(entry.wrapping_sub(program.headers.entry.0)),
            None => program.look_for(memory).unwrap_or_default(),
        };
        Ok(program)
    }

    fn look_for(&self, memory: &Dumped) -> Option<Bias> {
        let first = self.headers.segments.iter().find(|s| s.file_offset.0 == 0)?;
        let page = self.slice(0, first.file_size.min(PAGE))?;
        let begins = |load: &&Load| memory.at(load.start).is_some_and(|bytes| bytes.starts_with(page));
        let load = memory.loads.iter().find(begins)?;
        Some(Bias(load.start.0.wrapping_sub(first.address.0)))
    }

    /// Bytes of the file that are mapped at this address, to the end of their segment.
    pub fn mapped_at(&self, at: Avma) -> Option<&[u8]> {
        let stated = at.to_svma(self.bias);
        let segment = self.headers.segment_of(stated)?;
        let into = stated.0 - segment.address.0;
        let rest = segment.file_size.checked_sub(into).filter(|rest| *rest > 0)?;
        self.slice(segment.file_offset.0.checked_add(into)?, rest)
    }

    fn slice(&self, offset: u64, len: u64) -> Option<&[u8]> {
        let from = usize::try_from(offset).ok()?;
        self.bytes.get(from..from.checked_add(usize::try_from(len).ok()?)?)
    }

    /// Is it the program that this memory is of? `Err` says what differs.
    pub fn compare(&self, memory: &Dumped) -> Result<Known, String> {
        self.compare_layout(memory)?;
        if self.compare_build_id(memory)? {
            return Ok(Known::BuildId);
        }
        let constants = self.headers.segments.iter().filter(|s| !s.writable && !s.executable);
        let mut compared = self.compare_first_page(memory)?;
        for segment in constants {
            compared |= self.compare_segment(segment, memory)?;
        }
        // Code last, and only where there is nothing else: a probe or a breakpoint may have stood in it.
        if !compared {
            for segment in self.headers.segments.iter().filter(|s| s.executable) {
                compared |= self.compare_segment(segment, memory)?;
            }
        }
        match (compared, memory.lists_files) {
            (true, _) => Ok(Known::Contents),
            (false, true) => Ok(Known::Layout),
            (false, false) => Err("nothing that the core file has tells that it is".to_owned()),
        }
    }

    fn compare_layout(&self, memory: &Dumped) -> Result<(), String> {
        if !self.bias.0.is_multiple_of(PAGE) || (!self.headers.relocatable && self.bias.0 != 0) {
            return Err("its entry point is not where the process began, or it was nowhere mapped".to_owned());
        }
        for segment in &self.headers.segments {
            let start = segment.address.to_avma(self.bias);
            let mapped = memory.load_of(Avma(start.0 & !(PAGE - 1)));
            let unlisted = mapped.is_none() && !memory.lists_files;
            if !unlisted && mapped.is_none_or(|load| load.writable && segment.executable) {
                return Err(format!("its segment at {} was not mapped at {start}", segment.address));
            }
        }
        Ok(())
    }

    /// False where one of them has none.
    fn compare_build_id(&self, memory: &Dumped) -> Result<bool, String> {
        let Ok(file) = elf::parse(&self.bytes, &self.path) else { return Ok(false) };
        let note = file.section_by_name(".note.gnu.build-id");
        let Some(Ok(ours)) = note.as_ref().map(ObjectSection::data) else { return Ok(false) };
        let address = note.map_or(0, |note| note.address());
        let theirs = memory.at(Avma(address.wrapping_add(self.bias.0)));
        match theirs.and_then(|bytes| bytes.get(..ours.len())) {
            None => Ok(false),
            Some(theirs) if theirs == ours => Ok(true),
            Some(theirs) => {
                let id = |note: &[u8]| hex(note.get(16..).unwrap_or_default());
                Err(format!("its build-id is {}, that of the process was {}", id(ours), id(theirs)))
            }
        }
    }

    /// The ELF header, where a rebuild or a strip shows best. It is dumped unless one asked the kernel not to (core(5)).
    fn compare_first_page(&self, memory: &Dumped) -> Result<bool, String> {
        let first = self.headers.segments.iter().find(|s| s.file_offset.0 == 0);
        first.map_or(Ok(false), |s| self.compare_bytes(s, s.file_size.min(PAGE), memory))
    }

    fn compare_segment(&self, segment: &Segment, memory: &Dumped) -> Result<bool, String> {
        self.compare_bytes(segment, segment.file_size, memory)
    }

    /// Whether there was anything to compare.
    fn compare_bytes(&self, segment: &Segment, len: u64, memory: &Dumped) -> Result<bool, String> {
        let Some(ours) = self.slice(segment.file_offset.0, len) else { return Ok(false) };
        let Some(theirs) = memory.at(segment.address.to_avma(self.bias)) else { return Ok(false) };
        let common = ours.len().min(theirs.len());
        let (ours, theirs) = (&ours[..common], &theirs[..common]);
        if ours == theirs {
            return Ok(common > 0);
        }
        let at = ours.iter().zip(theirs).position(|(a, b)| a != b).unwrap_or(0) as u64;
        let offset = segment.file_offset.0 + at;
        Err(format!("byte {offset:#x} of it is not what the core file has of the program"))
    }
}
