//! Targets in containers: another root on overlayfs, PID and network namespaces of their own, made by unshare and by runc.
//! Whatever is said of them must be what is said outside, with debug info that only the container has.

use e2e::inspector;
use e2e::schema::DebugInfo;
use e2e::tracer::Tracer;
use e2e::{Program, Tokio, Truth, Variant, compare, rights};
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The lower layer of containers: a program, with its debug info split off, and what it takes to start it.
struct Image {
    directory: tempfile::TempDir,
}

impl Image {
    fn of(name: &str) -> Image {
        let image = Image { directory: tempfile::tempdir().expect("a directory") };
        for directory in ["proc", "dev", "old", "bin"] {
            fs::create_dir_all(image.lower().join(directory)).expect("ours");
        }
        let built = Variant::release(Tokio::Latest).build(&[name]).expect("builds").program(name);
        let (program, debug) = (image.lower().join("program"), image.lower().join("program.debug"));
        fs::copy(&built, &program).expect("there is room");
        succeed(Command::new("objcopy").arg("--only-keep-debug").args([&program, &debug]));
        succeed(Command::new("objcopy").arg("--strip-all").arg(&program));
        let link = format!("--add-gnu-debuglink={}", debug.display());
        succeed(Command::new("objcopy").arg(link).arg(&program));
        image.add_libraries(&program);
        for tool in ["/bin/sh", "/bin/umount"] {
            fs::copy(tool, image.lower().join(&tool[1..])).expect("part of any Linux");
            image.add_libraries(Path::new(tool));
        }
        image
    }

    fn lower(&self) -> PathBuf {
        self.directory.path().join("lower")
    }

    fn add_libraries(&self, program: &Path) {
        let output = Command::new("ldd").arg(program).output().expect("libc-bin");
        let text = String::from_utf8(output.stdout).expect("paths are ASCII here");
        for library in text.split_whitespace().filter(|word| word.starts_with('/')) {
            let copy = self.lower().join(&library[1..]);
            fs::create_dir_all(copy.parent().expect("a directory")).expect("ours");
            fs::copy(library, copy).expect("a library");
        }
    }

    /// A shell in a mount namespace of its own, where `$1` is an overlay of this image, goes on with `script`: nothing is
    /// left mounted when all of it has ended.
    fn shell(&self, name: &str, namespaces: &[&str], script: &str) -> Command {
        let layer = |layer: &str| {
            let directory = self.directory.path().join(format!("{name}-{layer}"));
            fs::create_dir(&directory).expect("ours");
            directory
        };
        let (upper, work, merged) = (layer("upper"), layer("work"), layer("merged"));
        let options = format!(
            "lowerdir={},upperdir={},workdir={}",
            self.lower().display(),
            upper.display(),
            work.display()
        );
        let mut command = Command::new("unshare");
        command.arg("--mount").args(namespaces);
        command.args(["sh", "-ec", &format!("mount -t overlay -o \"$2\" overlay \"$1\"\n{script}"), "sh"]);
        command.arg(merged).arg(options);
        command
    }

    /// Runs the program in namespaces and under a root of its own. `arguments` are words.
    fn unshared(&self, name: &str, arguments: &str) -> Contained {
        let script = format!(
            "mount -t proc proc \"$1/proc\"
             cd \"$1\"
             pivot_root . old
             exec /bin/sh -ec '/bin/umount -l /old; exec /program {arguments}'"
        );
        let namespaces = ["--pid", "--net", "--fork", "--kill-child"];
        let program = Program::spawn(self.shell(name, &namespaces, &script)).expect("util-linux");
        Contained { program, removal: None }
    }

    /// Lets runc run the program.
    fn in_runc(&self, name: &str) -> Contained {
        let bundle = self.directory.path();
        let _ = fs::remove_file(bundle.join("config.json"));
        succeed(Command::new("runc").arg("spec").current_dir(bundle));
        let text = fs::read(bundle.join("config.json")).expect("runc wrote it");
        let mut config: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
        config["process"]["terminal"] = false.into();
        config["process"]["args"] = ["/program"].as_slice().into();
        config["root"]["path"] = bundle.join(format!("{name}-merged")).to_str().expect("ASCII").into();
        // What a program needs; the rest (mqueue, cgroups) depends on the machine.
        let mounts = config["mounts"].as_array_mut().expect("a list");
        mounts.retain(|mount| mount["destination"] == "/proc" || mount["destination"] == "/dev");
        fs::write(bundle.join("config.json"), config.to_string()).expect("there is room");

        let state = bundle.join("state");
        let id = format!("async-inspect-{}-{name}", std::process::id());
        let script = "exec runc --root \"$3\" run --bundle \"$4\" \"$5\"";
        let mut command = self.shell(name, &[], script);
        command.args([&state, bundle]).arg(&id);
        let removal = Some(Removal { state, id });
        Contained { program: Program::spawn(command).expect("util-linux"), removal }
    }
}

