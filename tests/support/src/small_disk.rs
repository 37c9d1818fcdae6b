//! Where does a test find a disk that it can fill up?

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use tempfile::TempDir;

/// A file system of 64 KiB in memory, unmounted when dropped. Only root may mount one.
#[derive(Debug)]
pub struct SmallDisk {
    dir: TempDir,
}

impl SmallDisk {
    /// `None` where this user may not mount a file system: then the test says that it was skipped.
    pub fn mount() -> Option<Self> {
        let disk = Self { dir: TempDir::new().unwrap() };
        let mounted = disk.run_mount(&["-t", "tmpfs", "-o", "size=64k", "tmpfs"]);
        if !mounted {
            println!("skipped: this user may not mount a file system");
        }
        mounted.then_some(disk)
    }

    /// Its root.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Leaves no byte.
    pub fn fill(&self) {
        let full = fs::write(self.path().join("ballast"), vec![0; 1 << 20]).unwrap_err();
        assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    }

    /// Gives back what [`SmallDisk::fill`] took.
    pub fn free(&self) {
        fs::remove_file(self.path().join("ballast")).unwrap();
    }

    /// Mounts it again with this option, `ro` or `rw`.
    pub fn remount(&self, option: &str) {
        assert!(self.run_mount(&["-o", &format!("remount,{option}")]));
    }

    fn run_mount(&self, arguments: &[&str]) -> bool {
        let mount = Command::new("mount").args(arguments).arg(self.path()).stderr(Stdio::null()).status();
        mount.is_ok_and(|status| status.success())
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).stderr(Stdio::null()).status();
    }
}
