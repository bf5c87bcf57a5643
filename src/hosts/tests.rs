//! Hosts files read, rendered and refused.

use std::path::Path;

use super::*;
use crate::error::{Error, Result};
use crate::recipe::{CommandLineWishes, ExtraContent};

const NAME: &str = "{{ host.name }}.img.gz";

/// A folder with `files`.
fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    folder
}

/// Renders all hosts of `path`.
fn rows(path: &Path, wishes: &CommandLineWishes, name: &str) -> Result<Vec<(HostRow, HostRecipe)>> {
    let renderer = Renderer::new(Hosts::read(path)?, wishes, name)?;
    survey(&renderer, |_, recipe, _| Ok(recipe))
}

fn rendered(text: &str) -> Vec<(HostRow, HostRecipe)> {
    let folder = folder(&[("h.toml", text), ("banner", "hello\n"), ("secrets/psk", "open sesame\n")]);
    rows(&folder.path().join("h.toml"), &CommandLineWishes::default(), NAME).unwrap()
}

/// The error of a hosts file, without the folder it lay in.
fn refusal(text: &str) -> String {
    let folder = folder(&[("h.toml", text), ("secrets/psk", "open sesame\n")]);
    shown(&rows(&folder.path().join("h.toml"), &CommandLineWishes::default(), NAME).unwrap_err(), folder.path())
}

fn shown(error: &Error, folder: &Path) -> String {
    let remedy = error.remedy_text().map(|remedy| format!(" ({remedy})")).unwrap_or_default();
    format!("{error}{remedy}").replace(&format!("{}/", folder.display()), "")
}

fn addresses(row: &HostRow) -> Vec<&str> {
    row.addresses.iter().map(|address| address.address.as_str()).collect()
}

const SITE: &str = r#"
overlays = ["ipoib"]
vars = { subnet = "10.10.0.0/22", rack = "none" }

[ipoib]
address = "{{ cidr_address(vars.subnet, host.index + 1) }}"
mtu = "{{ vars.mtu }}"
mode = "datagram"

[group.a]
vars = { mtu = 2044, rack = "a" }
ssh_keys = []

[group.b]
vars = { mtu = 4092 }
ipoib.mode = "connected"

[[host]]
name = "h1"
group = "a"

[[host]]
name = "h2"
group = ["a", "b"]
hostname = "{{ group.name }}-{{ host.name }}-{{ group.rack }}"

[[host]]
name = "h3"
vars.mtu = 1500
ipoib = { address = ["10.20.0.1/24", "fd00::1/64"], mode = "connected" }
"#;

#[test]
fn a_host_wins_over_its_groups_these_in_order_over_the_defaults_and_all_over_the_recipe_file() {
    let folder = folder(&[("site/h.toml", SITE), ("r.toml", "modules = ['ko']\n[ipoib]\nmtu = 68\nzone = 'x'\n")]);
    let wishes = CommandLineWishes { recipe: Some(folder.path().join("r.toml")), ..CommandLineWishes::default() };
    let hosts = rows(&folder.path().join("site/h.toml"), &wishes, "{{ host.index }}-{{ vars.rack }}.img").unwrap();
    let ipoib = |index: usize, key: &str| hosts[index].1.recipe.settings["ipoib"][key].clone();
    let mtus: Vec<_> = (0..3).map(|index| ipoib(index, "mtu").as_integer().unwrap()).collect();
    assert_eq!(mtus, [2044, 4092, 1500]);
    let modes: Vec<_> = (0..3).map(|index| ipoib(index, "mode").as_str().unwrap().to_owned()).collect();
    assert_eq!(modes, ["datagram", "connected", "connected"]);
    assert_eq!(ipoib(0, "zone").as_str(), Some("x"));
    assert_eq!(addresses(&hosts[0].0), ["10.10.0.1/22"]);
    assert_eq!(addresses(&hosts[2].0), ["10.20.0.1/24", "fd00::1/64"]);
    let names: Vec<_> = hosts.iter().map(|(row, _)| (row.hostname.as_str(), row.output.as_str())).collect();
    assert_eq!(names, [("h1", "0-a.img"), ("b-h2-a", "1-a.img"), ("h3", "2-none.img")]);
    assert_eq!(hosts[0].1.recipe.modules, [folder.path().join("ko")], "paths of the recipe count from its own folder");

    let wishes = CommandLineWishes { settings: vec!["ipoib.mtu=2000".to_owned()], ..wishes };
    let hosts = rows(&folder.path().join("site/h.toml"), &wishes, NAME).unwrap();
    let mtus = hosts.iter().map(|(_, host)| host.recipe.settings["ipoib"]["mtu"].as_integer().unwrap());
    assert_eq!(mtus.collect::<Vec<_>>(), [2000, 2000, 2000], "the command line wins over all");
}

