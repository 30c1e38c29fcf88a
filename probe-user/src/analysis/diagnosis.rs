//! All lints over one target, now and again.

use super::lints::LINTS;
use super::{Answer, Case, Finding, FindingKey};
use crate::decode::Certainty;
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

/// What was found so far. A bug that was proven stays; what only looked like one goes when it is gone.
#[derive(Clone, Debug, Default)]
pub struct Diagnosis {
    found: HashMap<FindingKey, Known>,
    found_ever: u64,
    not_kept: u64,
    again: Option<Duration>,
    blind: BTreeMap<&'static str, &'static str>,
    no_trees: Option<&'static str>,
    looks: u32,
}

#[derive(Clone, Debug)]
struct Known {
    finding: Finding,
    /// How many were found before it.
    nth: u64,
    /// In which look it was found last.
    look: u32,
}

/// Findings that are kept, of all lints.
const KEPT: usize = 1000;

impl Diagnosis {
    /// All lints over facts that are looked at once.
    pub fn of(case: &Case<'_>) -> Diagnosis {
        let mut diagnosis = Diagnosis::default();
        diagnosis.look(case);
        diagnosis
    }

    /// Asks all lints. What was found for the first time, or is certain now and was not before.
    pub fn look(&mut self, case: &Case<'_>) -> Vec<Finding> {
        self.looks += 1;
        self.again = None;
        self.blind.clear();
        let mut news = Vec::new();
        self.no_trees = case.no_trees();
        for lint in LINTS {
            let answer = match (lint.look(case), self.no_trees) {
                (Answer::Fine | Answer::LookAgain(_), Some(why)) if lint.needs_trees() => Answer::Blind(why),
                (answer, _) => answer,
            };
            match answer {
                Answer::Fine => {}
                Answer::Found(findings) => {
                    news.extend(findings.into_iter().filter_map(|finding| self.take(finding)));
                }
                Answer::LookAgain(after) => {
                    self.again = Some(self.again.map_or(after, |soonest| soonest.min(after)));
                }
                Answer::Blind(why) => drop(self.blind.insert(lint.name(), why)),
            }
        }
        news
    }

    /// What is found now, and what was proven before; the certain first.
    pub fn findings(&self) -> Vec<&Finding> {
        let mut known: Vec<&Known> =
            self.found.values().filter(|known| known.lasts_until(self.looks)).collect();
        known.sort_by_key(|known| (known.finding.certainty, known.nth));
        known.into_iter().map(|known| &known.finding).collect()
    }

    /// Findings for which there was no room, each time that they were found.
    pub fn not_kept(&self) -> u64 {
        self.not_kept
    }

    /// After how long another look may tell more.
    pub fn look_again_in(&self) -> Option<Duration> {
        self.again
    }

    /// Lints that could not see what they look for, and why.
    pub fn blind(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        self.blind.iter().map(|(lint, why)| (*lint, *why))
    }

    /// Why nothing is known of what tasks await, if that is so.
    pub fn no_trees(&self) -> Option<&'static str> {
        self.no_trees
    }

    fn take(&mut self, finding: Finding) -> Option<Finding> {
        let look = self.looks;
        let key = finding.key();
        if let Some(known) = self.found.get_mut(&key) {
            let news = finding.certainty < known.finding.certainty;
            let certainty = finding.certainty.min(known.finding.certainty);
            *known = Known { finding: Finding { certainty, ..finding }, nth: known.nth, look };
            return news.then(|| known.finding.clone());
        }
        if self.found.len() >= KEPT {
            // Those of the look before may be found again in this one.
            self.found.retain(|_, known| known.lasts_until(look) || known.lasts_until(look - 1));
        }
        if self.found.len() >= KEPT {
            self.not_kept += 1;
            return None;
        }
        self.found_ever += 1;
        self.found.insert(key, Known { finding: finding.clone(), nth: self.found_ever, look });
        Some(finding)
    }
}

impl Known {
    /// Whether it is a finding still, as of a look.
    fn lasts_until(&self, look: u32) -> bool {
        self.look == look || self.finding.certainty == Certainty::Proven
    }
}

#[cfg(test)]
#[path = "diagnosis_tests.rs"]
mod tests;
