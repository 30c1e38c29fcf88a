//! Streams, and the futures that take from them.

use crate::{start, try_wait, wait};
use async_stream::stream;
use futures::stream::{self, BoxStream, Stream, StreamExt, TryStreamExt};
use std::pin::pin;
use truth::{Trail, here};

pub fn start_all() {
    start(next_of_stream);
    start(next_of_boxed);
    start(collects);
    start(folds);
    start(for_each);
    start(try_for_each);
    start(unfolds);
    start(thens);
    start(filters);
    start(takes_until);
    start(selects_all);
    start(flattens);
    start(flattens_unordered);
    start(merges);
    start(maps_of_streams);
    start(tokio_next);
    start(zips);
    start(select_of_streams);
    start(tokio_then);
}

async fn next_of_stream(at: Trail) {
    let child = at.deeper();
    let mut numbers = pin!(nested(child));
    numbers.next().await;
    here!(at => child);
    numbers.next().await;
}

/// Its own block is seen as well.
fn nested(at: Trail) -> impl Stream<Item = u32> + Send {
    stream! {
        yield 0;
        here!(at, "collections::streams::nested::{async_block#0}");
        let value = wait(at.deeper()).await;
        yield value;
    }
}

async fn next_of_boxed(at: Trail) {
    let child = at.deeper();
    let mut numbers: BoxStream<'static, u32> = Box::pin(nested(child));
    numbers.next().await;
    here!(at => child);
    numbers.next().await;
}

async fn collects(at: Trail) {
    let child = at.deeper();
    here!(at => child);
    nested(child).collect::<Vec<_>>().await;
}

async fn folds(at: Trail) {
    here!(at);
    stream::iter([1]).fold(at.deeper(), |child, _| fold_one(child)).await;
}

async fn fold_one(at: Trail) -> Trail {
    here!(at);
    wait(at.deeper()).await;
    at
}

async fn for_each(at: Trail) {
    here!(at);
    stream::iter([at.deeper()]).for_each(unit).await;
}

async fn unit(at: Trail) {
    here!(at);
    wait(at.deeper()).await;
}

async fn try_for_each(at: Trail) {
    here!(at);
    let _ = stream::iter([Ok(at.deeper())]).try_for_each(try_unit).await;
}

async fn try_unit(at: Trail) -> Result<(), String> {
    here!(at);
    try_wait(at.deeper()).await.map(drop)
}

async fn unfolds(at: Trail) {
    let child = at.deeper();
    let mut numbers = pin!(stream::unfold(child, step));
    here!(at => child);
    numbers.next().await;
}

async fn step(at: Trail) -> Option<(u32, Trail)> {
    here!(at);
    let value = wait(at.deeper()).await;
    Some((value, at))
}

async fn thens(at: Trail) {
    here!(at);
    pin!(stream::iter([at.deeper()]).then(wait)).next().await;
}

async fn filters(at: Trail) {
    let child = at.deeper();
    here!(at => child);
    pin!(stream::iter([1]).filter_map(move |_| step(child))).next().await;
}

/// Both the stream and what ends it.
async fn takes_until(at: Trail) {
    let (one, two) = (at.deeper(), at.deeper());
    here!(at => one, two);
    pin!(nested(one).skip(1).take_until(wait(two))).next().await;
}

async fn selects_all(at: Trail) {
    let children = crate::places(at, 5);
    let mut all = stream::select_all(children.iter().map(|child| Box::pin(nested(*child).skip(1))));
    here!(at).adopt_all(&children);
    all.next().await;
}

async fn flattens(at: Trail) {
    let child = at.deeper();
    let mut flat = pin!(stream::iter([nested(child)]).flatten().skip(1));
    here!(at => child);
    flat.next().await;
}

async fn flattens_unordered(at: Trail) {
    let children = crate::places(at, 5);
    let streams = children.iter().map(|child| Box::pin(nested(*child).skip(1))).collect::<Vec<_>>();
    let mut flat = stream::iter(streams).flatten_unordered(None);
    here!(at).adopt_all(&children);
    flat.next().await;
}

async fn merges(at: Trail) {
    let (one, two) = (at.deeper(), at.deeper());
    let first = StreamExt::skip(nested(one), 1);
    let mut both = pin!(tokio_stream::StreamExt::merge(first, StreamExt::skip(nested(two), 1)));
    here!(at => one, two);
    tokio_stream::StreamExt::next(&mut both).await;
}

async fn maps_of_streams(at: Trail) {
    let children = crate::places(at, 5);
    let mut map = tokio_stream::StreamMap::new();
    for (key, child) in children.iter().enumerate() {
        map.insert(key, Box::pin(StreamExt::skip(nested(*child), 1)));
    }
    here!(at).adopt_all(&children);
    tokio_stream::StreamExt::next(&mut map).await;
}

async fn tokio_next(at: Trail) {
    let child = at.deeper();
    let mut numbers = pin!(nested(child));
    tokio_stream::StreamExt::next(&mut numbers).await;
    here!(at => child);
    tokio_stream::StreamExt::next(&mut numbers).await;
}

async fn tokio_then(at: Trail) {
    let child = at.deeper();
    let mut numbers = pin!(tokio_stream::StreamExt::then(tokio_stream::iter([child]), wait));
    here!(at => child);
    tokio_stream::StreamExt::next(&mut numbers).await;
}

async fn zips(at: Trail) {
    let (one, two) = (at.deeper(), at.deeper());
    let mut both = pin!(StreamExt::skip(nested(one), 1).zip(StreamExt::skip(nested(two), 1)));
    here!(at => one, two);
    StreamExt::next(&mut both).await;
}

async fn select_of_streams(at: Trail) {
    let (one, two) = (at.deeper(), at.deeper());
    let mut both = pin!(stream::select(StreamExt::skip(nested(one), 1), StreamExt::skip(nested(two), 1)));
    here!(at => one, two);
    StreamExt::next(&mut both).await;
}
