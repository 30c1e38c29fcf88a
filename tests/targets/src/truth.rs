//! What a program knows of itself, printed as one JSON object per line on stdout.
//!
//! Every future under test carries a [`Trail`]: its place in its task's await tree. Before each await it says
//! where it stands (`here!`), so the tree that is printed is the one the program really is in, in every build.

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
    runtime: u32,
    /// What the innermost future waits for: a kind of RESOURCE.
    waits_for: Option<&'static str>,
}

struct Log {
    cases: Vec<Case>,
    changed: Option<Instant>,
}

static LOG: Mutex<Log> = Mutex::new(Log { cases: Vec::new(), changed: None });

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
            log.cases.push(Case { nodes: Vec::new(), id: None, runtime: 0, waits_for: None });
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

    /// This future is over, while its siblings are still awaited.
    pub fn done(self) {
        with_log(|log| log.cases[self.case].nodes[self.node].function.clear());
    }

    pub fn waits_for(self, kind: &'static str) {
        with_log(|log| log.cases[self.case].waits_for = Some(kind));
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
                ",\"id\":{id:?},\"runtime\":{},\"name\":{:?}",
                case.runtime, case.nodes[0].function
            );
            if let Some(kind) = case.waits_for {
                let _ = write!(line, ",\"waits_for\":{kind:?}");
            }
            line.push_str(",\"tree\":");
            case.write(0, &mut line);
            line.push('}');
            say(&line);
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

/// Ends the process after two minutes, whatever it is doing.
pub fn end_by_itself() {
    std::thread::spawn(|| {
        std::thread::sleep(Duration::from_secs(120));
        std::process::exit(9);
    });
}
