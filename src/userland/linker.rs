//! Linking as musl does it (ldso/dynlink.c, load_library): where libraries are looked for, and which names are found.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::elf::Binary;
use crate::counted::some;

/// Where musl looks when `/etc/ld-musl-x86_64.path` does not say otherwise.
const SYSTEM_PATHS: [&str; 3] = ["/lib", "/usr/local/lib", "/usr/lib"];
/// The file that does.
pub(crate) const PATH_FILE: &str = "/etc/ld-musl-x86_64.path";
/// musl's dynamic linker, which is the C library at the same time.
pub(crate) const MUSL: &str = "/lib/ld-musl-x86_64.so.1";
/// Libraries that musl takes itself for, whatever follows.
const RESERVED: [&str; 7] = ["c.", "pthread.", "rt.", "m.", "dl.", "util.", "xnet."];
/// Most libraries that one program pulls in.
const MOST_LIBRARIES: usize = 1000;
/// Most names that one sentence lists.
const LISTED: usize = 6;

/// A file of the image: its path with every link followed, and what it says.
#[derive(Debug, Clone)]
pub(crate) struct Library {
    /// Absolute.
    pub(crate) path: String,
    /// What it says, or a predicate about why it cannot be used.
    pub(crate) binary: Result<Binary, String>,
}

/// The image, to be asked for a file at a path; nothing where there is none.
pub(crate) trait Searched {
    /// The file that `path` leads to.
    fn file(&mut self, path: &str) -> Option<Library>;
    /// What `/etc/ld-musl-x86_64.path` says.
    fn system_paths(&self) -> Option<String>;
}

/// What keeps the program or library at `path` from being started or loaded; nothing when it links.
pub(crate) fn link(image: &mut dyn Searched, path: &str) -> Vec<String> {
    let Some(start) = image.file(path) else { return vec![format!("{path} is not in the image")] };
    let binary = match start.binary {
        Ok(binary) => binary,
        Err(reason) => return vec![format!("{path} {reason}")],
    };
    if let Some(problem) = binary.interpreter.as_ref().and_then(|wanted| interpreter_problem(image, path, wanted)) {
        return vec![problem];
    }
    let mut linking = Linking { image, loaded: BTreeMap::new(), problems: Vec::new(), is_complete: true };
    linking.load(&start.path, &binary);
    if binary.interpreter.is_some() && linking.problems.is_empty() && linking.is_complete {
        linking.resolve(path, &binary);
    }
    linking.problems
}

/// What is wrong with the dynamic linker that a program asks for.
fn interpreter_problem(image: &mut dyn Searched, path: &str, wanted: &str) -> Option<String> {
    if wanted == MUSL && image.file(wanted).is_some() {
        return None;
    }
    let whose = match wanted {
        _ if wanted.contains("ld-linux") => ", the one of glibc: it comes from a desktop or server distribution",
        _ if wanted.contains("ld-musl") => "",
        _ if wanted.contains("ld-uClibc") => ", the one of uClibc: it comes from an older OpenWrt",
        _ => "",
    };
    let has = if image.file(MUSL).is_some() {
        format!("the image has musl's, {MUSL}")
    } else {
        "the image has none".to_owned()
    };
    Some(format!("{path} asks for the program interpreter {wanted}{whose}; {has}"))
}

struct Linking<'a> {
    image: &'a mut dyn Searched,
    /// Libraries by path.
    loaded: BTreeMap<String, Binary>,
    problems: Vec<String>,
    /// Whether all symbols could be read.
    is_complete: bool,
}

