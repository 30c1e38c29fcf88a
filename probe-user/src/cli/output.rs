//! Where output goes: machine output to stdout, words for people to stderr.

use super::args::{Color, Common};
use super::source::Progress;
use super::{Exit, Failure};
use crate::present::escape::escape;
use crate::present::paint::Paint;
use std::fs::{self, File};
use std::io::{self, BufWriter, IsTerminal, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Why a command ends early.
#[derive(Debug)]
pub enum Quit {
    Failure(Failure),
    /// The reader of our stdout has gone (`| head`): all is well.
    PipeClosed,
}

impl From<Failure> for Quit {
    fn from(failure: Failure) -> Quit {
        Quit::Failure(failure)
    }
}

/// An error of writing output; no other kind passes here.
impl From<io::Error> for Quit {
    fn from(error: io::Error) -> Quit {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Quit::PipeClosed;
        }
        Quit::Failure(plain("writing the output", &error))
    }
}

/// A failure that is neither the user's nor the target's fault.
pub fn plain(tried: &str, error: &io::Error) -> Failure {
    Failure { exit: Exit::Plain, tried: tried.into(), why: error.to_string(), next: String::new() }
}

/// FILE could not be written.
fn unwritable(path: &Path, error: &io::Error) -> Failure {
    let exit = if error.kind() == io::ErrorKind::PermissionDenied { Exit::NotPermitted } else { Exit::Plain };
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let next = match (error.kind(), directory) {
        (io::ErrorKind::NotFound, Some(directory)) => format!("mkdir -p {}", directory.display()),
        _ => "-o another FILE, or - for stdout".to_owned(),
    };
    Failure { exit, tried: format!("writing {}", path.display()), why: error.to_string(), next }
}

/// Large, so that 100,000 tasks are not 100,000 system calls.
const BUFFER: usize = 1 << 20;

pub type Output = BufWriter<Box<dyn Write>>;

pub fn stdout() -> Output {
    BufWriter::with_capacity(BUFFER, Box::new(io::stdout().lock()))
}

/// FILE, or stdout.
pub fn to(file: Option<&Path>) -> Result<Output, Failure> {
    let Some(path) = file else { return Ok(stdout()) };
    if path == Path::new("-") {
        return Ok(stdout());
    }
    let file = File::create(path).map_err(|error| unwritable(path, &error))?;
    Ok(BufWriter::with_capacity(BUFFER, Box::new(file)))
}

/// FILE, which is replaced only once all is written; stdout where there is none or it is `-`.
pub fn whole(file: Option<&Path>, write: impl FnOnce(&mut Output) -> io::Result<()>) -> Result<(), Quit> {
    let Some(path) = file.filter(|path| *path != Path::new("-")) else {
        let mut out = stdout();
        write(&mut out)?;
        return Ok(out.flush()?);
    };
    let failed = |error: io::Error| unwritable(path, &error);
    // Through a link to what it stands for.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    if fs::metadata(&path).is_ok_and(|meta| !meta.is_file()) {
        // A device or a pipe is written to; replacing it would break the machine.
        let mut out = to(Some(&path))?;
        return write(&mut out).and_then(|()| out.flush()).map_err(|error| failed(error).into());
    }
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let new = tempfile::Builder::new()
        // As any new file's, but for the umask.
        .permissions(fs::Permissions::from_mode(0o666))
        .tempfile_in(directory.unwrap_or(Path::new(".")))
        .map_err(failed)?;
    let copy = new.as_file().try_clone().map_err(failed)?;
    let mut out: Output = BufWriter::with_capacity(BUFFER, Box::new(copy));
    write(&mut out).and_then(|()| out.flush()).map_err(failed)?;
    new.persist(&path).map_err(|error| failed(error.error))?;
    Ok(())
}

/// Whether to colour what goes to a stream.
pub fn paint(common: &Common, is_terminal: bool) -> Paint {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    let color = match common.color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => is_terminal && !dumb && !set("NO_COLOR"),
    };
    Paint { color }
}