#[test]
fn toml_json_csv_and_a_folder_say_the_same() {
    let toml = "overlays = ['ipoib']\n[group.g]\nvars.x = 7\n[[host]]\nname = 'h1'\ngroup = 'g'\n\
        ipoib.address = '10.0.0.{{ vars.x }}/24'\n[[host]]\nname = 'h2'\nipoib = {address = '10.0.0.2/24', mtu = 2000}\n";
    let json = r#"{"overlays": ["ipoib"], "group": {"g": {"vars": {"x": 7}}}, "host": [
        {"name": "h1", "group": "g", "ipoib": {"address": "10.0.0.{{ vars.x }}/24"}},
        {"name": "h2", "ipoib": {"address": "10.0.0.2/24", "mtu": 2000}}]}"#;
    let csv = "name,group,ipoib.address,ipoib.mtu,vars.x\nh1,,10.0.0.{{ vars.x }}/24,,7\nh2,,10.0.0.2/24,2000,\n";
    let folder = folder(&[
        ("h.toml", toml),
        ("h.json", json),
        ("h.csv", csv),
        ("d/hosts.toml", "overlays = ['ipoib']\n[group.g]\nvars.x = 7\n"),
        ("d/hosts.csv", "name,group,ipoib.address\nh1,g,10.0.0.{{ vars.x }}/24\n"),
        ("d/h2.toml", "ipoib = {address = '10.0.0.2/24', mtu = 2000}\n"),
        ("d/notes.txt", "not a host"),
    ]);
    let wishes = CommandLineWishes { overlays: vec!["ipoib".to_owned()], ..CommandLineWishes::default() };
    for name in ["h.toml", "h.json", "h.csv", "d"] {
        let hosts = rows(&folder.path().join(name), &wishes, NAME).unwrap();
        let shown: Vec<_> = hosts.iter().map(|(row, _)| (row.name.as_str(), addresses(row))).collect();
        assert_eq!(shown, [("h1", vec!["10.0.0.7/24"]), ("h2", vec!["10.0.0.2/24"])], "{name}");
        assert_eq!(hosts[1].1.recipe.settings["ipoib"]["mtu"].as_integer(), Some(2000), "{name}");
    }
}

#[test]
fn templates_read_files_variables_and_secrets() {
    let home = std::env::var("HOME").unwrap();
    let text = "[[host]]\nname = 'h'\n[[host.file]]\npath = '/a'\ncontent = \"{{ file('banner') }}{{ env('HOME') }} \
        {{ secret('secrets/psk') }}\"\n";
    let hosts = rendered(text);
    let expected = format!("hello\n{home} open sesame");
    assert_eq!(hosts[0].1.recipe.files[0].content, ExtraContent::Bytes(expected.into_bytes()));
    assert_eq!(hosts[0].1.secrets.cover("it is open sesame!"), "it is <secret>!");
}

