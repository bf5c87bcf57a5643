//! A part of a batch's hosts, for one of several machines.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};

/// Most parts that a batch is cut into.
const MOST: u32 = 1_000_000;

/// Part number K of N. It takes every N-th host, beginning with the K-th: groups of hosts that take long are spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Shard {
    /// N.
    count: u32,
    /// K, from 1.
    number: u32,
}

impl Shard {
    /// Part `number` (from 1) of `count`.
    ///
    /// # Errors
    /// Usage when there is no such part.
    pub(crate) fn new(number: u32, count: u32) -> Result<Self> {
        if count == 0 || count > MOST {
            return Err(Error::usage(format!("hosts are cut into 1 to {MOST} shards, not into {count}")));
        }
        if number == 0 || number > count {
            return Err(Error::usage(format!(
                "there is no shard {number} of {count}: they are numbered from 1 to {count}"
            )));
        }
        Ok(Self { count, number })
    }

    /// K, from 1.
    pub(crate) fn number(self) -> u32 {
        self.number
    }

    /// N.
    pub(crate) fn count(self) -> u32 {
        self.count
    }

    /// Whether it takes the host at `index` (from 0) of the hosts file.
    pub(crate) fn takes(self, index: usize) -> bool {
        index % self.count as usize == (self.number - 1) as usize
    }

    /// What it [takes](Self::takes) of all `hosts`.
    pub(crate) fn slice<T>(self, hosts: &[T]) -> impl Iterator<Item = &T> {
        hosts.iter().skip((self.number - 1) as usize).step_by(self.count as usize)
    }

    /// All shards of this count, by number.
    pub(crate) fn all(self) -> impl Iterator<Item = Self> {
        (1..=self.count).map(move |number| Self { number, ..self })
    }

    /// As it stands in the names of files: `2-of-4`.
    pub(crate) fn label(self) -> String {
        format!("{}-of-{}", self.number, self.count)
    }

    /// The shard whose [`label`](Self::label) is `text`.
    pub(crate) fn from_label(text: &str) -> Option<Self> {
        let (number, count) = text.split_once("-of-")?;
        let shard = Self::new(number.parse().ok()?, count.parse().ok()?).ok()?;
        (shard.label() == text).then_some(shard)
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "shard {} of {}", self.number, self.count)
    }
}

impl FromStr for Shard {
    type Err = Error;

    /// From `K/N`.
    fn from_str(text: &str) -> Result<Self> {
        let numbers =
            text.split_once('/').and_then(|(number, count)| Some((number.parse().ok()?, count.parse().ok()?)));
        let (number, count) = numbers.ok_or_else(|| Error::usage(format!("`{text}` is not K/N, such as 2/4")))?;
        Self::new(number, count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shards_of_any_count_take_every_host_once() {
        for count in 1..20 {
            for hosts in 0..50 {
                let all: Vec<usize> = (0..hosts).collect();
                let mut taken = Vec::new();
                for shard in Shard::new(1, count).unwrap().all() {
                    let own: Vec<usize> = shard.slice(&all).copied().collect();
                    assert_eq!(own, all.iter().copied().filter(|host| shard.takes(*host)).collect::<Vec<_>>());
                    taken.extend(own);
                }
                taken.sort_unstable();
                assert_eq!(taken, (0..hosts).collect::<Vec<_>>(), "{count} shards of {hosts} hosts");
            }
        }
    }

    #[test]
    fn shards_differ_by_at_most_one_host() {
        let sizes = (1..=7).map(|number| (0..100).filter(|host| Shard::new(number, 7).unwrap().takes(*host)).count());
        assert_eq!(sizes.collect::<Vec<_>>(), [15, 15, 14, 14, 14, 14, 14]);
    }

    #[test]
    fn a_shard_that_is_none_is_told_with_its_numbers() {
        let message = |text: &str| text.parse::<Shard>().unwrap_err().to_string();
        assert_eq!(message("5/4"), "there is no shard 5 of 4: they are numbered from 1 to 4");
        assert_eq!(message("0/4"), "there is no shard 0 of 4: they are numbered from 1 to 4");
        assert_eq!(message("1/0"), "hosts are cut into 1 to 1000000 shards, not into 0");
        for text in ["4", "1/", "/4", "a/4", "1/4/4", "-1/4", "1 / 4", ""] {
            assert_eq!(message(text), format!("`{text}` is not K/N, such as 2/4"));
        }
        assert_eq!("2/4".parse::<Shard>().unwrap(), Shard::new(2, 4).unwrap());
    }

    #[test]
    fn a_label_stands_for_one_shard_only() {
        let shard = Shard::new(12, 40).unwrap();
        assert_eq!(Shard::from_label(&shard.label()), Some(shard));
        for text in ["012-of-40", "41-of-40", "0-of-4", "12-of-", "+1-of-4", "12"] {
            assert_eq!(Shard::from_label(text), None, "{text}");
        }
    }
}
