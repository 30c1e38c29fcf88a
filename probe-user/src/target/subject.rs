//! What a snapshot is taken of: a process that lives, or what a core file keeps of one that does not.

use super::{
    DebugFiles, Descriptors, Image, Memory, Process, SystemCall, TargetError, ThreadPlace, ThreadPointers,
    ThreadRegisters, procdir::ProcDir,
};
use std::fmt::Debug;
use std::path::Path;

/// A process with all that decoding it takes. What only a living one has (probes, its end) stays with [`Process`].
pub trait Subject: Memory + Debug {
    /// As seen where this command runs, or where the core file was written.
    fn pid(&self) -> u32;

    /// Before a snapshot: reads anew what may have changed.
    fn refresh(&mut self) -> Result<(), TargetError>;

    /// After a snapshot: an error where what was read is not the process that was opened.
    fn check_same(&self) -> Result<(), TargetError>;

    /// The executable.
    fn main_image(&self) -> Result<Image, TargetError>;

    /// Every other file of which code is mapped, as far as it can be opened.
    fn other_images(&self) -> Vec<Image>;

    /// The files that describe an image; `explicit` as for [`DebugFiles::of_image`].
    fn debug_files(&self, image: &Image, explicit: Option<&Path>) -> Result<DebugFiles, TargetError>;

    /// Every thread, ascending.
    fn tids(&self) -> Vec<u32>;

    fn thread_place(&self, tid: u32) -> ThreadPlace;

    fn thread_pointers(&self) -> Result<ThreadPointers, TargetError>;

    /// What its file descriptors are. None of a dead process, which has none any more.
    fn descriptors(&self) -> Option<Descriptors<'_>> {
        None
    }

    /// As [`Process::thread_call`].
    fn thread_call(&self, _tid: u32) -> Option<(ThreadRegisters, Option<SystemCall>)> {
        None
    }

    /// As [`Process::thread_ran_ns`].
    fn thread_ran_ns(&self, _tid: u32) -> Option<u64> {
        None
    }

    /// What of the process will never be seen, and why; for people.
    fn issues(&self) -> &[String] {
        &[]
    }
}

/// What a process takes with it when it ends (its maps, the way to its executable) is missed in many ways, one cause of all.
fn unless_gone(process: &Process, error: TargetError) -> TargetError {
    if process.is_alive() { error } else { TargetError::Gone { pid: Process::pid(process) } }
}

impl Subject for Process {
    fn pid(&self) -> u32 {
        Process::pid(self)
    }

    fn refresh(&mut self) -> Result<(), TargetError> {
        self.refresh_regions()
    }

    /// After an exec another program runs there, which nothing known here describes.
    fn check_same(&self) -> Result<(), TargetError> {
        if self.is_alive() && !self.has_execed() {
            Ok(())
        } else {
            Err(TargetError::Gone { pid: Process::pid(self) })
        }
    }

    fn main_image(&self) -> Result<Image, TargetError> {
        Process::main_image(self).map_err(|error| unless_gone(self, error))
    }

    fn other_images(&self) -> Vec<Image> {
        Process::other_images(self)
    }

    fn debug_files(&self, image: &Image, explicit: Option<&Path>) -> Result<DebugFiles, TargetError> {
        DebugFiles::of_image(self, image, explicit).map_err(|error| unless_gone(self, error))
    }

    fn tids(&self) -> Vec<u32> {
        ProcDir::tids(self.proc_dir()).unwrap_or_default()
    }

    fn thread_place(&self, tid: u32) -> ThreadPlace {
        Process::thread_place(self, tid)
    }

    fn thread_pointers(&self) -> Result<ThreadPointers, TargetError> {
        Process::thread_pointers(self)
    }

    fn thread_call(&self, tid: u32) -> Option<(ThreadRegisters, Option<SystemCall>)> {
        Process::thread_call(self, tid)
    }

    fn thread_ran_ns(&self, tid: u32) -> Option<u64> {
        Process::thread_ran_ns(self, tid)
    }

    fn descriptors(&self) -> Option<Descriptors<'_>> {
        Some(Process::descriptors(self))
    }
}
