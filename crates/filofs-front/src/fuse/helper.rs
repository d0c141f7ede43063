//! fusermount3: mounts for those who have no right to, fusermount3(1).

use super::{FuseOptions, MountError};
use rustix::fd::OwnedFd;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SocketFlags, SocketType,
    recvmsg, socketpair,
};
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// The names it is installed under.
const NAMES: [&str; 2] = ["fusermount3", "fusermount"];

/// Mounts, and answers the device's descriptor. `None` if there is no such program.
///
/// The program sends the descriptor over the socket that `_FUSE_COMMFD` names, which is its
/// standard input here: so it need not be inherited by number.
pub(super) fn mount(
    path: &Path,
    options: &FuseOptions,
    source: &str,
) -> Result<Option<OwnedFd>, MountError> {
    let (ours, theirs) =
        socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
            .map_err(|errno| MountError::system("make a socket pair", errno))?;
    let words = words(options, source);
    let run = run(Stdio::from(theirs), |command| {
        command.env("_FUSE_COMMFD", "0").arg("-o").arg(&words).arg("--").arg(path);
    })?;
    let Some(output) = run else { return Ok(None) };
    if !output.status.success() {
        let text = text_of(&output);
        return Err(if text.contains("user_allow_other") {
            MountError::AllowOther
        } else {
            MountError::Helper { text }
        });
    }
    receive(&ours).map(Some)
}

/// Unmounts.
pub(super) fn unmount(path: &Path, lazy: bool) -> Result<(), MountError> {
    let run = run(Stdio::null(), |command| {
        command.arg(if lazy { "-uz" } else { "-u" }).arg("--").arg(path);
    })?;
    let missing = || MountError::Helper { text: "it is not installed any more".into() };
    let output = run.ok_or_else(missing)?;
    let text = text_of(&output);
    if output.status.success() || text.contains("not found") || text.contains("not mounted") {
        Ok(())
    } else if text.contains("busy") {
        Err(MountError::Busy { path: path.to_owned() })
    } else {
        Err(MountError::Helper { text })
    }
}

/// Runs the first of the names that there is.
fn run(stdin: Stdio, arguments: impl FnOnce(&mut Command)) -> Result<Option<Output>, MountError> {
    let found = NAMES.into_iter().find(|name| {
        let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into());
        std::env::split_paths(&path).any(|dir| dir.join(name).is_file())
    });
    let Some(name) = found else { return Ok(None) };
    let mut command = Command::new(name);
    arguments(&mut command);
    // Its words are looked at, so they must be in one language.
    command.env("LC_ALL", "C").stdin(stdin).stdout(Stdio::null()).stderr(Stdio::piped());
    let output = command
        .output()
        .map_err(|error| MountError::System { what: "run fusermount3", errno: error.into() })?;
    Ok(Some(output))
}

fn text_of(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    let lines = text.lines().map(|line| {
        NAMES.into_iter().fold(line, |line, name| {
            line.strip_prefix(name).and_then(|line| line.strip_prefix(": ")).unwrap_or(line)
        })
    });
    let text = lines.collect::<Vec<_>>().join("; ");
    if text.is_empty() { format!("{}", output.status) } else { text }
}

/// The options in its own words.
fn words(options: &FuseOptions, source: &str) -> String {
    let mut words = vec![if options.read_only { "ro" } else { "rw" }.to_owned()];
    // Without privileges it sets nosuid and nodev by itself, and refuses the contrary.
    let switches = [
        (options.nosuid, "nosuid"),
        (options.nodev, "nodev"),
        (options.noexec, "noexec"),
        (options.noatime, "noatime"),
        (options.allow_other || options.allow_root, "allow_other"),
        (options.default_permissions != Some(false), "default_permissions"),
    ];
    words.extend(switches.iter().filter(|(on, _)| *on).map(|(_, word)| (*word).to_owned()));
    if options.max_read > 0 {
        words.push(format!("max_read={}", options.max_read));
    }
    if !options.subtype.is_empty() {
        words.push(format!("subtype={}", escaped(&options.subtype)));
    }
    words.push(format!("fsname={}", escaped(source)));
    words.join(",")
}

/// Commas separate options, and a backslash makes them stop doing so.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace(',', "\\,")
}

/// The descriptor that was sent over the socket.
fn receive(socket: &OwnedFd) -> Result<OwnedFd, MountError> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    // The program has ended: what it sent is there.
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    recvmsg(socket, &mut [IoSliceMut::new(&mut byte)], &mut control, flags)
        .map_err(|errno| MountError::system("receive the descriptor of fusermount3", errno))?;
    let sent = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    sent.ok_or_else(|| MountError::Helper { text: "it sent no descriptor".into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_in_its_words() {
        let options = FuseOptions { read_only: true, allow_root: true, ..FuseOptions::default() };
        assert_eq!(
            words(&options, "dir:/a,b\\c"),
            "ro,nosuid,nodev,allow_other,default_permissions,subtype=filo,fsname=dir:/a\\,b\\\\c"
        );
        let options = FuseOptions {
            nosuid: false,
            nodev: false,
            default_permissions: Some(false),
            max_read: 4096,
            subtype: String::new(),
            ..FuseOptions::default()
        };
        assert_eq!(words(&options, "mem"), "rw,max_read=4096,fsname=mem");
    }
}
