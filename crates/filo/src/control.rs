//! The control socket of a mount: who serves it, what it is doing.
//!
//! One Unix socket for each mount, in a directory of the user's own, mode 0600. A client writes
//! one line, `{"verb":"status","version":1}`, and gets one line of JSON back.

use crate::crowd;
use crate::exit::{Exit, Failure};
use filofs::{Fact, FileSystem, Mount, MountState, Op};
use filofs_front::fuse::Session;
use rustix::fs::Mode;
use rustix::process::geteuid;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;

/// The version of the line protocol.
const VERSION: u32 = 1;
/// A line longer than this is nothing a client or a server of ours writes.
const LONGEST_LINE: u64 = 64 * 1024;
/// How long either side waits for the other.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);

/// What one mount says of itself. Keys are only ever added.
#[derive(Serialize, Deserialize, Debug, Clone, PartialEq, Eq)]
pub(crate) struct Status {
    /// Where it is mounted.
    pub(crate) mountpoint: String,
    /// The stack, in the one-line form.
    pub(crate) stack: String,
    /// The server's process, 0 when it is gone.
    pub(crate) pid: u32,
    /// `mounting`, `running`, `dying`; `dead` when the server is gone and the mount is not;
    /// `silent` when it is there and does not answer.
    pub(crate) state: String,
    /// Its device number, as `0:45`: what tells mounts at one place from each other. Empty where
    /// somebody else mounted it.
    #[serde(default)]
    pub(crate) device: String,
    /// How requests come from the kernel, such as `ring (2 queues)`; empty where nobody says so.
    #[serde(default)]
    pub(crate) transport: String,
    /// Numbers since the mount began.
    pub(crate) counters: BTreeMap<String, u64>,
    /// How each server in another process is that it depends on.
    #[serde(default)]
    pub(crate) servers: Vec<ServerStatus>,
}

/// What is known of one server, by key; see [`filofs::Facts`].
pub(crate) type ServerStatus = BTreeMap<String, serde_json::Value>;

impl Status {
    /// Of a mount of this process.
    fn of(mount: &Mount, session: &Weak<Session>, stack: &str, device: &str) -> Status {
        let state = match mount.state() {
            MountState::Mounting => "mounting",
            MountState::Running => "running",
            MountState::Dying => "dying",
        };
        let mut counters = BTreeMap::from([
            ("nodes".to_owned(), mount.nodes().len() as u64),
            ("lookups".to_owned(), mount.nodes().lookups()),
            ("open_files".to_owned(), mount.opens().len() as u64),
            ("panics".to_owned(), mount.counters().panics()),
        ]);
        let session = session.upgrade();
        if let Some(files) = session.as_ref().and_then(|session| session.passthrough()) {
            counters.insert("passthrough_files".to_owned(), files as u64);
        }
        for op in Op::ALL {
            let (calls, errors) = (mount.counters().calls(*op), mount.counters().errors(*op));
            if calls > 0 {
                counters.insert(format!("ops.{}", op.name()), calls);
            }
            if errors > 0 {
                counters.insert(format!("errors.{}", op.name()), errors);
            }
        }
        Status {
            mountpoint: mount.identity().mounted_on.clone(),
            stack: stack.to_owned(),
            pid: std::process::id(),
            state: state.to_owned(),
            device: device.to_owned(),
            transport: session.map(|s| s.transport().to_owned()).unwrap_or_default(),
            counters,
            servers: mount
                .facts()
                .into_iter()
                .map(|facts| facts.into_iter().map(fact).collect())
                .collect(),
        }
    }
}

fn fact((key, fact): (&str, Fact)) -> (String, serde_json::Value) {
    let value = match fact {
        Fact::Text(text) => text.into(),
        Fact::Number(number) => number.into(),
    };
    (key.to_owned(), value)
}

#[derive(Serialize, Deserialize)]
struct Request {
    verb: String,
    version: u32,
}

/// The socket of a mount of this process. Dropped, it is taken away.
pub(crate) struct Control {
    path: PathBuf,
}

impl Control {
    /// Listens for clients, on a thread of its own that ends with the process. The stack is told
    /// in the one-line form, the device as in [`Status`].
    pub(crate) fn serve(
        session: &Arc<Session>,
        stack: String,
        device: String,
    ) -> Result<Control, Failure> {
        let (mount, session) = (session.mount().clone(), Arc::downgrade(session));
        let path = directory(true)?.join(format!("{}.sock", std::process::id()));
        let wrong = |e: std::io::Error| {
            Failure::new(Exit::Permission, format!("control socket '{}': {e}", path.display()))
        };
        let _ = std::fs::remove_file(&path);
        let listener = UnixListener::bind(&path).or_else(|e| match e.kind() {
            // The last of the other servers has just taken the directory away.
            std::io::ErrorKind::NotFound => {
                let _ = directory(true);
                UnixListener::bind(&path)
            }
            _ => Err(e),
        });
        let listener = listener.map_err(wrong)?;
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).map_err(wrong)?;
        std::thread::Builder::new()
            .name("filo-control".into())
            .spawn(move || {
                for client in listener.incoming() {
                    match client {
                        // A client that hangs up early has only itself to blame.
                        Ok(client) => {
                            let _ =
                                answer(client, || Status::of(&mount, &session, &stack, &device));
                        }
                        // No descriptor left: one may come back.
                        Err(_) => std::thread::sleep(PATIENCE),
                    }
                }
            })
            .map_err(wrong)?;
        Ok(Control { path })
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
        // With its last socket; where there are more it stays.
        let _ = self.path.parent().map(std::fs::remove_dir);
    }
}

