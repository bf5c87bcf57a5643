//! Modules for tests: made by gcc on the spot, or taken from the fixtures.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

/// The parts of `openwrt-build` modules that matter here, in C.
const SOURCE: &str = r#"
#define INFO(text) ".asciz \"" text "\"\n"
asm(".section .modinfo,\"a\"\n" INFO("license=GPL") INFO(VERMAGIC) INFO(DEPENDS) INFO("name=tiny")
    INFO("alias=first") INFO("alias=second") INFO("import_ns=DMA_BUF") INFO("parmtype=level:int") ".previous\n");
extern int strong_import(const char *, ...);
extern int weak_import(void) __attribute__((weak));
extern int unused_import(void);
asm(".globl unused_import");
struct { long state; void *list[2]; char name[56]; char rest[NAME_REST]; }
    __this_module __attribute__((section(".gnu.linkonce.this_module"))) = { 0, { 0, 0 }, "tiny", { 0 } };
static int table[4] = { 1, 2, 3, BODY };
static __attribute__((noinline)) int helper(int x) { return strong_import("helper %d\n", table[x & 3]) + x; }
static __attribute__((noinline, used)) int never_called(int x) { return x * 3; }
int tiny_export(int x) { return helper(x) + (weak_import ? weak_import() : 0); }
int tiny_gpl_export(int x) { return helper(x + 1); }
int init_module(void) { return tiny_export(1); }
asm(".section __ksymtab_strings,\"aMS\",@progbits,1\n"
    "n1: .asciz \"tiny_export\"\nn2: .asciz \"tiny_gpl_export\"\nempty: .asciz \"\"\nns: .asciz \"TINY\"\n"
    ".section __ksymtab,\"a\"\n__ksymtab_tiny_export: .long tiny_export - ., n1 - ., empty - .\n"
    ".section __ksymtab_gpl,\"a\"\n__ksymtab_tiny_gpl_export: .long tiny_gpl_export - ., n2 - ., ns - .\n"
    ".section __kcrctab,\"a\"\n.long 0x12345678\n"
    ".section __versions,\"a\"\n.quad 0xabcd\n.asciz \"strong_import\"\n.zero 42\n"
    ".section .BTF,\"\"\n.long 0xeb9f\n.previous\n");
"#;

/// What differs between two modules made here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Tiny {
    pub(crate) vermagic: &'static str,
    pub(crate) depends: &'static str,
    /// A number in the data: two modules with different ones are different builds.
    pub(crate) body: u32,
    pub(crate) flags: &'static [&'static str],
}

impl Default for Tiny {
    fn default() -> Self {
        Self { vermagic: "vermagic=6.12.117 SMP mod_unload ", depends: "depends=", body: 4, flags: &["-g"] }
    }
}

impl Tiny {
    /// The module, compiled and linked as Kbuild links one (`ld -r`).
    pub(crate) fn build(&self) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let (source, object, module) =
            (folder.path().join("tiny.c"), folder.path().join("tiny.o"), folder.path().join("tiny.ko"));
        std::fs::write(&source, SOURCE).unwrap();
        let mut gcc = Command::new("gcc");
        gcc.current_dir(folder.path())
            .args(["-fdebug-prefix-map=".to_owned() + &folder.path().display().to_string() + "=."]);
        gcc.args(["-O1", "-c", "-fno-pic", "-mcmodel=kernel", "-fcf-protection=none"]);
        gcc.args(["-DNAME_REST=1008", "-fno-asynchronous-unwind-tables"]).args(self.flags);
        gcc.arg(format!("-DVERMAGIC=\"{}\"", self.vermagic)).arg(format!("-DDEPENDS=\"{}\"", self.depends));
        gcc.arg(format!("-DBODY={}", self.body)).args(["-o", "tiny.o", "tiny.c"]);
        run(&mut gcc);
        run(Command::new("ld").args(["-r", "--build-id=sha1", "-o"]).arg(&module).arg(&object));
        std::fs::read(&module).unwrap()
    }
}

/// The default [`Tiny`], built once.
pub(crate) fn tiny() -> &'static [u8] {
    static TINY: OnceLock<Vec<u8>> = OnceLock::new();
    TINY.get_or_init(|| Tiny::default().build())
}

/// Runs `command` and returns what it prints.
pub(crate) fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {}\n{stdout}{stderr}", output.status);
    stdout.into_owned()
}

/// Runs `program` over a file holding `bytes` and returns all that it prints.
pub(crate) fn run_over(program: &str, arguments: &[&str], bytes: &[u8]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("module.ko");
    std::fs::write(&path, bytes).unwrap();
    let output = Command::new(program).args(arguments).arg(&path).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&text).replace(&path.display().to_string(), "module.ko")
}

/// What `objcopy` or `strip` makes of `bytes`.
pub(crate) fn converted(program: &str, arguments: &[&str], bytes: &[u8]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("module.ko");
    std::fs::write(&path, bytes).unwrap();
    run(Command::new(program).args(arguments).arg(&path));
    std::fs::read(&path).unwrap()
}

/// The 23 InfiniBand modules of the fixtures, by file name.
pub(crate) fn fixtures() -> &'static BTreeMap<String, Vec<u8>> {
    static MODULES: OnceLock<BTreeMap<String, Vec<u8>>> = OnceLock::new();
    MODULES.get_or_init(|| {
        let file = std::fs::File::open(fixture_archive()).unwrap();
        let mut modules = BTreeMap::new();
        let mut archive = tar::Archive::new(lzma_rust2::XzReader::new(file, true));
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let name = entry.path().unwrap().to_string_lossy().rsplit('/').next().unwrap_or_default().to_owned();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            if name.ends_with(".ko") {
                modules.insert(name, bytes);
            }
        }
        assert_eq!(modules.len(), 23);
        modules
    })
}

/// Where the archive of [`fixtures`] is.
pub(crate) fn fixture_archive() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/ib-modules-6.12.117.tar.xz"))
}
