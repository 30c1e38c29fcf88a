//! What stuck tasks wait for and hold, as they say themselves.
//!
//! A [`Case`] is one task. Before its last await it says what it is about to wait for ([`Case::waits`]) and where
//! ([`Case::stands`]); each guard it takes, it says on the line above ([`Case::takes`]).

use std::fmt::{Debug, Write as _};
use std::panic::Location;
use std::pin::Pin;
use std::sync::Mutex;
use std::time::{Duration, Instant};
use tokio::task::{AbortHandle, JoinHandle};

/// How far the decoder may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// It must say so, and call it proven.
    Proven,
    /// It must say so; builds differ in whether that can be proven.
    Told,
    /// It may say so, in any way; it may as well not see it.
    Any,
    /// It may say so, but only call it possible.
    Possible,
}

impl Claim {
    fn word(self) -> &'static str {
        match self {
            Claim::Proven => "proven",
            Claim::Told => "told",
            Claim::Any => "any",
            Claim::Possible => "possible",
        }
    }
}

/// One thing that a task waits for.
#[derive(Clone, Debug)]
pub struct Wait {
    kind: &'static str,
    address: Option<usize>,
    channel: Option<String>,
    fd: Option<i32>,
    task: Option<String>,
    deadline_ns: Option<u64>,
    holders: Vec<Case>,
    claim: Option<Claim>,
    words: Vec<String>,
    any: bool,
}

#[derive(Clone, Debug)]
struct Hold {
    kind: &'static str,
    role: &'static str,
    address: Option<usize>,
    /// Of an end of a channel, whose address nobody can print.
    channel: Option<String>,
    claim: Claim,
    line: Option<u32>,
}

struct Kept {
    name: String,
    id: Option<String>,
    runtime: u32,
    /// Of the JSON schema.
    state: &'static str,
    place: Option<&'static Location<'static>>,
    waits: Vec<Wait>,
    /// Waits beyond those listed are no mistake: the inside of somebody else's crate.
    more: bool,
    holds: Vec<Hold>,
    task: Option<AbortHandle>,
}

static CASES: Mutex<Vec<Kept>> = Mutex::new(Vec::new());

fn with_cases<R>(use_them: impl FnOnce(&mut Vec<Kept>) -> R) -> R {
    use_them(&mut CASES.lock().unwrap_or_else(|poisoned| poisoned.into_inner()))
}

/// The address of a thing, as its task says it.
pub fn address<T: ?Sized>(thing: &T) -> usize {
    std::ptr::from_ref(thing).cast::<()>() as usize
}

impl Wait {
    /// `kind` is a word of the JSON schema, or several with `|` between them where the schema leaves the choice.
    pub fn of(kind: &'static str) -> Wait {
        Wait {
            kind,
            address: None,
            channel: None,
            fd: None,
            task: None,
            deadline_ns: None,
            holders: Vec::new(),
            claim: None,
            words: Vec::new(),
            any: false,
        }
    }

    pub fn at<T: ?Sized>(self, thing: &T) -> Wait {
        Wait { address: Some(address(thing)), ..self }
    }

    /// Everybody at that channel is told the same address, and nobody else.
    pub fn channel(self, name: &str) -> Wait {
        Wait { channel: Some(name.to_string()), ..self }
    }

    pub fn fd(self, thing: &impl std::os::fd::AsRawFd) -> Wait {
        Wait { fd: Some(thing.as_raw_fd()), ..self }
    }

    /// The joined task, out of its handle's Debug.
    pub fn task(self, handle: &impl Debug) -> Wait {
        Wait { task: Some(crate::id_of(handle)), ..self }
    }

    /// A `std::time::Instant`, which is CLOCK_MONOTONIC and shows its parts in its Debug only.
    pub fn until(self, deadline: Instant) -> Wait {
        let text = format!("{deadline:?}");
        let mut numbers =
            text.split(|c: char| !c.is_ascii_digit()).filter_map(|part| part.parse::<u64>().ok());
        let (Some(seconds), Some(ns)) = (numbers.next(), numbers.next()) else {
            panic!("an Instant shows seconds and nanoseconds, not {text}")
        };
        Wait { deadline_ns: Some(seconds * 1_000_000_000 + ns), ..self }
    }

