//! Steps on single reads: flat field, units, statistics of good pixels.

pub mod flat;
pub mod statistics;
pub mod unit;
