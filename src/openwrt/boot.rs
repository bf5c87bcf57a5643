//! `boot/grub/grub.cfg` on the boot partition.

use serde::Serialize;

use crate::error::{Error, Result};

/// What a `root=` names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RootReference {
    /// `PARTUUID=…`, lower case.
    Partuuid(String),
    /// A device path such as `/dev/sda2`.
    Device(String),
}

/// One `menuentry`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct MenuEntry {
    /// Its title.
    pub(crate) title: String,
    /// Path of the kernel on the boot partition, such as `/boot/vmlinuz`.
    pub(crate) kernel: String,
    /// The kernel's command line, tokens in order.
    pub(crate) arguments: Vec<String>,
}

/// The boot configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct BootConfiguration {
    /// Entries that boot a kernel, in order.
    pub(crate) entries: Vec<MenuEntry>,
}

impl RootReference {
    /// What the value of `root=` names; `None` for forms that need an initramfs (`UUID=`, `LABEL=`).
    fn parse(value: &str) -> Option<Self> {
        match value.split_at_checked("PARTUUID=".len()) {
            Some((key, id)) if key.eq_ignore_ascii_case("PARTUUID=") => Some(Self::Partuuid(id.to_ascii_lowercase())),
            _ => value.starts_with("/dev/").then(|| Self::Device(value.to_owned())),
        }
    }
}

impl MenuEntry {
    /// The `root=` of its command line; the last one counts, as in the kernel.
    ///
    /// # Errors
    /// Unsupported: no `root=`, or a form that the kernel alone does not understand.
    pub(crate) fn root(&self) -> Result<RootReference> {
        let value = self.arguments.iter().rev().find_map(|argument| argument.strip_prefix("root="));
        let place = format!("menuentry \"{}\"", self.title);
        let Some(value) = value else {
            return Err(Error::unsupported("the kernel's command line has no root=").at(place));
        };
        RootReference::parse(value).ok_or_else(|| {
            Error::unsupported(format!("root={value} names neither PARTUUID=… nor a device under /dev")).at(place)
        })
    }
}

impl BootConfiguration {
    /// Reads a grub.cfg: every `menuentry` that has a `linux` command. Quotes and `;` are read as GRUB's script
    /// language reads them; conditions and variables are not evaluated.
    ///
    /// # Errors
    /// Unsupported when no entry boots a kernel.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let mut entries = Vec::new();
        let mut title: Option<String> = None;
        for statement in statements(text) {
            let mut words = statement.into_iter();
            match words.next().as_deref() {
                Some("menuentry") => title = Some(words.next().unwrap_or_default()),
                Some("linux" | "linux16" | "linuxefi") => {
                    if let (Some(title), Some(kernel)) = (title.take(), words.next()) {
                        entries.push(MenuEntry { title, kernel: without_device(&kernel), arguments: words.collect() });
                    }
                }
                Some("}") => title = None,
                _ => {}
            }
        }
        if entries.is_empty() {
            let lines = text.lines().count();
            return Err(Error::unsupported(format!("no menuentry with a `linux` line in {lines} lines")));
        }
        Ok(Self { entries })
    }
}

/// `path` without a leading `(hd0,gpt1)` or `($root)`.
fn without_device(path: &str) -> String {
    let rest = path.strip_prefix('(').and_then(|inner| inner.split_once(')'));
    rest.map_or(path, |(_, rest)| rest).to_owned()
}

/// Words of each statement of a GRUB script: statements end at a newline, `;`, or a brace that stands alone (which is
/// a statement of its own); `'…'` is literal, `"…"` and bare words know `\`, `#` starts a comment where a word may start.
fn statements(text: &str) -> Vec<Vec<String>> {
    let mut statements = Vec::new();
    let mut words: Vec<String> = Vec::new();
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\n' | ';' => statements.push(std::mem::take(&mut words)),
            '#' => while characters.next_if(|next| *next != '\n').is_some() {},
            blank if blank.is_whitespace() => {}
            _ => {
                let mut word = String::new();
                let quoted = read_word(character, &mut characters, &mut word);
                if !quoted && (word == "{" || word == "}") {
                    statements.push(std::mem::take(&mut words));
                    statements.push(vec![word]);
                } else if quoted || !word.is_empty() {
                    words.push(word);
                }
            }
        }
    }
    statements.push(words);
    statements.retain(|statement| !statement.is_empty());
    statements
}

