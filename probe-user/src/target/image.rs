//! An ELF file as it is mapped in the target: where it is, where its code is, and how to open it.

use super::{Avma, Bias, FileOffset, Region, Svma, TargetError};
use object::LittleEndian;
use object::elf;
use object::read::elf::{FileHeader, ProgramHeader};
use object::read::{ReadCache, ReadRef};
use std::fs::File;
use std::path::{Path, PathBuf};

/// One loadable segment of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    pub address: Svma,
    /// Bytes in memory.
    pub size: u64,
    pub file_offset: FileOffset,
    /// Bytes in the file; the rest is zero.
    pub file_size: u64,
    pub executable: bool,
    pub writable: bool,
}

/// The initial image of thread-local storage (PT_TLS).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TlsSegment {
    pub address: Svma,
    pub size: u64,
    pub align: u64,
}

/// What an ELF file's own headers say of how it is loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ElfHeaders {
    pub entry: Svma,
    /// ET_DYN: may be loaded anywhere.
    pub relocatable: bool,
    pub segments: Vec<Segment>,
    pub tls: Option<TlsSegment>,
}

#[derive(Clone, Debug)]
pub struct Image {
    /// As the target sees it; may be deleted or replaced on disk.
    pub path: PathBuf,
    /// The file is no longer at `path` (the kernel says so).
    pub deleted: bool,
    pub bias: Bias,
    pub headers: ElfHeaders,
    /// Opens the very inode that is mapped, in whatever mount namespace; also what uprobes attach to.
    pub open_path: PathBuf,
}

impl Image {
    pub fn open(&self) -> Result<File, TargetError> {
        File::open(&self.open_path)
            .map_err(|source| TargetError::Unreadable { path: self.open_path.clone(), source })
    }

    /// Of code that the kernel has mapped and that is no file's (`[vdso]`). None where its bytes are not an image.
    pub fn of_region(region: &Region, bytes: &[u8]) -> Option<Image> {
        let path = PathBuf::from(&region.path);
        let len = bytes.len() as u64;
        check_ident(bytes.get(..20)?, len, &path).ok()?;
        let headers = ElfHeaders::parse(bytes, len, &path).ok()?;
        let bias = headers.bias_of(region)?;
        Some(Image { open_path: path.clone(), path, deleted: false, bias, headers })
    }

    pub fn text_segments(&self) -> impl Iterator<Item = &Segment> {
        self.headers.segments.iter().filter(|s| s.executable)
    }

    pub fn to_avma(&self, at: Svma) -> Avma {
        at.to_avma(self.bias)
    }

    /// The stated address, where `at` lies in this image.
    pub fn to_svma(&self, at: Avma) -> Option<Svma> {
        let at = at.to_svma(self.bias);
        self.headers.segment_of(at).map(|_| at)
    }

    pub fn file_offset(&self, at: Svma) -> Option<FileOffset> {
        self.headers.file_offset(at)
    }

    /// Distance from the executable's TLS block up to the thread pointer: `block = FS base - this`.
    ///
    /// x86-64 is "variant II": the executable's block ends at the thread pointer, both aligned to `p_align`
    /// (Drepper, ELF Handling For Thread-Local Storage, §3.4.2). None without thread-locals.
    /// Only right for the main executable; dylibs lie further down, where only the DTV tells.
    pub fn tls_block_offset(&self) -> Option<u64> {
        let tls = self.headers.tls?;
        let align = tls.align.max(1);
        // glibc and musl both round so that the block's start is congruent to p_vaddr modulo p_align.
        let skew = tls.address.0 & (align - 1);
        let end = tls.size.checked_add(skew)?.checked_next_multiple_of(align)?;
        Some(end - skew)
    }
}

impl ElfHeaders {
    pub fn segment_of(&self, at: Svma) -> Option<&Segment> {
        self.segments.iter().find(|s| at >= s.address && at.0 - s.address.0 < s.size)
    }

    pub fn file_offset(&self, at: Svma) -> Option<FileOffset> {
        let segment = self.segment_of(at)?;
        let into = at.0 - segment.address.0;
        (into < segment.file_size).then(|| FileOffset(segment.file_offset.0.wrapping_add(into)))
    }

    /// The bias under which `region` is a mapping of one of our segments.
    pub fn bias_of(&self, region: &Region) -> Option<Bias> {
        const PAGE: u64 = 4096;
        self.segments.iter().filter(|s| s.executable == region.executable && s.file_size > 0).find_map(|s| {
            let first_page = s.file_offset.0 & !(PAGE - 1);
            let end = s.file_offset.0.checked_add(s.file_size)?;
            if region.file_offset < first_page || region.file_offset >= end {
                return None;
            }
            let stated = s.address.0.wrapping_add(region.file_offset).wrapping_sub(s.file_offset.0);
            Some(Bias(region.start.0.wrapping_sub(stated)))
        })
    }

