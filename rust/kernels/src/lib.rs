//! The science of upramp: pure functions on pixels.
//!
//! | module | answers |
//! |---|---|
//! | [`ramp::crcorr`] | what is the count rate of every pixel, and which reads were hit by cosmic rays? |
//! | [`ramp::likelihood`] | the same by generalised least squares and likelihood ratios |
//! | [`ramp::casertano`] | the same by Casertano's weights |
//! | [`ramp::ols`] | the same, as JWST does it: weighted lines between hits |
//! | [`jump`] | where did charge jump between two groups? |
//! | [`reads`] | what is the background level of every read? |
//! | [`detector`] | flat field, unit conversion and statistics of a read |
//! | [`stats`] | exact medians and clipped statistics, the bricks of the above |
//! | [`lacosmic`] | which pixels of a single image are hit by cosmic rays, and what would they have held? |
//! | [`overlap`] | where do footprints on the sphere overlap, and which pixels lie there? |
//! | [`combine`] | what do many frames say together? |
//! | [`masked`] | which pixels of an image are to be used? |
//! | [`bytes`] | FITS byte order to native, in place |
//!
//! Cubes are `(nread, ny, nx)`, C order, zeroth read first. Nothing here knows of Python, files or the
//! environment; threads are an argument and never change an answer.

pub mod bytes;
pub mod combine;
pub mod detector;
pub mod dq;
pub mod error;
pub mod jump;
pub mod lacosmic;
pub mod masked;
pub mod overlap;
pub mod par;
pub mod ramp;
pub mod reads;
mod simd;
pub mod stack;
pub mod stats;
pub mod view;

pub use error::{Error, Result};