impl Linking<'_> {
    /// Loads what `binary` needs, and what that needs, breadth first.
    fn load(&mut self, path: &str, binary: &Binary) {
        let mut waiting = VecDeque::from([(path.to_owned(), binary.clone(), Vec::new())]);
        while let Some((user, binary, inherited)) = waiting.pop_front() {
            self.is_complete &= binary.exports.is_some();
            // The run paths of whoever needed it are searched too, the own ones first.
            let mut run_paths: Vec<String> = binary.run_paths.iter().map(|folder| with_origin(folder, &user)).collect();
            run_paths.extend(inherited);
            for name in &binary.needed {
                let Some(library) = self.find(name, &run_paths) else {
                    let searched = self.folders(&run_paths).join(", ");
                    self.problems.push(format!("{user} needs {name}, which is in none of {searched}"));
                    continue;
                };
                match library.binary {
                    Err(reason) => self.problems.push(format!("{user} needs {name}, but {} {reason}", library.path)),
                    Ok(found) if self.loaded.len() < MOST_LIBRARIES => {
                        if self.loaded.insert(library.path.clone(), found.clone()).is_none() {
                            waiting.push_back((library.path, found, run_paths.clone()));
                        }
                    }
                    Ok(_) => {}
                }
            }
        }
    }

    fn folders(&self, run_paths: &[String]) -> Vec<String> {
        let system = match self.image.system_paths() {
            Some(text) => text.split([':', '\n']).filter(|path| !path.is_empty()).map(str::to_owned).collect(),
            None => SYSTEM_PATHS.map(str::to_owned).to_vec(),
        };
        run_paths.iter().cloned().chain(system).collect()
    }

    fn find(&mut self, name: &str, run_paths: &[String]) -> Option<Library> {
        if name.contains('/') {
            return self.image.file(name);
        }
        let is_own = name.strip_prefix("lib").is_some_and(|rest| RESERVED.iter().any(|own| rest.starts_with(own)));
        if is_own && let Some(own) = self.image.file(MUSL) {
            return Some(own);
        }
        self.folders(run_paths).iter().find_map(|folder| self.image.file(&format!("{folder}/{name}")))
    }

    /// Names that nothing offers.
    fn resolve(&mut self, path: &str, binary: &Binary) {
        // musl itself is always there, whether it is asked for or not.
        if let Some(Ok(musl)) = self.image.file(MUSL).map(|musl| musl.binary) {
            self.loaded.insert(MUSL.to_owned(), musl);
        }
        let offers = |binary: &Binary, name: &str| binary.exports.as_ref().is_none_or(|exports| exports.contains(name));
        let missing = |user: &Binary| -> BTreeSet<String> {
            let is_missing =
                |name: &&String| !offers(binary, name) && !self.loaded.values().any(|one| offers(one, name));
            user.imports.iter().filter(is_missing).cloned().collect()
        };
        let mut problems = Vec::new();
        let users = std::iter::once((path, binary)).chain(self.loaded.iter().map(|(path, one)| (path.as_str(), one)));
        for (user, names) in users.map(|(user, one)| (user, missing(one))).filter(|(_, names)| !names.is_empty()) {
            let libraries: Vec<&str> = self.loaded.keys().map(String::as_str).collect();
            problems.push(format!(
                "{user} needs the symbols {}, which none of its libraries has ({})",
                some(&names, LISTED),
                libraries.join(", ")
            ));
        }
        self.problems.extend(problems);
    }
}

