//! The live screen.
//!
//! [`state::Screen`] is what the user has chosen to see, and knows no terminal; the `view_*` files draw it and
//! change nothing; `rows` picks and sorts the tasks. Only visible rows are ever formatted, and sorting is rationed,
//! so that 100,000 tasks do not make it slow.

mod keys;
mod rows;
mod state;
mod theme;
mod view;
mod view_card;
mod view_header;
mod view_help;
mod view_table;

#[cfg(test)]
mod tests;

pub use state::{Screen, Target};

use crate::model::{Aside, End, Event, Update};
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event as Input, KeyEventKind};
use std::io;
use std::time::{Duration, Instant};

/// How long to wait for a key before looking at the target again.
const KEYS: Duration = Duration::from_millis(20);
/// Between two drawings that no key asked for.
const REDRAW: Duration = Duration::from_millis(200);
/// Updates taken in one go, so that keys are answered whatever the target does.
const AT_ONCE: Duration = Duration::from_millis(50);

/// Shows the screen until the user quits or the watch ends. A panic restores the terminal.
///
/// `next` gives the next update, or none within the time given.
///
/// # Errors
/// When the terminal cannot be used.
pub fn run(screen: &mut Screen, next: &mut dyn FnMut(Duration) -> Option<Update>) -> io::Result<(u64, End)> {
    let mut terminal = ratatui::try_init()?;
    let restore = Restore;
    let end = watch(&mut terminal, screen, next);
    drop(restore);
    end
}

struct Restore;

impl Drop for Restore {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

fn watch(
    terminal: &mut DefaultTerminal,
    screen: &mut Screen,
    next: &mut dyn FnMut(Duration) -> Option<Update>,
) -> io::Result<(u64, End)> {
    let mut drawn: Option<Instant> = None;
    let mut events: Vec<Event> = Vec::new();
    loop {
        let mut asked = false;
        let mut wait = KEYS;
        while event::poll(wait)? {
            wait = Duration::ZERO;
            asked = true;
            match event::read()? {
                Input::Key(key) if key.kind != KeyEventKind::Release => screen.key(key),
                _ => {}
            }
        }
        if screen.quits() {
            return Ok(screen.ended().cloned().unwrap_or((screen.now_ns(), End::Interrupted)));
        }
        let began = Instant::now();
        while screen.ended().is_none() && began.elapsed() < AT_ONCE {
            let Some(update) = next(Duration::ZERO) else { break };
            match screen.apply(update, &mut events) {
                // The user may want to look at what is left of a target that has ended by itself.
                Some(Aside::End { t_ns, end }) if !matches!(end, End::TargetExited { .. }) => {
                    return Ok((t_ns, end));
                }
                _ => events.clear(),
            }
        }
        if asked || drawn.is_none_or(|drawn| drawn.elapsed() >= REDRAW) {
            screen.refresh(asked);
            terminal.draw(|frame| view::draw(frame, screen))?;
            drawn = Some(Instant::now());
        }
    }
}
