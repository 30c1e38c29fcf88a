//! The task table. Only the rows that fit are formatted.

use super::rows::Column;
use super::state::Screen;
use crate::decode::TaskId;
use crate::model::TaskEntry;
use crate::present::card::phase_word;
use crate::present::names;
use crate::present::places::ending;
use crate::present::samples::busy_span;
use crate::present::units::{count, known_span, or_dash, span};
use ratatui::Frame;
use ratatui::layout::{Constraint, Rect};
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::{Block, Borders, Cell, Row, Table};

/// Columns in the order in which room is found for them, after name and place; the one that is sorted by comes first.
const KEPT: [Column; 7] =
    [Column::State, Column::Idle, Column::Id, Column::Polls, Column::Busy, Column::Total, Column::Sched];
/// What name and place take at least, before there is room for others.
const NAME: u16 = 26;
const LOCATION: u16 = 16;
/// A narrower place is only a part of one.
const LEAST: u16 = 8;

pub fn draw(frame: &mut Frame, area: Rect, screen: &mut Screen) {
    // Borders above and below, and the line of titles.
    screen.fit(usize::from(area.height.saturating_sub(3)));
    let screen = &*screen;
    let theme = screen.theme;
    let columns = columns(area.width, screen.order.column);
    let header = columns.iter().map(|column| {
        let arrow = if screen.order.descending { " ▼" } else { " ▲" };
        let sorted = screen.order.column == *column;
        let title = format!("{}{}", column.title(), if sorted { arrow } else { "" });
        let style = if sorted { theme.sorted() } else { theme.strong() };
        Cell::from(align(*column, Span::styled(title, style)))
    });
    let texts = Texts::of(screen, area.width, &columns);
    let rows = screen.visible().iter().enumerate().map(|(i, id)| {
        let row = row(*id, &columns, texts, screen);
        if screen.top + i == screen.selected { row.style(theme.selected()) } else { row }
    });
    let widths: Vec<_> = columns.iter().map(|column| texts.width(*column)).collect();
    let table = Table::new(rows, widths).header(Row::new(header)).block(
        Block::new()
            .borders(Borders::TOP | Borders::BOTTOM)
            .border_style(theme.faint())
            .title(title(screen, &columns)),
    );
    frame.render_widget(table, area);
}

fn columns(area: u16, sorted: Column) -> Vec<Column> {
    let mut room = area.saturating_sub(NAME + 1 + LOCATION);
    let mut kept = vec![Column::Name, Column::Location];
    let first = KEPT.into_iter().filter(|column| *column == sorted);
    for column in first.chain(KEPT.into_iter().filter(|column| *column != sorted)) {
        let Some(left) = room.checked_sub(number_width(column) + 1) else { break };
        room = left;
        kept.push(column);
    }
    Column::ALL.into_iter().filter(|column| kept.contains(column)).collect()
}

fn title(screen: &Screen, columns: &[Column]) -> Line<'static> {
    let theme = screen.theme;
    let total = screen.rows.len() as u64;
    let at = if total == 0 { 0 } else { screen.selected as u64 + 1 };
    let mut spans = vec![
        Span::styled(" Tasks ", theme.title()),
        Span::raw(format!("{} of {} ", count(at), count(total))),
    ];
    if !screen.wanted.is_empty() {
        let text = crate::present::escape::escape(screen.wanted.text()).into_owned();
        spans.push(Span::styled(format!(" filter: {text} "), theme.warn()));
    }
    if !columns.contains(&screen.order.column) {
        spans.push(Span::styled(
            format!(" by {} ", screen.order.column.title().to_lowercase()),
            theme.faint(),
        ));
    }
    if !screen.show_ended {
        spans.push(Span::styled(" ended ones hidden ", theme.faint()));
    }
    Line::from(spans)
}

/// Of a column whose text has a bound.
fn number_width(column: Column) -> u16 {
    match column {
        Column::Id | Column::State | Column::Sched => 9,
        Column::Total | Column::Busy | Column::Idle | Column::Polls => 10,
        Column::Name | Column::Location => 0,
    }
}

/// Widths of name and place: each as wide as what is shown, as far as there is room.
#[derive(Clone, Copy)]
struct Texts {
    name: u16,
    location: u16,
}

impl Texts {
    fn of(screen: &Screen, area: u16, columns: &[Column]) -> Texts {
        let numbers: u16 = columns.iter().map(|column| number_width(*column)).sum();
        let gaps = columns.len().saturating_sub(1) as u16;
        let room = area.saturating_sub(numbers + gaps);
        let tasks = || screen.visible().iter().filter_map(|id| screen.model().get(*id));
        let longest = |texts: &mut dyn Iterator<Item = String>| {
            texts.map(|text| text.chars().count()).max().unwrap_or(0).min(usize::from(u16::MAX)) as u16
        };
        let place = longest(&mut tasks().filter_map(|task| location(task, screen)));
        let name = longest(&mut tasks().map(|task| names::function(&task.name)));
        // The place gives way down to its share, the name takes what is left.
        let share = (u32::from(room) * u32::from(LOCATION) / u32::from(NAME + LOCATION)) as u16;
        let location = place.max(LEAST).min(room.saturating_sub(name).max(share));
        Texts { name: room.saturating_sub(location), location }
    }

    fn width(self, column: Column) -> Constraint {
        Constraint::Length(match column {
            Column::Name => self.name,
            Column::Location => self.location,
            column => number_width(column),
        })
    }
}

fn align<'a>(column: Column, span: Span<'a>) -> Text<'a> {
    let text = Text::from(Line::from(span));
    match column {
        Column::State | Column::Name | Column::Location => text,
        _ => text.right_aligned(),
    }
}

fn row(id: TaskId, columns: &[Column], texts: Texts, screen: &Screen) -> Row<'static> {
    let theme = screen.theme;
    // It may have been let go since the rows were made.
    let Some(task) = screen.model().get(id) else {
        return Row::new([Cell::from(format!("{:>9}", id.id))]).style(theme.faint());
    };
    let style = if task.has_ended() { theme.faint() } else { ratatui::style::Style::new() };
    let cells = columns.iter().map(|column| {
        let text = cell(*column, task, texts, screen);
        let span = match column {
            Column::State => Span::styled(text, theme.phase(task.phase)),
            _ => Span::raw(text),
        };
        Cell::from(align(*column, span))
    });
    Row::new(cells).style(style)
}

fn cell(column: Column, task: &TaskEntry, texts: Texts, screen: &Screen) -> String {
    let now = screen.now_ns();
    match column {
        Column::Id => task.id.id.to_string(),
        Column::State => phase_word(task.phase).into(),
        Column::Name => names::column(&task.name, texts.name.into()),
        Column::Total => known_span(task.age(now)),
        Column::Busy => {
            let busy = task.busy_ns.filter(|_| task.unmeasured == 0 || task.busy_ns != Some(0));
            or_dash(busy.map(|ns| busy_span(ns, screen.model().mode())))
        }
        Column::Sched => or_dash(task.wakes.delays.mean_ns().map(span)),
        Column::Idle => or_dash(task.idle_for(now).map(known_span)),
        Column::Polls => or_dash(task.polls.map(count)),
        Column::Location => {
            or_dash(location(task, screen).map(|place| ending(&place, texts.location.into())))
        }
    }
}

fn location(task: &TaskEntry, screen: &Screen) -> Option<String> {
    let place = task.path()?.place?;
    screen.model().frames().get(place).line.as_ref().map(|line| screen.places.show(line))
}
