//! A watch, or a recording of one, from its beginning to its end: what `diagnose` and `compare` look at.

use super::feed::Feed;
use super::output::Say;
use super::watch::Begun;
use crate::model::{Aside, End, Limits, Model, Profile};
use std::time::Duration;

/// How long to wait for an update before looking at the clock.
const WAIT: Duration = Duration::from_millis(100);

pub(super) struct Profiled {
    pub model: Model,
    pub profile: Profile,
    /// CLOCK_MONOTONIC, ns.
    pub ended_ns: u64,
    /// It is no more what it was, or is not there any more, so many ns after the begin.
    pub target_ended: Option<u64>,
}

/// Takes all that comes; `after`: called after each update.
pub(super) fn profiled(
    begun: &mut Begun,
    feed: &mut dyn Feed,
    say: &Say,
    mut after: impl FnMut(&Model),
) -> Profiled {
    let mut events = Vec::new();
    let mut model = Model::new(begun.mode, begun.frames.clone(), begun.t_ns, Limits::default());
    let mut profile = Profile::default();
    if let Some(first) = begun.first.take() {
        model.snapshot_taken(first, &mut events);
    }
    loop {
        let Some(update) = feed.next(WAIT) else { continue };
        let aside = model.apply(update, &mut events);
        events.drain(..).for_each(|event| profile.take(&event, &model));
        after(&model);
        match aside {
            Some(Aside::Note(text)) => say.warn(&text),
            Some(Aside::End { t_ns, end }) => {
                if let End::Failed(why) = &end {
                    say.warn(why);
                }
                let target_ended = matches!(end, End::TargetExited { .. } | End::Execed)
                    .then(|| t_ns.saturating_sub(model.started_ns()));
                return Profiled { model, profile, ended_ns: t_ns, target_ended };
            }
            Some(Aside::Cost(_)) | None => {}
        }
    }
}
