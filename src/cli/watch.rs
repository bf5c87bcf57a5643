//! Who watches a job: a bar for people, a stream of events for other programs, both or none.

use std::sync::{Mutex, PoisonError};

use super::host_bar::HostBar;
use super::progress::Bar;
use super::stream::Stream;
use crate::progress::Progress;
use crate::task::{Event, Observer};

/// Hands on what happens.
pub(super) struct Watch {
    /// Whether bars are drawn.
    drawn: bool,
    bar: Bar,
    hosts: Mutex<Option<HostBar>>,
    stream: Option<Stream>,
    /// The step that runs, for its end in the stream.
    step: Mutex<Option<String>>,
}

impl Watch {
    /// Draws bars on stderr if `drawn`, and writes events to `stream`.
    pub(super) fn new(drawn: bool, stream: Option<Stream>) -> Self {
        let bar = if drawn { Bar::drawn() } else { Bar::hidden() };
        let watch = Self { drawn, bar, hosts: Mutex::default(), stream, step: Mutex::default() };
        watch.tell(&Event::begun());
        watch
    }

    /// Where events go, if they are wished for.
    pub(super) fn stream(&self) -> Option<&Stream> {
        self.stream.as_ref()
    }

    /// Takes bars off the screen, for what is said instead.
    pub(super) fn clear(&self) {
        self.bar.end();
        *self.hosts.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn tell(&self, event: &Event) {
        if let Some(stream) = &self.stream {
            stream.event(event);
        }
    }

    /// Makes `next` the step that runs, and tells that the one before is over.
    fn step(&self, next: Option<&str>) {
        let mut step = self.step.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(step) = std::mem::replace(&mut *step, next.map(str::to_owned)) {
            self.tell(&Event::StepDone { step });
        }
    }
}

impl Progress for Watch {
    fn begin(&self, step: &str, total: Option<u64>) {
        self.bar.begin(step, total);
        self.step(Some(step));
        self.tell(&Event::StepBegun { step: step.to_owned(), total });
    }

    fn advance(&self, by: u64) {
        self.bar.advance(by);
    }

    fn end(&self) {
        self.bar.end();
        self.step(None);
    }
}

impl Observer for Watch {
    fn event(&self, event: &Event) {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::BatchBegun { hosts: count, kept, .. } => *hosts = self.drawn.then(|| HostBar::new(*count, *kept)),
            Event::BatchDone { .. } => *hosts = None,
            _ => {
                if let Some(bar) = &mut *hosts {
                    bar.event(event);
                }
            }
        }
        self.tell(event);
    }
}
