//! RESOURCE of schema 1: what a task waits for and what it holds, as the end of a task's object.

use super::json::{Line, Text};
use crate::decode::{Certainty, Hold, HoldRole, Snapshot, Task, TaskId, TaskState, Wait};
use crate::target::Avma;
use serde::{Serialize, Serializer};
use std::io::{self, Write};

#[derive(Default, Serialize)]
struct Resource<'a> {
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<Text<Avma>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
    #[serde(skip_serializing_if = "Holders::is_empty")]
    holders: Holders<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    certainty: Option<&'static str>,
    /// Negative where the time is over and the task was not polled yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    deadline_in_ms: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fd: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    task: Option<Text<u64>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    acquired_at: Option<Line<'a>>,
    /// One of several that may let the task go on.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    any: bool,
    /// `exclusive`, `shared`, `permits`; of an end: `sender`, `receiver`.
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    /// The local that keeps it.
    #[serde(skip_serializing_if = "Option::is_none")]
    local: Option<&'a str>,
}

#[derive(Default)]
struct Holders<'a>(&'a [TaskId]);

impl Holders<'_> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Holders<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|task| Text(task.id)))
    }
}

/// Appends `waiting_on`, `holds` and `ends`, and closes the task's object. Without strings of their own on the way: there
/// may be 300,000 tasks.
pub(super) fn write(out: &mut Vec<u8>, task: &Task, snapshot: &Snapshot) -> io::Result<()> {
    // A task that runs has been woken: what it waited for is over, what comes next is not known.
    if task.state == TaskState::Running {
        return out.write_all(b",\"waiting_on\":null,\"holds\":null}");
    }
    out.write_all(b",\"waiting_on\":")?;
    list(out, task.waits.iter().map(|wait| waited(wait, snapshot.t_ns)))?;
    // A tree that was made of a path that the trace saw lies nowhere; what such a task holds is not known.
    if task.tree.as_ref().is_some_and(|tree| tree.address.is_null()) {
        return out.write_all(b",\"holds\":null}");
    }
    let holds = |guards: bool| task.holds.iter().filter(move |hold| hold.role.is_guard() == guards);
    out.write_all(b",\"holds\":")?;
    list(out, holds(true).map(|hold| held(hold, &task.id)))?;
    if holds(false).next().is_some() {
        out.write_all(b",\"ends\":")?;
        list(out, holds(false).map(|hold| held(hold, &task.id)))?;
    }
    out.write_all(b"}")
}

fn list<'a>(out: &mut Vec<u8>, resources: impl Iterator<Item = Resource<'a>>) -> io::Result<()> {
    Ok(serde_json::Serializer::new(out).collect_seq(resources)?)
}

fn waited(wait: &Wait, now_ns: Option<u64>) -> Resource<'_> {
    Resource {
        kind: wait.kind.as_str(),
        address: wait.address.map(Text),
        detail: wait.detail.as_deref(),
        holders: Holders(&wait.holders),
        certainty: wait.certainty.map(certainty_word),
        deadline_in_ms: wait.deadline_ns.zip(now_ns).map(|(ns, now)| milliseconds(ns, now)),
        fd: wait.fd,
        task: wait.task.map(|task| Text(task.id)),
        acquired_at: wait.acquired_at.as_ref().map(Line::from),
        any: wait.any,
        ..Resource::default()
    }
}

fn held<'a>(hold: &'a Hold, by: &'a TaskId) -> Resource<'a> {
    Resource {
        kind: hold.kind.as_str(),
        address: Some(Text(hold.address)),
        holders: Holders(std::slice::from_ref(by)),
        certainty: Some(certainty_word(hold.certainty)),
        acquired_at: hold.acquired_at.as_ref().map(Line::from),
        role: Some(role_word(hold.role)),
        local: Some(&hold.local),
        ..Resource::default()
    }
}

fn milliseconds(deadline_ns: u64, now_ns: u64) -> i64 {
    let ns = i128::from(deadline_ns) - i128::from(now_ns);
    i64::try_from(ns / 1_000_000).unwrap_or(i64::MAX)
}

pub fn certainty_word(certainty: Certainty) -> &'static str {
    match certainty {
        Certainty::Proven => "proven",
        Certainty::Possible => "possible",
    }
}

fn role_word(role: HoldRole) -> &'static str {
    match role {
        HoldRole::Exclusive => "exclusive",
        HoldRole::Shared => "shared",
        HoldRole::Permits(_) => "permits",
        HoldRole::Sender => "sender",
        HoldRole::Receiver => "receiver",
    }
}
