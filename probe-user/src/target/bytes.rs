//! A file's bytes, shared and read-only.

use super::TargetError;
use crate::sys::file_map::FileMap;
use std::fs::File;
use std::io::Read;
use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;

/// Cheap to clone. Large files are mapped: opening costs nothing, and only what is read takes memory.
/// A mapped file that changes while we read gives wrong bytes, never a crash; truncation shows in [`Bytes::is_torn`].
#[derive(Clone, Debug)]
pub struct Bytes(Arc<Source>);

#[derive(Debug)]
enum Source {
    Read(Vec<u8>),
    Mapped(FileMap),
}

/// Smaller files are copied: no mapping to guard, and a page fault costs about as much as reading 64 KiB.
const MAPPED_FROM: u64 = 256 * 1024;

impl Bytes {
    /// `path` is for the error.
    pub fn open(file: &File, path: &Path) -> Result<Bytes, TargetError> {
        let unreadable = |source| TargetError::Unreadable { path: path.to_owned(), source };
        let len = file.metadata().map_err(unreadable)?.len();
        if len >= MAPPED_FROM
            && let Ok(map) = FileMap::new(file)
        {
            return Ok(Bytes(Arc::new(Source::Mapped(map))));
        }
        let mut bytes = Vec::with_capacity(usize::try_from(len).unwrap_or(0));
        let mut file = file;
        file.read_to_end(&mut bytes).map_err(unreadable)?;
        Ok(bytes.into())
    }

    /// The file shrank while we read it: what was parsed of it is not to be trusted.
    pub fn is_torn(&self) -> bool {
        match &*self.0 {
            Source::Read(_) => false,
            Source::Mapped(map) => map.is_torn(),
        }
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Bytes {
        Bytes(Arc::new(Source::Read(bytes)))
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &*self.0 {
            Source::Read(bytes) => bytes,
            Source::Mapped(map) => map,
        }
    }
}
