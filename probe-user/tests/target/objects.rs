use crate::programs::{PLACES, Running, compile, run};
use async_inspect::decode::find_files;
use async_inspect::target::{DebugFiles, DwarfSource, Matched, Process, TargetError, elf};
use std::path::{Path, PathBuf};
use std::process::Command;

fn objcopy(args: &[&str], files: &[&Path]) {
    run(Command::new("objcopy").args(args).args(files));
}

/// Splits a program built with -g into itself without debug information and a `.debug` file.
fn split(program: &Path, debug: &Path) {
    objcopy(&["--only-keep-debug"], &[program, debug]);
    objcopy(&["--strip-debug"], &[program]);
}

fn link(program: &Path, debug: &Path) {
    objcopy(&["--add-gnu-debuglink", debug.to_str().expect("text")], &[program]);
}

fn located(files: &DebugFiles) -> Option<(PathBuf, Matched)> {
    files.debug.as_ref().map(|l| (l.path.clone(), l.matched))
}

#[test]
fn in_the_program_itself() {
    let dir = tempfile::tempdir().expect("a directory");
    let program = compile(dir.path(), "whole", PLACES, &["-g"]);
    let running = Running::start(&mut Command::new(&program));
    let process = Process::open(running.pid()).expect("our own child");
    let image = process.main_image().expect("an image");
    let files = DebugFiles::of_image(&process, &image, None).expect("its files");
    assert_eq!(files.dwarf_source(), DwarfSource::Main);
    assert_eq!(files.main[..], std::fs::read(&program).expect("just built"));
    assert!(files.debug.is_none() && files.dwp.is_none() && files.refused.is_empty());
    let parsed = elf::parse(files.dwarf().expect("DWARF"), &program).expect("an ELF file");
    assert!(elf::section(&parsed, ".debug_info").is_some());
}

#[test]
fn nowhere() {
    let dir = tempfile::tempdir().expect("a directory");
    let program = compile(dir.path(), "bare", PLACES, &["-s"]);
    let files = DebugFiles::of_file(&program, None).expect("its files");
    assert_eq!((files.dwarf_source(), files.dwarf().is_none()), (DwarfSource::Nowhere, true));
    // A directory that was named and has nothing for it is told.
    let empty = tempfile::tempdir().expect("a directory");
    let named = [empty.path().to_owned()];
    let files = find_files(&named, &|explicit| DebugFiles::of_file(&program, explicit)).expect("its files");
    assert!(matches!(&files.refused[..], [TargetError::NothingFor { directory }] if *directory == named[0]));
}

#[test]
fn by_debuglink_beside_it_and_in_its_debug_directory() {
    let dir = tempfile::tempdir().expect("a directory");
    let program = compile(dir.path(), "linked", PLACES, &["-g", "-Wl,--build-id=none"]);
    let debug = dir.path().join("linked.debug");
    split(&program, &debug);
    link(&program, &debug);
    let files = DebugFiles::of_file(&program, None).expect("its files");
    assert_eq!(located(&files), Some((debug.clone(), Matched::Checksum)));
    assert_eq!(files.dwarf_source(), DwarfSource::Separate);

    let hidden = dir.path().join(".debug/linked.debug");
    std::fs::create_dir(dir.path().join(".debug")).expect("ours");
    std::fs::rename(&debug, &hidden).expect("ours");
    let files = DebugFiles::of_file(&program, None).expect("its files");
    assert_eq!(located(&files), Some((hidden.clone(), Matched::Checksum)));

    // Another build's file under that name.
    let other = compile(dir.path(), "other", &PLACES.replace("42", "43"), &["-g", "-Wl,--build-id=none"]);
    std::fs::copy(&other, &hidden).expect("ours");
    let files = DebugFiles::of_file(&program, None).expect("its files");
    assert_eq!(files.dwarf_source(), DwarfSource::Nowhere);
    let refused: Vec<String> = files.refused.iter().map(ToString::to_string).collect();
    assert!(refused.len() == 1 && refused[0].contains("checksum"), "{refused:?}");
}

#[test]
fn by_build_id_in_a_named_directory() {
    let dir = tempfile::tempdir().expect("a directory");
    let flags = ["-g", "-Wl,--build-id=0x1234567890abcdef"];
    let program = compile(dir.path(), "identified", PLACES, &flags);
    let debug = dir.path().join("d/.build-id/12/34567890abcdef.debug");
    std::fs::create_dir_all(debug.parent().expect("a parent")).expect("ours");
    split(&program, &debug);
    let files = DebugFiles::of_file(&program, Some(&dir.path().join("d"))).expect("its files");
    assert_eq!(located(&files), Some((debug.clone(), Matched::BuildId)));

    let other = compile(dir.path(), "unidentified", PLACES, &["-g", "-Wl,--build-id=0x4321"]);
    let error = DebugFiles::of_file(&program, Some(&other)).expect_err("another build");
    let said = error.to_string();
    assert!(said.contains("1234567890abcdef") && said.contains("4321"), "{said}");
}

