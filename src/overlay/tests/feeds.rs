//! The overlays package-feed and subnet-manager: what they wish, and the init script run for real.

use std::process::Command;

use crate::openwrt::PackageManager;
use crate::overlay::{Resolved, resolve};
use crate::plan::{Content, Managed, Severity};

use super::{file, install, recipe_with, refusal, resolved, text};

const KEY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/test-key.pub");

/// What is wished of an image with this package manager: `path: line`, and paths of files.
fn managed(resolved: &Resolved, manager: PackageManager) -> Vec<String> {
    let wishes = resolved.managed.iter().filter(|managed| managed.manager == manager);
    let told = wishes.map(|managed| match &managed.wish {
        Managed::File(wish) => wish.path.clone(),
        Managed::Line(wish) => format!("{}: {} (for {:?})", wish.path, wish.line, wish.replaces),
        Managed::Finding(finding) => format!("{:?} {}: {}", finding.severity, finding.id, finding.message),
    });
    told.collect()
}

#[test]
fn a_feed_is_entered_as_the_package_manager_of_the_image_reads_it() {
    let text =
        format!("overlays = ['package-feed']\n[package-feed]\nurl = ['https://a/x', 'https://b']\nkey = '{KEY}'");
    let resolved = resolved(&text).unwrap();
    assert!(resolved.files.is_empty() && resolved.lines.is_empty(), "all depends on the image");
    assert_eq!(
        managed(&resolved, PackageManager::Opkg),
        [
            "/etc/opkg/keys/74dc9401f1926250",
            "/etc/opkg/customfeeds.conf: src/gz site https://a/x (for \"src/gz site \")",
            "/etc/opkg/customfeeds.conf: src/gz site_2 https://b (for \"src/gz site_2 \")",
        ]
    );
    let apk = managed(&resolved, PackageManager::Apk);
    assert_eq!(
        apk[0],
        "Error feed-key-format: the image uses apk, whose keys are in PEM, and test-key.pub is no public key in PEM"
    );
    assert!(apk[1].starts_with("Warning feed-adb: "), "{apk:?}");
    assert_eq!(
        apk[2..],
        [
            "/etc/apk/repositories.d/customfeeds.list: https://a/x (for \"\")",
            "/etc/apk/repositories.d/customfeeds.list: https://b (for \"\")",
        ]
    );
}

#[test]
fn a_key_in_pem_is_for_apk_and_a_relative_one_counts_from_the_recipe() {
    let folder = tempfile::tempdir().unwrap();
    let pem = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE\n-----END PUBLIC KEY-----\n";
    std::fs::write(folder.path().join("site.pub.pem"), pem).unwrap();
    let recipe = folder.path().join("r.toml");
    let text = "overlays = ['package-feed']\n[package-feed]\nurl = 'https://a/packages.adb'\nkey = 'site.pub.pem'";
    std::fs::write(&recipe, text).unwrap();
    let wishes = crate::recipe::CommandLineWishes {
        recipe: Some(recipe),
        settings: vec!["package-feed.name=mine".into()],
        ..Default::default()
    };
    let resolved = resolve(&crate::recipe::Recipe::assemble(&wishes).unwrap()).unwrap();
    assert_eq!(
        managed(&resolved, PackageManager::Apk),
        ["/etc/apk/keys/site.pub.pem", "/etc/apk/repositories.d/customfeeds.list: https://a/packages.adb (for \"\")",]
    );
    assert!(managed(&resolved, PackageManager::Opkg)[0].starts_with("Error feed-key-format: the image uses opkg"));
    let Managed::File(wish) =
        &resolved.managed.iter().find(|managed| matches!(managed.wish, Managed::File(_))).unwrap().wish
    else {
        panic!("no file");
    };
    assert_eq!(wish.content, Content::File(pem.as_bytes().into()));
}

#[test]
fn a_feed_that_cannot_be_is_refused() {
    let feed = |settings: &str| refusal(&format!("overlays = ['package-feed']\n[package-feed]\n{settings}")).0;
    assert!(feed("name = 'x'").ends_with("package-feed needs the place of the feed"));
    assert!(feed("url = 'a.example.org/x'").contains("begins with https://"));
    assert!(feed("url = 'https://a b'").contains("holds no blank"));
    assert!(feed("url = 'https://a'\nname = 'a b'").ends_with("a feed's name is one word without a slash, not `a b`"));
    let missing = feed("url = 'https://a'\nkey = '/no/such.pub'");
    assert!(missing.contains("line 4") && missing.contains("/no/such.pub"), "{missing}");
}

