//! What plugins about categories share: [`Tree`], a taxonomy read from the table that IAB Tech Lab publishes, and
//! [`mapping`], which category of one's own stands for which node.
//!
//! The tests of both stand with the published tables, in `taxonomy` and `content-category`.

pub mod mapping;
mod tree;

pub use tree::{Node, Tree};
