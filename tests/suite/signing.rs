//! Signatures, judged by OpenBSD's signify, whose format usign shares.

use std::path::{Path, PathBuf};

use super::batch::{batch, site};
use super::support::{Job, fixture, fixture_modules, gzip_readers_agree, ibwrt, listing, raw_disk, run, sha256, tool};

const IMAGE: &str = "openwrt-mini-ib-ext4-combined.img.gz";
const KEY: &str = "74dc9401f1926250";

fn job() -> Job {
    Job::connectx3(&fixture(IMAGE), &fixture_modules())
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_string()
}

/// The fixtures' secret key.
fn key() -> String {
    text(&fixture("test-key.sec"))
}

/// Whether signify accepts `signature` on `message`.
fn signify_accepts(public: &Path, message: &Path, signature: &Path) -> bool {
    let mut signify = tool("signify-openbsd");
    signify.arg("-V").arg("-q").arg("-p").arg(public).arg("-m").arg(message).arg("-x").arg(signature);
    run(&mut signify).status == 0
}

/// The outcome of one check of `verify IMAGE` with further arguments, and the exit code.
fn verified(image: &Path, more: &[&str], id: &str) -> (String, i32) {
    let mut arguments = vec!["verify".to_string(), text(image), "--format".into(), "json".into()];
    arguments.extend(more.iter().map(|&one| one.to_string()));
    let ran = ibwrt(&std::env::temp_dir(), arguments);
    let report: serde_json::Value =
        serde_json::from_slice(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran}"));
    let rows = report["checks"]["rows"].as_array().unwrap_or_else(|| panic!("no rows: {ran}"));
    let row = rows.iter().find(|row| row["id"] == id).unwrap_or_else(|| panic!("no {id}: {ran}"));
    (row.to_string(), ran.status)
}

#[track_caller]
fn assert_says(row: &(String, i32), status: i32, words: &[&str]) {
    assert_eq!(row.1, status, "{}", row.0);
    for word in words {
        assert!(row.0.contains(word), "no word of {word}: {}", row.0);
    }
}

#[test]
fn what_patch_signs_signify_and_verify_accept_until_a_byte_changes() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let ran = job().patch(folder.path(), &fixture(IMAGE), &["-o", "a.img.gz", "--sign", &key()]).expect_status(0);
    assert_eq!(listing(folder.path()), ["a.img.gz", "a.img.gz.sig", "sha256sums", "sha256sums.sig"]);
    assert!(ran.text().contains(KEY), "{ran}");
    let public = fixture("test-key.pub");
    assert!(signify_accepts(&public, &at("a.img.gz"), &at("a.img.gz.sig")));
    assert!(signify_accepts(&public, &at("sha256sums"), &at("sha256sums.sig")));
    assert!(!signify_accepts(&public, &at("sha256sums"), &at("a.img.gz.sig")), "signify looks at the message");

    let trust = ["--key", public.to_str().unwrap()];
    let image = at("a.img.gz");
    assert_says(&verified(&image, &trust, "signed"), 0, &["by sha256sums and the signature beside it"]);
    assert_says(&verified(&image, &trust, "image-certificate"), 0, &["no signature behind the image"]);
    assert_says(&verified(&image, &[], "signed"), 0, &["skip", "--key"]);

    // The same again replaces nothing without --force, and gives the same bytes with it.
    let before = std::fs::read(at("a.img.gz.sig")).unwrap();
    std::fs::rename(&image, at("b.img.gz")).unwrap();
    let again = ["-o", "a.img.gz", "--sign", &key()];
    let ran = job().patch(folder.path(), &fixture(IMAGE), &again).expect_status(2);
    assert!(ran.stderr.contains("a.img.gz.sig exists already"), "{ran}");
    job().patch(folder.path(), &fixture(IMAGE), &[&again[..], &["--force"]].concat()).expect_status(0);
    assert_eq!(std::fs::read(at("a.img.gz.sig")).unwrap(), before);

    // One byte of the list, then of the image's signature.
    let sums = std::fs::read_to_string(at("sha256sums")).unwrap();
    std::fs::write(at("sha256sums"), sums.replace("a.img.gz", "c.img.gz")).unwrap();
    assert_says(&verified(&image, &trust, "sums-signature"), 1, &["fail", KEY, "does not fit"]);
    std::fs::write(at("sha256sums"), sums).unwrap();
    std::fs::copy(at("sha256sums.sig"), at("a.img.gz.sig")).unwrap();
    assert_says(&verified(&image, &trust, "image-signature"), 1, &["fail", KEY, "does not fit"]);
}

