//! The toy target: built, run, told what to do; and the tables that describe its tasks.

use async_inspect::decode::FrameId;
use async_inspect::target::{Avma, FileOffset};
use async_inspect::trace::{
    ARM_DEREF, ARM_ENDS, CausePlan, NONE, NodeKind, PollEnd, SitePlan, TracePlan, TraceTarget, WalkArm,
    WalkNode,
};
use object::{Object, ObjectSegment, ObjectSymbol};
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::OnceLock;

fn binary() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        // Where there is no compiler: on another kernel, in a virtual machine.
        if let Some(prebuilt) = std::env::var_os("TOY_TARGET") {
            return prebuilt.into();
        }
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/trace/toy.c");
        // One name for all test processes: an inspector that a test starts must find its target's.
        let binary = Path::new(env!("CARGO_TARGET_TMPDIR")).join("toy-target");
        let fresh = |built: &Path| -> std::io::Result<bool> {
            Ok(built.metadata()?.modified()? > source.metadata()?.modified()?)
        };
        if !fresh(&binary).unwrap_or(false) {
            // Renamed into place, so that nobody meets half of it.
            let half = binary.with_extension(std::process::id().to_string());
            let built =
                Command::new("cc").args(["-O2", "-g", "-pthread", "-o"]).arg(&half).arg(&source).status();
            assert!(built.expect("a C compiler is installed").success(), "the toy target builds");
            std::fs::rename(&half, &binary).expect("in one directory");
        }
        binary
    })
}

pub struct Toy {
    pid: u32,
    child: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Toy {
    pub fn start() -> Toy {
        let mut toy = Toy::spawn(&mut Command::new(binary()));
        assert_eq!(toy.answer(), "ready");
        toy
    }

    /// None where that cannot be made.
    pub fn start_in_pid_namespace() -> Option<Toy> {
        let mut toy =
            Toy::spawn(Command::new("unshare").args(["--pid", "--fork", "--kill-child"]).arg(binary()));
        if toy.answer() != "ready" {
            return None;
        }
        // unshare waits for the toy, which is its only child.
        let unshare = toy.child.id();
        let children = std::fs::read_to_string(format!("/proc/{unshare}/task/{unshare}/children")).ok()?;
        toy.pid = children.trim().parse().ok()?;
        Some(toy)
    }

    fn spawn(command: &mut Command) -> Toy {
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the toy target starts");
        let commands = child.stdin.take().expect("piped");
        let answers = BufReader::new(child.stdout.take().expect("piped"));
        Toy { pid: child.id(), child, commands, answers }
    }

    /// Waits until it is done.
    pub fn tell(&mut self, command: &str) {
        self.order(command);
        assert_eq!(self.answer(), "done", "after {command:?}");
    }

    /// Does not wait.
    pub fn order(&mut self, command: &str) {
        writeln!(self.commands, "{command}").expect("the toy target listens");
    }

    pub fn wait_for_order(&mut self) {
        assert_eq!(self.answer(), "done");
    }

    pub fn quit(mut self) -> ExitStatus {
        writeln!(self.commands, "quit").expect("the toy target listens");
        assert_eq!(self.answer(), "bye");
        self.child.wait().expect("it is our child")
    }

    pub fn pid(&self) -> u32 {
        self.pid
    }

    pub fn target(&self) -> TraceTarget {
        TraceTarget { pid: self.pid(), exe: format!("/proc/{}/exe", self.pid()).into() }
    }

    fn answer(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("its stdout is a pipe");
        line.trim_end().to_owned()
    }

    /// Processor time of all its threads, ended ones too, in steps of a clock tick.
    pub fn cpu_ns(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid())).expect("it runs");
        let fields = stat.rsplit(") ").next().expect("fields behind the name").split(' ');
        let ticks: u64 = fields.skip(11).take(2).map(|ticks| ticks.parse::<u64>().expect("a number")).sum();
        ticks * 1_000_000_000 / rustix::param::clock_ticks_per_second()
    }

    /// As it stands in the process's memory, breakpoints and all.
    pub fn first_byte_of(&self, function: &str) -> u8 {
        let at = symbol(function) + bias(self.pid);
        let memory = File::open(format!("/proc/{}/mem", self.pid)).expect("we may read it");
        let mut byte = [0];
        memory.read_exact_at(&mut byte, at).expect("its text is mapped");
        byte[0]
    }
}