    /// What `detail` must contain.
    pub fn words(mut self, words: &[&dyn std::fmt::Display]) -> Wait {
        self.words.extend(words.iter().map(|word| word.to_string()));
        self
    }

    /// Another of its waits of which this is said may let it go on as well.
    pub fn or(self) -> Wait {
        Wait { any: true, ..self }
    }

    /// Who must act first. Where each took it is what it said with [`Case::takes`].
    pub fn held_by(self, holders: &[Case], claim: Claim) -> Wait {
        Wait { holders: holders.to_vec(), claim: Some(claim), ..self }
    }
}

/// A stuck task, or one that keeps others stuck.
#[derive(Clone, Copy, Debug)]
pub struct Case(usize);

impl Case {
    pub fn named(name: &str) -> Case {
        with_cases(|cases| {
            cases.push(Kept {
                name: name.to_string(),
                id: None,
                runtime: 0,
                state: "idle",
                place: None,
                waits: Vec::new(),
                more: false,
                holds: Vec::new(),
                task: None,
            });
            Case(cases.len() - 1)
        })
    }

    fn with(self, change: impl FnOnce(&mut Kept)) -> Case {
        with_cases(|cases| change(&mut cases[self.0]));
        self
    }

    /// Starts its task; all are of one type, which spares the compiler most of its work.
    pub fn runs(self, root: impl Future<Output = ()> + Send + 'static) -> Case {
        self.runs_and_is_joined(root);
        self
    }

    pub fn runs_and_is_joined(self, root: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
        let future: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(root);
        let handle = tokio::spawn(future);
        self.tells_of(&handle);
        handle
    }

    /// Names its task.
    pub fn tells_of(self, handle: &JoinHandle<()>) -> Case {
        let id = crate::id_of(handle);
        self.with(|kept| (kept.id, kept.task) = (Some(id), Some(handle.abort_handle())))
    }

    pub fn in_runtime(self, runtime: u32) -> Case {
        self.with(|kept| kept.runtime = runtime)
    }

    /// Its runtime does not know it as idle.
    pub fn in_state(self, state: &'static str) -> Case {
        self.with(|kept| kept.state = state)
    }

    /// It is about to wait for this, among others.
    pub fn waits(self, wait: Wait) -> Case {
        self.with(|kept| kept.waits.push(wait))
    }

    /// Waits beyond those listed are no mistake.
    pub fn waits_for_more(self) -> Case {
        self.with(|kept| kept.more = true)
    }

    /// It awaits on the line below, until the process ends.
    #[track_caller]
    pub fn stands(self) {
        let place = Location::caller();
        self.with(|kept| kept.place = Some(place));
    }

    /// It takes this on the line below, and keeps it.
    #[track_caller]
    pub fn takes<T: ?Sized>(self, kind: &'static str, role: &'static str, thing: &T, claim: Claim) -> Case {
        let line = Some(Location::caller().line() + 1);
        let address = Some(address(thing));
        self.with(|kept| kept.holds.push(Hold { kind, role, address, channel: None, claim, line }))
    }

    /// As [`Case::takes`], where the line of its taking lies elsewhere.
    pub fn keeps<T: ?Sized>(self, kind: &'static str, role: &'static str, thing: &T, claim: Claim) -> Case {
        let address = Some(address(thing));
        self.with(|kept| kept.holds.push(Hold { kind, role, address, channel: None, claim, line: None }))
    }

    /// It has an end of that channel, or permits to send there: `sender`, `receiver`, `permits`.
    pub fn has_end(self, kind: &'static str, role: &'static str, name: &str) -> Case {
        let channel = Some(name.to_string());
        let end = Hold { kind, role, address: None, channel, claim: Claim::Told, line: None };
        self.with(|kept| kept.holds.push(end))
    }
}

/// Starts a task that is a case.
pub fn start<F>(name: &str, root: impl FnOnce(Case) -> F) -> Case
where
    F: Future<Output = ()> + Send + 'static,
{
    let case = Case::named(name);
    case.runs(root(case))
}