/// `$ORIGIN` is the folder of whoever names it.
fn with_origin(folder: &str, user: &str) -> String {
    let own = user.rsplit_once('/').map_or("", |(own, _)| own);
    folder.replace("${ORIGIN}", own).replace("$ORIGIN", own)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Files by path; a link is a file that says where it is.
    #[derive(Default)]
    struct Image(BTreeMap<String, Library>, Option<String>);

    impl Searched for Image {
        fn file(&mut self, path: &str) -> Option<Library> {
            self.0.get(path).cloned()
        }

        fn system_paths(&self) -> Option<String> {
            self.1.clone()
        }
    }

    impl Image {
        fn add(&mut self, path: &str, binary: Binary) {
            self.0.insert(path.to_owned(), Library { path: path.to_owned(), binary: Ok(binary) });
        }
    }

    fn names(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(ToString::to_string).collect()
    }

    fn library(needed: &[&str], imports: &[&str], exports: &[&str]) -> Binary {
        Binary {
            needed: needed.iter().map(ToString::to_string).collect(),
            imports: names(imports),
            exports: Some(names(exports)),
            ..Binary::default()
        }
    }

    fn image() -> Image {
        let mut image = Image::default();
        image.add(MUSL, library(&[], &[], &["puts", "malloc"]));
        image.add("/usr/lib/libmnl.so.0", library(&["libc.so"], &["malloc"], &["mnl_stub"]));
        let program = library(&["libmnl.so.0", "libc.so"], &["mnl_stub", "puts"], &[]);
        image.add("/usr/sbin/rdma", Binary { interpreter: Some(MUSL.to_owned()), ..program });
        image
    }

    fn change(image: &mut Image, path: &str, change: impl FnOnce(&mut Binary)) {
        change(image.0.get_mut(path).unwrap().binary.as_mut().unwrap());
    }

    #[test]
    fn a_program_with_its_libraries_links() {
        assert_eq!(link(&mut image(), "/usr/sbin/rdma"), Vec::<String>::new());
        assert_eq!(link(&mut image(), "/usr/lib/libmnl.so.0"), Vec::<String>::new());
    }

    #[test]
    fn a_glibc_program_is_named_as_one() {
        let mut image = image();
        change(&mut image, "/usr/sbin/rdma", |rdma| rdma.interpreter = Some("/lib64/ld-linux-x86-64.so.2".to_owned()));
        assert_eq!(
            link(&mut image, "/usr/sbin/rdma"),
            [
                "/usr/sbin/rdma asks for the program interpreter /lib64/ld-linux-x86-64.so.2, the one of glibc: it comes from a \
              desktop or server distribution; the image has musl's, /lib/ld-musl-x86_64.so.1"
            ]
        );
    }

    #[test]
    fn a_missing_library_is_named_with_its_user_and_where_it_was_looked_for() {
        let mut image = image();
        change(&mut image, "/usr/lib/libmnl.so.0", |library| library.needed.push("libnl.so.1".to_owned()));
        assert_eq!(
            link(&mut image, "/usr/sbin/rdma"),
            ["/usr/lib/libmnl.so.0 needs libnl.so.1, which is in none of /lib, /usr/local/lib, /usr/lib"]
        );
        image.1 = Some("/lib\n/opt/lib".to_owned());
        assert!(
            link(&mut image, "/usr/sbin/rdma")[0].ends_with("needs libmnl.so.0, which is in none of /lib, /opt/lib")
        );
    }

    #[test]
    fn run_paths_come_first_and_know_their_origin() {
        let mut image = image();
        image.add("/usr/sbin/../lib/rdma/libprivate.so", library(&[], &[], &["private"]));
        change(&mut image, "/usr/sbin/rdma", |rdma| {
            rdma.needed.push("libprivate.so".to_owned());
            rdma.run_paths.push("$ORIGIN/../lib/rdma".to_owned());
            rdma.imports.insert("private".to_owned());
        });
        assert_eq!(link(&mut image, "/usr/sbin/rdma"), Vec::<String>::new());
    }

    #[test]
    fn missing_symbols_are_named() {
        let mut image = image();
        change(&mut image, "/usr/sbin/rdma", |rdma| rdma.imports.extend(["mnl_new".to_owned()]));
        assert_eq!(
            link(&mut image, "/usr/sbin/rdma"),
            ["/usr/sbin/rdma needs the symbols mnl_new, which none of its libraries has (/lib/ld-musl-x86_64.so.1, \
              /usr/lib/libmnl.so.0)"]
        );
        change(&mut image, "/usr/lib/libmnl.so.0", |library| library.exports = None);
        assert_eq!(link(&mut image, "/usr/sbin/rdma"), Vec::<String>::new(), "what cannot be counted is not judged");
    }

    #[test]
    fn a_library_for_another_machine_is_named() {
        let mut image = image();
        let reason = "is built for aarch64 (64 bits), not for x86_64".to_owned();
        let library = Library { path: "/usr/lib/libmnl.so.0.2".into(), binary: Err(reason) };
        image.0.insert("/usr/lib/libmnl.so.0".into(), library);
        assert_eq!(
            link(&mut image, "/usr/sbin/rdma"),
            [
                "/usr/sbin/rdma needs libmnl.so.0, but /usr/lib/libmnl.so.0.2 is built for aarch64 (64 bits), not for x86_64"
            ]
        );
        assert_eq!(link(&mut image, "/usr/sbin/none"), ["/usr/sbin/none is not in the image"]);
    }
}