#[test]
fn a_file_template_knows_the_host_and_its_secrets() {
    let files = [
        ("h.toml", "[[host]]\nname = 'h'\nvars.x = 7\nfile = [{ path = '/a', template = 't/a.j2' }]\n"),
        ("t/a.j2", "{{ host.name }} {{ vars.x }} {{ hostname }} {{ secret('psk') }} {{ cidr_host('fd00::/64', 5) }}"),
        ("t/psk", "sesame"),
    ];
    let folder = folder(&files);
    let path = folder.path().join("h.toml");
    let renderer = Renderer::new(Hosts::read(&path).unwrap(), &CommandLineWishes::default(), NAME).unwrap();
    let hosts = survey(&renderer, |_, _, resolved| Ok(resolved.files)).unwrap();
    let file = hosts[0].1.iter().find(|file| file.path == "/a").unwrap();
    assert_eq!(file.content, crate::plan::Content::File(b"h 7 h sesame fd00::5".as_slice().into()));
}

#[test]
fn an_undefined_name_is_an_error_with_file_line_and_column_of_the_value() {
    let text = "[vars]\nrack = 1\n[ipoib]\naddress =   '10.0.0.{{ vars.rak }}/24'\n[[host]]\nname = 'h'\n";
    assert_eq!(
        refusal(text),
        "host h: h.toml, line 4, column 13: undefined value: `vars.rak` (did you mean `rack`?; `vars` holds `rack`)"
    );
    let json = "{\"host\": [{\"name\": \"h\",\n \"ssh_keys\": [\"{{ nme }}\"]}]}";
    let folder = folder(&[("h.json", json)]);
    let error = rows(&folder.path().join("h.json"), &CommandLineWishes::default(), NAME).unwrap_err();
    let message = "host h: h.json, line 2, column 15: undefined value: `nme`";
    assert!(shown(&error, folder.path()).starts_with(message), "{error}");
}

#[test]
fn mistakes_are_told_for_all_hosts_at_once_and_a_common_one_only_once() {
    let text = "x = 1\n[[host]]\nname = 'h1'\n[[host]]\nname = 'h2'\n";
    assert!(
        refusal(text).starts_with("hosts h1 and h2: h.toml, line 1, column 1: unknown key `x`"),
        "{}",
        refusal(text)
    );
    let text = "[[host]]\nname = 'h1'\nhostnam = 'x'\n[[host]]\nname = 'h_2'\n[[host]]\nname = 'h3'\n";
    assert_eq!(
        refusal(text),
        "2 mistakes in the hosts\n\
         host h1: h.toml, line 3, column 1: unknown key `hostnam` (did you mean `hostname`?)\n\
         host h_2: h.toml, line 5, column 8: \"h_2\" is not a host name (use letters, digits and inner dashes, at most 63 \
         per label (RFC 1123), such as fabric-gw)"
    );
}

