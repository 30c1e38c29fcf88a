//! The table in the docs: what is told of each kind of leaf and guard, as it was found.

use crate::Tokio;
use crate::schema::{Certainty, Resource, Task};
use crate::stuck::{Looked, is_of};
use crate::{Claim, Stuck, TrueHold};

/// What was found with one tokio.
pub struct Column {
    pub tokio: Tokio,
    pub waits: Looked,
    pub holders: Looked,
}

const HEAD: &str = "# What is told of what tasks wait for and hold

Made by `UPDATE=1 cargo test -p e2e --test resources table` from programs that are stuck on each of these, in release builds with
`debug = 2`; `cargo test -p e2e --test resources` fails where the decoder says anything else than the program itself, and where
this table is not what was found. Numbers are replaced by `N`.

*Told*: which fields of the JSON's RESOURCE are there besides `kind` and `detail`; *any of* that there is `any`. The last two columns say what tokio 1.38 and 1.43 differ in:
`=` is the same, `–` means that tokio does not have it.
";

/// The whole document; the last column is the newest tokio.
pub fn write(columns: &[Column], others: &Looked) -> String {
    let mut text = String::from(HEAD);
    let (latest, older) = columns.split_last().expect("there is a tokio");
    text.push_str("\n## Leaves of tokio\n\n| waits in | kind | told | detail | 1.38 | 1.43 |\n|---|---|---|---|---|---|\n");
    let older_waits: Vec<_> = older.iter().map(|column| &column.waits).collect();
    rows(&mut text, &latest.waits, &older_waits, |_| true, waits_of);
    text.push_str("\n## Leaves of other crates\n\n| waits in | kind | told | detail |\n|---|---|---|---|\n");
    rows(&mut text, others, &[], |_| true, waits_of);
    let older_holders: Vec<_> = older.iter().map(|column| &column.holders).collect();
    text.push_str("\n## Guards that tasks keep\n\n");
    text.push_str("| kept in | kind | role | certainty | told | local | 1.38 | 1.43 |\n");
    text.push_str("|---|---|---|---|---|---|---|---|\n");
    rows(&mut text, &latest.holders, &older_holders, |stuck| keeps(stuck) == Some(true), holds_of);
    text.push_str("\n## Guards that are gone\n\nNever called proven.\n\n");
    text.push_str("| how it went | kind | role | certainty | told | local | 1.38 | 1.43 |\n");
    text.push_str("|---|---|---|---|---|---|---|---|\n");
    rows(&mut text, &latest.holders, &older_holders, |stuck| keeps(stuck) == Some(false), holds_of);
    text
}

/// None where its guards are nothing to speak of.
fn keeps(stuck: &Stuck) -> Option<bool> {
    let guards = stuck.holds.iter().filter(|hold| hold.address.is_some() || hold.role == "permits");
    let certain: Vec<_> = guards.map(|hold| hold.certainty).collect();
    if certain.is_empty() { None } else { Some(!certain.contains(&Claim::Possible)) }
}

fn rows(
    text: &mut String,
    latest: &Looked,
    older: &[&Looked],
    is_meant: impl Fn(&Stuck) -> bool,
    cells_of: impl Fn(&Stuck, &Task) -> Vec<String>,
) {
    for stuck in latest.truth.iter().filter(|stuck| is_meant(stuck)) {
        let found = cells(latest, &stuck.case, &cells_of).unwrap_or_default();
        let before: Vec<_> = older.iter().map(|looked| cells(looked, &stuck.case, &cells_of)).collect();
        for (nth, row) in found.iter().enumerate() {
            text.push_str(&format!("| {} | {row} |", if nth == 0 { &*stuck.case } else { "" }));
            for old in &before {
                let cell = match old {
                    None => "–".to_string(),
                    Some(old) => match old.get(nth) {
                        Some(old) if old == row => "=".to_string(),
                        Some(old) => old.replace(" | ", ", "),
                        None => "nothing".to_string(),
                    },
                };
                text.push_str(&format!(" {cell} |"));
            }
            text.push('\n');
        }
    }
}

/// What was found of a case; None where the program has none of that name.
fn cells(
    looked: &Looked,
    case: &str,
    cells_of: impl Fn(&Stuck, &Task) -> Vec<String>,
) -> Option<Vec<String>> {
    let stuck = looked.truth.iter().find(|stuck| stuck.case == case)?;
    let task = looked.dump.tasks.iter().find(|task| task.id == stuck.id)?;
    Some(cells_of(stuck, task))
}

fn waits_of(stuck: &Stuck, task: &Task) -> Vec<String> {
    let row = |wait: &Resource| {
        let detail = wait.detail.as_deref().map(|detail| format!("`{}`", numberless(detail)));
        format!("{} | {} | {}", wait.kind, told(wait), detail.unwrap_or_default())
    };
    let mut waits: Vec<_> = task.waiting_on.iter().flatten().map(row).collect();
    // `select!` begins anywhere.
    waits.sort();
    if waits.is_empty() && !stuck.waits.is_empty() {
        waits.push("– | | ".to_string());
    }
    waits
}

fn holds_of(stuck: &Stuck, task: &Task) -> Vec<String> {
    // Of what may be gone: beside it there may be what is kept.
    let gone = keeps(stuck) == Some(false);
    let same = |meant: &TrueHold, hold: &Resource| {
        !gone || (meant.certainty == Claim::Possible && meant.address == hold.address)
    };
    let is_meant = |hold: &&Resource| stuck.holds.iter().any(|meant| is_of(meant, hold) && same(meant, hold));
    let row = |hold: &Resource| {
        let certainty = match hold.certainty {
            Some(Certainty::Proven) => "proven",
            Some(Certainty::Possible) => "possible",
            None => "",
        };
        let (role, local) = (hold.role.as_deref().unwrap_or(""), hold.local.as_deref().unwrap_or(""));
        format!("{} | {role} | {certainty} | {} | `{local}`", hold.kind, told(hold))
    };
    let mut holds: Vec<_> = task.holds.iter().flatten().filter(is_meant).map(row).collect();
    holds.sort();
    if holds.is_empty() {
        holds.push("nothing | | | | ".to_string());
    }
    holds
}

fn told(resource: &Resource) -> String {
    let holders = match resource.certainty {
        Some(Certainty::Proven) => "holders (proven)",
        _ => "holders",
    };
    let of_others = !resource.holders.is_empty() && resource.role.is_none();
    let fields = [
        (resource.address.is_some(), "address"),
        (of_others, holders),
        (resource.deadline_in_ms.is_some(), "time left"),
        (resource.fd.is_some(), "fd"),
        (resource.task.is_some(), "task"),
        (resource.any, "any of"),
        (resource.acquired_at.is_some(), "line where taken"),
    ];
    let told: Vec<_> = fields.into_iter().filter(|(is_told, _)| *is_told).map(|(_, name)| name).collect();
    told.join(", ")
}

/// Numbers, and what looks like an address or a path of this machine, are of one run only.
fn numberless(detail: &str) -> String {
    let mut text = String::new();
    let mut rest = detail.replace('|', "\\|");
    while let Some(at) = rest.find(|c: char| c.is_ascii_digit()) {
        text.push_str(&rest[..at]);
        let hex = rest[at..].starts_with("0x");
        let number = if hex { &rest[at + 2..] } else { &rest[at..] };
        let is_part = |c: char| if hex { c.is_ascii_hexdigit() } else { c.is_ascii_digit() };
        let end = number.find(|c| !is_part(c)).unwrap_or(number.len());
        text.push('N');
        rest = number[end..].to_string();
    }
    text + &rest
}
