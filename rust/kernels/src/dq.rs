//! Data-quality bits of WFC3/IR.

/// Detector problem (dead pixel); also set on a read whose sample was an electronic spike.
pub const DETECTORPROB: u16 = 4;
/// Unstable response; also set on a pixel hit too often to be fitted.
pub const UNSTABLE: u16 = 32;
/// Saturated.
pub const SATPIXEL: u16 = 256;
/// Inside the ramp fit: a spike. In an input DQ: "leave this sample out".
pub const SPIKE: u16 = 1024;
/// Signal in the zeroth read.
pub const ZEROSIG: u16 = 2048;
/// Cosmic-ray hit, on the read that was hit and all later ones.
pub const DATAREJECT: u16 = 8192;
/// Inside the ramp fit: more hits than a ramp can hold.
pub const HIGH_CURVATURE: u16 = 16384;
