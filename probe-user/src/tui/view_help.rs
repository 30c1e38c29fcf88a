//! The keys, and what the marks mean.

use super::keys::HELP;
use super::theme::Theme;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Paragraph};

const MEANING: [(&str, &str); 6] = [
    ("Total", "since the task was first seen"),
    ("Busy", "time in polls since we look"),
    ("Sched", "from a wake to the poll that follows, on average"),
    ("Idle", "since its last poll"),
    (">  ~", "at least; about (from snapshots)"),
    ("-", "not known"),
];
const WIDTH: u16 = 78;

pub fn draw(frame: &mut Frame, body: Rect, theme: Theme) {
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
    frame.render_widget(Clear, area);
    let block = Block::bordered().title(Span::styled(" Help ", theme.title())).border_style(theme.faint());
    frame.render_widget(Paragraph::new(lines).block(block), area);
}
