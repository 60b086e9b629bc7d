//! The only file that starts threads.
//!
//! Threads live for one call (scoped), so nothing survives to hang a forked child, and a host that runs its
//! own pool passes `threads = 1`. Work is cut into items of fixed size that do not depend on the thread
//! count; since no item reads another's result, neither does any answer.

use std::sync::{Mutex, PoisonError};

/// Work every item of `items` with `work`, on `threads` threads, each with its own scratch space.
pub fn for_each<T, S>(
    items: impl IntoIterator<Item = T>,
    threads: usize,
    scratch: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, T) + Sync,
) where
    T: Send,
{
    let items: Vec<T> = items.into_iter().collect();
    let threads = threads.clamp(1, items.len().max(1));
    if threads == 1 {
        let mut space = scratch();
        items.into_iter().for_each(|item| work(&mut space, item));
        return;
    }
    let queue = Mutex::new(items.into_iter());
    // A function of its own, so that the lock is released before the work: a lock taken in the head of a
    // `while let` lives until the end of its body. Nothing can panic while it is held.
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
    let drain = || {
        let mut space = scratch();
        while let Some(item) = next() {
            work(&mut space, item);
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(drain);
        }
        drain();
    });
}

/// The results of `work` over `0..count`, in order.
pub fn map<R: Send>(count: usize, threads: usize, work: impl Fn(usize) -> R + Sync) -> Vec<R> {
    let mut results: Vec<Option<R>> = (0..count).map(|_| None).collect();
    for_each(results.iter_mut().enumerate(), threads, || (), |(), (index, slot)| *slot = Some(work(index)));
    results.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn map_keeps_order_for_any_thread_count() {
        for threads in [1, 2, 7, 64] {
            assert_eq!(map(20, threads, |i| i * i), (0..20).map(|i| i * i).collect::<Vec<_>>());
        }
        assert!(map(0, 4, |i| i).is_empty());
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a watchdog: the test must end even if the items deadlock")]
    fn items_are_worked_at_the_same_time() {
        // Each item waits for the other: one thread after the other would never end.
        let (sender, receiver) = std::sync::mpsc::channel();
        let both = std::sync::Barrier::new(2);
        std::thread::spawn(move || {
            for_each(
                0..2,
                2,
                || (),
                |(), _| {
                    both.wait();
                },
            );
            sender.send(())
        });
        assert!(receiver.recv_timeout(std::time::Duration::from_secs(60)).is_ok());
    }
}
