use super::*;
use crate::error::ErrorKind;
use crate::kernel::test_module::{Tiny, fixture_archive};
use crate::source::{NoReserve, Reserve};

fn name(text: &str) -> ModuleName {
    ModuleName::new(text)
}

fn wish(module: &str, optional: bool) -> Required {
    Required { name: name(module), reason: "overlay test".to_owned(), optional }
}

/// `"a: b c"` for a module `a` that depends on `b` and `c`.
fn modules(descriptions: &[&str]) -> BTreeMap<ModuleName, Vec<ModuleName>> {
    let parse = |text: &&str| {
        let (module, depends) = text.split_once(':').unwrap();
        (name(module), depends.split_whitespace().map(name).collect())
    };
    descriptions.iter().map(parse).collect()
}

fn ib_sources() -> ModuleSources {
    ModuleSources::open(&[fixture_archive().to_owned()]).unwrap()
}

/// Files of tiny modules with these dependencies.
fn tiny_sources(descriptions: &[(&str, &'static str)]) -> (tempfile::TempDir, ModuleSources) {
    let folder = tempfile::tempdir().unwrap();
    for (module, depends) in descriptions {
        let bytes = Tiny { depends, flags: &[], ..Tiny::default() }.build();
        std::fs::write(folder.path().join(format!("{module}.ko")), bytes).unwrap();
    }
    let sources = ModuleSources::open(&[folder.path().to_owned()]).unwrap();
    (folder, sources)
}

fn chosen(sources: &ModuleSources, required: &[Required], groups: &[&[&str]], installed: &[&str]) -> Result<Selection> {
    let groups: Vec<Vec<ModuleName>> = groups.iter().map(|group| group.iter().map(|n| name(n)).collect()).collect();
    let offer = Offer { sources, reserve: &NoReserve, same_build: &groups };
    select(offer, &KernelRelease::new("6.12.117"), required, &modules(installed))
}

/// Modules of no source, each with what it depends on.
struct AtHand(Vec<(&'static str, &'static str)>);

impl Reserve for AtHand {
    fn find(&self, name: &ModuleName, _release: &KernelRelease) -> Result<Option<SourcedModule>> {
        let Some((_, depends)) = self.0.iter().find(|(at_hand, _)| *at_hand == name.as_str()) else { return Ok(None) };
        let bytes = Tiny { depends, flags: &[], ..Tiny::default() }.build();
        let module = crate::kernel::Module::parse(&bytes)?;
        let (name, origin) = (name.clone(), format!("at hand » {name}.ko"));
        Ok(Some(SourcedModule { name, origin, bytes, module, is_release_known: true, source_sha256: None }))
    }

    fn why_not(&self, name: &ModuleName, _release: &KernelRelease) -> Option<String> {
        (name.as_str() == "gone").then(|| "it is gone".to_owned())
    }
}

#[test]
fn what_no_source_has_comes_from_what_is_at_hand_but_not_beside_another_build() {
    let release = KernelRelease::new("6.12.117");
    let at_hand = AtHand(vec![
        ("user", "depends=provider"),
        ("provider", "depends="),
        ("core", "depends="),
        ("ib", "depends=core"),
    ]);
    let groups = [vec![name("core"), name("ib")]];
    let choose = |sources: &ModuleSources, required: &[Required], installed: &[&str]| {
        let offer = Offer { sources, reserve: &at_hand, same_build: &groups };
        select(offer, &release, required, &modules(installed))
    };
    let origins = |selection: &Selection| -> Vec<String> {
        selection
            .modules
            .iter()
            .map(|selected| selected.sourced.origin.rsplit('/').next().unwrap().to_owned())
            .collect()
    };
    let none = ModuleSources::open(&[]).unwrap();
    let found = choose(&none, &[wish("user", false), wish("ib", true)], &["core:"]).unwrap();
    assert_eq!(origins(&found), ["provider.ko", "user.ko", "core.ko", "ib.ko"].map(|file| format!("at hand » {file}")));

    let (_folder, sources) = tiny_sources(&[("user", "depends=provider"), ("ib", "depends=core")]);
    let found = choose(&sources, &[wish("user", false), wish("provider", true)], &[]).unwrap();
    assert_eq!(origins(&found), ["at hand » provider.ko", "user.ko"]);
    let optional = choose(&sources, &[wish("provider", true)], &[]).unwrap();
    assert_eq!(optional.missing_optional, [name("provider")], "what the sources leave out is left out");
    for installed in [&["core:"][..], &[]] {
        let error = choose(&sources, &[wish("ib", false)], installed).unwrap_err();
        assert!(error.message().contains("core"), "{error}");
    }
    let error = choose(&none, &[wish("gone", false)], &[]).unwrap_err();
    assert_eq!(
        error.message(),
        "gone is not in the image, and no source of modules was given; it is gone (asked for by overlay test)"
    );
}

fn told(selection: &Selection) -> Vec<String> {
    selection.modules.iter().map(|s| format!("{}: {}", s.sourced.name, s.reason)).collect()
}

fn kept(selection: &Selection) -> Vec<String> {
    selection.kept.iter().map(|(module, reason)| format!("{module}: {reason}")).collect()
}

#[test]
fn the_closure_comes_providers_first_and_says_why() {
    let selection = chosen(&ib_sources(), &[wish("mlx4_ib", false), wish("ib_ipoib", false)], &[], &[]).unwrap();
    assert_eq!(
        told(&selection),
        [
            "ib_core: needed by mlx4_ib",
            "ib_uverbs: needed by mlx4_ib",
            "mlx4_core: needed by mlx4_ib",
            "mlx4_ib: overlay test",
            "ib_cm: needed by ib_ipoib",
            "ib_ipoib: overlay test",
        ]
    );
    assert!(selection.kept.is_empty() && selection.missing_optional.is_empty());
}

#[test]
fn every_module_of_the_fixtures_stands_behind_what_it_needs() {
    let sources = ib_sources();
    let required: Vec<_> = sources.names().iter().rev().map(|n| wish(n.as_str(), false)).collect();
    let installed = ["ip6_udp_tunnel:", "configfs:", "hwmon:", "ptp:", "dimlib:", "mlxfw:"];
    let selection = chosen(&sources, &required, &[], &installed).unwrap();
    assert_eq!(selection.modules.len(), 23);
    let mut before = BTreeSet::new();
    for selected in &selection.modules {
        for needed in selected.sourced.module.modinfo.depends.iter().flatten() {
            let is_installed = selection.kept.iter().any(|(kept, _)| kept == needed);
            assert!(is_installed || before.contains(needed), "{} before {needed}", selected.sourced.name);
        }
        before.insert(selected.sourced.name.clone());
    }
}

#[test]
fn what_the_image_has_stays() {
    let selection = chosen(&ib_sources(), &[wish("mlx4-ib", false)], &[], &["mlx4_core: ptp", "ptp:"]).unwrap();
    assert_eq!(
        told(&selection),
        ["ib_core: needed by mlx4_ib", "ib_uverbs: needed by mlx4_ib", "mlx4_ib: overlay test"]
    );
    assert_eq!(kept(&selection), ["mlx4_core: needed by mlx4_ib", "ptp: needed by mlx4_core"]);
}

#[test]
fn a_second_run_finds_everything_in_the_image() {
    let installed = ["mlx5_core:", "ib_core:", "ib_uverbs: ib_core", "mlx5_ib: ib_core ib_uverbs mlx5_core"];
    let selection = chosen(&ib_sources(), &[wish("mlx5_ib", false)], &[&["mlx5_core", "mlx5_ib"]], &installed).unwrap();
    assert!(selection.modules.is_empty());
    assert_eq!(selection.kept.len(), 4);
}

#[test]
fn a_module_of_the_same_build_group_replaces_the_images_own() {
    let groups: &[&[&str]] = &[&["mlx5_core", "mlx5_ib"]];
    let selection =
        chosen(&ib_sources(), &[wish("mlx5_ib", false)], groups, &["mlx5_core:", "other:", "ptp:"]).unwrap();
    let told = told(&selection);
    assert!(told.contains(&"mlx5_core: from the same build as mlx5_ib".to_owned()), "{told:?}");
    assert_eq!(kept(&selection), ["ptp: needed by mlx5_core"]);
    let place = |module: &str| selection.modules.iter().position(|s| s.sourced.name.as_str() == module);
    assert!(place("mlx5_core") < place("mlx5_ib"));
    // In the other order of asking, the one that was to stay is replaced after all.
    let wishes = [wish("mlx5_core", false), wish("mlx5_ib", false)];
    let selection = chosen(&ib_sources(), &wishes, groups, &["mlx5_core:", "ptp:"]).unwrap();
    assert!(
        kept(&selection) == ["ptp: needed by mlx5_core"]
            && selection.modules.iter().any(|s| s.sourced.name.as_str() == "mlx5_core")
    );
}

#[test]
fn a_group_of_which_the_image_has_nothing_pulls_nothing_in() {
    let selection = chosen(&ib_sources(), &[wish("ib_core", false)], &[&["ib_core", "mlx5_ib"]], &[]).unwrap();
    assert_eq!(told(&selection), ["ib_core: overlay test"]);
}

#[test]
fn a_group_member_that_the_sources_lack_is_named_with_its_partner() {
    let (folder, sources) = tiny_sources(&[("user", "depends=base")]);
    let error = chosen(&sources, &[wish("user", false)], &[&["user", "base"]], &["base:"]).unwrap_err();
    let path = folder.path().display();
    assert_eq!(
        error.to_string(),
        format!("user is put in, so base must come from the same build, but it is not in {path}")
    );
    assert!(error.remedy_text().is_some());
}

#[test]
fn a_missing_dependency_is_named_with_its_chain() {
    let (folder, sources) = tiny_sources(&[("a", "depends=b"), ("b", "depends=c-d")]);
    let error = chosen(&sources, &[wish("a", false)], &[], &[]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    let path = folder.path().display();
    assert_eq!(
        error.to_string(),
        format!("a needs b, which needs c_d, which is neither in the image nor in {path} (asked for by overlay test)")
    );
    assert_eq!(
        error.remedy_text(),
        Some("build the kernel with c_d as a module, and name the folder or archive that holds c_d.ko")
    );
    let error = chosen(&sources, &[wish("z", false)], &[], &[]).unwrap_err();
    assert_eq!(error.to_string(), format!("z is neither in the image nor in {path} (asked for by overlay test)"));
}

#[test]
fn a_dependency_that_an_installed_module_lacks_is_put_in() {
    let selection = chosen(&ib_sources(), &[wish("mlx4_ib", false)], &[], &["mlx4_ib: ib_core"]).unwrap();
    assert_eq!(told(&selection), ["ib_core: needed by mlx4_ib"]);
    assert_eq!(kept(&selection), ["mlx4_ib: overlay test"]);
}

#[test]
fn an_optional_module_is_taken_whole_or_not_at_all() {
    let (_folder, sources) = tiny_sources(&[("a", "depends="), ("b", "depends=c"), ("c", "depends=gone")]);
    let wishes = [wish("b", true), wish("a", true), wish("absent", true)];
    let selection = chosen(&sources, &wishes, &[], &[]).unwrap();
    assert_eq!(told(&selection), ["a: overlay test"]);
    assert_eq!(selection.missing_optional, [name("b"), name("absent")]);
}

#[test]
fn a_circle_of_dependencies_ends() {
    let (_folder, sources) = tiny_sources(&[("a", "depends=b"), ("b", "depends=c"), ("c", "depends=a,c")]);
    let selection = chosen(&sources, &[wish("a", false)], &[], &[]).unwrap();
    assert_eq!(told(&selection), ["c: needed by b", "b: needed by a", "a: overlay test"]);
    let selection = chosen(&sources, &[wish("x", false)], &[], &["x: y", "y: x"]).unwrap();
    assert_eq!(kept(&selection), ["x: overlay test", "y: needed by x"]);
}

#[test]
fn without_sources_the_message_says_so() {
    let sources = ModuleSources::open(&[]).unwrap();
    let error = chosen(&sources, &[wish("ib_core", false)], &[], &[]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "ib_core is not in the image, and no source of modules was given (asked for by overlay test)"
    );
}
