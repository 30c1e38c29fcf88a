//! What was read of a program's types: kept in memory, and with the index on disk, so that the next look at the same
//! program sets up hardly any unit of debug information.

use super::types::Type;
use super::units::DieRef;
use foldhash::HashMap;
use serde::{Deserialize, Serialize};
use std::sync::{Arc, RwLock};

/// Types, and namespaces, kept on disk; a program that asks for more reads the rest again.
const MAX_KEPT: usize = 1 << 16;

/// Answers so far; shared by all threads.
#[derive(Debug, Default)]
pub(super) struct Known {
    types: RwLock<HashMap<DieRef, Option<Arc<Type>>>>,
    /// Name of a namespace, by its entry.
    namespaces: RwLock<HashMap<DieRef, Arc<str>>>,
    /// Types that came from disk.
    kept: usize,
}

/// The same on disk.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Kept {
    types: Vec<Type>,
    namespaces: Vec<(DieRef, String)>,
}

impl Known {
    pub fn new(kept: Kept) -> Known {
        let Kept { types, namespaces } = kept;
        let (kept, types) = (types.len(), types.into_iter().map(|ty| (ty.die, Some(Arc::new(ty)))));
        let namespaces = namespaces.into_iter().map(|(die, name)| (die, name.into()));
        Known { types: RwLock::new(types.collect()), namespaces: RwLock::new(namespaces.collect()), kept }
    }

    /// Sorted: the same answers make the same file.
    pub fn to_keep(&self) -> Kept {
        let types = self.types.read().expect("no panic while held");
        // Not what could not be read: another time it may.
        let mut types: Vec<Type> = types.values().flatten().map(|ty| Type::clone(ty)).collect();
        types.sort_unstable_by_key(|ty| ty.die);
        types.truncate(MAX_KEPT);
        let namespaces = self.namespaces.read().expect("no panic while held");
        let mut namespaces: Vec<_> = namespaces.iter().map(|(die, name)| (*die, name.to_string())).collect();
        namespaces.sort_unstable();
        namespaces.truncate(MAX_KEPT);
        Kept { types, namespaces }
    }

    /// Whether keeping it anew is worth the writing.
    pub fn learned_more(&self) -> bool {
        let now = self.types.read().expect("no panic while held").values().flatten().count();
        self.kept < MAX_KEPT && now > self.kept + self.kept / 4
    }

    pub fn ty(&self, die: DieRef, read: impl FnOnce() -> Option<Type>) -> Option<Arc<Type>> {
        if let Some(known) = self.types.read().expect("no panic while held").get(&die) {
            return known.clone();
        }
        let ty = read().map(Arc::new);
        self.types.write().expect("no panic while held").insert(die, ty.clone());
        ty
    }

    pub fn namespace(&self, die: DieRef, read: impl FnOnce() -> String) -> Arc<str> {
        if let Some(known) = self.namespaces.read().expect("no panic while held").get(&die) {
            return known.clone();
        }
        let name: Arc<str> = read().into();
        self.namespaces.write().expect("no panic while held").insert(die, name.clone());
        name
    }
}
