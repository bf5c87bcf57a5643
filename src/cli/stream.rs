//! Events on stdout for other programs: one JSON object per line, each written whole and at once.

use std::io::{self, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use super::terminal::not_json;
use crate::error::{Error, Result};
use crate::task::Event;

/// Writes events.
pub(super) struct Stream(Mutex<State>);

struct State {
    out: Box<dyn Write + Send>,
    /// Whether nobody reads any more.
    closed: bool,
    /// Why an event could not be written.
    failure: Option<Error>,
}

impl Stream {
    /// Writes to stdout.
    pub(super) fn stdout() -> Self {
        Self::to(Box::new(io::stdout()))
    }

    /// Writes to `out`.
    fn to(out: Box<dyn Write + Send>) -> Self {
        Self(Mutex::new(State { out, closed: false, failure: None }))
    }

    /// Writes `event`. When the reader goes away, the job goes on and is told to nobody. What else goes wrong is kept for
    /// [`Stream::finish`].
    pub(super) fn event(&self, event: &Event) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.closed {
            return;
        }
        let written = serde_json::to_string(event)
            .map_err(not_json)
            .map(|text| state.out.write_all(format!("{text}\n").as_bytes()).and_then(|()| state.out.flush()));
        let failure = match written {
            Ok(Ok(())) => return,
            Ok(Err(error)) if error.kind() == io::ErrorKind::BrokenPipe => None,
            Ok(Err(error)) => Some(Error::io("write to", Path::new("stdout"), error)),
            Err(error) => Some(error),
        };
        state.closed = true;
        state.failure = failure;
    }

    /// Whether all could be written, or nobody wanted it.
    ///
    /// # Errors
    /// The first event that could not be written, once.
    pub(super) fn finish(&self) -> Result<()> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.failure.take().map_or(Ok(()), Err)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::error::ErrorKind;

    /// Keeps each write apart; refuses with `kind` from the write number `limit` on.
    struct Pieces {
        pieces: Arc<Mutex<Vec<String>>>,
        limit: usize,
        kind: io::ErrorKind,
    }

    impl Write for Pieces {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut pieces = self.pieces.lock().unwrap();
            if pieces.len() >= self.limit {
                return Err(self.kind.into());
            }
            pieces.push(String::from_utf8(bytes.to_vec()).unwrap());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn told(limit: usize, kind: io::ErrorKind) -> (Vec<String>, Result<()>) {
        let pieces = Arc::<Mutex<Vec<String>>>::default();
        let stream = Stream::to(Box::new(Pieces { pieces: Arc::clone(&pieces), limit, kind }));
        for step in ["one", "two"] {
            stream.event(&Event::StepDone { step: step.to_owned() });
        }
        let written = pieces.lock().unwrap().clone();
        (written, stream.finish())
    }

    #[test]
    fn each_event_is_one_write_of_one_line() {
        let (written, finished) = told(9, io::ErrorKind::Other);
        finished.unwrap();
        assert_eq!(
            written,
            ["{\"event\":\"step-done\",\"step\":\"one\"}\n", "{\"event\":\"step-done\",\"step\":\"two\"}\n"]
        );
    }

    #[test]
    fn a_reader_that_went_away_is_no_error_and_a_full_disk_is() {
        let (written, finished) = told(1, io::ErrorKind::BrokenPipe);
        finished.unwrap();
        assert_eq!(written.len(), 1);
        let (written, finished) = told(1, io::ErrorKind::StorageFull);
        assert_eq!(written.len(), 1);
        assert_eq!(finished.unwrap_err().kind(), ErrorKind::Io);
    }
}
