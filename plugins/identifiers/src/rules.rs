//! One module a kind of value; each function takes a trimmed, non-empty value and names the source of its rule.

pub mod email;
pub mod maid;
pub mod meta;
pub mod phone;
