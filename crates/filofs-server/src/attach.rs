//! Foreign programs: any unmodified FUSE program as a file server.
//!
//! A FUSE program wants a mount point, and a descriptor of `/dev/fuse` on which it reads requests
//! and writes replies. Here it gets one end of a [`Channel`] for that descriptor; whoever holds the
//! other end plays the kernel, and the kernel itself mounts nothing.
//!
//! # Two ways
//!
//! | [`Way`] | the mount point | who takes it |
//! |---|---|---|
//! | `standin` | an empty directory | every program that mounts, or calls fusermount |
//! | `fd` | `/dev/fd/3` | libfuse 3.3 and later, go-fuse |
//!
//! **The stand-in.** The program runs in a mount namespace of its own, without CAP_SYS_ADMIN, so
//! that its mount(2) is refused and it calls fusermount3(1), as for ordinary users. There it finds
//! filo's own binary, which is bound over every fusermount there is, and stands first in PATH under
//! each of their names. Called by one of these, filo ([`door`]) asks the filo that started it all
//! for the program's end of the channel and passes it on. Where filo listens it sees from the mount
//! point: beside it is a socket.
//!
//! **The descriptor.** The program is started with its end as descriptor 3. No namespace is needed,
//! but libfuse 2 and bazil/fuse do not know this form.
//!
//! # What a foreign program needs
//!
//! * `/dev/fuse` to be there and to open: libfuse opens it before it tries anything else. Nothing
//!   is read from it.
//! * Patience with its end: when the channel ends, libfuse says "short read on fuse device" and
//!   ends with an error where it was not in the background; there is no way to say ENODEV on a
//!   socket.
//! * No daemon of rclone (`--daemon`): its parent looks for the mount in the mount table and kills
//!   it after a minute. Other programs may go into the background or not.

mod comm_fd;
mod desk;
mod door;
mod error;
mod fusermount;
mod options;
mod place;
mod slip;
mod stand_in;
pub(crate) mod words;

pub use door::door;
pub use error::AttachError;
pub use options::MountOptions;

use crate::channel::Channel;
use crate::launch::{CHANNEL_FD, LaunchError, Profile, Program, Running, Sandbox};
use desk::{Desk, Event, OpenDesk};
use error::system;
use place::Place;
use rustix::fd::OwnedFd;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::{Duration, Instant};

/// What stands for the mount point in a command.
const MOUNT_POINT: &str = "{}";

/// How long a program may take to ask for its mount, where nothing else is said. Some go to the
/// network before.
const PATIENCE: Duration = Duration::from_secs(30);

/// How a program gets its end of the channel.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Way {
    /// With the stand-in; where no mount namespace is to be had, as a descriptor.
    #[default]
    Auto,
    /// Over the stand-in for fusermount.
    StandIn,
    /// As descriptor 3, with `/dev/fd/3` for a mount point.
    Fd,
}

impl FromStr for Way {
    type Err = String;

    fn from_str(text: &str) -> Result<Way, String> {
        match text {
            "auto" => Ok(Way::Auto),
            "standin" => Ok(Way::StandIn),
            "fd" => Ok(Way::Fd),
            _ => Err(format!("option 'attach': '{text}' is not auto, standin or fd")),
        }
    }
}

/// A foreign program, and how to start it.
///
/// Who starts one calls [`door`] and [`launch::door`](crate::launch::door) first in `main`.
#[derive(Clone, Debug)]
pub struct Foreign {
    words: Vec<String>,
    /// Where it was made: what is relative in the command is meant from there.
    directory: Option<PathBuf>,
    /// How it gets its end of the channel.
    pub way: Way,
    /// What it may do.
    pub sandbox: Sandbox,
    /// How long it may take to ask for its mount.
    pub patience: Duration,
}

/// A foreign program that serves.
#[derive(Debug)]
pub struct Attached {
    /// The kernel's end, on which the program awaits INIT. Whoever has enough of it shuts it: to
    /// drop it is not enough, for it is held once more to be shut when the program unmounts.
    pub channel: Channel,
    /// The program.
    pub guest: Guest,
}

/// The program of an [`Attached`]. Dropped, it is killed, and what was made for it is removed.
#[derive(Debug)]
pub struct Guest {
    /// The program, with all its descendants.
    pub running: Running,
    /// What the program wanted to be mounted with; empty if it was given a descriptor.
    pub options: MountOptions,
    desk: Option<OpenDesk>,
}

impl Guest {
    /// Whether the program has said that it unmounted, which also ended the channel. Otherwise a
    /// channel that ends means that the program is gone.
    pub fn has_unmounted(&self) -> bool {
        self.desk.as_ref().is_some_and(OpenDesk::unmounted)
    }
}

impl Foreign {
    /// From a command line as in a shell: words, quotes and backslashes, and nothing else of what
    /// shells do. Every `{}` stands for the mount point.
    ///
    /// Errors: [`AttachError::Quote`], [`AttachError::NoCommand`], [`AttachError::NoMountPoint`].
    pub fn new(command: &str) -> Result<Foreign, AttachError> {
        let words = words::split(command)?;
        let arguments = words.get(1..).ok_or(AttachError::NoCommand)?;
        if !arguments.iter().any(|word| word.contains(MOUNT_POINT)) {
            return Err(AttachError::NoMountPoint);
        }
        let (way, sandbox) = (Way::default(), Sandbox::default());
        let directory = std::env::current_dir().ok();
        Ok(Foreign { words, directory, way, sandbox, patience: PATIENCE })
    }

