//! What the tests share: libraries built for them, and the conformance suite.

pub mod artefacts;
