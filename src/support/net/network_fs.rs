//! Recognises network file systems, on which SQLite's write-ahead log is unsafe: it needs shared memory and locks that
//! every process sees.

use std::path::Path;

/// `f_type` of statfs(2) → name.
const MAGIC: [(i64, &str); 8] = [
    (0x6969, "NFS"),
    (0x517b, "SMB"),
    (0xff53_4d42, "CIFS"),
    (0xfe53_4d42, "SMB"),
    (0x0102_1997, "9p"),
    (0x00c3_6400, "Ceph"),
    (0x5346_414f, "AFS"),
    (0x7375_7245, "Coda"),
];
const FUSE: i64 = 0x6573_5546;
/// FUSE file systems over a network, as mountinfo names them after `fuse.`.
const NETWORK_FUSE: [&str; 10] =
    ["sshfs", "s3fs", "rclone", "glusterfs", "gcsfuse", "davfs", "curlftpfs", "goofys", "juicefs", "grpcfuse"];

/// The name of the network file system that contains a folder; `None` if it is a local one or unknown.
fn network_fs(folder: &Path) -> Option<String> {
    let magic = rustix::fs::statfs(folder).ok()?.f_type;
    // Some systems sign-extend 32-bit values.
    let magic = magic & 0xffff_ffff;
    if magic == FUSE {
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
        return network_fuse(&mounts, &folder.canonicalize().ok()?);
    }
    MAGIC.iter().find(|(known, _)| *known == magic).map(|(_, name)| (*name).to_owned())
}

/// A warning if the inbox is on a network file system.
#[must_use]
pub fn inbox_warning(inbox: &Path) -> Option<String> {
    let name = network_fs(inbox.parent()?)?;
    Some(format!(
        "{} is on a network file system ({name}), where SQLite's locks and syncs are unreliable; move `inbox.path` to a local disk",
        inbox.display()
    ))
}

/// Finds the innermost mount that contains the folder in the text of `/proc/self/mountinfo`.
fn network_fuse(mounts: &str, folder: &Path) -> Option<String> {
    let mount = |line: &str| {
        let (before, after) = line.split_once(" - ")?;
        let point = before.split(' ').nth(4)?.replace("\\040", " ");
        let kind = after.split(' ').next()?.to_owned();
        folder.starts_with(&point).then_some((point.len(), kind))
    };
    let (_, kind) = mounts.lines().filter_map(mount).max_by_key(|(length, _)| *length)?;
    let name = kind.strip_prefix("fuse.")?;
    NETWORK_FUSE.contains(&name).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_mounts_are_recognised_and_local_ones_are_not() {
        let mounts = "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n\
                      30 22 0:40 / /mnt/my\\040share rw,nosuid - fuse.sshfs user@host:/ rw\n\
                      31 22 0:41 / /mnt/usb rw - fuseblk /dev/sdb1 rw\n\
                      32 30 0:42 / /mnt/my\\040share/local rw - fuse.mergerfs a:b rw\n";
        for (folder, expected) in [
            ("/mnt/my share/inbox", Some("sshfs")),
            ("/mnt/my share/local/x", None),
            ("/mnt/usb", None),
            ("/var/lib", None),
        ] {
            assert_eq!(network_fuse(mounts, Path::new(folder)).as_deref(), expected, "{folder}");
        }
        assert_eq!(network_fs(Path::new("/proc")), None);
    }
}