#[test]
fn what_cannot_be_is_refused_in_these_words() {
    let hosts = "[[host]]\nname = 'h1'\n[[host]]\nname = 'h2'\n";
    for (text, message) in [
        ("overlays = ['ipoib']\n", "h.toml: there is no host in it (write [[host]] and name = \"h1\" for each host)"),
        ("[host]\nname = 'h'\n", "h.toml, line 1, column 2: `host` is a table, which is not how it is written"),
        ("[[host]]\ngroup = 'a'\n", "h.toml, line 1, column 1: this host has no `name`"),
        ("[[host]]\nname = 'a/b'\n", "h.toml, line 2, column 8: \"a/b\" cannot be the name of a host or group"),
        (
            "[[host]]\nname = 'h'\n[[host]]\nname = 'H'\n",
            "h.toml, line 4, column 8: there is a host `H` already, at h.toml, line 2",
        ),
        (
            "[[host]]\nname = 'h'\ngroup = 'stor'\n[group.store]\n",
            "h.toml, line 3, column 9: host `h` is in the group `stor`, which is not there (did you mean `store`?)",
        ),
        ("[[host]]\nname = 'h'\ngroup = 1\n", "h.toml, line 3, column 9: `group` is an integer, where"),
        ("[[host]]\nname = 'h'\ngroup = 'a a'\n[group.a]\n", "h.toml, line 3, column 9: the group `a` is named twice"),
        ("[group.a.vars]\nname = 1\n", "h.toml, line 2, column 1: a group's variable cannot be called `name`"),
        (
            &format!("hostname = 'gw'\n{hosts}"),
            "h.toml, line 5, column 8: hosts `h1` and `h2` both have the host name gw; `h1` is at h.toml, line 3, column 8",
        ),
        (
            &format!("overlays = ['ipoib']\nipoib.address = '10.0.0.1/24'\n{hosts}"),
            "h.toml, line 6, column 8: hosts `h1` and `h2` both have the address 10.0.0.1; `h1` is at h.toml, line 4, column 8",
        ),
        (
            "overlays = ['ipoib']\n[[host]]\nname = 'a'\nipoib.address = 'fd00::1/64'\n[[host]]\nname = 'b'\nipoib.pkeys = [{ pkey = 0x8001, address = 'fd00:0::1/48' }]\n",
            "h.toml, line 6, column 8: hosts `a` and `b` both have the address fd00::1",
        ),
        (
            "overlays = ['ipoib']\n[ipoib]\naddress = \"{{ cidr_address('10.0.0.0/30', host.index + 4) }}\"\n[[host]]\nname = 'h'\n",
            "host h: h.toml, line 3, column 11: there is no host 4 in 10.0.0.0/30, whose hosts are 0 to 3",
        ),
        (
            "hostname = \"{{ cidr_host('10.0.0.0', 1) }}\"\n[[host]]\nname = 'h'\n",
            "host h: h.toml, line 1, column 12: \"10.0.0.0\" is not a subnet",
        ),
        (
            "hostname = \"{{ secret('nowhere/psk') }}\"\n[[host]]\nname = 'h'\n",
            "host h: h.toml, line 1, column 12: there is no secret `nowhere/psk`: no file nowhere/psk",
        ),
        (
            "hostname = \"{{ env('IBWRT_NO_SUCH') }}\"\n[[host]]\nname = 'h'\n",
            "host h: h.toml, line 1, column 12: there is no environment variable `IBWRT_NO_SUCH`",
        ),
        (
            "hostname = \"{{ secret('secrets/psk') }}\"\n[[host]]\nname = 'h'\n",
            "host h: h.toml, line 1, column 1: \"<secret>\" is not a host name",
        ),
    ] {
        let refusal = refusal(text);
        assert!(refusal.starts_with(message), "{refusal}\n{message}");
        assert!(!refusal.contains("sesame"), "{refusal}");
    }
}

const OVERLAY: &str = "name = 'mine'\nsummary = 's'\n[[setting]]\nname = 'key'\ntype = 'file'\nsummary = 's'\n\
                       [[setting]]\nname = 'size'\ntype = 'integer'\nsummary = 's'\n[[file]]\npath = '/etc/key'\nfrom = 'key'\n";