/// Reads one word into `word`; says whether any of it was quoted.
fn read_word(first: char, characters: &mut std::iter::Peekable<std::str::Chars<'_>>, word: &mut String) -> bool {
    let mut quoted = false;
    let mut quote = None;
    let mut current = Some(first);
    while let Some(character) = current {
        match (quote, character) {
            (Some(open), _) if character == open => quote = None,
            (None, '\'' | '"') => (quote, quoted) = (Some(character), true),
            (None | Some('"'), '\\') => match characters.next() {
                Some('\n') | None => {}
                // Inside double quotes the backslash only escapes what would otherwise be special.
                Some(next) if quote.is_some() && !matches!(next, '"' | '\\' | '$') => word.extend(['\\', next]),
                Some(next) => word.push(next),
            },
            _ => word.push(character),
        }
        let ends = |next: &char| quote.is_none() && (next.is_whitespace() || *next == ';');
        current = characters.next_if(|next| !ends(next));
    }
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    const EFI: &str = "serial --unit=0 --speed=115200 --word=8 --parity=no --stop=1 --rtscts=off
terminal_input console serial; terminal_output console serial

set default=\"0\"
set timeout=\"5\"
search -l kernel -s root

menuentry \"OpenWrt\" {
\tlinux /boot/vmlinuz root=PARTUUID=e805ec03-db41-b0f4-2cfc-5a3bba428002 rootwait  console=tty1 console=ttyS0,115200n8 noinitrd
}
menuentry \"OpenWrt (failsafe)\" {
\tlinux /boot/vmlinuz failsafe=true root=PARTUUID=e805ec03-db41-b0f4-2cfc-5a3bba428002 rootwait  console=tty1 console=ttyS0,115200n8 noinitrd
}
";

    #[test]
    fn both_entries_of_the_efi_image_are_read() {
        let boot = BootConfiguration::parse(EFI).unwrap();
        assert_eq!(boot.entries.len(), 2);
        assert_eq!(boot.entries[0].title, "OpenWrt");
        assert_eq!(boot.entries[1].title, "OpenWrt (failsafe)");
        assert_eq!(boot.entries[0].kernel, "/boot/vmlinuz");
        assert_eq!(
            boot.entries[0].arguments,
            [
                "root=PARTUUID=e805ec03-db41-b0f4-2cfc-5a3bba428002",
                "rootwait",
                "console=tty1",
                "console=ttyS0,115200n8",
                "noinitrd"
            ]
        );
        assert_eq!(boot.entries[1].arguments[0], "failsafe=true");
        assert_eq!(
            boot.entries[0].root().unwrap(),
            RootReference::Partuuid("e805ec03-db41-b0f4-2cfc-5a3bba428002".into())
        );
    }

    #[test]
    fn the_bios_image_names_its_root_by_disk_signature() {
        let bios = EFI.replace("e805ec03-db41-b0f4-2cfc-5a3bba428002", "E805EC03-02");
        let boot = BootConfiguration::parse(&bios).unwrap();
        assert_eq!(boot.entries[0].root().unwrap(), RootReference::Partuuid("e805ec03-02".into()));
        assert_eq!(boot.entries[1].root().unwrap(), RootReference::Partuuid("e805ec03-02".into()));
    }

    #[test]
    fn devices_quotes_and_disk_prefixes_are_understood() {
        let text = "set root='(hd0,msdos1)'\n# menuentry 'no' { linux /x }\nmenuentry 'Open'\"Wrt\" --class os {\n\
                    linux (hd0,msdos1)/boot/vmlinuz \"root=/dev/sda2\" \\\n rw; echo done }\n}\n";
        let boot = BootConfiguration::parse(text).unwrap();
        assert_eq!(boot.entries.len(), 1);
        assert_eq!(boot.entries[0].title, "OpenWrt");
        assert_eq!(boot.entries[0].kernel, "/boot/vmlinuz");
        assert_eq!(boot.entries[0].arguments, ["root=/dev/sda2", "rw"]);
        assert_eq!(boot.entries[0].root().unwrap(), RootReference::Device("/dev/sda2".into()));
    }

    #[test]
    fn a_configuration_that_boots_nothing_says_so() {
        let error = BootConfiguration::parse("set timeout=5\nlinux /boot/vmlinuz root=/dev/sda2\n").unwrap_err();
        assert_eq!(error.message(), "no menuentry with a `linux` line in 2 lines");
    }

    #[test]
    fn a_root_that_needs_an_initramfs_is_named() {
        let boot =
            BootConfiguration::parse("menuentry x {\nlinux /k root=UUID=1234\n}\nmenuentry y {\nlinux /k\n}").unwrap();
        let error = boot.entries[0].root().unwrap_err();
        assert_eq!(
            error.to_string(),
            "menuentry \"x\": root=UUID=1234 names neither PARTUUID=… nor a device under /dev"
        );
        assert!(boot.entries[1].root().unwrap_err().message().contains("no root="));
    }
}
