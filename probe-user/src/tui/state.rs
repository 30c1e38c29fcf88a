//! What the user has chosen to see. Knows no terminal, and draws nothing.

use super::rows::{Column, Order, Wanted, rows};
use super::theme::Theme;
use crate::analysis::{Diagnosis, Lookout};
use crate::decode::TaskId;
use crate::model::{Aside, Cost, End, Event, Model, Update};
use crate::present::places::Places;
use crate::present::source::SourceText;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How long a note hides the keys, ns.
const NOTE_NS: u64 = 8_000_000_000;

/// Who is on the screen.
#[derive(Clone, Debug)]
pub struct Target {
    pub pid: u32,
    pub exe: String,
    /// Why there are no probes.
    pub because: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    Table,
    Card(TaskId),
    Findings,
}

/// A line that the user is typing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Typing {
    pub what: Typed,
    pub text: String,
    /// What the filter was before, for Esc.
    pub before: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Typed {
    Filter,
    Search,
}

/// How far back rates look.
const RATE_NS: u64 = 2_000_000_000;
/// Sorting takes at most this share of the time: what is shown is in order, unless there are very many tasks.
const SORT_SHARE: u32 = 5;

pub struct Screen {
    pub target: Target,
    pub theme: Theme,
    model: Model,
    /// The model as it was when the user paused.
    frozen: Option<Box<Model>>,
    pub sources: Box<dyn SourceText>,
    pub places: Places,
    frames_known: usize,
    pub view: View,
    pub help: bool,
    /// First visible line of the help.
    pub help_top: usize,
    pub order: Order,
    pub wanted: Wanted,
    pub search: String,
    pub typing: Option<Typing>,
    pub show_ended: bool,
    pub rows: Vec<TaskId>,
    /// Index in `rows`.
    pub selected: usize,
    /// First visible row.
    pub top: usize,
    /// Rows or lines that fit; told by the view.
    pub page: usize,
    /// First visible line of the card's tree, or of the findings.
    pub card_top: usize,
    lookout: Lookout,
    pub note: Option<String>,
    noted_ns: u64,
    rates: VecDeque<(u64, u64)>,
    costs: VecDeque<(u64, Cost)>,
    end: Option<(u64, End)>,
    quit: bool,
    stale: bool,
    sorted: Option<(Instant, Duration)>,
}

impl Screen {
    pub fn new(target: Target, model: Model, sources: Box<dyn SourceText>, color: bool) -> Screen {
        Screen {
            target,
            theme: Theme { color },
            model,
            frozen: None,
            sources,
            places: Places::default(),
            frames_known: 0,
            view: View::Table,
            help: false,
            help_top: 0,
            order: Order { column: Column::Idle, descending: true },
            wanted: Wanted::default(),
            search: String::new(),
            typing: None,
            show_ended: true,
            rows: Vec::new(),
            selected: 0,
            top: 0,
            page: 1,
            card_top: 0,
            lookout: Lookout::new(),
            note: None,
            noted_ns: 0,
            rates: VecDeque::new(),
            costs: VecDeque::new(),
            end: None,
            quit: false,
            stale: true,
            sorted: None,
        }
    }

    /// What is shown: the target as it is, or as it was when the user paused.
    pub fn model(&self) -> &Model {
        self.frozen.as_deref().unwrap_or(&self.model)
    }

    /// With what lints found.
    pub fn into_parts(self) -> (Model, Lookout) {
        (self.model, self.lookout)
    }

    pub fn now_ns(&self) -> u64 {
        self.model().now_ns()
    }

    /// What lints found up to now, also while the rest is paused.
    pub fn diagnosis(&self) -> &Diagnosis {
        self.lookout.diagnosis()
    }

    pub fn paused(&self) -> bool {
        self.frozen.is_some()
    }

    pub fn pause(&mut self) {
        self.frozen = if self.frozen.is_none() { Some(Box::new(self.model.clone())) } else { None };
        self.resort();
    }

    pub fn ended(&self) -> Option<&(u64, End)> {
        self.end.as_ref()
    }

    pub fn quits(&self) -> bool {
        self.quit
    }

    pub fn quit(&mut self) {
        self.quit = true;
    }

