//! Async methods: of inherent impls, generic impls, trait impls, and through `dyn`.

use crate::start;
use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::Arc;
use truth::{Trail, here};

pub fn start_all() {
    start(|at| async_method(at, Store { rows: 3 }));
    start(|at| trait_method(at, Store { rows: 4 }));
    start(|at| generic_method(at, Keyed { key: 1_u64 }));
    start(|at| dyn_method(at, Arc::new(Store { rows: 5 })));
}

pub struct Store {
    rows: usize,
}

impl Store {
    async fn fetch(&self, at: Trail) -> usize {
        here!(at, or "tree::methods::{impl#0}::fetch");
        pending::<()>().await;
        self.rows
    }
}

pub trait Load {
    fn load(&self, at: Trail) -> impl Future<Output = usize> + Send;
}

impl Load for Store {
    async fn load(&self, at: Trail) -> usize {
        here!(at, or "tree::methods::{impl#1}::load");
        self.fetch(at.deeper()).await
    }
}

pub struct Keyed<K> {
    key: K,
}

impl<K: Copy + Send + Sync + 'static> Keyed<K> {
    async fn get(&self, at: Trail) -> K {
        here!(at, or "tree::methods::{impl#2}::get<u64>");
        pending::<()>().await;
        self.key
    }
}

pub trait Serve: Send + Sync {
    fn serve<'a>(&'a self, at: Trail) -> Pin<Box<dyn Future<Output = usize> + Send + 'a>>;
}

impl Serve for Store {
    fn serve<'a>(&'a self, at: Trail) -> Pin<Box<dyn Future<Output = usize> + Send + 'a>> {
        Box::pin(self.fetch(at))
    }
}

async fn async_method(at: Trail, store: Store) {
    here!(at);
    store.fetch(at.deeper()).await;
}

async fn trait_method<L: Load + Send + Sync + 'static>(at: Trail, loads: L) {
    here!(at);
    loads.load(at.deeper()).await;
}

async fn generic_method(at: Trail, keyed: Keyed<u64>) {
    here!(at);
    keyed.get(at.deeper()).await;
}

async fn dyn_method(at: Trail, serves: Arc<dyn Serve>) {
    here!(at);
    serves.serve(at.deeper()).await;
}