impl Drop for Toy {
    fn drop(&mut self) {
        // Already waited for, perhaps.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Arms of the toy's tables, by name; the frames carry the same names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arm {
    Running,
    Finished,
    Consumed,
    Unresumed,
    OuterReturned,
    OuterPanicked,
    AwaitsInner,
    AwaitsBox,
    AwaitsDyn,
    AwaitsFar,
    Inner3,
    Inner4,
    Boxed0,
    Boxed1,
    A0,
    A1,
    B,
    Far700,
    Far701,
    FarOther,
}

const ARMS: usize = 20;

/// The frames that people would see: not the stage, not the wrapper of B.
fn has_frame(arm: Arm) -> bool {
    !matches!(arm, Arm::Running | Arm::Finished | Arm::Consumed)
}

pub fn frame_of(arm: Arm) -> FrameId {
    FrameId(100 + arm as u32)
}

/// Where the executable is mapped, minus where it says it is.
fn bias(pid: u32) -> u64 {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).expect("it runs");
    let first = maps.lines().find(|line| line.contains("/toy-")).expect("its executable is mapped");
    u64::from_str_radix(first.split('-').next().expect("a range"), 16).expect("hexadecimal")
}

fn symbol(name: &str) -> u64 {
    let image = std::fs::read(binary()).expect("built");
    let elf = object::File::parse(&*image).expect("an ELF file");
    let symbol = elf.symbols().find(|symbol| symbol.name() == Ok(name));
    symbol.unwrap_or_else(|| panic!("the toy has {name}")).address()
}

fn file_offset(name: &str) -> FileOffset {
    let at = symbol(name);
    let image = std::fs::read(binary()).expect("built");
    let elf = object::File::parse(&*image).expect("an ELF file");
    let segment = elf
        .segments()
        .find(|segment| (segment.address()..segment.address() + segment.size()).contains(&at))
        .expect("a symbol lies in a segment");
    FileOffset(at - segment.address() + segment.file_range().0)
}

/// One of the 256 functions that are never run.
pub fn nth_of_many(nth: usize) -> FileOffset {
    FileOffset(file_offset("toy_many").0 + 16 * nth as u64)
}

pub fn plan(toy: &Toy) -> TracePlan {
    plan_of(toy.pid())
}