/// Words for people.
pub struct Say {
    quiet: bool,
    paint: Paint,
    /// Named first in each warning: of several files one would not know which.
    about: Option<String>,
}

impl Say {
    pub fn new(common: &Common) -> Say {
        Say { quiet: common.quiet, paint: paint(common, io::stderr().is_terminal()), about: None }
    }

    /// The same, whose warnings are about this file.
    pub fn about(&self, file: &str) -> Say {
        Say { about: Some(file.to_owned()), ..*self }
    }

    /// One line on stderr, unless `-q`.
    pub fn note(&self, text: &str) {
        if !self.quiet {
            self.write(&format!("{} {}", self.paint.dim("async-inspect:"), escape(text)));
        }
    }

    pub fn warn(&self, text: &str) {
        if !self.quiet {
            let warning = self.paint.warn("warning:");
            let about = self.about.as_ref().map_or_else(String::new, |file| format!("{}: ", escape(file)));
            self.write(&format!("{} {warning} {about}{}", self.paint.dim("async-inspect:"), escape(text)));
        }
    }

    pub fn failure(&self, failure: &Failure) {
        let name = self.paint.dim("async-inspect:");
        let tried = escape(&failure.tried);
        // Line by line: the candidates of an ambiguous name are a list.
        let mut why = failure.why.lines();
        let first = escape(why.next().unwrap_or_default());
        self.write(&format!("{name} {}: {first}", self.paint.bold(tried)));
        why.for_each(|line| self.write(&escape(line)));
        for (i, next) in failure.next.lines().enumerate() {
            let lead = if i == 0 { "try:" } else { "    " };
            self.write(&format!("  {} {}", self.paint.bold(lead), escape(next)));
        }
    }

    fn write(&self, line: &str) {
        // A closed stderr is no reason to fail.
        let _ = writeln!(io::stderr(), "{line}");
    }
}

/// Progress on stderr: redrawn on a terminal, else one line once it has taken a second.
pub struct ProgressLine {
    quiet: bool,
    terminal: bool,
    state: Mutex<LineState>,
}

struct LineState {
    since: Instant,
    drawn: Option<Instant>,
    said: String,
}

/// On a terminal, quick steps are not worth a flicker.
const FIRST: Duration = Duration::from_millis(150);
const REDRAW: Duration = Duration::from_millis(80);
const SLOW: Duration = Duration::from_secs(1);

impl ProgressLine {
    pub fn new(common: &Common) -> ProgressLine {
        let state = LineState { since: Instant::now(), drawn: None, said: String::new() };
        ProgressLine { quiet: common.quiet, terminal: io::stderr().is_terminal(), state: Mutex::new(state) }
    }

    /// Wipes the line.
    pub fn done(&self) {
        if let Ok(mut state) = self.state.lock()
            && self.terminal
            && state.drawn.take().is_some()
        {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

impl Progress for ProgressLine {
    fn step(&self, what: &str, done: u64, total: u64) {
        if self.quiet {
            return;
        }
        // Another thread is drawing: this step is not worth waiting for.
        let Ok(mut state) = self.state.try_lock() else { return };
        let now = Instant::now();
        let elapsed = now - state.since;
        if self.terminal {
            if elapsed >= FIRST && state.drawn.is_none_or(|drawn| now - drawn >= REDRAW) {
                let percent = done.saturating_mul(100).checked_div(total).unwrap_or(0).min(100);
                let _ = write!(io::stderr(), "\r\x1b[K{}… {percent} %", escape(what));
                state.drawn = Some(now);
            }
        } else if elapsed >= SLOW && state.said != what {
            let _ = writeln!(io::stderr(), "async-inspect: {}…", escape(what));
            state.said = what.into();
        }
    }
}

impl Drop for ProgressLine {
    fn drop(&mut self) {
        self.done();
    }
}