#[test]
fn a_key_and_a_signature_of_signify_are_understood() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let mut signify = tool("signify-openbsd");
    run(signify.args(["-G", "-n", "-p"]).arg(at("k.pub")).arg("-s").arg(at("k.sec"))).expect_status(0);
    std::fs::copy(fixture(IMAGE), at("a.img.gz")).unwrap();
    let sign = |secret: &Path| {
        let mut signify = tool("signify-openbsd");
        signify.arg("-S").arg("-s").arg(secret).arg("-m").arg(at("a.img.gz")).arg("-x").arg(at("a.img.gz.sig"));
        run(&mut signify).expect_status(0)
    };
    sign(&at("k.sec"));
    let signed_by_signify = std::fs::read_to_string(at("a.img.gz.sig")).unwrap();
    let says =
        |key: &str, id: &str| verified(&at("a.img.gz"), &["--key", &text(&at(key)), "--skip", "modules-present"], id);
    assert_says(&says("k.pub", "image-signature"), 0, &["pass"]);

    // Ours with the same key is the same signature; only the comment differs.
    job().patch(folder.path(), &fixture(IMAGE), &["-o", "b.img.gz", "--sign", &text(&at("k.sec"))]).expect_status(0);
    assert!(signify_accepts(&at("k.pub"), &at("b.img.gz"), &at("b.img.gz.sig")));
    let mut signify = tool("signify-openbsd");
    signify.arg("-S").arg("-s").arg(at("k.sec")).arg("-m").arg(at("b.img.gz")).arg("-x").arg(at("theirs.sig"));
    run(&mut signify).expect_status(0);
    let second_line = |name: &str| std::fs::read_to_string(at(name)).unwrap().lines().nth(1).unwrap().to_string();
    assert_eq!(second_line("b.img.gz.sig"), second_line("theirs.sig"));

    // A key of ours, used by signify.
    ibwrt(folder.path(), ["keygen", "ours"]).expect_status(0);
    sign(&at("ours.sec"));
    assert_ne!(std::fs::read_to_string(at("a.img.gz.sig")).unwrap(), signed_by_signify);
    assert_says(&says("ours.pub", "image-signature"), 0, &["pass"]);
    assert_says(&says("k.pub", "image-signature"), 1, &["skip", "not among those given"]);
    assert_says(&says("k.pub", "signed"), 1, &["fail", "nothing that a given key signed"]);
}

/// What lies in the signature chunk at the end of `file`: everything in front of it, and the payload.
fn chunk(file: &[u8]) -> (&[u8], &[u8]) {
    let (rest, end) = file.split_at(file.len() - 16);
    assert_eq!(&end[..4], b"FWx0");
    assert_eq!(end[4..8], (!crc32fast::hash(rest)).to_be_bytes(), "CRC");
    assert_eq!(end[8..12], [0; 4], "type: signature");
    let size = u32::from_be_bytes(end[12..].try_into().unwrap()) as usize;
    assert!(size <= 1024 + 16, "{size} bytes, more than fwtool takes");
    rest.split_at(rest.len() - (size - 16))
}