    pub fn apply(&mut self, update: Update, events: &mut Vec<Event>) -> Option<Aside> {
        let aside = self.model.apply(update, events);
        let now = self.model.now_ns();
        match &aside {
            Some(Aside::Note(text)) => (self.note, self.noted_ns) = (Some(text.clone()), now),
            Some(Aside::Cost(cost)) => push(&mut self.costs, now, *cost),
            Some(Aside::End { t_ns, end }) => self.end = Some((*t_ns, end.clone())),
            None => {}
        }
        if now.saturating_sub(self.noted_ns) > NOTE_NS {
            self.note = None;
        }
        self.lookout.news(&self.model);
        if let Some(polls) = self.model.totals().polls {
            push(&mut self.rates, now, polls);
        }
        aside
    }

    /// Polls per second, over the last two seconds; None where they are not seen.
    pub fn poll_rate(&self) -> Option<u64> {
        let (from, to) = (self.rates.front()?, self.rates.back()?);
        let ns = to.0.saturating_sub(from.0);
        (ns > 0).then(|| (u128::from(to.1 - from.1) * 1_000_000_000 / u128::from(ns)) as u64)
    }

    /// What we use ourselves, in percent of one CPU, over the last two seconds.
    pub fn own_share(&self) -> Option<f64> {
        let ((t0, from), (t1, to)) = (self.costs.front()?, self.costs.back()?);
        let ns = to.own_ns?.saturating_sub(from.own_ns?);
        (t1 > t0).then(|| 100.0 * ns as f64 / (t1 - t0) as f64)
    }

    /// The rows must be made anew before the next drawing.
    pub fn resort(&mut self) {
        self.stale = true;
    }

    /// Brings rows and paths up to date; `now`: a key was pressed and waits for its effect.
    pub fn refresh(&mut self, now: bool) {
        let known = self.model().frames().len();
        if known != self.frames_known {
            self.places = Places::of(self.model().frames());
            self.frames_known = known;
        }
        let due = match self.sorted {
            None => true,
            Some((at, took)) => !self.paused() && at.elapsed() >= took * SORT_SHARE,
        };
        if !(due || (now && self.stale)) {
            return;
        }
        let began = Instant::now();
        let selected = self.rows.get(self.selected).copied();
        let mut wanted = std::mem::take(&mut self.wanted);
        self.rows = rows(self.model(), self.order, &mut wanted, self.show_ended, &self.places);
        self.wanted = wanted;
        self.stale = false;
        // The cursor stays on its task, unless it is at the top: there it stays at the top.
        if let Some(id) = selected.filter(|_| self.selected > 0)
            && let Some(at) = self.rows.iter().position(|row| *row == id)
        {
            self.selected = at;
        }
        self.select(self.selected);
        self.sorted = Some((began, began.elapsed()));
    }

    /// Moves the cursor, and the window with it.
    pub fn select(&mut self, row: usize) {
        self.selected = row.min(self.rows.len().saturating_sub(1));
        self.scroll();
    }

    pub fn fit(&mut self, page: usize) {
        self.page = page.max(1);
        self.scroll();
    }

    fn scroll(&mut self) {
        let last = self.rows.len().saturating_sub(self.page);
        self.top = self.top.min(self.selected).min(last).max((self.selected + 1).saturating_sub(self.page));
    }

    pub fn visible(&self) -> &[TaskId] {
        let end = (self.top + self.page).min(self.rows.len());
        self.rows.get(self.top..end).unwrap_or_default()
    }

    /// Moves the cursor to the next row (or the one before) that the search means.
    pub fn find(&mut self, forward: bool) {
        let mut search = Wanted::new(&self.search);
        if search.is_empty() || self.rows.is_empty() {
            return;
        }
        let n = self.rows.len();
        for step in 1..=n {
            let at = (self.selected + if forward { step } else { n - step }) % n;
            let model = self.model();
            let found = model.get(self.rows[at]);
            if found.is_some_and(|task| search.matches(task, model.frames(), &self.places)) {
                return self.select(at);
            }
        }
        self.note = Some(format!("nothing here matches {:?}", self.search));
        self.noted_ns = self.model.now_ns();
    }
}

fn push<T>(history: &mut VecDeque<(u64, T)>, now_ns: u64, value: T) {
    if history.back().is_some_and(|(at, _)| *at == now_ns) {
        history.pop_back();
    }
    history.push_back((now_ns, value));
    // The oldest one kept is just older than the window, so that the window is always full.
    while history.get(1).is_some_and(|(at, _)| now_ns.saturating_sub(*at) >= RATE_NS) {
        history.pop_front();
    }
}
