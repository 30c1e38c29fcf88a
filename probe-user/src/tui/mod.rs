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
mod view_findings;
mod view_header;
mod view_help;
mod view_table;

#[cfg(test)]
mod tests;

pub use state::{Screen, Target};

use crate::model::{Aside, End, Event, Update};
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::event::{self, Event as Input, KeyEventKind};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use ratatui::{DefaultTerminal, Terminal};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::io;
use std::mem::ManuallyDrop;
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
    restore_on_panic();
    let restore = Restore;
    enable_raw_mode()?;
    execute!(io::stdout(), EnterAlternateScreen)?;
    // Never dropped: where the terminal has gone, ratatui's drop would panic over a message it cannot write.
    // `restore` does all that it would do.
    let mut terminal = ManuallyDrop::new(Terminal::new(CrosstermBackend::new(io::stdout()))?);
    let end = watch(&mut terminal, screen, next);
    drop(restore);
    end
}

struct Restore;

impl Drop for Restore {
    fn drop(&mut self) {
        restore();
    }
}

/// Unlike ratatui's own, says nothing where it fails: the terminal may be gone, and a message that cannot be
/// written would be a panic within a panic.
fn restore() {
    let _ = disable_raw_mode();
    let _ = execute!(io::stdout(), LeaveAlternateScreen, Show);
}

/// The panic's message must not be drawn into the screen.
fn restore_on_panic() {
    let next = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        restore();
        next(panic);
    }));
}

/// Waits a little for keys; false when the terminal has hung up. crossterm (0.29) must not be asked then: it
/// reads the end of the file again and again, and never returns.
fn await_keys() -> io::Result<bool> {
    let stdin = io::stdin();
    let mut terminal = [PollFd::new(&stdin, PollFlags::IN)];
    let wait = Timespec { tv_sec: 0, tv_nsec: KEYS.subsec_nanos().into() };
    match poll(&mut terminal, Some(&wait)) {
        Ok(_) => {}
        Err(Errno::INTR) => return Ok(true),
        Err(error) => return Err(error.into()),
    }
    Ok(!terminal[0].revents().intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL))
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
        if !await_keys()? {
            return Ok((screen.now_ns(), End::Interrupted));
        }
        while event::poll(Duration::ZERO)? {
            asked = true;
            match event::read()? {
                Input::Key(key) if key.kind != KeyEventKind::Release => screen.key(key),
                _ => {}
            }
        }
        if screen.quits() {
            return Ok(screen.ended().cloned().unwrap_or((screen.now_ns(), End::Left)));
        }
        let began = Instant::now();
        while screen.ended().is_none() && began.elapsed() < AT_ONCE {
            let Some(update) = next(Duration::ZERO) else { break };
            match screen.apply(update, &mut events) {
                // The user may want to look at what is left of a target that has ended by itself.
                Some(Aside::End { t_ns, end }) if !end.is_over() => {
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
