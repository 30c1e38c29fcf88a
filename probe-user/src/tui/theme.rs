//! Colours. Without colour, weight and reverse video must do.

use crate::model::{Ending, TaskPhase};
use ratatui::style::{Color, Modifier, Style};

#[derive(Clone, Copy, Debug)]
pub struct Theme {
    pub color: bool,
}

impl Theme {
    fn fg(self, color: Color) -> Style {
        if self.color { Style::new().fg(color) } else { Style::new() }
    }

    pub fn title(self) -> Style {
        self.fg(Color::Cyan).add_modifier(Modifier::BOLD)
    }

    pub fn strong(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    pub fn faint(self) -> Style {
        self.fg(Color::DarkGray)
    }

    pub fn warn(self) -> Style {
        self.fg(Color::Yellow).add_modifier(Modifier::BOLD)
    }

    pub fn selected(self) -> Style {
        if self.color {
            Style::new().bg(Color::Indexed(237)).add_modifier(Modifier::BOLD)
        } else {
            Style::new().add_modifier(Modifier::REVERSED)
        }
    }

    pub fn key(self) -> Style {
        self.fg(Color::Cyan)
    }

    pub fn here(self) -> Style {
        self.fg(Color::Green).add_modifier(Modifier::BOLD)
    }

    pub fn sorted(self) -> Style {
        self.fg(Color::Cyan).add_modifier(Modifier::BOLD | Modifier::UNDERLINED)
    }

    pub fn phase(self, phase: TaskPhase) -> Style {
        match phase {
            TaskPhase::Running => self.fg(Color::Green).add_modifier(Modifier::BOLD),
            TaskPhase::Scheduled => self.fg(Color::Yellow),
            TaskPhase::Idle => Style::new(),
            TaskPhase::Ended(Ending::Panicked) => self.fg(Color::Red).add_modifier(Modifier::BOLD),
            TaskPhase::Ended(_) | TaskPhase::Unknown => self.faint(),
        }
    }
}
