//! The end of `attach --plain`: what ran longest, and where.

use super::plain::Plain;
use crate::model::{Model, Spot};
use crate::present::names;
use crate::present::samples;
use crate::present::times;
use crate::present::units::{counted, span};
use std::cmp::Reverse;
use std::io::{self, Write};

/// Places named.
const PLACES: usize = 5;
/// Kinds of tasks named.
const KINDS: usize = 5;

impl<W: Write> Plain<W> {
    /// Who ran for longest, by looks, and how far that is to be trusted.
    pub(super) fn busiest_tasks(&mut self, model: &Model) -> io::Result<()> {
        for (i, (task, busy)) in samples::busiest(model, PLACES).into_iter().enumerate() {
            let label = match (i, model.mode().samples()) {
                (0, true) => "busiest",
                (0, false) => "meanwhile",
                _ => "",
            };
            let at = model.times(task).first().map_or(Spot::Start, |time| time.at);
            let from = match at {
                Spot::Await(place) => format!(", most of it from {}", self.frame_place(place, model)),
                Spot::Start | Spot::Elsewhere => String::new(),
            };
            let name = names::short(&task.name);
            writeln!(self.out, "  {label:<10} #{} {name}  {}{from}", task.id.id, samples::length(busy))?;
        }
        Ok(())
    }

    /// Whose polls lasted longest.
    pub(super) fn slowest_kinds(&mut self, model: &Model) -> io::Result<()> {
        let mut kinds = model.kind_times();
        kinds.sort_by_key(|kind| Reverse(kind.polls.max_ns.max(kind.delays.max_ns)));
        for (i, kind) in kinds.iter().take(KINDS).enumerate() {
            let label = if i == 0 { "slowest" } else { "" };
            let words = times::kind(kind).unwrap_or_default();
            writeln!(self.out, "  {label:<10} {}  {words}", names::short(&kind.name))?;
        }
        Ok(())
    }

    /// From which awaits on tasks ran longest in all, and where the rest of their time went.
    pub(super) fn longest_running_places(&mut self, model: &Model) -> io::Result<()> {
        let mut places = model.place_times();
        places.retain(|place| !place.polls.is_empty());
        // Equally long ones stay in the order of names.
        places.sort_by_key(|place| Reverse(place.polls.sum_ns));
        for (i, times) in places.into_iter().take(PLACES).enumerate() {
            let label = if i == 0 { "runs from" } else { "" };
            let place = match times.at {
                Spot::Await(place) => self.frame_place(place, model),
                Spot::Start => "start".into(),
                Spot::Elsewhere => "elsewhere".into(),
            };
            let (words, name) = (times::place(times), names::short(&times.name));
            writeln!(self.out, "  {label:<10} {place}  {words}  ({name})")?;
        }
        Ok(())
    }

    /// Where tasks came most often, and how long they stayed.
    pub(super) fn busiest_places(&mut self, model: &Model) -> io::Result<()> {
        let mut places: Vec<_> = model.places().collect();
        places.sort_by(|a, b| {
            b.arrivals.cmp(&a.arrivals).then_with(|| (&a.task_name, a.place).cmp(&(&b.task_name, b.place)))
        });
        for (i, totals) in places.iter().take(PLACES).enumerate() {
            let label = if i == 0 { "places" } else { "" };
            let stay = totals.spent_ns.checked_div(totals.departures).map(span);
            let stay = stay.map_or(String::new(), |stay| format!(", {stay} on average"));
            let place = self.frame_place(totals.place, model);
            let times = counted(totals.arrivals, "arrival");
            writeln!(
                self.out,
                "  {label:<10} {place}  {times}{stay}  ({})",
                names::short(&totals.task_name)
            )?;
        }
        Ok(())
    }
}
