//! `compare`: what became slower between two recordings, or a recording and a target that runs.

use super::Exit;
use super::args::{Common, CompareArgs};
use super::attach::{self, Wanted, Watch};
use super::child::Keep;
use super::feed::Feed;
use super::output::{self, Quit, Say};
use super::profiled::{Profiled, profiled};
use super::watch::Begun;
use super::{diagnose, replay};
use crate::analysis::Comparison;
use crate::decode::Frames;
use crate::export::compare as json;
use crate::model::{Mode, Profile};
use crate::present::compare;
use crate::present::places::Places;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

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
        not_kept: watched.profile.not_kept,
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
        let mut recording = replay::open(Path::new(name), "comparing")?;
        let begun = replay::begin(&mut recording);
        return Ok(Some(of(name, begun, &mut replay::at_once(recording), &say.about(name))));
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
    Ok(Some(of(name, begun, &mut updates, say)))
}

fn of(name: &str, mut begun: Begun, feed: &mut dyn Feed, say: &Say) -> Watched {
    let Profiled { model, profile, ended_ns, .. } = profiled(&mut begun, feed, say, |_| ());
    Watched {
        what: name.to_owned(),
        mode: begun.mode,
        watched_ns: ended_ns.saturating_sub(model.started_ns()),
        profile,
        frames: begun.frames,
    }
}