/// The blobs in `bytes`: header, and what follows it.
fn blobs(mut bytes: &[u8]) -> Vec<(u32, &[u8])> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let header = u32::from_be_bytes(bytes[..4].try_into().unwrap());
        let length = (header & 0x00ff_ffff) as usize;
        found.push((header & 0xff00_0000, &bytes[4..length]));
        bytes = &bytes[length.next_multiple_of(4)..];
    }
    found
}

#[test]
fn a_signature_behind_the_image_is_a_chain_whose_every_signature_signify_accepts() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::copy(fixture("profiles.json"), at("profiles.json")).unwrap();
    let public = fixture("test-key.pub");
    let arguments = ["-o", IMAGE, "--sign", &key(), "--sign-image"];
    let ran = job().patch(folder.path(), &fixture(IMAGE), &arguments).expect_status(0);
    assert!(ran.text().contains("2025-01-01 to 2026-01-01"), "{ran}");
    let file = std::fs::read(at(IMAGE)).unwrap();
    let (message, payload) = chunk(&file);

    let elements = blobs(payload);
    assert_eq!(elements.len(), 2, "a certificate and the signature");
    let accepts = |message: &[u8], signature: &[u8]| {
        std::fs::write(at("message"), message).unwrap();
        std::fs::write(at("signature"), signature).unwrap();
        signify_accepts(&public, &at("message"), &at("signature"))
    };
    let certificate = blobs(elements[0].1);
    assert_eq!([certificate[0].0, certificate[1].0], [0, 1 << 24], "signature and payload");
    assert!(accepts(certificate[1].1, certificate[0].1));
    let closing = blobs(elements[1].1);
    assert_eq!(closing.len(), 1);
    assert!(accepts(message, closing[0].1));
    let [(table, fields)] = blobs(certificate[1].1)[..] else { panic!("no table") };
    assert_eq!((table, &fields[..8]), (0x8200_0000, &b"\0\x05ucert\0"[..]));
    let named: Vec<_> = blobs(&fields[8..]).iter().map(|(id, data)| (*id, data[2..data.len()].to_vec())).collect();
    let expect = [
        (0x8500_0000, [&b"certtype\0\0\0\0"[..], &[0, 0, 0, 1]]),
        (0x8400_0000, [&b"validfrom\0"[..], &1_735_689_600u64.to_be_bytes()]),
        (0x8400_0000, [&b"expiresat\0"[..], &1_767_225_600u64.to_be_bytes()]),
    ];
    for ((id, data), (expected, parts)) in named.iter().zip(expect) {
        let expected_data = parts.concat();
        assert_eq!((*id, data[..expected_data.len().min(10)].to_vec()), (expected, expected_data[..10].to_vec()));
        assert!(data.ends_with(parts[1]), "{data:?}");
    }
    let key_text = String::from_utf8(named[3].1.clone()).unwrap();
    let second = std::fs::read_to_string(&public).unwrap().lines().nth(1).unwrap().to_string();
    assert!(
        key_text.starts_with("pubkey\0") && key_text.contains(&second) && key_text.ends_with("\n\0"),
        "{key_text:?}"
    );

    // profiles.json knows both digests, and the result reads like any image.
    let profiles: serde_json::Value = serde_json::from_slice(&std::fs::read(at("profiles.json")).unwrap()).unwrap();
    let images = profiles["profiles"]["generic"]["images"].as_array().unwrap();
    let entry = images.iter().find(|image| image["name"] == IMAGE).unwrap();
    assert_eq!(entry["sha256"].as_str(), Some(sha256(&file).as_str()));
    assert_eq!(entry["sha256_unsigned"].as_str(), Some(sha256(message).as_str()));
    std::fs::write(at("bare.img.gz"), message).unwrap();
    gzip_readers_agree(&at("bare.img.gz"), &raw_disk(&at(IMAGE)));
    let other = tempfile::tempdir().unwrap();
    job().patch(other.path(), &at(IMAGE), &["-o", "again.img.gz"]).expect_status(0);
    let again = std::fs::read(other.path().join("again.img.gz")).unwrap();
    assert!(again == message, "a patch of it drops the signature and no more");

    let trust = ["--key", public.to_str().unwrap(), "--now"];
    let says = |now: &str| verified(&at(IMAGE), &[&trust[..], &[now]].concat(), "image-certificate");
    assert_says(&says("1735689600"), 0, &["pass", KEY, "2025-01-01 to 2026-01-01"]);
    assert_says(&says("1735689599"), 1, &["fail", "valid from 1735689600"]);
    assert_says(&says("1767225600"), 1, &["fail", "valid until 1767225600"]);
}

