//! Which samples of a ramp are fitted together: runs of good groups, cut where a hit fell.

/// Bits of the groups' flags, and those of the product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bits {
    /// Group is not to be used.
    pub do_not_use: u16,
    /// Group is saturated.
    pub saturated: u16,
    /// Charge has jumped between the group before and this one.
    pub jump: u16,
    /// Does not keep a group out.
    pub persistence: u16,
    /// Kept out of the fit, with `do_not_use`, but not out of the read noise; 0: none.
    pub charge_loss: u16,
    /// Of the product: pixel without a gain.
    pub no_gain: u32,
}

/// A run of groups, `start..end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Segment {
    pub start: usize,
    pub end: usize,
}

impl Segment {
    pub fn len(self) -> usize {
        self.end - self.start
    }
}

/// Segments of a ramp into `found`; returns how many there were before single groups were left out for good.
///
/// A segment is a run of groups without flags (but persistence). A group that is flagged as a jump and nothing else
/// is the first of the run behind it: it holds the charge of the hit. Runs of one group count only if there is no
/// longer one, and then only the first.
pub(super) fn find_segments(flags: &[u16], bits: &Bits, found: &mut Vec<Segment>) -> usize {
    found.clear();
    let mut longest = 0;
    let mut start = None;
    let mut add = |start: usize, end: usize| {
        if end - start > 1 || longest < 2 {
            found.push(Segment { start, end });
        }
        longest = longest.max(end - start);
    };
    let mut before = 0;
    for (group, &word) in flags.iter().enumerate() {
        let word = word & !bits.persistence;
        if word == 0 {
            start.get_or_insert(group - usize::from(group > 0 && before == bits.jump));
        } else if let Some(start) = start.take() {
            add(start, group);
        }
        before = word;
    }
    if let Some(start) = start {
        add(start, flags.len());
    }
    let raw = found.len();
    if longest > 1 {
        found.retain(|segment| segment.len() > 1);
        found.len()
    } else {
        found.truncate(1);
        raw
    }
}

#[cfg(test)]
pub(super) const JWST: Bits =
    Bits { do_not_use: 1, saturated: 2, jump: 4, persistence: 32, charge_loss: 128, no_gain: 1 << 19 };

#[cfg(test)]
mod tests {
    use super::*;

    /// Flags by letters, segments as `start..end`.
    fn segments(letters: &str) -> String {
        let flags: Vec<u16> = letters
            .chars()
            .map(|c| match c {
                'J' => 4,
                'D' => 1,
                'S' => 2,
                'P' => 32,
                'j' => 4 | 32,
                _ => 0,
            })
            .collect();
        let mut found = Vec::new();
        find_segments(&flags, &JWST, &mut found);
        found.iter().map(|s| format!("{}-{}", s.start, s.end)).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_jump_ends_one_segment_and_begins_the_next() {
        for (letters, expected) in [
            ("......", "0-6"),
            ("...J..", "0-3 3-6"),
            ("..JJ..", "0-2 3-6"),
            ("..DJ..", "0-2 3-6"),
            ("..JD..", "0-2 4-6"),
            ("..j...", "0-2 2-6"),
            (".P.D.J", "0-3"),
            (".D.D.D", "0-1"),
            (".D..DJ", "2-4"),
            (".J.J.J", "1-3 3-5"),
            ("J.....", "0-6"),
            ("JJJJJJ", ""),
            ("....SS", "0-4"),
            ("DDDDDD", ""),
        ] {
            assert_eq!(segments(letters), expected, "{letters}");
        }
    }
}