fn answer(mut client: UnixStream, status: impl Fn() -> Status) -> std::io::Result<()> {
    client.set_read_timeout(Some(PATIENCE))?;
    client.set_write_timeout(Some(PATIENCE))?;
    let mut line = String::new();
    BufReader::new((&client).take(LONGEST_LINE)).read_line(&mut line)?;
    let reply = match serde_json::from_str::<Request>(&line) {
        Ok(Request { verb, version: VERSION }) if verb == "status" => {
            serde_json::to_string(&status())?
        }
        Ok(_) => r#"{"error":"no such verb or version"}"#.to_owned(),
        Err(_) => r#"{"error":"not a request"}"#.to_owned(),
    };
    client.write_all(reply.as_bytes())?;
    client.write_all(b"\n")
}

/// What the mounts of this user say of themselves; those that say nothing in time are left out.
/// The sockets of servers that are gone are taken away.
pub(crate) fn all() -> Result<Vec<Status>, Failure> {
    let files = std::fs::read_dir(directory(false)?).into_iter().flatten().flatten();
    let paths = files.map(|file| file.path());
    let sockets = paths.filter(|path| path.extension().is_some_and(|e| e == "sock")).collect();
    let answers = crowd::ask(sockets, PATIENCE, |path: PathBuf| status(&path));
    let mut found: Vec<Status> = answers.into_iter().flatten().flatten().collect();
    found.sort_by(|a, b| a.mountpoint.cmp(&b.mountpoint));
    Ok(found)
}

/// What the server at that socket says, if there is one and it answers.
fn status(path: &Path) -> Option<Status> {
    let answer = ask(path);
    if answer.as_ref().is_err_and(|e| e.kind() == std::io::ErrorKind::ConnectionRefused) {
        let _ = std::fs::remove_file(path);
    }
    answer.ok()
}

fn ask(path: &Path) -> std::io::Result<Status> {
    let mut stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let request = Request { verb: "status".into(), version: VERSION };
    stream.write_all(format!("{}\n", serde_json::to_string(&request)?).as_bytes())?;
    let mut line = String::new();
    BufReader::new(stream.take(LONGEST_LINE)).read_line(&mut line)?;
    Ok(serde_json::from_str(&line)?)
}

/// Where the sockets of this user are: /run/filo, $XDG_RUNTIME_DIR/filo or /tmp/filo-UID. It is
/// made if that is asked for, and refused if it is somebody else's.
fn directory(make: bool) -> Result<PathBuf, Failure> {
    let uid = geteuid().as_raw();
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").filter(|d| Path::new(d).is_absolute());
    let path = match runtime {
        _ if uid == 0 => PathBuf::from("/run/filo"),
        Some(runtime) => Path::new(&runtime).join("filo"),
        None => std::env::temp_dir().join(format!("filo-{uid}")),
    };
    let wrong = |text: String| {
        Failure::new(Exit::Permission, format!("directory '{}': {text}", path.display()))
    };
    if make {
        match rustix::fs::mkdir(&path, Mode::RWXU) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(e) => return Err(wrong(e.to_string())),
        }
    }
    let found = match std::fs::symlink_metadata(&path) {
        // Then there is nothing in it either.
        Err(e) if !make && e.kind() == std::io::ErrorKind::NotFound => return Ok(path),
        found => found.map_err(|e| wrong(e.to_string()))?,
    };
    if !found.is_dir() || found.uid() != uid || found.mode() & 0o022 != 0 {
        return Err(wrong("is not a directory of this user alone".into()));
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_reads_back() {
        let status = Status {
            mountpoint: "/mnt/\"x".into(),
            stack: "mem:".into(),
            pid: 7,
            state: "running".into(),
            device: "0:45".into(),
            transport: "classic (asked for)".into(),
            counters: BTreeMap::from([("nodes".into(), 1)]),
            servers: vec![ServerStatus::from_iter([fact(("pid", Fact::Number(8)))])],
        };
        let line = serde_json::to_string(&status).unwrap();
        assert_eq!(serde_json::from_str::<Status>(&line).unwrap(), status);
        assert!(line.starts_with(r#"{"mountpoint":"/mnt/\"x","stack":"mem:","pid":7,"state":"#));
    }
}