#[test]
fn a_raw_image_is_signed_behind_its_last_byte_and_a_changed_one_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("a.img");
    let arguments = ["-o", "a.img", "--sign", &key(), "--sign-image"];
    job().patch(folder.path(), &fixture(IMAGE), &arguments).expect_status(0);
    let public = fixture("test-key.pub");
    let trust = ["--key", public.to_str().unwrap()];
    assert_says(&verified(&image, &trust, "image-certificate"), 0, &["pass", "not judged: --now"]);
    let mut file = std::fs::read(&image).unwrap();
    let disk = raw_disk(&fixture(IMAGE)).len();
    assert_eq!(chunk(&file).0.len(), disk);
    file[100] ^= 1; // in the boot code
    std::fs::write(&image, file).unwrap();
    assert_says(&verified(&image, &trust, "image-certificate"), 1, &["fail", "on something else"]);
    assert_says(&verified(&image, &trust, "signed"), 1, &["fail"]);
}

#[test]
fn the_layout_of_an_official_build_is_understood() {
    let folder = tempfile::tempdir().unwrap();
    for name in [IMAGE, "sha256sums", "sha256sums.sig", "profiles.json"] {
        std::fs::copy(fixture(name), folder.path().join(name)).unwrap();
    }
    let keys = folder.path().join("keys");
    std::fs::create_dir(&keys).unwrap();
    std::fs::copy(fixture("test-key.pub"), keys.join(KEY)).unwrap();
    let image = folder.path().join(IMAGE);
    let trust = ["--key", keys.to_str().unwrap(), "--skip", "modules-present"];
    let says = |id: &str| verified(&image, &trust, id);
    assert_says(&says("signed"), 0, &["by sha256sums"]);
    assert_says(&says("sums-signature"), 0, &["pass", KEY, "profiles.json"]);
    assert_says(&says("image-certificate"), 0, &["skip", "# fake certificate"]);
    let inspected = ibwrt(folder.path(), ["inspect", IMAGE]).expect_status(0);
    assert!(inspected.text().contains("# fake certificate"), "{inspected}");

    let mut profiles = std::fs::read(folder.path().join("profiles.json")).unwrap();
    profiles.push(b'\n');
    std::fs::write(folder.path().join("profiles.json"), profiles).unwrap();
    assert_says(&says("sums-signature"), 1, &["fail", "profiles.json"]);
    // ucert revokes a key by a dead symlink of its name.
    std::fs::remove_file(keys.join(KEY)).unwrap();
    std::fs::copy(fixture("test-key.pub"), keys.join("a.pub")).unwrap();
    std::os::unix::fs::symlink(".revoked.", keys.join(KEY)).unwrap();
    assert_says(&says("sums-signature"), 1, &["fail", "revoked"]);
}

