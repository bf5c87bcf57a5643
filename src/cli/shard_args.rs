//! Which part of the hosts a machine makes: said on the command line, or by what started the machine.

use std::str::FromStr;

use clap::Args;

use crate::error::{Error, Result};
use crate::task::Shard;

/// Of how many shards JOB_COMPLETION_INDEX counts one: Kubernetes does not say.
const COUNT: &str = "IBWRT_SHARD_COUNT";
const REMEDY: &str = "name the shard, such as --shard 2/4, or make all hosts with --shard all";

/// Which part of the hosts is made.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "More than one machine")]
pub(super) struct Sharding {
    /// Make only shard K of N of the hosts (K from 1). Otherwise the task of a Slurm array or of a Kubernetes Indexed Job
    /// makes its own; `auto` insists on being one, `all` makes every host even there
    #[arg(long, value_name = "K/N|auto|all")]
    shard: Option<Choice>,
}

/// What --shard says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Choice {
    Given(Shard),
    Auto,
    All,
}

impl FromStr for Choice {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "auto" => Ok(Self::Auto),
            "all" => Ok(Self::All),
            _ => text.parse().map(Self::Given),
        }
    }
}

/// A shard, and who says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Slice {
    pub(super) shard: Shard,
    /// The option, or a variable with its value.
    pub(super) said_by: String,
}

impl Sharding {
    /// The part of the hosts; `None`: all of them. `environment` knows the variables' values.
    ///
    /// # Errors
    /// Usage: variables that contradict each other or are no numbers; `auto` without them.
    pub(super) fn slice(&self, environment: &dyn Fn(&str) -> Option<String>) -> Result<Option<Slice>> {
        match self.shard {
            Some(Choice::All) => Ok(None),
            Some(Choice::Given(shard)) => Ok(Some(Slice { shard, said_by: "--shard".to_owned() })),
            Some(Choice::Auto) => Environment(environment).slice()?.map(Some).ok_or_else(|| {
                Error::usage("--shard auto, but neither SLURM_ARRAY_TASK_ID nor JOB_COMPLETION_INDEX is set")
                    .remedy("start it as a task of a Slurm array (sbatch --array=0-3) or of a Kubernetes Indexed Job, or name the shard: --shard 2/4")
            }),
            None => Environment(environment).slice(),
        }
    }
}

/// The variables.
struct Environment<'a>(&'a dyn Fn(&str) -> Option<String>);

