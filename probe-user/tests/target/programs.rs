//! Small C programs, compiled and run; they print facts about themselves, then sleep.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Prints where its code and data are.
pub const PLACES: &str = r#"
#include <stdio.h>
#include <unistd.h>
int initialized = 42;
int main(void) {
    printf("main %p\ninitialized %p\npid %d\nready\n", (void *)main, (void *)&initialized, getpid());
    fflush(stdout);
    sleep(600);
}
"#;

/// Compiles `source` into `directory/name`.
pub fn compile(directory: &Path, name: &str, source: &str, flags: &[&str]) -> PathBuf {
    compile_with("cc", directory, name, source, flags)
}

pub fn compile_with(compiler: &str, directory: &Path, name: &str, source: &str, flags: &[&str]) -> PathBuf {
    let file = directory.join(format!("{name}.c"));
    let program = directory.join(name);
    std::fs::write(&file, source).expect("a source file");
    run(Command::new(compiler).args(flags).arg("-o").arg(&program).arg(&file).arg("-pthread"));
    program
}

/// Runs a tool that must succeed. Returns what it printed.
pub fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub fn exists(tool: &str) -> bool {
    std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).any(|dir| dir.join(tool).is_file())
}

/// A running program; killed when dropped.
pub struct Running {
    pub child: Child,
    /// Its lines `key value…` until `ready`.
    pub facts: Vec<(String, String)>,
}

impl Running {
    pub fn start(command: &mut Command) -> Running {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap_or_else(|e| panic!("{command:?}: {e}"));
        let mut facts = Vec::new();
        for line in BufReader::new(child.stdout.take().expect("piped")).lines() {
            let line = line.expect("text");
            if line == "ready" {
                return Running { child, facts };
            }
            let (key, value) = line.split_once(' ').unwrap_or((&line, ""));
            facts.push((key.to_owned(), value.to_owned()));
        }
        let status = child.wait();
        panic!("{command:?} ended before it was ready: {status:?}");
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn address(&self, key: &str) -> u64 {
        let facts: HashMap<_, _> = self.facts.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        number(facts[key])
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `0x…` or decimal.
pub fn number(text: &str) -> u64 {
    match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).expect("hex"),
        None => text.parse().expect("a number"),
    }
}

/// Stated address of a symbol.
pub fn symbol(program: &[u8], name: &str) -> u64 {
    use object::{Object, ObjectSymbol};
    let file = object::File::parse(program).expect("an ELF file");
    file.symbol_by_name(name).unwrap_or_else(|| panic!("no symbol {name}")).address()
}