#[test]
fn a_secret_key_is_never_repeated() {
    let secret = std::fs::read_to_string(fixture("test-key.sec")).unwrap();
    let line = secret.lines().nth(1).unwrap();
    // From the byte behind the fingerprint on; any 12 letters of it would be telling.
    let telling: Vec<&str> = (56..line.len() - 12).map(|at| &line[at..at + 12]).collect();
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let damaged: String = secret.chars().enumerate().map(|(at, c)| if at == 150 { 'A' } else { c }).collect();
    std::fs::write(at("damaged.sec"), damaged).unwrap();
    let locked = secret.replacen("RWRCSwAAAAA", "RWRCSwAAACo", 1);
    assert_ne!(locked, secret);
    std::fs::write(at("locked.sec"), locked).unwrap();

    let mut spoken = String::new();
    let mut say = |arguments: &[&str], status: i32| {
        let ran = job().patch(folder.path(), &fixture(IMAGE), arguments).expect_status(status);
        spoken.push_str(&format!("{ran}"));
        ran
    };
    let (good, force) = (key(), "--force");
    say(&["-o", "a.img.gz", "--sign", &good, "--sign-image", "--verbose", force], 0);
    say(&["-o", "a.img.gz", "--sign", &good, "--sign-image", "--format", "json", force], 0);
    say(&["--dry-run", "--sign", &good, "--verbose"], 0);
    let ran = say(&["-o", "b.img.gz", "--sign", "damaged.sec"], 2);
    assert!(ran.stderr.contains("damaged.sec") && ran.stderr.contains("checksum"), "{ran}");
    let ran = say(&["-o", "b.img.gz", "--sign", "locked.sec"], 3);
    assert!(ran.stderr.contains("passphrase") && ran.stderr.contains("42"), "{ran}");
    spoken.push_str(&format!("{}", ibwrt(folder.path(), ["verify", "a.img.gz", "--key", &good]).expect_status(2)));
    let written =
        ["a.img.gz.sig", "sha256sums", "sha256sums.sig"].map(|name| std::fs::read_to_string(at(name)).unwrap());
    for part in telling {
        assert!(!spoken.contains(part), "{part} was said");
        assert!(written.iter().all(|text| !text.contains(part)), "{part} was written");
    }
    assert_eq!(listing(folder.path()).len(), 6, "nothing of the refused runs stays");
}

#[test]
fn keygen_makes_another_key_each_time_and_replaces_none() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| -> PathBuf { folder.path().join(name) };
    ibwrt(folder.path(), ["keygen", "one"]).expect_status(0);
    ibwrt(folder.path(), ["keygen", "two", "--format", "json"]).expect_status(0);
    assert_eq!(listing(folder.path()), ["one.pub", "one.sec", "two.pub", "two.sec"]);
    assert_ne!(std::fs::read(at("one.pub")).unwrap(), std::fs::read(at("two.pub")).unwrap());
    let mode = std::fs::metadata(at("one.sec")).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    let before = std::fs::read(at("one.sec")).unwrap();
    let ran = ibwrt(folder.path(), ["keygen", "one"]).expect_status(2);
    assert!(ran.stderr.contains("one.sec exists already"), "{ran}");
    assert_eq!(std::fs::read(at("one.sec")).unwrap(), before);
}

#[test]
fn a_certificate_is_taken_for_its_own_key_only() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    // The certificate of the fixtures' key, out of an image that it signed.
    job().patch(folder.path(), &fixture(IMAGE), &["-o", "a.img.gz", "--sign", &key(), "--sign-image"]).expect_status(0);
    let file = std::fs::read(at("a.img.gz")).unwrap();
    let (_, payload) = chunk(&file);
    let certificate = blobs(payload)[0].1.len() + 4;
    std::fs::write(at("k.ucert"), &payload[..certificate.next_multiple_of(4)]).unwrap();
    let with = |key: &str, output: &'static str| {
        job().patch(folder.path(), &fixture(IMAGE), &["-o", output, "--sign", key, "--sign-image", "--cert", "k.ucert"])
    };
    with(&key(), "b.img.gz").expect_status(0);
    assert!(std::fs::read(at("b.img.gz")).unwrap() == file, "the given certificate is the one that was made");
    ibwrt(folder.path(), ["keygen", "other"]).expect_status(0);
    let ran = with("other.sec", "c.img.gz").expect_status(2);
    assert!(ran.stderr.contains(KEY) && ran.stderr.contains("authorises"), "{ran}");
    assert!(!at("c.img.gz").exists());
}

