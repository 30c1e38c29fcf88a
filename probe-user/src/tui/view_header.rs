//! Two lines: who is watched and how, and the figures.

use super::state::Screen;
use crate::model::{End, Mode};
use crate::present::cost;
use crate::present::escape::escape;
use crate::present::samples::meanwhile;
use crate::present::table::phases;
use crate::present::units::{count, counted, span};
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

pub fn draw(frame: &mut Frame, area: Rect, screen: &Screen) {
    let [first, second] = [0, 1].map(|y| Rect { y: area.y + y, height: 1, ..area });
    frame.render_widget(who(screen), first);
    frame.render_widget(figures(screen, usize::from(second.width)), second);
}

fn who(screen: &Screen) -> Line<'static> {
    let theme = screen.theme;
    let exe = escape(&screen.target.exe).into_owned();
    let name = exe.rsplit('/').next().unwrap_or(&exe).to_owned();
    let model = screen.model();
    let mode = match model.mode() {
        Mode::Snapshots => "snapshots only".into(),
        Mode::Sample { hz } => format!("sampled {hz} times a second, no probes"),
        mode => meanwhile(model).unwrap_or_else(|| format!("probes ({})", mode.as_str())),
    };
    let mut spans = vec![
        Span::styled(format!(" {name}"), theme.title()),
        Span::styled(format!(" (pid {})", screen.target.pid), theme.strong()),
    ];
    let plain_mode = model.mode() != Mode::Snapshots;
    spans.push(Span::styled(format!("  {mode}"), if plain_mode { theme.faint() } else { theme.warn() }));
    if let Some(because) = &screen.target.because {
        spans.push(Span::styled(format!(": {}", escape(because)), theme.faint()));
    }
    if let Some((_, end)) = screen.ended() {
        let words = match end {
            End::TargetExited { status: Some(status) } => format!("the target has ended ({status})"),
            End::TargetExited { status: None } => "the target has ended".into(),
            End::Execed => "the target has exec'ed and is another program now".into(),
            other => escape(other.reason()).into_owned(),
        };
        spans.push(Span::styled(format!("  {words}; q quits"), theme.warn()));
    } else if screen.paused() {
        spans.push(Span::styled("  PAUSED", theme.warn()));
    }
    Line::from(spans)
}

/// A number, its words, and how well it can be done without: the highest goes first where there is no room.
struct Figure {
    value: Span<'static>,
    what: Span<'static>,
    spare: u8,
}

/// As many as there is room for: what is cut off in the middle says something else.
fn fitting(mut figures: Vec<Figure>, width: usize) -> Line<'static> {
    let wide = |figures: &[Figure]| figures.iter().map(|f| f.value.width() + f.what.width()).sum::<usize>();
    // Each ends in blanks that nobody misses.
    while figures.len() > 1 && wide(&figures) > width + 2 {
        let least = figures.iter().enumerate().max_by_key(|(_, figure)| figure.spare);
        let Some(i) = least.map(|(i, _)| i) else { break };
        figures.remove(i);
    }
    let spans = figures.into_iter().flat_map(|figure| [figure.value, figure.what]);
    Line::from([Span::raw(" ")].into_iter().chain(spans).collect::<Vec<_>>())
}

fn figures(screen: &Screen, width: usize) -> Line<'static> {
    let theme = screen.theme;
    let model = screen.model();
    let totals = model.totals();
    let mut all = Vec::new();
    let mut figure = |value: String, what: &str, style, spare| {
        let what = Span::styled(format!("{what}   "), theme.faint());
        all.push(Figure { value: Span::styled(value, style), what, spare });
    };
    let live = counted(model.live_count() as u64, "task");
    let words = phases(model).words();
    let long = live.chars().count() + words.chars().count() > width / 2;
    let words = if words.is_empty() || long { String::new() } else { format!(": {words}") };
    figure(live, &words, theme.strong(), 0);
    match screen.poll_rate() {
        Some(rate) => figure(count(rate), " polls/s", theme.strong(), 1),
        None if totals.polls.is_none() => figure("-".into(), " polls/s", theme.strong(), 4),
        None => {}
    }
    if totals.polls.is_some() {
        let style = if totals.lost > 0 { theme.warn() } else { theme.strong() };
        figure(count(totals.lost), " lost", style, if totals.lost > 0 { 1 } else { 5 });
    }
    match screen.diagnosis().findings().len() as u64 {
        0 => {}
        1 => figure("1".into(), " finding (f)", theme.warn(), 1),
        many => figure(count(many), " findings (f)", theme.warn(), 1),
    }
    // As in the summary: since watching began.
    if let Some(share) = model.cost().and_then(cost::share) {
        figure(format!("probes {share}"), " of its CPU time", theme.strong(), 2);
    }
    if let Some(own) = screen.own_share() {
        figure(format!("us {own:.1} %"), " of a CPU", theme.strong(), 4);
    }
    figure(span(model.now_ns().saturating_sub(model.started_ns())), " watched", theme.strong(), 3);
    fitting(all, width.saturating_sub(1))
}
