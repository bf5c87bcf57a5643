//! Prints the tree of a squashfs as backhand reads it: `squashfs-by-backhand IMAGE`.
//!
//! Every node is one line, `TYPE MODE UID GID TIME LENGTH PATH`: the type as in a listing of `ls`, the mode in octal,
//! times in seconds since 1970. As many bytes as LENGTH says follow the line: a file's content, a symlink's target, a
//! device's number.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};

use backhand::{FilesystemReader, InnerNode};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args_os().nth(1).ok_or("no image is named")?;
    let filesystem = FilesystemReader::from_reader(BufReader::new(File::open(path)?))?;
    let mut output = BufWriter::new(io::stdout().lock());
    for node in filesystem.files() {
        let (kind, bytes) = match &node.inner {
            InnerNode::File(file) => {
                let mut content = Vec::new();
                filesystem.file(file).reader().read_to_end(&mut content)?;
                ('-', content)
            }
            InnerNode::Symlink(symlink) => ('l', symlink.link.to_str().ok_or("a target is not UTF-8")?.into()),
            InnerNode::Dir(_) => ('d', Vec::new()),
            InnerNode::CharacterDevice(device) => ('c', device.device_number.to_string().into()),
            InnerNode::BlockDevice(device) => ('b', device.device_number.to_string().into()),
            InnerNode::NamedPipe => ('p', Vec::new()),
            InnerNode::Socket => ('s', Vec::new()),
        };
        let header = node.header;
        let path = node.fullpath.to_str().ok_or("a path is not UTF-8")?;
        let (mode, uid, gid, time, length) = (header.permissions, header.uid, header.gid, header.mtime, bytes.len());
        writeln!(output, "{kind} {mode:o} {uid} {gid} {time} {length} {path}")?;
        output.write_all(&bytes)?;
    }
    Ok(output.flush()?)
}
