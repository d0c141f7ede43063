//! Every program: it serves over the stand-in, in the foreground and, where it can, in the
//! background; and as a descriptor where it takes one.

use crate::ground::{
    FOREVER, Ground, NAME, able, content, ends, has_device, installed, run, serves,
    serves_as_a_base,
};
use crate::kernel::Kernel;
use filofs_server::attach::Way;
use std::fs;
use std::path::Path;

/// Where Debian has the other end of sshfs.
const SFTP_SERVER: &str = "/usr/lib/openssh/sftp-server";

/// A command serves, and ends with its channel.
fn check(ground: &Ground, command: &str) {
    let attached = ground.attach(command);
    assert!(attached.guest.options.iter().next().is_some(), "{command}: no options");
    serves(&attached);
    ends(&attached);
    serves_as_a_base(ground.attach(command));
}

/// The same with a descriptor for a mount point.
fn check_fd(ground: &Ground, command: &str) {
    let mut foreign = ground.foreign(command);
    foreign.way = Way::Fd;
    let attached = foreign.start().unwrap();
    attached.channel.patience(FOREVER).unwrap();
    serves(&attached);
    ends(&attached);
}

pub fn bindfs() {
    if !(installed("bindfs") && has_device()) {
        return;
    }
    let ground = Ground::new();
    check(&ground, "bindfs -f @/source {}");
    check(&ground, "bindfs @/source {}");
    let attached = ground.attach("bindfs -f -o ro @/source {}");
    assert!(attached.guest.options.read_only());
}

pub fn sshfs() {
    if !(installed("sshfs") && has_device()) {
        return;
    }
    if !able(SFTP_SERVER, Path::new(SFTP_SERVER).exists(), false) {
        return;
    }
    let ground = Ground::new();
    ground.script("ssh", &format!("exec {SFTP_SERVER}"));
    for flags in ["-f", ""] {
        check(&ground, &format!("sshfs {flags} -o ssh_command=@/ssh any:@/source {{}}"));
    }
    check_fd(&ground, "sshfs -f -o ssh_command=@/ssh any:@/source {}");
    let attached = ground.attach("sshfs -o ssh_command=@/ssh,fsname='a b\\,c' any:@/source {}");
    assert_eq!(attached.guest.options.value("subtype"), Some("sshfs"));
    assert_eq!(attached.guest.options.value("fsname"), Some("a b,c"));
    drop(attached);
    // Here the program keeps its end of the way to fusermount3, and does not wait for that to end.
    let attached =
        ground.attach("sshfs -o ssh_command=@/ssh,auto_unmount,allow_other any:@/source {}");
    let options = &attached.guest.options;
    assert!(options.has("allow_other") && options.has("auto_unmount"), "{options:?}");
    serves(&attached);
}

pub fn unionfs_fuse() {
    if !(installed("unionfs-fuse") && has_device()) {
        return;
    }
    let ground = Ground::new();
    ground.dir("other");
    check(&ground, "unionfs-fuse -f @/other=RW:@/source=RO {}");
    check(&ground, "unionfs-fuse @/other=RW:@/source=RO {}");
}

pub fn fuse_overlayfs() {
    if !(installed("fuse-overlayfs") && has_device()) {
        return;
    }
    let ground = Ground::new();
    ground.dir("upper");
    ground.dir("work");
    check(&ground, "fuse-overlayfs -f -o lowerdir=@/source {}");
    check(&ground, "fuse-overlayfs -o lowerdir=@/source,upperdir=@/upper,workdir=@/work {}");
    check_fd(&ground, "fuse-overlayfs -f -o lowerdir=@/source {}");
}

pub fn mergerfs() {
    if !(installed("mergerfs") && has_device()) {
        return;
    }
    let ground = Ground::new();
    ground.dir("other");
    check(&ground, "mergerfs -f @/other:@/source {}");
    check(&ground, "mergerfs @/other:@/source {}");
}

pub fn squashfuse() {
    if !(installed("squashfuse") && installed("mksquashfs") && has_device()) {
        return;
    }
    let ground = Ground::new();
    let (source, image) = (ground.path("source"), ground.path("image"));
    run(
        "mksquashfs",
        &[source.to_str().unwrap(), image.to_str().unwrap(), "-quiet", "-no-progress"],
    );
    check(&ground, "squashfuse -f @/image {}");
    check(&ground, "squashfuse @/image {}");
    check_fd(&ground, "squashfuse -f @/image {}");
}

/// go-fuse, which empties the environment before it calls fusermount3, and looks for a file below
/// its mount point afterwards.
pub fn gocryptfs() {
    if !(installed("gocryptfs") && has_device()) {
        return;
    }
    let ground = Ground::new();
    let secret = ground.path("secret");
    fs::write(&secret, "secret\n").unwrap();
    let cipher = ground.dir("cipher");
    let words = ["-q", "-init", "-plaintextnames", "-scryptn", "10", "-passfile"];
    let words = [&words[..], &[secret.to_str().unwrap(), cipher.to_str().unwrap()]].concat();
    run("gocryptfs", &words);
    let attached = ground.attach("gocryptfs -q -fg -passfile @/secret @/cipher {}");
    assert_eq!(attached.guest.options.max_read(), Some(128 << 10));
    Kernel::start(&attached.channel).unwrap().create(NAME, &content()).unwrap();
    ends(&attached);
    for flags in ["-fg", ""] {
        check(&ground, &format!("gocryptfs -q {flags} -passfile @/secret @/cipher {{}}"));
    }
    check_fd(&ground, "gocryptfs -q -fg -passfile @/secret @/cipher {}");
}

/// Two libraries in one program: bazil/fuse as `mount`, go-fuse as `mount2`.
pub fn rclone() {
    if !(installed("rclone") && has_device()) {
        return;
    }
    let ground = Ground::new();
    fs::write(ground.path("config"), "").unwrap();
    for verb in ["mount", "mount2"] {
        check(&ground, &format!("rclone --config @/config {verb} @/source {{}}"));
    }
    check_fd(&ground, "rclone --config @/config mount2 @/source {}");
}