#[test]
fn a_subnet_manager_elsewhere_is_recorded_and_nothing_is_installed() {
    let resolved = resolved("overlays = ['subnet-manager']\n[subnet-manager]\nsm = 'external'").unwrap();
    assert!(resolved.required.is_empty() && resolved.autoload.is_empty());
    assert_eq!(resolved.files.len(), 1);
    assert_eq!(text(&resolved, "/etc/ibwrt/subnet-manager").lines().last(), Some("external"));
}

#[test]
fn opensm_and_its_settings_are_checked() {
    let feed = |settings: &str| refusal(&format!("overlays = ['subnet-manager']\n[subnet-manager]\n{settings}")).0;
    assert!(feed("guid = '0x12'").ends_with("`0x12` is no port GUID"));
    assert!(feed("program = 'opensm'").contains("no absolute path"));
    assert!(feed("priority = 16").contains("16"));
    let resolved =
        resolved("overlays = ['subnet-manager']\n[subnet-manager]\nsm = 'external'\nopensm = '/bin/sh'").unwrap();
    assert_eq!(resolved.findings[0].severity, Severity::Warning);
}

/// What procd is told by the init script of `settings`, as `command words`; `is_there`: the program is installed.
fn procd(settings: &str, is_there: bool) -> (String, bool) {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("opensm");
    if is_there {
        std::fs::write(&program, "#!/bin/sh\n").unwrap();
        Command::new("chmod").arg("755").arg(&program).status().unwrap();
    }
    let recipe =
        format!("overlays = ['subnet-manager']\n[subnet-manager]\nprogram = '{}'\n{settings}", program.display());
    let resolved = recipe_with(&recipe, &[]).and_then(|recipe| resolve(&recipe)).unwrap();
    install(&resolved, folder.path());
    let prelude = "for name in open_instance set_param append_param close_instance; do \
                   eval \"procd_$name() { echo $name \\\"\\$*\\\"; }\"; done\n\
                   logger() { echo logger \"$*\"; }\nmkdir() { echo mkdir \"$*\"; }\n";
    let output = Command::new("busybox")
        .args(["ash", "-c", &format!("{prelude}. etc/init.d/ibwrt-opensm\n[ \"$USE_PROCD\" = 1 ] && start_service")])
        .current_dir(folder.path())
        .output()
        .expect("busybox is needed to run the scripts");
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    let told = String::from_utf8(output.stdout).unwrap().replace(folder.path().to_str().unwrap(), "");
    (told, output.status.success())
}

#[test]
fn the_init_script_has_procd_run_opensm_with_its_options() {
    let (told, is_started) = procd("guid = '0x0002c903000e0b72'\npriority = 5", true);
    assert!(is_started);
    assert_eq!(
        told.lines().collect::<Vec<_>>(),
        [
            "mkdir -p /var/cache/opensm /var/log",
            "open_instance ",
            "set_param command /opensm --log_file stdout --priority 5",
            "append_param command --guid 0x0002c903000e0b72",
            "set_param respawn 3600 5 0",
            "set_param stdout 1",
            "set_param stderr 1",
            "close_instance ",
        ]
    );
    let (told, _) = procd("", true);
    assert!(told.contains("set_param command /opensm --log_file stdout --priority 0\nset_param respawn"), "{told}");
    let (told, is_started) = procd("", false);
    assert!(!is_started && told.starts_with("logger -t opensm -p daemon.err /opensm is not there"), "{told}");
}

#[test]
fn opensm_is_enabled_once_the_modules_are_loaded_and_stopped_at_the_end() {
    let resolved = resolved("overlays = ['subnet-manager']").unwrap();
    for link in ["/etc/rc.d/S18ibwrt-opensm", "/etc/rc.d/K82ibwrt-opensm"] {
        assert_eq!(file(&resolved, link).content, Content::Symlink("../init.d/ibwrt-opensm".into()));
    }
    let script = text(&resolved, "/etc/init.d/ibwrt-opensm");
    assert!(script.starts_with("#!/bin/sh /etc/rc.common\n"));
    assert!(script.contains("\nSTART=18\nSTOP=82\n"), "as the links say");
    assert_eq!(file(&resolved, "/etc/init.d/ibwrt-opensm").attributes.mode, 0o755);
    assert_eq!(resolved.required.iter().map(|(name, ..)| name.to_string()).collect::<Vec<_>>(), ["ib_core", "ib_umad"]);
}
