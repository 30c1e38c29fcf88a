//! What was computed of a program once, kept on disk: a store of blobs by [`Identity`].
//!
//! Never trusted and never in the way: a file that is missing, foreign, open to others, torn or of another version is as
//! good as none, and where nothing can be written nothing is kept.

use super::bytes::Bytes;
use super::identity::Identity;
use crate::sys::user::{Account, account, acting_as};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, Timespec, Timestamps, UTIME_NOW};
use rustix::fs::{Dir, fstat, futimens, openat, renameat, statat, unlinkat};
use std::fs::{DirBuilder, File};
use std::io::{self, Write};
use std::ops::{Deref, Range};
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use xxhash_rust::xxh3::xxh3_128;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, little_endian as le};

/// All files together; the least recently used go first.
const CAPACITY: u64 = 512 << 20;
const SUFFIX: &str = ".index";

/// Stands before the payload, which thereby is aligned to 64 bytes in a mapping.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Header {
    magic: [u8; 8],
    /// The caller's: layout of the payload.
    schema: le::U32,
    unused: le::U32,
    /// This crate's, zero-padded.
    tool: [u8; 32],
    identity: le::U128,
    payload_len: le::U64,
    unused_2: le::U64,
    payload_hash: le::U128,
    reserved: [u8; 32],
}

const HEADER_LEN: usize = 128;
const _: () = assert!(size_of::<Header>() == HEADER_LEN);

impl Header {
    fn new(identity: Identity, schema: u32, payload: &[u8]) -> Header {
        let version = env!("CARGO_PKG_VERSION").as_bytes();
        let mut tool = [0; 32];
        tool[..version.len().min(32)].copy_from_slice(&version[..version.len().min(32)]);
        Header {
            magic: *b"asyncidx",
            schema: schema.into(),
            unused: 0.into(),
            tool,
            identity: identity.0.into(),
            payload_len: (payload.len() as u64).into(),
            unused_2: 0.into(),
            payload_hash: xxh3_128(payload).into(),
            reserved: [0; 32],
        }
    }
}

#[derive(Clone, Debug)]
pub struct IndexCache {
    /// None: nothing is kept.
    place: Option<Place>,
    capacity: u64,
}

#[derive(Clone, Debug)]
struct Place {
    directory: PathBuf,
    /// Who owns the files.
    uid: u32,
    /// Whom we act as, where that is not who we are.
    acting_as: Option<Account>,
}

/// A payload that was stored for the same identity and schema by the same version of this tool.
#[derive(Clone, Debug)]
pub struct Blob {
    bytes: Bytes,
    payload: Range<usize>,
}

impl Deref for Blob {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[self.payload.clone()]
    }
}

impl IndexCache {
    /// Where the environment says: `ASYNC_INSPECT_NO_CACHE=1` for nowhere, `ASYNC_INSPECT_CACHE_DIR`, else the cache
    /// directory of the user who typed the command (under sudo not root).
    pub fn from_environment() -> IndexCache {
        let uid = rustix::process::geteuid().as_raw();
        let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        IndexCache { place: place(uid, |name| variable(name).map(PathBuf::from)), capacity: CAPACITY }
    }

    /// In `directory`, owned by who we are.
    pub fn in_directory(directory: &Path, capacity: u64) -> IndexCache {
        let uid = rustix::process::geteuid().as_raw();
        IndexCache { place: Some(Place { directory: directory.to_owned(), uid, acting_as: None }), capacity }
    }

    pub fn directory(&self) -> Option<&Path> {
        self.place.as_ref().map(|place| &*place.directory)
    }

    pub fn load(&self, identity: Identity, schema: u32) -> Option<Blob> {
        let place = self.place.as_ref()?;
        let file = place.run(|| place.open(&file_name(identity)))?.ok()?;
        let bytes = Bytes::open(&file, &place.directory).ok()?;
        let header = Header::ref_from_bytes(bytes.get(..HEADER_LEN)?).ok()?;
        // Hashes the payload and compares every field.
        let expected = Header::new(identity, schema, &bytes[HEADER_LEN..]);
        if header.as_bytes() != expected.as_bytes() || bytes.is_torn() {
            return None;
        }
        let payload = HEADER_LEN..bytes.len();
        Some(Blob { bytes, payload })
    }

    /// An error only says that nothing was kept; nobody needs to care.
    pub fn store(&self, identity: Identity, schema: u32, payload: &[u8]) -> io::Result<()> {
        let Some(place) = &self.place else { return Ok(()) };
        let size = (HEADER_LEN + payload.len()) as u64;
        if size > self.capacity {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let header = Header::new(identity, schema, payload);
        let store = || {
            let directory = place.create_directory()?;
            write(&directory, &file_name(identity), &[header.as_bytes(), payload])?;
            remove_oldest(&directory, self.capacity)
        };
        place.run(store).ok_or(io::ErrorKind::PermissionDenied)?
    }
}

fn file_name(identity: Identity) -> String {
    format!("{identity}{SUFFIX}")
}

/// `uid` is who we are; `variable` gives non-empty environment variables.
fn place(uid: u32, variable: impl Fn(&str) -> Option<PathBuf>) -> Option<Place> {
    if variable("ASYNC_INSPECT_NO_CACHE").is_some_and(|value| value != Path::new("0")) {
        return None;
    }
    if let Some(directory) = variable("ASYNC_INSPECT_CACHE_DIR") {
        return Some(Place { directory, uid, acting_as: None });
    }
    // Believed only from root: others could as well write where they like.
    let sudo = variable("SUDO_UID").filter(|_| uid == 0);
    let user = sudo.and_then(|id| id.to_str()?.parse().ok()).filter(|id| *id != 0).and_then(account);
    // Under sudo these two may be root's or the user's, depending on its policy; the user database is sure.
    let from_environment = || variable("XDG_CACHE_HOME").or_else(|| Some(variable("HOME")?.join(".cache")));
    let caches = match &user {
        Some(user) => user.home.join(".cache"),
        None => from_environment()?,
    };
    let directory = caches.join("async-inspect");
    // The specification of XDG_CACHE_HOME: a relative path is to be ignored.
    directory.is_absolute().then(|| Place {
        directory,
        uid: user.as_ref().map_or(uid, |u| u.uid),
        acting_as: user,
    })
}

impl Place {
    /// As the owner of the directory; None where we cannot become it.
    fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Option<T> {
        match &self.acting_as {
            Some(user) => acting_as(user, work).ok(),
            None => Some(work()),
        }
    }

