//! Functions whose effect is known without running them: of libc, of the allocator, of tokio.

use crate::dwarf::{Defined, defined, imported};
use crate::target::Svma;
use memchr::memmem::Finder;
use std::collections::HashMap;
use std::sync::LazyLock;

/// What a function does, as far as dropping a value is concerned. Arguments are in the order of the C ABI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Routine {
    /// Nothing that anybody can see in memory; returns 0.
    Nothing,
    /// `memcpy`, `memmove`.
    Copy,
    /// `memset`.
    Fill,
    /// `memcmp`, `bcmp`.
    Compare,
    /// `write`: all of it was written.
    Write,
    /// `syscall`.
    SystemCall,
    /// `batch_semaphore::Semaphore::add_permits_locked(&self, permits, MutexGuard<Waitlist>)`.
    AddPermits,
}

/// Names that libc and allocators export.
const EXPORTED: [(&str, Routine); 21] = [
    ("free", Routine::Nothing),
    ("sdallocx", Routine::Nothing),
    ("_rjem_sdallocx", Routine::Nothing),
    ("_rjem_free", Routine::Nothing),
    ("mi_free", Routine::Nothing),
    ("memcpy", Routine::Copy),
    ("memmove", Routine::Copy),
    ("memset", Routine::Fill),
    ("memcmp", Routine::Compare),
    ("bcmp", Routine::Compare),
    ("write", Routine::Write),
    ("syscall", Routine::SystemCall),
    ("close", Routine::Nothing),
    ("shutdown", Routine::Nothing),
    ("epoll_ctl", Routine::Nothing),
    ("madvise", Routine::Nothing),
    ("munmap", Routine::Nothing),
    ("fcntl", Routine::Nothing),
    ("pthread_detach", Routine::Nothing),
    ("__cxa_thread_atexit_impl", Routine::Nothing),
    ("__rust_dealloc", Routine::Nothing),
];

/// Parts of mangled names, the same in both manglings. What is woken or scheduled runs later: it is not this drop that
/// does what follows.
const MANGLED: [(&str, Routine); 6] = [
    ("7runtime4task5waker11wake_by_val", Routine::Nothing),
    ("7runtime4task5waker11wake_by_ref", Routine::Nothing),
    ("7runtime4task3raw8schedule", Routine::Nothing),
    ("14___rust_dealloc", Routine::Nothing),
    ("13___rdl_dealloc", Routine::Nothing),
    ("12___rg_dealloc", Routine::Nothing),
];

/// The known functions of one program.
#[derive(Debug, Default)]
pub struct Routines {
    /// Of its own, by address.
    pub own: HashMap<Svma, Routine>,
    /// Words where the addresses of others stand while it runs.
    pub imports: Vec<(Svma, Routine)>,
}

impl Routines {
    /// Of a program and its separate debug file.
    pub fn new(program: &[u8], separate: Option<&[u8]>) -> Routines {
        let mut routines = Routines::default();
        for object in std::iter::once(program).chain(separate) {
            defined(object, &mut |Defined { name, at, .. }| {
                routines.own.extend(routine(name).map(|routine| (at, routine)));
            });
        }
        imported(program, &mut |name, slot| routines.imports.extend(exported(name).map(|r| (slot, r))));
        routines
    }
}

fn exported(name: &str) -> Option<Routine> {
    EXPORTED.iter().find(|(known, _)| *known == name).map(|(_, routine)| *routine)
}

/// What all names that are looked for by their parts contain.
fn may_be_mangled(name: &str) -> bool {
    static PARTS: LazyLock<[Finder<'static>; 3]> =
        LazyLock::new(|| ["7runtime4task", "18add_permits_locked", "_dealloc"].map(Finder::new));
    PARTS.iter().any(|part| part.find(name.as_bytes()).is_some())
}

fn routine(name: &str) -> Option<Routine> {
    if !may_be_mangled(name) {
        return exported(name);
    }
    if name.contains("batch_semaphore") && name.contains("18add_permits_locked") {
        return Some(Routine::AddPermits);
    }
    let mangled = || MANGLED.iter().find(|(part, _)| name.contains(part)).map(|(_, routine)| *routine);
    exported(name).or_else(mangled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_known_by_both_manglings() {
        let legacy = "_ZN5tokio4sync15batch_semaphore9Semaphore18add_permits_locked17h62c27c19fdb40088E";
        let v0 = "_RNvMNtNtNtCs1_5tokio4sync15batch_semaphoreNtB2_9Semaphore18add_permits_locked";
        assert_eq!([legacy, v0].map(routine), [Some(Routine::AddPermits); 2]);
        let wake = "_ZN5tokio7runtime4task5waker11wake_by_val17h51954f8ead40fcb3E";
        assert_eq!(routine(wake), Some(Routine::Nothing));
        assert_eq!(routine("_RNvCsj4CZ6flxxfE_7___rustc14___rust_dealloc"), Some(Routine::Nothing));
        assert_eq!([routine("memcpy"), routine("bcmp")], [Some(Routine::Copy), Some(Routine::Compare)]);
        assert_eq!([routine("_ZN3app4free17h51954f8ead40fcb3E"), routine("freed"), routine("")], [None; 3]);
    }

    #[test]
    fn our_own_program_defines_some_and_imports_others() {
        let own = std::fs::read("/proc/self/exe").expect("it runs");
        let routines = Routines::new(&own, None);
        let imports: Vec<Routine> = routines.imports.iter().map(|(_, routine)| *routine).collect();
        assert!(imports.contains(&Routine::Copy) && imports.contains(&Routine::SystemCall), "{imports:?}");
        assert!(!routines.own.is_empty());
        assert!(Routines::new(b"no ELF file", Some(&[])).own.is_empty());
    }
}
