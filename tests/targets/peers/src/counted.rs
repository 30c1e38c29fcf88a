//! A future whose polls are counted.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

pin_project_lite::pin_project! {
    pub struct Counted<F> {
        #[pin]
        future: F,
    }
}

impl<F> Counted<F> {
    pub fn new(future: F) -> Counted<F> {
        Counted { future }
    }
}

impl<F: Future> Future for Counted<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        crate::tally::polled();
        self.project().future.poll(context)
    }
}