    /// The program, as in the command.
    pub fn program(&self) -> &str {
        self.words.first().map_or("", String::as_str)
    }

    /// Starts the program and waits until it has its end of the channel.
    ///
    /// Errors: [`AttachError::Launch`] where it cannot be started, or has ended;
    /// [`AttachError::NeverAsked`]; [`AttachError::System`].
    pub fn start(&self) -> Result<Attached, AttachError> {
        match self.way {
            Way::StandIn => self.with_stand_in(),
            Way::Fd => self.with_descriptor(),
            Way::Auto => match self.with_stand_in() {
                Err(AttachError::Launch(LaunchError::Namespace { what })) => {
                    log::info!("{}: no stand-in for fusermount: {what}", self.program());
                    self.with_descriptor()
                }
                done => done,
            },
        }
    }

    fn with_stand_in(&self) -> Result<Attached, AttachError> {
        let stand_in = stand_in::own_program()?;
        let place = Place::make(&stand_in)?;
        let (channel, theirs) = pair()?;
        let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into());
        let mut dirs = vec![place.programs()];
        dirs.extend(std::env::split_paths(&path));
        let dirs = std::env::join_paths(dirs).map_err(io::Error::other);
        let dirs = dirs.map_err(system("put the stand-in into PATH"))?;
        let mut program = self.on(place.mount_point().as_os_str()).env("PATH", dirs);
        program = place.litter().into_iter().fold(program, Program::litter);
        for fusermount in stand_in::all_fusermounts(&path) {
            program = program.bind(&stand_in, &fusermount);
        }
        let sandbox = self.sandbox_with(&place, &stand_in)?;
        let mut desk = Desk::open(place, &channel, theirs)?;
        let running = program.sandbox(sandbox).needs_mount_namespace().start()?;
        let until = Instant::now().checked_add(self.patience);
        let event = desk.attend(running.end(), until);
        match event.map_err(system("wait for a program"))? {
            Event::Mounted(options) => {
                let desk = Some(desk.stay_open()?);
                Ok(Attached { channel, guest: Guest { running, options, desk } })
            }
            Event::Other => Err(self.ended(&running)),
            Event::Late => Err(AttachError::NeverAsked {
                program: self.program().to_owned(),
                after: self.patience,
                last_words: running.last_words(),
            }),
        }
    }

    fn with_descriptor(&self) -> Result<Attached, AttachError> {
        let (channel, theirs) = pair()?;
        let mount_point = format!("/dev/fd/{CHANNEL_FD}");
        let program = self.on(mount_point.as_ref()).channel(theirs);
        let running = program.sandbox(self.sandbox.clone()).start()?;
        let guest = Guest { running, options: MountOptions::default(), desk: None };
        Ok(Attached { channel, guest })
    }

    /// The program, told to mount there.
    fn on(&self, mount_point: &OsStr) -> Program {
        let words = self.words.iter().map(|word| {
            let mut parts = word.split(MOUNT_POINT);
            let mut told = OsString::from(parts.next().unwrap_or_default());
            parts.for_each(|part| told.extend([mount_point, part.as_ref()]));
            told
        });
        Program::new(self.program(), words).directory(self.directory.as_deref())
    }

    /// The sandbox, wide enough for what the program has to reach here.
    fn sandbox_with(&self, place: &Place, stand_in: &Path) -> Result<Sandbox, AttachError> {
        let mut sandbox = self.sandbox.clone();
        if sandbox.profile() == Profile::Strict {
            let device = Path::new("/dev/fuse");
            let device = device.exists().then_some(("allow", device));
            // Only the mount point is its own: what lies beside it is put there and removed by us.
            let needs = [
                ("allow", place.mount_point()),
                ("read", place.dir().to_owned()),
                ("read", stand_in.to_owned()),
            ];
            let device = device.map(|(name, path)| (name, path.to_owned()));
            for (name, path) in needs.into_iter().chain(device) {
                let set = sandbox.set(name, path.as_os_str());
                set.map_err(|what| AttachError::Launch(LaunchError::Sandbox { what }))?;
            }
        }
        Ok(sandbox)
    }

    fn ended(&self, running: &Running) -> AttachError {
        let name = self.program().to_owned();
        running.ended_error().unwrap_or(LaunchError::Late { name }).into()
    }
}

fn pair() -> Result<(Channel, OwnedFd), AttachError> {
    Channel::pair().map_err(system("make a channel"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_needs_a_program_and_a_mount_point() {
        let foreign = Foreign::new("sshfs -f 'host:/my data' {}").unwrap();
        assert_eq!(foreign.program(), "sshfs");
        assert!(matches!(Foreign::new(""), Err(AttachError::NoCommand)));
        assert!(matches!(Foreign::new("  "), Err(AttachError::NoCommand)));
        assert!(matches!(Foreign::new("bindfs 'x {}"), Err(AttachError::Quote { quote: '\'' })));
        for command in ["bindfs /a", "{}", "{} /a", "bindfs { } /a"] {
            let refused = Foreign::new(command).unwrap_err();
            assert!(matches!(refused, AttachError::NoMountPoint), "{command}: {refused}");
            assert!(refused.to_string().contains("needs a {}"), "{refused}");
        }
    }

    #[test]
    fn ways_have_names() {
        assert_eq!("auto".parse(), Ok(Way::Auto));
        assert_eq!("standin".parse(), Ok(Way::StandIn));
        assert_eq!("fd".parse(), Ok(Way::Fd));
        assert!("FD".parse::<Way>().unwrap_err().contains("auto, standin or fd"));
    }
}
