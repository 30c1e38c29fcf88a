//! Acting on files as another user: under sudo the cache belongs to whoever typed the command.
#![expect(unsafe_code, reason = "getpwuid_r and setfsuid have no safe wrapper")]

use std::ffi::{CStr, OsStr};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    pub uid: u32,
    pub gid: u32,
    pub home: PathBuf,
}

/// The user database's entry; None where there is none.
pub fn account(uid: u32) -> Option<Account> {
    let mut buffer = vec![0 as libc::c_char; 16 * 1024];
    // SAFETY: all-zero is a valid passwd (null pointers), it is only filled in.
    let mut entry: libc::passwd = unsafe { std::mem::zeroed() };
    let mut found: *mut libc::passwd = std::ptr::null_mut();
    // SAFETY: all pointers are valid for the call, the length is the buffer's.
    let error =
        unsafe { libc::getpwuid_r(uid, &raw mut entry, buffer.as_mut_ptr(), buffer.len(), &raw mut found) };
    if error != 0 || found.is_null() || entry.pw_dir.is_null() {
        return None;
    }
    // SAFETY: getpwuid_r put a string that ends with NUL into `buffer`, which lives on.
    let home = unsafe { CStr::from_ptr(entry.pw_dir) };
    Some(Account { uid, gid: entry.pw_gid, home: PathBuf::from(OsStr::from_bytes(home.to_bytes())) })
}

/// Runs `work` on a thread of its own whose file accesses are that user's, without root's rights: a symbolic link that the
/// user put somewhere leads no further than the user could go. New files belong to the user.
pub fn acting_as<T: Send>(account: &Account, work: impl FnOnce() -> T + Send) -> io::Result<T> {
    std::thread::scope(|scope| {
        let worker = scope.spawn(|| {
            become_on_this_thread(account)?;
            Ok(work())
        });
        worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Ends with the thread; other threads keep who they are.
fn become_on_this_thread(account: &Account) -> io::Result<()> {
    // SAFETY: system calls without pointers that are read: the list of groups is empty. The raw call changes this
    // thread alone, where the C library's would change all.
    let groups = unsafe { libc::syscall(libc::SYS_setgroups, 0, std::ptr::null::<libc::gid_t>()) };
    if groups != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: system calls without pointers. They return the former value and no error: asked again with an id that
    // never exists, they tell the present one.
    let now = unsafe {
        libc::setfsgid(account.gid);
        libc::setfsuid(account.uid);
        (libc::setfsgid(u32::MAX), libc::setfsuid(u32::MAX))
    };
    if now == (account.gid as libc::c_int, account.uid as libc::c_int) {
        Ok(())
    } else {
        Err(io::ErrorKind::PermissionDenied.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    #[test]
    fn files_made_as_a_user_belong_to_it_and_roots_are_out_of_reach() {
        let dir = tempfile::tempdir().expect("a directory");
        let ours = std::fs::metadata(dir.path()).expect("ours").uid();
        let user = if ours == 0 { 65534 } else { ours };
        let account = Account { uid: user, gid: user, home: "/".into() };
        if ours != 0 {
            // Changing groups is root's alone.
            assert!(acting_as(&account, || ()).is_err());
            return;
        }
        let secret = dir.path().join("secret");
        std::fs::write(&secret, "root's").expect("ours");
        std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).expect("ours");
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o777)).expect("ours");
        let made = dir.path().join("made");
        let read = acting_as(&account, || {
            std::fs::write(&made, "theirs").expect("a directory for all");
            std::fs::read(&secret).map_err(|e| e.kind())
        });
        assert_eq!(read.expect("we are root"), Err(io::ErrorKind::PermissionDenied));
        assert_eq!(std::fs::metadata(&made).expect("made").uid(), user);
        assert!(std::fs::read(&secret).is_ok(), "this thread is still root");
    }

    #[test]
    fn root_has_a_home() {
        assert_eq!(account(0).map(|a| a.home), Some(PathBuf::from("/root")));
        assert_eq!(account(u32::MAX - 7), None);
    }
}