fn succeed(command: &mut Command) {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

struct Contained {
    program: Program,
    removal: Option<Removal>,
}

/// A container of runc outlives the runc that started it.
struct Removal {
    state: PathBuf,
    id: String,
}

impl Removal {
    fn runc(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("runc");
        command.arg("--root").arg(&self.state).args(arguments).arg(&self.id);
        command
    }
}

impl Drop for Removal {
    fn drop(&mut self) {
        let _ = self.runc(&["delete", "--force"]).stderr(Stdio::null()).status();
    }
}

impl Contained {
    /// As seen from outside.
    fn pid(&self) -> u32 {
        if let Some(container) = &self.removal {
            let output = container.runc(&["state"]).output().expect("runc");
            let state: serde_json::Value = serde_json::from_slice(&output.stdout).expect("its state");
            return state["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok()).expect("a PID");
        }
        let children = format!("/proc/{0}/task/{0}/children", self.program.pid());
        fs::read_to_string(children).expect("unshare runs").trim().parse().expect("one child")
    }
}

/// It is where it should be, and the dump is what the program itself says.
fn check_dump(mut contained: Contained) {
    let truth = contained.program.tasks().expect("tells");
    let pid = contained.pid();
    for namespace in ["pid", "net", "mnt"] {
        let of = |process: &str| fs::read_link(format!("/proc/{process}/ns/{namespace}")).expect("readable");
        assert_ne!(of(&pid.to_string()), of("self"), "the {namespace} namespace");
    }
    let executable = fs::read_link(format!("/proc/{pid}/exe")).expect("readable");
    assert_eq!(executable, Path::new("/program"), "it has a root of its own");
    let root = fs::read_to_string(format!("/proc/{pid}/mountinfo")).expect("readable");
    assert!(root.lines().any(|line| line.contains(" / / ") && line.contains(" - overlay ")), "{root}");

    let dump = inspector::dump(pid).expect("a dump");
    assert_eq!(dump.debuginfo, DebugInfo::Full, "debug info is found where the container has it");
    if let Some(differences) = compare::report(&compare::tasks(&dump, &truth, "forever")) {
        panic!("{differences}");
    }
}

#[test]
fn dump_of_an_unshared_program() {
    if !rights::root_or_skip("dump_of_an_unshared_program") {
        return;
    }
    check_dump(Image::of("forever").unshared("one", ""));
}

#[test]
fn dump_in_runc() {
    if !rights::root_or_skip("dump_in_runc") {
        return;
    }
    if let Err(e) = Command::new("runc").arg("--version").stdout(Stdio::null()).status() {
        rights::skipped("dump_in_runc", &format!("there is no runc: {e}"));
        return;
    }
    check_dump(Image::of("forever").in_runc("one"));
}

/// Probes follow the file, and two overlays of one image share it: only the one process is to be seen, exactly.
#[test]
fn trace_of_one_of_two_on_the_same_file() {
    if !rights::root_or_skip("trace_of_one_of_two_on_the_same_file") {
        return;
    }
    let image = Image::of("counts");
    let (mut one, mut other) = (image.unshared("one", "even"), image.unshared("other", "even"));
    one.program.truth().expect("waits");
    other.program.truth().expect("waits");
    let tracer = Tracer::attach(one.pid(), &[]).expect("attaches");
    // The other polls all of its tasks while the probes are there.
    other.program.say("go").expect("listens");
    let others = polls(&other.program.truth().expect("tells"));
    one.program.say("go").expect("listens");
    let truth = polls(&one.program.truth().expect("tells"));
    tracer.interrupt().expect("it runs");
    let traced = tracer.finish().expect("ends");
    assert_eq!(traced.code, Some(0), "{}", traced.stderr);
    assert_eq!(traced.lost(), 0);
    let seen: HashMap<String, u64> = traced.tasks().into_iter().map(|(id, seen)| (id, seen.polls)).collect();
    assert_eq!(seen, truth);
    assert!(others.values().sum::<u64>() > 1_000, "the other was polled as well: {others:?}");
}

/// By task.
fn polls(truth: &[Truth]) -> HashMap<String, u64> {
    let of_task = |line: &Truth| match line {
        Truth::Polls { id, polls, .. } => Some((id.clone(), *polls)),
        _ => None,
    };
    truth.iter().filter_map(of_task).collect()
}
