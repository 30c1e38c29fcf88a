//! What is to be found in a program, in its own words, as lines of JSON on stdout.

use std::fmt::Display;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};

/// One finding.
#[derive(Clone, Debug, Default)]
pub struct Fault {
    lint: &'static str,
    proven: bool,
    tasks: Vec<String>,
    lines: Vec<u32>,
    words: Vec<String>,
}

impl Fault {
    pub fn proven(lint: &'static str) -> Fault {
        Fault { lint, proven: true, ..Fault::default() }
    }

    pub fn possible(lint: &'static str) -> Fault {
        Fault { lint, ..Fault::default() }
    }

    /// All tasks of it, in any order.
    pub fn tasks(self, tasks: impl IntoIterator<Item = impl Display>) -> Fault {
        Fault { tasks: tasks.into_iter().map(|task| task.to_string()).collect(), ..self }
    }

    /// Lines that its places must have among theirs.
    pub fn lines(self, lines: impl IntoIterator<Item = u32>) -> Fault {
        Fault { lines: lines.into_iter().collect(), ..self }
    }

    /// What its message, evidence or remedy must have in it.
    pub fn says(mut self, word: impl Display) -> Fault {
        self.words.push(word.to_string());
        self
    }

    pub fn is_here(self) {
        let Fault { lint, proven, tasks, lines, words } = self;
        let certainty = if proven { "proven" } else { "possible" };
        println!(
            r#"{{"truth":"fault","lint":"{lint}","certainty":"{certainty}","tasks":{tasks:?},"lines":{lines:?},"words":{words:?}}}"#
        );
    }
}

/// A possible finding of this lint is right as well, and need not be there.
pub fn may_be_told(lint: &str) {
    println!(r#"{{"truth":"may_be_told","lint":"{lint}"}}"#);
}

/// All is as it is to be found from now on.
pub fn ready() {
    println!(r#"{{"truth":"ready"}}"#);
}

/// The same once everybody has gone where they go, and waits for the end of stdin.
pub fn ready_soon_and_wait() -> ! {
    std::thread::sleep(Duration::from_millis(200));
    ready();
    wait()
}

pub fn wait() -> ! {
    loop {
        std::thread::park();
    }
}

/// A runtime with so many workers.
pub fn runtime(workers: usize) -> Runtime {
    Builder::new_multi_thread().worker_threads(workers).enable_all().build().expect("a runtime")
}