/// Sites 0 `toy_poll`, 1 `toy_poll_nesting`, 2 `toy_poll_crossed`, 3 `toy_poll_blocking`.
pub fn plan_of(pid: u32) -> TracePlan {
    let site = |name: &str| {
        let address = Avma(symbol(name) + bias(pid));
        SitePlan { offset: file_offset(name), address, name: name.into(), root: 0, id_offset: 0x28 }
    };
    let switch = |state_off, state_width, base, first: Arm, n_arms, default_arm| WalkNode {
        base,
        state_off,
        first_arm: first as u32,
        n_arms,
        default_arm,
        kind: NodeKind::Switch as u32,
        state_width,
    };
    let nodes = vec![
        // 0: the stage. Its future is not moved: children count from the same place.
        switch(0x30, 4, 0, Arm::Running, 3, NONE),
        // 1: the outer coroutine.
        switch(0x34, 1, 0, Arm::Unresumed, 7, NONE),
        // 2: the inner one, whose lower states are never seen.
        switch(0, 1, 3, Arm::Inner3, 2, NONE),
        // 3: what the box holds.
        switch(0, 4, 0, Arm::Boxed0, 2, NONE),
        // 4: the dyn.
        WalkNode { state_off: 0, kind: NodeKind::Dyn as u32, state_width: 8, ..WalkNode::default() },
        // 5: type A.
        switch(0, 4, 0, Arm::A0, 2, NONE),
        // 6: type B, a wrapper of one that has a single state.
        WalkNode {
            kind: NodeKind::Step as u32,
            first_arm: ARMS as u32,
            n_arms: 1,
            state_width: 8,
            ..WalkNode::default()
        },
        // 7: what B wraps.
        switch(0, 4, 1, Arm::B, 1, NONE),
        // 8: far from the header, with a default.
        switch(0, 2, 700, Arm::Far700, 2, Arm::FarOther as u32),
    ];
    let end = WalkArm { child_node: NONE, child_off: 0, flags: 0 };
    let to = |child_node, child_off| WalkArm { child_node, child_off, flags: 0 };
    let mut arms = vec![end; ARMS + 1];
    arms[Arm::Running as usize] = to(1, 0);
    arms[Arm::AwaitsInner as usize] = to(2, 0x35);
    arms[Arm::AwaitsBox as usize] = WalkArm { child_node: 3, child_off: 0x38, flags: ARM_DEREF };
    arms[Arm::AwaitsDyn as usize] = to(4, 0x40);
    arms[Arm::AwaitsFar as usize] = to(8, 0x50 + 600);
    arms[ARMS] = to(7, 0);
    for over in [Arm::Finished, Arm::Consumed] {
        arms[over as usize].flags = ARM_ENDS;
    }

    let all: [Arm; ARMS] = [
        Arm::Running,
        Arm::Finished,
        Arm::Consumed,
        Arm::Unresumed,
        Arm::OuterReturned,
        Arm::OuterPanicked,
        Arm::AwaitsInner,
        Arm::AwaitsBox,
        Arm::AwaitsDyn,
        Arm::AwaitsFar,
        Arm::Inner3,
        Arm::Inner4,
        Arm::Boxed0,
        Arm::Boxed1,
        Arm::A0,
        Arm::A1,
        Arm::B,
        Arm::Far700,
        Arm::Far701,
        Arm::FarOther,
    ];
    let mut arm_frames: Vec<_> = all.iter().map(|arm| has_frame(*arm).then(|| frame_of(*arm))).collect();
    let mut arm_ends = vec![None; ARMS];
    arm_ends[Arm::Finished as usize] = Some(PollEnd::Complete);
    arm_ends[Arm::Consumed as usize] = Some(PollEnd::Complete);
    arm_frames.push(None);
    arm_ends.push(None);

    let bias = bias(pid);
    let vtable = |name: &str| Avma(symbol(name) + bias);
    TracePlan {
        sites: ["toy_poll", "toy_poll_nesting", "toy_poll_crossed", "toy_poll_blocking"].map(site).into(),
        nodes,
        arms,
        arm_frames,
        arm_ends,
        vtables: vec![(vtable("toy_vtable_a"), 5), (vtable("toy_vtable_b"), 6)],
        causes: CausePlan::default(),
        long_after: None,
        pool_sites: Default::default(),
    }
}

/// The path after poll `n` of a task, the first being 0; as `enter` in toy.c sets it.
pub fn path_after(poll: u64) -> Vec<FrameId> {
    let arms: &[Arm] = match poll % 10 {
        0 => &[Arm::AwaitsInner, Arm::Inner3],
        1 | 2 => &[Arm::AwaitsInner, Arm::Inner4],
        3 => &[Arm::AwaitsBox, Arm::Boxed0],
        4 => &[Arm::AwaitsBox, Arm::Boxed1],
        5 => &[Arm::AwaitsDyn, Arm::A1],
        6 => &[Arm::AwaitsDyn, Arm::B],
        7 => &[Arm::AwaitsDyn],
        8 => &[Arm::AwaitsFar, Arm::Far700],
        _ => &[Arm::AwaitsFar, Arm::Far701],
    };
    arms.iter().map(|arm| frame_of(*arm)).collect()
}

/// The path before the first poll.
pub fn path_unresumed() -> Vec<FrameId> {
    vec![frame_of(Arm::Unresumed)]
}
