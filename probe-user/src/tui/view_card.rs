//! One task: its card, and its whole await tree.

use super::state::Screen;
use crate::decode::TaskId;
use crate::present::card::{Card, CardInput, card, has_moved};
use crate::present::tree::{self, TreeLine};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Paragraph, Wrap};

pub fn draw(frame: &mut Frame, area: Rect, screen: &mut Screen, id: TaskId) {
    let theme = screen.theme;
    let border = |title: &'static str| {
        Block::new()
            .borders(Borders::TOP)
            .border_style(theme.faint())
            .title(Span::styled(title, theme.title()))
    };
    let model = screen.model();
    let Some(entry) = model.get(id) else {
        let gone = Paragraph::new(format!("\n  task #{} ended a while ago", id.id)).block(border(" Task "));
        return frame.render_widget(gone, area);
    };
    let task = model.in_snapshot(id);
    let kind = model.times_of(&entry.name);
    let input = CardInput {
        id,
        name: &entry.name,
        entry: Some(entry),
        task,
        frames: model.frames(),
        places: &screen.places,
        sources: &*screen.sources,
        busy: model.busy(entry),
        kind: kind.as_ref(),
        now_ns: Some(screen.now_ns()),
    };
    let moved = if has_moved(&input) { ", before its last move" } else { "" };
    let card = card(input);
    let text = card_lines(&card, screen);
    let tree = task.and_then(|task| task.tree.as_ref());
    let (lines, left_out) =
        tree.map_or((vec![], 0), |tree| tree::lines(tree, model.frames(), &screen.places));
    let wanted = 1 + height(&text, area.width);
    let paragraph = Paragraph::new(text).wrap(Wrap { trim: false }).block(border(" Task "));
    // The card takes what it needs, but leaves the tree at least a third.
    let wanted = wanted.min(usize::from(area.height) * 2 / 3);
    let [top, bottom] = Layout::vertical([Constraint::Length(wanted as u16), Constraint::Min(0)]).areas(area);
    frame.render_widget(paragraph, top);

    let column = tree::place_column(&lines);
    let mut shown: Vec<Line> = lines.iter().map(|line| tree_line(line, column, screen)).collect();
    if left_out > 0 {
        shown.push(Line::styled(format!("    … and {left_out} more"), theme.faint()));
    }
    if shown.is_empty() {
        let why = if entry.has_ended() { "  it has ended" } else { "  no snapshot shows its tree" };
        shown.push(Line::styled(why, theme.faint()));
    }
    let fits = usize::from(bottom.height.saturating_sub(1));
    let last = shown.len().saturating_sub(fits);
    screen.card_top = screen.card_top.min(last);
    let title = if last == 0 {
        format!(" Await tree{moved} ")
    } else {
        format!(
            " Await tree{moved}, lines {} to {} of {} ",
            screen.card_top + 1,
            screen.card_top + fits,
            shown.len()
        )
    };
    let block = Block::new()
        .borders(Borders::TOP)
        .border_style(theme.faint())
        .title(Span::styled(title, theme.title()));
    let window: Vec<Line> = shown.into_iter().skip(screen.card_top).take(fits).collect();
    frame.render_widget(Paragraph::new(window).block(block), bottom);
}

/// Lines that a text takes when it is wrapped between words: a long one may need one more than its width says.
fn height(text: &[Line], width: u16) -> usize {
    let width = usize::from(width).max(1);
    text.iter().map(|line| line.width()).map(|w| if w <= width { 1 } else { w / width + 2 }).sum()
}

fn card_lines(card: &Card, screen: &Screen) -> Vec<Line<'static>> {
    let theme = screen.theme;
    let mut lines = vec![Line::from(vec![
        Span::styled(format!(" {}  {}", card.id, card.name), theme.strong()),
        Span::raw(format!("   {}", card.status)),
    ])];
    for row in &card.rows {
        let mut spans = vec![Span::styled(format!("  {:<10}", row.label), theme.key())];
        let style = if row.label == "at" { theme.here() } else { ratatui::style::Style::new() };
        spans.push(Span::styled(row.text.clone(), style));
        if let Some(quote) = &row.quote {
            spans.push(Span::styled(format!("   {quote}"), theme.faint()));
        }
        lines.push(Line::from(spans));
    }
    lines
}

fn tree_line(line: &TreeLine, column: usize, screen: &Screen) -> Line<'static> {
    let theme = screen.theme;
    let style = match (line.here, line.own_code) {
        (true, _) => theme.here(),
        (false, true) => theme.strong(),
        (false, false) => theme.faint(),
    };
    let mark = if line.here { " → " } else { "   " };
    let function = line.text();
    let room = " ".repeat(column.saturating_sub(function.chars().count()).max(2));
    let mut spans = vec![
        Span::styled(mark, theme.here()),
        Span::styled(function, style),
        Span::styled(format!("{room}{}", line.place), style),
    ];
    if let Some(place) = &line.expanded_from {
        spans.push(Span::styled(format!("  (macro at {place})"), theme.faint()));
    }
    Line::from(spans)
}
