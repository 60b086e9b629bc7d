//! Exact median by guessing instead of sorting.
//!
//! A small sample tells between which two values the middle one lies, nearly surely. One pass then counts what
//! lies outside and keeps what lies inside (a few per cent), where the middle value is searched. If the guess
//! was wrong the counts say so, and all values are searched.

/// Values of the sample; up to so many, there is nothing to guess.
const SAMPLE: usize = 8192;
/// Half the width of the guess in standard deviations of the sample's median rank.
const MARGIN: f64 = 4.0;

/// Median of finite-or-infinite values, NaN left out: for an even count the mean of the two middle ones. None
/// without a value.
///
/// ```
/// use upramp_kernels::stats::median::median;
/// assert_eq!(median(&[3.0, f32::NAN, 1.0, 2.0]), Some(2.0));
/// assert_eq!(median(&[4.0, 1.0]), Some(2.5));
/// ```
pub fn median(values: &[f32]) -> Option<f64> {
    let mut near = Vec::new();
    let (mut below, mut count) = (0, 0);
    if values.len() > SAMPLE
        && let Some([low, high]) = guess(values)
    {
        let above;
        (below, above) = keep_between(values, low, high, &mut near);
        count = below + near.len() + above;
    }
    let missed = count == 0 || below > (count - 1) / 2 || count / 2 >= below + near.len();
    if missed {
        near.clear();
        near.extend(values.iter().filter(|value| !value.is_nan()));
        (below, count) = (0, near.len());
    }
    if count == 0 {
        return None;
    }
    let (low, high) = ((count - 1) / 2 - below, count / 2 - below);
    let (_, &mut lower, after) = near.select_nth_unstable_by(low, f32::total_cmp);
    // The value of the next rank is the least of those sorted after.
    let next = || after.iter().copied().min_by(f32::total_cmp).unwrap_or(lower);
    let upper = if high == low { lower } else { next() };
    Some(0.5 * (f64::from(lower) + f64::from(upper)))
}

/// Median of a few values without NaN, which come out in another order; NaN without any.
pub(crate) fn median_of_few(values: &mut [f64]) -> f64 {
    /// So many are sorted by insertion: most comparisons are foreseen by the processor.
    const FEW: usize = 24;
    let n = values.len();
    if n == 0 {
        return f64::NAN;
    }
    if n <= FEW {
        for i in 1..n {
            let value = values[i];
            let mut place = i;
            while place > 0 && values[place - 1] > value {
                values[place] = values[place - 1];
                place -= 1;
            }
            values[place] = value;
        }
        return if n % 2 == 1 { values[n / 2] } else { (values[n / 2 - 1] + values[n / 2]) / 2.0 };
    }
    let (before, &mut upper, _) = values.select_nth_unstable_by(n / 2, f64::total_cmp);
    if n % 2 == 1 {
        return upper;
    }
    let lower = before.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    (lower + upper) / 2.0
}

/// Two values between which the median should lie.
fn guess(values: &[f32]) -> Option<[f32; 2]> {
    // An odd step does not fall in step with the columns of an image.
    let step = (values.len() / SAMPLE) | 1;
    let mut sample: Vec<f32> = values.iter().copied().step_by(step).filter(|value| !value.is_nan()).collect();
    let middle = sample.len() / 2;
    let margin = (MARGIN * 0.5 * (sample.len() as f64).sqrt()) as usize;
    if margin >= middle {
        return None;
    }
    let low = *sample.select_nth_unstable_by(middle - margin, f32::total_cmp).1;
    let high = *sample.select_nth_unstable_by(middle + margin, f32::total_cmp).1;
    Some([low, high])
}

/// Copy the values from `low` to `high` to `near`; how many lie below and above.
fn keep_between(values: &[f32], low: f32, high: f32, near: &mut Vec<f32>) -> (usize, usize) {
    /// Values taken at a time.
    const RUN: usize = 1024;
    let (mut below, mut above) = (0, 0);
    let mut kept = [0.0; RUN];
    for run in values.chunks(RUN) {
        below += run.iter().map(|&value| u32::from(value < low)).sum::<u32>() as usize;
        above += run.iter().map(|&value| u32::from(value > high)).sum::<u32>() as usize;
        let mut count = 0;
        for &value in run {
            // Written always, kept if the place moves on: no branch to mispredict.
            kept[count] = value;
            count += usize::from(value >= low && value <= high);
        }
        near.extend_from_slice(&kept[..count]);
    }
    (below, above)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sorted(mut values: Vec<f32>) -> Option<f64> {
        values.retain(|value| !value.is_nan());
        values.sort_by(f32::total_cmp);
        let n = values.len();
        (n > 0).then(|| 0.5 * (f64::from(values[(n - 1) / 2]) + f64::from(values[n / 2])))
    }

    proptest! {
        #[test]
        fn agrees_with_sorting(values in prop::collection::vec(
            prop_oneof![-1e3f32..1e3, Just(0.0), Just(-0.0), Just(f32::NAN), -1e-3f32..1e-3], 0..200)) {
            let exact = sorted(values.clone());
            prop_assert_eq!(median(&values), exact);
        }

        #[test]
        fn agrees_with_sorting_where_it_guesses(
            few in prop::collection::vec(prop_oneof![9 => -1e3f32..1e3, 1 => Just(f32::NAN)], 1..9),
            count in SAMPLE - 2..5 * SAMPLE, step in 1usize..20_000, order in 0..3) {
            let mut values: Vec<f32> =
                (0..count).map(|i| few[i % few.len()] + (i * step % 10_007) as f32 * 0.01).collect();
            match order {
                0 => values.sort_by(f32::total_cmp),
                1 => values.iter_mut().for_each(|value| *value = value.round()),
                _ => {}
            }
            prop_assert_eq!(median(&values), sorted(values));
        }
    }

    #[test]
    fn a_wrong_guess_is_noticed() {
        // What is sampled differs from all the rest.
        let step = 5 * SAMPLE / SAMPLE;
        let values: Vec<f32> =
            (0..5 * SAMPLE).map(|i| if i % step == 0 { -1e6 + i as f32 } else { i as f32 }).collect();
        assert_eq!(median(&values), sorted(values));
    }

    #[test]
    fn a_few_values_have_the_same_median() {
        for n in 1..60 {
            let values: Vec<f64> = (0..n).map(|i| f64::from((i * 37) % 23) - 9.0).collect();
            let single: Vec<f32> = values.iter().map(|&v| v as f32).collect();
            assert_eq!(Some(median_of_few(&mut values.clone())), sorted(single), "{n}");
        }
        assert!(median_of_few(&mut []).is_nan());
    }

    #[test]
    fn without_values_there_is_no_median() {
        assert_eq!(median(&[f32::NAN; 3]), None);
        assert_eq!(median(&[f32::NAN; 2 * SAMPLE]), None);
    }
}
