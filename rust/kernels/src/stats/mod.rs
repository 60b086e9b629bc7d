//! Medians and clipped statistics: bricks shared by the kernels.

pub mod clipped;
pub mod imagestats;
pub mod median;
pub mod robust;
