//! The clap types: every option with its help.

use std::path::PathBuf;

use clap::builder::styling::{AnsiColor, Styles};
use clap::builder::{PossibleValuesParser, ValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};

use super::expand::ExpandArguments;
use super::host_args::{BatchCommand, HostsArguments};
use super::input_args::InputArguments;
use super::patch_args::PatchArguments;
use super::sign_args::KeygenArguments;
use super::unpatch::UnpatchArguments;
use super::verify_args::VerifyArguments;
use super::wish_args::BootedBy;
use crate::verify;

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

const OVERVIEW: &str = "\
Output:
  Results go to stdout, errors and progress to stderr. With --format json, stdout
  holds exactly one JSON document: the report, or {\"error\": {kind, message,
  places, remedy, exit_code}}. With --format jsonl it holds one JSON object per
  line and event: `begun` first; `report`, `batch-done` or `error` last; `ibwrt
  schema events` describes them. Colours and progress appear on a terminal only;
  NO_COLOR is respected. Times in the output come from SOURCE_DATE_EPOCH, else
  from the image itself, so that the same input always gives the same bytes.

Exit codes:
  0  done; all checks pass
  1  a check failed
  2  usage: an option, a recipe, a path, a missing module
  3  unsupported: a sound image of a kind that is not handled
  4  corrupt input
  5  the system refused to read or write

Examples:
  See it work on an image that is built in:
    ibwrt demo

  A ConnectX-3 card with one IPoIB interface:
    ibwrt patch openwrt-24.10.0-x86-64-generic-ext4-combined-efi.img.gz \\
        --modules ~/openwrt/build_dir/target-x86_64_musl/linux-x86_64/linux-6.6.106 \\
        --overlay connectx3 --overlay ipoib \\
        --set ipoib.address=10.10.0.5/24 -o router.img.gz

  Prove that it will come up:
    ibwrt verify router.img.gz --overlay connectx3 --overlay ipoib";

/// Puts working InfiniBand support into an OpenWrt x86_64 disk image, and proves offline that it will come up.
///
/// ibwrt opens an OpenWrt x86_64 combined image (.img, .img.gz, .img.zst, .qcow2 or .vmdk) or a root filesystem alone, puts
/// InfiniBand kernel modules, their autoload entries and network configuration into it, seals it again, and checks the
/// result. It needs no root, no mount and no virtual machine; the input is never touched.
#[derive(Debug, Parser)]
#[command(
    name = "ibwrt",
    version,
    styles = STYLES,
    max_term_width = 100,
    arg_required_else_help = true,
    subcommand_required = true,
    disable_help_subcommand = true,
    after_help = "`ibwrt demo` shows it all on a built-in image. `ibwrt COMMAND --help` tells more.",
    after_long_help = OVERVIEW
)]
pub(super) struct Arguments {
    #[command(flatten)]
    pub(super) global: Global,
    #[command(subcommand)]
    pub(super) command: Command,
}

/// Options of every command.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub(super) struct Global {
    /// How results are written: text for people, one JSON document, or one JSON object per event while it runs
    #[arg(long, global = true, value_enum, value_name = "FORMAT", default_value_t)]
    pub(super) format: Format,
    /// Print nothing but errors, and results that are data (JSON, schema, pages)
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(super) quiet: bool,
    /// Say more: every check, every digest
    #[arg(short, long, global = true)]
    pub(super) verbose: bool,
    /// When to use colours; auto is on a terminal, unless NO_COLOR is set
    #[arg(long, global = true, value_enum, value_name = "WHEN", default_value_t)]
    pub(super) color: Color,
}

/// How results are written: text for people, one JSON document, or one JSON object per event.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    #[default]
    Human,
    Json,
    Jsonl,
}

/// When colours are used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Color {
    #[default]
    Auto,
    Always,
    Never,
}

