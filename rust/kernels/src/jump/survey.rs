//! Which rule looks for jumps: it depends on how many groups are usable in the whole exposure.

use super::{Groups, Params};
use crate::stack::{Flags, Stack, blocks};

/// How jumps are told from noise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rule {
    /// What is clipped from the differences is a jump.
    Clip,
    /// All that sticks out is.
    AtOnce,
    /// What sticks out most is; then look again.
    OneByOne,
}

/// The rule to take, if there are enough groups for any.
pub(super) fn choose<T, D: Flags>(groups: &Groups<'_, T, D>, params: &Params) -> Option<Rule> {
    let [nints, ngroups, ..] = groups.data.shape();
    // Groups that no pixel can use, in all and in the worst integration.
    let (mut lost, mut worst) = (0, 0);
    if let Some(dq) = &groups.dq {
        for integration in 0..nints {
            let planes = integration * ngroups..(integration + 1) * ngroups;
            let of_this = planes.filter(|&plane| all_flagged(dq, plane, params.bits.do_not_use)).count();
            lost += of_this;
            worst = worst.max(of_this);
        }
    }
    let (usable, total) = (ngroups - worst, nints * ngroups - lost);
    let clippable = if params.across { nints } else { total } >= params.clip;
    if ngroups < 2 || (usable < params.fewest && !clippable) {
        return None;
    }
    let even = |values: &[f64]| values.windows(2).all(|pair| pair[0] == pair[1]);
    if clippable && even(groups.time) && even(groups.reads) {
        return Some(Rule::Clip);
    }
    Some(if usable > params.single_pass { Rule::AtOnce } else { Rule::OneByOne })
}

fn all_flagged<D: Flags>(dq: &Stack<'_, D>, plane: usize, bit: u16) -> bool {
    blocks(0..dq.pixels(), dq.pixels(), |at| dq.rest(at))
        .all(|run| dq.run(plane, run).iter().all(|word| word.word() & bit != 0))
}
