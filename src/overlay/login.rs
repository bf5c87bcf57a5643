//! Host name, root's password and SSH keys: shapes that the target accepts.

use crate::base64;
use crate::error::{Error, Result};

/// Key types that dropbear knows.
const KEY_TYPES: [&str; 7] = [
    "ssh-ed25519",
    "ssh-rsa",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
];

/// Checks a host name against RFC 1123 section 2.1; dots are allowed between labels.
pub(super) fn check_hostname(name: &str) -> Result<()> {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if name.len() <= 253 && name.split('.').all(label) {
        return Ok(());
    }
    Err(Error::usage(format!("{name:?} is not a host name"))
        .remedy("use letters, digits and inner dashes, at most 63 per label (RFC 1123), such as fabric-gw"))
}

/// Checks that `hash` has the shape of a crypt(3) hash that musl verifies: $1$, $5$, $6$ and the $2a$ family.
pub(super) fn check_password_hash(hash: &str) -> Result<()> {
    const REMEDY: &str = "make a hash with `openssl passwd -6` (it asks for the password) and give that";
    let Some(rest) = hash.strip_prefix('$') else {
        // The text may be the password itself: it must not be repeated.
        return Err(
            Error::usage("the root password hash is not a crypt(3) hash; is it the password itself?").remedy(REMEDY)
        );
    };
    let parts = rest.split('$').collect::<Vec<_>>();
    let sound = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'/'));
    let rounds = |text: &str| {
        text.strip_prefix("rounds=").is_some_and(|digits| {
            !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) && digits.len() <= 9
        })
    };
    let salted = |salt: &str, longest: usize| salt.len() <= longest && sound(salt);
    let fits = match parts.as_slice() {
        ["1", salt, digest] => salted(salt, 8) && digest.len() == 22 && sound(digest),
        ["5", salt, digest] => salted(salt, 16) && digest.len() == 43 && sound(digest),
        ["6", salt, digest] => salted(salt, 16) && digest.len() == 86 && sound(digest),
        ["5", option, salt, digest] => rounds(option) && salted(salt, 16) && digest.len() == 43 && sound(digest),
        ["6", option, salt, digest] => rounds(option) && salted(salt, 16) && digest.len() == 86 && sound(digest),
        ["2a" | "2b" | "2y", cost, digest] => {
            matches!(cost.parse::<u8>(), Ok(4..=31)) && cost.len() == 2 && digest.len() == 53 && sound(digest)
        }
        [kind, ..] if !matches!(*kind, "1" | "2a" | "2b" | "2y" | "5" | "6") => {
            return Err(Error::usage(format!(
                "the root password hash is of kind ${}$, which OpenWrt's C library cannot verify",
                kind.chars().take(8).filter(|character| !character.is_control()).collect::<String>()
            ))
            .remedy(REMEDY));
        }
        _ => false,
    };
    if fits {
        return Ok(());
    }
    Err(Error::usage("the root password hash has a known kind, but not its shape: is it cut off?").remedy(REMEDY))
}

