//! The list of what Python may call; every file here mirrors the kernel module of its name
//! (`overlap_difference` that of `overlap::difference`).

mod arrays;
mod bytes;
mod casertano;
mod combine;
mod detector;
mod enter;
mod jump;
mod lacosmic;
mod likelihood;
mod likelihood_differences;
mod masked;
mod ols;
mod overlap;
mod overlap_difference;
mod ramp;
mod reads;
mod stack;
mod stats;

use pyo3::prelude::*;

/// Kernels of upramp. Arrays come in checked by the Python layer; nothing here is public.
#[pymodule]
mod _core {
    #[pymodule_export]
    #[allow(non_upper_case_globals)]
    const __version__: &str = env!("CARGO_PKG_VERSION");
    #[pymodule_export]
    use crate::bytes::{copy_swapped, swap_big_endian};
    #[pymodule_export]
    use crate::casertano::fit_casertano;
    #[pymodule_export]
    use crate::combine::combine_frames;
    #[pymodule_export]
    use crate::detector::{calibrate_reads, divide_flat, good_pixels, reference_levels};
    #[pymodule_export]
    use crate::jump::find_jumps;
    #[pymodule_export]
    use crate::lacosmic::detect_cosmics;
    #[pymodule_export]
    use crate::likelihood::fit_gls;
    #[pymodule_export]
    use crate::likelihood_differences::{fit_differences, search_differences};
    #[pymodule_export]
    use crate::masked::mask_pixels;
    #[pymodule_export]
    use crate::ols::fit_ols;
    #[pymodule_export]
    use crate::overlap::{fill_polygons, find_overlaps, overlap_levels, polygon_areas};
    #[pymodule_export]
    use crate::overlap_difference::{image_differences, sky_brightness};
    #[pymodule_export]
    use crate::ramp::fit_crcorr;
    #[pymodule_export]
    use crate::reads::{average_intervals, cell_levels, interval_stats, read_stats};
    #[pymodule_export]
    use crate::stats::image_statistic;
}
