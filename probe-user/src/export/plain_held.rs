//! Lines that wait for older ones, so that time does not go back.

use crate::decode::TaskId;

#[derive(Default)]
pub struct Held {
    /// In the order they came in.
    lines: Vec<Line>,
}

struct Line {
    t_ns: u64,
    /// Tells that this task was spawned, as a snapshot has it.
    spawn_of: Option<TaskId>,
    text: String,
}

impl Held {
    /// `text` ends in a newline.
    pub fn push(&mut self, t_ns: u64, text: String) {
        self.lines.push(Line { t_ns, spawn_of: None, text });
    }

    /// The same of a task; `spawn`: a snapshot shows it for the first time.
    pub fn push_of(&mut self, task: TaskId, spawn: bool, t_ns: u64, text: String) {
        self.lines.push(Line { t_ns, spawn_of: spawn.then_some(task), text });
    }

    /// Takes back what a snapshot told of a spawn. False where that was written, or nothing was told.
    pub fn forget_spawn(&mut self, task: TaskId) -> bool {
        let at = self.lines.iter().position(|line| line.spawn_of == Some(task));
        at.map(|at| self.lines.remove(at)).is_some()
    }

    /// Those up to then, oldest first; of one time in the order they came in.
    pub fn until(&mut self, t_ns: u64) -> impl Iterator<Item = String> + use<> {
        let mut due: Vec<Line> = self.lines.extract_if(.., |line| line.t_ns <= t_ns).collect();
        due.sort_by_key(|line| line.t_ns);
        due.into_iter().map(|line| line.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::sample::tokio;

    #[test]
    fn older_lines_come_first_and_younger_ones_wait() {
        let mut held = Held::default();
        for (t_ns, text) in [(30, "c"), (10, "a"), (40, "d"), (30, "c2"), (20, "b")] {
            held.push(t_ns, text.into());
        }
        assert_eq!(held.until(30).collect::<Vec<_>>(), ["a", "b", "c", "c2"]);
        assert_eq!(held.until(u64::MAX).collect::<Vec<_>>(), ["d"]);
    }

    #[test]
    fn a_spawn_is_taken_back_while_it_waits() {
        let mut held = Held::default();
        held.push_of(tokio(1), true, 5, "spawned".into());
        held.push_of(tokio(2), false, 6, "completed".into());
        assert!(!held.forget_spawn(tokio(2)) && held.forget_spawn(tokio(1)));
        assert!(!held.forget_spawn(tokio(1)));
        assert_eq!(held.until(9).collect::<Vec<_>>(), ["completed"]);
    }
}