#[test]
fn a_named_file_is_compared_where_there_is_no_id() {
    let dir = tempfile::tempdir().expect("a directory");
    let flags = ["-g", "-Wl,--build-id=none"];
    let program = compile(dir.path(), "server", PLACES, &flags);
    let (whole, debug) = (dir.path().join("whole"), dir.path().join("only.debug"));
    std::fs::copy(&program, &whole).expect("ours");
    split(&program, &debug);
    let named = |file: &Path| DebugFiles::of_file(&program, Some(file));
    assert_eq!(located(&named(&whole).expect("the same code")), Some((whole, Matched::Code)));
    assert_eq!(located(&named(&debug).expect("the same layout")), Some((debug, Matched::Layout)));

    // The same size, one constant apart.
    let edited = compile(dir.path(), "edited", &PLACES.replace("sleep(600)", "sleep(601)"), &flags);
    let error = named(&edited).expect_err("other code");
    assert!(
        matches!(&error, TargetError::DebugMismatch { differs, .. } if differs.contains(".text")),
        "{error:?}"
    );
    // Without any debug information, though it is the program itself.
    let error = named(&program).expect_err("nothing in it");
    assert!(matches!(error, TargetError::NoDebugInfo { .. }), "{error:?}");
    // A directory that is named may hold it under the program's own name.
    let dir2 = dir.path().join("unstripped");
    std::fs::create_dir(&dir2).expect("ours");
    std::fs::copy(dir.path().join("whole"), dir2.join("server")).expect("ours");
    assert_eq!(located(&named(&dir2).expect("found")), Some((dir2.join("server"), Matched::Code)));
}

/// A Rust program, with split debug information as asked for.
fn compile_rust(directory: &Path, split: &str, extra: &str) -> PathBuf {
    let source = directory.join("main.rs");
    let text = format!(
        "mod m {{ pub fn f(x: u64) -> u64 {{ x + {extra} }} }} fn main() {{ println!(\"{{}}\", m::f(1)); }}"
    );
    std::fs::write(&source, text).expect("a source file");
    let rustc = std::env::var_os("RUSTC").unwrap_or("rustc".into());
    let program = directory.join("prog");
    let split = format!("-Csplit-debuginfo={split}");
    run(Command::new(rustc)
        .args(["-g", &split, "-Ccodegen-units=4", "-o"])
        .arg(&program)
        .arg(&source)
        .current_dir(directory));
    program
}

#[test]
fn a_package_is_found_and_a_stale_one_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let program = compile_rust(dir.path(), "packed", "1");
    let package = dir.path().join("prog.dwp");
    let files = DebugFiles::of_file(&program, None).expect("its files");
    assert_eq!(files.dwarf_source(), DwarfSource::Main, "{:?}", files.refused);
    let dwp = files.dwp.expect("the package");
    assert_eq!(dwp.path, package);
    let Matched::SplitUnits { found, tried } = dwp.matched else { panic!("{:?}", dwp.matched) };
    assert!(found == tried && found > 0, "{found} of {tried}");

    // Named explicitly, from elsewhere.
    let moved = dir.path().join("moved.dwp");
    std::fs::rename(&package, &moved).expect("ours");
    assert!(DebugFiles::of_file(&program, None).expect("its files").dwp.is_none());
    assert!(DebugFiles::of_file(&program, Some(&moved)).expect("its files").dwp.is_some());

    // A package with none of the program's units.
    let other = tempfile::tempdir().expect("a directory");
    let edited = compile_rust(other.path(), "packed", "2 * x");
    let files = DebugFiles::of_file(&edited, Some(&moved));
    match files {
        Err(TargetError::DebugMismatch { differs, .. }) => {
            assert!(differs.contains("split units"), "{differs}");
        }
        Ok(files) => {
            // Unchanged units have the same ids in both builds; then the count tells.
            let Some(Matched::SplitUnits { found, tried }) = files.dwp.map(|d| d.matched) else {
                panic!("no package")
            };
            assert!(found < tried, "{found} of {tried}");
        }
        Err(other) => panic!("{other:?}"),
    }
}