#[test]
fn settings_of_an_overlay_that_is_a_folder_count_in_every_layer_from_the_folder_of_their_own_file() {
    const HOSTS: &str =
        "[[host]]\nname = 'h1'\nmine.key = 'keys/{{ host.name }}'\nmine.size = '{{ host.index + 1 }}'\n";
    let below = "[mine]\nkey = 'common.key'\n";
    // Hosts file, recipe, whether the command line names the overlay, and the key that the host gets.
    let cases = [
        (format!("overlays = ['./my-overlay']\n{HOSTS}"), None, false, "of h1"),
        (format!("{HOSTS}overlays = ['./my-overlay']\n"), None, false, "of h1"),
        (format!("group.g.overlays = ['./my-overlay']\n{HOSTS}group = 'g'\n"), None, false, "of h1"),
        (HOSTS.to_owned(), Some("overlays = ['../site/my-overlay']\n"), false, "of h1"),
        (HOSTS.to_owned(), Some(below), true, "of h1"),
        (format!("overlays = ['my-overlay']\n{HOSTS}"), Some("overlays = ['../site/my-overlay/']\n"), true, "of h1"),
        ("overlays = ['my-overlay']\n[[host]]\nname = 'h1'\n".to_owned(), Some(below), false, "common"),
        ("[[host]]\nname = 'h1'\n".to_owned(), Some(below), true, "common"),
    ];
    for (hosts, recipe, is_on_command_line, expected) in cases {
        let folder = folder(&[
            ("site/h.toml", &hosts),
            ("site/my-overlay/overlay.toml", OVERLAY),
            ("site/keys/h1", "of h1"),
            ("recipes/r.toml", recipe.unwrap_or_default()),
            ("recipes/common.key", "common"),
        ]);
        let overlay = folder.path().join("site/my-overlay").display().to_string();
        let wishes = CommandLineWishes {
            recipe: recipe.map(|_| folder.path().join("recipes/r.toml")),
            overlays: is_on_command_line.then_some(overlay).into_iter().collect(),
            ..CommandLineWishes::default()
        };
        let rendered = rows(&folder.path().join("site/h.toml"), &wishes, NAME);
        let rendered = rendered.unwrap_or_else(|error| panic!("{hosts}{recipe:?}: {error}"));
        let resolved = crate::overlay::resolve(&rendered[0].1.recipe).unwrap();
        let file = resolved.files.iter().find(|file| file.path == "/etc/key").unwrap();
        assert_eq!(file.content, crate::plan::Content::File(expected.as_bytes().into()), "{hosts}{recipe:?}");
    }
}

#[test]
fn settings_of_an_overlay_that_is_a_folder_are_refused_where_they_stand() {
    let told = |hosts: &str| {
        let folder = folder(&[("h.toml", hosts), ("my-overlay/overlay.toml", OVERLAY)]);
        let error = rows(&folder.path().join("h.toml"), &CommandLineWishes::default(), NAME).unwrap_err();
        shown(&error, folder.path())
    };
    let host = "[[host]]\nname = 'h1'\n";
    let mistakes = [
        (
            format!("{host}mine.size = 1\n"),
            "h.toml, line 3, column 1: `mine` is neither an overlay in force nor a key of",
        ),
        (
            format!("overlays = ['./my-overlay']\n{host}mine.size = 'x'\n"),
            "h.toml, line 4, column 6: `mine.size` is a string, where an integer belongs",
        ),
        (format!("overlays = ['./my-overlay']\n{host}mine.sise = 1\n"), "h.toml, line 4, column 6: unknown"),
        (format!("overlays = ['./my-overlay']\n{host}mine.key = 'none'\n"), "h.toml, line 4, column 6"),
        (
            format!("overlays = ['./no-overlay']\n{host}mine.size = 1\n"),
            "h.toml, line 1, column 13: there is no folder",
        ),
    ];
    for (hosts, expected) in mistakes {
        let told = told(&hosts);
        assert!(told.starts_with(&format!("host h1: {expected}")), "{hosts}: {told}");
    }
}

#[test]
fn an_output_name_that_two_hosts_share_is_refused() {
    let folder = folder(&[("h.toml", "[[host]]\nname = 'h1'\n[[host]]\nname = 'h2'\n")]);
    let error = rows(&folder.path().join("h.toml"), &CommandLineWishes::default(), "router.img").unwrap_err();
    let shown = shown(&error, folder.path());
    assert!(
        shown.starts_with("h.toml, line 4, column 8: hosts `h1` and `h2` both have the output file router.img"),
        "{shown}"
    );
}

#[test]
fn the_schema_takes_what_is_read_and_no_typo() {
    let schema = schema().unwrap();
    let check = |text: &str| {
        let document = crate::recipe::Document::parse(text, "h.toml").unwrap();
        crate::recipe::check_table(&schema, &document.table, "", &document.places)
    };
    check(SITE).unwrap();
    for (from, to) in [("name = \"h1\"", "nam = \"h1\""), ("address = [", "adress = ["), ("group = \"a\"", "group = 1")]
    {
        assert!(check(&SITE.replace(from, to)).is_err(), "{to}");
    }
}
