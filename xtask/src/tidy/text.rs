//! Rules about every file, whatever is in it: nothing of the machine it was written on.

use super::Violation;
use std::path::Path;

/// Strings that belong to this machine.
pub struct Strangers(Vec<String>);

/// Directories that exist everywhere, so that naming them tells nothing.
const EVERYWHERE: [&str; 14] = [
    "/", "/build", "/builds", "/github", "/home", "/media", "/mnt", "/opt", "/root", "/runner", "/src",
    "/srv", "/tmp", "/var",
];

/// Where packages come from is the business of who builds; what stays here is what cargo writes into a lock file.
const REGISTRIES: [&str; 8] = [
    "index.crates.io",
    "static.crates.io",
    "files.pythonhosted.org",
    "//pypi.org",
    "registry.npmjs.org",
    "deb.debian.org",
    "security.debian.org",
    "archive.ubuntu.com",
];
const LOCK_SOURCE: &str = "source = \"";
const LOCK_SOURCES: [&str; 1] = ["registry+https://github.com/rust-lang/crates.io-index"];

/// This file has to name what it looks for.
const OURSELVES: &str = "xtask/src/tidy/text.rs";

impl Strangers {
    /// The directories above the checkout, and where this user's toolchain lives.
    pub fn of(root: &Path) -> Strangers {
        let above = root.ancestors().map(|dir| dir.display().to_string());
        let above = above.filter(|dir| !EVERYWHERE.contains(&&**dir));
        let tools = ["CARGO_HOME", "RUSTUP_HOME"].into_iter().filter_map(|name| std::env::var(name).ok());
        let home = std::env::var("HOME").unwrap_or_default();
        let defaults = ["/.cargo", "/.rustup"].map(|dir| format!("{home}{dir}"));
        let paths = above.chain(tools).chain(defaults).filter(|dir| dir.len() > 1);
        Strangers(paths.map(|dir| format!("{}/", dir.trim_end_matches('/'))).collect())
    }
}

pub fn check(file: &str, bytes: &[u8], strangers: &Strangers) -> Vec<Violation> {
    let mut found = Vec::new();
    let lines = bytes.split(|byte| *byte == b'\n').enumerate();
    for (number, line) in lines {
        let mut add = |message| found.push(Violation { file: file.to_owned(), line: number + 1, message });
        if let Some(path) = strangers.0.iter().find(|path| contains(line, path)) {
            add(format!("names a path of this machine ({path})"));
        }
        if file == OURSELVES {
            continue;
        }
        if let Some(host) = REGISTRIES.iter().find(|host| contains(line, host)) {
            add(format!("names a package registry ({host})"));
        }
        if let Some(source) = foreign_source(file, line) {
            add(format!("locked to another registry ({source})"));
        }
        if let Some(host) = private_host(line) {
            add(format!("names a private host ({host})"));
        }
    }
    found
}

fn contains(line: &[u8], wanted: &str) -> bool {
    line.windows(wanted.len()).any(|part| part == wanted.as_bytes())
}

fn foreign_source(file: &str, line: &[u8]) -> Option<String> {
    if !file.ends_with("Cargo.lock") {
        return None;
    }
    let line = std::str::from_utf8(line).ok()?;
    let source = line.trim().strip_prefix(LOCK_SOURCE)?.trim_end_matches('"');
    (!LOCK_SOURCES.contains(&source)).then(|| source.to_owned())
}

/// The host of an URL that only resolves, or only answers, in one house.
fn private_host(line: &[u8]) -> Option<String> {
    let line = String::from_utf8_lossy(line);
    let after_scheme = line.split("://").skip(1);
    let end = |c: char| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'));
    let mut hosts = after_scheme.map(|rest| rest.split(end).next().unwrap_or_default());
    hosts.find(|host| is_private(host)).map(str::to_owned)
}

fn is_private(host: &str) -> bool {
    if let Ok(address) = host.parse::<std::net::Ipv4Addr>() {
        return address.is_private() || address.is_link_local();
    }
    [".internal", ".local", ".lan", ".corp", ".intra"].iter().any(|end| host.ends_with(end))
        || ["artifactory", "nexus.", "devpi"].iter().any(|part| host.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(file: &str, text: &str) -> Vec<(usize, String)> {
        let strangers = Strangers::of(Path::new("/data/people/ann/async-inspect"));
        check(file, text.as_bytes(), &strangers).into_iter().map(|v| (v.line, v.message)).collect()
    }

    #[test]
    fn paths_of_this_machine() {
        let found = messages("a.md", "fine\nsee /data/people/ann/notes\n/tmp/x, /home/ann, /rustc/1.95\n");
        assert_eq!(found, [(2, "names a path of this machine (/data/people/ann/)".to_owned())]);
        // Also where no text is.
        let found = messages("x.o", "\0\0/data/people/ann/async-inspect/src\0");
        assert_eq!(found.len(), 1);
    }

    #[test]
    fn directories_that_exist_everywhere_tell_nothing() {
        let strangers = Strangers::of(Path::new("/tmp/clone"));
        assert_eq!(check("a.md", b"/tmp/other and /root/x", &strangers), []);
        assert_eq!(check("a.md", b"/tmp/clone/x", &strangers).len(), 1);
    }

    #[test]
    fn registries_and_private_hosts() {
        assert_eq!(messages("a.toml", "url = \"https://index.crates.io/\"\n").len(), 1);
        assert_eq!(messages("a.toml", "url = \"https://packages.house.internal:8080/x\"\n").len(), 1);
        assert_eq!(messages("a.toml", "url = \"http://10.1.2.3/x\"\n").len(), 1);
        assert_eq!(messages("a.md", "from crates.io; http://127.0.0.1:3000/, https://docs.rs/gimli\n"), []);
    }

    #[test]
    fn a_lock_file_of_another_registry() {
        let usual = "source = \"registry+https://github.com/rust-lang/crates.io-index\"\n";
        assert_eq!(messages("x/Cargo.lock", usual), []);
        assert_eq!(messages("x/Cargo.lock", "source = \"sparse+https://crates.example.org/\"\n").len(), 1);
    }
}