impl Color {
    /// Makes it the choice for everything that is printed from now on.
    pub(super) fn apply(self) {
        match self {
            Self::Auto => anstream::ColorChoice::Auto,
            Self::Always => anstream::ColorChoice::Always,
            Self::Never => anstream::ColorChoice::Never,
        }
        .write_global();
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    // Without a comment of their own these take the one of their type, in full.
    Patch(Box<PatchArguments>),
    Unpatch(Box<UnpatchArguments>),
    Batch(BatchCommand),
    Expand(ExpandArguments),
    Hosts(Box<HostsArguments>),
    Verify(Box<VerifyArguments>),
    Inspect(InspectArguments),
    Graph(GraphArguments),
    Overlays(OverlaysArguments),
    Demo(DemoArguments),
    Keygen(KeygenArguments),
    /// Print the JSON schema of recipes, hosts files or events
    #[command(
        long_about = "Print the JSON schema of recipes, hosts files or events.\n\nEditors use it to complete and check the \
                      files that --recipe and --hosts take; programs, to read the lines of --format jsonl.",
        after_long_help = "Examples:\n  ibwrt schema > ibwrt-recipe.schema.json\n  \
                           ibwrt schema hosts > ibwrt-hosts.schema.json\n  \
                           ibwrt schema events > ibwrt-events.schema.json"
    )]
    Schema(SchemaArguments),
    /// Print a completion script for a shell
    #[command(
        long_about = "Print a completion script for a shell, made from the same definitions as the options themselves.",
        after_long_help = "Examples:\n  ibwrt completions bash > ~/.local/share/bash-completion/completions/ibwrt\n  \
                           ibwrt completions fish > ~/.config/fish/completions/ibwrt.fish"
    )]
    Completions(CompletionsArguments),
    /// Print the manual page, or write all pages into a folder
    #[command(
        long_about = "Print the manual page of ibwrt, or write the pages of ibwrt and all its commands into a folder.",
        after_long_help = "Examples:\n  ibwrt man | man -l -\n  ibwrt man ~/.local/share/man/man1"
    )]
    Man(ManArguments),
}

/// Show what is in an image.
///
/// Shows the container and its trailers, the partitions and filesystems, the OpenWrt release, the kernel, the package
/// database and the modules. Judges nothing (`ibwrt verify` does) and changes nothing.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  ibwrt inspect router.img.gz\n  ibwrt inspect router.img.gz --format json | jq .table"
)]
pub(super) struct InspectArguments {
    #[command(flatten)]
    pub(super) input: InputArguments,
}

/// Draw the module graph of an image.
///
/// Shows the kernel, the InfiniBand modules and what they need: who uses whose symbols, which autoload entry loads what,
/// what is never loaded, and what the kernel refuses, with its own words. The picture is one SVG file that any browser
/// shows, in light and dark; boxes and arrows have tooltips. DOT is for Graphviz.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:\n  ibwrt graph router.img.gz -o modules.svg\n  \
                             ibwrt graph router.img.gz --all | dot -Tpdf -o modules.pdf\n  \
                             ibwrt graph router.img.gz --format json\n  \
                             ibwrt graph rootfs.img.gz --kernel bzImage -o modules.svg")]
pub(super) struct GraphArguments {
    #[command(flatten)]
    pub(super) input: InputArguments,
    #[command(flatten)]
    pub(super) booted_by: BootedBy,
    /// Where the picture goes: .svg, .dot or .gv; standard output without it, or for -
    #[arg(short, long, value_name = "FILE")]
    pub(super) output: Option<PathBuf>,
    /// Its form, where the file's ending does not tell; DOT on standard output
    #[arg(long = "type", value_enum, value_name = "TYPE")]
    pub(super) form: Option<GraphForm>,
    /// Show every module of the image
    #[arg(long)]
    pub(super) all: bool,
    /// Replace the output if it exists
    #[arg(short, long)]
    pub(super) force: bool,
}

/// The form of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum GraphForm {
    Svg,
    Dot,
}

/// List, show or export the overlays: what can be put into an image.
///
/// An overlay says which modules an adapter or a feature needs, how they are loaded, and which files go with them.
/// Those built in can be exported, changed, and used from the folder: `--overlay DIR`.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  ibwrt overlays\n  ibwrt overlays show ipoib\n  ibwrt overlays export ipoib my-ipoib"
)]
pub(super) struct OverlaysArguments {
    #[command(subcommand)]
    pub(super) action: Option<OverlaysAction>,
}

#[derive(Debug, Subcommand)]
pub(super) enum OverlaysAction {
    /// Show one overlay: what it is for, its modules and settings
    #[command(after_long_help = "Examples:\n  ibwrt overlays show connectx3\n  ibwrt overlays show ./my-overlay")]
    Show {
        /// The name of a built-in overlay, or a folder
        #[arg(value_name = "NAME|DIR")]
        name: String,
    },
    /// Write an overlay's files into a folder, to make one's own of it
    #[command(after_long_help = "Examples:\n  ibwrt overlays export ipoib my-ipoib")]
    Export {
        /// The name of a built-in overlay
        name: String,
        /// The folder; made if it does not exist
        #[arg(value_name = "DIR")]
        folder: PathBuf,
    },
}

/// Patch and verify a built-in image, to see what it looks like.
///
/// Writes a small OpenWrt image into a folder, patches it with the overlays connectx3 and ipoib, verifies it before and
/// after, and says what to type for an image of one's own. The image is for looking at; it does not boot.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:\n  ibwrt demo\n  ibwrt demo /tmp/look\n  ibwrt demo --rootfs squashfs")]
pub(super) struct DemoArguments {
    /// The folder; made if it does not exist
    #[arg(value_name = "DIR", default_value = "ibwrt-demo")]
    pub(super) folder: PathBuf,
    /// The root filesystem of the image that is shown
    #[arg(long, value_enum, value_name = "KIND", default_value_t)]
    pub(super) rootfs: DemoRootfs,
}

