//! A defect of the program itself, said like any other error instead of as a Rust panic.
//!
//! Libraries may panic on damaged input. The filesystem room catches that and makes an error of it, so the hook stays
//! silent; what nobody catches ends here.

use std::cell::RefCell;
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::process::ExitCode;

/// Exit code of a Rust program that panics; none of the documented ones.
const DEFECT: u8 = 101;

thread_local! {
    /// The last panic of this thread: its message and place.
    static LAST: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Runs `job`; a panic in it becomes a message on stderr and an exit code.
pub(super) fn guarded(job: impl FnOnce() -> ExitCode) -> ExitCode {
    panic::set_hook(Box::new(remember));
    panic::catch_unwind(AssertUnwindSafe(job)).unwrap_or_else(|_| {
        let what = LAST.with_borrow(Clone::clone);
        eprintln!("error: a defect of ibwrt itself: {what}");
        eprintln!("  help: please report it with the command that you typed; the input was not touched");
        ExitCode::from(DEFECT)
    })
}

fn remember(info: &PanicHookInfo<'_>) {
    let payload = info.payload();
    let text = payload.downcast_ref::<&str>().copied().or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let text = text.unwrap_or("no message");
    let place = info.location().map(|place| format!(" ({}:{})", place.file(), place.line())).unwrap_or_default();
    LAST.with_borrow_mut(|last| *last = format!("{text}{place}"));
}
