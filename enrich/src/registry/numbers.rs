//! From an id to its number, without keeping the id a second time: a large fleet has many.

use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;

/// The numbers of what has an id. Whoever owns what they number says which id goes with each.
#[derive(Clone, Debug, Default)]
pub(super) struct Numbers {
    table: HashTable<u32>,
    hasher: RandomState,
}

impl Numbers {
    pub(super) fn find<'a>(&self, id: &str, id_of: impl Fn(u32) -> Option<&'a str>) -> Option<u32> {
        self.table.find(self.hasher.hash_one(id), |number| id_of(*number) == Some(id)).copied()
    }

    /// Adds a number; `id_of` must know it already.
    pub(super) fn add<'a>(&mut self, number: u32, id_of: impl Fn(u32) -> Option<&'a str>) {
        let Self { table, hasher } = self;
        let hash = |number: &u32| hasher.hash_one(id_of(*number).unwrap_or_default());
        table.insert_unique(hash(&number), number, hash);
    }

    /// Takes a number away; `id_of` must still know it.
    pub(super) fn remove<'a>(&mut self, number: u32, id_of: impl Fn(u32) -> Option<&'a str>) {
        let hash = self.hasher.hash_one(id_of(number).unwrap_or_default());
        if let Ok(entry) = self.table.find_entry(hash, |found| *found == number) {
            entry.remove();
        }
    }
}