    fn create_directory(&self) -> io::Result<OwnedFd> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.directory)?;
        self.open_directory()
    }

    /// Only if nobody but its owner can put files there.
    fn open_directory(&self) -> io::Result<OwnedFd> {
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::RDONLY;
        let directory = openat(CWD, &self.directory, flags, Mode::empty())?;
        let stat = fstat(&directory)?;
        if stat.st_uid == self.uid && stat.st_mode & 0o022 == 0 {
            Ok(directory)
        } else {
            Err(io::ErrorKind::PermissionDenied.into())
        }
    }

    fn open(&self, name: &str) -> io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = File::from(openat(self.open_directory()?, name, flags, Mode::empty())?);
        let stat = fstat(&file)?;
        if !file.metadata()?.is_file() || stat.st_uid != self.uid || stat.st_mode & 0o077 != 0 {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        // Its time tells when it was last of use; a read-only file system does not matter.
        let now = || Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
        let _ = futimens(&file, &Timestamps { last_access: now(), last_modification: now() });
        Ok(file)
    }
}

/// Whole or not at all: written under another name first.
fn write(directory: &OwnedFd, name: &str, parts: &[&[u8]]) -> io::Result<()> {
    let temporary = format!(".{name}.{}", std::process::id());
    // Left by a process of that number that was killed.
    let _ = unlinkat(directory, &temporary, AtFlags::empty());
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file = File::from(openat(directory, &temporary, flags, Mode::RUSR | Mode::WUSR)?);
    let written = parts.iter().try_for_each(|part| file.write_all(part));
    let written = written.and_then(|()| Ok(renameat(directory, &temporary, directory, name)?));
    if written.is_err() {
        let _ = unlinkat(directory, &temporary, AtFlags::empty());
    }
    written
}

/// Also removes what killed processes left half-written an hour ago and more.
fn remove_oldest(directory: &OwnedFd, capacity: u64) -> io::Result<()> {
    const STALE: i64 = 3600;
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime).tv_sec;
    let mut files = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let Ok(stat) = statat(directory, &name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
        if name.ends_with(SUFFIX) {
            files.push(((stat.st_mtime, stat.st_mtime_nsec), stat.st_size as u64, name));
        } else if name.contains(SUFFIX) && now - stat.st_mtime > STALE {
            let _ = unlinkat(directory, &name, AtFlags::empty());
        }
    }
    files.sort();
    let mut total: u64 = files.iter().map(|(_, size, _)| size).sum();
    for (_, size, name) in files {
        if total <= capacity {
            break;
        }
        unlinkat(directory, &name, AtFlags::empty())?;
        total -= size;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place_of(uid: u32, environment: &[(&str, &str)]) -> Option<(PathBuf, u32, bool)> {
        let find = |name: &str| {
            environment.iter().find(|(key, _)| *key == name).map(|(_, value)| PathBuf::from(value))
        };
        place(uid, find).map(|p| (p.directory, p.uid, p.acting_as.is_some()))
    }

    #[test]
    fn the_environment_says_where() {
        let home = ("HOME", "/home/a");
        assert_eq!(place_of(7, &[home]), Some(("/home/a/.cache/async-inspect".into(), 7, false)));
        assert_eq!(
            place_of(7, &[home, ("XDG_CACHE_HOME", "/c")]),
            Some(("/c/async-inspect".into(), 7, false))
        );
        assert_eq!(place_of(7, &[home, ("XDG_CACHE_HOME", "c")]), None);
        assert_eq!(place_of(7, &[]), None);
        assert_eq!(place_of(7, &[home, ("ASYNC_INSPECT_NO_CACHE", "1")]), None);
        assert_eq!(place_of(7, &[home, ("ASYNC_INSPECT_CACHE_DIR", "d")]), Some(("d".into(), 7, false)));
        // Not root: whoever sets SUDO_UID only deceives itself.
        assert_eq!(
            place_of(7, &[home, ("SUDO_UID", "1")]),
            Some(("/home/a/.cache/async-inspect".into(), 7, false))
        );
    }

    #[test]
    fn under_sudo_it_is_the_users_directory() {
        let user = account(1).expect("every Linux has a user 1 (daemon or bin)");
        let expected = user.home.join(".cache/async-inspect");
        let environment = [("HOME", "/root"), ("XDG_CACHE_HOME", "/root/.c"), ("SUDO_UID", "1")];
        assert_eq!(place_of(0, &environment), Some((expected, 1, true)));
        // A root shell by sudo from root, or a user that is not known here.
        for uid in ["0", "4294967000", "x"] {
            let environment = [("HOME", "/root"), ("SUDO_UID", uid)];
            assert_eq!(place_of(0, &environment), Some(("/root/.cache/async-inspect".into(), 0, false)));
        }
    }
}
