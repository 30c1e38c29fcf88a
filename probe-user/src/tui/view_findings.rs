//! What lints found, in full.

use super::state::Screen;
use super::theme::Theme;
use crate::decode::Certainty;
use crate::present::findings::{certainty_word, sentence};
use crate::present::names;
use crate::present::places::Places;
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Paragraph, Wrap};

pub fn draw(frame: &mut Frame, area: Rect, screen: &mut Screen) {
    let theme = screen.theme;
    let findings = screen.diagnosis().findings();
    let mut lines: Vec<Line> = Vec::new();
    for finding in &findings {
        let style = if finding.certainty == Certainty::Proven { theme.title() } else { theme.warn() };
        let title = format!(" {}, {}: ", finding.lint, certainty_word(finding.certainty));
        let message = Span::styled(sentence(&finding.message, &screen.places), theme.strong());
        lines.push(Line::from(vec![Span::styled(title, style), message]));
        for evidence in &finding.evidence {
            lines.push(Line::from(format!("   {}", sentence(evidence, &screen.places))));
        }
        lines.extend(finding.places.iter().filter_map(|place| at(place, &screen.places, theme)));
        lines.push(Line::from(vec![Span::styled("   remedy  ", theme.faint()), Span::raw(finding.remedy)]));
        lines.push(Line::default());
    }
    if findings.is_empty() {
        lines.push(Line::from(" nothing found so far"));
    }
    let last = lines.len().saturating_sub(usize::from(area.height.saturating_sub(1)));
    let top = screen.card_top.min(last);
    let title = Span::styled(format!(" Findings: {} ", findings.len()), theme.title());
    screen.card_top = top;
    let block = Block::new().borders(Borders::TOP).title(title).border_style(theme.faint());
    let scroll = u16::try_from(top).unwrap_or(u16::MAX);
    frame.render_widget(
        Paragraph::new(lines).block(block).wrap(Wrap { trim: false }).scroll((scroll, 0)),
        area,
    );
}

fn at(place: &crate::analysis::FoundPlace, places: &Places, theme: Theme) -> Option<Line<'static>> {
    let line = place.line.as_ref()?;
    let words = format!("{}  {}", places.show(line), names::function(&place.function));
    Some(Line::from(vec![Span::styled("   at      ", theme.faint()), Span::raw(words)]))
}
