//! What happens while a job runs, for other programs: plain data, one object per event. `--format jsonl` writes them,
//! `ibwrt schema events` describes them.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::error::{Error, ErrorKind};
use crate::plan::Finding;
use crate::progress::Progress;

/// Version of the events' form. A key or an event more is no new version; one less, or one that means something else, is.
pub(crate) const FORMAT_VERSION: u32 = 1;

/// Receives what happens, in the order in which it does; calls come from one thread at a time or from many.
pub(crate) trait Observer: Progress {
    /// Something happened.
    fn event(&self, event: &Event);
}

/// Something that happened. A stream begins with `begun` and ends with `report`, `batch-done` or `error`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "event", rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) enum Event {
    /// The first event: the program runs.
    Begun {
        /// Version of the events' form: 1.
        format_version: u32,
        /// Name of the program: `ibwrt`.
        program: String,
        /// Its version.
        program_version: String,
    },
    /// A long step begins.
    StepBegun {
        /// What is done, for people.
        step: String,
        /// Its length in bytes or things, where known.
        total: Option<u64>,
    },
    /// The step that began last is over.
    StepDone {
        /// What was done, for people.
        step: String,
    },
    /// The image was opened and every host rendered; hosts are made from now on.
    BatchBegun {
        /// The image.
        image: String,
        /// SHA-256 of its file.
        image_sha256: String,
        /// The folder that the outputs go to.
        folder: String,
        /// The part of the hosts that is made; null for all.
        shard: Option<ShardFacts>,
        /// How many hosts there are, in that part.
        hosts: usize,
        /// How many of them keep the output of an earlier run.
        kept: usize,
    },
    /// A host is being worked on.
    HostBegun {
        /// Its name.
        host: String,
        /// Name of its output.
        output: String,
    },
    /// A host's output has its name.
    HostDone {
        /// The host's name.
        host: String,
        /// Name of the output.
        output: String,
        /// SHA-256 of the output.
        sha256: String,
        /// Its length in bytes.
        length: u64,
        /// Digest of all that it comes from.
        inputs: String,
        /// Digest of the edits that made it.
        plan: String,
        /// What is to be said of it.
        findings: Vec<Finding>,
        /// Whether it is that of an earlier run.
        kept: bool,
        /// Seconds that it took.
        seconds: f64,
    },
    /// A host has no output.
    HostFailed {
        /// The host's name.
        host: String,
        /// Name of the output that it would have had.
        output: String,
        /// Why.
        error: ErrorFacts,
        /// Seconds that it took.
        seconds: f64,
    },
    /// The last event of a batch: sums and report are written.
    BatchDone {
        /// How many hosts there are.
        hosts: usize,
        /// How many of them were made.
        made: usize,
        /// How many kept the output of an earlier run.
        kept: usize,
        /// How many failed.
        failed: usize,
        /// How many were not begun, since another one failed.
        not_begun: usize,
        /// Seconds since `batch-begun`.
        seconds: f64,
        /// What is to be said of the run as a whole.
        remarks: Vec<Finding>,
    },
    /// The last event of another command: what `--format json` prints.
    Report {
        /// The command's report.
        report: Json,
    },
    /// The last event when it did not come to that.
    Error {
        /// What happened.
        error: ErrorFacts,
    },
}

/// A part of a batch's hosts: number K of N.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ShardFacts {
    /// K, from 1.
    pub(crate) number: u32,
    /// N.
    pub(crate) count: u32,
}

/// An error for programs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ErrorFacts {
    /// What sort of failure it is.
    pub(crate) kind: ErrorKind,
    /// What happened.
    pub(crate) message: String,
    /// Where, from the outside in.
    pub(crate) places: Vec<String>,
    /// What to do about it.
    pub(crate) remedy: Option<String>,
    /// The exit code that stands for the kind.
    pub(crate) exit_code: u8,
}

impl From<&Error> for ErrorFacts {
    fn from(error: &Error) -> Self {
        Self {
            kind: error.kind(),
            message: error.message().to_owned(),
            places: error.places().iter().rev().cloned().collect(),
            remedy: error.remedy_text().map(str::to_owned),
            exit_code: error.kind().exit_code(),
        }
    }
}

impl Event {
    /// The first event.
    pub(crate) fn begun() -> Self {
        Self::Begun {
            format_version: FORMAT_VERSION,
            program: env!("CARGO_PKG_NAME").to_owned(),
            program_version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}

/// The JSON schema of an event.
pub(crate) fn event_schema() -> Json {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
    let mut schema = settings.into_generator().into_root_schema_for::<Event>().to_value();
    if let Some(object) = schema.as_object_mut() {
        object.insert("title".to_owned(), "ibwrt event".into());
    }
    schema
}

/// Ignores all events.
#[cfg(test)]
impl Observer for crate::progress::Silent {
    fn event(&self, _event: &Event) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_says_what_it_is_and_reads_back() {
        let event = Event::HostFailed {
            host: "h1".into(),
            output: "h1.img".into(),
            error: ErrorFacts::from(&Error::usage("no such thing").at("inner").at("outer").remedy("try another")),
            seconds: 0.5,
        };
        let text = serde_json::to_string(&event).unwrap();
        assert_eq!(
            text,
            "{\"event\":\"host-failed\",\"host\":\"h1\",\"output\":\"h1.img\",\"error\":{\"kind\":\"usage\",\
             \"message\":\"no such thing\",\"places\":[\"outer\",\"inner\"],\"remedy\":\"try another\",\"exit_code\":2},\
             \"seconds\":0.5}"
        );
        assert_eq!(serde_json::from_str::<Event>(&text).unwrap(), event);
        let more = text.replacen("\"host\"", "\"hast\"", 1);
        assert!(serde_json::from_str::<Event>(&more).is_err());
    }

    #[test]
    fn the_schema_describes_every_event_and_allows_no_other_key() {
        let schema = event_schema();
        let events = schema["oneOf"].as_array().unwrap();
        assert_eq!(events.len(), 10);
        for event in events {
            assert_eq!(event["additionalProperties"], false, "{event}");
            assert!(event["properties"]["event"]["const"].is_string() && event["description"].is_string(), "{event}");
        }
    }
}
