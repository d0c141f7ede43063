//! What the in-process front end is for: a test without a mount, in ten lines.

use filofs::{Errno, Result};
use filofs_bases::mem::{Mem, Settings};
use filofs_front::local::Local;
use std::sync::Arc;

#[test]
fn a_file_is_written_and_read_without_a_mount() -> Result<()> {
    let root = Local::over(Arc::new(Mem::new(Settings::default())))?.process();
    root.mkdir("dir", 0o755)?;
    root.write_file("dir/hello", b"hello\n")?;
    assert_eq!(root.read_file("dir/hello")?, b"hello\n");
    let user = root.as_user(1000, 1000, &[]);
    assert_eq!(user.unlink("dir/hello"), Err(Errno::EACCES));
    root.unlink("dir/hello")
}
