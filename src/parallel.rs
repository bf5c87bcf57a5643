//! Work on many things by several threads of one's own: unlike in a pool, whoever waits for another's answer never works on
//! a second thing meanwhile.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::thread;

/// Calls `work` with each number below `count`, on as many threads as the pool has, and `take` on this thread with what comes
/// of it, in the order in which it comes.
fn each<R: Send>(count: usize, work: impl Fn(usize) -> R + Sync, mut take: impl FnMut(usize, R)) {
    let next = AtomicUsize::new(0);
    let (sender, receiver) = channel();
    thread::scope(|scope| {
        for _ in 0..rayon::current_num_threads().min(count) {
            let sender = sender.clone();
            let (next, work) = (&next, &work);
            scope.spawn(move || {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count || sender.send((number, work(number))).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        for (number, result) in receiver {
            take(number, result);
        }
    });
}

/// What `work` makes of each number below `count`, in their order.
pub(crate) fn map<R: Send>(count: usize, work: impl Fn(usize) -> R + Sync) -> Vec<R> {
    let mut results: Vec<Option<R>> = (0..count).map(|_| None).collect();
    each(count, work, |number, result| {
        if let Some(slot) = results.get_mut(number) {
            *slot = Some(result);
        }
    });
    results.into_iter().flatten().collect()
}

/// What `here` gives on this thread, and `beside` meanwhile on another one.
pub(crate) fn both<A, B: Send>(here: impl FnOnce() -> A, beside: impl FnOnce() -> B + Send) -> (A, B) {
    thread::scope(|scope| {
        let other = scope.spawn(beside);
        let own = here();
        match other.join() {
            Ok(other) => (own, other),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}
