//! The keys, and what the marks mean.

use super::keys::HELP;
use super::state::Screen;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Paragraph};

const MEANING: [(&str, &str); 7] = [
    ("Total", "since the task was first seen"),
    ("Busy", "time in polls since we look"),
    ("Sched", "from a wake to the poll that follows, on average"),
    ("Idle", "since its last poll"),
    (">  ~", "at least; about (from snapshots)"),
    ("gone", "it has ended, and how was not seen"),
    ("-", "not known"),
];
const WIDTH: u16 = 78;

pub fn draw(frame: &mut Frame, body: Rect, screen: &mut Screen) {
    let theme = screen.theme;
    let line = |(key, what): &(&'static str, &'static str)| {
        Line::from(vec![Span::styled(format!("  {key:<12}"), theme.key()), Span::raw(*what)])
    };
    let mut lines: Vec<Line> = HELP.iter().map(line).collect();
    lines.push(Line::default());
    lines.extend(MEANING.iter().map(line));
    let height = (lines.len() as u16 + 2).min(body.height);
    let width = WIDTH.min(body.width);
    let area =
        Rect { x: body.x + (body.width - width) / 2, y: body.y + (body.height - height) / 2, width, height };
    let fits = usize::from(height.saturating_sub(2));
    let last = lines.len().saturating_sub(fits);
    screen.help_top = screen.help_top.min(last);
    let top = screen.help_top;
    let title = match last {
        0 => " Help ".to_owned(),
        _ => format!(" Help, lines {} to {} of {} (↑↓) ", top + 1, top + fits, lines.len()),
    };
    let window: Vec<Line> = lines.into_iter().skip(top).take(fits).collect();
    frame.render_widget(Clear, area);
    let block = Block::bordered().title(Span::styled(title, theme.title())).border_style(theme.faint());
    frame.render_widget(Paragraph::new(window).block(block), area);
}