#[test]
fn unpacked_units_are_opened_by_their_names() {
    let dir = tempfile::tempdir().expect("a directory");
    let program = compile_rust(dir.path(), "unpacked", "1");
    let files = DebugFiles::of_file(&program, None).expect("its files");
    let dwo = std::fs::read_dir(dir.path())
        .expect("ours")
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|e| e == "dwo"))
        .expect("a .dwo file");
    let bytes = files.open_sibling(&dwo).expect("opened");
    assert_eq!(bytes[..], std::fs::read(&dwo).expect("there"));
    let relative = Path::new(dwo.file_name().expect("a name"));
    assert!(files.open_sibling(relative).is_some(), "relative to the program");
    assert!(files.open_sibling(Path::new("absent.dwo")).is_none());
}

#[test]
fn compressed_sections_are_read() {
    let dir = tempfile::tempdir().expect("a directory");
    let plain = compile(dir.path(), "plain", PLACES, &["-g"]);
    let whole = std::fs::read(&plain).expect("just built");
    let expected =
        elf::section(&elf::parse(&whole, &plain).expect("ELF"), ".debug_info").expect("DWARF").into_owned();
    let mut tried = 0;
    for kind in ["zlib", "zstd"] {
        let packed = dir.path().join(kind);
        let option = format!("--compress-debug-sections={kind}");
        let made = Command::new("objcopy").arg(option).args([&plain, &packed]).status();
        if !made.is_ok_and(|s| s.success()) {
            eprintln!("SKIPPED: this objcopy does not know {kind}");
            continue;
        }
        let bytes = std::fs::read(&packed).expect("just made");
        let file = elf::parse(&bytes, &packed).expect("ELF");
        assert_eq!(elf::section(&file, ".debug_info").expect("DWARF")[..], expected, "{kind}");
        tried += 1;
    }
    assert!(tried > 0);
}

#[test]
fn a_program_in_a_root_of_its_own_is_described_by_the_files_there() {
    let dir = tempfile::tempdir().expect("a directory");
    let flags = ["-g", "-static", "-Wl,--build-id=0xfeedfacecafe"];
    let program = compile(dir.path(), "inside", PLACES, &flags);
    let debug = dir.path().join("cafe.debug");
    split(&program, &debug);
    // The link in there is absolute: it must stay inside, not lead to the same path out here.
    let script = format!(
        "set -e; cd {0}; mkdir root; mount -t tmpfs none root; \
         mkdir -p root/old root/proc root/real root/usr/lib/debug/.build-id; ln -s /real root/usr/lib/debug/.build-id/fe; \
         cp inside root/; cp cafe.debug root/real/edfacecafe.debug; cd root; pivot_root . old; exec /inside",
        dir.path().display()
    );
    if !Command::new("unshare").args(["--mount", "true"]).status().is_ok_and(|s| s.success()) {
        eprintln!("SKIPPED: this user cannot make mount namespaces");
        return;
    }
    let running = Running::start(Command::new("unshare").args(["--mount", "sh", "-c", &script]));
    let process = Process::open(running.pid()).expect("our own child");
    let image = process.main_image().expect("an image");
    assert_eq!(image.path, Path::new("/inside"));
    let files = DebugFiles::of_image(&process, &image, None).expect("its files");
    let expected = PathBuf::from("/usr/lib/debug/.build-id/fe/edfacecafe.debug");
    assert_eq!(located(&files), Some((expected, Matched::BuildId)), "{:?}", files.refused);
}

#[test]
fn a_twin_with_another_build_id_is_taken_if_code_and_constants_are_the_same() {
    const SAYS: &str = "#include <stdio.h>\nint main(void) { puts(\"one\"); return 0; }\n";
    let dir = tempfile::tempdir().expect("a directory");
    let program = compile(dir.path(), "program", SAYS, &["-s", "-Wl,--build-id=0xaaaaaaaa"]);
    let twin = compile(dir.path(), "twin", SAYS, &["-g", "-Wl,--build-id=0xbbbbbbbb"]);
    let files = DebugFiles::of_file(&program, Some(&twin)).expect("its files");
    assert_eq!(located(&files), Some((twin, Matched::Code)));

    let edited = SAYS.replace("one", "two");
    let other = compile(dir.path(), "other", &edited, &["-g", "-Wl,--build-id=0xbbbbbbbb"]);
    let Err(TargetError::DebugMismatch { differs, .. }) = DebugFiles::of_file(&program, Some(&other)) else {
        panic!("the code is the same, what it says is not")
    };
    assert!(differs.contains("build-id") && differs.contains(".rodata"), "{differs}");
}
