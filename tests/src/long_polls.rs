//! What tests of polls that take long share: programs whose tasks are cases, each of which says what is to be told of it.

use crate::schema::{CodeFrame, Line};
use crate::tracer::Traced;
use crate::{Truth, Variant};
use anyhow::{Result, ensure};

/// Longer than a busy machine makes a thread wait for a CPU, shorter than the programs hold up their threads. As `--blocked-after` takes it.
pub const LONG: &str = "300";

/// Checks the five cases of a program, and tells of all that are wrong.
pub fn check_each(
    variant: Variant,
    (truth, traced): &(Vec<Truth>, Traced),
    check: impl Fn(&Truth, &Traced) -> Result<()>,
) {
    assert_eq!(truth.len(), 5);
    let wrong: Vec<String> = truth
        .iter()
        .filter_map(|one| check(one, traced).err().map(|why| format!("{one:?}: {why}")))
        .collect();
    assert!(wrong.is_empty(), "{}:\n{}\n{}", variant.name(), wrong.join("\n"), traced.stderr);
}

/// What was told of one task.
pub fn lines_of<'t>(traced: &'t Traced, id: &str) -> impl Iterator<Item = &'t Line> {
    traced.lines.iter().filter(move |line| line.task() == Some(id))
}

/// Whether a stack leads up to a poll function of tokio.
///
/// # Errors
/// With where it ends instead.
pub fn ends_at_a_poll(stack: &[CodeFrame]) -> Result<()> {
    let end = stack.last().and_then(|frame| frame.function.as_deref()).unwrap_or_default();
    ensure!(end.starts_with("tokio::runtime::task::"), "it ends at {end}: {stack:#?}");
    Ok(())
}