#[test]
fn one_signature_of_a_batch_vouches_for_every_image_in_its_folder_however_many_machines_made_them() {
    let site = site(4);
    let public = text(&fixture("test-key.pub"));
    let ran = batch(site.path(), IMAGE, &["--sign", &key()]).expect_status(0);
    assert!(ran.says("4 written to out") && ran.says(&format!("signed by key {KEY}")), "{ran}");
    let out = site.path().join("out");
    let signatures: Vec<String> = listing(&out).into_iter().filter(|name| name.ends_with(".sig")).collect();
    assert_eq!(signatures, ["sha256sums.sig"]);
    assert!(signify_accepts(&fixture("test-key.pub"), &out.join("sha256sums"), &out.join("sha256sums.sig")));
    for host in ["h000", "h003"] {
        let row = verified(&out.join(format!("{host}.img.gz")), &["--key", &public], "sums-signature");
        assert_says(&row, 0, &["pass", KEY, "lists the image"]);
    }
    // Shards have no list of all; the merged one has the same signature.
    let ran = batch(site.path(), IMAGE, &["-o", "parts", "--shard", "1/2", "--sign", &key()]).expect_status(2);
    assert!(ran.says("shard 1 of 2 has no list of all outputs to sign") && ran.says("batch merge --sign"), "{ran}");
    for shard in ["1/2", "2/2"] {
        batch(site.path(), IMAGE, &["-o", "parts", "--shard", shard]).expect_status(0);
    }
    let ran = ibwrt(site.path(), ["batch", "merge", "parts", "--sign", &key()]).expect_status(0);
    assert!(ran.says(&format!("signed by key {KEY}")), "{ran}");
    let signature = |folder: &str| std::fs::read(site.path().join(folder).join("sha256sums.sig")).unwrap();
    assert!(signature("parts") == signature("out"), "the signatures differ");

    // A signature that no longer fits is told; one that does is left in peace.
    let ran = batch(site.path(), IMAGE, &[]).expect_status(0);
    assert!(!ran.says("no longer matches"), "{ran}");
    std::fs::copy(out.join("h000.img.gz"), out.join("h003.img.gz")).unwrap();
    assert_says(
        &verified(&out.join("h003.img.gz"), &["--key", &public], "sums-signature"),
        1,
        &["but the signed list says"],
    );
    std::fs::write(site.path().join("psk"), "another").unwrap();
    let ran = batch(site.path(), IMAGE, &[]).expect_status(0);
    assert!(ran.says("out/sha256sums.sig no longer matches the changed sha256sums"), "{ran}");
    batch(site.path(), IMAGE, &["--sign", &key()]).expect_status(0);
    assert!(signify_accepts(&fixture("test-key.pub"), &out.join("sha256sums"), &out.join("sha256sums.sig")));
}

#[cfg(unix)]
#[test]
fn a_batch_warns_of_a_key_that_others_can_read_and_refuses_one_that_is_none_before_the_work() {
    use std::os::unix::fs::PermissionsExt;
    let site = site(1);
    let own = site.path().join("own.sec");
    std::fs::copy(key(), &own).unwrap();
    for (mode, is_told) in [(0o644, true), (0o600, false)] {
        std::fs::set_permissions(&own, PermissionsExt::from_mode(mode)).unwrap();
        let ran = batch(site.path(), IMAGE, &["--sign", "own.sec"]).expect_status(0);
        assert_eq!(ran.says("others can use it"), is_told, "{ran}");
        assert!(!std::fs::read_to_string(site.path().join("out/report.json")).unwrap().contains("others can"));
    }
    let ran = batch(site.path(), IMAGE, &["-o", "other", "--sign", "hosts.toml"]).expect_status(2);
    assert!(ran.says("hosts.toml") && !site.path().join("other").exists(), "{ran}");
}
