//! The dead-letter office: what operators do with dead letters.

pub mod replay;
