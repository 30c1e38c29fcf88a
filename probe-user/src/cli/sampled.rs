//! The thread that looks at a target which no probe is in.

use super::Failure;
use super::source::LookStream;
use crate::model::Update;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::thread::{self, JoinHandle};

/// Looks until it is dropped.
pub(super) struct Sampled {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Sampled {
    pub fn start(mut stream: Box<dyn LookStream>, queue: Sender<Update>) -> Result<Sampled, Failure> {
        let stop = Arc::new(AtomicBool::new(false));
        let asked = stop.clone();
        let run = move || {
            while !asked.load(Ordering::Acquire) {
                // The watcher sees by itself when the target has ended.
                let Some(round) = stream.round() else { return };
                if queue.send(Update::Samples(round)).is_err() {
                    return;
                }
            }
        };
        let thread = thread::Builder::new().name("sample".into()).spawn(run);
        let thread = thread.map_err(|error| super::output::plain("starting a thread", &error))?;
        Ok(Sampled { stop, thread: Some(thread) })
    }
}

impl Drop for Sampled {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(Err(panic)) = self.thread.take().map(JoinHandle::join)
            && !thread::panicking()
        {
            std::panic::resume_unwind(panic);
        }
    }
}
