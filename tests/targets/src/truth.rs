//! What a program knows of itself, printed as one JSON object per line on stdout.
//!
//! Every future under test carries a [`Trail`]: its place in its task's await tree. Before each await it says
//! where it stands (`here!`), so the tree that is printed is the one the program really is in, in every build.

// Needs `JoinHandle::abort_handle`, which tokio 1.21 keeps to itself.
#[cfg(not(feature = "no-resources"))]
pub mod resources;

use std::fmt::{Debug, Write as _};
use std::io::Write as _;
use std::sync::Mutex;
use std::time::{Duration, Instant};

struct Node {
    function: String,
    /// The name where the build keeps no linkage name that tells an impl's self type.
    or: Option<&'static str>,
    file: &'static str,
    line: u32,
    children: Vec<usize>,
}

struct Case {
    nodes: Vec<Node>,
    id: Option<String>,
    /// The kind of runtime it is in.
    kind: &'static str,
    runtime: u32,
    /// What the innermost future waits for: a kind of RESOURCE.
    waits_for: Option<&'static str>,
    /// Path of the innermost future's type, without its parameters.
    leaf: Option<&'static str>,
    /// No task: given to `block_on`, and its id is the thread's.
    root: bool,
}

/// A closure given to `spawn_blocking`.
struct Blocking {
    id: String,
    name: &'static str,
    state: &'static str,
}

struct Log {
    cases: Vec<Case>,
    blocking: Vec<Blocking>,
    changed: Option<Instant>,
}

static LOG: Mutex<Log> = Mutex::new(Log { cases: Vec::new(), blocking: Vec::new(), changed: None });

fn with_log<R>(use_it: impl FnOnce(&mut Log) -> R) -> R {
    use_it(&mut LOG.lock().unwrap_or_else(|poisoned| poisoned.into_inner()))
}

/// A future's place in its task's await tree.
#[derive(Clone, Copy)]
pub struct Trail {
    case: usize,
    node: usize,
}

/// Says where an async fn awaits: the line below this macro. A block has a name of its own: `here!(at, "name")`;
/// futures made earlier and awaited now are named: `here!(at => child)`.
#[macro_export]
macro_rules! here {
    ($at:expr) => {
        $at.here($crate::function_of(&|| ()), None, file!(), line!() + 1)
    };
    ($at:expr, or $or:literal) => {
        $at.here($crate::function_of(&|| ()), Some($or), file!(), line!() + 1)
    };
    ($at:expr, $name:literal) => {
        $at.here($name.to_string(), None, file!(), line!() + 1)
    };
    ($at:expr => $($child:expr),+) => {
        $at.here($crate::function_of(&|| ()), None, file!(), line!() + 1)$(.adopt($child))+
    };
}

/// The path of the function around a closure, as the compiler names it.
pub fn function_of<F>(_closure: &F) -> String {
    std::any::type_name::<F>().trim_end_matches("::{{closure}}").to_string()
}

impl Trail {
    /// The root future of a new task.
    pub fn root() -> Trail {
        with_log(|log| {
            log.cases.push(Case {
                nodes: Vec::new(),
                id: None,
                kind: "tokio",
                runtime: 0,
                waits_for: None,
                leaf: None,
                root: false,
            });
            let case = log.cases.len() - 1;
            Trail { case, node: log.cases[case].place() }
        })
    }

    /// The place of a future that this one is about to await.
    pub fn deeper(self) -> Trail {
        with_log(|log| {
            let case = &mut log.cases[self.case];
            let node = case.place();
            case.nodes[self.node].children.push(node);
            Trail { case: self.case, node }
        })
    }

    /// This future is about to await, at that line; whatever it awaited before is over.
    pub fn here(self, function: String, or: Option<&'static str>, file: &'static str, line: u32) -> Trail {
        with_log(|log| {
            let node = &mut log.cases[self.case].nodes[self.node];
            node.function = function;
            (node.or, node.file, node.line) = (or, file, line);
            node.children.clear();
            log.changed = Some(Instant::now());
        });
        self
    }

    /// A future made before this one said where it stands.
    pub fn adopt(self, child: Trail) -> Trail {
        with_log(|log| log.cases[self.case].nodes[self.node].children.push(child.node));
        self
    }

    /// The same for as many as there are.
    pub fn adopt_all(self, children: &[Trail]) {
        children.iter().for_each(|child| {
            self.adopt(*child);
        });
    }

    /// This future is over, while its siblings are still awaited.
    pub fn done(self) {
        with_log(|log| log.cases[self.case].nodes[self.node].function.clear());
    }

    pub fn waits_for(self, kind: &'static str) {
        with_log(|log| log.cases[self.case].waits_for = Some(kind));
    }

    /// It is given to `block_on`, on this thread, and has this number among the program's runtimes.
    pub fn is_root(self, runtime: u32) {
        let id = thread_id();
        with_log(|log| {
            let case = &mut log.cases[self.case];
            (case.id, case.runtime, case.root) = (Some(id), runtime, true);
        });
    }

    /// In which leaf the task's await tree ends.
    pub fn ends_in(self, leaf: &'static str) {
        with_log(|log| log.cases[self.case].leaf = Some(leaf));
    }

    /// The task is in a runtime that prints no ids: its name tells it.
    pub fn is_task_of(self, kind: &'static str) -> Trail {
        with_log(|log| log.cases[self.case].kind = kind);
        self
    }

