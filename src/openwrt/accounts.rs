//! Users and groups that packages need: `/etc/passwd`, `/etc/group` and `/etc/shadow` as OpenWrt's `add_group_and_user`
//! (base-files, lib/functions.sh) leaves them.

use super::autoload::split_lines;

/// The first number that is given away where none is asked for.
const FIRST_FREE: u32 = 32_768;

/// The three files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Accounts {
    /// `/etc/passwd`.
    pub(crate) passwd: Vec<u8>,
    /// `/etc/group`.
    pub(crate) group: Vec<u8>,
    /// `/etc/shadow`.
    pub(crate) shadow: Vec<u8>,
}

impl Accounts {
    /// Number of the user `name`.
    pub(crate) fn uid(&self, name: &str) -> Option<u32> {
        number(&self.passwd, name)
    }

    /// Number of the group `name`.
    pub(crate) fn gid(&self, name: &str) -> Option<u32> {
        number(&self.group, name)
    }

    /// Makes sure that the users and groups of a `Require-User` field exist: tuples `user=uid:group=gid:more,groups`
    /// between blanks; numbers and the third part may be left out.
    pub(crate) fn require(&mut self, users: &str) {
        for tuple in users.split_whitespace() {
            let mut parts = tuple.split(':');
            let (user, uid) = name_and_number(parts.next().unwrap_or_default());
            let (group, wished) = name_and_number(parts.next().unwrap_or_default());
            let gid = match (group.is_empty(), wished) {
                (true, _) => None,
                (false, wished) => {
                    self.add_group(group, wished);
                    wished.or_else(|| self.gid(group))
                }
            };
            if !user.is_empty() {
                self.add_user(user, uid, gid);
            }
            if !user.is_empty() && !group.is_empty() {
                self.add_member(group, user);
            }
            for more in parts.next().unwrap_or_default().split(',').filter(|more| !more.is_empty() && !user.is_empty())
            {
                let (group, gid) = name_and_number(more);
                self.add_group(group, gid);
                self.add_member(group, user);
            }
        }
    }

    fn add_group(&mut self, name: &str, gid: Option<u32>) {
        if !has(&self.group, name) {
            let gid = gid.unwrap_or_else(|| free(&self.group));
            append(&mut self.group, &format!("{name}:x:{gid}:"));
        }
    }

    fn add_user(&mut self, name: &str, uid: Option<u32>, gid: Option<u32>) {
        if !has(&self.passwd, name) {
            let uid = uid.unwrap_or_else(|| free(&self.passwd));
            let gid = gid.unwrap_or(uid);
            append(&mut self.passwd, &format!("{name}:x:{uid}:{gid}:{name}:/var/run/{name}:/bin/false"));
            append(&mut self.shadow, &format!("{name}:x:0:0:99999:7:::"));
        }
    }

    /// Adds `user` to the last field of the group's line.
    fn add_member(&mut self, group: &str, user: &str) {
        let mut result = Vec::with_capacity(self.group.len().saturating_add(user.len()));
        for line in split_lines(&self.group) {
            let text = line.trim_ascii_end();
            let is_own = text.strip_prefix(group.as_bytes()).is_some_and(|rest| rest.starts_with(b":"));
            let members = text.rsplit(|byte| *byte == b':').next().unwrap_or_default();
            let is_member = members.split(|byte| *byte == b',').any(|member| member == user.as_bytes());
            if is_own && !is_member {
                let comma: &[u8] = if members.is_empty() { b"" } else { b"," };
                let end = line.get(text.len()..).unwrap_or_default();
                result.extend([text, comma, user.as_bytes(), end].concat());
            } else {
                result.extend_from_slice(line);
            }
        }
        self.group = result;
    }
}

fn name_and_number(text: &str) -> (&str, Option<u32>) {
    match text.split_once('=') {
        Some((name, number)) => (name, number.parse().ok()),
        None => (text, None),
    }
}

/// The third field of the line of `name`.
fn number(file: &[u8], name: &str) -> Option<u32> {
    let text = String::from_utf8_lossy(file);
    let mut lines = text.lines().map(|line| line.split(':').collect::<Vec<_>>());
    lines.find(|fields| fields.first() == Some(&name))?.get(2)?.trim().parse().ok()
}

fn has(file: &[u8], name: &str) -> bool {
    split_lines(file).any(|line| line.strip_prefix(name.as_bytes()).is_some_and(|rest| rest.starts_with(b":")))
}

/// The least number from 32768 that no line has in its third field.
fn free(file: &[u8]) -> u32 {
    let text = String::from_utf8_lossy(file);
    let taken: Vec<u32> = text.lines().filter_map(|line| line.split(':').nth(2)?.trim().parse().ok()).collect();
    (FIRST_FREE..).find(|number| !taken.contains(number)).unwrap_or(FIRST_FREE)
}

fn append(file: &mut Vec<u8>, line: &str) {
    if file.last().is_some_and(|last| *last != b'\n') {
        file.push(b'\n');
    }
    file.extend_from_slice(line.as_bytes());
    file.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(users: &[&str]) -> [String; 3] {
        let mut accounts = Accounts {
            passwd: b"root:x:0:0:root:/root:/bin/ash\n".to_vec(),
            group: b"root:x:0:\nnetwork:x:101:dnsmasq".to_vec(),
            shadow: b"root:::0:99999:7:::\n".to_vec(),
        };
        users.iter().for_each(|users| accounts.require(users));
        [accounts.passwd, accounts.group, accounts.shadow].map(|file| String::from_utf8(file).unwrap())
    }

    #[test]
    fn users_and_groups_are_added_as_the_init_functions_would() {
        let [passwd, group, shadow] = after(&["ib=453:ib=454:network,rdma=7 auto:free solo"]);
        assert_eq!(
            passwd,
            "root:x:0:0:root:/root:/bin/ash\nib:x:453:454:ib:/var/run/ib:/bin/false\n\
             auto:x:32768:32768:auto:/var/run/auto:/bin/false\nsolo:x:32769:32769:solo:/var/run/solo:/bin/false\n"
        );
        assert_eq!(group, "root:x:0:\nnetwork:x:101:dnsmasq,ib\nib:x:454:ib\nrdma:x:7:ib\nfree:x:32768:auto\n");
        assert_eq!(shadow.lines().last(), Some("solo:x:0:0:99999:7:::"));
    }

    #[test]
    fn what_is_there_is_not_added_again() {
        assert_eq!(after(&["ib=453:ib=453"]), after(&["ib=453:ib=453", "ib=453:ib=453"]));
        assert_eq!(after(&[]), after(&["root=0:root=0"]).map(|text| text.replace("root:x:0:root", "root:x:0:")));
    }
}
