//! Random roots and random wishes: carried out once, they ask for nothing more, and what was there is still there.

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use super::*;
use crate::openwrt::AutoloadLine;

const MODULES: [&str; 5] = ["mlx4_core", "mlx4_ib", "ib_core", "ib_ipoib", "igb"];
const FILES: [&str; 4] = ["30-hw-network", "36-mlx4-core", "20-ib", "infiniband"];
const LINES: [&str; 10] = [
    "mlx4_core",
    "mlx4-core.ko num_vfs=1",
    "# mlx4_core",
    "\tmlx4_core",
    "mlx4_ib\r",
    "",
    "igb",
    "mlx4_core port_type_array=2,2 x",
    "ib_core  debug=1 ",
    " ib_ipoib",
];
const PARAMETERS: [&str; 4] = ["", "port_type_array=1,1", "debug=2 port-type-array=1,2", "x"];

/// Content of an autoload file; the last line may lack its newline.
fn content() -> impl Strategy<Value = String> {
    (vec(select(&LINES[..]), 0..5), any::<bool>()).prop_map(|(lines, newline)| {
        let text = lines.join("\n");
        if newline && !text.is_empty() { format!("{text}\n") } else { text }
    })
}

fn roots() -> impl Strategy<Value = MemoryFilesystem> {
    let files = btree_map(select(&FILES[..]), content(), 0..4);
    let boot = btree_map(select(&FILES[..]), proptest::option::of(content()), 0..3);
    (files, boot).prop_map(|(files, boot)| {
        let mut root = MemoryFilesystem::openwrt();
        for (name, content) in files {
            root.add_file(&format!("/etc/modules.d/{name}"), content);
        }
        for (name, content) in boot {
            let path = format!("/etc/modules-boot.d/{name}");
            match content {
                Some(content) => root.add_file(&path, content),
                None => root.add_link(&path, &format!("../modules.d/{name}")),
            }
        }
        root
    })
}

fn all_wishes() -> impl Strategy<Value = Wishes> {
    let autoload = (select(&MODULES[..]), select(&PARAMETERS[..]), select(&FILES[..]), any::<bool>())
        .prop_map(|(module, parameters, file, boot)| load(module, parameters, file, boot));
    let modules = btree_map(select(&MODULES[..]), "[a-z]{0,9}", 0..4);
    let files = btree_map(select(&["/etc/a", "/etc/b/c", "/var/d", "/usr/lib/os-release"][..]), "[a-z]{0,9}", 0..4);
    let keys = vec(select(&["ssh-rsa AAAA1 a", "ssh-rsa AAAA1 b", "ssh-ed25519 AAAA2"][..]), 0..3);
    (vec(autoload, 0..6), modules, files, keys, any::<bool>()).prop_map(|(autoload, modules, files, keys, password)| {
        Wishes {
            modules: modules.iter().map(|(name, bytes)| module(&format!("{name}.ko"), bytes)).collect(),
            autoload,
            files: files.iter().map(|(path, text)| file(path, text, 0o600)).collect(),
            root_password_hash: password.then(|| "$5$salt$hash".to_owned()),
            ssh_keys: keys.iter().map(|key| (*key).to_owned()).collect(),
            ..Wishes::default()
        }
    })
}

/// Lines of every file of `/etc/modules.d` but those that name one of `modules`.
fn foreign_lines(root: &MemoryFilesystem, modules: &[ModuleName]) -> Vec<(String, String)> {
    let files = root.nodes.keys().filter(|path| path.starts_with("/etc/modules.d/"));
    let lines = files.flat_map(|path| {
        let lines = AutoloadLine::parse_all(root.text(path).unwrap().as_bytes());
        lines.into_iter().map(|line| (path.clone(), line))
    });
    lines
        .filter(|(_, line)| line.module.as_ref().is_none_or(|module| !modules.contains(module)))
        .map(|(path, line)| (path, line.text))
        .collect()
}

fn judge(root: &MemoryFilesystem, wishes: &Wishes) {
    let (after, _) = patched(root, wishes);
    let modules: Vec<ModuleName> = wishes.autoload.iter().map(|wish| wish.module.clone()).collect();
    assert_eq!(foreign_lines(root, &modules), foreign_lines(&after, &modules));
    let system = System::read(&mut after.clone(), &[]).unwrap();
    for wish in &wishes.autoload {
        let files = system.boot_autoload.iter().chain(&system.autoload);
        let mut lines = files.flat_map(|file| &file.lines).filter(|line| line.module.as_ref() == Some(&wish.module));
        assert!(lines.next().is_some(), "{} is named nowhere", wish.module);
    }
    // Of several wishes for one module the last decides.
    for (index, wish) in wishes.autoload.iter().enumerate() {
        let later = wishes.autoload.iter().skip(index + 1);
        if later.clone().any(|other| other.module == wish.module && !other.parameters.is_empty()) {
            continue;
        }
        let run = if system.boot_autoload.iter().any(|file| names(file, &wish.module)) {
            &system.boot_autoload
        } else {
            &system.autoload
        };
        let mut immediate = run.iter().filter(|file| file.loads_immediately()).flat_map(|file| &file.lines);
        let mut deferred = run.iter().filter(|file| !file.loads_immediately()).flat_map(|file| &file.lines);
        let line = immediate
            .find(|line| line.module.as_ref() == Some(&wish.module))
            .or_else(|| deferred.rfind(|line| line.module.as_ref() == Some(&wish.module)));
        let words: Vec<&str> = line.unwrap().parameters.split_whitespace().collect();
        for word in wish.parameters.split_whitespace() {
            assert!(words.contains(&word), "{word} is missing from {words:?}");
        }
    }
}

fn names(file: &crate::openwrt::AutoloadFile, module: &ModuleName) -> bool {
    file.lines.iter().any(|line| line.module.as_ref() == Some(module))
}

#[test]
fn what_was_done_once_asks_for_nothing_more() {
    let seed = std::env::var("IBWRT_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(20_240_613_u64);
    println!("IBWRT_TEST_SEED={seed}");
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config { cases: 256, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let outcome = runner.run(&(roots(), all_wishes()), |(root, wishes)| {
        judge(&root, &wishes);
        Ok(())
    });
    outcome.unwrap_or_else(|failure| panic!("seed {seed}: {failure}"));
}
