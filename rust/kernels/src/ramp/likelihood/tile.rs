//! A few pixels side by side, each in a lane of a vector.

/// Pixels in a tile: two vectors of four numbers.
pub(super) const LANES: usize = 8;

/// One number for every pixel of a tile.
pub(super) type Tile = [f64; LANES];
