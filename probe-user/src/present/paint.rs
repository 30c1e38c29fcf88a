//! Colour for people's output; none where it was not asked for.

use anstyle::{AnsiColor, Style};
use std::fmt::{self, Display};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Paint {
    pub color: bool,
}

pub struct Painted<T> {
    style: Option<Style>,
    text: T,
}

impl<T: Display> Display for Painted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.style {
            Some(style) => write!(f, "{style}{}{style:#}", self.text),
            None => self.text.fmt(f),
        }
    }
}

impl Paint {
    fn with<T>(self, style: Style, text: T) -> Painted<T> {
        Painted { style: self.color.then_some(style), text }
    }

    pub fn bold<T>(self, text: T) -> Painted<T> {
        self.with(Style::new().bold(), text)
    }

    pub fn dim<T>(self, text: T) -> Painted<T> {
        self.with(Style::new().dimmed(), text)
    }

    pub fn warn<T>(self, text: T) -> Painted<T> {
        self.with(Style::new().fg_color(Some(AnsiColor::Yellow.into())), text)
    }

    pub fn bad<T>(self, text: T) -> Painted<T> {
        self.with(Style::new().bold().fg_color(Some(AnsiColor::Red.into())), text)
    }

    pub fn good<T>(self, text: T) -> Painted<T> {
        self.with(Style::new().fg_color(Some(AnsiColor::Green.into())), text)
    }

    pub fn name<T>(self, text: T) -> Painted<T> {
        self.with(Style::new().bold().fg_color(Some(AnsiColor::Cyan.into())), text)
    }
}
