//! The directory in which a foreign program finds what it needs: its mount point, the socket on
//! which the stand-in reaches filo, and the stand-in under its names.

use super::fusermount::NAMES;
use super::{AttachError, system};
use crate::launch;
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen};
use std::fs::{DirBuilder, File};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, symlink};
use std::path::{Path, PathBuf};

/// The mount point's name.
const MOUNT_POINT: &str = "mnt";

/// The socket's name, beside the mount point.
pub(super) const SOCKET: &str = "attach";

/// Where the stand-in stands under its names.
const PROGRAMS: &str = "bin";

/// What go-fuse opens below its mount point, once it is mounted, to learn that nothing of it can be
/// polled (`pollHack` in fuse/poll.go). Nothing is mounted here, so that it must be a real file.
const POLL_HACK: &str = ".go-fuse-epoll-hack";

/// How often a name is tried that somebody else may have.
const TRIES: u32 = 64;

/// A directory for one program, of mode 0700; removed with the value.
#[derive(Debug)]
pub(super) struct Place {
    dir: PathBuf,
}

impl Place {
    /// Makes one in the directory for temporary files.
    pub(super) fn make(stand_in: &Path) -> Result<Place, AttachError> {
        // Programs resolve their mount point, and give the stand-in what comes out.
        let base = std::env::temp_dir().canonicalize();
        let base = base.map_err(system("find the directory for temporary files"))?;
        let dir = fresh(&base).map_err(system("make a directory for a program"))?;
        let place = Place { dir };
        place.fill(stand_in).map_err(system("fill the directory of a program"))?;
        Ok(place)
    }

    fn fill(&self, stand_in: &Path) -> io::Result<()> {
        private_dir(&self.mount_point())?;
        private_dir(&self.programs())?;
        NAMES.iter().try_for_each(|name| symlink(stand_in, self.programs().join(name)))
    }

    /// All of it.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// What the program is told to mount on: an empty directory.
    pub(super) fn mount_point(&self) -> PathBuf {
        self.dir.join(MOUNT_POINT)
    }

    /// A directory that can stand first in a PATH, with the stand-in under its names.
    pub(super) fn programs(&self) -> PathBuf {
        self.dir.join(PROGRAMS)
    }

    /// Begins to listen.
    pub(super) fn listen(&self) -> Result<OwnedFd, AttachError> {
        let listen = || -> Result<OwnedFd, Errno> {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            let kind = SocketType::SEQPACKET;
            let socket = rustix::net::socket_with(AddressFamily::UNIX, kind, flags, None)?;
            bind(&socket, &SocketAddrUnix::new(self.dir.join(SOCKET))?)?;
            listen(&socket, 8)?;
            Ok(socket)
        };
        listen().map_err(system("listen for the stand-in of fusermount"))
    }

    /// Everything that is here, in an order in which it can be removed. One by one, and by name:
    /// should the program have managed to mount something here after all, that is somebody's data.
    pub(super) fn litter(&self) -> Vec<PathBuf> {
        let programs = NAMES.iter().map(|name| self.programs().join(name));
        let socket = self.dir.join(SOCKET);
        let hack = self.mount_point().join(POLL_HACK);
        let dirs = [self.programs(), self.mount_point(), self.dir.clone()];
        programs.chain([socket, hack]).chain(dirs).collect()
    }

    /// From here on the mount point looks mounted to those who look. Not before: programs want it
    /// empty.
    pub(super) fn look_mounted(&self) -> io::Result<()> {
        // A new file: what the program has put there may be a link to anything.
        match File::create_new(self.mount_point().join(POLL_HACK)) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
            _ => Ok(()),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        launch::remove(&self.litter());
        if self.dir.exists() {
            log::warn!("{}: not removed: there is something in it", self.dir.display());
        }
    }
}

/// A new directory with a name that nobody can foresee.
fn fresh(base: &Path) -> io::Result<PathBuf> {
    let mut tries = 0;
    loop {
        let dir = base.join(format!("filo-{:016x}", RandomState::new().build_hasher().finish()));
        match private_dir(&dir) {
            Ok(()) => return Ok(dir),
            Err(error) if error.kind() == ErrorKind::AlreadyExists && tries < TRIES => tries += 1,
            Err(error) => return Err(error),
        }
    }
}

fn private_dir(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_place_is_private_and_leaves_nothing() {
        let place = Place::make(Path::new("/stand/in")).unwrap();
        let dir = place.dir.clone();
        assert_eq!(fs::metadata(&dir).unwrap().permissions().mode() & 0o7777, 0o700);
        assert_eq!(fs::read_dir(place.mount_point()).unwrap().count(), 0);
        let link = fs::read_link(place.programs().join("fusermount3")).unwrap();
        assert_eq!(link, Path::new("/stand/in"));
        let socket = place.listen().unwrap();
        assert!(dir.join(SOCKET).exists());
        place.look_mounted().unwrap();
        assert_eq!(fs::read_dir(place.mount_point()).unwrap().count(), 1);
        drop((socket, place));
        assert!(!dir.exists());
    }

    #[test]
    fn links_that_a_program_put_there_lead_nowhere() {
        let elsewhere = Place::make(Path::new("/stand/in")).unwrap();
        let precious = elsewhere.programs().join("precious");
        fs::write(&precious, "precious").unwrap();
        let place = Place::make(Path::new("/stand/in")).unwrap();
        symlink(&precious, place.mount_point().join(POLL_HACK)).unwrap();
        place.look_mounted().unwrap();
        assert_eq!(fs::read(&precious).unwrap(), b"precious");
        // Its directory of programs is somebody else's now.
        fs::rename(place.programs(), place.dir.join("moved")).unwrap();
        symlink(elsewhere.programs(), place.programs()).unwrap();
        let dir = place.dir.clone();
        drop(place);
        assert!(elsewhere.programs().join(NAMES[0]).is_symlink());
        fs::remove_dir_all(dir).unwrap();
        fs::remove_file(precious).unwrap();
    }

    #[test]
    fn what_a_program_put_there_is_not_deleted() {
        let place = Place::make(Path::new("/stand/in")).unwrap();
        let (dir, file) = (place.dir.clone(), place.mount_point().join("data"));
        fs::write(&file, "precious").unwrap();
        drop(place);
        assert_eq!(fs::read(&file).unwrap(), b"precious");
        fs::remove_dir_all(dir).unwrap();
    }
}