/// Checks one line of an authorized_keys file; answers it trimmed.
pub(crate) fn check_ssh_key(line: &str) -> Result<String> {
    let line = line.trim();
    let shown = line.chars().take(40).filter(|character| !character.is_control()).collect::<String>();
    const REMEDY: &str = "give the line of a public key file, such as ~/.ssh/id_ed25519.pub: `ssh-ed25519 AAAA… name`";
    let refuse = |message: String| Err(Error::usage(message).remedy(REMEDY));
    if line.contains("PRIVATE KEY") {
        return refuse("this is a private SSH key, which does not belong into an image".to_owned());
    }
    if line.chars().any(char::is_control) {
        return refuse(format!("the SSH key `{shown}…` holds a control character or spans several lines"));
    }
    let words = line.split_whitespace().collect::<Vec<_>>();
    let Some(at) = words.iter().position(|word| KEY_TYPES.contains(word)) else {
        return refuse(format!("`{shown}` is not a public SSH key of a type that dropbear knows"));
    };
    let kind = words.get(at).copied().unwrap_or_default();
    let Some(text) = words.get(at.saturating_add(1)) else {
        return refuse(format!("the SSH key `{shown}` ends after its type"));
    };
    // RFC 4253 section 6.6: the blob begins with the type's name, after its length as 4 bytes.
    let blob = base64::decode(text);
    let named = blob.as_deref().and_then(|blob| {
        let (length, rest) = blob.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        Some((rest.get(..length)?, rest.len()))
    });
    match named {
        Some((name, length)) if name == kind.as_bytes() && length > name.len() => Ok(line.to_owned()),
        _ => refuse(format!("the SSH key `{shown}…` does not hold the base64 of a {kind} key: is it cut off?")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f admin@example";

    #[test]
    fn host_names_obey_rfc_1123() {
        for name in ["fabric-gw", "h1.example.org", "1", &"a".repeat(63)] {
            check_hostname(name).unwrap();
        }
        for name in ["", "-a", "a-", "a..b", "a b", "a_b", "ü", "a'b", "a\n", &"a".repeat(64)] {
            let error = check_hostname(name).unwrap_err();
            assert_eq!(error.to_string(), format!("{name:?} is not a host name"));
        }
    }

    #[test]
    fn crypt_hashes_are_told_from_passwords_and_cut_hashes() {
        let sha512 = format!("$6$abcdefgh${}", "a".repeat(86));
        let good = [
            sha512.clone(),
            format!("$6$rounds=5000$abcdefgh${}", "a".repeat(86)),
            format!("$5$abcdefgh${}", "b".repeat(43)),
            format!("$1$abcdefgh${}", "b".repeat(22)),
            format!("$2b$12${}", "c".repeat(53)),
        ];
        for hash in &good {
            check_password_hash(hash).unwrap();
        }
        let error = check_password_hash("hunter2").unwrap_err();
        assert_eq!(error.to_string(), "the root password hash is not a crypt(3) hash; is it the password itself?");
        assert!(error.remedy_text().unwrap().contains("openssl passwd -6"));
        let cut = "the root password hash has a known kind, but not its shape: is it cut off?";
        for hash in
            [sha512.get(..90).unwrap(), &format!("{sha512}:"), "$6$", "$2b$99$x", &format!("$6$x$y${}", "a".repeat(86))]
        {
            assert_eq!(check_password_hash(hash).unwrap_err().to_string(), cut, "{hash}");
        }
        assert_eq!(
            check_password_hash("$y$j9T$abc$def").unwrap_err().to_string(),
            "the root password hash is of kind $y$, which OpenWrt's C library cannot verify"
        );
    }

    #[test]
    fn ssh_keys_hold_what_their_type_says() {
        assert_eq!(check_ssh_key(&format!(" {KEY}\n")).unwrap(), KEY);
        check_ssh_key(&format!("restrict,command=\"id x\" {KEY}")).unwrap();
        for (key, message) in [
            ("ssh-dss AAAA x", "`ssh-dss AAAA x` is not a public SSH key of a type that dropbear knows"),
            ("hello", "`hello` is not a public SSH key of a type that dropbear knows"),
            ("ssh-rsa", "the SSH key `ssh-rsa` ends after its type"),
            (
                &KEY.replace("ssh-ed25519", "ssh-rsa"),
                "the SSH key `ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIAABAgME…` does not hold the base64 of a ssh-rsa key: is it cut off?",
            ),
            (
                "ssh-ed25519 AAAAC3Nz x",
                "the SSH key `ssh-ed25519 AAAAC3Nz x…` does not hold the base64 of a ssh-ed25519 key: is it cut off?",
            ),
            ("-----BEGIN OPENSSH PRIVATE KEY-----", "this is a private SSH key, which does not belong into an image"),
        ] {
            assert_eq!(check_ssh_key(key).unwrap_err().to_string(), message);
        }
        assert!(check_ssh_key(&format!("{KEY}\n{KEY}")).unwrap_err().message().contains("several lines"));
    }
}
