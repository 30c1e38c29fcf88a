//! `compare`: what became slower between two recordings, or a recording and a target that runs.

use super::Exit;
use super::args::{Common, CompareArgs};
use super::attach::{self, Wanted, Watch};
use super::child::Keep;
use super::feed::Feed;
use super::output::{self, Quit, Say};
use super::watch::Begun;
use super::{diagnose, replay};
use crate::analysis::Comparison;
use crate::decode::Frames;
use crate::export::compare as json;
use crate::model::{Aside, End, Limits, Mode, Model, Profile};
use crate::present::compare;
use crate::present::places::Places;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

const WAIT: Duration = Duration::from_millis(100);

/// One of the two, as it was watched.
struct Watched {
    what: String,
    mode: Mode,
    watched_ns: u64,
    profile: Profile,
    frames: Arc<Frames>,
}

pub fn run(args: &CompareArgs, common: &Common, stop: &Arc<AtomicBool>) -> Result<Exit, Quit> {
    let say = Say::new(common);
    let Some(before) = watched(&args.before, args, common, stop, &say)? else { return Ok(Exit::Fine) };
    let Some(after) = watched(&args.after, args, common, stop, &say)? else { return Ok(Exit::Fine) };
    for watched in [&before, &after] {
        if !watched.mode.times_polls() {
            say.warn(&format!(
                "{} was watched by {}: stays are as exact as its snapshots, and polls are not compared",
                watched.what,
                watched.mode.as_str()
            ));
        }
    }
    let comparison = Comparison::of(&before.profile, &after.profile);
    let side = |watched: &Watched| compare::Side {
        what: watched.what.clone(),
        mode: watched.mode,
        watched_ns: watched.watched_ns,
    };
    let sides = [side(&before), side(&after)];
    let mut out = output::stdout();
    if args.json {
        json::write(&mut out, &comparison, &sides)?;
    } else {
        let paint = output::paint(common, std::io::stdout().is_terminal());
        let places = Places::of(&after.frames);
        compare::write(&mut out, &comparison, &sides, &places, args.all, paint)?;
    }
    out.flush()?;
    Ok(Exit::Fine)
}

fn watched(
    name: &str,
    args: &CompareArgs,
    common: &Common,
    stop: &Arc<AtomicBool>,
    say: &Say,
) -> Result<Option<Watched>, Quit> {
    if diagnose::is_recording(name) {
        let mut recording = replay::open(Path::new(name))?;
        let begun = replay::begin(&mut recording);
        return Ok(Some(profiled(name, begun, &mut replay::at_once(recording), say)));
    }
    let wanted = Wanted {
        target: Some(name),
        command: &[],
        keep: Keep::Stderr,
        trace: args.probes.options(),
        sample: args.probes.sample,
        interval: None,
        duration: Some(args.duration),
    };
    let Some(Watch { begun, mut updates, .. }) = attach::begin(&wanted, common, stop.clone(), say)? else {
        return Ok(None);
    };
    Ok(Some(profiled(name, begun, &mut updates, say)))
}

fn profiled(name: &str, mut begun: Begun, feed: &mut dyn Feed, say: &Say) -> Watched {
    let mut events = Vec::new();
    let mut model = Model::new(begun.mode, begun.frames.clone(), begun.t_ns, Limits::default());
    let mut profile = Profile::default();
    if let Some(first) = begun.first.take() {
        model.snapshot_taken(first, &mut events);
    }
    let ended_ns = loop {
        let Some(update) = feed.next(WAIT) else { continue };
        let aside = model.apply(update, &mut events);
        events.drain(..).for_each(|event| profile.take(&event, &model));
        match aside {
            Some(Aside::Note(text)) => say.warn(&text),
            Some(Aside::End { t_ns, end }) => {
                if let End::Failed(why) = end {
                    say.warn(&format!("{name}: {why}"));
                }
                break t_ns;
            }
            Some(Aside::Cost(_)) | None => {}
        }
    };
    Watched {
        what: name.to_owned(),
        mode: begun.mode,
        watched_ns: ended_ns.saturating_sub(model.started_ns()),
        profile,
        frames: begun.frames,
    }
}
