//! Init scripts: what enables them (base-files, etc/rc.common, `enable()`).

/// Where init scripts are.
pub(crate) const INIT_SCRIPTS: &str = "/etc/init.d";
/// Where the links are that enable them.
pub(crate) const RUN_LINKS: &str = "/etc/rc.d";

/// The links that `enable` makes for the script `name`: names in `/etc/rc.d`, all pointing to `../init.d/<name>`. None where
/// it is no script of rc.common, or says neither START nor STOP.
pub(crate) fn enabling_links(name: &str, content: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(content);
    if !text.lines().next().is_some_and(|line| line.starts_with("#!") && line.contains("/etc/rc.common")) {
        return Vec::new();
    }
    let value = |key: &str| {
        let mut lines = text.lines().filter_map(|line| line.trim().strip_prefix(key)?.strip_prefix('='));
        let value = lines.next()?.split(['#', ';', ' ', '\t']).next()?.trim_matches(['"', '\'']);
        (!value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit())).then(|| value.to_owned())
    };
    let start = value("START").map(|number| format!("S{number}{name}"));
    let stop = value("STOP").map(|number| format!("K{number}{name}"));
    start.into_iter().chain(stop).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_enabled_by_its_start_and_stop() {
        let links = |text: &str| enabling_links("opensm", text.as_bytes());
        assert_eq!(links("#!/bin/sh /etc/rc.common\n\nSTART=19\nSTOP=89\n"), ["S19opensm", "K89opensm"]);
        assert_eq!(links("#!/bin/sh /etc/rc.common\nSTART='05' # early\n"), ["S05opensm"]);
        assert_eq!(links("#!/bin/sh /etc/rc.common\nSTARTUP=1\nstart() { :; }\n"), Vec::<String>::new());
        assert_eq!(links("#!/bin/sh\nSTART=19\n"), Vec::<String>::new());
    }
}
