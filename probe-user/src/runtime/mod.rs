//! Mirror types: where tokio keeps tasks, what its leaves wait for. Chosen by shape, never by version.
