//! Which samples may be used, from their flags.
//!
//! A sample is usable if it has none of the `bad` flags. A pixel with a flag in every read (a hot pixel) would have
//! none: for it only the `lenient` flags count. From the first read with a `carried` flag (saturated) on nothing is
//! usable, the difference between two reads needs both, and nothing is differenced across a read that is left out.

/// How flags are to be read. All zero: they say nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rule {
    /// Flags that make a sample unusable.
    pub bad: u16,
    /// The ones that do so in pixels that have no usable sample after the zeroth otherwise.
    pub lenient: u16,
    /// Flags that make all later samples unusable too.
    pub carried: u16,
    /// Flags that keep the zeroth sample out where others suffice.
    pub zeroth: u16,
    /// Flags of an earlier fit, to clear first.
    pub cleared: u16,
    /// Flags of an earlier fit unless every read has them.
    pub passing: u16,
    /// Flags that stay out of the product.
    pub hidden: u16,
    /// Flags of a hit before the sample: the difference that ends in it is out, the sample is not.
    pub hit: u16,
}

/// Pixels in a block.
pub(super) const SIZE: usize = 128;

/// Something for every pixel of a block.
pub(super) type Run<T> = [T; SIZE];

/// The flags of a block, read by read.
pub(super) struct Samples {
    /// Flags, those of an earlier fit cleared.
    pub flags: Vec<Run<u16>>,
    /// All ones where a sample may be used, else 0.
    pub usable: Vec<Run<u16>>,
    /// Flags of the product.
    pub product: Run<u16>,
}

impl Samples {
    pub fn new(nread: usize) -> Self {
        let room = || vec![[0; SIZE]; nread];
        Self { flags: room(), usable: room(), product: [0; SIZE] }
    }

    /// Judge the flags, which have been loaded.
    #[inline(always)]
    pub fn judge(&mut self, rule: &Rule, excluded: &[bool]) {
        let (mut every, mut always) = ([0_u16; SIZE], [u16::MAX; SIZE]);
        for flags in &self.flags {
            for p in 0..SIZE {
                every[p] |= flags[p];
                always[p] &= flags[p];
            }
        }
        let mut keep = [0; SIZE];
        for p in 0..SIZE {
            keep[p] = !(rule.cleared | (rule.passing & !always[p]));
        }
        let mut clean = [0_u16; SIZE];
        self.product = [0; SIZE];
        for (r, (flags, &out)) in self.flags.iter_mut().zip(excluded).enumerate() {
            let counts = if out { 0 } else { u16::MAX };
            let after = if r > 0 { counts } else { 0 };
            for p in 0..SIZE {
                flags[p] &= keep[p];
                self.product[p] |= flags[p] & counts & !rule.hidden;
                clean[p] |= if flags[p] & rule.bad == 0 { after } else { 0 };
            }
        }
        let mut bad = [0; SIZE];
        for p in 0..SIZE {
            bad[p] = if clean[p] != 0 { rule.bad } else { rule.lenient };
        }
        let mut carried = [0_u16; SIZE];
        for ((flags, usable), &out) in self.flags.iter().zip(&mut self.usable).zip(excluded) {
            let counts = if out { 0 } else { u16::MAX };
            for p in 0..SIZE {
                carried[p] |= flags[p] & rule.carried;
                usable[p] = if (flags[p] & bad[p]) | carried[p] == 0 { counts } else { 0 };
            }
        }
        if rule.zeroth != 0 {
            self.doubt_zeroth(rule.zeroth);
        }
    }

    /// Leave a flagged zeroth sample out where two others follow one another.
    #[inline(always)]
    fn doubt_zeroth(&mut self, flag: u16) {
        let mut others = [0_u16; SIZE];
        for pair in self.usable[1..].windows(2) {
            for p in 0..SIZE {
                others[p] |= pair[0][p] & pair[1][p];
            }
        }
        for p in 0..SIZE {
            self.usable[0][p] &= if self.flags[0][p] & flag != 0 { !others[p] } else { u16::MAX };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: Rule = Rule {
        bad: !2048,
        lenient: 256,
        carried: 256,
        zeroth: 2048,
        cleared: 8192,
        passing: 32,
        hidden: 256 | 2048,
        hit: 0,
    };

    fn judge(flags: &[u16], excluded: &[bool]) -> (Vec<bool>, u16) {
        let mut samples = Samples::new(flags.len());
        for (run, &flags) in samples.flags.iter_mut().zip(flags) {
            run.fill(flags);
        }
        samples.judge(&RULE, excluded);
        (samples.usable.iter().map(|run| run[SIZE - 1] != 0).collect(), samples.product[0])
    }

    #[test]
    fn samples_are_judged_by_the_rule() {
        let (yes, no) = (true, false);
        let none = [false; 4];
        assert_eq!(judge(&[0, 0, 4, 0], &none), (vec![yes, yes, no, yes], 4));
        // Flagged throughout; and saturated in the end, where another flag does not help.
        assert_eq!(judge(&[16; 4], &none), (vec![yes; 4], 16));
        assert_eq!(judge(&[16, 16, 16 | 256, 16], &none), (vec![yes, yes, no, no], 16));
        assert_eq!(judge(&[0, 0, 256, 0], &none), (vec![yes, yes, no, no], 0));
        assert_eq!(judge(&[256, 0, 0, 0], &none), (vec![no; 4], 0));
        // An earlier fit's flags; a bad pixel keeps its own.
        assert_eq!(judge(&[0, 8192, 8192 | 32, 0], &none), (vec![yes; 4], 0));
        assert_eq!(judge(&[32, 8192 | 32, 32, 32], &none), (vec![yes; 4], 32));
        // Signal in the zeroth read: left out, unless it is one of the only two.
        assert_eq!(judge(&[2048; 4], &none), (vec![no, yes, yes, yes], 0));
        assert_eq!(judge(&[2048, 2048, 256, 0], &none), (vec![yes, yes, no, no], 0));
        // A read left out neither serves nor flags the product, but still tells of saturation.
        assert_eq!(judge(&[0, 4, 0, 0], &[no, yes, no, no]), (vec![yes, no, yes, yes], 0));
        assert_eq!(judge(&[0, 256, 0, 0], &[no, yes, no, no]), (vec![yes, no, no, no], 0));
        assert_eq!(judge(&[0, 0, 4, 4], &[no, yes, no, no]), (vec![yes, no, yes, yes], 4));
    }
}
