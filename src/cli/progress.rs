//! A progress bar on stderr, for people who wait.

use std::sync::Mutex;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::progress::Progress;

/// Steps that are over sooner than this are not worth a line that flickers.
const REDRAW: Duration = Duration::from_millis(100);

/// Draws the running step; the line is cleared when the step is over.
pub(super) struct Bar {
    drawn: bool,
    step: Mutex<Option<ProgressBar>>,
}

impl Bar {
    /// Draws on stderr.
    pub(super) fn drawn() -> Self {
        Self { drawn: true, step: Mutex::new(None) }
    }

    /// Draws nothing.
    pub(super) fn hidden() -> Self {
        Self { drawn: false, step: Mutex::new(None) }
    }

    fn replace(&self, step: Option<ProgressBar>) {
        // A thread that panicked while holding the lock leaves a bar that can still be replaced.
        let mut current = self.step.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(old) = std::mem::replace(&mut *current, step) {
            old.finish_and_clear();
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.replace(None);
    }
}

impl Progress for Bar {
    fn begin(&self, step: &str, total: Option<u64>) {
        if !self.drawn {
            return;
        }
        let bar = match total {
            Some(total) => ProgressBar::new(total),
            None => ProgressBar::no_length(),
        };
        let template = match total {
            // Long totals are bytes; short ones are things to be counted.
            Some(total) if total >= 4096 => "{spinner} {msg:34} {bar:24} {binary_bytes}/{binary_total_bytes}",
            Some(_) => "{spinner} {msg:34} {bar:24} {pos}/{len}",
            None => "{spinner} {msg}",
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_message(step.to_owned());
        bar.enable_steady_tick(REDRAW);
        self.replace(Some(bar));
    }

    fn advance(&self, by: u64) {
        let current = self.step.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(bar) = &*current {
            bar.inc(by);
        }
    }

    fn end(&self) {
        self.replace(None);
    }
}