/// The root filesystem of a built-in image.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum DemoRootfs {
    #[default]
    Ext4,
    Squashfs,
}

#[derive(Debug, Args)]
pub(super) struct SchemaArguments {
    /// What is to be described
    #[arg(value_enum, value_name = "WHAT", default_value_t)]
    pub(super) what: SchemaOf,
}

/// What a schema describes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum SchemaOf {
    #[default]
    Recipe,
    Hosts,
    Events,
}

#[derive(Debug, Args)]
pub(super) struct CompletionsArguments {
    /// The shell
    #[arg(value_enum)]
    pub(super) shell: clap_complete::Shell,
}

#[derive(Debug, Args)]
pub(super) struct ManArguments {
    /// The folder for all pages, or - to print the page of ibwrt
    #[arg(value_name = "DIR|-", default_value = "-")]
    pub(super) folder: PathBuf,
}

/// Takes the identifier of a check.
pub(super) fn check_id() -> ValueParser {
    PossibleValuesParser::new(verify::check_ids()).into()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;
    use clap::error::ErrorKind;

    use super::*;

    fn parse(line: &str) -> Result<Arguments, clap::Error> {
        Arguments::try_parse_from(line.split(' '))
    }

    #[test]
    fn clap_finds_no_fault_with_the_types() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn every_command_says_what_it_does_and_has_examples() {
        let mut root = Arguments::command();
        root.build();
        let below = |command: &clap::Command| command.get_subcommands().cloned().collect::<Vec<_>>();
        let commands: Vec<clap::Command> =
            below(&root).iter().flat_map(|c| [vec![c.clone()], below(c)].concat()).collect();
        assert!(commands.len() >= 10);
        for command in commands {
            let name = command.get_name().to_owned();
            assert!(command.get_about().is_some_and(|about| !about.to_string().contains('\n')), "{name} has no about");
            let after = command.get_after_long_help().map(ToString::to_string).unwrap_or_default();
            assert!(after.contains("Examples:\n"), "{name} has no examples");
        }
    }

    #[test]
    fn an_unknown_check_is_a_usage_error_with_a_suggestion() {
        let error = parse("ibwrt verify a.img --skip modul-closure").unwrap_err();
        assert_eq!((error.kind(), error.exit_code()), (ErrorKind::InvalidValue, 2));
        assert!(error.to_string().contains("a similar value exists: 'module-closure'"), "{error}");
    }

    #[test]
    fn an_output_is_needed_unless_it_is_a_dry_run() {
        assert_eq!(parse("ibwrt patch a.img").unwrap_err().kind(), ErrorKind::MissingRequiredArgument);
        parse("ibwrt patch a.img --dry-run").unwrap();
        parse("ibwrt patch a.img -o b.img").unwrap();
    }

    #[test]
    fn the_command_line_of_the_guide_is_understood() {
        let line = "ibwrt patch a.img.gz --modules m1 --modules m2 --overlay connectx3 --overlay ipoib \
                    --set ipoib.address=10.10.0.5/24 --set ipoib.mode=connected --ssh-key k --hostname h \
                    --file /etc/banner=b,mode=0644 --skip container,vermagic --allow blacklist --sums -f -o b.img.gz";
        let Command::Patch(patch) = parse(line).unwrap().command else { panic!("no patch") };
        let wishes = patch.to_wishes();
        assert_eq!(wishes.modules, [PathBuf::from("m1"), PathBuf::from("m2")]);
        assert_eq!(wishes.overlays, ["connectx3", "ipoib"]);
        assert_eq!(wishes.settings, ["ipoib.address=10.10.0.5/24", "ipoib.mode=connected"]);
        assert_eq!((wishes.ssh_keys, wishes.files), (vec!["k".into()], vec!["/etc/banner=b,mode=0644".into()]));
        assert_eq!((patch.skip, patch.allow), (vec!["container".into(), "vermagic".into()], vec!["blacklist".into()]));
        assert!(patch.delivery.sums && patch.delivery.force && !patch.dry_run);
    }

    #[test]
    fn a_setting_without_a_value_is_refused_with_an_example() {
        let error = parse("ibwrt patch a.img -n --set ipoib.mode").unwrap_err();
        assert!(error.to_string().contains("expected KEY=VALUE, such as ipoib.address=10.10.0.5/24"), "{error}");
    }

    #[test]
    fn global_options_may_stand_behind_the_command() {
        let global = parse("ibwrt inspect a.img --format json -q --color never").unwrap().global;
        assert_eq!((global.format, global.quiet, global.color), (Format::Json, true, Color::Never));
    }
}
