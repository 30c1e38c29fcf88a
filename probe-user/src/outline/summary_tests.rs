use super::*;
use crate::outline::{Choice, sample};

fn name(excerpt: &Excerpt, id: FunctionId) -> &str {
    &excerpt.graph.function(id).name
}

#[test]
fn it_answers_the_three_questions() {
    let excerpt = Excerpt::of(&sample::shop(), &Choice::default());
    let summary = Summary::of(&excerpt);
    assert_eq!((summary.async_functions, summary.sync_functions), (11, 3));
    assert_eq!((summary.red, summary.green, summary.yellow), (7, 2, 2));

    let needed = summary.needed.iter().flat_map(|(kind, who)| {
        who.iter().map(|(id, places)| {
            (kind.as_str(), name(&excerpt, *id), places.iter().map(|place| place.line).collect::<Vec<_>>())
        })
    });
    let expected = [
        ("timer", "shop::mail::deliver", vec![35]),
        ("timer", "shop::plugins::tax", vec![8]),
        ("mutex", "shop::db::Pool::query", vec![32, 38]),
        ("mutex", "shop::stock::count", vec![10]),
        ("semaphore", "shop::db::Pool::query", vec![31]),
        ("mpsc", "shop::mail::deliver", vec![33]),
    ];
    assert_eq!(needed.collect::<Vec<_>>(), expected);

    let met = summary.boundaries.iter();
    let met: Vec<_> = met.map(|b| (b.kind, name(&excerpt, b.from), name(&excerpt, b.to))).collect();
    let expected = [
        (BoundaryKind::BlocksOn, "shop::main", "shop::main::{async_block#0}"),
        (BoundaryKind::GivesToThreads, "shop::mail::deliver", "shop::mail::deliver::{closure#0}"),
    ];
    assert_eq!(met, expected);
    let names = |ids: &[FunctionId]| ids.iter().map(|id| name(&excerpt, *id).to_owned()).collect::<Vec<_>>();
    assert_eq!(names(&summary.awaits_nothing), ["shop::db::Row::parse", "shop::plugins::unused"]);
    assert_eq!(names(&summary.bottlenecks), ["shop::db::Pool::query", "shop::stock::count"]);
}
