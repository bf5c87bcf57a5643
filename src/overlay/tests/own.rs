//! Overlays of the user's own.

use std::path::Path;

use crate::error::ErrorKind;
use crate::overlay::{Overlay, resolve};
use crate::recipe::{CommandLineWishes, Recipe};

use super::text;

/// Loads an overlay with this description and these files.
fn overlay(description: &str, files: &[(&str, &str)]) -> crate::Result<Overlay> {
    with_folder(description, files, |root| Overlay::load(root.to_str().unwrap()))
}

fn with_folder<T>(description: &str, files: &[(&str, &str)], run: impl FnOnce(&Path) -> T) -> T {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("mine");
    std::fs::create_dir_all(root.join("files")).unwrap();
    std::fs::write(root.join("overlay.toml"), format!("name = 'mine'\nsummary = 's'\n{description}")).unwrap();
    for (name, content) in files {
        std::fs::write(root.join("files").join(name), content).unwrap();
    }
    run(&root)
}

/// The message of a failing overlay from its file's name on, and its remedy.
fn refusal(description: &str) -> (String, String) {
    let error = overlay(description, &[("a.txt", "x")]).unwrap_err();
    let shown = error.to_string();
    let start = shown.find("overlay.toml").unwrap_or(0);
    (shown.split_at(start).1.to_owned(), error.remedy_text().unwrap_or_default().to_owned())
}

/// What a recipe with that overlay alone resolves to.
fn resolution(description: &str, files: &[(&str, &str)], sets: &[&str]) -> crate::Result<super::Resolved> {
    with_folder(description, files, |root| {
        let wishes = CommandLineWishes {
            overlays: vec![root.to_str().unwrap().to_owned()],
            settings: sets.iter().map(|text| (*text).to_owned()).collect(),
            ..CommandLineWishes::default()
        };
        Recipe::assemble(&wishes).and_then(|recipe| resolve(&recipe))
    })
}

#[test]
fn descriptions_are_refused_in_their_own_words() {
    for (description, message, remedy) in [
        ("sumary = 'x'", "overlay.toml, line 3, column 1: unknown key `sumary`", "did you mean `summary`?"),
        (
            "requires = 'ipoib'",
            "overlay.toml, line 3, column 1: `requires` is a string, where a list of strings belongs",
            "",
        ),
        (
            "[[file]]\npath = '/etc/x'\nsource = '../../etc/passwd'",
            "overlay.toml, line 3, column 1: the source `../../etc/passwd` leaves the overlay's folder files/",
            "name a file below files/, without `..`",
        ),
        (
            "[[file]]\npath = '/etc/x'\nsource = '/etc/passwd'",
            "overlay.toml, line 3, column 1: the source `/etc/passwd` leaves the overlay's folder files/",
            "name a file below files/, without `..`",
        ),
        (
            "[[file]]\npath = '/etc/x'\nsource = 'b.txt'",
            "overlay.toml, line 3, column 1: there is no source `files/b.txt`",
            "did you mean `a.txt`?",
        ),
        (
            "[[file]]\npath = 'etc/x'\nsource = 'a.txt'",
            "overlay.toml, line 3, column 1: the path `etc/x` in the image is not absolute",
            "write it from the root, such as /etc/etc/x",
        ),
        (
            "[[file]]\npath = '/etc/x'",
            "overlay.toml, line 3, column 1: a file needs `source` (below files/), `link`, or `from` (a setting)",
            "",
        ),
        (
            "[[file]]\npath = '/etc/x'\nsource = 'a.txt'\nmode = 'rwx'",
            "overlay.toml, line 3, column 1: the mode `rwx` is not octal permissions",
            "write it like \"0755\"",
        ),
        (
            "[[setting]]\nname = 'a'\ntype = 'int'\nsummary = 's'",
            "overlay.toml, line 5, column 1: `setting[0].type` is \"int\", not one of `string`, `integer`, `boolean`, `list`, \
             `table`, `file`",
            "did you mean `integer`?",
        ),
        (
            "[[setting]]\nname = 'a'\ntype = 'integer'\nsummary = 's'\ndefault = 'x'",
            "overlay.toml, line 7, column 1: `setting[0].default` is a string, where an integer belongs",
            "",
        ),
        ("[[setting]]\nname = 'a'", "overlay.toml, line 3, column 1: the key `setting[0].type` is missing", ""),
        (
            "[modules]\nrequired = ['a/b.ko']",
            "overlay.toml, line 3, column 2: `a/b.ko` cannot be the name of a module",
            "write it without folder and `.ko`",
        ),
        (
            "[[autoload]]\nmodule = 'x'\nfile = '../x'",
            "overlay.toml, line 5, column 1: `../x` cannot be a file of /etc/modules.d",
            "use a name such as 30-hw-network: letters, digits, `-`, `_` and `.`",
        ),
    ] {
        let (found, found_remedy) = refusal(description);
        assert_eq!(found, message, "{description}");
        assert_eq!(found_remedy, remedy, "{description}");
    }
}

