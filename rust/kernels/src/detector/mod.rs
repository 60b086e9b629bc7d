//! Detector steps: from raw reads to count rates ([`chain`], one file a step), then flat field and statistics.

pub mod chain;
pub mod dark;
pub mod flat;
pub mod frame;
pub mod image;
pub mod linearity;
pub mod noise;
pub mod reference_pixels;
pub mod statistics;
pub mod unit;
pub mod zero_signal;
