//! Count rates from ramps.

pub mod crcorr;
pub mod likelihood;
pub mod ols;
