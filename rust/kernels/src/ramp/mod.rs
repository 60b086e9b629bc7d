//! Count rates from ramps.

pub mod crcorr;
