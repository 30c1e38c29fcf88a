//! What an outline left out, in words.

use super::units::counted;
use crate::outline::{Bound, Bounds};

/// One line for each bound that was reached.
pub fn notes(bounds: &Bounds) -> Vec<String> {
    let words = |(at, many): (Bound, u64)| {
        let (what, why) = words(at);
        format!("{} {why}", counted(many, what))
    };
    bounds.iter().map(words).collect()
}

fn words(at: Bound) -> (&'static str, &'static str) {
    match at {
        Bound::Coroutines => ("coroutine type", "more than are read"),
        Bound::Awaited => ("future", "awaited behind more others than are followed"),
        Bound::Around => (
            "future",
            "that is spawned, waited for or behind a trait object, with more around it than is followed",
        ),
        Bound::Candidates => ("await", "of a dyn Future that may be more than can be told"),
        Bound::Inlined => {
            ("inlined call", "more than are read of one function: what they call counts as its own")
        }
        Bound::Pieces => ("function", "(own or inlined) in more pieces of code than are read"),
        Bound::Unread => ("function", "whose code was not read: others share it too often"),
        Bound::Between => ("call", "through more functions of others than are followed"),
        Bound::BlockingCalls => ("blocking call", "more than are told of one async function"),
        Bound::FoldedEdges => ("edge", "through dependencies, behind which there may be more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_cut_is_counted() {
        let mut bounds = Bounds::default();
        assert!(bounds.is_empty() && notes(&bounds).is_empty());
        bounds.cut(Bound::Awaited, 0);
        assert!(bounds.is_empty());
        bounds.cut(Bound::Candidates, 2);
        bounds.cut(Bound::Candidates, 1);
        bounds.cut(Bound::Coroutines, 1);
        assert_eq!(
            notes(&bounds),
            [
                "1 coroutine type more than are read",
                "3 awaits of a dyn Future that may be more than can be told"
            ]
        );
    }
}
