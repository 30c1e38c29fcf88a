//! The screen as a whole.

use super::state::{Screen, Typed, View};
use super::{view_card, view_findings, view_header, view_help, view_table};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout};
use ratatui::text::{Line, Span};

pub fn draw(frame: &mut Frame, screen: &mut Screen) {
    let [head, body, foot] =
        Layout::vertical([Constraint::Length(2), Constraint::Min(3), Constraint::Length(1)])
            .areas(frame.area());
    view_header::draw(frame, head, screen);
    match screen.view {
        View::Table => view_table::draw(frame, body, screen),
        View::Card(id) => view_card::draw(frame, body, screen, id),
        View::Findings => view_findings::draw(frame, body, screen),
    }
    frame.render_widget(footer(screen), foot);
    if screen.help {
        view_help::draw(frame, body, screen);
    }
}

fn footer(screen: &Screen) -> Line<'static> {
    let theme = screen.theme;
    if let Some(typing) = &screen.typing {
        let what = match typing.what {
            Typed::Filter => " filter: ",
            Typed::Search => " search: ",
        };
        let text = crate::present::escape::escape(&typing.text).into_owned();
        return Line::from(vec![
            Span::styled(what, theme.title()),
            Span::raw(text),
            Span::styled("▏", theme.title()),
        ]);
    }
    if let Some(note) = &screen.note {
        let note = crate::present::escape::escape(note).into_owned();
        return Line::styled(format!(" {note}"), theme.warn());
    }
    let keys: &[(&str, &str)] = match screen.view {
        View::Table => &[
            ("↑↓", "move"),
            ("Enter", "card"),
            ("←→", "sort"),
            ("i", "invert"),
            ("f", "findings"),
            ("/", "filter"),
            ("s", "search"),
            ("space", "pause"),
            ("?", "help"),
            ("q", "quit"),
        ],
        View::Card(_) | View::Findings => {
            &[("Esc", "back"), ("↑↓", "scroll"), ("space", "pause"), ("?", "help"), ("q", "quit")]
        }
    };
    let mut spans = vec![Span::raw(" ")];
    for (key, what) in keys {
        spans.push(Span::styled(*key, theme.key()));
        spans.push(Span::styled(format!(" {what}  "), theme.faint()));
    }
    Line::from(spans)
}
