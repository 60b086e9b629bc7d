//! A few pixels side by side, each in a lane of a vector.

/// Pixels in a tile: four vectors of four numbers, so that the division of one hides behind the others.
pub(crate) const LANES: usize = 16;

/// One number for every pixel of a tile.
pub(crate) type Tile = [f64; LANES];
