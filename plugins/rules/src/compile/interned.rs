//! Things that many rules share.

use std::{collections::HashMap, hash::Hash};

/// Things in order of their first use, each once.
#[derive(Debug)]
pub(crate) struct Interned<T> {
    list: Vec<T>,
    index: HashMap<T, usize>,
}

impl<T: Clone + Eq + Hash> Interned<T> {
    pub(super) fn add(&mut self, item: T) -> usize {
        if let Some(&known) = self.index.get(&item) {
            return known;
        }
        self.index.insert(item.clone(), self.list.len());
        self.list.push(item);
        self.list.len() - 1
    }
}

impl<T> std::ops::Deref for Interned<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.list
    }
}

impl<T> Default for Interned<T> {
    fn default() -> Self {
        Self { list: Vec::new(), index: HashMap::new() }
    }
}