impl Environment<'_> {
    fn slice(&self) -> Result<Option<Slice>> {
        // Slurm's daemons may run in pods; a pod's job does not run under Slurm.
        match self.slurm()? {
            Some(slice) => Ok(Some(slice)),
            None => self.kubernetes(),
        }
    }

    /// The task of a Slurm array. Source: `man sbatch`, OUTPUT ENVIRONMENT VARIABLES.
    fn slurm(&self) -> Result<Option<Slice>> {
        const ID: &str = "SLURM_ARRAY_TASK_ID";
        let Some(id) = self.number(ID)? else { return Ok(None) };
        let count = self.number("SLURM_ARRAY_TASK_COUNT")?.ok_or_else(|| {
            Error::usage(format!("{ID} is {id}, but SLURM_ARRAY_TASK_COUNT, which says of how many, is not set"))
                .remedy(REMEDY)
        })?;
        let first = self.number("SLURM_ARRAY_TASK_MIN")?.unwrap_or(0);
        let step = self.number("SLURM_ARRAY_TASK_STEP")?.unwrap_or(1).max(1);
        let last = self.number("SLURM_ARRAY_TASK_MAX")?;
        // Slurm takes lists such as 1,5-7 as well, and tells no task its place in one.
        let place = |id: u32| id.checked_sub(first).filter(|far| far % step == 0).map(|far| far / step);
        let is_even = last.is_none_or(|last| place(last).is_some_and(|place| place.checked_add(1) == Some(count)));
        let number = place(id).filter(|place| is_even && *place < count).ok_or_else(|| {
            let last = last.map(|last| format!(", SLURM_ARRAY_TASK_MAX {last}")).unwrap_or_default();
            Error::usage(format!(
                "{ID} is {id}, which is none of {count} ids from {first} on in steps of {step} (SLURM_ARRAY_TASK_COUNT \
                 {count}, SLURM_ARRAY_TASK_MIN {first}, SLURM_ARRAY_TASK_STEP {step}{last})"
            ))
            .remedy("give the array evenly spaced ids, such as --array=0-3, or name the shard, such as --shard 2/4")
        })?;
        Ok(Some(Slice { shard: Shard::new(number + 1, count)?, said_by: format!("{ID} {id}") }))
    }

    /// A pod of an Indexed Job. Source: kubernetes.io, Indexed Job for Parallel Processing.
    fn kubernetes(&self) -> Result<Option<Slice>> {
        const INDEX: &str = "JOB_COMPLETION_INDEX";
        let Some(index) = self.number(INDEX)? else { return Ok(None) };
        let count = self.number(COUNT)?.ok_or_else(|| {
            Error::usage(format!("{INDEX} is {index}, but {COUNT}, which says of how many, is not set")).remedy(
                format!(
                    "set {COUNT} to the `completions` of the Job, as contrib/kubernetes/job.yaml does, or {REMEDY}"
                ),
            )
        })?;
        if index >= count {
            return Err(Error::usage(format!(
                "{INDEX} is {index}, but {COUNT} is {count}: indexes go from 0 to one less"
            ))
            .remedy(format!("set {COUNT} to the `completions` of the Job")));
        }
        Ok(Some(Slice { shard: Shard::new(index + 1, count)?, said_by: format!("{INDEX} {index}") }))
    }

    /// The number that the variable `name` holds.
    fn number(&self, name: &str) -> Result<Option<u32>> {
        let Some(text) = (self.0)(name) else { return Ok(None) };
        let number = text.trim().parse().map_err(|_| {
            Error::usage(format!("{name} is `{text}`, which is no number from 0 to {}", u32::MAX)).remedy(REMEDY)
        })?;
        Ok(Some(number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is made of `--shard choice` where `variables` are set: `K/N by WHOM`.
    fn slice(choice: Option<&str>, variables: &str) -> Result<Option<String>, String> {
        let read = |name: &str| {
            let mut pairs = variables.split(' ').filter_map(|pair| pair.split_once('='));
            pairs.find(|(key, _)| *key == name).map(|(_, value)| value.to_owned())
        };
        let sharding = Sharding { shard: choice.map(|text| text.parse().unwrap()) };
        let slice = sharding.slice(&read).map_err(|error| error.to_string())?;
        Ok(slice.map(|Slice { shard, said_by }| format!("{}/{} by {said_by}", shard.number(), shard.count())))
    }

    fn is(choice: Option<&str>, variables: &str, expected: &str) {
        assert_eq!(slice(choice, variables), Ok(Some(expected.to_owned())), "{choice:?} {variables}");
    }

    #[test]
    fn a_task_of_a_slurm_array_finds_its_place_wherever_the_ids_begin() {
        for (array, id, expected) in [
            ("COUNT=4 SLURM_ARRAY_TASK_MIN=0 SLURM_ARRAY_TASK_MAX=3 SLURM_ARRAY_TASK_STEP=1", 0, "1/4"),
            ("COUNT=4 SLURM_ARRAY_TASK_MIN=0 SLURM_ARRAY_TASK_MAX=3 SLURM_ARRAY_TASK_STEP=1", 3, "4/4"),
            ("COUNT=4 SLURM_ARRAY_TASK_MIN=1 SLURM_ARRAY_TASK_MAX=4 SLURM_ARRAY_TASK_STEP=1", 1, "1/4"),
            ("COUNT=3 SLURM_ARRAY_TASK_MIN=10 SLURM_ARRAY_TASK_MAX=20 SLURM_ARRAY_TASK_STEP=5", 15, "2/3"),
            ("COUNT=1 SLURM_ARRAY_TASK_MIN=7 SLURM_ARRAY_TASK_MAX=7 SLURM_ARRAY_TASK_STEP=1", 7, "1/1"),
            ("COUNT=4", 2, "3/4"),
        ] {
            let variables = format!("SLURM_ARRAY_TASK_ID={id} SLURM_ARRAY_TASK_{array}");
            for choice in [None, Some("auto")] {
                is(choice, &variables, &format!("{expected} by SLURM_ARRAY_TASK_ID {id}"));
            }
        }
    }

    #[test]
    fn a_pod_of_an_indexed_job_counts_from_nought() {
        is(None, "JOB_COMPLETION_INDEX=0 IBWRT_SHARD_COUNT=4", "1/4 by JOB_COMPLETION_INDEX 0");
        is(Some("auto"), "JOB_COMPLETION_INDEX=3 IBWRT_SHARD_COUNT=4", "4/4 by JOB_COMPLETION_INDEX 3");
    }

    #[test]
    fn the_option_wins_over_the_environment() {
        let array = "SLURM_ARRAY_TASK_ID=1 SLURM_ARRAY_TASK_COUNT=4";
        is(Some("2/8"), array, "2/8 by --shard");
        assert_eq!(slice(Some("all"), array), Ok(None));
        assert_eq!(slice(None, "SLURM_JOB_ID=5"), Ok(None), "no array");
        assert_eq!(slice(Some("all"), "SLURM_ARRAY_TASK_ID=nonsense"), Ok(None));
    }

    #[test]
    fn variables_that_name_no_shard_are_told_with_their_values() {
        for (variables, expected) in [
            ("SLURM_ARRAY_TASK_ID=x", "SLURM_ARRAY_TASK_ID is `x`, which is no number from 0 to 4294967295"),
            ("SLURM_ARRAY_TASK_ID=", "SLURM_ARRAY_TASK_ID is ``, which is no number from 0 to 4294967295"),
            (
                "SLURM_ARRAY_TASK_ID=2",
                "SLURM_ARRAY_TASK_ID is 2, but SLURM_ARRAY_TASK_COUNT, which says of how many, is not set",
            ),
            (
                "SLURM_ARRAY_TASK_ID=4 SLURM_ARRAY_TASK_COUNT=4",
                "SLURM_ARRAY_TASK_ID is 4, which is none of 4 ids from 0 on in steps of 1 (SLURM_ARRAY_TASK_COUNT 4, \
                 SLURM_ARRAY_TASK_MIN 0, SLURM_ARRAY_TASK_STEP 1)",
            ),
            (
                "SLURM_ARRAY_TASK_ID=1 SLURM_ARRAY_TASK_COUNT=3 SLURM_ARRAY_TASK_MIN=1 SLURM_ARRAY_TASK_MAX=7 \
                 SLURM_ARRAY_TASK_STEP=1",
                "SLURM_ARRAY_TASK_ID is 1, which is none of 3 ids from 1 on in steps of 1 (SLURM_ARRAY_TASK_COUNT 3, \
                 SLURM_ARRAY_TASK_MIN 1, SLURM_ARRAY_TASK_STEP 1, SLURM_ARRAY_TASK_MAX 7)",
            ),
            ("JOB_COMPLETION_INDEX=-1", "JOB_COMPLETION_INDEX is `-1`, which is no number from 0 to 4294967295"),
            (
                "JOB_COMPLETION_INDEX=1",
                "JOB_COMPLETION_INDEX is 1, but IBWRT_SHARD_COUNT, which says of how many, is not set",
            ),
            (
                "JOB_COMPLETION_INDEX=4 IBWRT_SHARD_COUNT=4",
                "JOB_COMPLETION_INDEX is 4, but IBWRT_SHARD_COUNT is 4: indexes go from 0 to one less",
            ),
        ] {
            assert_eq!(slice(None, variables), Err(expected.to_owned()), "{variables}");
        }
        let message = "--shard auto, but neither SLURM_ARRAY_TASK_ID nor JOB_COMPLETION_INDEX is set";
        assert_eq!(slice(Some("auto"), "IBWRT_SHARD_COUNT=4"), Err(message.to_owned()));
    }
}