#[test]
fn a_folder_without_description_and_a_symlink_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let error = Overlay::load(folder.path().to_str().unwrap()).unwrap_err();
    assert_eq!(error.message(), "no overlay.toml in it, so it is not an overlay");
    let error = with_folder("", &[], |root| {
        std::os::unix::fs::symlink("/etc/passwd", root.join("files/secret")).unwrap();
        Overlay::load(root.to_str().unwrap()).unwrap_err()
    });
    assert_eq!(error.message(), "a symlink in an overlay");
    assert!(error.places()[0].ends_with("files/secret"), "{error}");
}

const OWN: &str = r#"
requires = ["ipoib"]
[modules]
required = ["ib_core"]
[[setting]]
name = "level"
type = "integer"
summary = "s"
default = 3
[[file]]
path = "/etc/own"
source = "own.j2"
owner = "7:8"
when = "settings.level > 1"
"#;

#[test]
fn an_overlay_of_ones_own_renders_and_requires() {
    let files = [("own.j2", "level {{ settings.level }} beside {{ overlays | join(',') }}\n")];
    let resolved = resolution(OWN, &files, &["mine.level=9"]).unwrap();
    assert_eq!(resolved.overlays, ["ipoib", "mine"]);
    assert_eq!(text(&resolved, "/etc/own"), "level 9 beside ipoib,mine\n");
    assert_eq!(super::file(&resolved, "/etc/own").attributes.uid, 7);
    assert_eq!(super::file(&resolved, "/etc/own").reason, "overlay mine");
    let none = resolution(OWN, &files, &["mine.level=1"]).unwrap();
    assert!(none.files.iter().all(|file| file.path != "/etc/own"));
}

#[test]
fn mistakes_in_templates_name_file_line_and_column() {
    for (template, place, message) in [
        ("one\n  {{ settings.levl }}", "files/own.j2, line 2, column 6", "undefined value"),
        ("{{ settings.level }}\n{% if %}", "files/own.j2, line 2, column 7", "syntax error"),
        ("{{ 1 | no_such_filter }}", "files/own.j2, line 1, column 8", "unknown filter"),
    ] {
        let error = resolution(OWN, &[("own.j2", template)], &[]).unwrap_err();
        assert_eq!(error.places()[0], place, "{error}");
        assert!(error.message().starts_with(message), "{error}");
        assert!(error.places()[1].starts_with("overlay "), "{error}");
    }
    let endless = "{% for i in range(10000) %}{% for j in range(10000) %}x{% endfor %}{% endfor %}";
    let error = resolution(OWN, &[("own.j2", endless)], &[]).unwrap_err();
    assert!(error.message().contains("fuel"), "{error}");
}

#[test]
fn overlays_that_exclude_contradict_or_repeat_each_other_are_refused() {
    let failing = |description: &str, other: &str| {
        with_folder(description, &[], |root| {
            let overlays = vec![other.to_owned(), root.to_str().unwrap().to_owned()];
            let wishes = CommandLineWishes { overlays, ..CommandLineWishes::default() };
            Recipe::assemble(&wishes).and_then(|recipe| resolve(&recipe)).unwrap_err()
        })
    };
    let error = failing("conflicts = ['ipoib']", "ipoib");
    assert_eq!(error.to_string(), "overlays `mine` and `ipoib` exclude each other");
    let error = failing(
        "[[autoload]]\nmodule = 'a'\nparameters = 'x=1'\n[[autoload]]\nmodule = 'a'\nparameters = 'x=2'",
        "ipoib",
    );
    assert_eq!(error.message(), "overlay mine and overlay mine want different parameters for a: `x=1` and `x=2`");
    let error = failing("requires = ['mine']", "ipoib");
    assert_eq!(error.message(), "there is no overlay `mine`");
    let error = failing("[[file]]\npath = '/etc/init.d/ibwrt-ipoib'\nlink = 'x'", "ipoib");
    assert_eq!(error.message(), "/etc/init.d/ibwrt-ipoib is wished twice: by overlay ipoib and by overlay mine");
}

#[test]
fn a_folder_that_is_not_there_is_told_apart_from_one_that_cannot_be_read() {
    let error = Overlay::load("./not/there").unwrap_err();
    assert_eq!((error.kind(), error.message()), (ErrorKind::Usage, "there is no folder ./not/there"));
    assert!(error.remedy_text().unwrap().contains("--overlay ipoib"));
}