    /// Reads headers only, whatever the size of the file. `path` is for the error.
    pub fn read(file: &File, path: &Path) -> Result<ElfHeaders, TargetError> {
        let unreadable = |source| TargetError::Unreadable { path: path.to_owned(), source };
        let len = file.metadata().map_err(unreadable)?.len();
        let mut start = [0; 20];
        let got = std::os::unix::fs::FileExt::read_at(file, &mut start, 0).map_err(unreadable)?;
        check_ident(&start[..got], len, path)?;
        ElfHeaders::parse(&ReadCache::new(file), len, path)
    }

    /// Of a file for x86-64 with so many bytes.
    fn parse<'d, R: ReadRef<'d>>(bytes: R, len: u64, path: &Path) -> Result<ElfHeaders, TargetError> {
        let malformed =
            |what: object::Error| TargetError::Malformed { path: path.to_owned(), what: what.to_string() };
        let header = elf::FileHeader64::<LittleEndian>::parse(bytes).map_err(|_| TargetError::Truncated {
            path: path.to_owned(),
            what: "the ELF header",
            needed: 64,
            len,
        })?;
        let endian = LittleEndian;
        let table = header.e_phoff(endian).saturating_add(56 * u64::from(header.e_phnum(endian)));
        if table > len {
            return Err(TargetError::Truncated {
                path: path.to_owned(),
                what: "the program header table",
                needed: table,
                len,
            });
        }
        let mut headers = ElfHeaders {
            entry: Svma(header.e_entry(endian)),
            relocatable: header.e_type(endian) == elf::ET_DYN,
            segments: Vec::new(),
            tls: None,
        };
        for p in header.program_headers(endian, bytes).map_err(malformed)? {
            let (address, size) = (Svma(p.p_vaddr(endian)), p.p_memsz(endian));
            match p.p_type(endian) {
                elf::PT_LOAD => {
                    let (offset, file_size) = p.file_range(endian);
                    let needed = offset.saturating_add(file_size);
                    if needed > len {
                        return Err(TargetError::Truncated {
                            path: path.to_owned(),
                            what: "a loadable segment",
                            needed,
                            len,
                        });
                    }
                    let flags = p.p_flags(endian);
                    headers.segments.push(Segment {
                        address,
                        size,
                        file_offset: FileOffset(offset),
                        file_size,
                        executable: flags & elf::PF_X != 0,
                        writable: flags & elf::PF_W != 0,
                    });
                }
                elf::PT_TLS => {
                    let align = p.p_align(endian);
                    if align > 1 && !align.is_power_of_two() {
                        let what = format!("PT_TLS is aligned to {align}, not to a power of two");
                        return Err(TargetError::Malformed { path: path.to_owned(), what });
                    }
                    headers.tls = Some(TlsSegment { address, size, align });
                }
                _ => {}
            }
        }
        Ok(headers)
    }
}

/// The first 20 bytes say whether it is an ELF file for x86-64 at all.
pub(super) fn check_ident(start: &[u8], len: u64, path: &Path) -> Result<(), TargetError> {
    let path = path.to_owned();
    if start.len() < 4 || start[..4] != elf::ELFMAG {
        return Err(TargetError::NotElf { path });
    }
    let &[.., machine_low, machine_high] = start else {
        return Err(TargetError::NotElf { path });
    };
    if start.len() < 20 {
        return Err(TargetError::Truncated { path, what: "the ELF header", needed: 64, len });
    }
    let (class, data) = (start[4], start[5]);
    let pair = [machine_low, machine_high];
    let machine = if data == elf::ELFDATA2MSB { u16::from_be_bytes(pair) } else { u16::from_le_bytes(pair) };
    if (class, data, machine) == (elf::ELFCLASS64, elf::ELFDATA2LSB, elf::EM_X86_64) {
        return Ok(());
    }
    let name = match machine {
        elf::EM_X86_64 => "x86-64 (x32 ABI)".to_owned(),
        elf::EM_386 => "32-bit x86".to_owned(),
        elf::EM_AARCH64 => "aarch64".to_owned(),
        elf::EM_ARM => "32-bit arm".to_owned(),
        elf::EM_RISCV => "riscv".to_owned(),
        elf::EM_S390 => "s390".to_owned(),
        elf::EM_PPC64 => "ppc64".to_owned(),
        elf::EM_LOONGARCH => "loongarch".to_owned(),
        other => format!("machine {other} of elf.h"),
    };
    Err(TargetError::OtherMachine { path, machine: name })
}
