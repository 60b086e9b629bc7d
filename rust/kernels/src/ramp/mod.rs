//! Count rates from ramps.

pub mod casertano;
pub mod crcorr;
pub mod likelihood;
pub mod ols;
