//! Where a view's updates come from: a target that is watched, or a recording of one.

use crate::model::Update;
use std::time::Duration;

pub trait Feed {
    /// The next update, waiting for it at most `timeout`. Not to be called after [`Update::End`].
    fn next(&mut self, timeout: Duration) -> Option<Update>;
}
