//! What keys do.

use super::rows::Wanted;
use super::state::{Screen, Typed, Typing, View};
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// Longest text that can be typed.
const LONGEST: usize = 200;

/// Every key, as the help shows it.
pub const HELP: [(&str, &str); 13] = [
    ("↑ ↓  j k", "move the cursor; PgUp PgDn Home End (g G) by more"),
    ("Enter", "the task's card: where it awaits, for what, its history"),
    ("Esc", "back; in the table: drop the filter"),
    ("← →", "choose the column to sort by"),
    ("i", "invert the order"),
    ("/", "filter: part of a name or place, a state, or #id"),
    ("s", "search: the same, but only moves the cursor"),
    ("n  N", "next match, previous match"),
    ("f", "findings: which bugs it has"),
    ("e", "show or hide tasks that have ended"),
    ("space", "pause, go on"),
    ("?", "this help"),
    ("q", "quit (also Ctrl-C)"),
];

/// Where a key scrolls a text to that begins with line `top`; the view holds it back at the last one.
fn scrolled(top: usize, code: KeyCode) -> Option<usize> {
    match code {
        KeyCode::Up | KeyCode::Char('k') => Some(top.saturating_sub(1)),
        KeyCode::Down | KeyCode::Char('j') => Some(top.saturating_add(1)),
        KeyCode::PageUp => Some(top.saturating_sub(10)),
        KeyCode::PageDown => Some(top.saturating_add(10)),
        KeyCode::Home | KeyCode::Char('g') => Some(0),
        KeyCode::End | KeyCode::Char('G') => Some(usize::MAX),
        _ => None,
    }
}

impl Screen {
    pub fn key(&mut self, key: KeyEvent) {
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            if matches!(key.code, KeyCode::Char('c' | 'd')) {
                self.quit();
            }
            return;
        }
        if self.typing.is_some() {
            return self.typing_key(key.code);
        }
        self.note = None;
        if self.help {
            return self.help_key(key.code);
        }
        match (key.code, self.view) {
            (KeyCode::Char('q'), _) => self.quit(),
            (KeyCode::Char('?' | 'h'), _) => (self.help, self.help_top) = (true, 0),
            (KeyCode::Char(' '), _) => self.pause(),
            (code, View::Table) => self.table_key(code),
            (KeyCode::Char('f'), View::Findings) => self.view = View::Table,
            (code, View::Card(_) | View::Findings) => self.card_key(code),
        }
    }

    fn table_key(&mut self, code: KeyCode) {
        match code {
            KeyCode::Up | KeyCode::Char('k') => self.select(self.selected.saturating_sub(1)),
            KeyCode::Down | KeyCode::Char('j') => self.select(self.selected + 1),
            KeyCode::PageUp => self.select(self.selected.saturating_sub(self.page)),
            KeyCode::PageDown => self.select(self.selected.saturating_add(self.page)),
            KeyCode::Home | KeyCode::Char('g') => self.select(0),
            KeyCode::End | KeyCode::Char('G') => self.select(usize::MAX),
            KeyCode::Left => self.sort_by(-1),
            KeyCode::Right => self.sort_by(1),
            KeyCode::Char('i') => {
                self.order.descending = !self.order.descending;
                self.resort();
            }
            KeyCode::Char('e') => {
                self.show_ended = !self.show_ended;
                self.resort();
            }
            KeyCode::Char('f') => {
                self.view = View::Findings;
                self.card_top = 0;
            }
            KeyCode::Char('/') => self.type_line(Typed::Filter),
            KeyCode::Char('s') => self.type_line(Typed::Search),
            KeyCode::Char('n') => self.find(true),
            KeyCode::Char('N') => self.find(false),
            KeyCode::Enter => {
                if let Some(id) = self.rows.get(self.selected) {
                    self.view = View::Card(*id);
                    self.card_top = 0;
                }
            }
            KeyCode::Esc => self.filter(""),
            _ => {}
        }
    }

    /// It scrolls; any other key closes it.
    fn help_key(&mut self, code: KeyCode) {
        match scrolled(self.help_top, code) {
            Some(top) => self.help_top = top,
            None => self.help = false,
        }
        if code == KeyCode::Char('q') {
            self.quit();
        }
    }

    fn card_key(&mut self, code: KeyCode) {
        if let Some(top) = scrolled(self.card_top, code) {
            self.card_top = top;
        } else if matches!(code, KeyCode::Esc | KeyCode::Backspace | KeyCode::Left | KeyCode::Enter) {
            self.view = View::Table;
        }
    }

    fn sort_by(&mut self, step: isize) {
        self.order.column = self.order.column.step(step);
        self.order.descending = self.order.column.largest_first();
        self.resort();
    }

    fn type_line(&mut self, what: Typed) {
        let before = self.wanted.text().to_owned();
        let text = match what {
            Typed::Filter => before.clone(),
            Typed::Search => String::new(),
        };
        self.typing = Some(Typing { what, text, before });
    }

    fn typing_key(&mut self, code: KeyCode) {
        let Some(mut typing) = self.typing.take() else { return };
        match code {
            KeyCode::Enter => {
                if typing.what == Typed::Search {
                    self.search = typing.text;
                    self.find(true);
                }
                return;
            }
            KeyCode::Esc => {
                if typing.what == Typed::Filter {
                    self.filter(&typing.before);
                }
                return;
            }
            KeyCode::Backspace => drop(typing.text.pop()),
            KeyCode::Char(c) if typing.text.len() < LONGEST => typing.text.push(c),
            _ => {}
        }
        // A filter works while it is typed.
        if typing.what == Typed::Filter {
            self.filter(&typing.text);
        }
        self.typing = Some(typing);
    }

    fn filter(&mut self, text: &str) {
        self.wanted = Wanted::new(text);
        self.resort();
    }
}
