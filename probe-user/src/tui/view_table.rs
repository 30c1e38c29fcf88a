//! The task table. Only the rows that fit are formatted.

use super::rows::Column;
use super::state::Screen;
use crate::decode::TaskId;
use crate::model::TaskEntry;
use crate::present::card::phase_word;
use crate::present::names;
use crate::present::samples::busy_span;
use crate::present::units::{count, known_span, or_dash, span};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::{Block, Borders, Cell, Row, Table};

/// Below this width, columns that tell least are left out.
const WIDE: u16 = 110;

pub fn draw(frame: &mut Frame, area: Rect, screen: &mut Screen) {
    // Borders above and below, and the line of titles.
    screen.fit(usize::from(area.height.saturating_sub(3)));
    let screen = &*screen;
    let theme = screen.theme;
    let columns = columns(area.width);
    let header = columns.iter().map(|column| {
        let arrow = if screen.order.descending { " ▼" } else { " ▲" };
        let sorted = screen.order.column == *column;
        let title = format!("{}{}", column.title(), if sorted { arrow } else { "" });
        let style = if sorted { theme.sorted() } else { theme.strong() };
        Cell::from(align(*column, Span::styled(title, style)))
    });
    let name_width = name_width(area.width, &columns);
    let rows = screen.visible().iter().enumerate().map(|(i, id)| {
        let row = row(*id, &columns, name_width, screen);
        if screen.top + i == screen.selected { row.style(theme.selected()) } else { row }
    });
    let widths: Vec<_> = columns.iter().map(|column| width(*column)).collect();
    let table = Table::new(rows, widths).header(Row::new(header)).block(
        Block::new().borders(Borders::TOP | Borders::BOTTOM).border_style(theme.faint()).title(title(screen)),
    );
    frame.render_widget(table, area);
}

fn columns(width: u16) -> Vec<Column> {
    let narrow = |column: &Column| !matches!(column, Column::Total | Column::Sched | Column::Busy);
    Column::ALL.into_iter().filter(|column| width >= WIDE || narrow(column)).collect()
}

fn title(screen: &Screen) -> Line<'static> {
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
    if !screen.show_ended {
        spans.push(Span::styled(" ended ones hidden ", theme.faint()));
    }
    Line::from(spans)
}

fn width(column: Column) -> Constraint {
    match column {
        Column::Id => Constraint::Length(9),
        Column::State => Constraint::Length(9),
        Column::Total | Column::Busy | Column::Idle => Constraint::Length(10),
        Column::Sched => Constraint::Length(9),
        Column::Polls => Constraint::Length(10),
        Column::Name => Constraint::Fill(5),
        Column::Location => Constraint::Fill(4),
    }
}

/// What the name column will get; ratatui would cut without a mark.
fn name_width(area: u16, columns: &[Column]) -> usize {
    let widths: Vec<_> = columns.iter().map(|column| width(*column)).collect();
    let cells = Layout::horizontal(widths).spacing(1).split(Rect::new(0, 0, area, 1));
    let name = columns.iter().position(|column| *column == Column::Name);
    name.and_then(|at| cells.get(at)).map_or(0, |cell| usize::from(cell.width))
}

fn align<'a>(column: Column, span: Span<'a>) -> Text<'a> {
    let text = Text::from(Line::from(span));
    match column {
        Column::State | Column::Name | Column::Location => text,
        _ => text.right_aligned(),
    }
}

fn row(id: TaskId, columns: &[Column], name_width: usize, screen: &Screen) -> Row<'static> {
    let theme = screen.theme;
    // It may have been let go since the rows were made.
    let Some(task) = screen.model().get(id) else {
        return Row::new([Cell::from(format!("{:>9}", id.id))]).style(theme.faint());
    };
    let style = if task.has_ended() { theme.faint() } else { ratatui::style::Style::new() };
    let cells = columns.iter().map(|column| {
        let text = cell(*column, task, name_width, screen);
        let span = match column {
            Column::State => Span::styled(text, theme.phase(task.phase)),
            _ => Span::raw(text),
        };
        Cell::from(align(*column, span))
    });
    Row::new(cells).style(style)
}

fn cell(column: Column, task: &TaskEntry, name_width: usize, screen: &Screen) -> String {
    let now = screen.now_ns();
    match column {
        Column::Id => task.id.id.to_string(),
        Column::State => phase_word(task.phase).into(),
        Column::Name => names::fit(&task.name, name_width),
        Column::Total => known_span(task.age(now)),
        Column::Busy => {
            let busy = task.busy_ns.filter(|_| task.unmeasured == 0 || task.busy_ns != Some(0));
            or_dash(busy.map(|ns| busy_span(ns, screen.model().mode())))
        }
        Column::Sched => or_dash(task.wakes.delays.mean_ns().map(span)),
        Column::Idle => or_dash(task.idle_for(now).map(known_span)),
        Column::Polls => or_dash(task.polls.map(count)),
        Column::Location => or_dash(location(task, screen)),
    }
}

fn location(task: &TaskEntry, screen: &Screen) -> Option<String> {
    let place = task.path()?.place?;
    screen.model().frames().get(place).line.as_ref().map(|line| screen.places.show(line))
}