/// Waits until that case stands at its last await.
pub async fn standing(case: Case) {
    while with_cases(|cases| cases[case.0].place.is_none()) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tokio::time::sleep(Duration::from_millis(30)).await;
}

/// Keeps its value until the process ends, out of everybody's sight.
pub fn keep<T>(value: T) {
    std::mem::forget(value);
}

/// Waits until every case stands at its last await, prints them, and waits to be ended.
pub fn tell_and_wait() -> ! {
    crate::end_by_itself();
    let begun = Instant::now();
    let missing = || {
        with_cases(|cases| {
            let missing = cases.iter().filter(|case| case.place.is_none() || case.id.is_none());
            missing.map(|case| case.name.clone()).collect::<Vec<_>>()
        })
    };
    while !missing().is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?} never got to their awaits", missing());
        std::thread::sleep(Duration::from_millis(10));
    }
    // The await itself comes after its task has said so.
    std::thread::sleep(Duration::from_millis(300));
    with_cases(|cases| {
        for case in cases.iter() {
            assert!(!case.task.as_ref().is_some_and(AbortHandle::is_finished), "{} came loose", case.name);
            crate::say(&case.line(cases));
        }
    });
    crate::ready();
    std::process::exit(0)
}

impl Kept {
    fn line(&self, cases: &[Kept]) -> String {
        let mut out = String::from("{\"truth\":\"stuck\"");
        let place = self.place.expect("it stands somewhere");
        field(&mut out, "id", self.id.as_deref());
        field(&mut out, "case", Some(&self.name));
        field(&mut out, "state", Some(self.state));
        field(&mut out, "file", Some(place.file()));
        let _ =
            write!(out, ",\"runtime\":{},\"line\":{},\"more\":{}", self.runtime, place.line() + 1, self.more);
        let waits: Vec<_> = self.waits.iter().map(|wait| wait.object(cases)).collect();
        let holds: Vec<_> = self.holds.iter().map(Hold::object).collect();
        let _ = write!(out, ",\"waits\":[{}],\"holds\":[{}]}}", waits.join(","), holds.join(","));
        out
    }
}

fn field(out: &mut String, name: &str, text: Option<&str>) {
    if let Some(text) = text {
        let _ = write!(out, ",\"{name}\":{text:?}");
    }
}

impl Wait {
    fn object(&self, cases: &[Kept]) -> String {
        let mut out = format!("{{\"kind\":{:?}", self.kind);
        field(&mut out, "address", self.address.map(|address| format!("{address:#x}")).as_deref());
        field(&mut out, "channel", self.channel.as_deref());
        field(&mut out, "task", self.task.as_deref());
        field(&mut out, "certainty", self.claim.map(Claim::word));
        let mut number = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                let _ = write!(out, ",\"{name}\":{value}");
            }
        };
        number("fd", self.fd.map(|fd| fd.to_string()));
        number("deadline_ns", self.deadline_ns.map(|ns| ns.to_string()));
        number("acquired_line", self.acquired_line(cases).map(|line| line.to_string()));
        let ids: Vec<_> = self.holders.iter().filter_map(|holder| cases[holder.0].id.as_deref()).collect();
        let _ = write!(out, ",\"holders\":{ids:?},\"words\":{:?},\"any\":{}}}", self.words, self.any);
        out
    }

    /// Where its one holder took it.
    fn acquired_line(&self, cases: &[Kept]) -> Option<u32> {
        let [holder] = self.holders.as_slice() else { return None };
        let held = cases[holder.0].holds.iter().find(|hold| hold.address == self.address)?;
        held.line
    }
}

impl Hold {
    fn object(&self) -> String {
        let mut out = format!("{{\"kind\":{:?},\"role\":{:?}", self.kind, self.role);
        field(&mut out, "address", self.address.map(|address| format!("{address:#x}")).as_deref());
        field(&mut out, "channel", self.channel.as_deref());
        field(&mut out, "certainty", Some(self.claim.word()));
        if let Some(line) = self.line {
            let _ = write!(out, ",\"acquired_line\":{line}");
        }
        out.push('}');
        out
    }
}
