use super::*;
use crate::outline::{Choice, sample};

#[test]
fn places_of_one_await_are_told_together() {
    let graph = sample::shop();
    let excerpt = Excerpt::of(&graph, &Choice::default());
    let query = excerpt.graph.ids().find(|id| *excerpt.graph.function(*id).name == *"shop::db::Pool::query");
    let groups = groups(&excerpt.graph, query.unwrap());
    let places = Places::of_own(["/srv/shop/src/db.rs".into()]);
    let words: Vec<String> =
        groups.iter().map(|g| how(g, excerpt.graph.function(g.first.to), &places)).collect();
    assert_eq!(words, ["awaits src/db.rs:31", "awaits src/db.rs:32, 38", "awaits src/db.rs:36"]);
}

#[test]
fn long_ways_are_told_in_few_words() {
    let mut edge = sample::shop().edges[0].clone();
    edge.certainty = Certainty::Possible;
    let mut notes = |through: &[&str]| {
        edge.through = through.iter().map(|name| Arc::from(*name)).collect();
        edge_notes(&edge).join("; ")
    };
    assert_eq!(notes(&["dyn Future"]), "dyn, possible");
    assert_eq!(notes(&[]), "possible");
    assert_eq!(notes(&["hyper::C", "b", "c", "d"]), "via hyper::C…, 3 more; possible");
    assert_eq!(notes(&["a::f", "b::g"]), "via a::f, b::g; possible");
}