    /// Names the task, and which of the program's runtimes it is in.
    pub fn is_task(self, runtime: u32, handle: &impl Debug) {
        let id = id_of(handle);
        with_log(|log| {
            let case = &mut log.cases[self.case];
            (case.id, case.runtime) = (Some(id), runtime);
        });
    }
}

/// A closure on the blocking pool, `running` or still `scheduled`.
pub fn is_blocking(handle: &impl Debug, name: &'static str, state: &'static str) {
    let id = id_of(handle);
    with_log(|log| log.blocking.push(Blocking { id, name, state }));
}

/// This thread's id as the kernel gives it.
pub fn thread_id() -> String {
    let link = std::fs::read_link("/proc/thread-self").expect("procfs is mounted");
    link.file_name().expect("PID/task/TID").to_string_lossy().into_owned()
}

impl Case {
    fn place(&mut self) -> usize {
        self.nodes.push(Node { function: String::new(), or: None, file: "", line: 0, children: Vec::new() });
        self.nodes.len() - 1
    }

    fn write(&self, node: usize, out: &mut String) {
        let Node { function, or, file, line, children } = &self.nodes[node];
        let _ = write!(out, "{{\"function\":{function:?}");
        if let Some(or) = or {
            let _ = write!(out, ",\"or\":{or:?}");
        }
        let _ = write!(out, ",\"file\":{file:?},\"line\":{line},\"awaiting\":[");
        let begun = children.iter().filter(|child| !self.nodes[**child].function.is_empty());
        for (nth, child) in begun.enumerate() {
            if nth > 0 {
                out.push(',');
            }
            self.write(*child, out);
        }
        out.push_str("]}");
    }
}

/// A task's id as its runtime prints it, out of a `JoinHandle`'s Debug: that shows it in every version, while
/// `JoinHandle::id` needs `tokio_unstable` in 1.38.
pub fn id_of(handle: &impl Debug) -> String {
    format!("{handle:?}").chars().filter(char::is_ascii_digit).collect()
}

/// One line of truth.
pub fn say(line: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = writeln!(stdout, "{line}");
    let _ = stdout.flush();
}

/// Waits until no future has moved for a while, then prints every task's tree.
pub fn tell_tasks() {
    let quiet = Duration::from_millis(150);
    while with_log(|log| log.changed.is_none_or(|changed| changed.elapsed() < quiet)) {
        std::thread::sleep(Duration::from_millis(10));
    }
    with_log(|log| {
        for case in &log.cases {
            let mut line = String::from("{\"truth\":\"task\"");
            let id = case.id.as_deref().unwrap_or("");
            let _ = write!(
                line,
                ",\"id\":{id:?},\"kind\":{:?},\"runtime\":{},\"name\":{:?}",
                case.kind, case.runtime, case.nodes[0].function
            );
            if let Some(kind) = case.waits_for {
                let _ = write!(line, ",\"waits_for\":{kind:?}");
            }
            if case.root {
                line.push_str(",\"root\":true");
            }
            if let Some(leaf) = case.leaf {
                let _ = write!(line, ",\"leaf\":{leaf:?}");
            }
            line.push_str(",\"tree\":");
            case.write(0, &mut line);
            line.push('}');
            say(&line);
        }
        for Blocking { id, name, state } in &log.blocking {
            say(&format!(
                "{{\"truth\":\"blocking\",\"id\":{id:?},\"name\":{name:?},\"state\":{state:?}}}"
            ));
        }
    });
}

/// What the programs that show trees end with: the truth, then `ready`, then nothing until stdin is closed.
pub fn tell_and_wait() -> ! {
    tell_tasks();
    ready();
    std::process::exit(0)
}

/// Says `ready`, then waits until stdin is closed. A program that nobody ends, ends by itself.
pub fn ready() {
    end_by_itself();
    say("{\"truth\":\"ready\"}");
    let mut rest = String::new();
    while std::io::stdin().read_line(&mut rest).is_ok_and(|read| read > 0) {}
}

/// Ends the process after two minutes, whatever it is doing; as many times later as the tests are told that the machine is slow.
pub fn end_by_itself() {
    let slowness = std::env::var("E2E_SLOWNESS").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_secs(120) * slowness);
        std::process::exit(9);
    });
}

/// Says that the function around calls, or spawns, another one: in the line below. Blocks have a name of their own, which is
/// given with `in`.
#[macro_export]
macro_rules! edge {
    ($kind:ident $to:literal) => {
        $crate::edge(stringify!($kind), &$crate::function_of(&|| ()), $to, line!() + 1)
    };
    ($kind:ident in $from:literal, $to:literal) => {
        $crate::edge(stringify!($kind), $from, $to, line!() + 1)
    };
}

/// Says that the line below blocks its thread; `from` is the async fn that leads there, where it is not the function around.
#[macro_export]
macro_rules! finding {
    ($what:literal) => {
        $crate::finding($what, &$crate::function_of(&|| ()), line!() + 1)
    };
    ($what:literal, from $from:literal) => {
        $crate::finding($what, $from, line!() + 1)
    };
}

/// See [`edge!`].
#[inline(never)]
pub fn edge(kind: &str, from: &str, to: &str, line: u32) {
    say(&format!(
        "{{\"truth\":\"edge\",\"kind\":{kind:?},\"from\":{from:?},\"to\":{to:?},\"line\":{line}}}"
    ));
}

/// See [`finding!`].
#[inline(never)]
pub fn finding(what: &str, from: &str, line: u32) {
    say(&format!("{{\"truth\":\"blocks\",\"what\":{what:?},\"from\":{from:?},\"line\":{line}}}"));
}
