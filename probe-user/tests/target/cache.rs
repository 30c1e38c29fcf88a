use crate::programs::{PLACES, compile, run};
use async_inspect::target::{DebugFiles, Identity, IndexCache, identity};
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

const ID: Identity = Identity(0x1234);

fn only_file(directory: &Path) -> PathBuf {
    let mut files: Vec<PathBuf> =
        fs::read_dir(directory).expect("ours").map(|e| e.expect("an entry").path()).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    files.pop().expect("one")
}

#[test]
fn what_was_stored_is_loaded_until_anything_differs() {
    let dir = tempfile::tempdir().expect("a directory");
    let cache = IndexCache::in_directory(&dir.path().join("made/when needed"), 1 << 30);
    // Small ones are read, large ones mapped.
    for payload in [vec![1u8, 2, 3], vec![9; 1 << 20], vec![]] {
        cache.store(ID, 7, &payload).expect("stored");
        assert_eq!(cache.load(ID, 7).expect("loaded")[..], payload);
    }
    assert!(cache.load(ID, 8).is_none(), "another schema");
    assert!(cache.load(Identity(1), 7).is_none(), "another program");

    let file = only_file(cache.directory().expect("a place"));
    let metadata = fs::metadata(&file).expect("there");
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    // A file for another program under this one's name.
    fs::rename(&file, file.with_file_name(format!("{}.index", Identity(1)))).expect("ours");
    assert!(cache.load(Identity(1), 7).is_none());
}

#[test]
fn no_changed_byte_and_no_lost_byte_goes_unnoticed() {
    let dir = tempfile::tempdir().expect("a directory");
    let cache = IndexCache::in_directory(dir.path(), 1 << 30);
    cache.store(ID, 7, b"a payload").expect("stored");
    let file = only_file(dir.path());
    let good = fs::read(&file).expect("there");
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1;
        fs::write(&file, &bad).expect("ours");
        assert!(cache.load(ID, 7).is_none(), "byte {at}");
        fs::write(&file, &good[..at]).expect("ours");
        assert!(cache.load(ID, 7).is_none(), "{at} bytes");
    }
    cache.store(ID, 7, b"rebuilt").expect("stored");
    assert_eq!(cache.load(ID, 7).expect("loaded")[..], *b"rebuilt");
}

#[test]
fn what_others_could_have_written_is_not_read() {
    let dir = tempfile::tempdir().expect("a directory");
    let cache = IndexCache::in_directory(dir.path(), 1 << 30);
    cache.store(ID, 7, b"a payload").expect("stored");
    let file = only_file(dir.path());
    let mode = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).expect("ours");

    mode(&file, 0o644);
    assert!(cache.load(ID, 7).is_none(), "readable by others");
    mode(&file, 0o600);
    assert!(cache.load(ID, 7).is_some());
    mode(dir.path(), 0o777);
    assert!(cache.load(ID, 7).is_none(), "a directory for everybody");
    assert!(cache.store(ID, 7, b"x").is_err());
    mode(dir.path(), 0o700);

    if fs::metadata(&file).expect("there").uid() == 0 {
        std::os::unix::fs::chown(&file, Some(1), None).expect("root");
        assert!(cache.load(ID, 7).is_none(), "another user's file");
        std::os::unix::fs::chown(&file, Some(0), None).expect("root");
    }
    let elsewhere = dir.path().join("elsewhere");
    fs::rename(&file, &elsewhere).expect("ours");
    symlink(&elsewhere, &file).expect("ours");
    assert!(cache.load(ID, 7).is_none(), "a symbolic link");
    // Storing replaces the link, not what it leads to.
    cache.store(ID, 7, b"new").expect("stored");
    assert!(fs::symlink_metadata(&file).expect("there").is_file());
    assert_eq!(cache.load(ID, 7).expect("loaded")[..], *b"new");
}

#[test]
fn the_least_recently_used_go_first() {
    let dir = tempfile::tempdir().expect("a directory");
    let cache = IndexCache::in_directory(dir.path(), 3500);
    let payload = [5; 900];
    for id in 1..=3 {
        cache.store(Identity(id), 7, &payload).expect("stored");
        // Modification times are as coarse as the kernel's tick.
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert!(cache.load(Identity(1), 7).is_some(), "used again: now the youngest");
    std::thread::sleep(std::time::Duration::from_millis(20));
    cache.store(Identity(4), 7, &payload).expect("stored");
    let left: Vec<u128> = (1..=4).filter(|id| cache.load(Identity(*id), 7).is_some()).collect();
    assert_eq!(left, [1, 3, 4]);
    assert!(cache.store(Identity(5), 7, &[0; 4000]).is_err(), "larger than all there may be");
    assert!(cache.load(Identity(4), 7).is_some());
}

#[test]
fn an_identity_follows_code_and_debug_information_and_nothing_else() {
    let dir = tempfile::tempdir().expect("a directory");
    let of =
        |path: &Path, debug: Option<&Path>| identity(&DebugFiles::of_file(path, debug).expect("its files"));
    let build = |name: &str, source: &str, flags: &[&str]| {
        let flags = [&["-g", "-Wl,--build-id=none"], flags].concat();
        let place = dir.path().join(name);
        fs::create_dir(&place).expect("ours");
        fs::write(place.join("p.c"), source).expect("ours");
        run(Command::new("cc")
            .args(flags)
            .args(["-o", "p", "p.c"])
            .arg(format!("-ffile-prefix-map={}=.", place.display()))
            .current_dir(&place));
        place.join("p")
    };
    let program = build("first", PLACES, &[]);
    let copy = dir.path().join("copy");
    fs::copy(&program, &copy).expect("ours");
    assert_eq!(of(&program, None), of(&copy, None));
    assert_eq!(of(&program, None), of(&build("again", PLACES, &[]), None));
    let other_code = build("code", &PLACES.replace("600", "601"), &[]);
    assert_ne!(of(&program, None), of(&other_code, None));
    // A moved line, the same code.
    let other_line = build("line", &PLACES.replace("int main", "\nint main"), &[]);
    assert_ne!(of(&program, None), of(&other_line, None));

    let bare = dir.path().join("bare");
    run(Command::new("objcopy").arg("--strip-debug").args([&program, &bare]));
    assert_ne!(of(&bare, None), of(&bare, Some(&program)), "with and without its debug file");
}

#[test]
fn a_build_id_identifies_but_not_alone() {
    let dir = tempfile::tempdir().expect("a directory");
    let flags = ["-Wl,--build-id=0x11223344"];
    let first = compile(dir.path(), "one", PLACES, &flags);
    let forged = compile(
        dir.path(),
        "two",
        &PLACES.replace("int initialized", "int more[99]; int initialized"),
        &flags,
    );
    let of = |path: &Path| identity(&DebugFiles::of_file(path, None).expect("its files"));
    assert_ne!(of(&first), of(&forged));
}
