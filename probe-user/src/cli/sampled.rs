//! The thread that looks at a target which no probe is in.

use super::Failure;
use super::source::LookStream;
use super::watch::Gate;
use crate::model::Update;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Acquire, Ordering::Relaxed, Ordering::Release};
use std::sync::mpsc::Sender;
use std::thread::{self, JoinHandle};

/// Rounds waiting for a view, about ten seconds of them. Those beyond count as missed.
const QUEUED: usize = 100;

/// Looks until it is dropped.
pub(super) struct Sampled {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Sampled {
    pub fn start(
        mut stream: Box<dyn LookStream>,
        queue: Sender<Update>,
        gate: Arc<Gate>,
    ) -> Result<Sampled, Failure> {
        let stop = Arc::new(AtomicBool::new(false));
        let asked = stop.clone();
        let run = move || {
            let mut missed = 0u32;
            while !asked.load(Acquire) {
                // The watcher sees by itself when the target has ended.
                let Some(mut round) = stream.round() else { return };
                if gate.rounds.load(Relaxed) >= QUEUED {
                    missed = missed.saturating_add(round.looks).saturating_add(round.missed);
                    continue;
                }
                round.missed = round.missed.saturating_add(std::mem::take(&mut missed));
                gate.rounds.fetch_add(1, Relaxed);
                if queue.send(Update::Samples(round)).is_err() {
                    return;
                }
            }
        };
        let thread = thread::Builder::new().name("sample".into()).spawn(run);
        let thread = thread.map_err(|error| super::output::plain("starting a thread", &error))?;
        Ok(Sampled { stop, thread: Some(thread) })
    }

    /// The target has gone, or cannot be looked at any more.
    pub fn has_ended(&self) -> bool {
        self.thread.as_ref().is_some_and(JoinHandle::is_finished)
    }
}

impl Drop for Sampled {
    fn drop(&mut self) {
        self.stop.store(true, Release);
        if let Some(Err(panic)) = self.thread.take().map(JoinHandle::join)
            && !thread::panicking()
        {
            std::panic::resume_unwind(panic);
        }
    }
}
