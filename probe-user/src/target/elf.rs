//! The few questions that locating debug information asks of an ELF file's bytes.

use super::TargetError;
use object::elf::{self, FileHeader64};
use object::read::elf::{ElfFile64, FileHeader};
use object::{CompressionFormat, LittleEndian, Object, ObjectSection, SectionFlags};
use ruzstd::decoding::StreamingDecoder;
use std::borrow::Cow;
use std::io::Read;
use std::path::Path;

pub type Elf<'a> = ElfFile64<'a, LittleEndian>;

/// Section headers and symbol tables are found and bounded; nothing else is touched yet.
pub fn parse<'a>(bytes: &'a [u8], path: &Path) -> Result<Elf<'a>, TargetError> {
    super::image::check_ident(bytes.get(..20).unwrap_or(bytes), bytes.len() as u64, path)?;
    let len = bytes.len() as u64;
    let truncated = |what, needed| TargetError::Truncated { path: path.to_owned(), what, needed, len };
    let header = FileHeader64::<LittleEndian>::parse(bytes).map_err(|_| truncated("the ELF header", 64))?;
    let endian = LittleEndian;
    let table = |start: u64, each: u64, count: u16| start.saturating_add(each * u64::from(count));
    let programs = table(header.e_phoff(endian), 56, header.e_phnum(endian));
    if programs > len {
        return Err(truncated("the program header table", programs));
    }
    let sections = table(header.e_shoff(endian), 64, header.e_shnum(endian));
    if sections > len {
        return Err(truncated("the section header table", sections));
    }
    Elf::parse(bytes).map_err(|e| TargetError::Malformed { path: path.to_owned(), what: e.to_string() })
}

/// Bytes of a section, decompressed where it is compressed; None where there is none, it is empty or malformed.
/// What a compressed section may grow to is bounded by what its header states, and that by what its format can reach.
pub fn section<'a>(file: &Elf<'a>, name: &str) -> Option<Cow<'a, [u8]>> {
    let packed = file.section_by_name(name)?.compressed_data().ok()?;
    // zlib cannot exceed 1032:1. Zstandard could, DWARF does not.
    let reachable = (packed.data.len() as u64).saturating_mul(1032).saturating_add(4096);
    let data = match packed.format {
        CompressionFormat::None => Cow::Borrowed(packed.data),
        _ if packed.uncompressed_size > reachable => return None,
        CompressionFormat::Zstandard => Cow::Owned(unpack_zstandard(packed.data, packed.uncompressed_size)?),
        _ => packed.decompress().ok()?,
    };
    Some(data).filter(|data| !data.is_empty())
}

/// `object` would decode as much as the data holds, whatever the header states.
fn unpack_zstandard(packed: &[u8], size: u64) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(usize::try_from(size).ok()?).ok()?;
    let mut rest = packed;
    while !rest.is_empty() && bytes.len() as u64 <= size {
        let left = size + 1 - bytes.len() as u64;
        StreamingDecoder::new(&mut rest).ok()?.take(left).read_to_end(&mut bytes).ok()?;
    }
    (bytes.len() as u64 == size).then_some(bytes)
}

fn has(file: &Elf<'_>, name: &str) -> bool {
    file.section_by_name(name).is_some_and(|s| s.size() > 0)
}

/// Has DWARF units of its own, whole or skeletons.
pub fn has_dwarf(file: &Elf<'_>) -> bool {
    has(file, ".debug_info")
}

/// Is a package of split DWARF (`.dwp`).
pub fn is_package(file: &Elf<'_>) -> bool {
    has(file, ".debug_cu_index")
}

/// A section that is loaded into memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded<'a> {
    pub name: &'a [u8],
    pub address: u64,
    pub size: u64,
    pub executable: bool,
    /// None where the file has none (`objcopy --only-keep-debug` keeps the headers alone).
    pub data: Option<&'a [u8]>,
}

pub fn loaded_sections<'a>(file: &Elf<'a>) -> Vec<Loaded<'a>> {
    let flags = |s: &object::read::elf::ElfSection64<'a, '_, LittleEndian>| match s.flags() {
        SectionFlags::Elf { sh_flags } => sh_flags,
        _ => 0,
    };
    file.sections()
        .filter(|s| flags(s) & u64::from(elf::SHF_ALLOC) != 0)
        .map(|s| Loaded {
            name: s.name_bytes().unwrap_or_default(),
            address: s.address(),
            size: s.size(),
            executable: flags(&s) & u64::from(elf::SHF_EXECINSTR) != 0,
            data: s.data().ok().filter(|data| !data.is_empty()),
        })
        .collect()
}
