//! What the tests share: files to serve, programs to look for, and what must not be left.

use crate::kernel::Kernel;
use filofs::{Errno, OpenFlags};
use filofs_front::local::Local;
use filofs_server::attach::{AttachError, Attached, Foreign};
use filofs_server::kernel::{KernelHalf, Settings};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Longer than anything here takes: a test that waits so long has failed.
pub const FOREVER: Duration = Duration::from_secs(60);

/// The file that is served: its name and its size. Longer than any READ.
pub const NAME: &str = "file";
pub const SIZE: usize = 300_000;

/// Whether what a test needs is there. If not, that is said; and it is a failure under
/// FILO_REQUIRE=1 if `required`, which the build machine has to have.
pub fn able(what: &str, there: bool, required: bool) -> bool {
    if !there {
        let strict = std::env::var_os("FILO_REQUIRE").is_some_and(|value| value == "1");
        assert!(
            !(strict && required),
            "this test needs {what}, and FILO_REQUIRE=1 says it must run"
        );
        println!("skipped: needs {what}");
    }
    there
}

/// Whether a program is installed. The build machine has bindfs.
pub fn installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let there = std::env::split_paths(&path).any(|dir| dir.join(program).is_file());
    able(program, there, program == "bindfs")
}

/// Whether `/dev/fuse` opens, which libfuse wants to see.
pub fn has_device() -> bool {
    let opens = fs::File::options().read(true).write(true).open("/dev/fuse").is_ok();
    able("/dev/fuse", opens, true)
}

/// A directory with files to serve, readable by everybody; removed with the value.
pub struct Ground(pub PathBuf);

impl Ground {
    pub fn new() -> Ground {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("filo-test-attach-{}-{number}", std::process::id());
        let ground = Ground(std::env::temp_dir().canonicalize().unwrap().join(name));
        fs::create_dir(&ground.0).unwrap();
        ground.dir("source");
        let file = ground.path("source").join(NAME);
        fs::write(&file, content()).unwrap();
        fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
        fs::set_permissions(&ground.0, Permissions::from_mode(0o755)).unwrap();
        ground
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Makes a directory that everybody may use.
    pub fn dir(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        path
    }

    /// Makes a program of a shell's.
    pub fn script(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        path
    }

    /// A command line: `@` stands for this directory.
    pub fn foreign(&self, command: &str) -> Foreign {
        let command = command.replace('@', self.0.to_str().unwrap());
        let mut foreign = Foreign::new(&command).unwrap();
        foreign.patience = FOREVER;
        foreign
    }

    /// Starts a command that has to serve.
    pub fn attach(&self, command: &str) -> Attached {
        let attached = self.foreign(command).start();
        let attached = attached.unwrap_or_else(|error| panic!("{command}: {error}"));
        attached.channel.patience(FOREVER).unwrap();
        attached
    }

    /// Starts a command that must not serve.
    pub fn refused(&self, command: &str) -> AttachError {
        self.foreign(command).start().map(drop).unwrap_err()
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What the file holds.
pub fn content() -> Vec<u8> {
    (0..SIZE).map(|at| (at * 31 + at / 251) as u8).collect()
}

/// INIT, LOOKUP, GETATTR, OPEN and READ, small and as large as it gets.
pub fn serves(attached: &Attached) {
    let answer = || -> Result<(), String> {
        let mut kernel = Kernel::start(&attached.channel)?;
        let file = kernel.look_up(NAME)?;
        assert_eq!(file.size, SIZE as u64);
        for (offset, size) in [(0, 100), (1000, 4096), (0, 128 << 10), (4096 + 7, 128 << 10)] {
            let read = kernel.read(&file, offset as u64, size as u32)?;
            assert!(read == content()[offset..offset + size], "{offset} {size}: {}", read.len());
        }
        let past = kernel.read(&file, SIZE as u64 - 10, 100)?;
        assert_eq!(past.len(), 10);
        assert!(kernel.look_up("missing").unwrap_err().contains("-2"));
        Ok(())
    };
    if let Err(why) = answer() {
        panic!("{why}; it said: {}", attached.guest.running.last_words());
    }
}

/// The same with the real kernel half, and somebody who uses its files.
pub fn serves_as_a_base(attached: Attached) {
    let Attached { channel, guest } = attached;
    let use_it = || -> filofs::Result<()> {
        let half = Arc::new(KernelHalf::over(channel, &Settings::default()).map_err(|why| {
            eprintln!("{why}");
            Errno::EPROTO
        })?);
        let user = Local::over(half.clone())?.process();
        assert_eq!(user.stat(NAME)?.attr.size, SIZE as u64);
        assert!(user.readdir("/")?.iter().any(|entry| entry.name == NAME.as_bytes()));
        let file = user.open(NAME, OpenFlags::RDONLY, 0)?;
        let mut read = vec![0; SIZE + 1];
        let mut at = 0;
        loop {
            match user.read(file, &mut read[at..])? {
                0 => break,
                bytes => at += bytes,
            }
        }
        assert!(read[..at] == content(), "{at} bytes");
        user.close(file)?;
        assert_eq!(user.stat("missing").unwrap_err(), Errno::ENOENT);
        assert_eq!(half.lies(), 0);
        Ok(())
    };
    let used = use_it();
    assert!(used.is_ok(), "{used:?}; it said: {}", guest.running.last_words());
    let ended = guest.running.wait_at_most(FOREVER);
    assert!(ended.is_some(), "it goes on; it said: {}", guest.running.last_words());
}

/// The channel ends, and the program with it.
pub fn ends(attached: &Attached) {
    attached.channel.shut();
    let ended = attached.guest.running.wait_at_most(FOREVER);
    assert!(ended.is_some(), "it goes on; it said: {}", attached.guest.running.last_words());
}

/// Runs a command that has to succeed.
pub fn run(program: impl AsRef<Path>, arguments: &[&str]) {
    let program = program.as_ref();
    let output = Command::new(program).args(arguments).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{} {arguments:?}: {text}", program.display());
}
