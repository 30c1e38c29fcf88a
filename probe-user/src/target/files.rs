//! Opening files where the target sees them.

use super::procdir::ProcDir;
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The file system as the target sees it, then as we see it.
#[derive(Debug)]
pub struct FileView {
    /// The target's root directory, where it is not ours.
    root: Option<OwnedFd>,
}

/// Nonblocking: a target could put a FIFO where we look for a file.
const FLAGS: OFlags = OFlags::RDONLY.union(OFlags::CLOEXEC).union(OFlags::NONBLOCK).union(OFlags::NOCTTY);

impl FileView {
    pub fn ours() -> FileView {
        FileView { root: None }
    }

    pub fn of(target: &ProcDir) -> FileView {
        let directory = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::PATH;
        let root = openat(CWD, format!("/proc/{}/root", target.pid()), directory, Mode::empty());
        FileView { root: root.ok().filter(|root| !is_our_root(target, root).unwrap_or(false)) }
    }

    /// Opens a regular file: first as the target sees `path`, else as we do.
    pub fn open(&self, path: &Path) -> io::Result<File> {
        self.open_in_target(path).or_else(|_| open_here(path))
    }

    fn open_in_target(&self, path: &Path) -> io::Result<File> {
        let root = self.root.as_ref().ok_or(io::ErrorKind::NotFound)?;
        // IN_ROOT: an absolute symbolic link in a container must not lead out of it into our files.
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        regular(File::from(openat2(root, path, FLAGS, Mode::empty(), resolve)?))
    }
}

/// Opens a regular file as we see it.
pub fn open_here(path: &Path) -> io::Result<File> {
    regular(File::from(openat(CWD, path, FLAGS, Mode::empty())?))
}

fn regular(file: File) -> io::Result<File> {
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"))
    }
}

fn is_our_root(target: &ProcDir, root: &OwnedFd) -> io::Result<bool> {
    let theirs = rustix::fs::fstat(root)?;
    let ours = std::fs::metadata("/")?;
    let namespace = std::fs::read_link("/proc/self/ns/mnt")?;
    Ok((theirs.st_dev, theirs.st_ino) == (ours.dev(), ours.ino()) && target.read_link("ns/mnt")? == namespace)
}
